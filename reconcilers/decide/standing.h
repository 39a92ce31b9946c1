// Standing: what is said of an OMS with nothing open. It is seen and told, and never repaired: a
// person may stop OMS, switch HA or replace a container as they like. Pure.
#pragma once

#include <optional>
#include <string>

#include "crd/version.h"
#include "reconcilers/decide/planner.h"
#include "reconcilers/model/operation.h"

namespace oms::decide {

// Given up in the middle of what changes databases: nobody has seen them whole since.
bool LeftDataUnknown(const model::OperationRecord& record);

struct StandingView {
  const crd::Version& running;
  const model::OperationRecord* last = nullptr;  // The last operation; null: none is known.
  // The first container that does not run, or is of another version than the others.
  std::optional<model::Trouble> not_running;
  bool ha_off = false;        // The upgrade had left it on.
  bool data_unknown = false;  // LeftDataUnknown, and no person has said otherwise.
  std::string unwell;         // As JudgeIdle() says; empty: nothing that is known.
  bool unwell_begun = false;  // Perhaps, by one look.
};

// Idle: up to date, and seen to be well. Hold: it is not to be called ready.
Decision DecideStanding(const StandingView& view);

}  // namespace oms::decide
