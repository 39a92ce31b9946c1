// The end of a sequence: the world is mended, wishes stand still, and a person does what the
// messages of stalls say. Then an end must be found, and it must be a good one.
#include "tests/property/ending.h"

#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"
#include "reconcilers/steps/accept.h"

namespace oms::property {

using model::Direction;
using model::PointKind;
using nlohmann::json;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

// Rounds to an end, and answers of a person to what stalls.
constexpr int kMaxRounds = 300;
constexpr int kPatience = 100;  // Rounds after which time goes by faster.
constexpr int kMaxAnswers = 12;

}  // namespace

// The world is mended; what the person wants (a version, or the resource gone) stays.
void Ending::Mend() {
  stage_.engine_silent = stage_.meta_silent = 0;
  if (stage_.Exists()) stage_.Silence();
  world_.engine_flaky = world_.meta_flaky = {};
  world_.loads_of_image_to_fail = world_.dumps_to_fail = world_.loads_to_fail = 0;
  world_.loads_to_spoil = world_.scripts_to_fail = world_.answer_to_lose = 0;
  world_.script_held = world_.execs_late = world_.supervisor_silent = false;
  world_.hosts.front().status = "ONLINE";
  world_.fails_with = base::Code::kTransient;
  stage_.Tick();  // What was asked for before is done.
  stage_.MendBackups();
  MendByHand();
  StopWhatAPersonRunsBeside();
  stage_.Edit([](json& spec) {
    spec.erase("maintenanceWindow");
    spec["suspend"] = false;
    spec["mode"] = "Apply";
    spec["approval"] = "Automatic";
    spec["deletionPolicy"] = "RollBack";
  });
}

// What an operation that was given up has left is put right by the person who gave it up: on each
// host one container runs, all of a version, on databases of that version, and HA is as it was.
void Ending::MendByHand() {
  if (!stage_.abandoned || stage_.OperationOpen()) return;
  world_.InstallByHand();
  std::string version;
  std::vector<World::Container*> kept(stage_.nodes);
  for (const std::string each : {"4.3.2", "4.3.1", stage_.first.c_str()}) {
    bool all = true;
    for (size_t node = 0; node < stage_.nodes && version.empty(); ++node) {
      const auto here = stage_.OfHost(node);
      const auto found = std::find_if(here.begin(), here.end(), [&](const auto* container) {
        return stage_.IsComponent(*container) || world_.VersionOf(*container) == each;
      });
      all = all && found != here.end();
      if (found != here.end()) kept[node] = *found;
    }
    if (version.empty() && all) version = each;
  }
  if (version.empty()) {  // Each host has another one: all anew.
    std::erase_if(world_.containers,
                  [](const auto& each) { return World::IsOms(each.second.info); });
    world_.InstallByHand();
    for (size_t node = 0; node < stage_.nodes; ++node) kept[node] = stage_.OfHost(node).front();
    version = stage_.first;
  }
  for (size_t node = 0; node < stage_.nodes; ++node) {
    for (World::Container* container : stage_.OfHost(node)) {
      if (container != kept[node]) world_.EndContainer(container->info.id, 0);
    }
  }
  world_.databases = {
      {"oms_rm", "rm of " + version}, {"oms_cm", "cm of " + version}, {"oms_cm_hb", "beats"}};
  if (!world_.sequence.base.exists) world_.sequence.base = {true, 1, 100'000, 100'001};
  world_.sequence.bak = world_.sequence.bak2 = {};
  world_.ha = stage_.ha_wanted ? kHaTextOn : kHaTextOff;
  world_.console = "RUNNING";
  for (auto& [name, console] : world_.consoles) console = "RUNNING";
  for (World::Container* container : kept) world_.StartByHand(container->info.id);
}

