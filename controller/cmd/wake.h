// Which changes of an OmsUpgrade are worth a pass.
//
// What we write into .status comes back by the watch like anybody's change. If that woke the key, a
// step that fails with another message each time would run again at once, for ever, whatever its
// backoff says.
#pragma once

#include "crd/oms_upgrade.h"

namespace oms::cmd {

// Pure. `before` null: new; `after` null: gone. True for all that a person or a tool asks with
// (spec, annotations, deletion, finalizers, another object of the same name), and for a status that
// was taken from under us: erased, or put back from an older copy. Any other change of the status
// may be our own; what somebody else wrote is found by the next look.
bool IsWorthAPass(const crd::OmsUpgrade* before, const crd::OmsUpgrade* after);

}  // namespace oms::cmd
