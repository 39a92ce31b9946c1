// How the new container is made from the old one. Pure.
//
// The guide's `docker run` takes the flags that the old container had (guide 4.3.1, step "start the
// new container"); they are taken over from it, so that what a person added (a mount of
// certificates, a proxy in the environment, limits) is kept too, and what came from the old image
// is left to the new one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "controller/base/result.h"
#include "reconcilers/ports/container_engine.h"
#include "reconcilers/ports/container_spec.h"

namespace oms::product {

inline constexpr std::string_view kConfigMount = "/home/admin/conf/config.yaml";
inline constexpr std::string_view kLogsMount = "/home/admin/logs";
inline constexpr std::string_view kStoreMount = "/home/ds/store";
inline constexpr std::string_view kRunMount = "/home/ds/run";
// Optional, both or none: with them the console of OMS is HTTPS (guide, step 5).
inline constexpr std::string_view kCertificateMount = "/etc/pki/nginx/oms_server.crt";
inline constexpr std::string_view kKeyMount = "/etc/pki/nginx/oms_server.key";
// Labels of ours begin with it; those of an earlier operation are not handed down.
inline constexpr std::string_view kLabelPrefix = "oms.oceanbase.com/";

struct CloneInput {
  std::string old_inspect;        // ContainerInfo::inspect
  std::string old_image_inspect;  // ImageInfo::inspect of the old container's image.
  std::string new_image;          // By its name where `docker ps` is to show it, or its id.
  std::map<std::string, std::string> labels;  // Ours, for the new container.
  // `deployment.config: Beside`: the host's file that is mounted at kConfigMount instead.
  std::optional<std::string> config_source;
};

// The new container: as the old one, of the new image, and told that it is an upgrade.
ports::ContainerSpec CloneForUpgrade(CloneInput input);

// A removed old container again, from the inspect document in the operation's record: the same
// settings, volumes and labels. `image`: by its name, where that still means the same image (a
// version may be read from it), else by its id.
ports::ContainerSpec Recreate(const std::string& inspect, const std::string& image);

// The flags that the guide's `docker run` has. kInvalid "GuideFlags" names all that are missing,
// and how they are written.
base::Status CheckGuideFlags(const ports::ContainerInfo& container);

}  // namespace oms::product
