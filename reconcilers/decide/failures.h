// Failures: the tries of a step that came to nothing. What of them is recalled from the record,
// what counts as a new one, and what an edit or a token forgives. Pure.
//
// The count lies in the record, so that a bound on tries holds over restarts; what a process
// remembers beside it saves it from counting one end twice.
#pragma once

#include <optional>
#include <string>

#include "reconcilers/decide/planner.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/steps/state.h"

namespace oms::decide {

// Acts of one step that returned well, one after the other, each of which the next look did not
// show.
struct ActsInARow {
  std::optional<model::Step> step;
  std::string message;  // Of the step when it was acted on last: what was still to be done.
  int acts = 0;
  int idle = 0;  // Of these, the last ones, that left no trace: no record, no task.
};

// Which failure it is: of a step, the try that failed. Its text is for a reader, and may be another
// one at each try, or the same.
struct FailureId {
  model::Step step = model::Step::kPreflight;
  std::string attempt;  // As StepState has it.
  bool operator==(const FailureId&) const = default;
};

// Of the step at hand; lost with the process.
struct FailureMemory {
  FailureCount count;
  std::optional<FailureId> counted;  // The last one.
  std::optional<model::Step> begun;  // Begun (again) by this process since a try of it failed.
  ActsInARow acts;
};

// The step at hand: the first of this direction that is not complete. Nullopt: all are.
std::optional<model::Step> StepAtHand(const model::OperationRecord& record,
                                      const steps::State& state);

// What the record says of a failed try holds until this process has begun another: the step, which
// looks as if it had only to be begun, is failed.
void RecallFailure(const model::OperationRecord& record, base::SteadyTime now,
                   FailureMemory& memory, steps::State& state);

// A failure that is seen for the first time.
struct NewFailure {
  model::StepFailure failure;
  bool kept = false;  // A try came to its end: to be written into the record.
};
std::optional<NewFailure> CountFailure(const model::OperationRecord& record,
                                       const steps::State& state, const model::Facts& facts,
                                       FailureMemory& memory);

// An act of `step` came to nothing: a failed try of it, like that of a task. To be written into the
// record.
model::StepFailure FailureOf(model::Step step, const base::Error& error, base::SteadyTime now,
                             FailureMemory& memory);

// An act of `step`, in the state `at`, returned well. `trace`: it wrote into the record or started
// a task.
void NoteAct(model::Step step, const steps::StepState& at, bool trace, FailureMemory& memory);

// The step would be acted on once more, although acts of it have changed nothing that a look can
// see: a failed try, kTransient "NoEffect", in place of an act without end. Either the act has
// nothing to do where the look sees something to be done, or somebody undoes it each time. Nullopt:
// act.
std::optional<base::Error> WithoutEffect(const model::OperationRecord& record, model::Step step,
                                         const steps::StepState& at, FailureMemory& memory);

// An edit of the spec, or a new reset token (`by_token`), is taken: failures are counted from zero,
// and so is time. `now` by the wall.
void Forgive(const steps::State& state, const model::Facts& facts,
             const model::ResourceMark& resource, bool by_token, base::WallTime now,
             model::OperationRecord& record);

}  // namespace oms::decide
