// Whose connections there are: found in the process list, and ended by KILL.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/mysql_ports.h"
#include "reconcilers/drivers/mysql/mysql_relay.h"
#include "reconcilers/drivers/mysql/own_connections.h"
#include "reconcilers/drivers/mysql/server_access.h"

namespace oms::drivers::mysql {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::DbConnection;
using ports::DbServerAddress;
using ports::Fence;

namespace {

// One that only reads does no harm by staying.
constexpr auto kReaderDeadline = std::chrono::seconds(3);

// Remembers, and lets everybody through. For the proof of the relay, which writes nothing.
class OpenFence final : public Fence {
 public:
  Status Register(const Context&, const DbConnection& connection) override {
    const std::lock_guard lock(mutex_);
    last_[connection.id] = connection;
    return base::Ok();
  }
  void Unregister(const DbConnection&) override {}
  // As it was registered last.
  std::optional<DbConnection> Registered(uint64_t id) {
    const std::lock_guard lock(mutex_);
    const auto found = last_.find(id);
    if (found == last_.end()) return std::nullopt;
    return found->second;
  }

 private:
  std::mutex mutex_;
  std::map<uint64_t, DbConnection> last_;
};

std::string Ids(const std::vector<uint64_t>& ids) {
  return fmt::format("connection{} {}", ids.size() == 1 ? "" : "s", fmt::join(ids, ", "));
}

Result<bool> Listed(const Context& ctx, MysqlSession& session, uint64_t id) {
  OMS_ASSIGN(auto found,
             session.Scalar(ctx, fmt::format("SELECT COUNT(*) FROM information_schema.processlist "
                                             "WHERE id = {}",
                                             id)));
  return Number(found) > 0;
}

// The relay registers before the login, then with the name that logs in: OceanBase lists
// "user@tenant" as "user".
bool RegisteredAtLogin(const DbConnection& victim, const std::string& listed) {
  return victim.address.empty() && victim.user.starts_with(listed + "@");
}

// What the process list says of it; nullopt when it is gone, or the id is another's by now.
Result<std::optional<std::string>> CommandOf(const Context& ctx, MysqlSession& session,
                                             const DbConnection& victim) {
  std::optional<std::string> command;
  OMS_ASSIGN(auto rows,
             session.Query(ctx, fmt::format("SELECT user, host, command FROM "
                                            "information_schema.processlist WHERE id = {}",
                                            victim.id)));
  if (rows.empty()) return command;
  const std::string user = rows[0].at(0).value_or("");
  const std::string host = rows[0].at(1).value_or("");
  // MariaDB shows a connection that has not logged in yet so; its address still tells it.
  const bool logging_in = user == "unauthenticated user" || RegisteredAtLogin(victim, user);
  if (user != victim.user && !logging_in) return command;
  if (victim.address.empty() || host.empty() || host == victim.address) {
    command = rows[0].at(2).value_or("");
  }
  return command;
}

Result<bool> SameConnection(const Context& ctx, MysqlSession& session, const DbConnection& victim) {
  OMS_ASSIGN(const auto command, CommandOf(ctx, session, victim));
  return command.has_value();
}

// KILLs those that are still the same, and waits until they are gone from the process list; the
// ids that stay there.
Result<std::vector<uint64_t>> KillAndWait(const Context& ctx, MysqlSession& session,
                                          const std::vector<DbConnection>& victims) {
  std::vector<DbConnection> killed;
  for (const auto& victim : victims) {
    if (victim.id == session.id()) continue;
    OMS_ASSIGN(const bool same, SameConnection(ctx, session, victim));
    if (!same) continue;
    OMS_TRY(ctx.Check());
    OMS_TRY(session.Kill(ctx, victim.id));
    killed.push_back(victim);
  }
  const auto give_up = ctx.clock().Now() + kKillDeadline;
  while (true) {
    std::vector<uint64_t> there;
    for (const auto& victim : killed) {
      OMS_ASSIGN(const bool same, SameConnection(ctx, session, victim));
      if (same) there.push_back(victim.id);
    }
    if (there.empty() || ctx.clock().Now() >= give_up) return there;
    OMS_TRY(base::Pause(ctx, kPoll));
  }
}

class MysqlDbConnections final : public ports::DbConnections {
 public:
  MysqlDbConnections(DbServerAddress address, base::Duration looking)
      : address_(std::move(address)), looking_(looking) {}

