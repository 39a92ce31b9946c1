#include "tests/property/sequence.h"

#include <algorithm>
#include <optional>
#include <random>

#include "crd/reasons.h"
#include "reconcilers/steps/accept.h"
#include "tests/property/controller.h"

namespace oms::property {

using decide::Decision;
using model::Direction;
using Kind = Decision::Kind;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

// From where wishes stand still and the world is mended: rounds to an end, and answers of a person
// to what stalls.
constexpr int kMaxRounds = 400;
constexpr int kMaxAnswers = 12;

constexpr std::array<int, 3> kVersions{430, 431, 432};
constexpr char kHaOn[] = R"({"enable":true,"own":7,"perceiveStoreClientCheckpoint":false})";
constexpr char kHaOff[] = R"({"enable":false,"own":7,"perceiveStoreClientCheckpoint":false})";

class Player {
 public:
  Player(std::vector<std::string>* trace, std::map<std::string, int>* tally) : controller_(world_) {
    world_.trace = trace;
    world_.tally = tally;
    crd::Spec& spec = world_.resource.spec;
    crd::Node node;
    node.name = "oms-1";
    node.engine.endpoint = "unix:///var/run/docker.sock";
    node.container.name = "oms_430";
    spec.nodes = {node};
    spec.image.archive = "/images/oms.tar.gz";
    AskFor(431);
    world_.resource.generation = 1;
  }

  std::string Play(const Sequence& sequence) {
    for (const Event& event : sequence) {
      world_.Say("- ", Describe(event));
      Happen(event);
      if (!world_.broken.empty()) return world_.broken;
    }
    world_.Say("- all is mended; wishes stand still");
    Mend();
    ToTheEnd();
    return world_.broken;
  }

 private:
  void AskFor(int version) {
    crd::Spec& spec = world_.resource.spec;
    spec.version = VersionText(version);
    spec.image.reference = "oms:" + spec.version;
    ++world_.resource.generation;
  }
  void Edited() { ++world_.resource.generation; }
  void Trouble() { world_.troubled = true; }

  Decision Round(const Death& death = {}) {
    try {
      return controller_->Round(death);
    } catch (const Controller::Died&) {
      world_.Say("  ! the process dies");
      world_.Count("", "died at a write");
      controller_.emplace(world_);
      return {Kind::kWait, model::Step::kPreflight, "Died", "", base::Duration(0)};
    }
  }
  void GoOn(int rounds) {
    for (int i = 0; i < rounds && world_.broken.empty(); ++i) {
      Round();
      world_.Tick();
      controller_->TickTasks();
    }
  }
  void Happen(const Event& event);
  void HappenToResource(const Event& event);
  void HappenAtTheMachine(const Event& event);
  void Mend();
  void MendByHand();
  void ToTheEnd();
  void StopWhatAPersonRunsBeside();
  void Answer(const Decision& decision);
  void ExpectGoodEnd();
  Container* Old();
  Container* New();

