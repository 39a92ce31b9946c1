// HttpTaskApi: ports/task_api.h as OMS offers it: POST /api/v2?Action=<Operation>, JSON, Basic
// authentication (facts.md section 1).
#pragma once

#include "reconcilers/ports/task_api.h"

namespace oms::drivers {

class HttpTaskApi final : public upgrade::TaskApi {
 public:
  base::Result<std::vector<upgrade::OmsTask>> Tasks(
      const base::Context& ctx, const upgrade::TaskApiAddress& address) override;
};

}  // namespace oms::drivers
