// The operation record: what one operation must remember because it cannot be observed later.
//
// Plain values. A record is only ever added to: points are never taken back, and what is frozen is
// never written anew. Each n on disk is a whole record; the highest n holds, and points are the
// union over all n. operation_{to,from}_json.cc: as text; old_formats.h: what text there was before.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "crd/oms_upgrade.h"
#include "crd/version.h"
#include "reconcilers/model/steps.h"
#include "reconcilers/ports/container_engine.h"
#include "reconcilers/ports/ownership.h"

namespace oms::model {

// kCalledOff: of an undo, before anything of OMS was touched.
enum class OperationOutcome { kOpen, kSucceeded, kRolledBack, kAbandoned, kCalledOff };

std::string_view ToString(Direction direction);  // "Upgrade", "Rollback"
std::string_view ToString(
    OperationOutcome outcome);  // "Open", "Succeeded", "RolledBack", "Abandoned", "CalledOff"

// The points passed. Each is written before the act that it names; what may still be done is read
// from these, not from what the engine shows.
enum class PointKind {
  kHaDisabling,
  kStopping,
  kNewStarting,     // node, attempt
  kScriptStarting,  // node, step, attempt
  kRollbackStopping,
  kFirstDrop,
  kOldStarting,  // node
  // node, attempt: the upgrade assistant is about to write into the component's folder. What is
  // done to the component from here on is not taken back.
  kComponentUpgrading,
};
std::string_view ToString(PointKind kind);

struct Point {
  PointKind kind = PointKind::kHaDisabling;
  std::string node;
  std::optional<Step> step;  // Of a script.
  int attempt = 0;
  base::WallTime at;
  bool SameAs(const Point& other) const {
    return kind == other.kind && node == other.node && step == other.step &&
           attempt == other.attempt;
  }
};

// What is about to be stopped and replaced on one node.
struct FrozenNode {
  std::string name;
  crd::NodeRole role = crd::NodeRole::kAll;
  // deployment.keepTasksRunning, of a component: its container is the same one before and after. It
  // is neither stopped nor replaced, but for a rollback that restores a database.
  bool keeps_running = false;
  std::string engine_id;
  std::string host_ip;  // OMS_HOST_IP
  // The old container, as it was.
  std::string old_id, old_name, old_started_at, old_image, old_image_id, old_restart_policy,
      old_inspect;
  int old_restart_retries = 0;
  // The new one.
  std::string new_name, target_image_id;
  // Where config.yaml lies on the host.
  std::string config_source;
};

struct FrozenDatabase {
  std::string role;  // rm, cm, cm_hb
  std::string name;
  std::string server;  // DbServerInfo::identity
};

// One database's part of a backup, for people.
struct BackupPart {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;  // Of all its files' sums.
};

// One dump of all databases that is known to be whole.
struct BackupRef {
  std::string folder;           // Below the operation's folder; absolute in an undo.
  std::string manifest_sha256;  // Of manifest.json itself.
  uint64_t bytes = 0;
  // For what it is valid until NewStarting, compared by equality.
  // The first node's container; those of the others below.
  std::string container_id, started_at;
  std::map<std::string, std::string> other_runs;  // By node: "<container id> <StartedAt>".
  uint64_t heartbeat_max = 0;
  base::WallTime completed;
  std::vector<BackupPart> databases;
};

// A file kept in the operation's folder.
struct FileRef {
  std::string path;  // Below the operation's folder; empty: not taken.
  std::string sha256;
  int64_t uid = 0, gid = 0;
  uint32_t mode = 0;
  bool operator==(const FileRef&) const = default;
};

// An image that was brought to an engine by loading or pulling it, or that was found there and is
// the one that the archive holds.
struct LoadedImage {
  std::string reference, archive;    // As the image was asked for; no archive: pulled.
  std::string image_id;              // As the engine listed it then.
  std::vector<std::string> digests;  // What the archive holds under that name.
};

// What was kept of the upgraded databases before the first of them was dropped.
struct SavedState {
  std::string folder;     // Below the operation's folder.
  bool complete = false;  // False: two tries failed, of a state that nobody had used.
  std::string why;        // Of an incomplete one.
};

// Another operation of this OMS, and where it lies.
struct OperationRef {
  std::string id;
  std::string folder;  // Absolute.
  bool operator==(const OperationRef&) const = default;
};

// A component container that the assistant has upgraded in place.
struct UpgradedComponent {
  std::string container_id;
  crd::Version version;
  base::WallTime at;
};

struct DirectionChange {
  Direction direction = Direction::kUpgrade;
  std::string why;
  base::WallTime at;
};

// Which resource, with which spec, and the last reset token that was given. An annotation that is
// gone is no token: the last one stays.
struct ResourceMark {
  std::string uid;
  int64_t generation = 0;
  std::string reset_token;
  bool operator==(const ResourceMark&) const = default;
};

// A step's tries that have failed since it last succeeded or was forgiven. Kept here, so that a
// bound on them holds over restarts.
struct StepFailure {
  Step step = Step::kPreflight;
  int count = 0;
  std::string reason;
  std::string message;
  bool retryable = false;
};

// How far a step has come, where that is not seen by a look.
struct StepProgress {
  int begun = 0;     // Its tries, where each has a folder of its own by this number: a dump.
  int forgiven = 0;  // How many of those a reset token took back.
  std::optional<base::WallTime> seen;  // When it was first seen to be done for this operation.
  bool operator==(const StepProgress&) const = default;
};

// How far the way back of one database has come.
struct DatabaseRestore {
  int begun = 0;      // How many loads.
  int concluded = 0;  // The last one whose end is written down, so that an end is counted once.
  int differed = 0;   // Loads since the last reset token after which it still differed.
  std::string difference;  // In what, after the last of those; empty: in nothing that is known.
  std::optional<base::WallTime> restored;  // Equal again, or taken as it is by a person.
  bool operator==(const DatabaseRestore&) const = default;
};

struct OperationRecord {
  // In the source file: each file that includes this would make them anew.
  OperationRecord();
  OperationRecord(const OperationRecord&);
  OperationRecord(OperationRecord&&) noexcept;
  OperationRecord& operator=(const OperationRecord&);
  OperationRecord& operator=(OperationRecord&&) noexcept;
  ~OperationRecord();

