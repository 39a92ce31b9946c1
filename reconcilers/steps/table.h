// The steps of each direction, in the order in which they are done. Whoever walks the steps walks
// these.
//
// This is not the order of conditions: everything that can be done before the stop of OMS is done
// before it. Two steps may share a condition; it is True when both are done. Going back is the same
// loop over other steps; what need not be undone is skipped there, by the points passed, so the
// cheapest way back is no way of its own:
//
//   none, HADisabling   what was created is removed, HA back to what it was
//   Stopping            compaction carried to an end; the old container started; HA
//   NewStarting         all of it
#pragma once

#include <span>
#include <string>

#include "reconcilers/steps/step.h"

namespace oms::steps {

// Of one direction.
std::span<const StepSpec> SpecsOf(model::Direction direction);
const StepSpec& SpecOf(model::Step step);

// The state of an open operation, in its direction. Pure.
State JudgeSteps(const StepInput& in);

// What a reader wants to know of the steps behind a condition once they are done; empty: nothing.
std::string SummaryOf(const model::OperationRecord& record, crd::StepCondition condition);
// Why none of them is of this operation's way, whatever is seen; null: they are.
const char* LeftOut(const model::OperationRecord& record, crd::StepCondition condition);

}  // namespace oms::steps
