// Failures: the tries of a step that came to nothing. What of them is recalled from the record,
// what counts as a new one, and what an edit or a token forgives. Pure.
//
// The count lies in the record, so that a bound on tries holds over restarts; what a process
// remembers beside it saves it from counting one end twice.
#pragma once

#include <optional>
#include <string>

#include "reconcilers/facts.h"
#include "reconcilers/operation.h"
#include "reconcilers/planner.h"
#include "reconcilers/state.h"

namespace oms::upgrade {

// Of the step at hand; lost with the process.
struct FailureMemory {
  FailureCount count;
  std::string what;           // Which end of which try was counted last.
  std::optional<Step> begun;  // Begun (again) by this process since a try of it failed.
};

// The step at hand: the first of this direction that is not complete. Nullopt: all are.
std::optional<Step> StepAtHand(const OperationRecord& record, const State& state);

// What the record says of a failed try holds until this process has begun another: the step, which
// looks as if it had only to be begun, is failed.
void RecallFailure(const OperationRecord& record, base::SteadyTime now, FailureMemory& memory,
                   State& state);

// A failure that is seen for the first time.
struct NewFailure {
  StepFailure failure;
  bool kept = false;  // A try came to its end: to be written into the record.
};
std::optional<NewFailure> CountFailure(const OperationRecord& record, const State& state,
                                       const Facts& facts, FailureMemory& memory);

// An act of `step` came to nothing: a failed try of it, like that of a task. To be written into the
// record.
StepFailure FailureOf(Step step, const base::Error& error, base::SteadyTime now,
                      FailureMemory& memory);

// An edit of the spec, or a new reset token (`by_token`), is taken: failures are counted from zero,
// and so is time. `now` by the wall.
void Forgive(const State& state, const Facts& facts, const ResourceMark& resource, bool by_token,
             base::WallTime now, OperationRecord& record);

}  // namespace oms::upgrade
