// A sequence of what may happen to one OMS and its resource: how it is drawn from a seed, what it
// is called, and how it is made shorter while it still fails.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace oms::property {

// What kind of OMS it happens to.
enum class Shape {
  kPlain,
  kHaOff,
  kLegacy,         // From below 4.0.1: the jar, add_resource, the upgrade script.
  kInPlace,        // deployment.config: InPlace
  kTwoNodes,       // Each on an engine of its own.
  kOneEngine,      // Two nodes on one engine.
  kTwoServers,     // cm and cm_hb on a server of their own.
  kKeepTasks,      // A component keeps running; on an engine of its own.
  kKeepTasksHere,  // The same, on one engine.
  kLegacyTwoNodes,
};
inline constexpr int kShapes = 10;
const char* NameOf(Shape shape);

enum class What {
  // The controller and time.
  kGoOn,   // a rounds, the world going on after each.
  kRound,  // One round; the world stands still.
  kTick,   // The world alone goes on; only task a of the process.
  kDie,    // In a round, or in what it has started, at write a, on side b; or after it.
  kMeet,   // In a round, or in what it has started, right before write a: hand b.
  kHours,  // a hours in which nobody looks.
  kClock,  // The wall clock jumps by a minutes.
  // The resource.
  kVersion,
  kSuspend,
  kDelete,
  kCreate,
  kOnFailure,
  kIgnoreRevert,
  kOrphan,
  kApproval,
  kMode,
  kWindow,
  kReset,
  kAccept,
  kAbandon,
  kNoImageBackup,
  kEraseStatus,
  // A person at the machine.
  kStartOld,
  kStopAny,
  kRemoveOld,
  kRemoveNew,
  kRestartAny,
  kHaSwitch,
  // What goes wrong by itself.
  kEngineSilent,
  kMetaSilent,
  kEngineFlaky,
  kMetaFlaky,
  kDamage,
  kMend,
  kImageFails,
  kDumpFails,
  kLoadFails,
  kLoadSpoils,
  kTerminal,
  kScriptFails,
  kScriptHangs,
  kScriptVanishes,
  kSlowExec,
  kSick,
  kVolumeAnswerLost,
};

struct Event {
  What what = What::kGoOn;
  int a = 0, b = 0;
  int node = 0;  // On which, where there are two.
};
struct Sequence {
  Shape shape = Shape::kPlain;
  uint64_t seed = 0;  // Of what is by chance in the controller: the jitter of retries.
  std::vector<Event> events;
};

// The hands that come in the middle, by kMeet's b.
inline constexpr What kHands[] = {What::kStartOld,       What::kStopAny,      What::kRestartAny,
                                  What::kRemoveNew,      What::kEngineSilent, What::kMetaSilent,
                                  What::kScriptVanishes, What::kTick};
inline constexpr int kHandCount = sizeof(kHands) / sizeof(kHands[0]);

std::string Describe(const Event& event);

// The same seed, the same sequence, on every machine.
Sequence Draw(uint64_t seed);

// As short as can be while it still fails.
Sequence Shorten(Sequence sequence, const std::function<bool(const Sequence&)>& fails);

}  // namespace oms::property
