// An image archive, read as a stream: a file of any size takes the memory of its few small JSON
// files, which are bounded. Their text is from outside.
#pragma once

#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "reconcilers/ports/image_archive.h"

namespace oms::drivers::docker {

class FileImageArchives final : public ports::ImageArchives {
 public:
  base::Result<std::optional<std::vector<ports::ArchivedImage>>> Look(
      const base::Context& ctx, const std::filesystem::path& archive,
      ports::ByteProgress& progress) const override;
};

// What these two files say; an empty text: there is none. kInvalid "ImageArchive" in words that end
// a sentence about the archive: "its manifest.json is no JSON".
base::Result<std::vector<ports::ArchivedImage>> ImagesOf(std::string_view manifest_json,
                                                         std::string_view index_json);

}  // namespace oms::drivers::docker
