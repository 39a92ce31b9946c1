// Step 2: the new image, on every node, and a copy of the old one for the way back (design section
// 4, row 2).
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "reconcilers/model/target_image.h"
#include "reconcilers/steps/phases.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {
namespace {

// Checks the archive's checksum before a byte of it reaches an engine.
base::Status CheckArchive(ports::RecordStore& store, const crd::Image& image) {
  if (image.sha256.empty()) return base::Ok();
  OMS_ASSIGN(const std::string found, store.Sha256(image.archive));
  if (found == image.sha256) return base::Ok();
  return base::MakeError(
      base::Code::kInvalid, "ArchiveChecksumDiffers",
      fmt::format(
          "the archive {} has the sha256 {}, but spec.image.sha256 says {}; fetch the archive "
          "again or correct the field",
          image.archive, found, image.sha256));
}

// What a task tells of what it has brought: four fields, and in the last the digests that the
// archive has. No text of them holds these separators.
constexpr char kFieldEnd = '\0', kDigestEnd = ' ';

std::string ToText(const model::LoadedImage& loaded) {
  std::string text;
  for (const std::string* field : {&loaded.reference, &loaded.archive, &loaded.image_id})
    text += *field + kFieldEnd;
  for (const auto& digest : loaded.digests) text += digest + kDigestEnd;
  return text;
}

model::LoadedImage FromText(const std::string& text) {
  model::LoadedImage loaded;
  std::istringstream fields(text);
  for (std::string* into : {&loaded.reference, &loaded.archive, &loaded.image_id})
    std::getline(fields, *into, kFieldEnd);
  for (std::string digest; std::getline(fields, digest, kDigestEnd);)
    loaded.digests.push_back(digest);
  return loaded;
}

// Brings the image to the engine, unless what has its name there is the archive's own. `field`: of
// the spec, for a message.
base::Result<model::LoadedImage> Bring(const base::Context& ctx, const World& world,
                                       ports::ContainerEngine& engine, const crd::Image& image,
                                       const char* field, ports::ByteProgress& progress) {
  model::LoadedImage loaded{image.reference, image.archive, {}, {}};
  bool there = false;
  if (image.archive.empty()) {
    OMS_TRY(engine.PullImage(ctx, image.reference));
  } else {
    OMS_TRY(CheckArchive(*world.store, image));
    OMS_ASSIGN(const auto held, world.archives->Look(ctx, image.archive, progress));
    // Nullopt: packed in a way that only the engine knows.
    if (held) {
      auto digests = model::DigestsIn(*held, image.reference);
      if (!digests) {
        return base::MakeError(
            base::Code::kInvalid, "ImageNotInArchive",
            fmt::format("the archive {} holds no image {}, but {}; set {}.reference to the one "
                        "that is meant, or {}.archive to its archive",
                        image.archive, image.reference, model::NamesIn(*held), field, field));
      }
      loaded.digests = *std::move(digests);
      const auto listed = engine.InspectImage(ctx, image.reference);
      if (!listed.ok() && !listed.Is(base::Code::kNotFound)) return listed.error();
      there = listed.ok() && model::IsThat(*listed, loaded);
    }
    OMS_TRY(ctx.Check());
    if (!there) OMS_TRY(engine.LoadImage(ctx, image.archive, progress));
  }
  const auto listed = engine.InspectImage(ctx, image.reference);
  if (listed.Is(base::Code::kNotFound) && !image.archive.empty()) {
    return base::MakeError(
        base::Code::kInvalid, "ImageNotInArchive",
        fmt::format("the archive {} was loaded, but the engine does not list {}; set {}.reference "
                    "to the name that the archive holds",
                    image.archive, image.reference, field));
  }
  if (!listed.ok()) return listed.error();
  loaded.image_id = listed->id;
  return loaded;
}

// `expected`: the id that it must have, because something was made from it; empty: any.
void StartLoading(const base::Context& ctx, OperationSession& op, const std::string& task,
                  const std::string& node, const crd::Image& wanted, const char* field,
                  const std::string& expected) {
  op.Start(ctx, task, op.spec().strategy.timeouts.image_load,
           [world = op.world(), image = wanted, name = node, field, expected](
               const base::Context& task_ctx,
               ports::ByteProgress& progress) -> base::Result<std::string> {
             ports::ContainerEngine& engine = *world->engines.at(name);
             OMS_ASSIGN(const model::LoadedImage loaded,
                        Bring(task_ctx, *world, engine, image, field, progress));
             if (!expected.empty() && loaded.image_id != expected) {
               return base::MakeError(
                   base::Code::kInvalid, "ImageIDDiffers",
                   fmt::format("node {}: {} was {} when the new container was made, and now it is "
                               "{}; put the image back as it was, or revert spec.version",
                               name, image.reference, expected, loaded.image_id));
             }
             return ToText(loaded);
           });
}

// A task of this image that has ended well, and whose end is not written down yet. It says what
// was brought; whether that is still there the next look tells.
base::Result<bool> NoteLoaded(const base::Context& ctx, OperationSession& op,
                              const std::string& task, const model::FrozenNode& loader,
                              const crd::Image& wanted) {
  const model::TaskView* view = op.facts().Task(task);
  if (view == nullptr || view->state != model::TaskView::State::kSucceeded) return false;
  const model::LoadedImage loaded = FromText(view->output);
  if (!model::IsOf(loaded, wanted) || model::LoadedFor(op.record(), loader, wanted) != nullptr)
    return false;
  OMS_TRY(op.Save(
      ctx, [&](model::OperationRecord& record) { record.loaded_images[loader.name] = loaded; }));
  return true;
}

}  // namespace

