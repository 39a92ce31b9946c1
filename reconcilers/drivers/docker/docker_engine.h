// ContainerEngine over the Docker Engine API (unix socket, or TCP with mutual TLS).
//
// Speaks API 1.40 to 1.47, whichever is the highest that the engine also speaks (GET /version).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "reconcilers/ports/container_engine.h"

namespace oms::drivers::docker {

// Thread-safe; makes no connection by itself. kInvalid for an address that cannot be used.
std::unique_ptr<ports::EngineProvider> MakeDockerEngineProvider();

// The API version to speak with an engine that offers `min` to `max`; kInvalid "EngineApiVersion"
// with both ranges if there is none. Pure.
base::Result<std::string> NegotiateApiVersion(std::string_view min, std::string_view max);

}  // namespace oms::drivers::docker