  // What is written; 1 and 2 are read as well (old_formats.h).
  static constexpr int kFormat = 3;

  std::string id;      // Random; a second try never meets the marks of the first.
  std::string folder;  // Absolute.
  std::string volume;  // Identity of the backup directory.
  std::string owner_cluster, owner_object;
  // From whom this OMS was taken over, the first one first: containers carry their label.
  std::vector<ports::Owner> former_owners;
  uint64_t epoch = 0;  // Of the row, when this n was written.
  crd::Version from, to;
  crd::Image image;  // Follows spec.image until the new container is made from it.
  std::optional<OperationRef> undoes;  // The succeeded operation that this one undoes.
  std::string follows;  // The id of the operation before this one; empty: none is known.
  // The upgrade that led to what ran when this one began; what can be taken back once this one is.
  std::optional<OperationRef> previous;
  std::vector<std::string> secrets;  // Held by a finalizer; let go once it is closed.
  std::string plan_hash;             // Of the plan that was begun; what a person approves.
  // The resource as it was last acted on: another one is an edit, or a token, to be taken.
  ResourceMark handled;
  // The resource as it was when the end of this operation was decided. A closed operation is
  // latched: the same resource opens no other one.
  ResourceMark latched;
  // When operations of this OMS were begun or turned lately, for the flap guard.
  std::vector<base::WallTime> recent;
  Direction direction = Direction::kUpgrade;
  std::vector<DirectionChange> turns;
  OperationOutcome outcome = OperationOutcome::kOpen;
  std::string outcome_reason;
  base::WallTime started;
  std::optional<base::WallTime> ended;

  std::vector<FrozenNode> nodes;
  // By node; of this operation and of those before it, as nothing takes it back.
  std::map<std::string, UpgradedComponent> components;
  std::vector<FrozenDatabase> databases;
  std::optional<std::string> ha_raw;  // As found; nullopt: there was no row.
  bool ha_was_on = false;
  // Before we raised it; nullopt: not touched. Of rm's server, and of cm's where that is another.
  std::optional<uint64_t> global_query_timeout, cm_global_query_timeout;

