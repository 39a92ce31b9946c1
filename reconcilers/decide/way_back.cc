#include "reconcilers/decide/way_back.h"

#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"
#include "reconcilers/model/labels.h"

namespace oms::decide {
namespace {

// What a succeeded upgrade has left of one node.
enum class LeftOn { kNew, kOldThatStands, kSomethingElse };

LeftOn LookAtWhatIsLeft(const model::OperationRecord& upgrade, const model::FrozenNode& was,
                        const observe::SiteNode& node) {
  const ports::ContainerInfo* old =
      node.named && node.named->id == was.old_id ? &*node.named : nullptr;
  for (const auto& container : node.labelled) {
    const auto label = container.labels.find(model::labels::kOperation);
    if (label != container.labels.end() && label->second == upgrade.id) return LeftOn::kNew;
    if (container.id == was.old_id) old = &container;
  }
  const bool stands = old != nullptr && !old->running && old->started_at == was.old_started_at;
  return stands ? LeftOn::kOldThatStands : LeftOn::kSomethingElse;
}

}  // namespace

const model::OperationRecord* RunsNewOf(const observe::Site& site) {
  if (!site.way_back) return nullptr;
  const auto& frozen = site.way_back->nodes;
  if (frozen.size() != site.nodes.size()) return nullptr;
  // On every node, and by the container, not merely by its version.
  const bool its =
      std::all_of(site.nodes.begin(), site.nodes.end(), [&](const observe::SiteNode& node) {
        const ports::ContainerInfo* current = node.Current();
        const model::FrozenNode* was = site.way_back->Node(node.name);
        if (current == nullptr || was == nullptr) return false;
        if (was->keeps_running) return current->id == was->old_id;
        const auto label = current->labels.find(model::labels::kOperation);
        return label != current->labels.end() && label->second == site.way_back->id;
      });
  return its ? site.way_back.get() : nullptr;
}

const model::OperationRecord* NewContainerGoneOf(const observe::Site& site) {
  if (!site.way_back || site.way_back->nodes.size() != site.nodes.size()) return nullptr;
  bool gone = false;
  for (const auto& node : site.nodes) {
    const model::FrozenNode* was = site.way_back->Node(node.name);
    if (was == nullptr) return nullptr;
    if (was->keeps_running) continue;
    const LeftOn left = LookAtWhatIsLeft(*site.way_back, *was, node);
    if (left == LeftOn::kSomethingElse) return nullptr;
    gone = gone || left == LeftOn::kOldThatStands;
  }
  return gone ? site.way_back.get() : nullptr;
}

// To start the old one would put the old version on databases of the new.
Decision NewContainerGone(const model::OperationRecord& upgraded, const observe::Site& site,
                          const crd::Strategy& strategy) {
  std::string gone, old;
  for (const auto& node : site.nodes) {
    const model::FrozenNode& was = *upgraded.Node(node.name);
    if (was.keeps_running || LookAtWhatIsLeft(upgraded, was, node) != LeftOn::kOldThatStands)
      continue;
    gone += fmt::format("{}'{}' of node {}", gone.empty() ? "" : ", ", was.new_name, node.name);
    old += fmt::format("{}'{}'", old.empty() ? "" : ", ", was.old_name);
  }
  const bool ignored = strategy.on_version_revert == crd::OnVersionRevert::kIgnore;
  return Decision{
      Decision::Kind::kStall, model::Step::kPreflight, crd::reason::kNewContainerGone,
      fmt::format("container {}, which ran OMS {}, is gone, and the databases are those of {}: {} "
                  "must not be started on them. Set {}spec.version to {} to roll back to the data "
                  "from before the upgrade; or run {} again from its image with the same settings, "
                  "and write its name in spec.nodes[].container.name",
                  gone, upgraded.to, upgraded.to, old,
                  ignored ? "spec.strategy.onVersionRevert to Rollback and " : "", upgraded.from,
                  upgraded.to),
      kLookAgainAtTrouble};
}

}  // namespace oms::decide
