#include "crd/oms_upgrade.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

#include "controller/base/json.h"
#include "controller/base/text.h"
#include "crd/conditions.h"
#include "crd/reasons.h"

// Each type's fields are listed once, in Fields(). A Reader, a Writer and a Lister walk over them.

namespace oms::crd {

Spec::Spec() = default;
Spec::Spec(const Spec&) = default;
Spec::Spec(Spec&&) noexcept = default;
Spec& Spec::operator=(const Spec&) = default;
Spec& Spec::operator=(Spec&&) noexcept = default;
Spec::~Spec() = default;

Status::Status() = default;
Status::Status(const Status&) = default;
Status::Status(Status&&) noexcept = default;
Status& Status::operator=(const Status&) = default;
Status& Status::operator=(Status&&) noexcept = default;
Status::~Status() = default;
namespace {

using base::Code;
using base::Duration;
using base::MakeError;
using nlohmann::json;

enum class Need { kOptional, kRequired };

// --- the words of the enums, in the order of their values

template <typename E>
struct Words;

#define OMS_WORDS(Enum, ...)                                  \
  template <>                                                 \
  struct Words<Enum> {                                        \
    static constexpr std::string_view kAll[] = {__VA_ARGS__}; \
  }

OMS_WORDS(NodeRole, "All", "Management", "Component");
OMS_WORDS(BackupTool, "Auto", "mydumper", "mysqldump");
OMS_WORDS(Compression, "zstd", "none");
OMS_WORDS(HaControl, "Auto", "Manual");
OMS_WORDS(OnFailure, "Pause", "Retry", "Rollback");
OMS_WORDS(OnVersionRevert, "Rollback", "Ignore");
OMS_WORDS(LimitPolicy, "Advise", "Enforce");
OMS_WORDS(Provisioner, "Manual", "OAT");
OMS_WORDS(EditionChoice, "Detect", "Enterprise", "Community");
OMS_WORDS(ConfigPlace, "Beside", "InPlace");
OMS_WORDS(Mode, "Apply", "Plan");
OMS_WORDS(Approval, "Automatic", "Manual");
OMS_WORDS(DeletionPolicy, "RollBack", "Orphan");
OMS_WORDS(Direction, "None", "Upgrade", "Rollback");
OMS_WORDS(PointOfNoReturn, "None", "Stopping", "NewStarting", "RollbackStopping");
OMS_WORDS(PhaseState, "Pending", "Running", "Done", "Skipped", "Failed");
OMS_WORDS(HistoryOutcome, "Succeeded", "RolledBack", "Failed", "Superseded", "Abandoned");

#undef OMS_WORDS

template <typename E>
std::string_view Word(E value) {
  return Words<E>::kAll[static_cast<size_t>(value)];
}

// --- the fields

template <typename V>
void Fields(V& v, SecretRef& x) {
  v("name", x.name, Need::kRequired);
}

template <typename V>
void Fields(V& v, SecretKeyRef& x) {
  v("name", x.name, Need::kRequired);
  v("key", x.key);
}

template <typename V>
void Fields(V& v, Tls& x) {
  v("secretRef", x.secret_ref, Need::kRequired);
}

template <typename V>
void Fields(V& v, Image& x) {
  v("reference", x.reference, Need::kRequired);
  v("archive", x.archive);
  v("id", x.id);
  v("sha256", x.sha256);
}

template <typename V>
void Fields(V& v, Engine& x) {
  v("endpoint", x.endpoint, Need::kRequired);
  v("tls", x.tls);
}

template <typename V>
void Fields(V& v, NodeContainer& x) {
  v("name", x.name, Need::kRequired);
}

template <typename V>
void Fields(V& v, Node& x) {
  v("name", x.name, Need::kRequired);
  v("role", x.role);
  v("engine", x.engine, Need::kRequired);
  v("container", x.container, Need::kRequired);
}

template <typename V>
void Fields(V& v, Connect& x) {
  v("host", x.host);
  v.IfSet("port", x.port);
  v("user", x.user);
  v("passwordSecretRef", x.password_secret_ref);
  v("tls", x.tls);
}

template <typename V>
void Fields(V& v, DatabaseConnect& x) {
  v("connect", x.connect, Need::kRequired);
}

template <typename V>
void Fields(V& v, MetaDb& x) {
  v("connect", x.connect);
  v("rm", x.rm);
  v("cm", x.cm);
  v("cmHeartbeat", x.cm_heartbeat);
}

template <typename V>
void Fields(V& v, Https& x) {
  v("secretRef", x.secret_ref, Need::kRequired);
  v("serverName", x.server_name);
}

template <typename V>
void Fields(V& v, TaskApi& x) {
  v("secretRef", x.secret_ref, Need::kRequired);
  v("endpoint", x.endpoint);
}

template <typename V>
void Fields(V& v, Backup& x) {
  v("directory", x.directory);
  v("tool", x.tool);
  v("compression", x.compression);
  v("image", x.image);
  v("retain", x.retain);
}

template <typename V>
void Fields(V& v, Ha& x) {
  v("control", x.control);
  v("perceiveStoreClientCheckpoint", x.perceive_store_client_checkpoint);
}

template <typename V>
void Fields(V& v, Timeouts& x) {
  v("preflight", x.preflight);
  v("imageLoad", x.image_load);
  v("haSwitch", x.ha_switch);
  v("stop", x.stop);
  v("compact", x.compact);
  v("backup", x.backup);
  v("config", x.config);
  v("start", x.start);
  v("script", x.script);
  v("healthy", x.healthy);
  v("restore", x.restore);
}

template <typename V>
void Fields(V& v, Strategy& x) {
  v("onFailure", x.on_failure);
  v("onVersionRevert", x.on_version_revert);
  v("limits", x.limits);
  v("rollbackWindow", x.rollback_window);
  v("maxRetries", x.max_retries);
  v("progressDeadline", x.progress_deadline);
  v("downtimeBudget", x.downtime_budget);
  v("timeouts", x.timeouts);
}

template <typename V>
void Fields(V& v, UpgradeScript& x) {
  v("path", x.path);
  v("workingDirectory", x.working_directory);
  v("completionLine", x.completion_line);
}

template <typename V>
void Fields(V& v, Deployment& x) {
  v("provisioner", x.provisioner);
  v("oatVersion", x.oat_version);
  v("edition", x.edition);
  v("currentVersion", x.current_version);
  v("config", x.config);
  v("keepTasksRunning", x.keep_tasks_running);
  v("assistant", x.assistant);
  v("upgradeScript", x.upgrade_script);
}

template <typename V>
void Fields(V& v, Legacy& x) {
  v("jarPath", x.jar_path);
  v("workingDirectory", x.working_directory);
  v("dataSourceUsedAtBothEnds", x.data_source_used_at_both_ends);
}

template <typename V>
void Fields(V& v, MaintenanceWindow& x) {
  v("days", x.days);
  v("start", x.start, Need::kRequired);
  v("end", x.end, Need::kRequired);
  v("timeZone", x.time_zone);
}

template <typename V>
void Fields(V& v, Spec& x) {
  v("version", x.version, Need::kRequired);
  v("image", x.image, Need::kRequired);
  v("nodes", x.nodes, Need::kRequired);
  v("metaDB", x.meta_db);
  v("https", x.https);
  v("taskAPI", x.task_api);
  v("backup", x.backup);
  v("ha", x.ha);
  v("strategy", x.strategy);
  v("deployment", x.deployment);
  v("legacy", x.legacy);
  v("mode", x.mode);
  v("approval", x.approval);
  v("suspend", x.suspend);
  v("maintenanceWindow", x.maintenance_window);
  v("deletionPolicy", x.deletion_policy);
  v("historyLimit", x.history_limit);
  v("acknowledge", x.acknowledge);
}

template <typename V>
void Fields(V& v, OperationStatus& x) {
  v("id", x.id);
  v("folder", x.folder);
  v("direction", x.direction);
  v("from", x.from);
  v("to", x.to);
  v("fromImageID", x.from_image_id);
  v("toImageID", x.to_image_id);
  v("undoes", x.undoes);
  v("startedAt", x.started_at);
  v("t1", x.t1);
  v("t2", x.t2);
  v("t3", x.t3);
  v("downtime", x.downtime);
  v("pointOfNoReturn", x.point_of_no_return);
  v("points", x.points);
  v("failures", x.failures);
  v("planHash", x.plan_hash);
}

template <typename V>
void Fields(V& v, PhaseStatus& x) {
  v("name", x.name);
  v("state", x.state);
  v("startedAt", x.started_at);
  v("finishedAt", x.finished_at);
  v.IfSet("attempts", x.attempts);
  v.IfSet("bytesDone", x.bytes_done);
  v.IfSet("bytesTotal", x.bytes_total);
  v("message", x.message);
}

template <typename V>
void Fields(V& v, BackupStatus& x) {
  v("name", x.name);
  v("operation", x.operation);
  v("database", x.database);
  v("place", x.place);
  v("size", x.size);
  v("sha256", x.sha256);
  v("complete", x.complete);
  v("createdAt", x.created_at);
  v("verifiedAt", x.verified_at);
}

template <typename V>
void Fields(V& v, NodeStatus& x) {
  v("name", x.name);
  v("container", x.container);
  v("containerID", x.container_id);
  v("image", x.image);
  v("imageID", x.image_id);
  v("version", x.version);
  v("state", x.state);
  v("engineID", x.engine_id);
}

template <typename V>
void Fields(V& v, HistoryEntry& x) {
  v("id", x.id);
  v("from", x.from);
  v("to", x.to);
  v("outcome", x.outcome);
  v("startedAt", x.started_at);
  v("finishedAt", x.finished_at);
  v("downtime", x.downtime);
  v("backups", x.backups);
  v("reason", x.reason);
}

template <typename V>
void Fields(V& v, Progress& x) {
  v("summary", x.summary);
  v("percent", x.percent);
  v("etaSeconds", x.eta_seconds);
}

template <typename V>
void Fields(V& v, LastHandled& x) {
  v("requestedAt", x.requested_at);
  v("resetAt", x.reset_at);
  v("approve", x.approve);
  v("abandon", x.abandon);
  v("accept", x.accept);
  v("takeOver", x.take_over);
}

template <typename V>
void Fields(V& v, PlanStatus& x) {
  v("hash", x.hash);
  v("steps", x.steps);
  v("estimatedDowntime", x.estimated_downtime);
}

template <typename V>
void Fields(V& v, Status& x) {
  v("observedGeneration", x.observed_generation);
  v("currentVersion", x.current_version);
  v("phase", x.phase);
  v("direction", x.direction);
  v("message", x.message);
  v("downtime", x.downtime);
  v("progress", x.progress);
  v("operation", x.operation);
  v("plan", x.plan);
  v("phases", x.phases);
  v("backups", x.backups);
  v("nodes", x.nodes);
  v("history", x.history);
  v("followUps", x.follow_ups);
  v("lastHandled", x.last_handled);
  v("conditions", x.conditions);
}

// --- reading

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  template <typename T>
  void Object(const json& value, T& out) {
    if (error_) return;
    if (!value.is_object()) return Fail("must be an object");
    const json* const outer = std::exchange(object_, &value);
    Fields(*this, out);
    object_ = outer;
  }

