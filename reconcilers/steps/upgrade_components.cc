// Components that keep running, one after the other (guide step 2.1, note): the assistant puts its
// packages into the component's run folder, a script in the component installs them, once, and the
// assistant goes again. Management containers run all the while.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reconcilers/act/helper_container.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/steps/component_state.h"
#include "reconcilers/steps/phases.h"

namespace oms::steps {
namespace {

// As the guide runs it: `docker run -d -v <folder>/rpm:/root/rpm --name oms-upgrade-tool <image>`.
// A bind, as that makes the folder where there is none.
std::string AssistantBody(const act::Helper& helper, const std::string& run_folder) {
  using Json = nlohmann::json;
  const Json body = {
      {"Image", helper.image_id},
      {"Labels", helper.labels},
      {"HostConfig",
       {{"Binds", Json::array({fmt::format("{}/rpm:{}", run_folder, model::kAssistantFolder)})},
        {"RestartPolicy", {{"Name", "no"}}}}}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

base::Status RemoveContainer(const base::Context& ctx, ports::ContainerEngine& engine,
                             const std::string& id) {
  OMS_TRY(ctx.Check());
  const auto removed = engine.Remove(ctx, id, true);
  return removed.Is(base::Code::kNotFound) ? base::Ok() : removed;
}

base::Status RunAssistant(const base::Context& ctx, OperationSession& op,
                          const model::FrozenNode& node, const model::NodeFacts& facts,
                          const Arrival& arrival) {
  ports::ContainerEngine& engine = op.engine(node.name);
  if (const auto& assistant = facts.component->assistant) {
    // The next look finds none, and it is made anew.
    if (arrival.kind == Arrival::Kind::kFailed) return RemoveContainer(ctx, engine, assistant->id);
    OMS_TRY(ctx.Check());
    return engine.Start(ctx, assistant->id);
  }
  const ports::Mount* run = facts.old_container->FindMount(model::kRunFolder);
  if (run == nullptr || !facts.component->image) {
    return base::MakeError(
        base::Code::kTransient, "AssistantFailed",
        fmt::format("node {}: the mount {} or the assistant's image is not there "
                    "any more",
                    node.name, model::kRunFolder));
  }
  act::Helper helper =
      act::HelperFor(op.record(), node.name, facts.component->image->id, "assistant");
  helper.name = model::kAssistantName;
  const int last = op.record().LastAttempt(model::PointKind::kComponentUpgrading, node.name, "");
  OMS_TRY(op.Pass(ctx, model::PointKind::kComponentUpgrading, node.name, "", last + 1));
  OMS_TRY(ctx.Check());
  const auto created = engine.Create(ctx, helper.name, AssistantBody(helper, run->source));
  if (created.Is(base::Code::kAlreadyExists)) {
    return base::MakeError(base::Code::kTransient, "NameTaken",
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
    return other.kept && other.engine_id == node.engine_id && other.name != node.name &&
           !op.record().ComponentUpgraded(other);
  });
  if (needed) return;
  const std::string& reference = op.spec().deployment.assistant->reference;
  const auto removed = op.engine(node.name).RemoveImage(ctx, reference);
  if (removed.ok() || removed.Is(base::Code::kNotFound)) return;
  ctx.log().Warn("node {}: the image {} is left behind: {}", node.name, reference,
                 removed.error().message);
}

base::Status Finish(const base::Context& ctx, OperationSession& op, const model::FrozenNode& node,
                    const model::NodeFacts& facts) {
  if (facts.component->assistant)
    OMS_TRY(RemoveContainer(ctx, op.engine(node.name), facts.component->assistant->id));
  OMS_TRY(ctx.Check());
  RemoveAssistantImage(ctx, op, node);
  const std::string name = node.name, container = node.old_name;
  OMS_TRY(NoteUpgradedComponent(ctx, op, node));
  op.Event(
      "ComponentUpgraded",
      fmt::format("node {}: the component '{}' was upgraded to {} while it ran; the guide gives "
                  "no way back for it",
                  name, container, op.record().to));
  return base::Ok();
}

}  // namespace

base::Status NoteUpgradedComponent(const base::Context& ctx, OperationSession& op,
                                   const model::FrozenNode& node) {
  const base::WallTime now = ctx.clock().Wall();
  const model::UpgradedComponent done{node.old_id, op.record().to, now};
  return op.Save(ctx, [&, name = node.name](model::OperationRecord& record) {
    record.components[name] = done;
  });
}

base::Status UpgradeComponents(const base::Context& ctx, OperationSession& op) {
  const std::string step(model::NameOf(model::Step::kUpgradeComponents));
  for (const auto& node : op.record().nodes) {
    if (!node.kept || op.record().ComponentUpgraded(node)) continue;
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->old_container || !facts->component) return base::Ok();
    const int attempt = op.record().LastAttempt(model::PointKind::kScriptStarting, node.name, step);
    if (attempt == 0) {
      const Arrival arrival = ArrivalOf(op.spec(), op.record(), node, *facts, op.facts().now);
      if (arrival.kind != Arrival::Kind::kArrived)
        return RunAssistant(ctx, op, node, *facts, arrival);
    } else if (facts->script && facts->script->kind == model::ScriptState::Kind::kEnded) {
      return facts->script->exit_code == 0 ? Finish(ctx, op, node, *facts) : base::Ok();
    }
    return RunScriptOnce(ctx, op, model::Step::kUpgradeComponents, node, facts->old_container->id);
  }
  return base::Ok();
}

}  // namespace oms::steps
