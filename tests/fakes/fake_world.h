// A host with OMS in containers, its MetaDB, the row, the backup volume and the API server, in
// memory, behind the ports of the reconcilers.
//
// The world outlives every controller. A controller (one process) reaches it through a Life, which
// counts the outward writes and can end right before or right after any of them: from then on every
// call of that controller fails, as it does for a process that is dead. Containers, and scripts
// inside them, go on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/runtime/event_recorder.h"
#include "crd/conditions.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/act/threaded_tasks.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/observe/site.h"
#include "reconcilers/pass/upgrade_reconciler.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_api_client.h"
#include "tests/fakes/world/promises.h"

namespace oms::fakes {

inline constexpr char kOldConfig[] =
    "# written by hand\n"
    "\"cm_location\": \"2\"\n"
    "\"cm_nodes\":\n- \"10.0.0.1\"\n"
    "\"cm_region\": \"cn\"\n"
    "\"cm_url\": \"http://10.0.0.1:8088\"\n"
    "\"drc_cm_db\": \"oms_cm\"\n"
    "\"drc_cm_heartbeat_db\": \"oms_cm_hb\"\n"
    "\"drc_rm_db\": \"oms_rm\"\n"
    "\"oms_meta_host\": \"10.0.0.3\"  # the tenant\n"
    "\"oms_meta_password\": \"s3cret-word\"\n"
    "\"oms_meta_port\": \"2883\"\n"
    "\"oms_meta_user\": \"oms\"\n";
inline constexpr char kHaText[] = R"({"enable": true,  "ownKey": [1, 2], "enableHost":true})";
inline constexpr char kFirstEngine[] = "unix:///var/run/docker.sock";
inline constexpr char kSecondEngine[] = "unix:///var/run/docker2.sock";
inline constexpr char kArchive[] = "/images/oms_4.3.1.tar.gz";
inline constexpr char kRmServer[] = "10.0.0.3:2883";
inline constexpr char kCmServer[] = "10.0.0.4:2881";  // After World::SeparateCm().
inline constexpr char kAssistantArchive[] = "/images/oms-tools.tar";
inline constexpr char kBackups[] = "/var/lib/oms-upgrade/backups";

// One incarnation's right to act.
class Life {
 public:
  // kLate: before it, but what was sent to an engine arrives all the same (World::HappenLate).
  enum class End { kNever, kBefore, kAfter, kLate };
  // Dies at its n-th outward write, counted from 1.
  void DieAt(int n, End end) {
    die_at_ = n;
    end_ = end;
  }
  // Dies after its first outward write of this name. (How many writes come before it differs from
  // run to run: progress is shown or not.)
  void DieAfter(std::string name) { die_after_ = std::move(name); }
  // Its n-th outward write takes so long.
  void SlowAt(int n, base::Duration by) {
    slow_at_ = n;
    slow_by_ = by;
  }
  // Stands still right before its n-th outward write, as under SIGSTOP, until World::Continue().
  void StopAt(int n) { stop_at_ = n; }
  // Right before its n-th outward write something else happens, on the thread of that write.
  void MeetAt(int n, std::function<void()> what) {
    meet_at_ = n;
    meet_ = std::move(what);
  }

 private:
  friend class World;
  bool dead_ = false;  // All guarded by World::mutex_.
  int writes_ = 0;
  int die_at_ = 0;
  std::string die_after_;
  int stop_at_ = 0;
  int meet_at_ = 0;
  std::function<void()> meet_;
  int slow_at_ = 0;
  base::Duration slow_by_{0};
  bool stands_ = false;
  End end_ = End::kNever;
};

class World {
 public:
  // OMS of version `from`, in the container oms_<its digits>, and a resource that asks for 4.3.1.
  // Below 4.0.1 the databases take the upgrade script only after the jar and add_resource.
  explicit World(const std::string& from = "4.3.0");
  // Fails the test whose world it is for each promise that was broken and not taken.
  ~World();

  // A second node, oms-2: OMS_HOST_IP 10.0.0.2, container omsb_<digits>, host folders below /data2,
  // on an engine of its own or on the first one's.
  void AddSecondNode(const std::string& from = "4.3.0", bool own_engine = true);

  // cm and cm_hb lie on a server of their own, with a user, a password and connection ids of its
  // own; config.yaml says so, and the word that is asked for is given.
  void SeparateCm();

  // A separated deployment: oms-1 is the management node, oms-2 a component whose tasks keep
  // running.
  void SeparateAndKeepTasks(bool own_engine = true);