  World world_;
  std::optional<Controller> controller_;  // One process after the other.
  int tokens_ = 0;
};

// The container that the last operation replaced, or would have; and the one that it made.
Container* Player::Old() {
  const auto* record = world_.Record();
  if (record == nullptr) return world_.Current();
  Container* old = world_.Find(record->nodes.front().old_id);
  return old != nullptr ? old : world_.Find(record->nodes.front().old_name);
}

Container* Player::New() {
  const auto* record = world_.Record();
  return record == nullptr ? nullptr : world_.OfOperation(*record);
}

void Player::HappenToResource(const Event& event) {
  Resource& resource = world_.resource;
  crd::Spec& spec = resource.spec;
  switch (event.what) {
    case What::kVersion: AskFor(kVersions[static_cast<size_t>(event.a)]); break;
    case What::kSuspend: spec.suspend = event.a != 0, Edited(); break;
    case What::kDelete: resource.deleting = resource.exists; break;
    case What::kCreate:
      if (resource.exists) break;
      resource.exists = true;
      resource.uid += "+";
      resource.generation = 1;
      break;
    case What::kOnFailure:
      spec.strategy.on_failure = static_cast<crd::OnFailure>(event.a), Edited();
      break;
    case What::kIgnoreRevert:
      spec.strategy.on_version_revert = static_cast<crd::OnVersionRevert>(event.a), Edited();
      // spec.image may be of another version then than what the operation goes to.
      Trouble();
      break;
    case What::kOrphan:
      spec.deletion_policy = static_cast<crd::DeletionPolicy>(event.a), Edited();
      break;
    case What::kApproval: spec.approval = static_cast<crd::Approval>(event.a), Edited(); break;
    case What::kMode: spec.mode = static_cast<crd::Mode>(event.a), Edited(); break;
    case What::kWindow: resource.window_open = event.a == 0; break;
    case What::kReset: resource.reset = "reset-" + std::to_string(++tokens_); break;
    case What::kAccept:
      if (const auto* record = world_.Record(); record != nullptr) {
        resource.accept = steps::AcceptToken(*record, "UpgradedStateUnsaved");
        for (const auto& [database, restore] : record->restores) {
          if (event.a != 0 || restore.difference.empty()) continue;
          resource.accept = steps::AcceptDifference(*record, database);
          break;
        }
      }
      break;
    case What::kAbandon:
      if (world_.OperationOpen()) resource.abandon = world_.Record()->id, Trouble();
      break;
    case What::kNoImageBackup: spec.backup.image = event.a == 0, Edited(); break;
    default: break;
  }
}

void Player::HappenAtTheMachine(const Event& event) {
  Container* old = Old();
  Container* fresh = New();
  switch (event.what) {
    case What::kStartOld:
      if (old == nullptr || old->running) return;
      world_.PersonStarts(*old);
      break;
    case What::kStopAny:
      for (Container* c : {old, fresh}) {
        if (c != nullptr && c->running && (event.a == 0) == (c == old)) world_.StopContainer(c->id);
      }
      break;
    case What::kRestartAny:
      for (Container* c : {old, fresh}) {
        if (c == nullptr || !c->running || (event.a == 0) != (c == old)) continue;
        world_.End(*c);
        world_.PersonStarts(*c);
      }
      break;
    case What::kRemoveOld:
      if (old == nullptr || (event.b == 0 && old->running)) return;
      if (event.a != 0) world_.images.erase("oms:" + VersionText(old->version));
      world_.PersonRemoves(*old);
      break;
    case What::kRemoveNew:
      if (fresh == nullptr) return;
      world_.PersonRemoves(*fresh);
      break;
    case What::kHaSwitch:
      // Once an operation has touched it, or stopped OMS, it is not a person's.
      if (!world_.row_operation.empty() && !world_.OperationOpen()) return;
      if (const auto* record = world_.Record(); record != nullptr && record->open() &&
                                                (record->direction == Direction::kRollback ||
                                                 record->Passed(model::PointKind::kHaDisabling) ||
                                                 record->Passed(model::PointKind::kStopping))) {
        return;
      }
      world_.ha_wanted = event.a != 0;
      world_.databases.ha = event.a != 0 ? kHaOn : kHaOff;
      return;  // No trouble.
    default: return;
  }
  Trouble();
}

void Player::Happen(const Event& event) {
  Faults& faults = world_.faults;
  const auto fault = [&](auto& what, auto value) {
    what = value;
    Trouble();
  };
  switch (event.what) {
    case What::kGoOn: GoOn(event.a); break;
    case What::kRound: Round(); break;
    case What::kTick:
      world_.Tick();
      controller_->TickTasks(event.a);
      break;
    case What::kDie: {
      Round({event.a, static_cast<Death::Side>(event.b)});
      controller_.emplace(world_);
      break;
    }
    case What::kHours:
      for (int i = 0; i < 20; ++i) {
        world_.Tick();
        controller_->TickTasks();
      }
      world_.Pass(hours(event.a));
      Trouble();
      break;
    case What::kClock:
      world_.wall += minutes(event.a);
      Trouble();
      break;
    case What::kEngineSilent: fault(faults.engine_silent, event.a); break;
    case What::kMetaSilent: fault(faults.meta_silent, event.a); break;
    case What::kEngineFlaky: fault(faults.engine_flaky, event.a); break;
    case What::kMetaFlaky: fault(faults.meta_flaky, event.a); break;
    case What::kDamage:
      for (auto& [folder, dump] : world_.dumps) {
        if (!dump.upgraded) dump.damaged[static_cast<size_t>(event.a)] = true, Trouble();
      }
      break;
    case What::kMend:
      for (auto& [folder, dump] : world_.dumps) dump.damaged = {};
      break;
    case What::kImageFails: fault(faults.image_fails, event.a); break;
    case What::kDumpFails: fault(faults.dump_fails, event.a); break;
    case What::kLoadFails: fault(faults.load_fails, event.a); break;
    case What::kLoadSpoils: fault(faults.load_spoils, event.a); break;
    case What::kTerminal: faults.terminal = event.a != 0; break;
    case What::kScriptFails: fault(faults.script_fails, true); break;
    case What::kScriptHangs: fault(faults.script_hangs, event.a != 0); break;
    case What::kScriptVanishes:
      for (auto& [key, attempt] : world_.attempts) {
        if (attempt.running) attempt.running = false, Trouble();
      }
      break;
    case What::kSlowExec: fault(faults.slow_exec, event.a != 0); break;
    case What::kSick: fault(faults.sick, event.a != 0); break;
    default: HappenToResource(event); HappenAtTheMachine(event);
  }
}

// The world is mended; what the person wants (a version, or the resource gone) stays.
void Player::Mend() {
  world_.faults = {};
  world_.Tick();  // What was asked for before is done.
  for (auto& [folder, dump] : world_.dumps) dump.damaged = {};
  Resource& resource = world_.resource;
  resource.window_open = true;
  resource.approve = "plan";
  MendByHand();
  StopWhatAPersonRunsBeside();
  if (!resource.exists) return;
  resource.spec.suspend = false;
  resource.spec.mode = crd::Mode::kApply;
  resource.spec.approval = crd::Approval::kAutomatic;
  resource.spec.deletion_policy = crd::DeletionPolicy::kRollBack;
  Edited();
}

// What an operation that was given up has left is put right by the person who gave it up: one
// container runs, on databases of its version, and HA is as it was.
void Player::MendByHand() {
  if (!world_.abandoned || world_.OperationOpen()) return;
  Container* current = world_.Current();
  if (current == nullptr) return world_.PersonInstalls();
  for (auto& container : world_.containers) {
    if (container.running && &container != current) world_.End(container);
  }
  world_.databases.of.fill({current->version, 0});
  if (!world_.databases.sequence.base.exists) world_.databases.sequence = {{true, 1, 1, 2}, {}, {}};
  world_.databases.ha = world_.ha_wanted ? kHaOn : kHaOff;
  world_.PersonStarts(*current);
}

// Nothing is open, and what a person has started runs beside OMS: theirs to stop.
void Player::StopWhatAPersonRunsBeside() {
  if (world_.OperationOpen()) return;
  int running = 0;
  for (const auto& container : world_.containers) running += container.running ? 1 : 0;
  for (auto& container : world_.containers) {
    if (running > 1 && container.running && container.by_person) {
      world_.End(container);
      --running;
    }
  }
}

// A person does what the message of a stall says.
void Player::Answer(const Decision& decision) {
  Resource& resource = world_.resource;
  const std::string& reason = decision.reason;
  const auto* record = world_.Record();
  world_.Say("- a person answers ", reason);
  if (!world_.troubled && reason != crd::reason::kDowngradeRefused) {
    return world_.Break("stalled by " + reason + ", and nothing was wrong: " + decision.message);
  }
  if (world_.OperationOpen()) {
    if (world_.Current() == nullptr) return world_.PersonInstalls();
    resource.reset = "reset-" + std::to_string(++tokens_);
    if (reason == "OldImageGone") world_.images.insert(record->nodes.front().old_image);
    if (record->direction == Direction::kRollback) return;
    // The token alone: what was started by hand is stopped, and backed up anew.
    if (reason == crd::reason::kOldContainerStarted &&
        !record->Passed(model::PointKind::kNewStarting) && tokens_ % 4 != 0) {
      return;
    }
    Container* old = Old();
    if (decision.step == model::Step::kPreflight && old != nullptr && !old->running) {
      return world_.PersonStarts(*old);
    }
    resource.spec.strategy.on_version_revert = crd::OnVersionRevert::kRollback;
    return AskFor(VersionNumber(record->from.ToString()));
  }
  if (reason == crd::reason::kAbandoned) MendByHand();
  StopWhatAPersonRunsBeside();
  Container* current = world_.Current();
  if (reason == "ContainerNotFound" || current == nullptr) return world_.PersonInstalls();
  if (reason == crd::reason::kDowngradeRefused) return AskFor(current->version);
  if (reason == "NameTaken") {
    if (Container* other =
            world_.Find("oms_" + std::to_string(VersionNumber(resource.spec.version))))
      world_.PersonRemoves(*other);
    return;
  }
  if (!current->running) {
    for (auto& container : world_.containers) {
      if (world_.databases.Fits(container.version)) return world_.PersonStarts(container);
    }
    return world_.PersonStarts(*current);
  }
  if (!world_.Well(*current)) {
    world_.databases.of.fill({current->version, 0});  // By the person's own means.
    return;
  }
  resource.reset = "reset-" + std::to_string(++tokens_);
}

void Player::ToTheEnd() {
  int answers = 0, still = 0;
  Decision decision;
  for (int round = 0; round < kMaxRounds && world_.broken.empty(); ++round) {
    decision = Round();
    world_.Tick();
    controller_->TickTasks();
    if (decision.wait) world_.Pass(*decision.wait);
    if (!world_.resource.exists || decision.kind == Kind::kIdle) return ExpectGoodEnd();
    const bool stands = decision.kind == Kind::kStall || decision.kind == Kind::kHold;
    still = stands ? still + 1 : 0;
    if (still < 4) continue;
    still = 0;
    if (decision.kind == Kind::kHold) {
      return world_.Break("held by " + decision.reason + " although nobody holds it");
    }
    if (++answers > kMaxAnswers) break;
    Answer(decision);
  }
  if (!world_.broken.empty()) return;
  world_.Break("no end: " + std::string(model::NameOf(decision.step)) + " " + decision.reason +
               ": " + decision.message);
}

void Player::ExpectGoodEnd() {
  if (!world_.broken.empty()) return;
  if (world_.OperationOpen() && world_.resource.exists)
    world_.Break("Ready with an operation open");
  if (world_.OperationOpen() && world_.Record()->Passed(model::PointKind::kFirstDrop))
    world_.Break("left alone in the middle of a restore");
  if (world_.OperationOpen()) return;  // Orphaned, as asked.
  // Who gave an operation up was told that HA may be off.
  if (world_.HaOn() != world_.ha_wanted && !world_.abandoned) {
    world_.Break(world_.ha_wanted ? "HA was on, and is off at the end"
                                  : "HA was off, and is on at the end");
  }
  const Container* current = world_.Current();
  if (current == nullptr) return;  // A person has taken it away; nothing is open.
  if (world_.resource.exists && VersionText(current->version) != world_.resource.spec.version) {
    world_.Break("Ready with another version than the one that is asked for");
  }
  if (world_.troubled) return;  // Persons have stopped OMS, or mended databases by hand.
  if (!current->running) world_.Break("OMS does not run at the end");
  if (!world_.databases.Fits(current->version)) {
    world_.Break("the databases are not those of the version that runs");
  }
  int running = 0;
  for (const auto& container : world_.containers) running += container.running ? 1 : 0;
  if (running > 1) world_.Break("two versions run at the end");
}

// ---------------------------------------------------------------------------------------- drawing

struct Draft {
  What what;
  int weight;
  int a_from, a_to;
  int b_to = 0;
};

// How often each is drawn, and with which arguments.
constexpr Draft kDrafts[] = {
    {What::kGoOn, 40, 1, 14},       {What::kRound, 8, 0, 0},
    {What::kTick, 8, -1, 2},        {What::kDie, 20, 1, 5, 2},
    {What::kHours, 1, 1, 80},       {What::kClock, 2, -90, 90},
    {What::kVersion, 10, 0, 2},     {What::kSuspend, 3, 0, 1},
    {What::kDelete, 2, 0, 0},       {What::kCreate, 2, 0, 0},
    {What::kOnFailure, 3, 0, 2},    {What::kIgnoreRevert, 1, 0, 1},
    {What::kOrphan, 1, 0, 1},       {What::kApproval, 1, 0, 1},
    {What::kMode, 1, 0, 1},         {What::kWindow, 1, 0, 1},
    {What::kReset, 3, 0, 0},        {What::kAccept, 1, 0, 1},
    {What::kAbandon, 1, 0, 0},      {What::kNoImageBackup, 1, 0, 1},
    {What::kStartOld, 3, 0, 0},     {What::kStopAny, 2, 0, 1},
    {What::kRemoveOld, 1, 0, 1, 1}, {What::kRemoveNew, 2, 0, 0},
    {What::kRestartAny, 2, 0, 1},   {What::kHaSwitch, 3, 0, 1},
    {What::kEngineSilent, 2, 1, 4}, {What::kMetaSilent, 2, 1, 4},
    {What::kEngineFlaky, 2, 1, 3},  {What::kMetaFlaky, 3, 1, 3},
    {What::kDamage, 3, 0, 2},       {What::kMend, 3, 0, 0},
    {What::kImageFails, 1, 1, 3},   {What::kDumpFails, 2, 1, 4},
    {What::kLoadFails, 2, 1, 4},    {What::kLoadSpoils, 2, 1, 4},
    {What::kTerminal, 1, 0, 1},     {What::kScriptFails, 3, 0, 0},
    {What::kScriptHangs, 2, 0, 1},  {What::kScriptVanishes, 2, 0, 0},
    {What::kSlowExec, 2, 0, 1},     {What::kSick, 2, 0, 1},
};
constexpr int kTotalWeight = [] {
  int sum = 0;
  for (const Draft& draft : kDrafts) sum += draft.weight;
  return sum;
}();

}  // namespace