  Result<std::vector<DbConnection>> ForeignConnections(
      const Context& outer, const std::vector<std::string>& databases) override {
    const Context ctx = outer.WithTimeout(looking_);
    std::vector<DbConnection> foreign;
    if (databases.empty()) return foreign;
    OMS_ASSIGN(auto session, OpenFor(ctx, address_));
    std::vector<SqlParam> params(databases.begin(), databases.end());
    // lower_case_table_names differs between servers; names that differ in case only do not
    // occur in one OMS.
    std::string in;
    for (size_t i = 0; i < databases.size(); ++i) in += i == 0 ? "LOWER(?)" : ",LOWER(?)";
    OMS_ASSIGN(auto rows, session->Query(ctx,
                                         "SELECT id, user, host, db, command FROM "
                                         "information_schema.processlist WHERE LOWER(db) IN (" +
                                             in + ") ORDER BY id",
                                         std::move(params)));
    for (const auto& row : rows) {
      DbConnection connection;
      connection.server = ServerName(address_);
      connection.id = Number(row.at(0));
      connection.user = row.at(1).value_or("");
      connection.address = row.at(2).value_or("");
      connection.database = row.at(3).value_or("");
      connection.command = row.at(4).value_or("");
      if (OwnConnections::Has(connection.server, connection.id, connection.address)) continue;
      foreign.push_back(std::move(connection));
    }
    return foreign;
  }

  Result<std::vector<DbConnection>> EndConnections(
      const Context& ctx, const std::vector<DbConnection>& victims) override {
    if (victims.empty()) return std::vector<DbConnection>();
    OMS_ASSIGN(auto session, OpenFor(ctx, address_));
    std::vector<DbConnection> writers, readers;
    for (const auto& victim : victims) {
      (victim.reads && session->oceanbase() ? readers : writers).push_back(victim);
    }
    OMS_ASSIGN(const auto there, KillAndWait(ctx, *session, writers));
    if (there.empty()) return EndReaders(ctx, *session, std::move(readers));
    return MakeError(Code::kTransient, crd::reason::kConnectionsEnding,
                     fmt::format("MetaDB {}: {} stay{} in the process list after KILL; the server "
                                 "is rolling back what {} had written",
                                 ServerName(address_), Ids(there), there.size() == 1 ? "s" : "",
                                 there.size() == 1 ? "it" : "they"));
  }

