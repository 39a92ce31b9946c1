// Our helper containers: named by the operation, so that one that a dead process left is found and
// removed.
#pragma once

#include <string>

#include "reconcilers/host_file.h"
#include "reconcilers/labels.h"
#include "reconcilers/operation.h"

namespace oms::upgrade {

inline Helper HelperFor(const OperationRecord& record, const std::string& node,
                        const std::string& image_id, const std::string& purpose) {
  Helper helper;
  // Two nodes may be on one engine.
  helper.name = "oms-upgrade-" + record.id.substr(0, 12) + "-" + node + "-" + purpose;
  helper.image_id = image_id;
  helper.labels = {
      {labels::kOperation, record.id}, {labels::kNode, node}, {labels::kRole, "helper"}};
  return helper;
}

}  // namespace oms::upgrade
