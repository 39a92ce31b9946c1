#include "reconcilers/show/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "controller/base/human.h"
#include "controller/base/sha256.h"
#include "reconcilers/model/databases.h"
#include "reconcilers/model/dump_choice.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/model/steps.h"
#include "reconcilers/oms/ha_config.h"
#include "reconcilers/record/open_operation.h"
#include "reconcilers/steps/component_state.h"

namespace oms::show {
namespace {

using Json = nlohmann::json;

// The first field of what is hashed; raised when its meaning changes, so that old approvals end.
constexpr char kUpgradeFormat[] = "upgrade/1";
constexpr char kRollbackFormat[] = "rollback/2";
constexpr size_t kHashDigits = 12;

std::string HashOf(const Json& what) {
  return base::Sha256Hex(what.dump(-1, ' ', false, Json::error_handler_t::replace))
      .substr(0, kHashDigits);
}

std::string Line(model::Step step, std::string_view text) {
  return fmt::format("{}: {}", model::NameOf(step), text);
}

// "a", "a and b", "a, b and c"
std::string List(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  }
  return text;
}

std::string About(base::Duration duration) {
  // Whole seconds: the rest would be an exactness that is not there.
  return base::FormatDuration(std::chrono::ceil<std::chrono::seconds>(duration));
}

// "3d 4h", "4h 5m", "6m": for ages.
std::string Age(base::Duration age) {
  const auto minutes = std::max<int64_t>(0, std::chrono::floor<std::chrono::minutes>(age).count());
  if (minutes >= 24 * 60) return fmt::format("{}d {}h", minutes / (24 * 60), minutes / 60 % 24);
  if (minutes >= 60) return fmt::format("{}h {}m", minutes / 60, minutes % 60);
  return fmt::format("{}m", minutes);
}

base::Duration Moving(uint64_t bytes, uint64_t per_second) {
  return base::Duration(static_cast<int64_t>(bytes / std::max<uint64_t>(1, per_second / 1000)));
}

base::Duration Dumping(const Rates& rates, uint64_t bytes) {
  return std::max(rates.dump_least, rates.dump_begin + Moving(bytes, rates.dump_per_second));
}

// As the spec has it: which of the two Auto comes to may change with each look.
std::string_view WantedTool(const crd::Spec& spec) {
  if (spec.backup.tool == crd::BackupTool::kAuto) return "Auto";
  return spec.backup.tool == crd::BackupTool::kMysqldump ? "mysqldump" : "mydumper";
}

// In words; `facts`: where the databases have been looked at.
std::string_view NameOfTool(const crd::Spec& spec, const model::Facts* facts) {
  if (spec.backup.tool != crd::BackupTool::kAuto) return WantedTool(spec);
  const auto tool = facts == nullptr || !facts->meta || facts->meta->databases.empty()
                        ? base::Result<ports::DumpTool>(base::MakeError(base::Code::kNotFound, ""))
                        : model::ChooseTool(spec, *facts);
  if (!tool.ok()) return "mydumper (or mysqldump, where that would leave something out)";
  return *tool == ports::DumpTool::kMysqldump ? "mysqldump (mydumper would leave something out)"
                                              : "mydumper";
}

// Each of them by `say`, joined; those that keep running apart from the others.
template <typename F>
std::string NodesOf(const std::vector<model::FrozenNode>& nodes, bool kept, F say) {
  std::vector<std::string> texts;
  for (const auto& node : nodes) {
    if (node.kept == kept) texts.push_back(say(node));
  }
  return List(texts);
}

bool AnyKept(const std::vector<model::FrozenNode>& nodes) {
  return std::any_of(nodes.begin(), nodes.end(), [](const auto& node) { return node.kept; });
}

// Parts of a sum, for a person who wonders at it.
struct Part {
  std::string_view name;
  base::Duration time;
};
base::Duration Sum(const std::vector<Part>& parts) {
  base::Duration sum{0};
  for (const auto& part : parts) sum += part.time;
  return sum;
}
std::string Downtime(const std::vector<Part>& parts, const Rates& rates) {
  std::vector<std::string> texts;
  for (const auto& part : parts) texts.push_back(fmt::format("{} {}", part.name, About(part.time)));
  return fmt::format("Downtime: about {} ({}), {}", About(Sum(parts)), fmt::join(texts, ", "),
                     rates.of_this_oms ? "by what the last upgrade of this OMS took"
                                       : "by rates measured with small databases; the upgrade "
                                         "script and the start of a large OMS may take minutes");
}

// ------------------------------------------------------------------------------------ an upgrade

// What will be touched: from the open operation's record where there is one, else from the facts.
struct Subject {
  std::vector<model::FrozenNode> nodes;
  std::vector<model::FrozenDatabase> databases;
  std::string directory;
  bool ha_on = false;
};

base::Error Incomplete(std::string_view what) {
  return base::MakeError(base::Code::kInvalid, "PlanIncomplete",
                         fmt::format("no plan can be made before {} is known", what));
}

base::Result<Subject> SubjectOf(const UpgradePlanInput& in) {
  Subject subject;
  if (in.open != nullptr) {
    subject.nodes = in.open->nodes;
    subject.databases = in.open->databases;
    subject.directory = in.open->folder.substr(0, in.open->folder.find_last_of('/'));
    subject.ha_on = in.open->ha_was_on;
    return subject;
  }
  if (!in.facts.config) return Incomplete("config.yaml");
  if (!in.facts.meta) return Incomplete("the MetaDB");
  subject.directory = in.spec.backup.directory;
  while (subject.directory.size() > 1 && subject.directory.ends_with('/'))
    subject.directory.pop_back();
  for (const auto& node : in.facts.nodes) {
    if (!node.engine || !node.old_container) return Incomplete("node " + node.name);
    const ports::ContainerInfo& old = *node.old_container;
    model::FrozenNode frozen;
    frozen.name = node.name;
    frozen.role = node.role;
    frozen.kept = node.kept;
    frozen.engine_id = node.engine->id;
    frozen.old_id = old.id;
    frozen.old_name = old.name;
    frozen.old_image = old.image;
    frozen.old_image_id = old.image_id;
    frozen.old_restart_policy = old.restart_policy.empty() ? "no" : old.restart_policy;
    frozen.new_name = crd::NewContainerName(old.name, in.from, in.to);
    if (const ports::Mount* config = old.FindMount("/home/admin/conf/config.yaml"))
      frozen.config_source = config->source;
    subject.nodes.push_back(std::move(frozen));
  }
  if (subject.nodes.empty()) return Incomplete("a node");
  subject.databases = model::DatabasesOf(*in.facts.config, *in.facts.meta);
  if (in.facts.meta->ha_raw) {
    OMS_ASSIGN(const product::HaState ha, product::ReadHa(*in.facts.meta->ha_raw));
    subject.ha_on = ha.enabled;
  }
  return subject;
}

class UpgradePlan {
 public:
  UpgradePlan(const UpgradePlanInput& in, const Subject& subject) : in_(in), subject_(subject) {
    rewrites_ =
        in.path.config_rewrite &&
        (in.facts.RewritesConfig() || (in.open != nullptr && !in.open->config_rewrites.empty()));
    for (const auto& database : subject.databases) {
      names_.push_back(database.name);
      if (const auto bytes = BytesOf(database.name)) bytes_ += *bytes;
    }
  }