Sequence Draw(uint64_t seed) {
  std::mt19937_64 random(seed * 0x9E3779B97F4A7C15ULL + 1);
  // Not std::uniform_int_distribution, whose numbers are each library's own.
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint64_t>(n)); };
  // Every third has no trouble in it: crashes, edits and time alone, for which nobody is asked.
  const bool plain = below(3) == 0;
  Sequence sequence;
  // Half begin far inside: somewhere in an upgrade, on its way back, in an undo, in the next one.
  constexpr int kAnUpgrade = 26;
  const auto begin = [&](What what, int a) { sequence.push_back({what, a}); };
  if (const int opening = below(8); opening < 4) {
    if (!plain && below(4) == 0) begin(What::kScriptHangs, 1);
    if (!plain && below(6) == 0) begin(What::kLoadSpoils, 1 + below(6));
    const bool by_policy = !plain && below(4) == 0;  // It fails, and turns back by itself.
    if (by_policy) {
      begin(What::kOnFailure, static_cast<int>(crd::OnFailure::kRollback));
      begin(What::kScriptFails, 0);
    }
    begin(What::kGoOn, opening < 2 ? 1 + below(kAnUpgrade) : kAnUpgrade);
    if (by_policy) begin(What::kGoOn, kAnUpgrade);
    if (opening > 0) begin(What::kVersion, opening == 3 ? 2 : 0);
    begin(What::kGoOn, 1 + below(16));
  }
  const int length = static_cast<int>(sequence.size()) + 3 + below(16);
  while (static_cast<int>(sequence.size()) < length) {
    int at = below(kTotalWeight);
    const Draft* draft = kDrafts;
    while (at >= draft->weight) at -= (draft++)->weight;
    if (plain && (draft->what == What::kHours || draft->what == What::kClock ||
                  draft->what == What::kAbandon ||
                  (draft->what >= What::kStartOld && draft->what != What::kHaSwitch))) {
      continue;
    }
    sequence.push_back({draft->what, draft->a_from + below(draft->a_to - draft->a_from + 1),
                        below(draft->b_to + 1)});
  }
  return sequence;
}

