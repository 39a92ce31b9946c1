// What a person writes into the annotation oms.oceanbase.com/accept. Pure.
#pragma once

#include <string>

#include "reconcilers/model/operation.h"

namespace oms::steps {

// To accept `reason` for this operation, and for no other.
std::string AcceptToken(const model::OperationRecord& record, const std::string& reason);
// The same for the difference of one database, as it was found last: it accepts that one alone.
// There must be one.
std::string AcceptDifference(const model::OperationRecord& record, const std::string& database);

}  // namespace oms::steps
