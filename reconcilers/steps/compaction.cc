#include "reconcilers/steps/compaction.h"

#include <fmt/format.h>

#include "crd/reasons.h"
#include "reconcilers/steps/backup.h"
#include "reconcilers/steps/dump_task.h"
#include "reconcilers/steps/old_containers.h"

namespace oms::steps {

namespace {

constexpr int kMaxActs = 12;  // Twice the longest way that the table of acts knows.

}  // namespace

StepState CompactHeartbeat::Judge(const StepInput& in) {
  if (in.Passed(model::PointKind::kNewStarting) || BackupHolds(in)) return Done();
  if (!in.Passed(model::PointKind::kStopping)) return Pending();  // Not looked at before.
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  const product::SequenceUse use = SequenceUseOf(in.record);
  // It fills again at once.
  if (use == product::SequenceUse::kWritten && in.Seen(model::Step::kCompactHeartbeat))
    return Done();
  if (product::Compacted(in.facts.meta->sequence, use)) return Done();
  if (product::NextCompactionAct(in.facts.meta->sequence, use) == ports::CompactionAct::kNone) {
    return Failed(crd::reason::kHeartbeatTableMissing,
                  fmt::format("database {} no longer has the table heatbeat_sequence or a copy of "
                              "it; restore it from your own backup",
                              in.record.Database("cm_hb")));
  }
  return Pending();
}

base::Status CompactHeartbeat::Act(const base::Context& ctx, OperationSession& op) {
  const model::MetaFacts& meta = *op.facts().meta;
  OMS_TRY(EndForeignConnections(ctx, op));
  // OMS is down meanwhile, so the acts follow each other without a whole look at the world in
  // between; the tables themselves are looked at before each.
  const std::string database = op.record().Database("cm_hb");
  ports::SequenceTables tables = meta.sequence;
  for (int acts = 0; acts < kMaxActs; ++acts) {
    const ports::CompactionAct act = product::NextCompactionAct(tables, SequenceUseOf(op.record()));
    if (act == ports::CompactionAct::kNone) return base::Ok();
    OMS_TRY(ctx.Check());
    OMS_TRY(op.world()->meta.cm().tables->Compact(ctx, *op.world()->fence, database, act));
    OMS_ASSIGN(tables, op.world()->meta.cm().tables->Sequence(ctx, database));
  }
  return base::MakeError(base::Code::kInternal,
                         "the compaction of heatbeat_sequence does not finish");
}

std::string CompactHeartbeat::Plan(const UpgradeSubject& plan) {
  return fmt::format("keep only the last row of {}.heatbeat_sequence", plan.heartbeat_database);
}

StepState SettleDatabases::Judge(const StepInput& in) {
  const bool set = in.record.global_query_timeout || in.record.cm_global_query_timeout;
  if (!in.Passed(model::PointKind::kStopping) ||
      (in.Passed(model::PointKind::kNewStarting) && !set)) {
    return Skipped("nothing was changed in the databases");
  }
  if (in.Seen(model::Step::kSettleDatabases)) return Done();
  if (!in.facts.meta) return Running("waiting for the MetaDB");
  // Somebody has started it: its tables are its own again, once it has them.
  if (OldOneRuns(in) && in.facts.meta->sequence.base.exists && !set)
    return Skipped("the old container is already running");
  return Pending();
}

base::Status SettleDatabases::Act(const base::Context& ctx, OperationSession& op) {
  OMS_TRY(RestoreQueryTimeouts(ctx, *op.world(), RememberedTimeouts(op.record())));
  if (!op.record().Passed(model::PointKind::kNewStarting)) {
    const ports::SequenceTables& tables = op.facts().meta->sequence;
    // A table that nothing was begun on is left as it is.
    if (!tables.base.exists || tables.bak.exists || tables.bak2.exists) {
      OMS_TRY(CompactHeartbeat::Act(ctx, op));
    }
  }
  const base::WallTime seen = ctx.clock().Wall();
  return op.Save(ctx, [&](model::OperationRecord& record) { record.NoteSeen(kStep, seen); });
}

std::string SettleDatabases::Plan(const RollbackSubject&) {
  return "restore server settings that the upgrade changed, if any";
}

product::SequenceUse SequenceUseOf(const model::OperationRecord& record) {
  if (record.direction == model::Direction::kRollback) return product::SequenceUse::kOnTheWayBack;
  return record.KeepsTasks() ? product::SequenceUse::kWritten : product::SequenceUse::kStandsStill;
}

base::Status EndForeignConnections(const base::Context& ctx, OperationSession& op) {
  // Those of components that go on look like any other. On the way back they are stopped first.
  const bool components_go_on =
      op.record().KeepsTasks() && !op.record().Passed(model::PointKind::kRollbackStopping);
  if (components_go_on) return base::Ok();
  const auto& foreign = op.facts().meta->foreign;
  if (foreign.empty()) return base::Ok();
  std::string names;
  for (const auto& other : foreign) {
    names += fmt::format("{}{}@{} (id {}, database {})", names.empty() ? "" : ", ", other.user,
                         other.address, other.id, other.database);
  }
  OMS_TRY(ctx.Check());
  OMS_TRY(op.world()->meta.EndConnections(ctx, foreign));
  op.Warn(crd::reason::kForeignConnectionsEnded,
          "connections to OMS's databases were ended for the dump: " + names);
  return base::Ok();
}

}  // namespace oms::steps