std::string Play(const Sequence& sequence, std::vector<std::string>* trace,
                 std::map<std::string, int>* tally) {
  return Player(trace, tally).Play(sequence);
}

Sequence Shorten(Sequence sequence) {
  bool shorter = true;
  const auto fails = [](const Sequence& one) { return !Play(one).empty(); };
  while (shorter) {
    shorter = false;
    for (size_t chunk = std::max<size_t>(sequence.size() / 2, 1); chunk >= 1; chunk /= 2) {
      for (size_t at = 0; at < sequence.size();) {
        Sequence without = sequence;
        without.erase(
            without.begin() + static_cast<std::ptrdiff_t>(at),
            without.begin() + static_cast<std::ptrdiff_t>(std::min(at + chunk, sequence.size())));
        if (fails(without)) {
          sequence = std::move(without);
          shorter = true;
        } else {
          at += chunk;
        }
      }
    }
    // What goes on in one piece, and for shorter, is easier to read.
    for (size_t at = 0; at + 1 < sequence.size(); ++at) {
      if (sequence[at].what != What::kGoOn || sequence[at + 1].what != What::kGoOn) continue;
      Sequence joined = sequence;
      joined[at].a += joined[at + 1].a;
      joined.erase(joined.begin() + static_cast<std::ptrdiff_t>(at) + 1);
      if (!fails(joined)) continue;
      sequence = std::move(joined);
      shorter = true;
    }
    for (Event& event : sequence) {
      while (event.what == What::kGoOn && event.a > 1) {
        --event.a;
        if (fails(sequence)) {
          shorter = true;
          continue;
        }
        ++event.a;
        break;
      }
    }
  }
  return sequence;
}

