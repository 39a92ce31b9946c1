#include "reconcilers/steps/component.h"

#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"
#include "reconcilers/act/helper_container.h"
#include "reconcilers/act/once_script.h"
#include "reconcilers/observe/script_look.h"
#include "reconcilers/steps/scripts.h"

namespace oms::steps {

namespace {

// Whoever reads it has to know what going back does not undo.
std::string Onward(const model::OperationRecord& record, const model::FrozenNode& frozen) {
  return fmt::format(
      "ask technical support how to continue with '{}', as the guide describes no rollback of a "
      "component; revert spec.version to {} to leave the management container unchanged",
      frozen.old_name, record.from);
}

// After the script: OMS is not stopped beside a component that is not well.
StepState AwaitComponent(const StepInput& in, const model::FrozenNode& frozen,
                         const model::NodeFacts& node) {
  if (!node.health) return Running("waiting for node " + frozen.name);
  const std::string missing = node.health->Missing();
  if (missing.empty()) return Pending();
  const auto begun = in.record.PassedAt(model::PointKind::kScriptStarting, frozen.name);
  const crd::Timeouts& timeouts = in.spec.strategy.timeouts;
  if (begun && in.facts.now - *begun > timeouts.script + timeouts.healthy) {
    return Failed(crd::reason::kServicesNotHealthy,
                  fmt::format("node {}: the component '{}' is not healthy after its upgrade: {}; "
                              "OMS is not stopped. Repair the component, or {}",
                              frozen.name, frozen.old_name, missing, Onward(in.record, frozen)));
  }
  return Running(fmt::format("node {}: {}", frozen.name, missing));
}

// As the guide runs it: `docker run -d -v <folder>/rpm:/root/rpm --name oms-upgrade-tool <image>`.
ports::ContainerSpec AssistantOf(const act::Helper& helper, const std::string& run_folder) {
  ports::ContainerSpec spec;
  spec.image = helper.image_id;
  spec.labels = helper.labels;
  spec.mounts = {{.source = run_folder + "/rpm",
                  .destination = std::string(model::kAssistantFolder),
                  .make_source = true}};
  return spec;
}

base::Status RemoveContainer(const base::Context& ctx, ports::ContainerEngine& engine,
                             const std::string& id) {
  OMS_TRY(ctx.Check());
  const auto removed = engine.Remove(ctx, id, true);
  return removed.Is(base::Code::kNotFound) ? base::Ok() : removed;
}

base::Status RunAssistant(const base::Context& ctx, OperationSession& op,
                          const model::FrozenNode& node, const model::NodeFacts& facts,
                          const AssistantState& assistant_state) {
  ports::ContainerEngine& engine = op.engine(node.name);
  if (const auto& assistant = facts.component->assistant) {
    // The next look finds none, and it is made anew.
    if (assistant_state.kind == AssistantState::Kind::kFailed)
      return RemoveContainer(ctx, engine, assistant->id);
    OMS_TRY(ctx.Check());
    return engine.Start(ctx, assistant->id);
  }
  const ports::Mount* run = facts.old_container->FindMount(model::kRunFolder);
  if (run == nullptr || !facts.component->image) {
    return base::MakeError(
        base::Code::kTransient, crd::reason::kAssistantFailed,
        fmt::format("node {}: the mount {} or the assistant's image no longer exists", node.name,
                    model::kRunFolder));
  }
  act::Helper helper =
      act::HelperFor(op.record(), node.name, facts.component->image->id, "assistant");
  helper.name = model::kAssistantName;
  const int last = op.record().LastAttempt(model::PointKind::kComponentUpgrading, node.name);
  OMS_TRY(op.RecordPoint(ctx, model::PointKind::kComponentUpgrading, node.name, std::nullopt,
                         last + 1));
  OMS_TRY(ctx.Check());
  const auto created = engine.Create(ctx, helper.name, AssistantOf(helper, run->source));
  if (created.Is(base::Code::kAlreadyExists)) {
    return base::MakeError(base::Code::kTransient, crd::reason::kNameTaken,
                           fmt::format("node {}: the name '{}' is taken by another container; "
                                       "remove it",
                                       node.name, helper.name));
  }
  if (!created.ok()) return created.error();
  OMS_TRY(ctx.Check());
  return engine.Start(ctx, *created);
}

// "You can remove the upgrade assistant tool": what cannot be removed holds nothing up.
void RemoveAssistantImage(const base::Context& ctx, OperationSession& op,
                          const model::FrozenNode& node) {
  if (!op.spec().deployment.assistant) return;
  const auto& nodes = op.record().nodes;
  const bool needed = std::any_of(nodes.begin(), nodes.end(), [&](const model::FrozenNode& other) {
    return other.keeps_running && other.engine_id == node.engine_id && other.name != node.name &&
           !op.record().ComponentUpgraded(other);
  });
  if (needed) return;
  const std::string& reference = op.spec().deployment.assistant->reference;
  const auto removed = op.engine(node.name).RemoveImage(ctx, reference);
  if (removed.ok() || removed.Is(base::Code::kNotFound)) return;
  ctx.log().Warn("node {}: the image {} could not be removed: {}", node.name, reference,
                 removed.error().message);
}

base::Status Finish(const base::Context& ctx, OperationSession& op, const model::FrozenNode& node,
                    const model::NodeFacts& facts) {
  if (facts.component->assistant)
    OMS_TRY(RemoveContainer(ctx, op.engine(node.name), facts.component->assistant->id));
  OMS_TRY(ctx.Check());
  RemoveAssistantImage(ctx, op, node);
  OMS_TRY(NoteUpgradedComponent(ctx, op, node));
  op.Event(crd::reason::kComponentUpgraded,
           fmt::format("node {}: the component '{}' was upgraded to {} while it was running; the "
                       "guide describes no rollback of it",
                       node.name, node.old_name, op.record().to));
  return base::Ok();
}

}  // namespace

StepState NoAssistant() {
  return Failed(crd::reason::kInvalidSpec,
                "spec.deployment.assistant was removed, but a component still has to be upgraded "
                "with it; add it again");
}

AssistantState AssistantStateOf(const crd::Spec& spec, const model::OperationRecord& record,
                                const model::FrozenNode& frozen, const model::NodeFacts& node,
                                base::WallTime now) {
  using Kind = AssistantState::Kind;
  const auto begun = record.PassedAt(model::PointKind::kComponentUpgrading, frozen.name);
  if (!begun || !node.component || !node.component->assistant ||
      node.component->assistant->status == "created") {
    return {};
  }
  const ports::ContainerInfo& assistant = *node.component->assistant;
  const std::string script =
      fmt::format("{}/{}", model::kComponentScriptFolder, model::kComponentScriptFile);
  if (!assistant.running) {
    if (assistant.exit_code != 0) {
      return {
          Kind::kFailed,
          fmt::format("the assistant '{}' ended with exit code {} at {}; see `docker logs {}`",
                      assistant.name, assistant.exit_code, assistant.finished_at, assistant.name)};
    }
    if (node.component->script_there) return {Kind::kArrived, {}};
    return {Kind::kFailed,
            fmt::format("the assistant '{}' ended at {} and left no {} in the component; check "
                        "that {} is the upgrade assistant's image",
                        assistant.name, assistant.finished_at, script, assistant.image)};
  }
  if (node.component->script_there && now - *begun >= kAssistantTakes) return {Kind::kArrived, {}};
  if (now - *begun <= kAssistantTakes + spec.strategy.timeouts.start) return {Kind::kCopies, {}};
  return {Kind::kFailed,
          fmt::format("the assistant '{}' has been running since {}, but has put no {} into the "
                      "component within {}",
                      assistant.name, assistant.started_at, script,
                      base::FormatDuration(kAssistantTakes + spec.strategy.timeouts.start))};
}

StepState UpgradeComponents::Judge(const StepInput& in) {
  if (!in.record.KeepsTasks()) return Skipped(kNoneKept);
  if (in.Passed(model::PointKind::kStopping)) return Done();
  // The first that is not done, so one component after the other.
  return EachOf(
      in, Which::kKept, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
        if (in.record.ComponentUpgraded(frozen)) return Done();
        if (!node.old_container || !node.component)
          return Running("waiting for node " + frozen.name);
        if (in.record.LastAttempt(model::PointKind::kScriptStarting, frozen.name, kStep) > 0) {
          StepState script = JudgeScript(in, kStep, frozen, &node, Onward(in.record, frozen));
          return script.complete() ? AwaitComponent(in, frozen, node) : script;
        }
        const AssistantState assistant_state =
            AssistantStateOf(in.spec, in.record, frozen, node, in.facts.now);
        switch (assistant_state.kind) {
          case AssistantState::Kind::kNotYet:
            return in.spec.deployment.assistant ? Pending() : NoAssistant();
          case AssistantState::Kind::kArrived: return Pending();
          case AssistantState::Kind::kCopies:
            return Running(fmt::format("the upgrade assistant is copying its packages on node {}",
                                       frozen.name));
          case AssistantState::Kind::kFailed: break;
        }
        StepState failed = Failed(crd::reason::kAssistantFailed,
                                  fmt::format("node {}: {}", frozen.name, assistant_state.why));
        // It copies files: to do that again is the same.
        failed.retryable = true;
        failed.attempt = "assistant " + node.component->assistant->id;
        return failed;
      });
}