  Plan Make() const {
    Plan plan;
    for (const model::StepInfo& info : model::StepsOf(model::Direction::kUpgrade)) {
      plan.steps.push_back(Line(info.step, Text(info.step)));
    }
    const Rates& rates = in_.rates;
    std::vector<Part> parts = {{"stop", rates.stop},
                               {"compact", rates.compact},
                               {"dump", Dumping(rates, bytes_)},
                               {"start", rates.start}};
    if (in_.path.legacy_steps) parts.push_back({"correction", rates.correction});
    parts.push_back({"script", rates.script});
    parts.push_back({"services", rates.health});
    plan.estimated_downtime = Sum(parts);
    plan.downtime = Downtime(parts, rates);
    if (plan.estimated_downtime > in_.spec.strategy.downtime_budget) {
      plan.downtime += fmt::format("; this is more than spec.strategy.downtimeBudget allows ({})",
                                   base::FormatDuration(in_.spec.strategy.downtime_budget));
    }
    plan.point_of_no_return = GoingBack();
    plan.hash = Hash();
    return plan;
  }

 private:
  std::optional<uint64_t> BytesOf(const std::string& database) const {
    if (!in_.facts.meta) return std::nullopt;
    for (const auto& info : in_.facts.meta->databases) {
      if (info.name == database) return info.bytes;
    }
    return std::nullopt;
  }

