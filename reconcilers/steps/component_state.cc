#include "reconcilers/steps/component_state.h"

#include <fmt/format.h>

#include "reconcilers/model/scripts.h"
#include "reconcilers/model/target_image.h"

namespace oms::steps {

using namespace rows;  // NOLINT(google-build-using-namespace): made for the tables of state.

namespace {

// Whoever reads it has to know what going back does not undo.
std::string Onward(const model::OperationRecord& record, const model::FrozenNode& frozen) {
  return fmt::format(
      "ask technical support how '{}' goes on, as the guide gives no way back for a component; "
      "revert spec.version to {} to leave the management container as it is",
      frozen.old_name, record.from);
}

StepState NoAssistant() {
  return Failed(crd::reason::kInvalidSpec,
                "spec.deployment.assistant is gone, and a component is still to be upgraded with "
                "it; write it again");
}

// After the script: OMS is not stopped beside a component that is not well.
StepState AwaitComponent(const Input& in, const model::FrozenNode& frozen,
                         const model::NodeFacts& node) {
  if (!node.health) return Running("waiting for node " + frozen.name);
  const std::string missing = node.health->Missing();
  if (missing.empty()) return Pending();
  const auto begun = in.record.PassedAt(model::PointKind::kScriptStarting, frozen.name);
  const crd::Timeouts& timeouts = in.spec.strategy.timeouts;
  if (begun && in.facts.now - *begun > timeouts.script + timeouts.healthy) {
    return Failed("ServicesNotHealthy",
                  fmt::format("node {}: the component '{}' is not healthy after its upgrade: {}; "
                              "OMS is not stopped. Mend that, or {}",
                              frozen.name, frozen.old_name, missing, Onward(in.record, frozen)));
  }
  return Running(fmt::format("node {}: {}", frozen.name, missing));
}

}  // namespace

Arrival ArrivalOf(const crd::Spec& spec, const model::OperationRecord& record,
                  const model::FrozenNode& frozen, const model::NodeFacts& node,
                  base::WallTime now) {
  using Kind = Arrival::Kind;
  const auto begun = record.PassedAt(model::PointKind::kComponentUpgrading, frozen.name);
  if (!begun || !node.component || !node.component->assistant ||
      node.component->assistant->status == "created") {
    return {};
  }
  const ports::ContainerInfo& assistant = *node.component->assistant;
  const std::string script =
      fmt::format("{}/{}", model::kComponentScriptFolder, model::kComponentScriptFile);
  // With its time, so that each run that fails is counted as another one (failures.h).
  if (!assistant.running) {
    if (assistant.exit_code != 0) {
      return {
          Kind::kFailed,
          fmt::format("the assistant '{}' ended with exit code {} at {}; see `docker logs {}`",
                      assistant.name, assistant.exit_code, assistant.finished_at, assistant.name)};
    }
    if (node.component->script_there) return {Kind::kArrived, {}};
    return {
        Kind::kFailed,
        fmt::format("the assistant '{}' has ended at {}, and left no {} in the component; is {} "
                    "the upgrade assistant's image?",
                    assistant.name, assistant.finished_at, script, assistant.image)};
  }
  if (node.component->script_there && now - *begun >= kAssistantTakes) return {Kind::kArrived, {}};
  if (now - *begun <= kAssistantTakes + spec.strategy.timeouts.start) return {Kind::kCopies, {}};
  return {Kind::kFailed,
          fmt::format("the assistant '{}' runs since {}, and has put no {} into the component "
                      "within {}",
                      assistant.name, assistant.started_at, script,
                      base::FormatDuration(kAssistantTakes + spec.strategy.timeouts.start))};
}

StepState LoadAssistant(const Input& in) {
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
            "ImageIDDiffers",
            fmt::format("node {}: {} has the id {}, but spec.deployment.assistant.id asks for "
                        "{}; load the right archive or correct the id",
                        frozen.name, wanted.reference, image->id, wanted.id));
      });
}

StepState UpgradeComponents(const Input& in) {
  if (!in.record.KeepsTasks()) return Skipped(kNoneKept);
  if (in.Passed(model::PointKind::kStopping)) return Done();
  // The first that is not done, so one component after the other.
  return EachOf(
      in, Which::kKept, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        if (in.record.ComponentUpgraded(frozen)) return Done();
        if (!node.old_container || !node.component)
          return Running("waiting for node " + frozen.name);
        const std::string step(model::NameOf(model::Step::kUpgradeComponents));
        if (in.record.LastAttempt(model::PointKind::kScriptStarting, frozen.name, step) > 0) {
          StepState script = RowOfScript(in, model::Step::kUpgradeComponents, frozen, &node,
                                         Onward(in.record, frozen));
          return script.complete() ? AwaitComponent(in, frozen, node) : script;
        }
        const Arrival arrival = ArrivalOf(in.spec, in.record, frozen, node, in.facts.now);
        switch (arrival.kind) {
          case Arrival::Kind::kNotYet:
            return in.spec.deployment.assistant ? Pending() : NoAssistant();
          case Arrival::Kind::kArrived: return Pending();
          case Arrival::Kind::kCopies:
            return Running(
                fmt::format("the upgrade assistant copies its packages on node {}", frozen.name));
          case Arrival::Kind::kFailed: break;
        }
        StepState failed =
            Failed("AssistantFailed", fmt::format("node {}: {}", frozen.name, arrival.why));
        failed.retryable = failed.repeatable =
            true;  // It copies files: to do that again is the same.
        return failed;
      });
}

}  // namespace oms::steps