std::string Describe(const Event& event) {
  const std::string a = std::to_string(event.a);
  const auto onoff = [&] { return event.a != 0 ? " on" : " off"; };
  static constexpr std::array kSides{"before it", "after it", "with it on its way"};
  switch (event.what) {
    case What::kGoOn: return a + " rounds, the world going on";
    case What::kRound: return "one round";
    case What::kTick:
      return event.a < 0 ? std::string("the world goes on")
                         : "the world goes on, of the tasks only task " + a;
    case What::kDie:
      return "the process dies in a round, at write " + a + ", " +
             kSides[static_cast<size_t>(event.b)] + "; or at the round's end";
    case What::kHours: return a + " hours pass in which nobody looks";
    case What::kClock: return "the wall clock jumps by " + a + " minutes";
    case What::kVersion:
      return "spec.version " + VersionText(kVersions[static_cast<size_t>(event.a)]);
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
    case What::kStartOld: return "a person starts the old container";
    case What::kStopAny:
      return event.a == 0 ? "a person stops the old container" : "the new container ends";
    case What::kRemoveOld:
      return std::string("a person removes the old container") +
             (event.a != 0 ? " and its image" : "") + (event.b != 0 ? ", also if it runs" : "");
    case What::kRemoveNew: return "a person removes the new container";
    case What::kRestartAny:
      return event.a == 0 ? "a person restarts the old container"
                          : "the new container is restarted";
    case What::kHaSwitch: return std::string("a person switches HA") + onoff();
    case What::kEngineSilent: return "the engine is silent for " + a + " rounds";
    case What::kMetaSilent: return "the MetaDB is silent for " + a + " rounds";
    case What::kEngineFlaky: return "one question to the engine fails, " + a + " times";
    case What::kMetaFlaky: return "one question to the MetaDB fails, " + a + " times";
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
  }
  return "?";
}

std::string Report(uint64_t seed, const Sequence& sequence) {
  std::vector<std::string> trace;
  const std::string broken = Play(sequence, &trace);
  std::string text = (broken.empty() ? "every promise was kept" : "broken: " + broken) + "\nseed " +
                     std::to_string(seed) + " (OMS_PROPERTY_SEED=" + std::to_string(seed) +
                     " plays it again); the " + (broken.empty() ? "" : "shortest ") +
                     "sequence, of " + std::to_string(sequence.size()) + " events:\n";
  for (const Event& event : sequence) text += "  - " + Describe(event) + "\n";
  text += "what happened:\n";
  for (const auto& line : trace) text += "  " + line + "\n";
  return text;
}

}  // namespace oms::property
