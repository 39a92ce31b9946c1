// Conditions: the account of an OmsUpgrade to its reader.
//
// One condition per step, past tense, True only when seen to be done for this operation, and the
// three of kstatus, which Summarize() alone writes. Pure: time is passed in. The transition time
// changes only with the status, so that a pass with nothing new leaves the list as it was.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/clock.h"
#include "controller/kube/meta.h"

namespace oms::crd {

// A step's condition. Ready, Reconciling and Stalled are no such thing, so Mark*() cannot write
// them.
struct StepCondition {
  std::string_view type;
  bool operator==(const StepCondition&) const = default;
};

inline constexpr StepCondition kPreflightPassed{"PreflightPassed"};
inline constexpr StepCondition kImageLoaded{"ImageLoaded"};
inline constexpr StepCondition kHaDisabled{"HADisabled"};
inline constexpr StepCondition kComponentUpgraded{
    "ComponentUpgraded"};  // deployment.keepTasksRunning only.
inline constexpr StepCondition kContainersStopped{"ContainersStopped"};
inline constexpr StepCondition kHeartbeatCompacted{"HeartbeatCompacted"};
inline constexpr StepCondition kDatabasesBackedUp{"DatabasesBackedUp"};
inline constexpr StepCondition kConfigBackedUp{"ConfigBackedUp"};
inline constexpr StepCondition kConfigRewritten{"ConfigRewritten"};
inline constexpr StepCondition kContainersStarted{"ContainersStarted"};
inline constexpr StepCondition kSchemaCorrected{"SchemaCorrected"};          // From < 4.0.1 only.
inline constexpr StepCondition kMetadataInitialized{"MetadataInitialized"};  // From < 4.0.1 only.
inline constexpr StepCondition kUpgradeScriptRun{"UpgradeScriptRun"};
inline constexpr StepCondition kServicesHealthy{"ServicesHealthy"};
inline constexpr StepCondition kHaEnabled{"HAEnabled"};

// The way back; HADisabled, ServicesHealthy and HAEnabled serve both ways.
inline constexpr StepCondition kRollbackNeeded{"RollbackNeeded"};
inline constexpr StepCondition kBackupsVerified{"BackupsVerified"};
inline constexpr StepCondition kNewContainersStopped{"NewContainersStopped"};
inline constexpr StepCondition kUpgradedStateSaved{"UpgradedStateSaved"};
inline constexpr StepCondition kDatabasesRestored{"DatabasesRestored"};
inline constexpr StepCondition kConfigRestored{"ConfigRestored"};
inline constexpr StepCondition kOldContainersRestarted{"OldContainersRestarted"};
inline constexpr StepCondition kRollbackCompleted{"RollbackCompleted"};

// kstatus.
inline constexpr std::string_view kReady = "Ready";
inline constexpr std::string_view kReconciling = "Reconciling";
inline constexpr std::string_view kStalled = "Stalled";

// The 15 of an upgrade and the 11 of a rollback, each in the order in which a reader
// meets them (not that of work: reconcilers/steps/table.cc).
const std::vector<StepCondition>& UpgradeSteps();
const std::vector<StepCondition>& RollbackSteps();

// Messages are cut to this many bytes (at a character's boundary), so that the status stays small.
inline constexpr size_t kMaxMessageBytes = 1024;

// When, and for which generation of the spec, something was seen.
struct Stamp {
  int64_t generation = 0;
  base::WallTime now;
};

using Conditions = std::vector<kube::Condition>;

// Adds what is missing as Unknown, in the order: kstatus, upgrade, rollback. What is there stays,
// with its order set right and types that are not ours dropped.
void InitConditions(Conditions& conditions, const Stamp& stamp);
// All steps Unknown, reason NotStarted: a new operation begins.
void ResetSteps(Conditions& conditions, const Stamp& stamp);

// `why` is a CamelCase word; it must not be empty (the API server refuses that). Texts hold no
// secret.
void MarkTrue(Conditions& conditions, StepCondition type, std::string_view why,
              std::string_view message, const Stamp& stamp);
void MarkFalse(Conditions& conditions, StepCondition type, std::string_view why,
               std::string_view message, const Stamp& stamp);
void MarkUnknown(Conditions& conditions, StepCondition type, std::string_view why,
                 std::string_view message, const Stamp& stamp);

// nullptr where there is none.
const kube::Condition* FindCondition(const Conditions& conditions, std::string_view type);
bool IsTrue(const Conditions& conditions, std::string_view type);
inline bool IsTrue(const Conditions& conditions, StepCondition type) {
  return IsTrue(conditions, type.type);
}

// How it stands with the resource as a whole, and what kstatus makes of it.
enum class Standing {
  kCurrent,     // Ready=True:                      Current
  kInProgress,  // Ready=False, Reconciling=True:   InProgress
  kHeld,        // Ready=False alone:               InProgress. Suspended, or waiting for a person.
  kFailed,      // Ready=False, Stalled=True:       Failed
  kUnknown,     // Ready=Unknown, Reconciling=True: InProgress. The world does not answer.
};

struct Verdict {
  Standing standing = Standing::kUnknown;
  std::string reason;
  std::string message;
};

// The only writer of Ready, Reconciling and Stalled; the one that does not hold is False. Also sets
// the observedGeneration of every condition: each pass looks at all of them with this spec in hand,
// and `kubectl wait` takes a condition of an older generation for not yet there.
void Summarize(Conditions& conditions, const Verdict& verdict, const Stamp& stamp);

}  // namespace oms::crd
