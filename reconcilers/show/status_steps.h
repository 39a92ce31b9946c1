// The part of `.status` that tells the steps: a condition and a phase for each. Pure.
#pragma once

#include "crd/conditions.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/show/status_view.h"

namespace oms::show {

// Phases are those of the operation's direction. The conditions of the other direction stay as
// they were until the operation is closed: what a rollback has undone is then False, Reverted.
void ShowSteps(crd::Status& status, const ViewInput& in, const crd::Stamp& stamp);

}  // namespace oms::show
