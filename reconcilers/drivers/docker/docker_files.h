// Files in containers, by the engine's archives. As ContainerEngine says of each.
#pragma once

#include <string>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/docker/docker_calls.h"
#include "reconcilers/ports/container_engine.h"

namespace oms::drivers::docker {

base::Result<ports::FileContent> ReadFile(DockerCalls& calls, const base::Context& ctx,
                                          const std::string& id, const std::string& path);
base::Result<ports::PathInfo> LookAtPath(DockerCalls& calls, const base::Context& ctx,
                                         const std::string& id, const std::string& path);
base::Status WriteFile(DockerCalls& calls, const base::Context& ctx, const std::string& id,
                       const std::string& path, const ports::FileContent& file);

}  // namespace oms::drivers::docker
