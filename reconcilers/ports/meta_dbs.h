// MetaDbs: the servers of one OMS. rm lies on one; cm and the heartbeat database lie on another
// where config.yaml's oms_cm_meta_* keys say so, and else on the same.
//
// In the usual case both are the very same objects, and whatever is asked of "each" is asked once.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/meta_db.h"

namespace oms::ports {

template <typename Server>
class ServersOfOms {
 public:
  ServersOfOms() = default;
  explicit ServersOfOms(Server all) : rm_(all), cm_(std::move(all)) {}
  ServersOfOms(Server rm, Server cm) : rm_(std::move(rm)), cm_(std::move(cm)) {}

  bool known() const { return rm_.server != nullptr; }
  // They are reached in two ways. Whether that leads to two servers, DbServerInfo::identity tells.
  bool separate() const { return rm_.server != cm_.server; }
  // Where the row of owner lies, too.
  const Server& rm() const { return rm_; }
  const Server& cm() const { return cm_; }
  // Of a database's role: rm, cm, cm_hb.
  const Server& For(std::string_view role) const { return role == "rm" ? rm_ : cm_; }
  std::vector<Server> Each() const { return separate() ? std::vector{rm_, cm_} : std::vector{rm_}; }
  // A server that is dialled by this name.
  bool Knows(const std::string& server) const {
    return server == rm_.server->address().Name() || server == cm_.server->address().Name();
  }

 private:
  Server rm_, cm_;
};

// To look at.
class MetaDbsView : public ServersOfOms<MetaDbView> {
 public:
  using ServersOfOms::ServersOfOms;

  base::Result<std::vector<DbConnection>> ForeignConnections(
      const base::Context& ctx, const std::string& rm, const std::string& cm,
      const std::string& heartbeat_db) const {
    if (!separate()) {
      return this->rm().connections->ForeignConnections(ctx, {rm, cm, heartbeat_db});
    }
    OMS_ASSIGN(auto foreign, this->rm().connections->ForeignConnections(ctx, {rm}));
    OMS_ASSIGN(auto more, this->cm().connections->ForeignConnections(ctx, {cm, heartbeat_db}));
    for (auto& connection : more) foreign.push_back(std::move(connection));
    return foreign;
  }
};

class MetaDbs : public ServersOfOms<MetaDb> {
 public:
  using ServersOfOms::ServersOfOms;

  MetaDbsView View() const {
    if (!known()) return {};
    return separate() ? MetaDbsView(rm().View(), cm().View()) : MetaDbsView(rm().View());
  }

  // Each on the server that it was seen on or registered for. One that was dialled by a name that
  // is none of ours may be on either, so it is looked for on both. A server that does not answer
  // does not keep the other from being asked. The answer is DbConnections', of both.
  base::Result<std::vector<DbConnection>> EndConnections(
      const base::Context& ctx, const std::vector<DbConnection>& victims) const {
    if (!separate()) return rm().connections->EndConnections(ctx, victims);
    base::Status ended;
    std::vector<DbConnection> kept;
    for (const MetaDb& meta_db : Each()) {
      std::vector<DbConnection> here;
      for (const auto& victim : victims) {
        if (victim.server == meta_db.server->address().Name() || !Knows(victim.server))
          here.push_back(victim);
      }
      if (here.empty()) continue;
      auto answer = meta_db.connections->EndConnections(ctx, here);
      if (answer.ok()) {
        for (auto& reader : *answer) kept.push_back(std::move(reader));
      } else if (ended.ok()) {
        ended = answer.error();
      }
    }
    if (!ended.ok()) return ended.error();
    return kept;
  }
};

}  // namespace oms::ports