  // Each node whose container is replaced by `say`, joined.
  template <typename F>
  std::string Nodes(F say) const {
    return NodesOf(subject_.nodes, false, say);
  }
  // The components that keep running.
  std::string Components() const {
    return NodesOf(subject_.nodes, true,
                   [](const auto& node) { return node.old_name + " on " + node.name; });
  }
  std::string OldOnes() const {
    return Nodes([](const auto& node) { return node.old_name + " on " + node.name; });
  }
  std::string NewOnes() const {
    return Nodes([](const auto& node) { return node.new_name + " on " + node.name; });
  }
  std::string NodeNames() const {
    return Nodes([](const auto& node) { return node.name; });
  }
  std::string Script() const {
    return in_.path.upgrade_script.empty() ? "the upgrade script" : in_.path.upgrade_script;
  }
  // Of several nodes, also which of them.
  std::string ScriptPlace() const {
    const auto found =
        std::find_if(subject_.nodes.begin(), subject_.nodes.end(),
                     [](const auto& node) { return node.role != crd::NodeRole::kComponent; });
    const model::FrozenNode& node = found == subject_.nodes.end() ? subject_.nodes.front() : *found;
    return subject_.nodes.size() == 1 ? node.new_name : node.new_name + " on " + node.name;
  }
  const std::string& HeartbeatDatabase() const {
    const auto found = std::find_if(subject_.databases.begin(), subject_.databases.end(),
                                    [](const auto& database) { return database.role == "cm_hb"; });
    return found == subject_.databases.end() ? names_.back() : found->name;
  }
  bool Manual() const { return in_.spec.ha.control == crd::HaControl::kManual; }
  bool InPlace() const { return in_.spec.deployment.config == crd::ConfigPlace::kInPlace; }

