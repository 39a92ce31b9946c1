#include "reconcilers/decide/failures.h"

#include <fmt/format.h>

#include "crd/reasons.h"
#include "reconcilers/steps/table.h"

namespace oms::decide {
namespace {

// The first act may have changed what only the engine or the MetaDB shows, so that the second is
// right to follow; the same words after that one too mean that nothing moves.
constexpr int kMostIdleActs = 2;

// Acts that leave a trace each may follow each other: one for each node, tries of a dump or a load.
int MostActs(const model::OperationRecord& record, model::Step step) {
  const int most = steps::SpecOf(step).most_acts;
  return most > 0 ? most : 20 + 10 * static_cast<int>(record.nodes.size());
}

bool CountsOf(const FailureMemory& memory, model::Step step) {
  return memory.counted && memory.counted->step == step;
}

// A try that is in the record: by how many have failed before it.
std::string RecordedAttempt(int count) { return fmt::format("try {} of the record", count); }

// Counts from one again where another step is at hand than the one that failed before.
model::StepFailure Next(model::Step step, const base::SteadyTime now, FailureMemory& memory) {
  if (!CountsOf(memory, step)) memory.count = {};
  memory.acts = {};
  memory.count.last = now;
  memory.begun.reset();
  return {step, ++memory.count.failures, {}, {}, false};
}

// Somebody has started the old container between its stop and the start of the new one. On a
// person's token it is this run of it that is stopped; a backup of the run before is none any more.
void TakeNewStart(const model::Facts& facts, model::OperationRecord& record) {
  for (auto& node : record.nodes) {
    const model::NodeFacts* seen = facts.Node(node.name);
    if (seen != nullptr && seen->old_container) {
      node.old_started_at = seen->old_container->started_at;
    }
  }
}

}  // namespace

std::optional<model::Step> StepAtHand(const model::OperationRecord& record,
                                      const steps::State& state) {
  for (const auto& info : model::StepsOf(record.direction)) {
    if (!steps::At(state, info.step).complete()) return info.step;
  }
  return std::nullopt;
}

void RecallFailure(const model::OperationRecord& record, base::SteadyTime now,
                   FailureMemory& memory, steps::State& state) {
  const auto& failure = record.failure;
  const auto step = StepAtHand(record, state);
  if (!failure || !step || failure->step != *step || memory.begun == step) return;
  steps::StepState& at = steps::At(state, *step);
  if (at.verdict == steps::Verdict::kPending) {
    at.verdict = steps::Verdict::kFailed;
    at.reason = failure->reason;
    at.message = failure->message;
    at.retryable = failure->retryable;
    at.attempt = RecordedAttempt(failure->count);
    memory.counted = {*step, at.attempt};
  }
  // Not of this process: its pause begins now.
  if (memory.count.failures == 0) {
    memory.count = {failure->count, now};
    memory.counted = {*step, RecordedAttempt(failure->count)};
  }
}

std::optional<NewFailure> CountFailure(const model::OperationRecord& record,
                                       const steps::State& state, const model::Facts& facts,
                                       FailureMemory& memory) {
  const auto step = StepAtHand(record, state);
  if (!step || *step == model::Step::kPreflight) return std::nullopt;
  const steps::StepState& at = steps::At(state, *step);
  if (at.verdict != steps::Verdict::kFailed) {
    if (at.verdict == steps::Verdict::kPending && !CountsOf(memory, *step)) memory.count = {};
    return std::nullopt;
  }
  const FailureId id{*step, at.attempt};
  if (memory.counted == id) return std::nullopt;
  NewFailure found{Next(*step, facts.steady_now, memory), !at.attempt.empty()};
  memory.counted = id;
  found.failure.reason = at.reason;
  found.failure.message = at.message;
  found.failure.retryable = at.retryable;
  return found;
}

model::StepFailure FailureOf(model::Step step, const base::Error& error, base::SteadyTime now,
                             FailureMemory& memory) {
  model::StepFailure failure = Next(step, now, memory);
  memory.counted = {step, RecordedAttempt(failure.count)};
  failure.reason = error.reason.empty() ? std::string(crd::reason::kFailed) : error.reason;
  failure.message = error.message;
  // The world was another one than it had looked a moment before: the next look may settle it.
  const bool moved =
      error.code == base::Code::kNotFound || error.code == base::Code::kAlreadyExists;
  failure.retryable = error.Retryable() || error.code == base::Code::kInternal || moved;
  return failure;
}

void NoteAct(model::Step step, const steps::StepState& at, bool trace, FailureMemory& memory) {
  ActsInARow& row = memory.acts;
  if (row.step != step) row = {step, at.message, 0, 0};
  ++row.acts;
  row.idle = trace ? 0 : (row.message == at.message ? row.idle : 0) + 1;
  row.message = at.message;
}

std::optional<base::Error> WithoutEffect(const model::OperationRecord& record, model::Step step,
                                         const steps::StepState& at, FailureMemory& memory) {
  ActsInARow& row = memory.acts;
  const int most = MostActs(record, step);
  if (row.step != step) return std::nullopt;
  const bool idle = row.idle >= kMostIdleActs && row.message == at.message;
  if (!idle && row.acts < most) return std::nullopt;
  return base::MakeError(
      base::Code::kTransient, crd::reason::kNoEffect,
      fmt::format("{} was done {} times, but the next check did not show it{}{}; check whether "
                  "somebody or something reverts it",
                  model::NameOf(step), row.acts, at.message.empty() ? "" : ": ", at.message));
}

void Forgive(const steps::State& state, const model::Facts& facts,
             const model::ResourceMark& resource, bool by_token, base::WallTime now,
             model::OperationRecord& record) {
  const auto step = StepAtHand(record, state);
  const bool failed = step && steps::At(state, *step).verdict == steps::Verdict::kFailed;
  record.handled = resource;
  record.failure.reset();
  if (record.direction == model::Direction::kRollback) {
    for (const auto& spec : steps::SpecsOf(record.direction)) {
      if (failed && spec.forgive != nullptr) spec.forgive(record, spec.step == *step);
    }
    return;
  }
  if (record.Passed(model::PointKind::kStopping)) record.progress_since = now;
  const bool started_again =
      failed && steps::At(state, *step).reason == crd::reason::kOldContainerStarted;
  if (by_token && started_again && !record.Passed(model::PointKind::kNewStarting))
    TakeNewStart(facts, record);
}

}  // namespace oms::decide
