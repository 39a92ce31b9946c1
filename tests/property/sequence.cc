#include "tests/property/sequence.h"

#include <algorithm>
#include <array>
#include <random>

#include "crd/oms_upgrade.h"

namespace oms::property {
namespace {

struct Draft {
  What what;
  int weight;
  int a_from, a_to;
  int b_to = 0;
};

// How often each is drawn, and with which arguments.
constexpr Draft kDrafts[] = {
    {What::kGoOn, 30, 1, 10},
    {What::kRound, 8, 0, 0},
    {What::kTick, 8, -1, 2},
    {What::kDie, 26, 1, 16, 2},
    {What::kMeet, 12, 1, 16, kHandCount - 1},
    {What::kHours, 1, 1, 80},
    {What::kClock, 2, -90, 90},
    {What::kVersion, 10, 0, 2},
    {What::kSuspend, 3, 0, 1},
    {What::kDelete, 2, 0, 0},
    {What::kCreate, 2, 0, 0},
    {What::kOnFailure, 3, 0, 2},
    {What::kIgnoreRevert, 1, 0, 1},
    {What::kOrphan, 1, 0, 1},
    {What::kApproval, 1, 0, 1},
    {What::kMode, 1, 0, 1},
    {What::kWindow, 2, 0, 1},
    {What::kReset, 3, 0, 0},
    {What::kAccept, 1, 0, 1},
    {What::kAbandon, 1, 0, 0},
    {What::kNoImageBackup, 1, 0, 1},
    {What::kEraseStatus, 1, 0, 0},
    {What::kStartOld, 3, 0, 0},
    {What::kStopAny, 2, 0, 1},
    {What::kRemoveOld, 1, 0, 1, 1},
    {What::kRemoveNew, 2, 0, 0},
    {What::kRestartAny, 2, 0, 1},
    {What::kHaSwitch, 3, 0, 1},
    {What::kEngineSilent, 2, 1, 4, 1},
    {What::kMetaSilent, 2, 1, 4, 1},
    {What::kEngineFlaky, 2, 1, 3, 11},
    {What::kMetaFlaky, 3, 1, 3, 11},
    {What::kDamage, 3, 0, 2},
    {What::kMend, 3, 0, 0},
    {What::kImageFails, 1, 1, 3},
    {What::kDumpFails, 2, 1, 4},
    {What::kLoadFails, 2, 1, 4},
    {What::kLoadSpoils, 2, 1, 4},
    {What::kTerminal, 1, 0, 1},
    {What::kScriptFails, 3, 0, 0},
    {What::kScriptHangs, 2, 0, 1},
    {What::kScriptVanishes, 2, 0, 0},
    {What::kSlowExec, 2, 0, 1},
    {What::kSick, 2, 0, 1, 1},
    {What::kVolumeAnswerLost, 1, 1, 4},
};
constexpr int kTotalWeight = [] {
  int sum = 0;
  for (const Draft& draft : kDrafts) sum += draft.weight;
  return sum;
}();

// Nobody is asked for anything where these alone happen.
bool IsTrouble(What what) {
  return what == What::kHours || what == What::kClock || what == What::kAbandon ||
         what == What::kMeet || (what >= What::kStartOld && what != What::kHaSwitch);
}

}  // namespace

const char* NameOf(Shape shape) {
  static constexpr std::array kNames{"plain",
                                     "HA is off",
                                     "from 3.4.0",
                                     "config InPlace",
                                     "two nodes",
                                     "two nodes on one engine",
                                     "two MetaDB servers",
                                     "a component keeps running",
                                     "a component keeps running on the same engine",
                                     "two nodes from 3.4.0"};
  return kNames[static_cast<size_t>(shape)];
}

Sequence Draw(uint64_t seed) {
  std::mt19937_64 random(seed * 0x9E3779B97F4A7C15ULL + 1);
  // Not std::uniform_int_distribution, whose numbers are each library's own.
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint64_t>(n)); };
  Sequence sequence;
  sequence.seed = seed;
  sequence.shape = static_cast<Shape>(below(kShapes));
  // Every third has no trouble in it: crashes, edits and time alone, for which nobody is asked.
  const bool plain = below(3) == 0;
  auto& events = sequence.events;
  // Half begin far inside: somewhere in an upgrade, on its way back, in an undo, in the next one.
  constexpr int kAnUpgrade = 14;
  const auto begin = [&](What what, int a) { events.push_back({what, a}); };
  if (const int opening = below(8); opening < 4) {
    const bool hangs = !plain && below(4) == 0;
    if (hangs) begin(What::kScriptHangs, 1);
    if (!plain && below(6) == 0) begin(What::kLoadSpoils, 1 + below(6));
    const bool by_policy = !plain && below(4) == 0;  // It fails, and turns back by itself.
    if (by_policy) {
      begin(What::kOnFailure, static_cast<int>(crd::OnFailure::kRollback));
      begin(What::kScriptFails, 0);
    }
    begin(What::kGoOn, opening < 2 ? 1 + below(kAnUpgrade) : kAnUpgrade);
    if (by_policy) begin(What::kGoOn, kAnUpgrade);
    if (hangs && below(2) == 0) begin(What::kScriptVanishes, 0);
    if (opening > 0) begin(What::kVersion, opening == 3 ? 2 : 0);
    begin(What::kGoOn, 1 + below(8));
  }
  const size_t length = events.size() + 3 + static_cast<size_t>(below(12));
  while (events.size() < length) {
    int at = below(kTotalWeight);
    const Draft* draft = kDrafts;
    while (at >= draft->weight) at -= (draft++)->weight;
    if (plain && IsTrouble(draft->what)) continue;
    const int a = draft->a_from + below(draft->a_to - draft->a_from + 1);
    const int b = below(draft->b_to + 1);
    events.push_back({draft->what, a, b, below(2)});
  }
  return sequence;
}