  // ------------------------------------------------------------------------------ what a test sets
  struct Container {
    ports::ContainerInfo info;
    std::map<std::string, ports::FileContent> files;  // Not below a mount.
    nlohmann::json body;
    std::string engine = kFirstEngine;
    bool ran = false;         // It was started at least once.
    bool by_person = false;   // Its last start was a person's.
    bool unforeseen = false;  // So, and since the pass that goes on has begun.
  };
  struct Script {
    std::string container, marker;
    bool running = false;
    int looks_left = 0;  // Ends when it was looked at so often.
    std::string was;     // What oms_rm held, where it is half migrated since.
  };
  // As another person or process would: no Life, no counting. Take the lock: Locked().
  template <typename F>
  auto Locked(F f) {
    std::lock_guard lock(mutex_);
    return f();
  }

  // --- the engine
  bool engine_down = false;
  std::set<std::string> engines_down;                        // By endpoint.
  std::map<std::string, Container> containers;               // By id.
  std::map<std::string, ports::ImageInfo> images;            // By reference.
  std::map<std::string, std::set<std::string>> image_files;  // By image id.
  std::map<std::string, ports::FileContent> host_files;
  std::map<std::string, std::string> host_links;  // Symbolic links: where each leads.
  std::function<void()> before_host_write;        // Between the look and each write of a helper.
  std::map<std::string, std::string> archives;    // Archive -> the reference that it holds.
  // Of an archive: the id of its image, where that is not the one that its name tells.
  std::map<std::string, std::string> archive_ids;
  std::string loads_as;  // How the engine lists what it loads; empty: as the archive calls it.
  // As with a containerd image store: the engine lists what it loads by this prefix and the id.
  std::string listed_as;
  int archive_looks = 0;
  // Of what was loaded: by which engines. What is in no entry is on all of them.
  std::map<std::string, std::set<std::string>> loaded_on;
  std::vector<Script> scripts;
  int script_exit_code = 0;
  std::string script_output = "schemas changed\n";
  std::map<std::string, int> exit_code_of;  // Of one script, by its marker folder's name.
  std::string vanishes;  // The script of this name begins, leaves no exit code, and runs no more.
  std::string console = "RUNNING";              // In the new container.
  std::map<std::string, std::string> consoles;  // Of another one, by its name.
  std::set<std::string> autostart_set;          // Containers whose console starts by itself again.
  std::string& ConsoleOf(const std::string& container) {
    return consoles.contains(container) ? consoles[container] : console;
  }
  ports::LegacyFindings legacy;
  // --- the component that keeps running
  std::string component;            // Its container's name; empty: there is none.
  int assistant_exit_code = 0;      // Of the next run; then 0 again.
  bool assistant_stays = false;     // It does not end by itself.
  bool assistant_brings_it = true;  // support_upgrade_action.sh
  bool script_vanishes = false;     // Begins, leaves no exit code, and runs no more.
  bool script_held = false;         // Does not end until it is set to false again (Wake()).
  int scripts_to_fail = 0;          // Of those that end from now on.
  bool scripts_migrate = false;     // While the upgrade script runs oms_rm is half migrated.
  // Who runs a script that is held is told at once that the connection broke: for a test of one
  // thread, where nobody else could let it end.
  bool execs_break = false;
  bool execs_late = false;  // The same of each script, which then begins in HappenLate().
  // Containers of these names cannot be removed: a try leaves them dead.
  std::set<std::string> unremovable;
  // Bringing the saved image back gives it another id, as with another store of images.
  bool saved_image_differs = false;
  bool new_dies_at_start = false;
  bool old_dies_at_start = false;
  int loads_of_image_to_fail = 0;
  // Of the next looks of any controller at an engine, and at the MetaDB, this one (from 1) is not
  // answered; and so again after that, so often.
  struct Flaky {
    int next = 0, then = 0, times = 0;
    bool Fails() {
      if (times == 0 || --next > 0) return false;
      next = then;
      --times;
      return true;
    }
  };
  Flaky engine_flaky, meta_flaky;
  base::Code fails_with = base::Code::kTransient;  // What is to fail so often: image, dump, load.
  // The engine refuses to start OMS so often, with this; its own words for "cannot" and "not now".
  int starts_to_refuse = 0;
  base::Code refuses_with = base::Code::kTransient;
  bool supervisor_silent = false;
  bool exec_fails = false;  // Of `supervisorctl status` alone: the engine gives no answer.
  bool top_fails = false;   // `docker top` alone.
  bool host_files_read_only = false;
  std::optional<ports::HttpsTrust> speaks;  // What nginx asks of who asks it; nullopt: HTTP.
  // --- OMS's task API: what it shows to "admin" with this password, or why it does not
  std::vector<ports::OmsTask> tasks;
  std::string api_password = "c0nsole-word";
  std::optional<base::Error> tasks_error;
  int task_questions = 0;
  // Makes the Secret of spec.taskAPI, and names it there.
  void GiveTaskApi(const std::string& password = "c0nsole-word");
  // OMS runs with the two certificate mounts, as long valid as is said.
  void MountCertificate(std::chrono::hours valid);
  // --- the MetaDB
  bool meta_down = false, cannot_fence = false, no_rights = false, heart_stands_still = false;
  bool no_two_table_rename = false;  // On the server of the heartbeat database.
  bool no_alter = false;             // Of heatbeat_sequence and its copies.
  bool no_set_global = false, cm_no_set_global = false;
  bool ha_unreadable = false;                 // Until oms_rm is dropped.
  bool load_held = false, dump_held = false;  // As script_held.
  int dumps_to_fail = 0;
  std::map<std::string, ports::DumpObstacles> obstacles;  // By database; as the three below.
  std::map<std::string, std::string> denied;
  std::map<std::string, std::vector<std::string>> scheduled_events;
  std::map<std::string, std::string> too_long;  // What a row is, that could not be loaded again.
  uint64_t rows_in_dump = 1;                    // Of the table of each database, which has one.
  std::optional<uint64_t> query_timeout = 10'000'000;  // The global ob_query_timeout.
  std::set<std::string> unreadable;                    // Databases that no digest can be taken of.
  bool restore_held = false;                           // As script_held.
  int loads_to_fail = 0;                               // End in the middle, with an error.
  int loads_to_spoil = 0;  // End well, and leave other rows than were dumped.
  std::string spoils_with = " with another row";
  std::string password = "s3cret-word";
  std::string server_identity = "tenant-1";
  std::optional<std::string> ha = kHaText;
  std::function<void()> before_create;     // Between the look and each Create of a controller.
  std::string before_create_of;            // Of the container of this name alone.
  std::function<void()> before_ha_swap;    // Between the read and each write of a controller.
  std::function<void()> after_ha_swap;     // Right after each.
  std::function<void()> before_heartbeat;  // Before each look at it.
  std::map<std::string, std::string> databases;  // Name -> what it holds.
  std::vector<ports::HostRow> hosts = {{"10.0.0.1", "ONLINE"}};
  ports::SequenceTables sequence;
  base::WallTime last_beat, second_beat;  // Of 10.0.0.1 and 10.0.0.2.
  std::vector<ports::DbConnection> foreign;
  std::optional<ports::OwnershipRow> row;
  std::set<uint64_t> killed;
  // Of the second server, after SeparateCm().
  bool separate_cm = false;
  bool cm_down = false, cm_cannot_fence = false, cm_no_rights = false;
  std::string cm_password = "0ther-word", cm_identity = "tenant-2";
  std::optional<uint64_t> cm_query_timeout = 20'000'000;
  std::set<uint64_t> cm_killed;
  std::set<std::string> passwords_at;  // "host:port password", of each that a controller opened.
  std::string meta_ca;                 // By which the last one is believed.
  // --- the backup volume
  std::optional<std::string> volume_identity;
  uint64_t free_bytes = 1ULL << 40;
  std::map<std::string, std::string> files;
  std::map<std::string, std::map<int, std::string>> records;  // Folder -> n -> text.
  std::set<std::string> looked_into;  // Folders of which a controller read record or identity.
  int answer_to_lose =
      0;  // Of so many records that are written, the last one's answer is an error.
  int appends = 0;
  bool short_reads = false;  // Of a folder's records those before which nothing is left to learn.
  // --- Kubernetes
  MemoryApiClient api;
  FakeClock clock;

