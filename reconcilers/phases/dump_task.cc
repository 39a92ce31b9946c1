#include "reconcilers/phases/dump_task.h"

#include <algorithm>
#include <filesystem>

#include "reconcilers/state.h"

namespace oms::upgrade {
namespace {

// mysqldump cannot set a session variable, and OceanBase's ob_query_timeout (10 s) cuts a long
// table in its middle: the global one is raised for the dump. What it was is in the record before
// that, so that the attempt after a crash puts the same value back. Nullopt: it need not be
// touched.
constexpr uint64_t kRaisedQueryTimeout = 24ULL * 3600 * 1'000'000;  // Microseconds.
constexpr base::Duration kPutBackWithin = std::chrono::seconds(10);

base::Result<std::optional<uint64_t>> RememberQueryTimeout(const base::Context& ctx,
                                                           OperationSession& op) {
  if (op.spec().backup.tool != crd::BackupTool::kMysqldump) return std::optional<uint64_t>();
  if (op.record().global_query_timeout) return op.record().global_query_timeout;
  OMS_ASSIGN(const auto now, op.world()->meta->GlobalQueryTimeout(ctx));
  if (!now || *now >= kRaisedQueryTimeout) return std::optional<uint64_t>();
  OMS_TRY(op.Save(ctx, [&](OperationRecord& record) { record.global_query_timeout = *now; }));
  return now;
}

}  // namespace

BackupPlan DumpPlan(const OperationSession& op, const std::string& folder,
                    const std::vector<std::string>& databases) {
  BackupPlan plan;
  plan.folder = std::filesystem::path(op.record().folder) / folder;
  plan.operation = op.record().id;
  plan.from = op.record().from;
  for (const auto& db : op.record().databases) {
    const bool wanted = databases.empty() ||
                        std::find(databases.begin(), databases.end(), db.name) != databases.end();
    if (wanted) plan.databases.push_back({db.role, db.name});
  }
  plan.tool = op.spec().backup.tool == crd::BackupTool::kMysqldump ? DumpTool::kMysqldump
                                                                   : DumpTool::kMydumper;
  plan.compression = op.spec().backup.compression == crd::Compression::kNone ? Compression::kNone
                                                                             : Compression::kZstd;
  plan.heartbeat_max = op.facts().meta->sequence.base.max_id;
  return plan;
}

base::Status StartDump(const base::Context& ctx, OperationSession& op, Step step, int attempt,
                       BackupPlan plan) {
  OMS_ASSIGN(const std::optional<uint64_t> put_back, RememberQueryTimeout(ctx, op));
  const std::string key(NameOf(step));
  OMS_TRY(op.Save(ctx, [&](OperationRecord& record) { record.attempts[key] = attempt; }));
  op.Start(
      ctx, TaskName(step, ""), op.spec().strategy.timeouts.backup,
      [world = op.world(), plan = std::move(plan), put_back](
          const base::Context& task_ctx, ByteProgress& progress) -> base::Result<std::string> {
        if (put_back) {
          OMS_TRY(world->meta->SetGlobalQueryTimeout(task_ctx, *world->fence, kRaisedQueryTimeout));
        }
        const auto written = RunBackup(task_ctx, plan, *world->meta, *world->backup_tool,
                                       *world->fence, *world->store, progress);
        base::Status back;
        // Also where the dump was stopped or ran out of its time: it is the whole server's setting.
        if (put_back) {
          back = world->meta->SetGlobalQueryTimeout(
              task_ctx.WithStop({}).WithNewDeadline(kPutBackWithin), *world->fence, *put_back);
        }
        if (!written.ok()) return written.error();
        if (!back.ok()) return back.error();
        OMS_TRY(VerifyManifest(*world->store, plan.folder));
        return std::string();
      });
  return base::Ok();
}

}  // namespace oms::upgrade