  template <typename T>
  void operator()(const char* name, T& out, Need need = Need::kOptional) {
    if (error_) return;
    const auto found = object_->find(name);
    const size_t length = path_.size();
    path_ += '.';
    path_ += name;
    if (found != object_->end() && !found->is_null()) {
      Read(*found, out);
      if (!error_ && need == Need::kRequired && Missing(out)) Fail("must not be empty");
    } else if (need == Need::kRequired) {
      Fail("is required");
    }
    if (!error_) path_.resize(length);
  }

  template <typename T>
  void IfSet(const char* name, T& out) {
    (*this)(name, out);
  }

  const std::optional<base::Error>& error() const { return error_; }

 private:
  void Fail(const std::string& what) {
    if (!error_) error_ = MakeError(Code::kInvalid, reason::kInvalidSpec, path_ + ": " + what);
  }

  template <typename T>
  static bool Missing(const T& value) {
    if constexpr (requires { value.empty(); }) return value.empty();
    return false;
  }

  void Read(const json& value, std::string& out) {
    if (!value.is_string()) return Fail("must be a string");
    out = value.get<std::string>();
  }
  void Read(const json& value, bool& out) {
    if (!value.is_boolean()) return Fail("must be true or false");
    out = value.get<bool>();
  }
  void Read(const json& value, int64_t& out) {
    const auto number = base::WholeNumber<int64_t>(value);
    if (!number) return Fail("must be a whole number");
    out = *number;
  }
  void Read(const json& value, int& out) {
    int64_t wide = 0;
    Read(value, wide);
    if (error_) return;
    if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
      return Fail("is out of range");
    }
    out = static_cast<int>(wide);
  }
  void Read(const json& value, Duration& out) {
    std::string text;
    Read(value, text);
    if (error_) return;
    // What an older CRD let in means for ever. Refused here, its resource would not be looked at.
    const auto duration = base::ParseDurationAtMost(text, base::kLongestDuration);
    if (!duration.ok()) return Fail(duration.error().message);
    out = *duration;
  }
  void Read(const json& value, base::WallTime& out) {
    std::string text;
    Read(value, text);
    if (error_) return;
    const auto time = base::ParseTime(text);
    if (!time.ok()) return Fail(time.error().message);
    out = *time;
  }
  void Read(const json& value, kube::Condition& out) {
    auto condition = kube::ParseCondition(value);
    if (!condition.ok()) return Fail(condition.error().message);
    out = std::move(condition).value();
  }
  template <typename E>
  requires std::is_enum_v<E>
  void Read(const json& value, E& out) {
    std::string text;
    Read(value, text);
    if (error_) return;
    std::string known;
    int index = 0;
    for (const std::string_view word : Words<E>::kAll) {
      if (word == text) {
        out = static_cast<E>(index);
        return;
      }
      known += fmt::format("{}{}", index == 0 ? "" : ", ", word);
      ++index;
    }
    Fail(fmt::format("must be one of {}", known));
  }
  template <typename T>
  void Read(const json& value, std::optional<T>& out) {
    T inner{};
    Read(value, inner);
    if (!error_) out = std::move(inner);
  }
  template <typename T>
  void Read(const json& value, std::vector<T>& out) {
    if (!value.is_array()) return Fail("must be a list");
    out.clear();
    out.reserve(value.size());
    const size_t length = path_.size();
    for (size_t i = 0; i < value.size() && !error_; ++i) {
      path_ += fmt::format("[{}]", i);
      Read(value[i], out.emplace_back());
      if (!error_) path_.resize(length);
    }
  }
  template <typename T>
  requires std::is_class_v<T>
  void Read(const json& value, T& out) { Object(value, out); }