  // --------------------------------------------------------------------------- what a test looks
  // at
  Promises promises{*this};
  int script_runs = 0;  // How often the upgrade script was begun.
  int jar_runs = 0, resource_runs = 0;
  int component_runs = 0, assistant_runs = 0;
  bool component_upgraded = false;
  ports::DumpTool dumped_with = ports::DumpTool::kMydumper;  // The last one.
  int drops = 0;
  int oms_writes = 0;  // Outward writes that touch OMS: containers, ha.config, its tables.
  int writes = 0;      // All outward writes, of all lives.
  std::vector<std::string> log;     // Their names, in order.
  std::vector<std::string> events;  // "Warning Reason: message"

  void Wake() {
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  Container* Find(
      const std::string& name_or_id);  // Nullptr if there is none. Lock held or no one else.
  static bool IsOms(const ports::ContainerInfo& info);  // A helper is made of either image.
  // Of the image, by the name that it came with.
  std::string VersionOf(const Container& container) const;
  bool OmsRuns() const;
  bool ManagementRuns() const;  // OMS, the component aside.
  bool HostRuns(const std::string& ip) const;
  // Lets go what is held; none of it waits any more when this returns.
  void Release();
  bool Held() const;  // A task of a controller sits in a held script or dump.
  // Until so many calls are held: work that runs side by side comes to its hold one by one. False:
  // they did not within 20 s of real time.
  bool AwaitHeld(int count);
  void StartByHand(const std::string& name);
  // Each container that is in the spec of the beginning, and of whose host there is none: made and
  // started as it was then.
  void InstallByHand();
  void InstallImage();  // That of the beginning, where it is gone.
  // What was sent to an engine before its sender died.
  void HappenLater(std::function<void()> act) { late_.push_back(std::move(act)); }  // Lock held.
  void HappenLate();
  void BeginPass();  // What people have done until now can be seen.
  void EndContainer(const std::string& name, int exit_code);
  void EraseStatus();
  void EditSpec(const std::function<void(nlohmann::json&)>& edit);
  void Annotate(const std::string& key, const std::string& value);
  void TakeAnnotation(const std::string& key);  // As a tool that prunes what it does not know.
  void Delete();
  crd::OmsUpgrade Resource() const;
  std::optional<model::OperationRecord> Record() const;  // The one that the row names.

  // ------------------------------------------------------------------------------------ for ports
  // An outward write: `act` is done unless the life ends before it.
  template <typename T = base::Unit>
  base::Result<T> Write(Life& life, const std::string& name, bool touches_oms,
                        const std::function<base::Result<T>()>& act,
                        const std::function<void()>& late = nullptr) {
    std::unique_lock lock(mutex_);
    if (life.dead_) return Dead();
    ++life.writes_;
    if (life.writes_ == life.meet_at_) {
      const auto meet = std::exchange(life.meet_, nullptr);
      lock.unlock();
      if (meet) meet();
      lock.lock();
      if (life.dead_) return Dead();
    }
    if (life.writes_ == life.stop_at_) {
      life.stands_ = true;
      changed_.notify_all();
      changed_.wait(lock, [&] { return !life.stands_ || life.dead_; });
      if (life.dead_) return Dead();
    }
    const bool at_end = (life.die_at_ == life.writes_ && life.end_ != Life::End::kNever) ||
                        (!life.die_after_.empty() && name == life.die_after_);
    if (at_end && (life.end_ == Life::End::kBefore || life.end_ == Life::End::kLate)) {
      if (life.end_ == Life::End::kLate && late) late_.push_back(late);
      EndLocked(life);
      return Dead();
    }
    base::Result<T> result = act();
    if (life.writes_ == life.slow_at_) clock.Advance(life.slow_by_);
    if (result.ok()) {
      ++writes;
      oms_writes += touches_oms ? 1 : 0;
      log.push_back(name);
    }
    if (at_end) {
      EndLocked(life);
      return Dead();
    }
    return result;
  }
  template <typename T>
  base::Result<T> Look(Life& life, const std::function<base::Result<T>()>& act) {
    std::lock_guard lock(mutex_);
    if (life.dead_) return Dead();
    return act();
  }
  bool IsDead(const Life& life) const {
    std::lock_guard lock(mutex_);
    return life.dead_;
  }
  int WritesOf(const Life& life) const {
    std::lock_guard lock(mutex_);
    return life.writes_;
  }
  void Kill(Life& life) {
    std::lock_guard lock(mutex_);
    EndLocked(life);
  }
  // False: it came to `end` without standing still.
  bool AwaitStop(const Life& life, const std::atomic<bool>& end);
  void Continue(Life& life) {
    std::lock_guard lock(mutex_);
    life.stands_ = false;
    changed_.notify_all();
  }
  // Waits until `done`, or the life or the task ends; false then. `lock` is of mutex().
  bool WaitLocked(std::unique_lock<std::mutex>& lock, const base::Context& ctx, const Life& life,
                  const std::function<bool()>& done);
  std::mutex& mutex() const { return mutex_; }

  std::string NewId();
  base::Result<std::string> CreateLocked(const std::string& name, const nlohmann::json& body,
                                         const std::string& engine = kFirstEngine);
  base::Status StartLocked(Container& container);
  // As the shell in the container does it; the script's number, or none: its folder was there.
  std::optional<size_t> BeginScriptLocked(const std::string& container, const std::string& marker);
  base::WallTime& BeatOf(const ports::ContainerInfo& info);
  void StopLocked(Container& container, int exit_code);
  // Where a path of a container lies: in its own files, or on the host.
  ports::FileContent* FileLocked(Container& container, const std::string& path);
  std::string HostPath(const Container& container, const std::string& path) const;
  void FinishScriptLocked(Script& script);
  std::string ArchivedIdLocked(const std::string& archive) const;
  bool ActLocked(const std::string& script, const std::string& version);
  // Everything that a dump of this database takes, and a load brings back.
  std::string ContentLocked(const std::string& database) const;
  void FillLocked(const std::string& database, const std::string& content);
  base::Status RegisterLocked(uint64_t epoch, const ports::DbConnection& connection);

  // --- two servers
  bool IsCm(const ports::DbServerAddress& address) const {
    return separate_cm && address.Name() == kCmServer;
  }
  bool HoldsLocked(bool cm, const std::string& database) {
    const bool here = !separate_cm || (database == "oms_rm") != cm;
    if (!here) promises.Break(database + " was looked for on another server than its own");
    return here;
  }
  // What its server's process list has of it. Ids of two servers are the same numbers.
  ports::DbConnection ConnectLocked(bool cm) {
    ports::DbConnection connection;
    connection.server = cm ? kCmServer : kRmServer;
    connection.id = cm ? next_cm_connection_++ : next_connection_++;
    return connection;
  }
  bool IsKilledLocked(const ports::DbConnection& connection) const {
    return (connection.server == kCmServer ? cm_killed : killed).contains(connection.id);
  }

  int held_ = 0;  // How many calls wait in a held script or dump.
  uint64_t next_connection_ = 10, next_cm_connection_ = 10;

 private:
  static base::Error Dead() {
    return base::MakeError(base::Code::kCancelled, "this process is dead");
  }
  void EndLocked(Life& life) {
    life.dead_ = true;
    changed_.notify_all();
  }

  struct Installed {
    std::string name;
    nlohmann::json body;
    std::string engine;
  };

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::function<void()>> late_;
  std::vector<Installed> installed_;               // In the beginning.
  std::map<std::string, std::string> version_of_;  // By image id.
  int next_id_ = 1;
};

// One controller process over the world: its ports, tasks and reconciler.
class Process final : public runtime::EventRecorder {
 public:
  explicit Process(World& world, std::string name = "ns/oms-process",
                   std::string cluster = "cluster-1");
  // As a sequence of events makes it that comes out the same each time: all on one thread, and
  // nothing by chance.
  struct Determined {
    std::string name;
    std::shared_ptr<act::LongTasks> tasks;
    std::unique_ptr<base::Random> random;
    std::function<std::string()> new_id;  // Of an operation.
  };
  Process(World& world, Determined parts);
  ~Process() override;

