// ImageArchives: what an archive of images says that it holds.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/container_engine.h"

namespace oms::ports {

struct ArchivedImage {
  std::vector<std::string> names;  // As the archive writes them.
  // "sha256:<hex>" of its configuration, its manifest, or its list of manifests, as far as the
  // archive tells: by one of them an engine that holds it lists it. (A containerd image store may
  // make a manifest of its own, whose digest the archive does not know.)
  std::vector<std::string> digests;
};

class ImageArchives {
 public:
  virtual ~ImageArchives() = default;
  // By manifest.json (docker save) and index.json (OCI), of a plain tar, or one packed by gzip or
  // zstd. Blocks until all of it was read. Nullopt: it is packed in a way that is not looked into.
  // kInvalid or kTransient "ImageArchive": it cannot be read, or is no archive of images.
  virtual base::Result<std::optional<std::vector<ArchivedImage>>> Look(
      const base::Context& ctx, const std::filesystem::path& archive,
      ByteProgress& progress) const = 0;
};

}  // namespace oms::ports
