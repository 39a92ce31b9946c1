// Promises: what must never happen to OMS, whoever does what and whenever a process dies, held at
// each act of a controller on the world. What was broken is one list; a world that ends with
// something in it fails its test.
//
// The promises are those of reconcilers/README.md and of the decisions beside it. An act of a
// person that no controller can foresee breaks none of them: what a person has started since the
// pass began, and what a person has written or accepted.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller/base/clock.h"
#include "reconcilers/model/operation.h"

namespace oms::fakes {

class World;

class Promises {
 public:
  explicit Promises(World& world) : world_(world) {}

  // --- acts of a controller, each right before it is done; the world's lock is held
  void Start(const std::string& container_id);
  void Remove(const std::string& container_id);
  void Drop(const std::string& database);
  void BeginDump(const std::string& database);
  void BeginScript(const std::string& container_id, const std::string& marker);
  void Append(const std::string& folder, int n, const std::string& text);  // A new record.
  void ReadFile(const std::string& path);
  void RemovePayload(const std::string& folder);
  void Break(const std::string& what) { broken_.push_back(what); }

  void BeginProcess() { process_began_ = ++happened_; }

  // --- acts of a person
  void PersonRanOms() { person_wrote_ = true; }
  void PersonAccepted() { accepted_ = true; }

  const std::vector<std::string>& broken() const { return broken_; }
  std::vector<std::string> Take() { return std::exchange(broken_, {}); }

  // The operation of the row as it was appended last; null: none was.
  const model::OperationRecord* Operation();
  // The records of this folder from this n on hold all that the earlier ones do.
  int EnoughFrom(const std::string& folder) const;

 private:
  struct Known {
    model::OperationRecord record;
    int enough_from = 0;
    std::optional<uint64_t> turned;  // Since when it goes back.
    uint64_t may_drop = 0;           // Since when the point is passed that says so.
  };
  using Record = model::OperationRecord;

  Known& KnownOf(const std::string& folder);
  void Pass(const Known& known, const model::Point& point);
  void StartNew(const Record& record);
  void StartOld(const Record& record);
  bool WindowIsOpen() const;
  bool HaIsOn() const;
  static std::string BackupOf(const Record& record);
  // Why this backup would not bring the database back; all of them, where none is named.
  std::string WhatIsWrongWith(const Record& record, const std::string& database = {}) const;
  bool ReadSince(const Record& record, const std::string& database, uint64_t since) const;

  World& world_;
  std::map<std::string, Known> known_;  // By folder.
  // Not times: a task has a thread of its own, and the clock is another's. What happened first?
  uint64_t happened_ = 0, process_began_ = 0;
  std::map<std::string, uint64_t> read_at_, dropped_at_;
  std::map<std::string, int> script_runs_;  // By operation and script.
  // What the databases held when the new version was started; by operation.
  std::map<std::string, std::map<std::string, std::string>> before_;
  std::map<std::string, uint64_t> highest_id_;
  std::set<std::string> went_back_;  // Operations that have started an old container.
  bool person_wrote_ = false, accepted_ = false;
  std::vector<std::string> broken_;
};

}  // namespace oms::fakes
