// OmsUpgrade: the resource's types, in the words of omsupgrades.yaml.
//
// Plain values with the defaults of the schema; a test holds both against each other, field by
// field. An optional that is not set is a field that is not there. Durations are Go's ("72h") in
// JSON. Times are UTC to the second: `.status` is for people, the operation's record has what must
// be exact.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "controller/kube/meta.h"

namespace oms::crd {

inline constexpr char kGroup[] = "oms.oceanbase.com";
inline constexpr char kApiVersion[] = "oms.oceanbase.com/v1alpha1";
inline constexpr char kVersionName[] = "v1alpha1";
inline constexpr char kKind[] = "OmsUpgrade";
inline constexpr char kPlural[] = "omsupgrades";

// Keeps the resource (and the Secrets of an open operation) until a way back is no longer needed.
inline constexpr char kFinalizer[] = "oms.oceanbase.com/protect";

// Tokens: opaque values of annotations, acted on once each and then mirrored in status.lastHandled.
inline constexpr char kRequestedAt[] = "oms.oceanbase.com/requestedAt";  // Look again now.
inline constexpr char kResetAt[] = "oms.oceanbase.com/resetAt";  // Count failures from zero, go on.
inline constexpr char kApprove[] = "oms.oceanbase.com/approve";  // A plan's hash.
inline constexpr char kAbandon[] = "oms.oceanbase.com/abandon";  // An operation's id: give it up.
inline constexpr char kAccept[] = "oms.oceanbase.com/accept";  // A difference that a message named.
inline constexpr char kTakeOver[] =
    "oms.oceanbase.com/takeOver";  // The owner to take this OMS from.

// ---------------------------------------------------------------------------------------- spec

enum class NodeRole { kAll, kManagement, kComponent };
// kAuto: mydumper, unless that would leave something out which mysqldump does not.
enum class BackupTool { kAuto, kMydumper, kMysqldump };
enum class Compression { kZstd, kNone };
enum class HaControl { kAuto, kManual };
enum class OnFailure { kPause, kRetry, kRollback };
enum class OnVersionRevert { kRollback, kIgnore };
enum class LimitPolicy { kAdvise, kEnforce };
enum class Provisioner { kManual, kOat };
enum class EditionChoice { kDetect, kEnterprise, kCommunity };
enum class ConfigPlace { kBeside, kInPlace };
enum class Mode { kApply, kPlan };
enum class Approval { kAutomatic, kManual };
enum class DeletionPolicy { kRollBack, kOrphan };

// A Secret of the resource's own namespace.
struct SecretRef {
  std::string name;
  bool operator==(const SecretRef&) const = default;
};

struct SecretKeyRef {
  std::string name;
  std::string key = "password";
  bool operator==(const SecretKeyRef&) const = default;
};

// Keys of an engine's Secret: ca.crt, tls.crt, tls.key. Of a MetaDB's: ca.crt.
struct Tls {
  SecretRef secret_ref;
  bool operator==(const Tls&) const = default;
};

struct Image {
  std::string reference;  // As the engine will list it.
  std::string archive;    // On the controller's host; empty: present or pulled.
  std::string id;         // "sha256:<64 hex>"; empty: not checked.
  std::string sha256;     // Of the archive, 64 hex; empty: not checked.
  bool operator==(const Image&) const = default;
};

struct Engine {
  std::string endpoint;  // unix:///path or tcp://host:port
  std::optional<Tls> tls;
  bool operator==(const Engine&) const = default;
};

struct NodeContainer {
  std::string name;  // The one to adopt.
  bool operator==(const NodeContainer&) const = default;
};

struct Node {
  std::string name;
  NodeRole role = NodeRole::kAll;
  Engine engine;
  NodeContainer container;
  bool operator==(const Node&) const = default;
};

// How the controller reaches a server. What is not set comes from config.yaml.
struct Connect {
  std::string host;
  int port = 0;  // 0: as config.yaml says.
  std::string user;
  std::optional<SecretKeyRef> password_secret_ref;
  std::optional<Tls> tls;
  bool operator==(const Connect&) const = default;
};

// One database's own way, where it differs from metaDB.connect.
struct DatabaseConnect {
  Connect connect;
  bool operator==(const DatabaseConnect&) const = default;
};

struct MetaDb {
  std::optional<Connect> connect;  // For all three.
  std::optional<DatabaseConnect> rm;
  std::optional<DatabaseConnect> cm;
  std::optional<DatabaseConnect> cm_heartbeat;
  bool operator==(const MetaDb&) const = default;
};

// How OMS's own console is asked by HTTPS, where its certificate is mounted (guide, step 5).
struct Https {
  SecretRef secret_ref;     // Key ca.crt.
  std::string server_name;  // Empty: the node's OMS_HOST_IP.
  bool operator==(const Https&) const = default;
};

// How OMS's own task API is asked, before the stop.
struct TaskApi {
  SecretRef secret_ref;  // Keys username and password; ca.crt where the endpoint needs one.
  std::string endpoint;  // http[s]://host[:port]; empty: the node's, as its health is asked.
  bool operator==(const TaskApi&) const = default;
};

struct Backup {
  std::string directory = "/var/lib/oms-upgrade/backups";
  BackupTool tool = BackupTool::kAuto;
  Compression compression = Compression::kZstd;
  bool image = true;  // Save the old image too.
  int retain = 2;
  bool operator==(const Backup&) const = default;
};

struct Ha {
  HaControl control = HaControl::kAuto;
  bool perceive_store_client_checkpoint = true;
  bool operator==(const Ha&) const = default;
};

// Working time that one try of a step may take.
struct Timeouts {
  base::Duration preflight = std::chrono::minutes(5);
  base::Duration image_load = std::chrono::hours(1);
  base::Duration ha_switch = std::chrono::minutes(5);
  base::Duration stop = std::chrono::minutes(2);  // The grace period of the stop.
  base::Duration compact = std::chrono::minutes(15);
  base::Duration backup = std::chrono::hours(2);
  base::Duration config = std::chrono::minutes(5);
  base::Duration start = std::chrono::minutes(5);
  base::Duration script = std::chrono::minutes(45);
  base::Duration healthy = std::chrono::minutes(15);
  base::Duration restore = std::chrono::hours(4);
  bool operator==(const Timeouts&) const = default;
};

struct Strategy {
  OnFailure on_failure = OnFailure::kPause;
  OnVersionRevert on_version_revert = OnVersionRevert::kRollback;
  LimitPolicy limits =
      LimitPolicy::kAdvise;  // Of the overview page (reconcilers/oms/overview_limits.h).
  base::Duration rollback_window = std::chrono::hours(72);
  int max_retries = 3;
  base::Duration progress_deadline = std::chrono::hours(6);
  base::Duration downtime_budget = std::chrono::hours(8);
  Timeouts timeouts;
  bool operator==(const Strategy&) const = default;
};

// Where the table of versions (reconcilers/oms/version_path.cc) does not know better than the user.
struct UpgradeScript {
  std::string path;               // Empty: by the table.
  std::string working_directory;  // Empty: by the table.
  std::string completion_line;    // Empty: by the table.
  bool operator==(const UpgradeScript&) const = default;
};

struct Deployment {
  Provisioner provisioner = Provisioner::kManual;
  std::string oat_version;
  EditionChoice edition = EditionChoice::kDetect;
  std::string current_version;  // Empty: learned from the running container.
  ConfigPlace config = ConfigPlace::kBeside;
  bool keep_tasks_running = false;
  std::optional<Image> assistant;  // The upgrade assistant's; with keep_tasks_running alone.
  std::optional<UpgradeScript> upgrade_script;
  bool operator==(const Deployment&) const = default;
};

// Of an upgrade from below 4.0.1 alone.
struct Legacy {
  std::string jar_path;           // Empty: by the version table.
  std::string working_directory;  // Of the jar and of add_resource; empty: by the version table.
  std::optional<bool> data_source_used_at_both_ends;
  bool operator==(const Legacy&) const = default;
};

struct MaintenanceWindow {
  std::vector<std::string> days;  // Mon, Tue, ...; empty: each day.
  std::string start;              // "HH:MM"
  std::string end;                // "HH:MM"; before `start`: on the day after.
  std::string time_zone = "UTC";  // IANA name.
  bool operator==(const MaintenanceWindow&) const = default;
};

struct Spec {
  // In the source file: each file that includes this would make them anew.
  Spec();
  Spec(const Spec&);
  Spec(Spec&&) noexcept;
  Spec& operator=(const Spec&);
  Spec& operator=(Spec&&) noexcept;
  ~Spec();

