#include "reconcilers/steps/state.h"

#include <fmt/format.h>

namespace oms::steps {

std::string TaskName(model::Step step, const std::string& node) {
  return node.empty() ? std::string(model::NameOf(step))
                      : fmt::format("{}/{}", model::NameOf(step), node);
}

}  // namespace oms::steps