  std::vector<Point> points;
  std::map<Step, StepProgress> steps;
  std::optional<StepFailure> failure;  // Of the step at hand.
  // Of one that was given up: when a person said that OMS is whole.
  std::optional<base::WallTime> said_whole;
  std::optional<base::WallTime> t1, t2, t3;
  // Since when spec.strategy.progressDeadline counts, where that is later than the stop: an edit or
  // a token counts from zero.
  std::optional<base::WallTime> progress_since;
  // Of an undo: T1 of the operation whose backup is restored.
  std::optional<base::WallTime> backup_t1;

  std::optional<BackupRef> backup;
  // Of a rollback: the databases that differ from their backup (nullopt: not compared yet), what
  // was kept of them, and how far each has come, by its name.
  std::optional<std::vector<std::string>> differing;
  std::optional<SavedState> upgraded_state;
  std::map<std::string, DatabaseRestore> restores;
  // By node: a new container that could not be removed, and is dead. Whatever it holds, it is gone.
  std::map<std::string, std::string> dead_containers;
  std::vector<std::string> dropped_events;         // Scheduled ones, that went with their database.
  std::map<std::string, FileRef> config_backups;   // By node.
  std::map<std::string, FileRef> config_rewrites;  // By node; path is on the host.
  // By node: the sums of all that was to be written as the new version's config.yaml, each noted
  // before the write. What has another sum was not written by this operation.
  std::map<std::string, std::vector<std::string>> config_meant;
  std::map<std::string, FileRef> image_backups;  // By node.
  // By the node that the image is loaded for (LoaderOf); absent: not looked at yet.
  std::map<std::string, LoadedImage> loaded_images;

  bool open() const { return outcome == OperationOutcome::kOpen; }
  ports::Owner owner() const { return {owner_cluster, owner_object}; }
  // The resource as this operation has taken it last.
  const ResourceMark& Taken() const { return !open() && !latched.uid.empty() ? latched : handled; }
  // Something of OMS was touched: its HA switch, its containers, a component.
  bool TouchedOms() const;
  bool Passed(PointKind kind) const;
  bool Passed(PointKind kind, const std::string& node) const;
  // The last attempt of that point that was begun; 0: none.
  int LastAttempt(PointKind kind, const std::string& node = {},
                  std::optional<Step> step = std::nullopt) const;
  StepProgress Progress(Step step) const;
  bool Seen(Step step) const { return Progress(step).seen.has_value(); }
  // Written down once: the first time holds.
  void NoteSeen(Step step, base::WallTime at) {
    if (auto& seen = steps[step].seen; !seen) seen = at;
  }
  DatabaseRestore Restore(const std::string& database) const;
  // Of the last point of this kind on that node.
  std::optional<base::WallTime> PassedAt(PointKind kind, const std::string& node) const;
  bool MadeHere(const std::string& operation_label) const {
    return operation_label == id || (undoes && operation_label == undoes->id);
  }
  // Of a closed one: the upgrade that can be taken back now, if what it led to still runs.
  std::optional<OperationRef> WayBack() const;
  // Since when data must be pulled again after the backup was restored.
  std::optional<base::WallTime> DataSince() const { return backup_t1 ? backup_t1 : t1; }
  // Whether this operation has written, or may have written, a config.yaml of that sum.
  bool MeantConfig(const std::string& node, const std::string& sha256) const;
  // deployment.config: InPlace; the old container reads the file that was, or is to be, edited.
  bool ConfigEditedInPlace(const FrozenNode& node) const;
  const FrozenNode* Node(std::string_view name) const;
  // Where the scripts that run once are run: the first node that is no mere component.
  const FrozenNode& ScriptNode() const;
  // Some component keeps running, and writes the databases.
  bool KeepsTasks() const;
  // Upgraded in place to this operation's version, by it or by one before it.
  bool ComponentUpgraded(const FrozenNode& node) const;
  // The one whose container a backup names first: the first that is stopped.
  const FrozenNode& LeadNode() const { return KeepsTasks() ? ScriptNode() : nodes.front(); }
  std::string Database(std::string_view role) const;  // "" if there is none of that role.

  std::string ToJson() const;
  // kInvalid "RecordFormat" if the text is broken, of a format that is not known, or holds a name
  // that is not: refused with what to do, not guessed at.
  static base::Result<OperationRecord> FromJson(std::string_view text);
};

}  // namespace oms::model