  std::string Text(model::Step step) const {
    switch (step) {
      case model::Step::kPreflight:
        return fmt::format(
            "look at the engines, {}, the MetaDB and the backup folder; nothing is "
            "touched",
            Kept() ? OldOnes() + ", " + Components() : OldOnes());
      case model::Step::kLoadImage: return LoadImage();
      case model::Step::kSaveOldImage:
        if (!in_.spec.backup.image) return "skipped, spec.backup.image is false";
        return fmt::format("save {} into {}", Nodes([](const auto& node) {
                             return fmt::format(
                                 "{} of {}", node.old_image.empty() ? "the image" : node.old_image,
                                 node.name);
                           }),
                           subject_.directory);
      case model::Step::kLoadAssistant: return Kept() ? LoadAssistant() : Skipped();
      case model::Step::kUpgradeComponents: return Kept() ? UpgradeComponents() : Skipped();
      case model::Step::kBackUpConfig:
        return fmt::format("copy {} into {}", Nodes([](const auto& node) {
                             return ConfigOf(node) + " of " + node.name;
                           }),
                           subject_.directory);
      case model::Step::kRewriteConfig:
        if (InPlace() && rewrites_) return "skipped, config.yaml itself is edited after the stop";
        return RewriteConfig();
      case model::Step::kCreateContainers:
        return fmt::format("create, and do not start, {} from {}", Nodes([](const auto& node) {
                             return fmt::format("{} on {} (a copy of {})", node.new_name, node.name,
                                                node.old_name);
                           }),
                           in_.spec.image.reference);
      case model::Step::kDisableHa:
        if (!subject_.ha_on) return "skipped, HA is off";
        return Manual() ? "wait until somebody sets enable=false in ha.config on the console"
                        : "set enable=false in ha.config";
      case model::Step::kStopContainers:
        return Kept() ? fmt::format(
                            "stop {} (downtime of the console begins); {} is not stopped, "
                            "and its tasks go on",
                            OldOnes(), Components())
                      : fmt::format("stop {} (downtime begins)", OldOnes());
      case model::Step::kCompactHeartbeat:
        return fmt::format("keep only the last row of {}.heatbeat_sequence", HeartbeatDatabase());
      case model::Step::kBackUpDatabases: {
        std::vector<std::string> sizes;
        for (const auto& name : names_) {
          const auto bytes = BytesOf(name);
          sizes.push_back(bytes ? fmt::format("{} ({})", name, base::Human(*bytes)) : name);
        }
        return fmt::format(
            "dump {} into {} with {}, with a sum of each table{}", List(sizes), subject_.directory,
            NameOfTool(in_.spec, &in_.facts),
            Kept() ? "; each in one transaction, as components write meanwhile: what they write "
                     "after it is not in the backup"
                   : "");
      }
      case model::Step::kEditConfig:
        if (InPlace() && rewrites_) return RewriteConfig();
        return "skipped, config.yaml itself is not edited";
      case model::Step::kStartContainers:
        return fmt::format("start {}; from here on going back restores the {} databases", NewOnes(),
                           names_.size() == 3 ? "three" : fmt::format("{}", names_.size()));
      case model::Step::kCorrectSchema:
        if (!in_.path.legacy_steps) return fmt::format("skipped, {}", product::kLegacyOnly);
        return fmt::format("hold oms_console, and run {} in {}, once; it restructures the tables",
                           fmt::join(model::CommandOf(step, in_.path).argv, " "), ScriptPlace());
      case model::Step::kInitializeMetadata:
        if (!in_.path.legacy_steps) return fmt::format("skipped, {}", product::kLegacyOnly);
        return fmt::format("run {} in {}, once",
                           fmt::join(model::CommandOf(step, in_.path).argv, " "), ScriptPlace());
      case model::Step::kRunUpgradeScript:
        return fmt::format("run {} in {}, once; it changes the databases", Script(), ScriptPlace());
      case model::Step::kAwaitHealth:
        return fmt::format(
            "wait until all services answer on {}, then restart policy as it was ({}){}",
            NodeNames(), Nodes([](const auto& node) { return node.old_restart_policy; }),
            subject_.ha_on ? "" : " (downtime ends)");
      case model::Step::kEnableHa:
        if (!subject_.ha_on) return "skipped, HA was off and stays off";
        return fmt::format("{} in ha.config{} (downtime ends)",
                           in_.spec.ha.perceive_store_client_checkpoint
                               ? "set enable=true and perceiveStoreClientCheckpoint=true"
                               : "set enable=true, perceiveStoreClientCheckpoint=false and a "
                                 "refetchStoreIntervalMin that covers the downtime",
                           Manual() ? ", after somebody has switched it on on the console" : "");
      default: return {};
    }
  }

  bool Kept() const { return AnyKept(subject_.nodes); }
  static std::string Skipped() { return fmt::format("skipped, {}", steps::kNoneKept); }

  bool Upgraded(const model::FrozenNode& node) const {
    const auto& known = in_.open != nullptr ? in_.open->components : in_.components;
    const auto done = known.find(node.name);
    return done != known.end() && done->second.container_id == node.old_id &&
           done->second.version == in_.to.ToString();
  }

  std::string LoadAssistant() const {
    if (!in_.spec.deployment.assistant) return "spec.deployment.assistant is missing";
    const crd::Image& image = *in_.spec.deployment.assistant;
    return fmt::format("{} {}{} where it is not there yet", image.archive.empty() ? "pull" : "load",
                       image.reference,
                       image.archive.empty() ? "" : fmt::format(" from {}", image.archive));
  }

  std::string UpgradeComponents() const {
    std::vector<std::string> todo, done;
    for (const auto& node : subject_.nodes) {
      if (node.kept) (Upgraded(node) ? done : todo).push_back(node.old_name + " on " + node.name);
    }
    std::string text;
    if (!todo.empty()) {
      text = fmt::format(
          "while its tasks run, put the upgrade assistant's packages into the run folder of {} and "
          "run {} there, once, then remove the assistant; THERE IS NO WAY BACK for a component: "
          "the guide gives none, and going back leaves it as it is then",
          List(todo), model::kComponentScriptFile);
    }
    if (!done.empty()) {
      text += fmt::format("{}{} was upgraded to {} before, and is left as it is",
                          text.empty() ? "" : "; ", List(done), in_.to.ToString());
    }
    return text;
  }

