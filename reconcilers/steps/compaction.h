// heatbeat_sequence keeps its last row (guide step 2.2; sic: OMS's own spelling), and what was
// begun of that is taken back on the way back. One act a pass; which one is next is decided from
// what the tables show, so every place where a crash can leave them is resumed.
#pragma once

#include <string>

#include "reconcilers/oms/heartbeat.h"
#include "reconcilers/steps/step.h"

namespace oms::steps {

struct CompactHeartbeat {
  static constexpr model::Step kStep = model::Step::kCompactHeartbeat;
  static constexpr StepLimit kLimit{&crd::Timeouts::compact, "compact"};
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
};

// What the upgrade had begun and no restore replaces: copies of the compaction go, and a global
// setting is put back.
struct SettleDatabases {
  static constexpr model::Step kStep = model::Step::kSettleDatabases;
  static constexpr StepLimit kLimit{&crd::Timeouts::compact, "compact"};
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
};

// Whether somebody writes heatbeat_sequence while it is compacted.
product::SequenceUse SequenceUseOf(const model::OperationRecord& record);
// OMS is stopped: whoever still speaks to its databases would write into the middle of the dump.
base::Status EndForeignConnections(const base::Context& ctx, OperationSession& op);

}  // namespace oms::steps
