#include "reconcilers/oms/container_clone.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>
#include <vector>

#include "crd/reasons.h"

namespace oms::product {
namespace {

using base::Code;
using base::MakeError;

constexpr int64_t kGuideNproc = 65535;

}  // namespace

ports::ContainerSpec CloneForUpgrade(CloneInput input) {
  ports::ContainerSpec spec;
  spec.image = std::move(input.new_image);
  spec.labels = std::move(input.labels);
  spec.like.emplace();
  spec.like->inspect = std::move(input.old_inspect);
  spec.like->image_inspect = std::move(input.old_image_inspect);
  spec.like->without_labels = kLabelPrefix;
  spec.like->env = {{"IS_UPGRADE", "true"}};
  if (input.config_source)
    spec.like->sources = {{std::string(kConfigMount), *std::move(input.config_source)}};
  return spec;
}

ports::ContainerSpec Recreate(const std::string& inspect, const std::string& image) {
  ports::ContainerSpec spec;
  spec.image = image;
  spec.like.emplace();
  spec.like->inspect = inspect;
  return spec;
}

base::Status CheckGuideFlags(const ports::ContainerInfo& container) {
  std::vector<std::string> missing;
  if (container.network_mode != "host") missing.push_back("--net host");
  if (!container.privileged) missing.push_back("--privileged=true");
  if (container.pids_limit > 0) missing.push_back("--pids-limit -1");
  const auto enough = [](int64_t limit) { return limit == -1 || limit >= kGuideNproc; };
  if (!enough(container.nproc_soft) || !enough(container.nproc_hard)) {
    missing.push_back(fmt::format("--ulimit nproc={}:{}", kGuideNproc, kGuideNproc));
  }
  const ports::Mount* config = container.FindMount(kConfigMount);
  if (config == nullptr || config->type != "bind") {
    missing.push_back(fmt::format("-v <file on the host>:{}", kConfigMount));
  }
  for (const auto destination : {kLogsMount, kStoreMount, kRunMount}) {
    const ports::Mount* mount = container.FindMount(destination);
    if (mount == nullptr || !mount->writable) {
      missing.push_back(fmt::format("-v <folder on the host>:{}", destination));
    }
  }
  if (!missing.empty()) {
    return MakeError(
        Code::kInvalid, crd::reason::kGuideFlags,
        fmt::format("the container {} was not started as the upgrade guide asks: {} missing; run "
                    "it again from its image with these `docker run` flags in addition to its own",
                    container.name, fmt::join(missing, ", ")));
  }
  if (container.auto_remove) {
    return MakeError(
        Code::kInvalid, crd::reason::kGuideFlags,
        fmt::format("the container {} was started with --rm, so the engine would delete it when it "
                    "is stopped, and no rollback would be possible; run it again without --rm",
                    container.name));
  }
  return base::Ok();
}

}  // namespace oms::product
