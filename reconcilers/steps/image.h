// The images: the new one on every node, a copy of the old one for the way back, and the upgrade
// assistant's, before anything of OMS is touched.
#pragma once

#include <string>

#include "reconcilers/steps/step.h"

namespace oms::steps {

struct LoadImage {
  static constexpr model::Step kStep = model::Step::kLoadImage;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

struct SaveOldImage {
  static constexpr model::Step kStep = model::Step::kSaveOldImage;
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
};

// deployment.keepTasksRunning only.
struct LoadAssistant {
  static constexpr model::Step kStep = model::Step::kLoadAssistant;
  static const char* LeftOut(const model::OperationRecord& record);
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
};

}  // namespace oms::steps
