#include "reconcilers/decide/place.h"

#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"

namespace oms::decide {
namespace {

Decision Refuse(std::string reason, std::string message) {
  return {Decision::Kind::kStall, model::Step::kPreflight, std::move(reason), std::move(message),
          kLookAgainAtTrouble};
}

}  // namespace

std::optional<Decision> CheckSamePlace(const model::OperationRecord& record,
                                       const observe::Site& site) {
  for (const auto& frozen : record.nodes) {
    const bool listed = std::any_of(site.nodes.begin(), site.nodes.end(),
                                    [&](const auto& node) { return node.name == frozen.name; });
    if (listed) continue;
    return Refuse(crd::reason::kNodesChanged,
                  fmt::format("the open operation began on node '{}', which spec.nodes no longer "
                              "lists; add it again (container '{}')",
                              frozen.name, frozen.old_name));
  }
  for (const auto& node : site.nodes) {
    const model::FrozenNode* frozen = record.Node(node.name);
    if (frozen == nullptr || frozen->engine_id == node.info.id) continue;
    return Refuse(crd::reason::kWrongEngine,
                  fmt::format("node {}: the engine (id {}) is not the one on which the open "
                              "operation began (id {}); correct spec.nodes[].engine",
                              node.name, node.info.id, frozen->engine_id));
  }
  for (const auto& database : record.databases) {
    const auto& reached = database.role == "rm" ? site.server : site.cm_server;
    if (!reached || database.server == reached->identity) continue;
    return Refuse(crd::reason::kWrongMetaDb,
                  fmt::format("the MetaDB{} ({}) is not the one on which the open operation began "
                              "({}); correct spec.metaDB{}.connect",
                              site.meta.separate() ? " for " + database.name : "",
                              reached->identity, database.server,
                              !site.meta.separate()   ? ""
                              : database.role == "rm" ? ".rm"
                                                      : ".cm"));
  }
  return std::nullopt;
}

Decision OwnedByAnother(const std::string& oms, const ports::Owner& owner, const ports::Owner& me) {
  return Refuse(
      crd::reason::kOwnedByAnother,
      fmt::format("this OMS (database {}) is owned by OmsUpgrade {}{}; delete that resource, or "
                  "annotate this one with {}={} if that resource no longer exists",
                  oms, owner.object, owner.cluster == me.cluster ? "" : " of another cluster",
                  crd::kTakeOver, owner.object));
}

}  // namespace oms::decide
