// The stage of a sequence: the world, the process that is at work, and time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/fakes/fake_world.h"
#include "tests/fakes/stepped_tasks.h"
#include "tests/property/player.h"
#include "tests/property/sequence.h"

namespace oms::property {

using fakes::World;

inline constexpr char kHaTextOn[] =
    R"({"enable":true,"own":7,"perceiveStoreClientCheckpoint":false})";
inline constexpr char kHaTextOff[] =
    R"({"enable":false,"own":7,"perceiveStoreClientCheckpoint":false})";
inline const kube::ResourceType kUpgrades{crd::kGroup, crd::kVersionName, crd::kPlural};
inline const kube::ObjectKey kKey{"ns", "oms"};

class Stage {
 public:
  Stage(const Sequence& sequence, Played& played, bool trace, bool tally);
  ~Stage() { (void)world.promises.Take(); }  // They are told in `played`.

  // --- what goes on
  base::Duration Round();    // How long it is until the next one, as the controller asks for it.
  void StepTasks(int only);  // Each (-1), or this one alone.
  void Tick();  // All that goes on without the controller. What runs, and fits, writes.
  void GoOn(int rounds);
  void DieAt(int write, fakes::Life::End end);
  void Silence();  // Of what answers nothing, for as many rounds as are left.

  // --- what a person does to the resource
  void Edit(const std::function<void(nlohmann::json&)>& edit) {
    if (Exists()) world.EditSpec(edit);
  }
  void Annotate(const char* key, const std::string& value) {
    if (Exists()) world.Annotate(key, value);
  }
  void AskFor(const std::string& version);
  void Reset();
  void MendBackups();

  // --- what is there
  bool Exists() const { return world.api.Find(kUpgrades, kKey).has_value(); }
  const model::OperationRecord* Record() { return world.promises.Operation(); }
  bool OperationOpen() { return Record() != nullptr && Record()->open(); }
  std::vector<World::Container*> OfHost(size_t node);
  // The container that the last operation replaced, or would have; and the one that it made.
  World::Container* Old(size_t node);
  World::Container* New(size_t node);
  World::Container* Current(size_t node);  // What runs, or what ran last.
  bool IsComponent(const World::Container& container) const {
    return !world.component.empty() && container.info.name.starts_with("omsb_");
  }
  bool Fits(const std::string& version) const;  // The databases.
  bool HaOn() const;
  void Remove(World::Container& container);

  // --- what is held against the sequence
  bool Broken() const { return !played.broken.empty() || !world.promises.broken().empty(); }
  void Break(const std::string& how) {
    if (played.broken.empty()) played.broken = how;
  }
  template <typename... T>
  void Say(const T&... words) {
    if (!trace) return;
    std::string line;
    ((line += words), ...);
    if (played.trace.empty() || played.trace.back() != line)
      played.trace.push_back(std::move(line));
  }

  const Sequence& sequence;
  Played& played;
  const bool trace, tally;
  const std::string first;  // The version that runs in the beginning.
  World world;
  std::shared_ptr<fakes::SteppedTasks> tasks;
  std::unique_ptr<fakes::Process> process;
  std::map<std::string, std::string> whole;    // Files that were damaged, as they were.
  std::map<std::string, std::string> configs;  // By path, as they were.
  size_t nodes = 1;
  int tokens = 0;
  int engine_silent = 0, meta_silent = 0;  // Rounds that are left.
  bool last_engine = false, last_meta = false;
  bool troubled = false;   // Something happened for which a person may be asked.
  bool ha_wanted = true;   // As the person has set it.
  bool abandoned = false;  // An operation was given up in its middle.

 private:
  void BuildWorld();
  void NewProcess();
  void Restart() {
    process.reset();
    NewProcess();
  }
  void SayWhatWasDone();

  int processes_ = 0, operations_ = 0;
  size_t said_ = 0;
};

}  // namespace oms::property