  Life life;
  std::optional<base::Duration> pass_timeout;  // As the controller has one.

  base::Result<runtime::Outcome> Pass();
  // Waits until no long task runs, but for those that the world holds.
  void AwaitTasks();
  // Passes, with the clock moved on as each asks for, until `done` holds after one; false if this
  // process died or `limit` passes were not enough.
  bool RunUntil(const std::function<bool()>& done, int limit = 300);
  // Until Ready=True.
  bool RunToReady();
  // Until nothing is under way any more and the next look is far off (or it died).
  void Settle(int limit = 300);
  // From now on it sees the resource as it is now: a watch that lags behind.
  void FreezeCache();
  std::string LastError() const { return last_error_; }

  void Event(const runtime::ObjectRef& object, runtime::EventType type, const std::string& reason,
             const std::string& message,
             const std::map<std::string, std::string>& annotations) override;

 private:
  struct Doors;
  void Assemble(pass::UpgradeReconciler::Options options);
  bool SomethingRuns() const;

  World& world_;
  std::unique_ptr<Doors> doors_;
  std::unique_ptr<base::Random> random_;
  std::mutex mutex_;  // Guards woken_.
  std::condition_variable woken_;
  std::string last_error_;
  std::optional<base::Duration> after_;
  std::shared_ptr<const crd::OmsUpgrade> frozen_;
  std::shared_ptr<act::LongTasks> tasks_;
  const bool one_thread_;
  std::unique_ptr<pass::UpgradeReconciler> reconciler_;
};

// "True/Done" and so on; "absent".
std::string ConditionOf(const crd::OmsUpgrade& resource, std::string_view type);

}  // namespace oms::fakes