  std::string version;
  Image image;
  std::vector<Node> nodes;
  std::optional<MetaDb> meta_db;
  std::optional<Https> https;
  std::optional<TaskApi> task_api;
  Backup backup;
  Ha ha;
  Strategy strategy;
  Deployment deployment;
  Legacy legacy;
  Mode mode = Mode::kApply;
  Approval approval = Approval::kAutomatic;
  bool suspend = false;
  std::optional<MaintenanceWindow> maintenance_window;
  DeletionPolicy deletion_policy = DeletionPolicy::kRollBack;
  int history_limit = 5;
  std::vector<std::string> acknowledge;
  bool operator==(const Spec&) const = default;
};

// -------------------------------------------------------------------------------------- status

enum class Direction { kNone, kUpgrade, kRollback };
enum class PointOfNoReturn { kNone, kStopping, kNewStarting, kRollbackStopping };
enum class PhaseState { kPending, kRunning, kDone, kSkipped, kFailed };
enum class HistoryOutcome { kSucceeded, kRolledBack, kFailed, kSuperseded, kAbandoned };

using OptionalTime = std::optional<base::WallTime>;
using OptionalDuration = std::optional<base::Duration>;

struct OperationStatus {
  std::string id;
  std::string folder;
  Direction direction = Direction::kNone;
  std::string from;
  std::string to;
  std::string from_image_id;
  std::string to_image_id;
  std::string undoes;  // The id of the operation that this one undoes.
  OptionalTime started_at;
  OptionalTime t1;  // OMS went down.
  OptionalTime t2;  // OMS is back (HA on again, or healthy where HA stays off).
  OptionalTime t3;  // The new container was stopped for a rollback.
  OptionalDuration downtime;
  PointOfNoReturn point_of_no_return = PointOfNoReturn::kNone;
  std::vector<std::string> points;  // As the record holds them; to refuse by, never to act by.
  int failures = 0;
  std::string plan_hash;
  bool operator==(const OperationStatus&) const = default;
};

struct PhaseStatus {
  std::string name;  // The condition's type.
  PhaseState state = PhaseState::kPending;
  OptionalTime started_at;
  OptionalTime finished_at;
  int attempts = 0;
  int64_t bytes_done = 0;
  int64_t bytes_total = 0;
  std::string message;
  bool operator==(const PhaseStatus&) const = default;
};

struct BackupStatus {
  std::string name;  // <operation>/<attempt>/<what>
  std::string operation;
  std::string database;
  std::string place;
  int64_t size = 0;
  std::string sha256;
  bool complete = false;
  OptionalTime created_at;
  OptionalTime verified_at;
  bool operator==(const BackupStatus&) const = default;
};

struct NodeStatus {
  std::string name;
  std::string container;
  std::string container_id;
  std::string image;
  std::string image_id;
  std::string version;
  std::string state;  // In the engine's words.
  std::string engine_id;
  bool operator==(const NodeStatus&) const = default;
};

struct HistoryEntry {
  std::string id;
  std::string from;
  std::string to;
  HistoryOutcome outcome = HistoryOutcome::kSucceeded;
  OptionalTime started_at;
  OptionalTime finished_at;
  OptionalDuration downtime;
  std::vector<std::string> backups;
  std::string reason;
  bool operator==(const HistoryEntry&) const = default;
};

struct Progress {
  std::string summary;  // "6/15 40%"
  int percent = 0;
  std::optional<int64_t> eta_seconds;
  bool operator==(const Progress&) const = default;
};

// The tokens that were acted on last, by annotation.
struct LastHandled {
  std::string requested_at;
  std::string reset_at;
  std::string approve;
  std::string abandon;
  std::string accept;
  std::string take_over;
  bool operator==(const LastHandled&) const = default;
};

struct PlanStatus {
  std::string hash;
  std::vector<std::string> steps;
  OptionalDuration estimated_downtime;
  bool operator==(const PlanStatus&) const = default;
};

struct Status {
  // As above.
  Status();
  Status(const Status&);
  Status(Status&&) noexcept;
  Status& operator=(const Status&);
  Status& operator=(Status&&) noexcept;
  ~Status();