// Nothing is open, and what a person has started runs beside OMS: theirs to stop.
void Ending::StopWhatAPersonRunsBeside() {
  if (stage_.OperationOpen()) return;
  for (size_t node = 0; node < stage_.nodes; ++node) {
    const auto here = stage_.OfHost(node);
    auto running = std::count_if(here.begin(), here.end(),
                                 [](const auto* container) { return container->info.running; });
    for (World::Container* container : here) {
      if (running < 2 || !container->info.running || !container->by_person) continue;
      world_.EndContainer(container->info.id, 0);
      --running;
    }
  }
}

// A person does what the message of a stall says.
void Ending::Answer(const std::string& reason, const std::string& message) {
  stage_.Say("- a person answers ", reason, ": ", message);
  if (stage_.tally) ++stage_.played.came["answered " + reason];
  if (!stage_.troubled && reason != crd::reason::kDowngradeRefused)
    return stage_.Break("stalled by " + reason + ", and nothing was wrong: " + message);
  if (stage_.OperationOpen()) {
    AnswerOpen(reason);
  } else {
    AnswerClosed(reason, message);
  }
}

bool Ending::SomeHostIsEmpty() {
  for (size_t node = 0; node < stage_.nodes; ++node) {
    if (stage_.OfHost(node).empty()) return true;
  }
  return false;
}

void Ending::AnswerOpen(const std::string& reason) {
  const auto* record = stage_.Record();
  if (reason == "ContainerNotFound" && SomeHostIsEmpty()) return world_.InstallByHand();
  stage_.Reset();
  if (reason == "OldImageGone") world_.InstallImage();
  if (reason == "NameTaken" || reason == "NewContainerStarted") {
    for (size_t node = 0; node < stage_.nodes; ++node) {
      World::Container* fresh = stage_.New(node);
      if (fresh != nullptr && fresh != stage_.Old(node)) stage_.Remove(*fresh);
    }
  }
  if (record->direction == Direction::kRollback) return;
  // The token alone: what was started by hand is stopped, and backed up anew.
  if (reason == crd::reason::kOldContainerStarted && !record->Passed(PointKind::kNewStarting) &&
      stage_.tokens % 4 != 0) {
    return;
  }
  if (!record->Passed(PointKind::kStopping)) {
    for (size_t node = 0; node < stage_.nodes; ++node) {
      World::Container* old = stage_.Old(node);
      if (old != nullptr && !old->info.running) return world_.StartByHand(old->info.id);
    }
  }
  stage_.Edit([](json& spec) { spec["strategy"]["onVersionRevert"] = "Rollback"; });
  stage_.AskFor(record->from.ToString());
}

void Ending::AnswerClosed(const std::string& reason, const std::string& message) {
  if (reason == crd::reason::kAbandoned) {
    stage_.abandoned = true;
    MendByHand();
    stage_.Annotate(crd::kAccept, steps::AcceptToken(*stage_.Record(), crd::reason::kAbandoned));
  }
  // What was upgraded is there no more: the way back is left, to the version that is told.
  if (reason == crd::reason::kNewContainerGone) {
    static constexpr std::string_view kTold = "spec.version to ";
    const size_t at = message.find(kTold);
    if (at == std::string::npos)
      return stage_.Break("no version to go back to is told: " + message);
    const size_t begin = at + kTold.size();
    if (message.find("spec.strategy.onVersionRevert to Rollback") != std::string::npos)
      stage_.Edit([](json& spec) { spec["strategy"]["onVersionRevert"] = "Rollback"; });
    return stage_.AskFor(message.substr(begin, message.find(' ', begin) - begin));
  }
  StopWhatAPersonRunsBeside();
  if (SomeHostIsEmpty()) return world_.InstallByHand();
  const World::Container& current = *stage_.Current(0);
  const std::string version = world_.VersionOf(current);
  if (reason == crd::reason::kDowngradeRefused || reason == "VersionDiffers")
    return stage_.AskFor(version);
  if (reason == crd::reason::kNodeVersionsDiffer) {  // Which of them is meant, only they know.
    stage_.abandoned = true;
    return MendByHand();
  }
  if (reason == "NameTaken") {
    std::string digits = world_.Resource().spec.version;
    std::erase(digits, '.');
    for (size_t node = 0; node < stage_.nodes; ++node) {
      for (World::Container* container : stage_.OfHost(node)) {
        if (!container->info.running && container->info.name.ends_with(digits))
          stage_.Remove(*container);
      }
    }
    return;
  }
  for (size_t node = 0; node < stage_.nodes; ++node) {
    World::Container* meant = stage_.Current(node);
    if (meant->info.running) continue;
    for (World::Container* container : stage_.OfHost(node)) {
      if (stage_.Fits(world_.VersionOf(*container))) meant = container;
    }
    return world_.StartByHand(meant->info.id);
  }
  if (!stage_.Fits(version)) {  // By the person's own means.
    world_.databases["oms_rm"] = "rm of " + version;
    world_.databases["oms_cm"] = "cm of " + version;
    return;
  }
  stage_.Reset();
}