  std::string LoadImage() const {
    const crd::Image& image = in_.spec.image;
    std::vector<std::string> there, missing;
    for (const auto& node : subject_.nodes) {
      if (node.kept) continue;
      const model::NodeFacts* facts = in_.facts.Node(node.name);
      (facts != nullptr && facts->target_image ? there : missing).push_back(node.name);
    }
    const std::string archive =
        image.archive + (in_.facts.archive_bytes
                             ? fmt::format(" ({})", base::Human(*in_.facts.archive_bytes))
                             : "");
    std::string text;
    if (!missing.empty() && image.archive.empty()) {
      text = fmt::format("pull {} on {}", image.reference, List(missing));
    } else if (!missing.empty()) {
      text = fmt::format("load {} from {} on {}", image.reference, archive, List(missing));
    }
    if (!there.empty()) {
      text += fmt::format("{}{} is on {} already", text.empty() ? "" : "; ",
                          text.empty() ? image.reference : "it", List(there));
      if (!image.archive.empty() && image.id.empty())
        text += fmt::format(", and is loaded from {} if that holds another one",
                            missing.empty() ? archive : "the archive");
    }
    if (image.id.empty() && image.archive.empty()) {
      text +=
          "; which image that is is not checked, as neither spec.image.id nor spec.image.archive "
          "is "
          "set";
    }
    return text;
  }

  static std::string ConfigOf(const model::FrozenNode& node) {
    return node.config_source.empty() ? "config.yaml" : node.config_source;
  }

  std::string RewriteConfig() const {
    if (!rewrites_) return "skipped, no key of config.yaml has to change";
    const bool in_place = InPlace();
    return fmt::format(
        "{} {}: oms_meta_* become oms_rm_meta_* and oms_cm_meta_*{}",
        in_place ? "edit" : fmt::format("write config-{}.yaml beside", in_.to.ToString()),
        Nodes([](const auto& node) { return ConfigOf(node) + " of " + node.name; }),
        in_place ? "" : "; the file itself is not touched");
  }

  std::string GoingBack() const {
    const Rates& rates = in_.rates;
    // The new one stopped, both states compared and saved, loaded, compared again, started.
    const base::Duration restore =
        rates.stop + 2 * Dumping(rates, bytes_) + Moving(bytes_, rates.load_per_second) +
        Moving(bytes_, rates.dump_per_second) + rates.start + rates.health;
    return fmt::format(
        "Going back: before {} it costs nothing{}. From {} on, {} is started again (about {}). "
        "From {} on, {} is removed, what the databases hold by then is dumped, {} are dropped and "
        "restored from the dump of {}, and {} is started again (about {}); what OMS has written "
        "since then stays in that dump only{}",
        model::NameOf(model::Step::kStopContainers),
        subject_.ha_on ? " (HA is switched on again)" : "",
        model::NameOf(model::Step::kStopContainers), OldOnes(), About(rates.start + rates.health),
        model::NameOf(model::Step::kStartContainers), NewOnes(), List(names_),
        model::NameOf(model::Step::kBackUpDatabases), OldOnes(), About(restore),
        Kept() ? fmt::format(". For that {} is stopped as well, with its tasks, and started after "
                             "it; what {} has done to it stays",
                             Components(), model::NameOf(model::Step::kUpgradeComponents))
               : "");
  }

  std::string Hash() const {
    const crd::Spec& spec = in_.spec;
    Json nodes = Json::array(), databases = Json::array();
    for (const auto& node : subject_.nodes) {
      nodes.push_back(Json::array({node.name, node.engine_id, node.old_id, node.old_name,
                                   node.old_image_id, node.new_name, node.config_source}));
      if (node.role != crd::NodeRole::kAll) nodes.back().push_back(crd::ToString(node.role));
      if (node.kept) {
        const crd::Image assistant = spec.deployment.assistant.value_or(crd::Image());
        nodes.back().push_back(Json::array(
            {"kept", assistant.reference, assistant.archive, assistant.id, assistant.sha256}));
      }
    }
    for (const auto& database : subject_.databases) {
      databases.push_back(Json::array({database.role, database.name, database.server}));
    }
    Json steps = Json::array();
    for (const model::StepInfo& info : model::StepsOf(model::Direction::kUpgrade))
      steps.push_back(info.name);
    return HashOf(Json::array({kUpgradeFormat,
                               in_.open != nullptr ? in_.open->follows : in_.follows,
                               in_.from.ToString(),
                               in_.to.ToString(),
                               spec.image.reference,
                               spec.image.id,
                               spec.image.archive,
                               spec.image.sha256,
                               std::move(nodes),
                               std::move(databases),
                               subject_.directory,
                               WantedTool(spec),
                               spec.backup.compression == crd::Compression::kZstd,
                               spec.backup.image,
                               rewrites_,
                               InPlace(),
                               in_.path.legacy_steps,
                               in_.path.correction_jar,
                               in_.path.legacy_working_directory,
                               in_.path.upgrade_script,
                               in_.path.working_directory,
                               subject_.ha_on,
                               Manual(),
                               spec.ha.perceive_store_client_checkpoint,
                               std::move(steps)}));
  }