base::Status UpgradeComponents::Act(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    if (!node.keeps_running || op.record().ComponentUpgraded(node)) continue;
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->old_container || !facts->component) return base::Ok();
    const int attempt =
        op.record().LastAttempt(model::PointKind::kScriptStarting, node.name, kStep);
    if (attempt == 0) {
      const AssistantState assistant_state =
          AssistantStateOf(op.spec(), op.record(), node, *facts, op.facts().now);
      if (assistant_state.kind != AssistantState::Kind::kArrived)
        return RunAssistant(ctx, op, node, *facts, assistant_state);
    } else if (facts->script && facts->script->kind == model::ScriptState::Kind::kEnded) {
      return facts->script->exit_code == 0 ? Finish(ctx, op, node, *facts) : base::Ok();
    }
    return RunScriptOnce(ctx, op, model::Step::kUpgradeComponents, node, facts->old_container->id);
  }
  return base::Ok();
}

std::string UpgradeComponents::Plan(const UpgradeSubject& plan) {
  if (!plan.Kept()) return fmt::format("skipped, {}", kNoneKept);
  std::vector<std::string> todo, done;
  for (const auto& node : plan.nodes) {
    if (!node.keeps_running) continue;
    const auto known = plan.components.find(node.name);
    const bool upgraded = known != plan.components.end() &&
                          known->second.container_id == node.old_id &&
                          known->second.version == plan.to;
    (upgraded ? done : todo).push_back(node.old_name + " on " + node.name);
  }
  std::string text;
  if (!todo.empty()) {
    text = fmt::format(
        "while its tasks run, put the upgrade assistant's packages into the run folder of {} and "
        "run {} there, once, then remove the assistant; THERE IS NO WAY BACK for a component: the "
        "guide describes no rollback of it, and a rollback does not change it",
        List(todo), model::kComponentScriptFile);
  }
  if (!done.empty()) {
    text += fmt::format("{}{} was already upgraded to {}, and is not changed",
                        text.empty() ? "" : "; ", List(done), plan.to.ToString());
  }
  return text;
}

