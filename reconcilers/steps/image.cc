#include "reconcilers/steps/image.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "controller/base/human.h"
#include "crd/reasons.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/steps/component.h"
#include "reconcilers/steps/old_containers.h"

namespace oms::steps {

namespace {

// Its image is what it is now, by its id: from when the new container is made from it on.
StepState LoadImageOn(const StepInput& in, const model::FrozenNode& frozen,
                      const model::NodeFacts& node) {
  if (OldOneIsGone(in, node)) return Done();
  const crd::Image& image = in.spec.image;
  const std::string loading = TaskName(model::Step::kLoadImage, model::LoaderOf(in.record, frozen));
  const model::TaskView* task = in.facts.Task(loading);
  if (!model::IsBrought(in.record, frozen, node.target_image, image)) {
    if (task != nullptr && task->state != model::TaskView::State::kSucceeded) {
      return FromTask(*task, fmt::format("loading {} on node {}", image.reference, frozen.name));
    }
    // Nowhere else to look for the image that spec.image.id asks for.
    const bool other = node.target_image && !model::IsWantedImage(*node.target_image, image);
    if (other && (image.archive.empty() || model::LoadedFor(in.record, frozen, image) != nullptr)) {
      return Failed(crd::reason::kImageIdDiffers,
                    fmt::format("node {}: {} has the id {}, but spec.image.id asks for {}; load "
                                "the right archive or correct spec.image.id",
                                frozen.name, image.reference, node.target_image->id, image.id));
    }
    return Pending(fmt::format("{} is not on node {} yet, or is another image than the archive's",
                               image.reference, frozen.name));
  }
  if (!in.Passed(model::PointKind::kStopping)) {
    const model::RunningImage running{frozen.name, frozen.old_name, frozen.old_image_id};
    if (const auto wrong = model::CheckImage(in.spec, in.record.to, running, *node.target_image))
      return Failed(wrong->reason, wrong->message);
  }
  if (node.script_in_image == false) {
    const bool script =
        node.missing_in_image.empty() || node.missing_in_image == in.path.upgrade_script;
    return Failed(script ? crd::reason::kUpgradeScriptMissing : crd::reason::kCorrectionJarMissing,
                  fmt::format("node {}: image {} has no {} where version {} keeps it{}; check "
                              "that it is an OMS image, or set {}",
                              frozen.name, image.reference,
                              script ? "upgrade script" : "correction jar, or no java for it,",
                              in.record.to, script ? "" : " (" + node.missing_in_image + ")",
                              script ? "spec.deployment.upgradeScript" : "spec.legacy.jarPath"));
  }
  return Done();
}

// Checks the archive's checksum before a byte of it reaches an engine.
base::Status CheckArchive(ports::RecordStoreView& store, const crd::Image& image) {
  if (image.sha256.empty()) return base::Ok();
  OMS_ASSIGN(const std::string found, store.Sha256(image.archive));
  if (found == image.sha256) return base::Ok();
  return base::MakeError(
      base::Code::kInvalid, crd::reason::kArchiveChecksumDiffers,
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
            base::Code::kInvalid, crd::reason::kImageNotInArchive,
            fmt::format("the archive {} contains no image {}, but {}; set {}.reference to the "
                        "right image, or {}.archive to its archive",
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
    return base::MakeError(base::Code::kInvalid, crd::reason::kImageNotInArchive,
                           fmt::format("the archive {} was loaded, but the engine does not list "
                                       "{}; set {}.reference to the name in the archive",
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
                   base::Code::kInvalid, crd::reason::kImageIdDiffers,
                   fmt::format("node {}: {} was {} when the new container was made, and now it is "
                               "{}; restore the previous image, or revert spec.version",
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

StepState LoadImage::Judge(const StepInput& in) {
  if (in.Passed(model::PointKind::kNewStarting)) return Done();
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    return LoadImageOn(in, frozen, node);
  });
}

base::Status LoadImage::Act(const base::Context& ctx, OperationSession& op) {
  const crd::Image& wanted = op.spec().image;
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (node.keeps_running || facts == nullptr || model::LoaderOf(op.record(), node) != node.name)
      continue;
    // Needed by one of those that this task loads it for.
    const bool needed = std::any_of(
        op.record().nodes.begin(), op.record().nodes.end(), [&](const model::FrozenNode& each) {
          const model::NodeFacts* seen = op.facts().Node(each.name);
          return !each.keeps_running && model::LoaderOf(op.record(), each) == node.name &&
                 seen != nullptr &&
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

std::string LoadImage::Plan(const UpgradeSubject& plan) {
  const crd::Image& image = plan.spec.image;
  std::vector<std::string> there, missing;
  for (const auto& node : plan.nodes) {
    if (node.keeps_running) continue;
    const model::NodeFacts* facts = plan.facts.Node(node.name);
    (facts != nullptr && facts->target_image ? there : missing).push_back(node.name);
  }
  const std::string archive =
      image.archive + (plan.facts.archive_bytes
                           ? fmt::format(" ({})", base::Human(*plan.facts.archive_bytes))
                           : "");
  std::string text;
  if (!missing.empty() && image.archive.empty()) {
    text = fmt::format("pull {} on {}", image.reference, List(missing));
  } else if (!missing.empty()) {
    text = fmt::format("load {} from {} on {}", image.reference, archive, List(missing));
  }
  if (!there.empty()) {
    text += fmt::format("{}{} is on {} already", text.empty() ? "" : "; ",
                        text.empty() ? image.reference : "it", List(there));
    if (!image.archive.empty() && image.id.empty())
      text += fmt::format(", and is loaded from {} if that contains another one",
                          missing.empty() ? archive : "the archive");
  }
  if (image.id.empty() && image.archive.empty()) {
    text +=
        "; the image is not verified, because neither spec.image.id nor spec.image.archive is set";
  }
  return text;
}

std::string LoadImage::Summary(const model::OperationRecord& record) {
  return record.image.reference;
}

StepState SaveOldImage::Judge(const StepInput& in) {
  if (!in.spec.backup.image) return Skipped("spec.backup.image is false");
  if (in.Passed(model::PointKind::kStopping)) return Done();
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts&) {
    if (in.record.image_backups.contains(frozen.name)) return Done();
    if (const model::TaskView* task =
            in.facts.Task(TaskName(model::Step::kSaveOldImage, frozen.name));
        task != nullptr && task->state != model::TaskView::State::kSucceeded) {
      return FromTask(*task, fmt::format("saving the image of version {} of node {}",
                                         in.record.from, frozen.name));
    }
    return Pending();
  });
}

base::Status SaveOldImage::Act(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    if (node.keeps_running || op.record().image_backups.contains(node.name)) continue;
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

std::string SaveOldImage::Plan(const UpgradeSubject& plan) {
  if (!plan.spec.backup.image) return "skipped, spec.backup.image is false";
  return fmt::format("save {} into {}", plan.Nodes([](const auto& node) {
    return fmt::format("{} of {}", node.old_image.empty() ? "the image" : node.old_image,
                       node.name);
  }),
                     plan.directory);
}

StepState LoadAssistant::Judge(const StepInput& in) {
  if (!in.record.KeepsTasks()) return Skipped(kNoneKept);
  return EachOf(
      in, Which::kKept, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        if (in.record.ComponentUpgraded(frozen) ||
            in.record.Passed(model::PointKind::kComponentUpgrading, frozen.name)) {
          return Done();
        }
        if (!in.spec.deployment.assistant) return NoAssistant();
        const crd::Image& wanted = *in.spec.deployment.assistant;
        if (!node.component) return Running("waiting for the engine of node " + frozen.name);
        const auto& image = node.component->image;
        if (model::IsBrought(in.record, frozen, image, wanted)) return Done();
        const model::TaskView* task = in.facts.Task(
            TaskName(model::Step::kLoadAssistant, model::LoaderOf(in.record, frozen)));
        if (task != nullptr && task->state != model::TaskView::State::kSucceeded)
          return FromTask(*task,
                          fmt::format("loading {} on node {}", wanted.reference, frozen.name));
        const bool other = image && !model::IsWantedImage(*image, wanted);
        if (!other ||
            (!wanted.archive.empty() && model::LoadedFor(in.record, frozen, wanted) == nullptr))
          return Pending(
              fmt::format("{} is not on node {} yet, or is another image than the archive's",
                          wanted.reference, frozen.name));
        return Failed(
            crd::reason::kImageIdDiffers,
            fmt::format("node {}: {} has the id {}, but spec.deployment.assistant.id asks for "
                        "{}; load the right archive or correct the id",
                        frozen.name, wanted.reference, image->id, wanted.id));
      });
}

base::Status LoadAssistant::Act(const base::Context& ctx, OperationSession& op) {
  if (!op.spec().deployment.assistant) return base::Ok();
  const crd::Image& wanted = *op.spec().deployment.assistant;
  std::set<std::string> begun;  // Two components may be on one engine.
  for (const auto& node : op.record().nodes) {
    if (!node.keeps_running || op.record().ComponentUpgraded(node)) continue;
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

std::string LoadAssistant::Plan(const UpgradeSubject& plan) {
  if (!plan.Kept()) return fmt::format("skipped, {}", kNoneKept);
  if (!plan.spec.deployment.assistant) return "spec.deployment.assistant is missing";
  const crd::Image& image = *plan.spec.deployment.assistant;
  return fmt::format("{} {}{} where it is not there yet", image.archive.empty() ? "pull" : "load",
                     image.reference,
                     image.archive.empty() ? "" : fmt::format(" from {}", image.archive));
}

const char* LoadAssistant::LeftOut(const model::OperationRecord& record) {
  return record.KeepsTasks() ? nullptr : kNoneKept;
}

}  // namespace oms::steps