Sequence Shorten(Sequence sequence, const std::function<bool(const Sequence&)>& fails) {
  const auto try_events = [&](std::vector<Event> events) {
    Sequence other = sequence;
    other.events = std::move(events);
    if (!fails(other)) return false;
    sequence = std::move(other);
    return true;
  };
  for (bool shorter = true; shorter;) {
    shorter = false;
    for (size_t chunk = std::max<size_t>(sequence.events.size() / 2, 1); chunk >= 1; chunk /= 2) {
      for (size_t at = 0; at < sequence.events.size();) {
        auto without = sequence.events;
        const auto from = without.begin() + static_cast<std::ptrdiff_t>(at);
        without.erase(from,
                      from + static_cast<std::ptrdiff_t>(std::min(chunk, without.size() - at)));
        if (try_events(std::move(without))) {
          shorter = true;
        } else {
          at += chunk;
        }
      }
    }
    // What goes on in one piece, and for shorter, is easier to read.
    for (size_t at = 0; at + 1 < sequence.events.size(); ++at) {
      if (sequence.events[at].what != What::kGoOn || sequence.events[at + 1].what != What::kGoOn)
        continue;
      auto joined = sequence.events;
      joined[at].a += joined[at + 1].a;
      joined.erase(joined.begin() + static_cast<std::ptrdiff_t>(at) + 1);
      shorter = try_events(std::move(joined)) || shorter;
    }
    for (size_t at = 0; at < sequence.events.size(); ++at) {
      while (sequence.events[at].what == What::kGoOn && sequence.events[at].a > 1) {
        auto fewer = sequence.events;
        --fewer[at].a;
        if (!try_events(std::move(fewer))) break;
        shorter = true;
      }
    }
  }
  return sequence;
}