base::Status LoadImage(const base::Context& ctx, OperationSession& op) {
  const crd::Image& wanted = op.spec().image;
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (node.kept || facts == nullptr || model::LoaderOf(op.record(), node) != node.name) continue;
    // Needed by one of those that this task loads it for.
    const bool needed = std::any_of(
        op.record().nodes.begin(), op.record().nodes.end(), [&](const model::FrozenNode& each) {
          const model::NodeFacts* seen = op.facts().Node(each.name);
          return !each.kept && model::LoaderOf(op.record(), each) == node.name && seen != nullptr &&
                 !model::IsBrought(op.record(), each, seen->target_image, wanted);
        });
    if (!needed) continue;
    const std::string task = TaskName(model::Step::kLoadImage, node.name);
    OMS_ASSIGN(const bool noted, NoteLoaded(ctx, op, task, node, wanted));
    if (noted) continue;
    OMS_TRY(ctx.Check());
    StartLoading(ctx, op, task, node.name, wanted, "spec.image", node.target_image_id);
  }
  return base::Ok();
}

base::Status LoadAssistant(const base::Context& ctx, OperationSession& op) {
  if (!op.spec().deployment.assistant) return base::Ok();
  const crd::Image& wanted = *op.spec().deployment.assistant;
  std::set<std::string> begun;  // Two components may be on one engine.
  for (const auto& node : op.record().nodes) {
    if (!node.kept || op.record().ComponentUpgraded(node)) continue;
    const model::FrozenNode& loader = *op.record().Node(model::LoaderOf(op.record(), node));
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->component ||
        model::IsBrought(op.record(), node, facts->component->image, wanted)) {
      continue;
    }
    if (!begun.insert(loader.name).second) continue;
    const std::string task = TaskName(model::Step::kLoadAssistant, loader.name);
    OMS_ASSIGN(const bool noted, NoteLoaded(ctx, op, task, loader, wanted));
    if (noted) continue;
    OMS_TRY(ctx.Check());
    StartLoading(ctx, op, task, loader.name, wanted, "spec.deployment.assistant", "");
  }
  return base::Ok();
}

base::Status SaveOldImage(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    if (node.kept || op.record().image_backups.contains(node.name)) continue;
    const std::string task = TaskName(model::Step::kSaveOldImage, node.name);
    const std::string path = "images/" + node.name + ".tar";
    if (const model::TaskView* view = op.facts().Task(task);
        view != nullptr && view->state == model::TaskView::State::kSucceeded) {
      OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
        record.image_backups[node.name] = {path, view->output, 0, 0, 0600};
      }));
      continue;
    }
    op.Start(ctx, task, op.spec().strategy.timeouts.image_load,
             [world = op.world(), node, file = std::filesystem::path(op.record().folder) / path](
                 const base::Context& task_ctx,
                 ports::ByteProgress& progress) -> base::Result<std::string> {
               // By its name where that still means this image, so that `docker load` brings the
               // name back too.
               ports::ContainerEngine& engine = *world->engines.at(node.name);
               const auto named = engine.InspectImage(task_ctx, node.old_image);
               const bool same = named.ok() && named->id == node.old_image_id;
               OMS_TRY(engine.SaveImage(task_ctx, same ? node.old_image : node.old_image_id, file,
                                        progress));
               return world->store->Sha256(file);
             });
  }
  return base::Ok();
}

}  // namespace oms::steps