  int64_t observed_generation = -1;
  std::string current_version;
  std::string phase;  // For display; nothing reads it.
  Direction direction = Direction::kNone;
  std::string message;
  OptionalDuration downtime;
  std::optional<Progress> progress;
  std::optional<OperationStatus> operation;
  std::optional<PlanStatus> plan;
  std::vector<PhaseStatus> phases;
  std::vector<BackupStatus> backups;
  std::vector<NodeStatus> nodes;
  std::vector<HistoryEntry> history;    // Newest first.
  std::vector<std::string> follow_ups;  // What is left for a person to do.
  LastHandled last_handled;
  std::vector<kube::Condition> conditions;
  bool operator==(const Status&) const = default;
};

// A status is never larger than this in JSON.
inline constexpr size_t kMaxStatusBytes = 32 * 1024;

struct OmsUpgrade {
  kube::ObjectMeta meta;
  Spec spec;
  Status status;
};

// Errors are kInvalid, reason "InvalidSpec", and begin with the field's path: "spec.nodes[0].name:
// ...". Unknown fields are passed over: the API server has pruned them already. What is wrong in
// itself but not in its type (a malformed version, a window that never opens) is for the schema's
// rules and preflight.
base::Result<Spec> SpecFromJson(const nlohmann::json& json);
nlohmann::json SpecToJson(const Spec& spec);

base::Result<Status> StatusFromJson(const nlohmann::json& json);
// Never above kMaxStatusBytes: the oldest history goes first, then long messages are cut. What is
// not UTF-8 becomes U+FFFD.
nlohmann::json StatusToJson(const Status& status);

// The whole object. A status that cannot be read counts as erased, which anybody may do:
// it is filled again from the row and the record.
base::Result<OmsUpgrade> FromJson(const nlohmann::json& json);
base::Result<OmsUpgrade> FromText(const std::string& text);

std::string_view ToString(OnFailure value);
std::string_view ToString(Direction value);
std::string_view ToString(PointOfNoReturn value);
std::string_view ToString(PhaseState value);
std::string_view ToString(HistoryOutcome value);
std::string_view ToString(NodeRole value);

// Every field that the types know, as a path such as "nodes[].engine.tls.secretRef.name", for the
// test that holds them against omsupgrades.yaml.
std::vector<std::string> SpecFieldPaths();
std::vector<std::string> StatusFieldPaths();

}  // namespace oms::crd