  const UpgradePlanInput& in_;
  const Subject& subject_;
  bool rewrites_ = false;
  std::vector<std::string> names_;
  uint64_t bytes_ = 0;  // Of all databases, as far as known.
};

// ------------------------------------------------------------------------------------- an undo

class RollbackPlan {
 public:
  RollbackPlan(const crd::Spec& spec, const model::OperationRecord& undone, base::WallTime now,
               const UndoRequest& request, const UndoNumbers& numbers)
      : spec_(spec), undone_(undone), now_(now), request_(request), numbers_(numbers) {
    const model::BackupRef& backup = *undone.backup;
    folder_ = backup.folder.starts_with('/') ? backup.folder : undone.folder + "/" + backup.folder;
    for (const auto& database : undone.databases) names_.push_back(database.name);
  }

  Plan Make() const {
    Plan plan;
    for (const model::StepInfo& info : model::StepsOf(model::Direction::kRollback)) {
      plan.steps.push_back(Line(info.step, Text(info.step)));
    }
    const Rates& rates = numbers_.rates;
    // A backup may be compressed; what is there now is the better guess for both.
    const uint64_t bytes = std::max(numbers_.database_bytes.value_or(0), undone_.backup->bytes);
    const std::vector<Part> parts = {
        {"stop", rates.stop},
        {"compare", Moving(bytes, rates.dump_per_second)},
        {"save", Dumping(rates, bytes)},
        {"restore", rates.dump_begin + Moving(bytes, rates.load_per_second) +
                        Moving(bytes, rates.dump_per_second)},
        {"start", rates.start},
        {"services", rates.health}};
    plan.estimated_downtime = Sum(parts);
    plan.downtime = Downtime(parts, rates);
    plan.point_of_no_return = fmt::format(
        "No way back: until {} this costs nothing, set spec.version to {} again. From there on it "
        "goes to its end; then {} is there as an image and as the dump of {}, and the way to it is "
        "a new upgrade",
        model::NameOf(model::Step::kStopNewContainers), undone_.to, undone_.to,
        model::NameOf(model::Step::kSaveUpgradedState));
    plan.lost = Lost();
    plan.hash = Hash();
    return plan;
  }

 private:
  template <typename F>
  std::string Nodes(F say) const {
    return NodesOf(undone_.nodes, false, say);
  }
  bool Kept() const { return AnyKept(undone_.nodes); }
  std::string Components() const {
    return NodesOf(undone_.nodes, true,
                   [](const auto& node) { return node.old_name + " on " + node.name; });
  }
  std::string OldOnes() const {
    return Nodes([](const auto& node) { return node.old_name + " on " + node.name; });
  }
  std::string NewOnes() const {
    return Nodes([](const auto& node) { return node.new_name + " on " + node.name; });
  }
  // The state that comes back is that of the stop.
  base::WallTime StateOf() const { return undone_.t1 ? *undone_.t1 : undone_.backup->completed; }
  bool Manual() const { return spec_.ha.control == crd::HaControl::kManual; }
  // Edited in place, the file itself must be put back.
  bool ConfigWasEdited() const {
    return std::any_of(undone_.nodes.begin(), undone_.nodes.end(),
                       [&](const model::FrozenNode& node) {
                         const auto written = undone_.config_rewrites.find(node.name);
                         return written != undone_.config_rewrites.end() &&
                                written->second.path == node.config_source;
                       });
  }

