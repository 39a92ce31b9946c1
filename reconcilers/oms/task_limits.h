// What OMS's task API shows of the limits that overview_limits.h would otherwise ask a person for.
// Pure: the tasks are given.
//
// An answer holds for all tasks that are not over. One that breaks the limit decides, whatever is
// not known of the others; where none does and something is not told of one, nothing is answered,
// and the word is asked for as without the API.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "crd/version.h"
#include "reconcilers/ports/task_api.h"

namespace oms::product {

// The API has been offered since 4.1.0, in the community edition since 4.1.1 (oms/README.md).
// 3.3 had another one, which is not asked.
bool OffersTaskApi(const crd::Version& version);

struct LimitAnswer {
  enum class Says { kHolds, kBroken, kNothing };
  Says says = Says::kNothing;
  std::string tasks;  // Those that break it, by id and name, and what is amiss; bounded.
};

// `word` is one of spec.acknowledge. kNothing for those that the API has nothing to say of.
LimitAnswer AskTasks(std::string_view word, const std::vector<ports::OmsTask>& tasks);

}  // namespace oms::product