  std::string path_;
  const json* object_ = nullptr;
  std::optional<base::Error> error_;
};

// --- writing

class Writer {
 public:
  template <typename T>
  static json Object(T& value) {
    Writer writer;
    Fields(writer, value);
    return std::move(writer.object_);
  }

  template <typename T>
  void operator()(const char* name, T& value, Need need = Need::kOptional) {
    json written = Write(value);
    const bool empty = written.is_null() || (written.is_structured() && written.empty()) ||
                       (written.is_string() && written.get_ref<const std::string&>().empty());
    if (empty && need == Need::kOptional) return;
    object_[name] = std::move(written);
  }

  // Zero is "not set".
  template <typename T>
  void IfSet(const char* name, T& value) {
    if (value != 0) object_[name] = value;
  }

 private:
  static json Write(std::string& value) { return value; }
  static json Write(bool value) { return value; }
  static json Write(int value) { return value; }
  static json Write(int64_t value) { return value; }
  static json Write(Duration& value) { return base::FormatDuration(value); }
  static json Write(base::WallTime& value) { return base::FormatTime(value); }
  static json Write(kube::Condition& value) { return kube::ToJson(value); }
  template <typename E>
  requires std::is_enum_v<E>
  static json Write(E value) { return Word(value); }
  template <typename T>
  static json Write(std::optional<T>& value) {
    return value ? Write(*value) : json();
  }
  template <typename T>
  static json Write(std::vector<T>& values) {
    json list = json::array();
    for (auto& value : values) list.push_back(Write(value));
    return list;
  }
  template <typename T>
  requires std::is_class_v<T>
  static json Write(T& value) { return Object(value); }

