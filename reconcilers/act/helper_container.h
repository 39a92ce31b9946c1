// Our helper containers: named by the operation, so that one that a dead process left is found and
// removed.
#pragma once

#include <string>

#include "reconcilers/act/host_file.h"
#include "reconcilers/model/labels.h"
#include "reconcilers/model/operation.h"

namespace oms::act {

inline Helper HelperFor(const model::OperationRecord& record, const std::string& node,
                        const std::string& image_id, const std::string& purpose) {
  Helper helper;
  // Two nodes may be on one engine.
  helper.name = "oms-upgrade-" + record.id.substr(0, 12) + "-" + node + "-" + purpose;
  helper.image_id = image_id;
  helper.labels = {{model::labels::kOperation, record.id},
                   {model::labels::kNode, node},
                   {model::labels::kRole, "helper"}};
  return helper;
}

}  // namespace oms::act
