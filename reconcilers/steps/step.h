// Step: all that one step of an operation is. Each is a struct in the file of its thing (ha.h,
// image.h, backup.h, ...) and one row of a table (table.h); whoever walks the steps walks the
// table.
//
//   struct DisableHa {
//     static constexpr model::Step kStep = ...;   its name and condition: model/steps.h
//     static constexpr StepLimit kLimit{...};     optional
//     static constexpr int kMostActs = ...;       optional
//     static StepState Judge(const StepInput& in);
//     static base::Status Act(const base::Context& ctx, OperationSession& op);   optional
//     static std::string Plan(const UpgradeSubject& plan);   or RollbackSubject, on the way back
//     static std::string Summary(const model::OperationRecord& record);          optional
//     static const char* LeftOut(const model::OperationRecord& record);          optional
//     static void Forgive(model::OperationRecord& record, bool at_hand);         optional
//   };
//
// Judge is pure. "Done" is seen, not remembered, as long as somebody still needs it; a step that is
// past its need is history and stays done. What runs once (stop, start, scripts) is read from the
// points of the record.
//
// Act is called when its step is Pending. It writes its intent, acts, and returns; whether the step
// is done is then seen by the next look. It never waits for long work: it starts it. It may be
// called again at any time, by any process, after a crash on either side of any of its writes.
// Without one the step is only looked at.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "crd/oms_upgrade.h"
#include "crd/reasons.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/model/steps.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/steps/operation_session.h"
#include "reconcilers/steps/plan_subject.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {

// Everything that a judge may look at.
struct StepInput {
  const crd::Spec& spec;
  const product::PathSteps& path;
  const model::OperationRecord& record;
  const model::Facts& facts;

  bool Passed(model::PointKind kind) const { return record.Passed(kind); }
  bool Seen(model::Step step) const { return record.Seen(step); }
};

// How long one try of a step that is done within the pass may take, and the field that says so. A
// step without one starts a task with a deadline of its own, or waits for the world.
struct StepLimit {
  base::Duration crd::Timeouts::*limit = nullptr;
  std::string_view field;
};

struct StepSpec {
  model::Step step;
  StepState (*judge)(const StepInput& in) = nullptr;
  base::Status (*act)(const base::Context& ctx, OperationSession& op) = nullptr;
  std::optional<StepLimit> limit;
  // Acts that leave a trace each may follow each other: so many are no act without end. 0: as many
  // as there are nodes or tries (decide/failures.cc).
  int most_acts = 0;
  // The line of a plan; one of the two.
  std::string (*plan_upgrade)(const UpgradeSubject& plan) = nullptr;
  std::string (*plan_rollback)(const RollbackSubject& plan) = nullptr;
  // What a reader wants to know of it once it is done, in a few words; empty, or null: nothing
  // beyond that.
  std::string (*summary)(const model::OperationRecord& record) = nullptr;
  // Why it is none of this operation's way, whatever is seen. Null, or nullptr: it is.
  const char* (*left_out)(const model::OperationRecord& record) = nullptr;
  // What the record counts of its failures is counted from zero again. `at_hand`: it is the step
  // that has failed.
  void (*forgive)(model::OperationRecord& record, bool at_hand) = nullptr;
};

template <typename T>
concept PlansUpgrade = requires(const UpgradeSubject& plan) {
  T::Plan(plan);
};

template <typename T>
consteval StepSpec SpecOf() {
  constexpr bool kForward = static_cast<size_t>(T::kStep) < model::kUpgradeStepCount;
  static_assert(
      PlansUpgrade<T> == kForward,
      "an upgrade's step plans with an UpgradeSubject, a rollback's with a RollbackSubject");
  StepSpec spec{T::kStep, &T::Judge};
  if constexpr (requires { &T::Act; }) spec.act = &T::Act;
  if constexpr (requires { T::kLimit; }) spec.limit = T::kLimit;
  if constexpr (requires { T::kMostActs; }) spec.most_acts = T::kMostActs;
  if constexpr (PlansUpgrade<T>) {
    spec.plan_upgrade = &T::Plan;
  } else {
    spec.plan_rollback = &T::Plan;
  }
  if constexpr (requires { &T::Summary; }) spec.summary = &T::Summary;
  if constexpr (requires { &T::LeftOut; }) spec.left_out = &T::LeftOut;
  if constexpr (requires { &T::Forgive; }) spec.forgive = &T::Forgive;
  return spec;
}

// ------------------------------------------------------------------------ what a judge says

inline StepState Done(std::string message = {}) {
  return {Verdict::kDone, crd::reason::kDone, std::move(message)};
}
inline StepState Skipped(std::string message) {
  return {Verdict::kSkipped, crd::reason::kSkipped, std::move(message)};
}
inline StepState Pending(std::string message = {}) {
  return {Verdict::kPending, crd::reason::kInProgress, std::move(message)};
}
inline StepState Running(std::string message) {
  return {Verdict::kRunning, crd::reason::kInProgress, std::move(message)};
}
inline StepState Failed(std::string reason, std::string message) {
  return {Verdict::kFailed, std::move(reason), std::move(message)};
}
// Looked at again soon, as OMS is down meanwhile.
StepState SoonReady(std::string message);

// Of the long task of a step; one that has succeeded is for the caller.
StepState FromTask(const model::TaskView& task, std::string doing);

enum class Which { kAll, kReplaced, kKept };

// Runs `judge` for each of these nodes and keeps the first answer that is not "done".
template <typename F>
StepState EachOf(const StepInput& in, Which which, F judge) {
  for (const auto& frozen : in.record.nodes) {
    if (which != Which::kAll && frozen.keeps_running != (which == Which::kKept)) continue;
    const model::NodeFacts* facts = in.facts.Node(frozen.name);
    if (facts == nullptr || !facts->engine)
      return Running("waiting for the engine of node " + frozen.name);
    if (StepState state = judge(frozen, *facts); !state.complete()) return state;
  }
  return Done();
}

// Each node whose container is replaced: all of them, but for components that keep running.
template <typename F>
StepState EachNode(const StepInput& in, F judge) {
  return EachOf(in, Which::kReplaced, std::move(judge));
}

// Names of containers for a summary: "oms_431"; of several nodes "oms_431 on a, oms_431 on b". Of
// the containers that are replaced, or of the components that go on.
std::string NamesOf(const model::OperationRecord& record, std::string model::FrozenNode::*name,
                    bool kept = false);

}  // namespace oms::steps