  json object_ = json::object();
};

// --- naming

class Lister {
 public:
  template <typename T>
  static std::vector<std::string> All() {
    Lister lister;
    T value{};
    Fields(lister, value);
    return std::move(lister.paths_);
  }

  template <typename T>
  void operator()(const char* name, T&, Need = Need::kOptional) {
    const size_t length = prefix_.size();
    if (!prefix_.empty()) prefix_ += '.';
    prefix_ += name;
    List<T>();
    prefix_.resize(length);
  }
  template <typename T>
  void IfSet(const char* name, T& value) {
    (*this)(name, value);
  }

 private:
  template <typename T>
  struct Inner {
    using Type = T;
    static constexpr bool kList = false;
  };
  template <typename T>
  struct Inner<std::optional<T>> {
    using Type = T;
    static constexpr bool kList = false;
  };
  template <typename T>
  struct Inner<std::vector<T>> {
    using Type = T;
    static constexpr bool kList = true;
  };
  template <typename T>
  static constexpr bool kLeaf =
      std::is_arithmetic_v<T> || std::is_enum_v<T> || std::is_same_v<T, std::string> ||
      std::is_same_v<T, Duration> || std::is_same_v<T, base::WallTime>;

  template <typename T>
  void List() {
    using Type = typename Inner<T>::Type;
    const size_t length = prefix_.size();
    if (Inner<T>::kList) prefix_ += "[]";
    if constexpr (std::is_same_v<Type, kube::Condition>) {
      for (const char* name :
           {"type", "status", "reason", "message", "observedGeneration", "lastTransitionTime"}) {
        paths_.push_back(prefix_ + "." + name);
      }
    } else if constexpr (kLeaf<Type>) {
      paths_.push_back(prefix_);
    } else {
      Type value{};
      Fields(*this, value);
    }
    prefix_.resize(length);
  }

