// Step 4: downtime begins (guide step 2.1: "stop the container and record the time as T1").
#include <fmt/format.h>

#include <string>
#include <vector>

#include "reconcilers/steps/phases.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {

base::Status StopContainers(const base::Context& ctx, OperationSession& op) {
  // What we are about to stop is looked at once more, right before the act.
  std::vector<std::string> started;
  for (const auto& node : op.record().nodes) {
    if (node.kept) {
      started.push_back(node.old_started_at);
      continue;
    }
    OMS_ASSIGN(const ports::ContainerInfo old, op.engine(node.name).Inspect(ctx, node.old_id));
    if (op.record().Passed(model::PointKind::kStopping) && old.started_at != node.old_started_at) {
      return base::MakeError(
          base::Code::kTerminal, crd::reason::kOldContainerStarted,
          fmt::format("node {}: the old container '{}' was started again at {}, after it was "
                      "stopped for the upgrade",
                      node.name, old.name, old.started_at));
    }
    started.push_back(old.started_at);
  }
  if (!op.record().Passed(model::PointKind::kStopping)) {
    // Until here OMS may have been restarted by anybody; it is this run of it that we stop.
    const base::WallTime now = ctx.clock().Wall();
    OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
      for (size_t i = 0; i < started.size(); ++i) record.nodes[i].old_started_at = started[i];
      record.points.push_back({model::PointKind::kStopping, "", "", 0, now});
    }));
    ctx.log().With("point", "Stopping").Info("point passed");
  }
  for (const auto& node : op.record().nodes) {
    if (node.kept) continue;
    const base::Duration grace = op.spec().strategy.timeouts.stop;
    op.Start(ctx, TaskName(model::Step::kStopContainers, node.name),
             grace + std::chrono::minutes(1),
             [world = op.world(), node, grace](const base::Context& task,
                                               ports::ByteProgress&) -> base::Result<std::string> {
               ports::ContainerEngine& engine = *world->engines.at(node.name);
               OMS_TRY(engine.SetRestartPolicy(task, node.old_id, "no", 0));
               OMS_TRY(task.Check());
               OMS_TRY(engine.Stop(task, node.old_id, grace));
               return std::string();
             });
  }
  return base::Ok();
}

}  // namespace oms::steps