  std::string Text(model::Step step) const {
    switch (step) {
      case model::Step::kVerifyBackups:
        return fmt::format(
            "compare every file of {} ({}) with its sha256; nothing is touched "
            "unless all are as they were written",
            folder_, base::Human(undone_.backup->bytes));
      case model::Step::kSwitchHaOff:
        return Manual() ? "wait until somebody sets enable=false in ha.config on the console, if "
                          "it is on"
                        : "set enable=false in ha.config, if it is on";
      case model::Step::kStopNewContainers:
        return fmt::format(
            "stop and remove {} (downtime begins; no way back from here on); its image {} stays{}",
            NewOnes(), undone_.image.reference,
            Kept() ? fmt::format("; stop {} as well, which interrupts its tasks", Components())
                   : "");
      case model::Step::kCompareDatabases:
        return fmt::format(
            "compare rows, sums and schema of {} with the backup; one that equals "
            "it is left alone",
            List(names_));
      case model::Step::kSaveUpgradedState:
        return fmt::format("dump what they hold now{} into {} with {}, before anything is dropped",
                           numbers_.database_bytes
                               ? fmt::format(" ({})", base::Human(*numbers_.database_bytes))
                               : "",
                           spec_.backup.directory, NameOfTool(spec_, nullptr));
      case model::Step::kRestoreDatabases: {
        std::vector<std::string> sizes;
        for (const auto& name : names_) {
          const auto& parts = undone_.backup->databases;
          const auto part =
              std::find_if(parts.begin(), parts.end(),
                           [&](const model::BackupPart& p) { return p.name == name; });
          sizes.push_back(
              part == parts.end() ? name : fmt::format("{} ({})", name, base::Human(part->bytes)));
        }
        return fmt::format("drop {}, create them again and load {}; then compare again",
                           List(sizes), folder_);
      }
      case model::Step::kSettleDatabases:
        return "put back settings of the server that the upgrade had changed, if any are left";
      case model::Step::kRestoreConfig:
        if (!ConfigWasEdited()) return "skipped, the old config.yaml was not touched";
        return fmt::format("write {} back as before the upgrade", Nodes([](const auto& node) {
                             return node.config_source + " of " + node.name;
                           }));
      case model::Step::kStartOldContainers:
        return fmt::format("start {}; one that is gone is made again as it was{}", OldOnes(),
                           Kept() ? fmt::format("; start {} again, which stays as it was upgraded: "
                                                "there is no way back for a component",
                                                Components())
                                  : "");
      case model::Step::kAwaitOldHealth:
        return fmt::format("wait until all services answer, then restart policy as it was ({}){}",
                           Nodes([](const auto& node) { return node.old_restart_policy; }),
                           undone_.ha_was_on ? "" : " (downtime ends)");
      case model::Step::kRestoreHa:
        if (!undone_.ha_was_on) return "skipped, HA was off before the upgrade and stays off";
        return fmt::format("ha.config as before the upgrade, on, with {} (downtime ends)",
                           spec_.ha.perceive_store_client_checkpoint
                               ? "perceiveStoreClientCheckpoint=true"
                               : "a refetchStoreIntervalMin that covers everything since the "
                                 "upgrade");
      default: return {};
    }
  }

  std::string Lost() const {
    return fmt::format(
        "Lost: {} become what they were at {}, {} ago; what OMS has written to them since{} is "
        "kept "
        "only in the dump of {}{}",
        List(names_), base::FormatTime(StateOf()),
        Age(std::chrono::duration_cast<base::Duration>(now_ - StateOf())),
        numbers_.rows_since ? fmt::format(" ({} rows)", *numbers_.rows_since) : "",
        model::NameOf(model::Step::kSaveUpgradedState),
        numbers_.events.empty()
            ? ""
            : fmt::format(
                  "; scheduled events are in no dump: note what SHOW CREATE EVENT says of {}, "
                  "and create them again",
                  List(numbers_.events)));
  }

