// The image that is to become OMS: can it be that of the version that is asked for? Pure.
//
// The version of an image is not written in it in any way that is documented, so what is judged is
// what contradicts: it is the image that runs already, or its name or a label of it names another
// version. Which of the images of that name an archive holds is told by the archive's digests.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crd/oms_upgrade.h"
#include "crd/version.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/ports/image_archive.h"

namespace oms::model {

// "ImageVersionDiffers": the tag of spec.image.reference is the number of another version. Passed
// by kAcknowledgeImageName, as a label is. (That the image is the one that runs is no matter of
// names.)
std::optional<Trouble> CheckImageTag(const crd::Spec& spec, const crd::Version& to);

// The container that runs on a node, and its image.
struct RunningImage {
  std::string node, container, image_id;
};
// What the engine says of the image that spec.image.reference means there: "ImageIsTheOldOne", or
// "ImageVersionDiffers" by a label.
std::optional<Trouble> CheckImage(const crd::Spec& spec, const crd::Version& to,
                                  const RunningImage& running, const ports::ImageInfo& image);

// By the image's config digest, which is its id for most engines, or by its manifest digest, which
// is that of others (a containerd image store), and stands in the digests of those that pull.
bool HasDigest(const ports::ImageInfo& image, const std::string& digest);

// As the engine lists it: docker.io/library/oms:4.3.1 is oms:4.3.1, and no tag is latest.
std::string NormalImageName(std::string_view reference);

// The digests of the images that an archive holds under that name; nullopt: it holds none.
std::optional<std::vector<std::string>> DigestsIn(const std::vector<ports::ArchivedImage>& archive,
                                                  const std::string& reference);

// The names in an archive, for a message.
std::string NamesIn(const std::vector<ports::ArchivedImage>& archive);

// What was brought to the engine of a loader's node is what this image asks for.
bool IsOf(const LoadedImage& loaded, const crd::Image& image);
// The image that the engine shows is the one that was brought.
bool IsThat(const ports::ImageInfo& image, const LoadedImage& loaded);

// The image on a node is the one that the user asks for, as far as spec.image.id tells.
bool IsWantedImage(const ports::ImageInfo& image, const crd::Image& wanted);
// The node whose task loads the image for this one: the first one on the same engine.
const std::string& LoaderOf(const OperationRecord& record, const FrozenNode& node);
// What was loaded for this one, of the image as it is asked for; null: it is not known yet which
// image the archive holds.
const LoadedImage* LoadedFor(const OperationRecord& record, const FrozenNode& node,
                             const crd::Image& image);
// The image on the node is what is asked for as far as can be told without loading anything: the
// one of spec.image.id, or of the archive, or whatever has the name where neither is given.
bool IsBrought(const OperationRecord& record, const FrozenNode& node,
               const std::optional<ports::ImageInfo>& image, const crd::Image& wanted);
// The container is of the image that was looked at: it was made by its id, or by a name that meant
// it.
bool IsOfTargetImage(const ports::ContainerInfo& container, const FrozenNode& node);

}  // namespace oms::model