std::string UpgradeComponents::Summary(const model::OperationRecord& record) {
  return NamesOf(record, &model::FrozenNode::old_name, true) +
         ", while it was running; there is no way back for it";
}

const char* UpgradeComponents::LeftOut(const model::OperationRecord& record) {
  return record.KeepsTasks() ? nullptr : kNoneKept;
}

bool StaysRunning(const model::OperationRecord& record, const model::FrozenNode& node) {
  return node.keeps_running && !record.Passed(model::PointKind::kNewStarting);
}

base::Status NoteUpgradedComponent(const base::Context& ctx, OperationSession& op,
                                   const model::FrozenNode& node) {
  const base::WallTime now = ctx.clock().Wall();
  const model::UpgradedComponent done{node.old_id, op.record().to, now};
  return op.Save(ctx, [&](model::OperationRecord& record) { record.components[node.name] = done; });
}

std::optional<StepState> AwaitComponentScript(const StepInput& in, const model::FrozenNode& frozen,
                                              const model::NodeFacts& node) {
  if (!frozen.keeps_running || in.record.ComponentUpgraded(frozen)) return std::nullopt;
  const bool runs = node.old_container && node.old_container->running;
  if (!node.script) {
    const int begun = in.record.LastAttempt(model::PointKind::kScriptStarting, frozen.name,
                                            model::Step::kUpgradeComponents);
    // It could not be looked at, which is no word on whether it runs.
    if (begun == 0 || !node.old_container) return std::nullopt;
    return Running(
        fmt::format("waiting for the engine of node {}: it is unknown whether the upgrade script "
                    "of the component '{}' is running",
                    frozen.name, frozen.old_name));
  }
  switch (node.script->kind) {
    case model::ScriptState::Kind::kRunning: {
      StepState waiting = Running(
          fmt::format("waiting for the upgrade script of the component '{}' on node {} to finish",
                      frozen.old_name, frozen.name));
      return waiting;
    }
    case model::ScriptState::Kind::kNoFolder:
      return runs ? std::optional(Pending("an attempt that nobody has seen is claimed"))
                  : std::nullopt;
    case model::ScriptState::Kind::kEnded:
      return node.script->exit_code == 0 ? std::optional(Pending()) : std::nullopt;
    case model::ScriptState::Kind::kNeverRan:
    case model::ScriptState::Kind::kUnknown: break;
  }
  return std::nullopt;
}

base::Status SettleComponentScript(const base::Context& ctx, OperationSession& op,
                                   const model::FrozenNode& node, const model::NodeFacts& facts) {
  if (!facts.script || !facts.old_container || op.record().ComponentUpgraded(node))
    return base::Ok();
  if (facts.script->kind == model::ScriptState::Kind::kEnded && facts.script->exit_code == 0)
    return NoteUpgradedComponent(ctx, op, node);
  if (facts.script->kind != model::ScriptState::Kind::kNoFolder || !facts.old_container->running)
    return base::Ok();
  const int attempt = op.record().LastAttempt(model::PointKind::kScriptStarting, node.name,
                                              model::Step::kUpgradeComponents);
  OMS_ASSIGN(const std::string marker,
             observe::MarkerPath(op.record().id, model::kComponentScript.mark, attempt));
  OMS_TRY(ctx.Check());
  const auto claimed =
      act::ClaimAttempt(ctx, op.engine(node.name), facts.old_container->id, marker);
  return claimed.ok() ? base::Ok() : base::Status(claimed.error());
}

}  // namespace oms::steps