  Status ProveFence(const Context& outer) override {
    const Context ctx = outer.WithTimeout(kProve);
    const auto cannot = [&](std::string_view why) {
      return MakeError(Code::kTerminal, crd::reason::kCannotFence,
                       fmt::format("MetaDB {}: {}. After a takeover, the connections of the "
                                   "previous controller could not be killed here; connect to the "
                                   "server itself (an observer of OceanBase), not to a proxy",
                                   ServerName(address_), why));
    };
    OMS_ASSIGN(auto killer, OpenFor(ctx, address_));
    OMS_ASSIGN(auto victim, OpenFor(ctx, address_));
    OMS_TRY(victim->Scalar(ctx, "SELECT 1"));
    OMS_ASSIGN(auto listed, Listed(ctx, *killer, victim->id()));
    if (!listed) return cannot("the process list does not show a connection under its own id");
    const auto killed = killer->Execute(ctx, fmt::format("KILL {}", victim->id()));
    if (killed.Is(Code::kDenied)) return killed.error();
    if (!killed.ok()) return cannot("KILL failed: " + killed.error().message);
    const auto after = victim->Scalar(ctx, "SELECT 1");
    if (after.ok()) return cannot("a killed connection kept working");
    OMS_TRY(ctx.Check());
    if (after.error().reason != crd::reason::kMetaDbUnreachable) {
      return cannot("a killed connection answered: " + after.error().message);
    }
    bool gone = false;
    for (const auto give_up = ctx.clock().Now() + kKillDeadline; !gone;) {
      OMS_ASSIGN(const bool there, Listed(ctx, *killer, victim->id()));
      gone = !there;
      if (there && ctx.clock().Now() >= give_up) {
        return cannot("a connection stays in the process list after KILL");
      }
      if (there) OMS_TRY(base::Pause(ctx, kPoll));
    }

    // The tools' way: what the relay registers must be enough to find and end the connection.
    OpenFence fence;
    OMS_ASSIGN(auto relay, MysqlRelay::Start(ctx, address_, RelayUse::kWrite, fence, nullptr));
    MysqlSession::Options options;
    options.statement_timeout = kShort;
    options.socket = relay->socket_path();
    const auto relayed = MysqlSession::Open(ctx, address_, options);
    // The client only sees that its connection ends; why is the relay's to say.
    if (const auto health = relay->Health(); !relayed.ok() && !health.ok()) {
      if (health.error().reason != crd::reason::kCannotFence) return health;
      return cannot("the connection id in the server's greeting is not in its process list");
    }
    if (!relayed.ok()) return relayed.error();
    const auto registered = fence.Registered((*relayed)->id());
    if (!registered) {
      return cannot("the connection id in the server's greeting is not CONNECTION_ID()");
    }
    OMS_ASSIGN(const auto there, KillAndWait(ctx, *killer, {*registered}));
    if (!there.empty()) return cannot("a connection stays in the process list after KILL");
    const auto late = (*relayed)->Scalar(ctx, "SELECT 1");
    OMS_ASSIGN(const bool still, Listed(ctx, *killer, registered->id));
    if (late.ok() || still) {
      return cannot(
          "the process list does not show a connection of the dump tools as it was registered, so "
          "it was not found and killed");
    }
    return ctx.Check();
  }

 private:
  // For OceanBase. A KILL of a session that it sends rows to comes back when these are taken, which
  // a frozen client never does; and it keeps a thread of the server as long. So a reader is asked
  // to end its statement, which comes back at once, and killed when it has none. Those that stay.
  Result<std::vector<DbConnection>> EndReaders(const Context& ctx, MysqlSession& session,
                                               std::vector<DbConnection> readers) {
    std::set<uint64_t> asked, killed;
    const auto give_up = ctx.clock().Now() + kReaderDeadline;
    while (!readers.empty()) {
      std::vector<DbConnection> there;
      for (const auto& reader : readers) {
        OMS_ASSIGN(const auto command, CommandOf(ctx, session, reader));
        if (!command) continue;
        there.push_back(reader);
        OMS_TRY(ctx.Check());
        if (*command == "Sleep") {
          if (killed.insert(reader.id).second) OMS_TRY(session.Kill(ctx, reader.id));
        } else if (asked.insert(reader.id).second) {
          OMS_TRY(session.KillQuery(ctx, reader.id));
        }
      }
      readers = std::move(there);
      if (readers.empty() || ctx.clock().Now() >= give_up) break;
      OMS_TRY(base::Pause(ctx, kPoll));
    }
    for (const auto& reader : readers) {
      OwnConnections::AddKept(ServerName(address_), reader.id, reader.address);
    }
    return readers;
  }

  const DbServerAddress address_;
  const base::Duration looking_;
};

}  // namespace

std::shared_ptr<ports::DbConnections> MakeDbConnections(const DbServerAddress& address,
                                                        base::Duration looking) {
  return std::make_shared<MysqlDbConnections>(address, looking);
}

}  // namespace oms::drivers::mysql
