#include "reconcilers/steps/ends.h"

#include <algorithm>
#include <map>

#include "crd/reasons.h"
#include "reconcilers/model/labels.h"
#include "reconcilers/oms/ha_config.h"
#include "reconcilers/steps/ha.h"

namespace oms::steps {

namespace {

// One that ended before OMS was touched has cost nobody anything, so it is no turn of two sources
// that fight: its beginning and its turns are not counted (`recent` ends with them).
void ForgetIfUntouched(model::OperationRecord& record) {
  if (record.TouchedOms()) return;
  const size_t own = 1 + (record.undoes ? 0 : record.turns.size());
  record.recent.resize(record.recent.size() - std::min(own, record.recent.size()));
}

constexpr base::Duration kRemoveWithin = std::chrono::seconds(10);

// What held them may be gone by now. Those that cannot be removed even so are told as left.
std::map<std::string, std::string> StillDead(const base::Context& ctx, OperationSession& op) {
  std::map<std::string, std::string> left;
  for (const auto& [node, name] : op.record().dead_containers) {
    const model::NodeFacts* facts = op.facts().Node(node);
    if (facts == nullptr || !facts->new_container) continue;
    const auto removed =
        op.engine(node).Remove(ctx.WithTimeout(kRemoveWithin), facts->new_container->id, false);
    if (!removed.ok() && !removed.Is(base::Code::kNotFound)) left[node] = name;
  }
  return left;
}

// A process that has died may have left one. OMS is up, so nothing waits for it.
void RemoveLeftHelpers(const base::Context& ctx, OperationSession& op) {
  const base::Context soon = ctx.WithTimeout(kRemoveWithin);
  for (const auto& node : op.record().nodes) {
    ports::ContainerEngine& engine = op.engine(node.name);
    const auto made = engine.ListByLabel(soon, model::labels::kOperation, op.record().id);
    if (!made.ok()) {
      ctx.log().Warn("helper containers were not looked for: {}", made.error().message);
      continue;
    }
    for (const auto& container : *made) {
      const auto role = container.labels.find(model::labels::kRole);
      if (role == container.labels.end() || role->second != "helper") continue;
      const auto removed = engine.Remove(soon, container.id, true);
      if (!removed.ok() && !removed.Is(base::Code::kNotFound))
        ctx.log().Warn("the helper container '{}' is left: {}", container.name,
                       removed.error().message);
    }
  }
}

}  // namespace

base::Status TurnBack(const base::Context& ctx, OperationSession& op, const std::string& why,
                      const model::ResourceMark& resource) {
  const base::WallTime now = ctx.clock().Wall();
  return op.Save(ctx, [&](model::OperationRecord& record) {
    record.direction = model::Direction::kRollback;
    record.turns.push_back({model::Direction::kRollback, why, now});
    record.recent.push_back(now);
    record.failure.reset();
    record.handled = record.latched = resource;
  });
}

base::Status CloseOperation(const base::Context& ctx, OperationSession& op,
                            const model::ResourceMark& resource) {
  const base::WallTime now = ctx.clock().Wall();
  OMS_TRY(ctx.Check());
  const auto dead = StillDead(ctx, op);
  // On the way back the stop of what was new has seen to them.
  if (op.record().direction == model::Direction::kUpgrade) RemoveLeftHelpers(ctx, op);
  return op.Save(ctx, [&](model::OperationRecord& record) {
    const bool back = record.direction == model::Direction::kRollback;
    record.dead_containers = dead;
    record.outcome =
        back ? model::OperationOutcome::kRolledBack : model::OperationOutcome::kSucceeded;
    record.outcome_reason = back && !record.turns.empty() ? record.turns.back().why
                                                          : std::string(crd::reason::kSucceeded);
    record.ended = now;
    ForgetIfUntouched(record);
    // Of one that was turned it is the turn that counts: an edit since asks for a new one.
    if (!back) record.latched = resource;
  });
}

base::Result<bool> CallOffUndo(const base::Context& ctx, OperationSession& op,
                               const std::string& why, const model::ResourceMark& resource) {
  if (op.record().Passed(model::PointKind::kHaDisabling)) {
    OMS_TRY(PutHaBack(ctx, op));
    // Seen to be on again before the operation ends.
    const bool manual = op.spec().ha.control == crd::HaControl::kManual;
    if (op.facts().meta && op.facts().meta->ha_raw && !manual) {
      OMS_ASSIGN(const product::HaState ha, product::ReadHa(*op.facts().meta->ha_raw));
      if (!ha.enabled) return false;
    }
  }
  const base::WallTime now = ctx.clock().Wall();
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
    record.outcome = model::OperationOutcome::kCalledOff;
    record.outcome_reason = why;
    record.ended = now;
    record.latched = resource;
    ForgetIfUntouched(record);
  }));
  return true;
}

void MarkAbandoned(model::OperationRecord& record, const model::ResourceMark& resource,
                   base::WallTime now) {
  record.outcome = model::OperationOutcome::kAbandoned;
  record.outcome_reason = crd::reason::kAbandoned;
  record.ended = now;
  record.latched = resource;
}

base::Status AbandonOperation(const base::Context& ctx, OperationSession& op,
                              const model::ResourceMark& resource) {
  const base::WallTime now = ctx.clock().Wall();
  return op.Save(ctx,
                 [&](model::OperationRecord& record) { MarkAbandoned(record, resource, now); });
}

}  // namespace oms::steps
