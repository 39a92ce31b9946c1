// The old containers run again: started, or made again from their inspect document and image where
// they are gone; and their restart policy as it was, once all services answer (design section 5).
#include <fmt/format.h>

#include <filesystem>

#include "reconcilers/oms/container_clone.h"
#include "reconcilers/steps/phases.h"
#include "reconcilers/steps/rollback_state.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {
namespace {

void LoadOldImage(const base::Context& ctx, OperationSession& op, const model::FrozenNode& node) {
  op.Start(
      ctx, TaskName(model::Step::kStartOldContainers, node.name),
      op.spec().strategy.timeouts.image_load,
      [world = op.world(), name = node.name, image = node.old_image, id = node.old_image_id,
       archive =
           std::filesystem::path(op.record().folder) / op.record().image_backups.at(node.name).path,
       sha256 = op.record().image_backups.at(node.name).sha256](
          const base::Context& task, ports::ByteProgress& progress) -> base::Result<std::string> {
        OMS_ASSIGN(const std::string found, world->store->Sha256(archive));
        if (found != sha256) {
          return base::MakeError(
              base::Code::kTerminal, crd::reason::kBackupCorrupt,
              fmt::format("the saved image {} is not as it was written; load the image of the "
                          "old version by hand",
                          archive.string()));
        }
        ports::ContainerEngine& engine = *world->engines.at(name);
        OMS_TRY(engine.LoadImage(task, archive, progress));
        const auto listed = engine.InspectImage(task, id);
        if (!listed.Is(base::Code::kNotFound)) return listed.ok() ? std::string() : id;
        const auto named = engine.InspectImage(task, image);
        return base::MakeError(
            base::Code::kInvalid, "OldImageDiffers",
            fmt::format("node {}: the saved image {} was loaded, and the engine lists no {}, "
                        "of which the old container was{}; was the engine given another store "
                        "of images? Give it back the one that it had, or bring that image "
                        "there, then annotate {}",
                        name, archive.string(), id,
                        named.ok() ? fmt::format(" ({} is {})", image, named->id) : "",
                        crd::kResetAt));
      });
}

base::Status Recreate(const base::Context& ctx, OperationSession& op,
                      const model::FrozenNode& node) {
  // By its name only where that still means this image; the tag may point elsewhere by now.
  const auto named = op.engine(node.name).InspectImage(ctx, node.old_image);
  const bool same = named.ok() && named->id == node.old_image_id;
  OMS_ASSIGN(const std::string body,
             product::RecreateFromInspect(node.old_inspect, same ? node.old_image : ""));
  OMS_TRY(ctx.Check());
  const auto created = op.engine(node.name).Create(ctx, node.old_name, body);
  // Somebody was faster. If it was a process before us, the next look finds it by name and image.
  if (created.Is(base::Code::kAlreadyExists)) {
    return base::MakeError(base::Code::kTransient, "NameTaken",
                           fmt::format("node {}: the name '{}' is taken by another container",
                                       node.name, node.old_name));
  }
  if (!created.ok()) return created.error();
  op.Warn("OldContainerRecreated",
          fmt::format("node {}: the container '{}' was gone and was made again from its settings",
                      node.name, node.old_name));
  return base::Ok();
}

}  // namespace

base::Status StartOldContainers(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !NewOneIsGone(op.record(), *facts) || GoesOn(op.record(), node))
      continue;
    if (!facts->old_container) {
      if (facts->old_image_gone) {
        LoadOldImage(ctx, op, node);
      } else {
        OMS_TRY(Recreate(ctx, op, node));
      }
      continue;
    }
    if (!op.record().Passed(model::PointKind::kOldStarting, node.name)) {
      const base::WallTime now = op.facts().now;
      OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
        for (auto& frozen : record.nodes) {
          // Its last run before ours, so that ours can be told from it.
          if (frozen.name == node.name) frozen.old_started_at = facts->old_container->started_at;
        }
        record.points.push_back({model::PointKind::kOldStarting, node.name, "", 1, now});
      }));
      ctx.log().With("point", "OldStarting").Info("point passed");
    }
    OMS_TRY(ctx.Check());
    OMS_TRY(op.engine(node.name).Start(ctx, facts->old_container->id));
  }
  return base::Ok();
}

base::Status AcceptOldHealth(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts != nullptr && OldConsoleHeld(*facts))
      return LetConsoleStart(ctx, op, node.name, facts->old_container->id);
  }
  for (const auto& node : op.record().nodes) {
    if (GoesOn(op.record(), node)) continue;
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->old_container) return base::Ok();
    OMS_TRY(ctx.Check());
    OMS_TRY(op.engine(node.name).SetRestartPolicy(
        ctx, facts->old_container->id, node.old_restart_policy, node.old_restart_retries));
  }
  const base::WallTime seen = ctx.clock().Wall();
  return op.Save(ctx, [&](model::OperationRecord& record) {
    record.evidence.emplace(model::NameOf(model::Step::kAwaitOldHealth), seen);
    if (!record.ha_was_on) record.t2 = seen;
  });
}

}  // namespace oms::steps
