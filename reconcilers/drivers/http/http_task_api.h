// HttpTaskApi: ports/task_api.h as OMS offers it: POST /api/v2?Action=<Operation>, JSON, Basic
// authentication (oms/README.md).
#pragma once

#include "reconcilers/ports/task_api.h"

namespace oms::drivers::http {

class HttpTaskApi final : public ports::TaskApi {
 public:
  base::Result<std::vector<ports::OmsTask>> Tasks(const base::Context& ctx,
                                                  const ports::TaskApiAddress& address) override;
};

}  // namespace oms::drivers::http
