#include "reconcilers/model/target_image.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "crd/reasons.h"

namespace oms::model {
namespace {

constexpr size_t kMostNamed = 5;  // A message is short.

// By number, bundle patch and all; the edition is judged with the path.
bool SameNumber(const crd::Version& a, const crd::Version& b) {
  return a.major == b.major && a.minor == b.minor && a.patch == b.patch &&
         a.bundle_patch == b.bundle_patch;
}

bool Acknowledged(const crd::Spec& spec) {
  return std::find(spec.acknowledge.begin(), spec.acknowledge.end(),
                   product::kAcknowledgeImageName) != spec.acknowledge.end();
}

std::string WhatToDo(const crd::Version& to, const char* what) {
  return fmt::format(
      "set spec.image to the image of {}, or correct spec.version; if the {} is your own name that "
      "does not state the OMS version, add {} to spec.acknowledge",
      to.ToString(), what, product::kAcknowledgeImageName);
}

}  // namespace

std::optional<Trouble> CheckImageTag(const crd::Spec& spec, const crd::Version& to) {
  const auto named = crd::VersionFromImage(spec.image.reference);
  if (!named.ok() || SameNumber(*named, to) || Acknowledged(spec)) return std::nullopt;
  return Trouble{
      crd::reason::kImageVersionDiffers,
      fmt::format("spec.version asks for {}, but spec.image.reference {} names version {}; {}",
                  to.ToString(), spec.image.reference, named->ToString(), WhatToDo(to, "tag"))};
}

std::optional<Trouble> CheckImage(const crd::Spec& spec, const crd::Version& to,
                                  const RunningImage& running, const ports::ImageInfo& image) {
  if (!running.image_id.empty() && image.id == running.image_id) {
    return Trouble{
        crd::reason::kImageIsTheOldOne,
        fmt::format("node {}: spec.image.reference {} is the image that container '{}' already "
                    "runs ({}); set it to the image of {}",
                    running.node, spec.image.reference, running.container, image.id,
                    to.ToString())};
  }
  if (Acknowledged(spec)) return std::nullopt;
  for (const char* key : {"org.opencontainers.image.version", "version"}) {
    const auto label = image.labels.find(key);
    if (label == image.labels.end()) continue;
    const auto named = crd::Version::Parse(label->second);
    if (!named.ok() || SameNumber(*named, to)) continue;
    return Trouble{
        crd::reason::kImageVersionDiffers,
        fmt::format(
            "node {}: spec.version asks for {}, but the label {} of the image {} says {}; {}",
            running.node, to.ToString(), key, spec.image.reference, named->ToString(),
            WhatToDo(to, "label"))};
  }
  return std::nullopt;
}

bool HasDigest(const ports::ImageInfo& image, const std::string& digest) {
  return image.id == digest ||
         std::any_of(image.digests.begin(), image.digests.end(),
                     [&](const std::string& each) { return each.ends_with("@" + digest); });
}

std::string NormalImageName(std::string_view reference) {
  for (const std::string_view host : {"docker.io/", "index.docker.io/"}) {
    if (!reference.starts_with(host)) continue;
    reference.remove_prefix(host.size());
    break;
  }
  if (constexpr std::string_view kLibrary = "library/"; reference.starts_with(kLibrary))
    reference.remove_prefix(kLibrary.size());
  if (const size_t at = reference.find('@'); at != std::string_view::npos)
    reference = reference.substr(0, at);
  std::string name(reference);
  const size_t slash = reference.rfind('/'), colon = reference.rfind(':');
  // A colon before the last slash belongs to the registry's port.
  const bool tagged =
      colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash);
  return tagged ? name : name + ":latest";
}

std::optional<std::vector<std::string>> DigestsIn(const std::vector<ports::ArchivedImage>& archive,
                                                  const std::string& reference) {
  const std::string name = NormalImageName(reference);
  const size_t at = reference.find('@');
  const std::string digest = at == std::string::npos ? reference : reference.substr(at + 1);
  std::optional<std::vector<std::string>> found;
  for (const auto& image : archive) {
    const bool named =
        std::any_of(image.names.begin(), image.names.end(),
                    [&](const std::string& each) { return NormalImageName(each) == name; });
    const bool meant =
        std::find(image.digests.begin(), image.digests.end(), digest) != image.digests.end();
    if (!named && !meant) continue;
    if (!found) found.emplace();
    found->insert(found->end(), image.digests.begin(), image.digests.end());
  }
  return found;
}

std::string NamesIn(const std::vector<ports::ArchivedImage>& archive) {
  std::vector<std::string> names;
  for (const auto& image : archive) {
    for (const auto& each : image.names) {
      std::string name = NormalImageName(each);
      if (std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(std::move(name));
    }
  }
  if (names.empty()) return "no name";
  const size_t more = names.size() > kMostNamed ? names.size() - kMostNamed : 0;
  names.resize(names.size() - more);
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  if (more > 0) text += fmt::format(" and {} more", more);
  return text;
}

bool IsOf(const LoadedImage& loaded, const crd::Image& image) {
  return loaded.reference == image.reference && loaded.archive == image.archive;
}

bool IsThat(const ports::ImageInfo& image, const LoadedImage& loaded) {
  return image.id == loaded.image_id ||
         std::any_of(loaded.digests.begin(), loaded.digests.end(),
                     [&](const std::string& digest) { return HasDigest(image, digest); });
}

bool IsWantedImage(const ports::ImageInfo& image, const crd::Image& wanted) {
  return wanted.id.empty() || HasDigest(image, wanted.id);
}

const LoadedImage* LoadedFor(const OperationRecord& record, const FrozenNode& node,
                             const crd::Image& image) {
  const auto found = record.loaded_images.find(LoaderOf(record, node));
  return found != record.loaded_images.end() && IsOf(found->second, image) ? &found->second
                                                                           : nullptr;
}

bool IsBrought(const OperationRecord& record, const FrozenNode& node,
               const std::optional<ports::ImageInfo>& image, const crd::Image& wanted) {
  if (!image) return false;
  // The new container is made from it: whatever the archive and the name have come to be since.
  if (!node.target_image_id.empty()) return image->id == node.target_image_id;
  if (!wanted.id.empty()) return HasDigest(*image, wanted.id);
  if (wanted.archive.empty()) return true;
  const LoadedImage* loaded = LoadedFor(record, node, wanted);
  return loaded != nullptr && IsThat(*image, *loaded);
}

const std::string& LoaderOf(const OperationRecord& record, const FrozenNode& node) {
  const auto first =
      std::find_if(record.nodes.begin(), record.nodes.end(), [&](const FrozenNode& each) {
        return each.engine_id == node.engine_id && each.keeps_running == node.keeps_running;
      });
  return first == record.nodes.end() ? node.name : first->name;
}

bool IsOfTargetImage(const ports::ContainerInfo& container, const FrozenNode& node) {
  return container.image_id == node.target_image_id || container.image == node.target_image_id;
}

}  // namespace oms::model