// What a person holds is not held any more. True: it was such a hold.
bool Ending::AnswerHold(const crd::OmsUpgrade& resource, const std::string& reason) {
  if (reason == crd::reason::kAwaitingApproval) {
    stage_.Annotate(crd::kApprove, resource.status.plan ? resource.status.plan->hash : "none");
    return true;
  }
  if (reason != crd::reason::kSuspended && reason != crd::reason::kPlanned &&
      reason != crd::reason::kOutsideWindow)
    return false;
  stage_.Break("held by " + reason + " although nobody holds it");
  return true;
}

void Ending::ToTheEnd() {
  int answers = 0, still = 0;
  std::string reason, message;
  for (int round = 0; round < kMaxRounds && !stage_.Broken(); ++round) {
    const auto wait = stage_.Round();
    stage_.Tick();
    stage_.StepTasks(-1);
    // What waits for hours is not waited for a second at a time.
    const base::Duration least = round < kPatience ? base::Duration(100) : minutes(1);
    world_.clock.Advance(std::clamp<base::Duration>(wait, least, minutes(3)));
    if (!stage_.Exists()) return ExpectGoodEnd();
    const crd::OmsUpgrade resource = world_.Resource();
    const auto* ready = crd::FindCondition(resource.status.conditions, crd::kReady);
    const auto* moves = crd::FindCondition(resource.status.conditions, crd::kReconciling);
    if (ready == nullptr || moves == nullptr) continue;
    const bool seen = resource.status.observed_generation == resource.meta.generation;
    reason = ready->reason;
    message = resource.status.message;
    if (seen && ready->status == kube::ConditionStatus::kTrue &&
        !resource.meta.deletion_timestamp) {
      return ExpectGoodEnd();
    }
    // Looked for again and again, in case the engine was restored: it is a person who must act.
    const bool stands = seen && (moves->status != kube::ConditionStatus::kTrue ||
                                 reason == crd::reason::kContainerNotFound);
    still = stands ? still + 1 : 0;
    if (still < 4) continue;
    still = 0;
    if (++answers > kMaxAnswers) break;
    if (!AnswerHold(resource, reason)) Answer(reason, message);
  }
  if (!stage_.Broken()) stage_.Break("no end: " + reason + ": " + message);
}

