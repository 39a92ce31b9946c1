// Step 2: the new image, on every node, and a copy of the old one for the way back (design section
// 4, row 2).
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "reconcilers/phases/phases.h"
#include "reconcilers/state.h"

namespace oms::upgrade {
namespace {

// Checks the archive's checksum before a byte of it reaches an engine.
base::Status CheckArchive(RecordStore& store, const crd::Image& image) {
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

void StartLoading(const base::Context& ctx, OperationSession& op, const std::string& task,
                  const std::string& node, const crd::Image& wanted) {
  op.Start(ctx, task, op.spec().strategy.timeouts.image_load,
           [world = op.world(), image = wanted, name = node](
               const base::Context& task_ctx, ByteProgress& progress) -> base::Result<std::string> {
             ContainerEngine& engine = *world->engines.at(name);
             if (image.archive.empty()) {
               OMS_TRY(engine.PullImage(task_ctx, image.reference));
               return image.reference;
             }
             OMS_TRY(CheckArchive(*world->store, image));
             OMS_TRY(engine.LoadImage(task_ctx, image.archive, progress));
             return image.reference;
           });
}

}  // namespace

base::Status LoadImage(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const NodeFacts* facts = op.facts().Node(node.name);
    if (node.kept || facts == nullptr || LoaderOf(op.record(), node) != node.name) continue;
    // Needed by one of those that this task loads it for.
    const bool needed = std::any_of(
        op.record().nodes.begin(), op.record().nodes.end(), [&](const FrozenNode& each) {
          const NodeFacts* seen = op.facts().Node(each.name);
          return !each.kept && LoaderOf(op.record(), each) == node.name && seen != nullptr &&
                 !(seen->target_image && IsWantedImage(*seen->target_image, op.spec().image));
        });
    if (!needed) continue;
    OMS_TRY(ctx.Check());
    StartLoading(ctx, op, TaskName(Step::kLoadImage, node.name), node.name, op.spec().image);
  }
  return base::Ok();
}

base::Status LoadAssistant(const base::Context& ctx, OperationSession& op) {
  if (!op.spec().deployment.assistant) return base::Ok();
  const crd::Image& wanted = *op.spec().deployment.assistant;
  std::set<std::string> begun;  // Two components may be on one engine.
  for (const auto& node : op.record().nodes) {
    if (!node.kept || op.record().ComponentUpgraded(node)) continue;
    const std::string loader = LoaderOf(op.record(), node);
    const NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->component ||
        (facts->component->image && IsWantedImage(*facts->component->image, wanted))) {
      continue;
    }
    if (!begun.insert(loader).second) continue;
    OMS_TRY(ctx.Check());
    StartLoading(ctx, op, TaskName(Step::kLoadAssistant, loader), loader, wanted);
  }
  return base::Ok();
}

base::Status SaveOldImage(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    if (node.kept || op.record().image_backups.contains(node.name)) continue;
    const std::string task = TaskName(Step::kSaveOldImage, node.name);
    const std::string path = "images/" + node.name + ".tar";
    if (const TaskView* view = op.facts().Task(task);
        view != nullptr && view->state == TaskView::State::kSucceeded) {
      OMS_TRY(op.Save(ctx, [&](OperationRecord& record) {
        record.image_backups[node.name] = {path, view->output, 0, 0, 0600};
      }));
      continue;
    }
    op.Start(
        ctx, task, op.spec().strategy.timeouts.image_load,
        [world = op.world(), node, file = std::filesystem::path(op.record().folder) / path](
            const base::Context& task_ctx, ByteProgress& progress) -> base::Result<std::string> {
          // By its name where that still means this image, so that `docker load` brings the name
          // back too.
          ContainerEngine& engine = *world->engines.at(node.name);
          const auto named = engine.InspectImage(task_ctx, node.old_image);
          const bool same = named.ok() && named->id == node.old_image_id;
          OMS_TRY(engine.SaveImage(task_ctx, same ? node.old_image : node.old_image_id, file,
                                   progress));
          return world->store->Sha256(file);
        });
  }
  return base::Ok();
}

}  // namespace oms::upgrade
