// A sequence of what may happen to one OMS and its resource, how it is drawn from a seed, run,
// mended to an end, and made shorter while it still fails.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace oms::property {

enum class What {
  // The controller and time.
  kGoOn,   // a rounds, the world going on after each.
  kRound,  // One round; the world stands still.
  kTick,   // The world alone goes on; only task a of the process.
  kDie,    // In a round at write a, on side b; or after it.
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
};

struct Event {
  What what = What::kGoOn;
  int a = 0, b = 0;
};
using Sequence = std::vector<Event>;

std::string Describe(const Event& event);

// The same seed, the same sequence, on every machine.
Sequence Draw(uint64_t seed);

// What was broken; empty: every promise held, and an end was found.
// `trace`: all that happened, in words. `tally`: how often what was come to.
std::string Play(const Sequence& sequence, std::vector<std::string>* trace = nullptr,
                 std::map<std::string, int>* tally = nullptr);

// As short as can be while some promise is still broken.
Sequence Shorten(Sequence sequence);

// The shortest failing sequence in words, with its seed.
std::string Report(uint64_t seed, const Sequence& sequence);

}  // namespace oms::property