void Ending::ExpectGoodEnd() {
  if (stage_.Broken()) return;
  const bool exists = stage_.Exists();
  if (stage_.OperationOpen() && exists) return stage_.Break("Ready with an operation open");
  if (stage_.OperationOpen() && stage_.Record()->Passed(PointKind::kFirstDrop))
    return stage_.Break("left alone in the middle of a restore");
  if (stage_.OperationOpen()) return;  // Orphaned, as asked.
  // Who gave an operation up was told that HA may be off.
  if (stage_.HaOn() != stage_.ha_wanted && !stage_.abandoned) {
    return stage_.Break(stage_.ha_wanted ? "HA was on, and is off at the end"
                                         : "HA was off, and is on at the end");
  }
  if (exists) ExpectQuiet();
  const crd::OmsUpgrade resource = world_.Resource();
  for (size_t node = 0; node < stage_.nodes; ++node) {
    const World::Container* current = stage_.Current(node);
    if (current == nullptr) continue;  // A person has taken it away; nothing is open.
    const std::string version = world_.VersionOf(*current);
    if (exists && !stage_.IsComponent(*current) && version != resource.spec.version)
      return stage_.Break("Ready with another version than the one that is asked for");
    if (stage_.troubled) continue;  // Persons have stopped OMS, or mended databases by hand.
    if (!current->info.running) return stage_.Break("OMS does not run at the end");
    if (!stage_.IsComponent(*current) && !stage_.Fits(version))
      return stage_.Break("the databases are not those of the version that runs");
    if (current->info.restart_policy != "always")
      return stage_.Break("the restart policy of what runs is not what it was");
    const auto here = stage_.OfHost(node);
    if (std::count_if(here.begin(), here.end(),
                      [](const auto* container) { return container->info.running; }) > 1)
      return stage_.Break("two versions run at the end");
  }
  if (exists) ExpectNoSecret(resource);
  if (!stage_.abandoned) ExpectNothingLeft();
}

// What was touched for a while is as it was, and nothing of ours stays but the containers.
void Ending::ExpectNothingLeft() {
  if (world_.query_timeout != 10'000'000 || world_.cm_query_timeout != 20'000'000)
    return stage_.Break("ob_query_timeout is not what it was");
  if (world_.ha && world_.ha->find("\"own\":7") == std::string::npos)
    return stage_.Break("a key of ha.config that is not ours is gone");
  if (stage_.troubled) return;
  const auto& [base, bak, bak2] = world_.sequence;
  if (!base.exists || bak.exists || bak2.exists)
    return stage_.Break("heatbeat_sequence is not alone at the end");
  for (const auto& [id, container] : world_.containers) {
    if (!World::IsOms(container.info)) return stage_.Break(container.info.name + " is left over");
  }
  for (const auto& [path, content] : stage_.configs) {
    const bool old = world_.VersionOf(*stage_.Current(0)) == stage_.first;
    const auto now = world_.host_files.find(path);
    if (now == world_.host_files.end()) return stage_.Break(path + " is gone");
    const bool in_place = stage_.sequence.shape == Shape::kInPlace && !old;
    if (in_place == (now->second.content == content))
      return stage_.Break(path + (in_place ? " was not edited" : " is not what it was"));
    const std::string beside = path.substr(0, path.size() - 5) + "-4.3.1.yaml";
    if (old && world_.host_files.contains(beside)) return stage_.Break(beside + " is left over");
  }
}

// Nothing is to be done, so nothing is written.
void Ending::ExpectQuiet() {
  for (int i = 0; i < 3; ++i) {
    stage_.Tick();
    world_.clock.Advance(seconds(60));
    const size_t before = world_.log.size();
    stage_.Round();
    stage_.StepTasks(-1);
    if (i == 2 && world_.log.size() != before)
      return stage_.Break("a pass with nothing to do has written: " + world_.log.back());
  }
}

void Ending::ExpectNoSecret(const crd::OmsUpgrade& resource) {
  const std::string status = crd::StatusToJson(resource.status).dump();
  if (status.size() > crd::kMaxStatusBytes)
    return stage_.Break("the status is larger than it may be");
  for (const std::string secret : {"s3cret-word", "0ther-word"}) {
    const auto holds = [&](const std::string& text) {
      return text.find(secret) != std::string::npos;
    };
    if (holds(status) || std::any_of(world_.events.begin(), world_.events.end(), holds))
      return stage_.Break("a password is told");
  }
}

}  // namespace oms::property
