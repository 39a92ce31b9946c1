#include "reconcilers/steps/dump_task.h"

#include <algorithm>
#include <filesystem>

#include "reconcilers/model/dump_choice.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {
namespace {

constexpr base::Duration kPutBackWithin = std::chrono::seconds(10);

// What the timeout was is in the record before it is raised, so that the attempt after a crash puts
// the same value back. Nullopt: it need not be touched.
base::Status Remember(const base::Context& ctx, ports::DbServerView& server,
                      std::optional<uint64_t>& known) {
  if (known) return base::Ok();
  OMS_ASSIGN(known, server.GlobalQueryTimeout(ctx));
  if (known && *known >= ports::kRaisedQueryTimeout) known.reset();
  return base::Ok();
}

base::Result<QueryTimeouts> RememberQueryTimeouts(const base::Context& ctx, OperationSession& op,
                                                  ports::DumpTool tool) {
  if (tool != ports::DumpTool::kMysqldump) return QueryTimeouts{};
  const QueryTimeouts before = RememberedTimeouts(op.record());
  QueryTimeouts now = before;
  OMS_TRY(Remember(ctx, *op.world()->meta.rm().server, now.rm));
  // Two ways to one server are one setting.
  if (op.facts().meta->cm_server) OMS_TRY(Remember(ctx, *op.world()->meta.cm().server, now.cm));
  if (now.rm == before.rm && now.cm == before.cm) return now;
  OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
    record.global_query_timeout = now.rm;
    record.cm_global_query_timeout = now.cm;
  }));
  return now;
}

base::Result<std::vector<ports::DumpObstacles>> ObstaclesNow(const base::Context& ctx,
                                                             const OperationSession& op,
                                                             const act::BackupPlan& plan) {
  std::vector<ports::DumpObstacles> obstacles;
  for (const auto& planned : plan.databases) {
    const ports::MetaDbView meta_db =
        planned.meta_db ? *planned.meta_db : op.world()->meta.rm().View();
    OMS_ASSIGN(auto found, meta_db.server->Obstacles(ctx, planned.name));
    obstacles.push_back(std::move(found));
  }
  return obstacles;
}

// By what the databases are now: since preflight somebody may have altered a table, and an upgrade
// has.
base::Result<ports::DumpTool> ToolNow(const base::Context& ctx, const OperationSession& op,
                                      model::Step step, const act::BackupPlan& plan) {
  const auto obstacles = ObstaclesNow(ctx, op, plan);
  if (!obstacles.ok() && obstacles.error().Retryable()) return obstacles.error();
  const auto choose = [&](crd::BackupTool wanted) -> base::Result<ports::DumpTool> {
    if (!obstacles.ok()) return obstacles.error();
    return model::ChooseTool(wanted, *obstacles);
  };
  auto tool = choose(op.spec().backup.tool);
  if (tool.ok() || step != model::Step::kSaveUpgradedState) return tool;
  // Nobody asked for the schema that the upgrade has made, and the way back must not hang on it:
  // the other tool keeps it; or none does, which is then told as a dump that failed.
  tool = choose(crd::BackupTool::kAuto);
  return tool.ok() ? *tool : ports::DumpTool::kMydumper;
}

base::Status Raise(const base::Context& ctx, const World& world, const QueryTimeouts& before) {
  if (before.rm)
    OMS_TRY(world.meta.rm().server->SetGlobalQueryTimeout(ctx, *world.fence,
                                                          ports::kRaisedQueryTimeout));
  if (before.cm)
    OMS_TRY(world.meta.cm().server->SetGlobalQueryTimeout(ctx, *world.fence,
                                                          ports::kRaisedQueryTimeout));
  return base::Ok();
}

}  // namespace

QueryTimeouts RememberedTimeouts(const model::OperationRecord& record) {
  return {record.global_query_timeout, record.cm_global_query_timeout};
}

base::Status RestoreQueryTimeouts(const base::Context& ctx, const World& world,
                                  const QueryTimeouts& timeouts) {
  const auto put_back = [&](ports::DbServer& server,
                            std::optional<uint64_t> before) -> base::Status {
    if (!before) return base::Ok();
    // Who may not set it has not raised it either, and must be able to go back.
    OMS_ASSIGN(const auto now, server.GlobalQueryTimeout(ctx));
    if (now == before) return base::Ok();
    return server.SetGlobalQueryTimeout(ctx, *world.fence, *before);
  };
  const base::Status rm = put_back(*world.meta.rm().server, timeouts.rm);
  const base::Status cm = put_back(*world.meta.cm().server, timeouts.cm);
  return rm.ok() ? cm : rm;
}

act::BackupPlan DumpPlan(const OperationSession& op, const std::string& folder,
                         const std::vector<std::string>& databases) {
  act::BackupPlan plan;
  plan.folder = std::filesystem::path(op.record().folder) / folder;
  plan.operation = op.record().id;
  plan.from = op.record().from.ToString();
  for (const auto& db : op.record().databases) {
    const bool wanted = databases.empty() ||
                        std::find(databases.begin(), databases.end(), db.name) != databases.end();
    if (!wanted) continue;
    const ports::MetaDbs& servers = op.world()->meta;
    plan.databases.push_back({db.role, db.name});
    if (servers.separate()) plan.databases.back().meta_db = servers.For(db.role).View();
  }
  plan.compression = op.spec().backup.compression == crd::Compression::kNone
                         ? ports::Compression::kNone
                         : ports::Compression::kZstd;
  plan.heartbeat_max = op.facts().meta->sequence.base.max_id;
  return plan;
}

base::Status StartDump(const base::Context& ctx, OperationSession& op, model::Step step,
                       int attempt, act::BackupPlan plan) {
  OMS_ASSIGN(plan.tool, ToolNow(ctx, op, step, plan));
  OMS_ASSIGN(const QueryTimeouts before, RememberQueryTimeouts(ctx, op, plan.tool));
  OMS_TRY(
      op.Save(ctx, [&](model::OperationRecord& record) { record.steps[step].begun = attempt; }));
  op.Start(ctx, TaskName(step, ""), op.spec().strategy.timeouts.backup,
           [world = op.world(), plan = std::move(plan), before](
               const base::Context& task_ctx,
               ports::ByteProgress& progress) -> base::Result<std::string> {
             base::Status written = Raise(task_ctx, *world, before);
             if (written.ok()) {
               const auto manifest =
                   act::RunBackup(task_ctx, plan, world->meta.rm().View(), *world->backup_tool,
                                  *world->fence, *world->store, progress);
               if (!manifest.ok()) written = manifest.error();
             }
             // Also where the dump was stopped or ran out of its time: it is the whole server's
             // setting.
             const base::Status back = RestoreQueryTimeouts(
                 task_ctx.WithStop({}).WithNewDeadline(kPutBackWithin), *world, before);
             if (!written.ok()) return written.error();
             if (!back.ok()) return back.error();
             OMS_TRY(record::VerifyManifest(*world->store, plan.folder));
             return std::string();
           });
  return base::Ok();
}

}  // namespace oms::steps
