// Step 5: heatbeat_sequence keeps its last row (guide step 2.2; sic: OMS's own spelling). One act a
// pass; which one is next is decided from what the tables show, so every place where a crash can
// leave them is resumed.
#include <fmt/format.h>

#include "reconcilers/oms/heartbeat.h"
#include "reconcilers/steps/phases.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {
namespace {

constexpr int kMaxActs = 12;  // Twice the longest way that the table of acts knows.

}  // namespace

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
  op.Warn("ForeignConnectionsEnded",
          "connections to OMS's databases were ended for the dump: " + names);
  return base::Ok();
}

base::Status CompactHeartbeat(const base::Context& ctx, OperationSession& op) {
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
    OMS_TRY(op.world()->meta.cm().Compact(ctx, *op.world()->fence, database, act));
    OMS_ASSIGN(tables, op.world()->meta.cm().Sequence(ctx, database));
  }
  return base::MakeError(base::Code::kInternal,
                         "the compaction of heatbeat_sequence does not come to an end");
}

}  // namespace oms::steps
