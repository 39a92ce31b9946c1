// HA: off before OMS is stopped, and on again at the end; the same two on the way back (guide steps
// 1 and 7; oms/README.md).
//
// Each write is a compare-and-set on the whole value that was read, so a change that a person makes
// in between is never lost: the swap fails with kConflict, and the next pass reads again.
#pragma once

#include <string>

#include "reconcilers/steps/step.h"

namespace oms::steps {

struct DisableHa {
  static constexpr model::Step kStep = model::Step::kDisableHa;
  static constexpr StepLimit kLimit{&crd::Timeouts::ha_switch, "haSwitch"};
  static constexpr int kMostActs = 5;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

// On, with what the guide asks for; written down once it is seen to be so.
struct EnableHa {
  static constexpr model::Step kStep = model::Step::kEnableHa;
  static constexpr StepLimit kLimit{&crd::Timeouts::ha_switch, "haSwitch"};
  static constexpr int kMostActs = 5;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

// Best effort: the table may be gone, and what runs is stopped next in any case.
struct SwitchHaOff {
  static constexpr model::Step kStep = model::Step::kSwitchHaOff;
  static constexpr StepLimit kLimit{&crd::Timeouts::ha_switch, "haSwitch"};
  static constexpr int kMostActs = 5;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

struct RestoreHa {
  static constexpr model::Step kStep = model::Step::kRestoreHa;
  static constexpr StepLimit kLimit{&crd::Timeouts::ha_switch, "haSwitch"};
  static constexpr int kMostActs = 5;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

// Only what we switched off.
base::Status PutHaBack(const base::Context& ctx, OperationSession& op);
// Held too long before the stop.
base::Status RestoreHaSwitch(const base::Context& ctx, OperationSession& op);

}  // namespace oms::steps
