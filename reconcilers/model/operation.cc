#include "reconcilers/model/operation.h"

#include <algorithm>

namespace oms::model {

OperationRecord::OperationRecord() = default;
OperationRecord::OperationRecord(const OperationRecord&) = default;
OperationRecord::OperationRecord(OperationRecord&&) noexcept = default;
OperationRecord& OperationRecord::operator=(const OperationRecord&) = default;
OperationRecord& OperationRecord::operator=(OperationRecord&&) noexcept = default;
OperationRecord::~OperationRecord() = default;

bool OperationRecord::Passed(PointKind kind) const {
  return std::any_of(points.begin(), points.end(), [&](const Point& p) { return p.kind == kind; });
}

bool OperationRecord::Passed(PointKind kind, const std::string& node) const {
  return std::any_of(points.begin(), points.end(),
                     [&](const Point& p) { return p.kind == kind && p.node == node; });
}

bool OperationRecord::TouchedOms() const {
  // The points of an undo begin with those of the upgrade that it undoes, but for HA's.
  const bool stopped = undoes
                           ? Passed(PointKind::kRollbackStopping)
                           : Passed(PointKind::kStopping) || Passed(PointKind::kComponentUpgrading);
  return stopped || Passed(PointKind::kHaDisabling);
}

int OperationRecord::LastAttempt(PointKind kind, const std::string& node,
                                 std::optional<Step> step) const {
  int last = 0;
  for (const auto& p : points) {
    if (p.kind == kind && p.node == node && p.step == step) last = std::max(last, p.attempt);
  }
  return last;
}

StepProgress OperationRecord::Progress(Step step) const {
  const auto found = steps.find(step);
  return found == steps.end() ? StepProgress{} : found->second;
}

DatabaseRestore OperationRecord::Restore(const std::string& database) const {
  const auto found = restores.find(database);
  return found == restores.end() ? DatabaseRestore{} : found->second;
}

std::optional<base::WallTime> OperationRecord::PassedAt(PointKind kind,
                                                        const std::string& node) const {
  std::optional<base::WallTime> last;
  for (const auto& p : points) {
    if (p.kind == kind && p.node == node) last = last ? std::max(*last, p.at) : p.at;
  }
  return last;
}

const FrozenNode& OperationRecord::ScriptNode() const {
  const auto found = std::find_if(nodes.begin(), nodes.end(), [](const FrozenNode& node) {
    return node.role != crd::NodeRole::kComponent;
  });
  return found == nodes.end() ? nodes.front() : *found;
}

bool OperationRecord::KeepsTasks() const {
  return std::any_of(nodes.begin(), nodes.end(),
                     [](const FrozenNode& node) { return node.keeps_running; });
}

bool OperationRecord::ComponentUpgraded(const FrozenNode& node) const {
  const auto done = components.find(node.name);
  return done != components.end() && done->second.container_id == node.old_id &&
         done->second.version == to;
}

bool OperationRecord::ConfigEditedInPlace(const FrozenNode& node) const {
  const auto rewritten = config_rewrites.find(node.name);
  return rewritten != config_rewrites.end() && rewritten->second.path == node.config_source;
}

bool OperationRecord::MeantConfig(const std::string& node, const std::string& sha256) const {
  const auto written = config_rewrites.find(node);
  if (written != config_rewrites.end() && written->second.sha256 == sha256) return true;
  const auto meant = config_meant.find(node);
  return meant != config_meant.end() &&
         std::find(meant->second.begin(), meant->second.end(), sha256) != meant->second.end();
}

const FrozenNode* OperationRecord::Node(std::string_view name) const {
  for (const auto& node : nodes) {
    if (node.name == name) return &node;
  }
  return nullptr;
}

std::string OperationRecord::Database(std::string_view role) const {
  for (const auto& db : databases) {
    if (db.role == role) return db.name;
  }
  return {};
}

std::optional<OperationRef> OperationRecord::WayBack() const {
  if (outcome == OperationOutcome::kSucceeded) return OperationRef{id, folder};
  const bool maybe_not_undone =
      outcome == OperationOutcome::kCalledOff || outcome == OperationOutcome::kAbandoned;
  return maybe_not_undone && undoes ? undoes : previous;
}

}  // namespace oms::model
