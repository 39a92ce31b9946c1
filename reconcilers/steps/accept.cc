#include "reconcilers/steps/accept.h"

#include <fmt/format.h>

#include "controller/base/sha256.h"
#include "crd/reasons.h"

namespace oms::steps {

std::string AcceptToken(const model::OperationRecord& record, const std::string& reason) {
  return reason + "-" + record.id.substr(0, 8);
}

std::string AcceptDifference(const model::OperationRecord& record, const std::string& database) {
  const std::string difference = record.Restore(database).difference;
  return fmt::format("{}-{}-{}", AcceptToken(record, crd::reason::kRestoreDiffers), database,
                     base::Sha256Hex(difference).substr(0, 8));
}

}  // namespace oms::steps
