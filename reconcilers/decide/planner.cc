#include "reconcilers/decide/planner.h"

#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"

namespace oms::decide {
namespace {

using Kind = Decision::Kind;

// A hold between HA off and the stop that lasts longer than this puts HA back.
constexpr base::Duration kMaxHoldWithHaOff = std::chrono::minutes(5);
constexpr base::Duration kFirstBackoff = std::chrono::seconds(2);
constexpr base::Duration kMaxBackoff = std::chrono::minutes(2);
// More operations and turns than this within the hour are two sources that fight.
constexpr size_t kMaxFlaps = 3;
constexpr base::Duration kFlapHour = std::chrono::hours(1);

std::string Reason(const steps::StepState& state) {
  return state.reason.empty() ? crd::reason::kProgressing : state.reason;
}

bool WantsVersion(const UserRequests& requests, const crd::Version& version) {
  return requests.version.ok() && *requests.version == version;
}

bool BeforeTheStop(const model::OperationRecord& record) {
  return !record.Passed(model::PointKind::kStopping);
}

// ------------------------------------------------------------------------------------ why to turn

// A revert, a deletion, or a third version before the stop: whatever the state of the steps is.
std::optional<Decision> TurnAsAsked(const crd::Spec& spec, const model::OperationRecord& record,
                                    const UserRequests& requests) {
  const auto turn = [&](const char* why, const std::string& because) {
    return Decision{
        Kind::kTurn, model::Step::kVerifyBackups, why,
        fmt::format("{}; the upgrade from {} to {} is rolled back{}", because, record.from,
                    record.to, BeforeTheStop(record) ? ", nothing was stopped yet" : "")};
  };
  if (requests.deleting) return turn(crd::reason::kDeleted, "the resource is being deleted");
  const auto& wanted = requests.version;
  if (!wanted.ok() || *wanted == record.to) return std::nullopt;
  const std::string asks = "spec.version asks for " + wanted->ToString();
  if (*wanted == record.from) {
    if (spec.strategy.on_version_revert == crd::OnVersionRevert::kIgnore) return std::nullopt;
    return turn(crd::reason::kVersionReverted, asks);
  }
  if (BeforeTheStop(record)) return turn(crd::reason::kSuperseded, asks);
  return std::nullopt;
}

// The spec asks for a version that the open operation neither came from nor goes to.
bool WantsThird(const UserRequests& requests, const model::OperationRecord& record) {
  return requests.version.ok() && !WantsVersion(requests, record.to) &&
         !WantsVersion(requests, record.from);
}

// A step has failed for good: does the policy, or a third version that waits, turn it back?
std::optional<Decision> TurnAfterFailure(const crd::Spec& spec,
                                         const model::OperationRecord& record,
                                         const UserRequests& requests, model::Step step,
                                         const std::string& why, bool by_policy) {
  const bool third = WantsThird(requests, record);
  by_policy = by_policy && spec.strategy.on_failure == crd::OnFailure::kRollback;
  if (step == model::Step::kPreflight || !(third || by_policy)) return std::nullopt;
  return Decision{
      Kind::kTurn, step, third ? crd::reason::kSuperseded : crd::reason::kFailurePolicy,
      fmt::format("{}, so the upgrade from {} to {} is rolled back{}", why, record.from, record.to,
                  third ? "; then " + requests.version->ToString() + " starts" : "")};
}

// ------------------------------------------------------------------------------------------- gates

// The step before which the window is asked: HA off. Where that is nothing of ours (HA is off
// already, or a person switches it), the stop itself.
bool BeginsDowntime(const crd::Spec& spec, const model::OperationRecord& record, model::Step step) {
  if (step == model::Step::kDisableHa) return true;
  return step == model::Step::kStopContainers && BeforeTheStop(record) &&
         (!record.ha_was_on || spec.ha.control == crd::HaControl::kManual);
}

// What stands before a step, asked in the order of precedence. Nullopt: go on.
std::optional<Decision> Gate(const crd::Spec& spec, const model::OperationRecord& record,
                             const UserRequests& requests, model::Step step) {
  const bool back = record.direction == model::Direction::kRollback;
  // A restore goes to its end; a deletion that rolls back is not held up by anything.
  if (record.Passed(model::PointKind::kFirstDrop) || requests.deleting) return std::nullopt;
  if (!back && !requests.version.ok()) {
    const base::Error& error = requests.version.error();
    return Decision{Kind::kStall, step, error.reason, error.message};
  }
  // A revert outranks suspend: who is held in the middle can always go back.
  const bool reverted = back && WantsVersion(requests, record.from);
  if (spec.suspend && !reverted) {
    return Decision{Kind::kHold, step, crd::reason::kSuspended,
                    fmt::format("suspended before {}; set spec.suspend to false to continue",
                                model::NameOf(step))};
  }
  if (spec.mode == crd::Mode::kPlan && !reverted) {
    return Decision{Kind::kHold, step, crd::reason::kPlanned,
                    fmt::format("paused before {}: spec.mode is Plan, so nothing is changed; set "
                                "it to Apply to continue",
                                model::NameOf(step))};
  }
  if (back || !BeginsDowntime(spec, record, step)) return std::nullopt;
  if (!requests.window_open) {
    return Decision{Kind::kHold, step, crd::reason::kOutsideWindow, requests.window_message,
                    std::chrono::minutes(1)};
  }
  // What was approved is what was begun; an edit since (of the image, ...) makes another plan of
  // it.
  if (spec.approval == crd::Approval::kManual && !requests.plan_hash.empty() &&
      requests.plan_hash != record.plan_hash && requests.approve != requests.plan_hash) {
    return Decision{Kind::kHold, step, crd::reason::kAwaitingApproval,
                    fmt::format("the plan has changed since the operation began (status.plan); to "
                                "continue, annotate the resource with {}={}",
                                crd::kApprove, requests.plan_hash)};
  }
  return std::nullopt;
}

// HA is off, OMS still runs, and nothing goes on.
bool HeldTooLongWithHaOff(const model::OperationRecord& record, const model::Facts& facts) {
  if (!record.ha_was_on || !record.Passed(model::PointKind::kHaDisabling) || !BeforeTheStop(record))
    return false;
  // A component that is half upgraded is not to be met by HA.
  if (record.Passed(model::PointKind::kComponentUpgrading)) return false;
  const auto last = record.PassedAt(model::PointKind::kHaDisabling, "");
  return last && facts.now - *last > kMaxHoldWithHaOff;
}

bool HaIsOff(const steps::State& state) {
  return steps::At(state, model::Step::kDisableHa).verdict == steps::Verdict::kDone;
}

// --------------------------------------------------------------------------------------- failures

bool MayRetry(const crd::Spec& spec, const model::OperationRecord& record,
              const steps::StepState& state, const FailureCount& failures) {
  const bool by_policy = record.direction == model::Direction::kUpgrade &&
                         spec.strategy.on_failure == crd::OnFailure::kRetry &&
                         !state.attempt.empty();
  const int most = std::max(spec.strategy.max_retries, state.retries_at_least);
  return (state.retryable || by_policy) && failures.failures <= most;
}

Decision AfterFailure(const crd::Spec& spec, const model::OperationRecord& record,
                      const UserRequests& requests, model::Step step, const steps::StepState& state,
                      const FailureCount& failures, const model::Facts& facts, double random) {
  if (step == model::Step::kPreflight) {
    // Looked at again by itself, so that a world that was mended goes on without a touch of the
    // resource.
    return {Kind::kStall, step, Reason(state), state.message, kLookAgainAtTrouble};
  }
  if (MayRetry(spec, record, state, failures)) {
    const base::Duration pause =
        base::Backoff(kFirstBackoff, kMaxBackoff, std::max(0, failures.failures - 1), random);
    const auto due = failures.last + pause;
    if (!requests.look_now && facts.steady_now < due) {
      return {
          Kind::kWait, step, crd::reason::kProgressingWithRetry, state.message,
          std::chrono::duration_cast<base::Duration>(due - facts.steady_now) + base::Duration(1)};
    }
    return {Kind::kRun, step, crd::reason::kProgressingWithRetry, state.message};
  }
  if (record.direction == model::Direction::kUpgrade) {
    // The databases of an OMS that somebody runs again are not what the policy may turn back.
    const bool by_policy = Reason(state) != crd::reason::kOldContainerStarted;
    const std::string why = fmt::format("{} failed ({})", model::NameOf(step), state.message);
    if (auto turn = TurnAfterFailure(spec, record, requests, step, why, by_policy))
      return *std::move(turn);
  }
  // OMS is down, mostly. What a person has mended is seen before that person looks here again.
  return {Kind::kStall, step, Reason(state), state.message, kLookAgainAtTrouble};
}

// spec.strategy.progressDeadline: of the downtime, held time not counted (an edit counts anew). It
// never ends a rollback, past the upgrade script it only pauses, and what is left once OMS is
// healthy is not late: HA is switched on, or a person is waited for who switches it.
std::optional<Decision> PastDeadline(const crd::Spec& spec, const model::OperationRecord& record,
                                     const UserRequests& requests, model::Step step,
                                     const model::Facts& facts) {
  const auto stopped = record.PassedAt(model::PointKind::kStopping, "");
  if (record.direction == model::Direction::kRollback || !stopped ||
      step == model::Step::kEnableHa || spec.suspend) {
    return std::nullopt;
  }
  const base::WallTime since = std::max(*stopped, record.progress_since.value_or(*stopped));
  if (facts.now - since <= spec.strategy.progress_deadline) return std::nullopt;
  const std::string late = fmt::format(
      "{} is not finished {} after the upgrade stopped OMS (spec.strategy.progressDeadline)",
      model::NameOf(step), base::FormatDuration(spec.strategy.progress_deadline));
  const bool past_script = record.Seen(model::Step::kRunUpgradeScript);
  if (auto turn = TurnAfterFailure(spec, record, requests, step, late, !past_script))
    return *std::move(turn);
  return Decision{Kind::kStall, step, crd::reason::kDeadlineExceeded,
                  fmt::format("{}; revert spec.version to {} to roll back, or set annotation {} to "
                              "a new value to allow the same time again",
                              late, record.from, crd::kResetAt),
                  kLookAgainAtTrouble};
}

// ------------------------------------------------------------------------------------ calling off

// An undo that was asked for by mistake, or that cannot be done: until RollbackStopping nothing of
// OMS is touched but HA. (A rollback of an open upgrade goes to its end: OMS may be down.)
bool CalledOff(const model::OperationRecord& record, const UserRequests& requests) {
  return record.undoes && !record.Passed(model::PointKind::kRollbackStopping) &&
         !requests.deleting && WantsVersion(requests, record.to);
}

// ---------------------------------------------------------------------------- no operation is open

bool Flaps(const IdleInput& idle) {
  return idle.last != nullptr && RecentOnly(idle.last->recent, idle.now).size() > kMaxFlaps;
}

Decision AwaitApproval(const IdleInput& idle, const std::string& because) {
  return {
      Kind::kHold, model::Step::kPreflight, crd::reason::kAwaitingApproval,
      fmt::format("{}; to start it, annotate the resource with {}={}{}{}", because, crd::kApprove,
                  idle.plan_hash, idle.plan_text.empty() ? "" : ". ", idle.plan_text)};
}

// What holds any operation before it is opened. Nullopt: open it.
std::optional<Decision> HeldBeforeOpening(const crd::Spec& spec, const IdleInput& idle,
                                          const UserRequests& requests, bool undo) {
  const char* what = undo ? "the rollback" : "the upgrade";
  if (spec.suspend) {
    return Decision{
        Kind::kHold, model::Step::kPreflight, crd::reason::kSuspended,
        fmt::format("{} is suspended before its start; set spec.suspend to false to continue",
                    what)};
  }
  if (spec.mode == crd::Mode::kPlan) {
    return Decision{Kind::kHold, model::Step::kPreflight, crd::reason::kPlanned,
                    fmt::format("{} is planned (status.plan); spec.mode is Plan, so nothing is "
                                "changed; set it to Apply to continue",
                                what)};
  }
  const bool approved = !idle.plan_hash.empty() && requests.approve == idle.plan_hash;
  if (approved) return std::nullopt;
  if (Flaps(idle)) {
    return AwaitApproval(idle, fmt::format("{} would be one of more than {} operations within an "
                                           "hour; check whether two sources edit spec.version",
                                           what, kMaxFlaps));
  }
  if (spec.approval == crd::Approval::kManual) {
    return AwaitApproval(
        idle, fmt::format("{} waits for approval (status.plan shows what it would do)", what));
  }
  if (undo && idle.way_back->ended &&
      idle.now - *idle.way_back->ended > spec.strategy.rollback_window) {
    return AwaitApproval(
        idle,
        fmt::format("the upgrade to {} succeeded more than {} ago, so a rollback needs approval",
                    idle.way_back->to, base::FormatDuration(spec.strategy.rollback_window)));
  }
  return std::nullopt;
}

Decision DecideUndo(const crd::Spec& spec, const IdleInput& idle, const UserRequests& requests) {
  if (auto held = HeldBeforeOpening(spec, idle, requests, true)) return *std::move(held);
  return {Kind::kOpenUndo, model::Step::kVerifyBackups, crd::reason::kVersionReverted,
          fmt::format("spec.version asks for {}, from which OMS was upgraded to {}",
                      idle.way_back->from, idle.way_back->to)};
}

Decision Refused(const IdleInput& idle, const UserRequests& requests) {
  std::string possible = idle.running.ToString() + " or higher";
  if (idle.way_back != nullptr) {
    const bool ignored = WantsVersion(requests, idle.way_back->from);
    possible += ignored
                    ? std::string(
                          ", or spec.strategy.onVersionRevert to Rollback: with Ignore the last "
                          "upgrade is not rolled back")
                    : fmt::format(", or to {} to roll back the last upgrade", idle.way_back->from);
  }
  return {
      Kind::kStall, model::Step::kPreflight, crd::reason::kDowngradeRefused,
      fmt::format("OMS runs {}, but spec.version asks for the lower {}; OMS cannot be downgraded "
                  "in place, and only the last upgrade can be rolled back. Set spec.version to {}",
                  idle.running.ToString(), requests.version->ToString(), possible)};
}

}  // namespace

std::optional<Decision> Latched(const IdleInput& idle, const UserRequests& requests) {
  if (idle.last == nullptr || idle.last->latched != requests.resource) return std::nullopt;
  const model::OperationRecord& last = *idle.last;
  const std::string how = fmt::format(
      "to start again, edit the resource or set annotation {} to a new value", crd::kResetAt);
  const auto held = [&](const char* why, const std::string& message) {
    return Decision{Kind::kStall, model::Step::kPreflight, why,
                    fmt::format("{}; nothing starts automatically: {}", message, how)};
  };
  if (last.outcome == model::OperationOutcome::kAbandoned) {
    return held(
        crd::reason::kAbandoned,
        fmt::format("the operation from {} to {} was abandoned{}; status.followUps lists what it "
                    "left behind, its record and its backups are in {}",
                    last.from, last.to,
                    last.Passed(model::PointKind::kStopping) ? " after OMS was stopped" : "",
                    last.folder));
  }
  if (!WantsVersion(requests, last.to) || WantsVersion(requests, idle.running)) return std::nullopt;
  if (last.outcome == model::OperationOutcome::kRolledBack &&
      last.outcome_reason == crd::reason::kFailurePolicy) {
    return held(crd::reason::kRolledBackAfterFailure,
                fmt::format("the upgrade from {} to {} failed and was rolled back; OMS runs {}",
                            last.from, last.to, idle.running.ToString()));
  }
  if (last.outcome == model::OperationOutcome::kSucceeded) {
    return held(crd::reason::kVersionDiffers,
                fmt::format("OMS was upgraded to {} by this controller, and runs {} now", last.to,
                            idle.running.ToString()));
  }
  return std::nullopt;
}

bool WantsUpgrade(const UserRequests& requests, const crd::Version& running) {
  return requests.version.ok() && *requests.version > running;
}

bool WantsUndo(const crd::Spec& spec, const IdleInput& idle, const UserRequests& requests) {
  return idle.way_back != nullptr &&
         spec.strategy.on_version_revert == crd::OnVersionRevert::kRollback &&
         WantsVersion(requests, idle.way_back->from) && !WantsVersion(requests, idle.running);
}

std::vector<base::WallTime> RecentOnly(std::vector<base::WallTime> times, base::WallTime now) {
  std::erase_if(times, [&](base::WallTime time) { return now - time > kFlapHour; });
  return times;
}

Decision DecideWithoutOperation(const crd::Spec& spec, const IdleInput& idle,
                                const UserRequests& requests) {
  const auto& wanted = requests.version;
  if (!wanted.ok())
    return {Kind::kStall, model::Step::kPreflight, wanted.error().reason, wanted.error().message};
  if (auto latched = Latched(idle, requests)) return *std::move(latched);
  if (*wanted == idle.running)
    return {Kind::kIdle, model::Step::kPreflight, crd::reason::kUpToDate,
            "OMS runs version " + idle.running.ToString()};
  if (WantsUndo(spec, idle, requests)) return DecideUndo(spec, idle, requests);
  if (*wanted < idle.running) return Refused(idle, requests);
  if (idle.preflight == nullptr)
    return {Kind::kWait, model::Step::kPreflight, crd::reason::kProgressing, "looking",
            base::Duration(0)};
  switch (idle.preflight->verdict) {
    case steps::Verdict::kFailed:
      return {Kind::kStall, model::Step::kPreflight, Reason(*idle.preflight),
              idle.preflight->message, kLookAgainAtTrouble};
    case steps::Verdict::kRunning:
    case steps::Verdict::kPending:
      return {Kind::kWait, model::Step::kPreflight, crd::reason::kProgressing,
              idle.preflight->message, idle.preflight->look_again};
    case steps::Verdict::kDone:
    case steps::Verdict::kSkipped: break;
  }
  if (auto held = HeldBeforeOpening(spec, idle, requests, false)) return *std::move(held);
  return {Kind::kOpen, model::Step::kPreflight, crd::reason::kProgressing, "preflight passed"};
}

std::optional<Decision> TurnOnToken(const model::OperationRecord& record,
                                    const steps::State& state) {
  if (record.direction == model::Direction::kRollback) return std::nullopt;
  for (const model::StepInfo& info : model::StepsOf(record.direction)) {
    const steps::StepState& at = steps::At(state, info.step);
    if (at.complete()) continue;
    const std::string& why = at.reason;
    if (at.verdict != steps::Verdict::kFailed ||
        (why != crd::reason::kScriptFailed && why != crd::reason::kScriptOutcomeUnknown &&
         why != crd::reason::kNewContainerDied)) {
      return std::nullopt;
    }
    return Decision{
        Kind::kTurn, info.step, crd::reason::kRetryRequested,
        fmt::format("annotation {} asks for a retry after {}: what ran once is not run again, so "
                    "the upgrade from {} to {} is rolled back, and then starts again",
                    crd::kResetAt, why, record.from, record.to)};
  }
  return std::nullopt;
}

Decision Decide(const crd::Spec& spec, const model::OperationRecord& record,
                const steps::State& state, const model::Facts& facts, const UserRequests& requests,
                const FailureCount& failures, double random) {
  const bool back = record.direction == model::Direction::kRollback;
  if (!back) {
    if (auto turn = TurnAsAsked(spec, record, requests)) return *std::move(turn);
  }
  if (CalledOff(record, requests)) {
    return {Kind::kCallOff, model::Step::kRestoreHa, crd::reason::kSuperseded,
            fmt::format("spec.version asks for {} again before OMS was stopped: the rollback to {} "
                        "is cancelled",
                        record.to, record.from)};
  }
  const auto steps = model::StepsOf(record.direction);
  for (const model::StepInfo& info : steps) {
    const steps::StepState& at = steps::At(state, info.step);
    if (at.complete()) continue;
    Decision decision;
    if (const auto gate = Gate(spec, record, requests, info.step);
        gate && at.verdict != steps::Verdict::kRunning) {
      decision = *gate;
    } else if (auto late = PastDeadline(spec, record, requests, info.step, facts)) {
      decision = *std::move(late);
    } else if (at.reason == crd::reason::kAwaitingHaSwitch) {
      // Nothing is under way: a person is waited for, and told so once.
      decision = {Kind::kHold, info.step, at.reason, at.message, at.look_again};
    } else if (at.verdict == steps::Verdict::kRunning) {
      decision = {Kind::kWait, info.step, crd::reason::kProgressing, at.message, at.look_again};
    } else if (at.verdict == steps::Verdict::kFailed) {
      decision = AfterFailure(spec, record, requests, info.step, at, failures, facts, random);
    } else {
      return {Kind::kRun, info.step, crd::reason::kProgressing, at.message};
    }
    if (decision.kind == Kind::kWait && WantsThird(requests, record)) {
      decision.message +=
          fmt::format("{}then {} starts, for which spec.version asks now",
                      decision.message.empty() ? "" : "; ", requests.version->ToString());
    }
    if (!back && spec.ha.control == crd::HaControl::kAuto && HeldTooLongWithHaOff(record, facts) &&
        HaIsOff(state) && decision.kind != Kind::kRun && decision.kind != Kind::kTurn) {
      return {Kind::kRestoreHa, info.step, decision.reason, decision.message};
    }
    // What could not be looked at past preflight: say so, and look again.
    if (decision.kind == Kind::kWait && !facts.troubles.empty() &&
        info.step != model::Step::kPreflight) {
      decision.reason = facts.troubles.front().reason;
      decision.message = facts.troubles.front().message;
    }
    return decision;
  }
  return {Kind::kClose, steps.back().step,
          back ? crd::reason::kRolledBackByRequest : crd::reason::kSucceeded,
          back ? fmt::format("rolled back from {} to {}", record.to, record.from)
               : fmt::format("upgraded from {} to {}", record.from, record.to)};
}

}  // namespace oms::decide
