// A model of everything outside of the controller: containers, databases, backups, the script, and
// the records on the backup volume. Small on purpose: it is a specification of what may be met.
//
// It moves by Tick(). What must never happen is written down in `broken`, by the act that did it.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crd/oms_upgrade.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/ports/meta_db.h"

namespace oms::property {

// Versions as numbers: 430 is 4.3.0.
std::string VersionText(int version);
int VersionNumber(const std::string& text);

inline constexpr std::array<const char*, 3> kDatabases{"oms_rm", "oms_cm", "oms_cm_hb"};
inline constexpr size_t kRm = 0, kHeartbeat = 2;

inline constexpr int kGone = 0;    // Dropped.
inline constexpr int kHalf = -1;   // Half loaded, or half migrated.
inline constexpr int kTwice = -2;  // A script ran over what it was not made for.

struct Content {
  int schema = 430;
  int rows = 0;  // Grows with all that OMS writes.
  bool operator==(const Content&) const = default;
};

// What lies in the three databases, the two things inside of them that have a meaning of their own
// too: ha.config (in rm), and the sequence of ids (in cm_hb).
struct Databases {
  std::array<Content, 3> of;
  std::optional<std::string> ha;
  ports::SequenceTables sequence;
  bool Same(const Databases& other, size_t database) const;
  bool Fits(int version) const;
};

struct Container {
  std::string id, name;
  std::string operation;  // The label; empty: not ours.
  int version = 430;
  std::string status = "created";
  std::string started_at = "0001-01-01T00:00:00Z";
  std::string policy = "no";
  bool running = false;
  bool stopping = false;   // The engine was asked, and is at it.
  bool by_person = false;  // A person has started this run.
  int up = 0;              // Ticks.
  int ended = 0;           // When its last run ended, by a count of its own; 0: it never ran.
};

struct Dump {
  Databases data;
  std::array<bool, 3> damaged{};
  std::string container_id, started_at;
  uint64_t heartbeat_max = 0;
  bool upgraded = false;    // Of the upgraded state.
  std::string verified_by;  // The operation that has verified it whole last.
  std::array<base::SteadyTime, 3> part_verified{};  // When each database's part was, alone.
  bool Whole() const { return !damaged[0] && !damaged[1] && !damaged[2]; }
};

// One attempt of the script: what its marker folder shows.
struct Attempt {
  std::string container;
  int from = 430, to = 431;
  bool folder = false;   // The wrapper's mkdir won.
  bool claimed = false;  // A successor's did.
  bool running = false;
  std::optional<int> exit_code;
};

// What is still to go wrong. Counts are used up one by one.
struct Faults {
  int engine_silent = 0, meta_silent = 0;  // Looks at which nothing at all is answered.
  int engine_flaky = 0, meta_flaky = 0;    // Looks of which one part fails.
  int image_fails = 0, dump_fails = 0, load_fails = 0, load_spoils = 0;
  bool terminal = false;  // Of the four above: an error that is not worth another try.
  bool script_fails = false, script_hangs = false, slow_exec = false;
  bool sick = false;  // Whatever runs is not well.
};

// What the person asks for: the resource.
struct Resource {
  bool exists = true;
  bool deleting = false;
  crd::Spec spec;
  int64_t generation = 1;
  std::string uid = "uid-1";
  std::string reset, accept, approve, abandon;
  bool window_open = true;
};

class World {
 public:
  World();

  // --- time
  base::WallTime wall;
  base::SteadyTime steady;
  void Pass(base::Duration time) {
    wall += time;
    steady += time;
  }
  // All that goes on without the controller.
  void Tick();

  // --- what there is
  std::vector<Container> containers;
  std::set<std::string> images{"oms:4.3.0"};
  Databases databases;
  std::map<std::string, Dump> dumps;        // By absolute folder.
  std::map<std::string, Attempt> attempts;  // By operation and number.
  std::vector<model::OperationRecord> records;
  int row_record = -1;        // The record that the row names; -1: none.
  std::string row_operation;  // Open, by the row.
  Faults faults;
  Resource resource;
  std::vector<std::function<void()>> late;  // Sent by a process that died, to be done yet.

  Container* Find(const std::string& id_or_name);
  Container* OfOperation(const model::OperationRecord& record);
  // The one that stands for OMS (site.h).
  Container* Current();
  model::OperationRecord* Record() { return row_record < 0 ? nullptr : &records[row_record]; }
  bool OperationOpen() { return Record() != nullptr && Record()->open(); }
  bool HaOn() const;
  // Whether it is well, seen from inside.
  bool Well(const Container& container) const;
  std::string NewId(const char* what) { return std::string(what) + std::to_string(++ids_); }

  // --- acts of the controller, with the promises that belong to them
  void Start(const std::string& id, bool late_one);
  void StopContainer(const std::string& id);  // Asked for; it ends at a Tick.
  bool Remove(const std::string& id);         // False: it runs.
  void End(Container& container);             // At once, as when it dies.
  void Compact(ports::CompactionAct act);
  void Drop(const model::OperationRecord& record, size_t database);
  void PointPassed(const model::OperationRecord& record, const model::Point& point);
  Dump* BackupOf(const model::OperationRecord& record);

  // --- acts of a person
  void PersonStarts(Container& container);
  void PersonRemoves(Container& container);
  // OMS anew, where it was taken away whole.
  void PersonInstalls();

  // --- what is held against the end
  std::string broken;     // The first promise that was broken.
  bool troubled = false;  // A person or the world did something for which a person may be asked.
  bool ha_wanted = true;  // As the person has set it.
  bool accepted = false;  // A person has taken databases as they are.
  bool person_wrote = false;                // Ran OMS by hand in the middle of an operation.
  bool abandoned = false;                   // An operation was given up in its middle.
  std::map<std::string, int> script_runs;   // By operation.
  std::map<std::string, Databases> before;  // By operation: as the new container was started.
  void Break(const std::string& promise) {
    if (broken.empty()) broken = promise;
  }

  // How often what was come to, for the test of the sequences themselves.
  std::map<std::string, int>* tally = nullptr;
  void Count(std::string_view what, std::string_view which) const {
    if (tally != nullptr) ++(*tally)[std::string(what).append(which)];
  }

  std::vector<std::string>* trace = nullptr;
  template <typename... T>
  void Say(const T&... words) const {
    if (trace == nullptr) return;
    std::string line;
    ((line += words), ...);
    if (trace->empty() || trace->back() != line) trace->push_back(std::move(line));
  }

 private:
  void Begin(Container& container);
  void TickScript(Attempt& attempt, const std::string& operation);

  int ids_ = 0;
  int ends_ = 0;
};

}  // namespace oms::property
