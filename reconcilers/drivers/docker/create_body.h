// The body of POST /containers/create. Pure: values in, JSON out.
#pragma once

#include <string>

#include "controller/base/result.h"
#include "reconcilers/ports/container_spec.h"

namespace oms::drivers::docker {

// kInvalid: no image is named; an inspect document is no JSON object; "ConfigNotMounted": nothing of
// the host is mounted where another source is asked for.
base::Result<std::string> CreateBody(const ports::ContainerSpec& spec);

}  // namespace oms::drivers::docker
