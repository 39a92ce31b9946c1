// Planner: what to do next. Pure functions of (spec, record, facts, state, now); they read like
// tables and have the most tests. The next step is derived in each pass, never read from a cursor.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crd/oms_upgrade.h"
#include "crd/version.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/steps/state.h"

namespace oms::decide {

// How soon a world that is not as it should be is looked at again: a person may mend it without a
// touch of the resource.
inline constexpr base::Duration kLookAgainAtTrouble = std::chrono::seconds(10);

struct Decision {
  enum class Kind {
    kIdle,       // Nothing is wanted: what runs is what the spec asks for.
    kOpen,       // Preflight holds: open the operation.
    kRun,        // Do `step`, then look again.
    kWait,       // Something is under way, or a passing trouble: look again after `wait`.
    kHold,       // A person holds it (suspend, plan mode, HA switched by hand): wait for them.
    kStall,      // A person must act. Looked at again after `wait` where it is set.
    kTurn,       // Turn the open operation back; `reason` says why.
    kOpenUndo,   // A succeeded operation is taken back: open the operation that undoes it.
    kCallOff,    // Close an undo that has touched nothing of OMS yet.
    kRestoreHa,  // Held too long between HA off and the stop: HA back on.
    kUnknown,    // The world does not answer; look again after `wait`.
    kClose,      // All steps are done: close the operation.
  };
  Kind kind = Kind::kIdle;
  model::Step step = model::Step::kPreflight;
  std::string reason;
  std::string message;
  std::optional<base::Duration> wait = {};
  bool warning = false;  // Of a Hold: told as one. (A Stall always is.)
};

// How often and since when the step at hand has failed; counted by the reconciler.
struct FailureCount {
  int failures = 0;
  base::SteadyTime last;
};

// What a person or a tool has asked for beside the spec.
struct UserRequests {
  // spec.version, as what it means; parsed once, where a pass begins.
  base::Result<crd::Version> version =
      base::MakeError(base::Code::kInvalid, "nothing is asked for");
  bool deleting = false;         // The resource is being deleted, and rolls back first.
  std::string approve;           // The annotation's text: a plan's hash.
  std::string plan_hash;         // Of an open operation under spec.approval: Manual, as it is now.
  model::ResourceMark resource;  // As it is now.
  bool look_now = false;         // A new requestedAt: what waits for its retry does not.
  bool window_open = true;       // spec.maintenanceWindow, or there is none.
  std::string window_message;    // Where it is closed: until when.
};

// What is known while no operation is open.
struct IdleInput {
  const crd::Version& running;
  const model::OperationRecord* last = nullptr;  // The last operation; null: none is known.
  // The upgrade that led to what runs, by its new container's label; null: none of ours did.
  const model::OperationRecord* way_back = nullptr;
  const steps::StepState* preflight = nullptr;  // Looked at only if an upgrade is wanted.
  std::string plan_hash;                        // Of the upgrade, or of the undo, that is wanted.
  std::string plan_text;                        // What an undo would cost, for a message.
  base::WallTime now;
};

Decision DecideWithoutOperation(const crd::Spec& spec, const IdleInput& idle,
                                const UserRequests& requests);
// True if the spec asks for another version than the one that runs, in a direction that can be
// gone.
bool WantsUpgrade(const UserRequests& requests, const crd::Version& running);
// True if the spec asks for the version that the upgrade to what runs came from.
bool WantsUndo(const crd::Spec& spec, const IdleInput& idle, const UserRequests& requests);
// Held by what the last operation came to: nothing begins before an edit or a token.
std::optional<Decision> Latched(const IdleInput& idle, const UserRequests& requests);

// What a new reset token means where a script or the new container has failed for good: neither is
// run again, so the upgrade is turned back, and begun anew once it is. Nullopt: it means to count
// failures from zero and go on.
std::optional<Decision> TurnOnToken(const model::OperationRecord& record,
                                    const steps::State& state);

// An operation is open. `random` in [0,1) is the jitter of a retry.
Decision Decide(const crd::Spec& spec, const model::OperationRecord& record,
                const steps::State& state, const model::Facts& facts, const UserRequests& requests,
                const FailureCount& failures, double random);

// When operations were begun or turned, no older than the flap guard looks back.
std::vector<base::WallTime> RecentOnly(std::vector<base::WallTime> times, base::WallTime now);

}  // namespace oms::decide
