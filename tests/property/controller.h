// One process of the controller, as the passes and phases in reconcilers/ write it: for each
// decision the same writes in the same order, and each of them may be the last of the process.
//
// What is thought (state, decisions) is the real code. What is done is this model; where a phase
// changes, this changes with it.
#pragma once

#include <map>
#include <string>

#include "reconcilers/decide/failures.h"
#include "reconcilers/decide/planner.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/steps/state.h"
#include "tests/property/world.h"

namespace oms::property {

// Where a process dies.
struct Death {
  int at_write = 0;  // 0: it lives on. Counted within one round.
  // kLate: what was sent to an engine arrives after the death.
  enum class Side { kBefore, kAfter, kLate } side = Side::kBefore;
};

class Controller {
 public:
  explicit Controller(World& world) : world_(world) {}

  // One round: look, decide, act. Throws Died.
  struct Died {};
  decide::Decision Round(const Death& death = {});
  // Every task goes on by one act, or the one task of this number alone.
  void TickTasks(int only = -1);

 private:
  using Record = model::OperationRecord;
  struct Task {
    model::Step step = model::Step::kPreflight;
    int act = 0;
    int database = -1;       // Of a restore.
    std::string old, fresh;  // Containers.
    std::string folder;      // Of a dump; the key of an attempt.
    std::string run;         // The one that was asked to stop, by StartedAt.
    Databases seen;
    uint64_t heartbeat = 0;
    model::TaskView view;
  };

  // --- the writes of a round
  template <typename F>
  void Act(F act, bool to_engine = false);
  template <typename F>
  void Save(F change);
  void Pass(model::PointKind kind, std::optional<model::Step> step = std::nullopt, int attempt = 0);
  Task& Begin(model::Step step, const std::string& name);

  // --- looking
  void Observe();
  ports::ContainerInfo InfoOf(const Container& container) const;
  void ObserveNode(model::NodeFacts& node, bool flaky);
  void ObserveMeta(bool flaky);
  model::HealthFacts HealthOf(const Container& container) const;

  // --- rounds
  decide::Decision Closed();
  decide::Decision Open();
  void OpenUpgrade();
  void OpenUndo(const Record& undone);
  void RecordEvidence();
  decide::Decision TakeEdit();
  void Turn(const std::string& why);
  template <typename F>
  void End(F change);
  void PruneBackups();
  void CountFailures();
  model::ResourceMark Mark() const;
  decide::UserRequests UserRequestsNow() const;

  // --- steps; false: the phase has returned an error
  bool Run(model::Step step);
  bool SwapHa(const std::string& desired);
  bool PutHaBack();
  void SwitchOn(model::Step step);
  void HaIsBack(model::Step step);
  bool CanSwitch() const { return facts_.meta && facts_.meta->ha_raw; }
  void DisableHa();
  bool StopContainers();
  void CompactHeartbeat();
  void BackUp();
  bool StartContainers();
  bool RunScript();
  void StopNewContainers();
  void SaveUpgradedState();
  void RestoreDatabases();
  void StartOldContainers();

  // --- tasks
  void Go(Task& task);
  void Succeed(Task& task, std::string output = {});
  void Fail(Task& task, base::Code code, std::string reason);
  bool Spoiled(int& count, Task& task, const char* reason);
  void DumpOn(Task& task, bool upgraded);
  void VerifyOn(Task& task);
  void RestoreOn(Task& task);
  void StopOn(Task& task, const std::string& container, int first);
  const model::TaskView* View(const std::string& name) const { return facts_.Task(name); }

  World& world_;
  Record* record_ = nullptr;  // The one that the row names.
  model::Facts facts_;
  steps::State state_;
  std::map<std::string, Task> tasks_;

  // What a process remembers.
  decide::FailureMemory failures_;
  std::string pruned_for_;
  bool heartbeat_moves_ = false;

  bool passing_ = true;  // Of a phase that returned an error: worth another try.

  Death death_;
  int writes_ = 0;
};

}  // namespace oms::property