  std::string Hash() const {
    Json nodes = Json::array(), databases = Json::array(), steps = Json::array();
    for (const auto& node : undone_.nodes) {
      nodes.push_back(Json::array({node.name, node.engine_id, node.old_id, node.old_name,
                                   node.old_image_id, node.new_name, node.target_image_id}));
    }
    for (const auto& database : undone_.databases) {
      databases.push_back(Json::array({database.role, database.name, database.server}));
    }
    for (const model::StepInfo& info : model::StepsOf(model::Direction::kRollback))
      steps.push_back(info.name);
    return HashOf(Json::array({kRollbackFormat, request_.generation, request_.follows, undone_.id,
                               undone_.to, undone_.from, std::move(nodes), std::move(databases),
                               folder_, undone_.backup->manifest_sha256, undone_.ha_was_on,
                               undone_.ha_raw ? base::Sha256Hex(*undone_.ha_raw) : "", Manual(),
                               spec_.ha.perceive_store_client_checkpoint, ConfigWasEdited(),
                               spec_.backup.directory, WantedTool(spec_), std::move(steps)}));
  }

  const crd::Spec& spec_;
  const model::OperationRecord& undone_;
  const base::WallTime now_;
  const UndoRequest& request_;
  const UndoNumbers& numbers_;
  std::string folder_;
  std::vector<std::string> names_;
};

}  // namespace

Rates RatesFrom(const model::OperationRecord& last) {
  Rates rates;
  if (last.direction != model::Direction::kUpgrade ||
      last.outcome != model::OperationOutcome::kSucceeded)
    return rates;
  using Time = std::optional<base::WallTime>;
  const auto seen = [&](model::Step step) -> Time {
    const auto found = last.evidence.find(std::string(model::NameOf(step)));
    return found == last.evidence.end() ? Time() : Time(found->second);
  };
  const auto passed = [&](model::PointKind kind) -> Time {
    Time at;
    for (const auto& point : last.points) {
      if (point.kind == kind) at = at ? std::max(*at, point.at) : point.at;
    }
    return at;
  };
  // The first of all scripts that was begun, or the last attempt of one.
  const auto begun = [&](std::optional<model::Step> step) -> Time {
    Time at;
    for (const auto& point : last.points) {
      if (point.kind != model::PointKind::kScriptStarting) continue;
      if (point.step == model::NameOf(model::Step::kUpgradeComponents)) continue;  // While OMS ran.
      if (step && point.step != model::NameOf(*step)) continue;
      if (!at || (step ? point.at > *at : point.at < *at)) at = point.at;
    }
    return at;
  };
  const auto take = [&](Time begin, Time end, base::Duration& into) {
    if (!begin || !end || *end < *begin) return;
    into = std::chrono::duration_cast<base::Duration>(*end - *begin);
    rates.of_this_oms = true;
  };
  take(last.t1, seen(model::Step::kStopContainers), rates.stop);
  take(seen(model::Step::kStopContainers), seen(model::Step::kCompactHeartbeat), rates.compact);
  // Not a rate: the size of a dump is that on the disk, compressed.
  if (last.backup)
    take(seen(model::Step::kCompactHeartbeat), last.backup->completed, rates.dump_least);
  take(passed(model::PointKind::kNewStarting), begun(std::nullopt), rates.start);
  take(begun(model::Step::kCorrectSchema), seen(model::Step::kInitializeMetadata),
       rates.correction);
  take(begun(model::Step::kRunUpgradeScript), seen(model::Step::kRunUpgradeScript), rates.script);
  take(seen(model::Step::kRunUpgradeScript), seen(model::Step::kAwaitHealth), rates.health);
  return rates;
}

crd::PlanStatus Plan::ToStatus() const {
  crd::PlanStatus status{hash, steps, estimated_downtime};
  for (const auto* text : {&downtime, &point_of_no_return, &lost}) {
    if (!text->empty()) status.steps.push_back(*text);
  }
  return status;
}

base::Result<Plan> PlanUpgrade(const UpgradePlanInput& in) {
  OMS_ASSIGN(const Subject subject, SubjectOf(in));
  return UpgradePlan(in, subject).Make();
}

base::Result<Plan> PlanRollback(const crd::Spec& spec, const model::OperationRecord& undone,
                                base::WallTime now, const UndoRequest& request,
                                const UndoNumbers& numbers) {
  if (!undone.backup) {
    return base::MakeError(base::Code::kTerminal, "NoBackup",
                           fmt::format("the upgrade from {} to {} (operation {}) has no backup to "
                                       "go back to",
                                       undone.from, undone.to, undone.id));
  }
  return RollbackPlan(spec, undone, now, request, numbers).Make();
}

}  // namespace oms::show