std::string Describe(const Event& event) {
  const std::string a = std::to_string(event.a);
  const auto onoff = [&] { return event.a != 0 ? " on" : " off"; };
  const std::string node = event.node == 0 ? "" : ", of the second node where there is one";
  static constexpr std::array kSides{"before it", "after it", "with it on its way"};
  static constexpr std::array kVersions{"the first version", "4.3.1", "4.3.2"};
  static constexpr std::array kDatabases{"oms_rm", "oms_cm", "oms_cm_hb"};
  switch (event.what) {
    case What::kGoOn: return a + " rounds, the world going on";
    case What::kRound: return "one round";
    case What::kTick:
      return event.a < 0 ? std::string("the world goes on")
                         : "the world goes on, of the tasks only task " + a;
    case What::kDie:
      return "the process dies in a round, or in what it has started, at write " + a + ", " +
             kSides[static_cast<size_t>(event.b)] + "; or at the round's end";
    case What::kMeet:
      return "in a round, or in what it has started, right before write " + a + ": " +
             Describe({kHands[event.b], event.a % 2, 1, event.node});
    case What::kHours: return a + " hours pass in which nobody looks";
    case What::kClock: return "the wall clock jumps by " + a + " minutes";
    case What::kVersion:
      return std::string("spec.version: ") + kVersions[static_cast<size_t>(event.a)];
    case What::kSuspend: return std::string("spec.suspend") + onoff();
    case What::kDelete: return "the resource is deleted";
    case What::kCreate: return "the resource is created again";
    case What::kOnFailure:
      return "onFailure " + std::string(ToString(static_cast<crd::OnFailure>(event.a)));
    case What::kIgnoreRevert: return std::string("onVersionRevert: Ignore") + onoff();
    case What::kOrphan: return std::string("deletionPolicy: Orphan") + onoff();
    case What::kApproval: return std::string("approval: Manual") + onoff();
    case What::kMode: return std::string("mode: Plan") + onoff();
    case What::kWindow: return event.a != 0 ? "the window closes" : "the window opens";
    case What::kReset: return "a reset token";
    case What::kAccept:
      return event.a == 0 ? "accept RestoreDiffers" : "accept UpgradedStateUnsaved";
    case What::kAbandon: return "the operation is given up by annotation";
    case What::kNoImageBackup: return event.a != 0 ? "backup.image off" : "backup.image on";
    case What::kEraseStatus: return "the status is erased";
    case What::kStartOld: return "a person starts the old container" + node;
    case What::kStopAny:
      return (event.a == 0 ? "a person stops the old container" : "the new container ends") + node;
    case What::kRemoveOld:
      return std::string("a person removes the old container") +
             (event.a != 0 ? " and its image" : "") + (event.b != 0 ? ", also if it runs" : "") +
             node;
    case What::kRemoveNew: return "a person removes the new container" + node;
    case What::kRestartAny:
      return (event.a == 0 ? "a person restarts the old container"
                           : "the new container is restarted") +
             node;
    case What::kHaSwitch: return std::string("a person switches HA") + onoff();
    case What::kEngineSilent:
      return (event.b == 0 ? "the engine is silent for " : "the last engine is silent for ") + a +
             " rounds";
    case What::kMetaSilent:
      return (event.b == 0 ? "the MetaDB is silent for " : "the last MetaDB is silent for ") + a +
             " rounds";
    case What::kEngineFlaky:
      return "each " + std::to_string(event.b + 1) + "th question to an engine fails, " + a +
             " times";
    case What::kMetaFlaky:
      return "each " + std::to_string(event.b + 1) + "th question to the MetaDB fails, " + a +
             " times";
    case What::kDamage:
      return std::string("the backups of ") + kDatabases[static_cast<size_t>(event.a)] +
             " are damaged";
    case What::kMend: return "the backups are mended";
    case What::kImageFails: return "the image load fails, " + a + " times";
    case What::kDumpFails: return "the dump fails, " + a + " times";
    case What::kLoadFails: return "the load fails, " + a + " times";
    case What::kLoadSpoils: return "what is loaded differs, " + a + " times";
    case What::kTerminal: return std::string("failures are final") + onoff();
    case What::kScriptFails: return "the next script fails";
    case What::kScriptHangs: return std::string("scripts hang") + onoff();
    case What::kScriptVanishes: return "the script's process vanishes";
    case What::kSlowExec: return std::string("scripts begin late") + onoff();
    case What::kSick: return std::string("what runs is not well") + onoff();
    case What::kVolumeAnswerLost:
      return "the answer to the record that is written " + a + " writes from now is lost";
  }
  return "?";
}

}  // namespace oms::property
