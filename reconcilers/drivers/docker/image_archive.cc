#include "reconcilers/drivers/docker/image_archive.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "controller/base/fd.h"
#include "controller/base/json.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/docker/docker_json.h"
#include "reconcilers/drivers/docker/tar.h"
#include "reconcilers/drivers/files/gzip_stream.h"
#include "reconcilers/drivers/files/zstd_stream.h"

namespace oms::drivers::docker {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using ports::ArchivedImage;
using ports::ByteProgress;
using Json = nlohmann::json;
using Images = std::vector<ArchivedImage>;

constexpr char kManifest[] = "manifest.json", kIndex[] = "index.json";
constexpr size_t kPiece = 1u << 20;
// That of an archive of one image has a few hundred bytes for each of its layers.
constexpr uint64_t kMostJson = 4u << 20;
constexpr size_t kMostImages = 1000, kMostNames = 1000, kLongestName = 512;
constexpr std::string_view kHex = "0123456789abcdef";

base::Error Bad(std::string what) {
  return MakeError(Code::kInvalid, crd::reason::kImageArchive, std::move(what));
}

// ------------------------------------------------------------------------------------- the JSON

Result<Json> ParseMember(std::string_view text, const char* file) {
  auto doc = base::ParseJson(text);
  if (!doc.ok()) return Bad(fmt::format("its {} {}", file, doc.error().message));
  return doc;
}

// One that no reference can be is left out; so it is in no message either.
void AddName(const std::string& name, std::vector<std::string>& names) {
  const bool sound =
      !name.empty() && name.size() <= kLongestName &&
      std::isalnum(static_cast<unsigned char>(name.front())) != 0 &&
      std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 ||
               std::string_view("._:/@-").find(static_cast<char>(c)) != std::string_view::npos;
      });
  if (sound && names.size() < kMostNames) names.push_back(name);
}

bool IsDigest(std::string_view text) {
  constexpr std::string_view kAlgorithm = "sha256:";
  if (!text.starts_with(kAlgorithm)) return false;
  text.remove_prefix(kAlgorithm.size());
  return text.size() == 64 && text.find_first_not_of(kHex) == std::string_view::npos;
}

// "<hex>.json", or "blobs/sha256/<hex>"
void AddConfig(std::string_view path, std::vector<std::string>& digests) {
  if (const size_t slash = path.rfind('/'); slash != std::string_view::npos)
    path.remove_prefix(slash + 1);
  const std::string digest = fmt::format("sha256:{}", path.substr(0, path.find('.')));
  if (IsDigest(digest)) digests.push_back(digest);
}

// ------------------------------------------------------------------------------------- the bytes

// What is in the two files that count. The last of a name is the one that stays when it is
// unpacked.
struct Found {
  std::string manifest, index;
  std::string too_large;  // The file that is.

  static std::string NameOf(std::string name) {
    while (name.starts_with("./") || name.starts_with('/'))
      name.erase(0, name.starts_with('/') ? 1 : 2);
    return name;
  }
  bool Wants(const std::string& path, uint64_t size) {
    const std::string name = NameOf(path);
    if (name != kManifest && name != kIndex) return false;
    if (size > kMostJson) too_large = name;
    return size <= kMostJson;
  }
  void Take(const std::string& path, std::string content) {
    (NameOf(path) == kManifest ? manifest : index) = std::move(content);
  }
};

enum class Packing { kNone, kGzip, kZstd, kOther };

Packing PackingOf(std::string_view begin) {
  if (begin.starts_with("\x1f\x8b")) return Packing::kGzip;
  if (begin.starts_with("\x28\xb5\x2f\xfd")) return Packing::kZstd;
  if (begin.starts_with("BZh") || begin.starts_with(std::string_view("\xfd"
                                                                     "7zXZ\0",
                                                                     6)))
    return Packing::kOther;
  return Packing::kNone;
}

// One archive, read once.
class Reading {
 public:
  Reading(const base::Context& ctx, const std::filesystem::path& archive, ByteProgress& progress)
      : ctx_(ctx),
        archive_(archive),
        progress_(progress),
        tar_([this](const std::string& name, uint64_t size) { return found_.Wants(name, size); },
             [this](const std::string& name, std::string content) {
               found_.Take(name, std::move(content));
             }) {}
  Reading(const Reading&) = delete;

  Result<std::optional<Images>> Run() {
    OMS_TRY(Open());
    OMS_ASSIGN(std::string piece, Next());
    const Packing packing = PackingOf(piece);
    if (packing == Packing::kOther) return std::optional<Images>();
    while (!piece.empty() && !tar_.ended()) {
      OMS_TRY(ctx_.Check());
      const Status fed = packing == Packing::kGzip   ? Unpack(gzip_, piece)
                         : packing == Packing::kZstd ? Unpack(zstd_, piece)
                                                     : tar_.Feed(piece);
      if (!fed.ok() && fed.error().reason == crd::inner_reason::kSparseArchive)
        return std::optional<Images>();
      if (!fed.ok()) return Broken(fed.error().message);
      if (packing == Packing::kNone) OMS_TRY(PassOver());
      OMS_ASSIGN(piece, Next());
    }
    const bool whole = tar_.ended() || (tar_.Whole() && gzip_.Whole() && zstd_.Whole());
    if (!whole) return Broken("it is cut off");
    if (!found_.too_large.empty()) return Broken("its " + found_.too_large + " is too large");
    if (found_.manifest.empty() && found_.index.empty())
      return Broken("it contains neither a manifest.json nor an index.json");
    auto images = ImagesOf(found_.manifest, found_.index);
    if (!images.ok()) return Broken(images.error().message);
    return std::optional<Images>(*std::move(images));
  }