  std::string prefix_;
  std::vector<std::string> paths_;
};

void Cut(std::string& text, size_t limit) { text = base::CutText(text, limit); }

void CutMessages(Status& status, size_t limit) {
  Cut(status.message, limit);
  for (auto& phase : status.phases) Cut(phase.message, limit);
  for (auto& condition : status.conditions) Cut(condition.message, limit);
  for (auto& follow_up : status.follow_ups) Cut(follow_up, limit);
  if (status.plan) {
    for (auto& step : status.plan->steps) Cut(step, limit);
  }
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

base::Result<Spec> SpecFromJson(const json& value) {
  Spec spec;
  Reader reader("spec");
  reader.Object(value, spec);
  if (reader.error()) return *reader.error();
  return spec;
}

json SpecToJson(const Spec& spec) {
  Spec copy = spec;
  return Writer::Object(copy);
}

base::Result<Status> StatusFromJson(const json& value) {
  Status status;
  Reader reader("status");
  reader.Object(value, status);
  if (reader.error()) return *reader.error();
  return status;
}

json StatusToJson(const Status& status) {
  Status copy = status;
  CutMessages(copy, kMaxMessageBytes);
  json written = Writer::Object(copy);
  std::string text = Dump(written);
  const auto write_again = [&] {
    written = Writer::Object(copy);
    text = Dump(written);
  };
  while (text.size() > kMaxStatusBytes && copy.history.size() > 1) {
    copy.history.pop_back();
    write_again();
  }
  for (size_t limit = kMaxMessageBytes / 2; text.size() > kMaxStatusBytes && limit >= 32;
       limit /= 2) {
    CutMessages(copy, limit);
    write_again();
  }
  // Only a resource with very many backups comes here; the newest are first to be of use.
  while (text.size() > kMaxStatusBytes && copy.backups.size() > 3) {
    copy.backups.pop_back();
    write_again();
  }
  // Words of a container's log need not be UTF-8, and a JSON text must be.
  if (text.find("\xEF\xBF\xBD") == std::string::npos) return written;
  return base::ParseJson(text).value_or(json::object());
}

base::Result<OmsUpgrade> FromJson(const json& value) {
  OmsUpgrade object;
  OMS_ASSIGN(object.meta, kube::ParseMeta(value));
  const auto spec = value.find("spec");
  if (spec == value.end()) {
    return MakeError(Code::kInvalid, reason::kInvalidSpec, "spec: is required");
  }
  OMS_ASSIGN(object.spec, SpecFromJson(*spec));
  if (const auto status = value.find("status"); status != value.end() && status->is_object()) {
    auto parsed = StatusFromJson(*status);
    if (parsed.ok()) object.status = std::move(parsed).value();
  }
  return object;
}

base::Result<OmsUpgrade> FromText(const std::string& text) {
  const auto value = base::ParseJson(text);
  if (!value.ok()) {
    return MakeError(Code::kInvalid, reason::kInvalidSpec, "the object " + value.error().message);
  }
  if (!value->is_object()) {
    return MakeError(Code::kInvalid, reason::kInvalidSpec, "the object is not a JSON object");
  }
  return FromJson(*value);
}

std::string_view ToString(OnFailure value) { return Word(value); }
std::string_view ToString(Direction value) { return Word(value); }
std::string_view ToString(PointOfNoReturn value) { return Word(value); }
std::string_view ToString(PhaseState value) { return Word(value); }
std::string_view ToString(HistoryOutcome value) { return Word(value); }
std::string_view ToString(NodeRole value) { return Word(value); }

std::vector<std::string> SpecFieldPaths() { return Lister::All<Spec>(); }
std::vector<std::string> StatusFieldPaths() { return Lister::All<Status>(); }

}  // namespace oms::crd
