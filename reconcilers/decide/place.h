// Whether what is reached is what may be acted on. Pure.
#pragma once

#include <optional>
#include <string>

#include "reconcilers/decide/planner.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/observe/site.h"
#include "reconcilers/ports/ownership.h"

namespace oms::decide {

// How things are reached may change in the middle of an operation; what is reached may not.
// Nullopt: it is the same.
std::optional<Decision> CheckSamePlace(const model::OperationRecord& record,
                                       const observe::Site& site);

// The row of this OMS is another resource's. `me`: ours.
Decision OwnedByAnother(const std::string& oms, const ports::Owner& owner, const ports::Owner& me);

}  // namespace oms::decide