 private:
  base::Error Broken(const std::string& what) const {
    return Bad(
        fmt::format("{} is not a readable image archive: {}; use the file that `docker save` made, "
                    "or fetch it again",
                    archive_.string(), what));
  }
  base::Error Unread(int error) const {
    const bool transient = error == EIO || error == ESTALE;
    return MakeError(transient ? Code::kTransient : Code::kInvalid, crd::reason::kImageArchive,
                     fmt::format("the image archive {} cannot be read ({}); check the path and its "
                                 "mode, as this controller sees them",
                                 archive_.string(), std::generic_category().message(error)));
  }

  Status Open() {
    // A pipe would be waited for.
    fd_.Reset(open(archive_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd_.valid()) return Unread(errno);
    struct stat info {};
    if (fstat(fd_.get(), &info) != 0) return Unread(errno);
    if (!S_ISREG(info.st_mode) || info.st_size == 0)
      return Bad(
          fmt::format("the image archive {} is empty or not a regular file; use the file that "
                      "`docker save` made",
                      archive_.string()));
    (void)posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    size_ = static_cast<uint64_t>(info.st_size);
    progress_.done = 0;
    progress_.total = size_;
    return base::Ok();
  }

  // Empty: the end.
  Result<std::string> Next() {
    std::string piece(kPiece, '\0');
    ssize_t n = -1;
    do {
      n = read(fd_.get(), piece.data(), piece.size());
    } while (n < 0 && errno == EINTR);
    if (n < 0) return Unread(errno);
    piece.resize(static_cast<size_t>(n));
    progress_.done += piece.size();
    return piece;
  }

  template <typename Decompressor>
  Status Unpack(Decompressor& decompressor, std::string_view piece) {
    decompressor.Take(piece);
    std::string text;
    while (!tar_.ended()) {
      text.clear();
      OMS_ASSIGN(const bool more, decompressor.Next(text));
      if (!more) break;
      OMS_TRY(tar_.Feed(text));
    }
    return base::Ok();
  }

  // Layers of a plain archive need not be read. Not beyond its end: that it is cut off is seen
  // there.
  Status PassOver() {
    const uint64_t bytes =
        std::min(tar_.Skippable(), size_ - std::min<uint64_t>(size_, progress_.done));
    if (bytes < kPiece) return base::Ok();
    if (lseek(fd_.get(), static_cast<off_t>(bytes), SEEK_CUR) < 0) return Unread(errno);
    tar_.Skip(bytes);
    progress_.done += bytes;
    return base::Ok();
  }

  const base::Context& ctx_;
  const std::filesystem::path& archive_;
  ByteProgress& progress_;
  Found found_;
  TarReader tar_;
  files::GzipDecompressor gzip_;
  files::ZstdDecompressor zstd_;
  base::Fd fd_;
  uint64_t size_ = 0;
};

}  // namespace

Result<Images> ImagesOf(std::string_view manifest_json, std::string_view index_json) {
  Images images;
  if (!manifest_json.empty()) {
    OMS_ASSIGN(const Json manifest, ParseMember(manifest_json, kManifest));
    if (!manifest.is_array()) return Bad("its manifest.json is not a list");
    for (const auto& item : manifest) {
      if (images.size() == kMostImages) break;
      ArchivedImage image;
      AddConfig(Text(At(item, "Config")), image.digests);
      if (const Json& tags = At(item, "RepoTags"); tags.is_array()) {
        for (const auto& tag : tags) AddName(Text(tag), image.names);
      }
      images.push_back(std::move(image));
    }
  }
  if (!index_json.empty()) {
    OMS_ASSIGN(const Json index, ParseMember(index_json, kIndex));
    const Json& list = At(index, "manifests");
    for (const auto& item : list.is_array() ? list : Json::array()) {
      if (images.size() >= 2 * kMostImages) break;
      ArchivedImage image;
      if (const std::string digest = Text(At(item, "digest")); IsDigest(digest))
        image.digests.push_back(digest);
      const Json& annotations = At(item, "annotations");
      AddName(Text(At(annotations, "io.containerd.image.name")), image.names);
      // A whole name, or the tag alone, which is no name of an image.
      const std::string ref = Text(At(annotations, "org.opencontainers.image.ref.name"));
      if (ref.find(':') != std::string::npos) AddName(ref, image.names);
      images.push_back(std::move(image));
    }
  }
  return images;
}

Result<std::optional<Images>> FileImageArchives::Look(const base::Context& ctx,
                                                      const std::filesystem::path& archive,
                                                      ByteProgress& progress) const {
  return Reading(ctx, archive, progress).Run();
}

}  // namespace oms::drivers::docker
