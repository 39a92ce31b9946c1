#include "controller/kube/api_client.h"

namespace oms::kube {

std::string ResourceType::ToString() const {
  return group.empty() ? plural + "." + version : plural + "." + version + "." + group;
}

}  // namespace oms::kube
