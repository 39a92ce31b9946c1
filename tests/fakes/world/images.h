// What the images of the world are called: "oms:4.3.1" is "sha256:oms431".
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tests/fakes/fake_world.h"

namespace oms::fakes {

inline bool IsNew(const ports::ContainerInfo& info) { return info.image_id != "sha256:oms430"; }

// "oms:4.3.1-x86" holds the image of 4.3.1.
inline std::string ImageIdOf(const std::string& reference) {
  if (!reference.starts_with("oms:4.3.")) return "sha256:else";
  return "sha256:oms43" + reference.substr(8, 1);
}

inline ports::ImageInfo Image(const std::string& id, const std::string& tag) {
  ports::ImageInfo image;
  image.id = id;
  image.tags = {tag};
  image.size = 1000;
  image.inspect =
      nlohmann::json{{"Id", id},
                     {"Config", {{"Env", {"PATH=/bin"}}, {"Labels", nlohmann::json::object()}}}}
          .dump();
  return image;
}

}  // namespace oms::fakes
