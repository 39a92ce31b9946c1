#include "reconcilers/show/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "controller/base/human.h"
#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/model/databases.h"
#include "reconcilers/model/dump_choice.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/model/steps.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/oms/ha_config.h"
#include "reconcilers/record/open_operation.h"
#include "reconcilers/steps/config.h"
#include "reconcilers/steps/table.h"

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
                     rates.of_this_oms ? "based on the last upgrade of this OMS"
                                       : "based on rates of small databases; the upgrade "
                                         "script and the start of a large OMS may take minutes");
}

// ------------------------------------------------------------------------------------ an upgrade

base::Error Incomplete(std::string_view what) {
  return base::MakeError(base::Code::kInvalid, crd::inner_reason::kPlanIncomplete,
                         fmt::format("the plan cannot be made before {} is known", what));
}

// What will be touched, and the databases as the hash has them.
struct Subject {
  steps::UpgradeSubject plan;
  std::vector<model::FrozenDatabase> databases;
};

base::Result<std::vector<model::FrozenNode>> NodesFrom(const UpgradePlanInput& in) {
  std::vector<model::FrozenNode> nodes;
  for (const auto& node : in.facts.nodes) {
    if (!node.engine || !node.old_container) return Incomplete("node " + node.name);
    const ports::ContainerInfo& old = *node.old_container;
    model::FrozenNode frozen;
    frozen.name = node.name;
    frozen.role = node.role;
    frozen.keeps_running = node.keeps_running;
    frozen.engine_id = node.engine->id;
    frozen.old_id = old.id;
    frozen.old_name = old.name;
    frozen.old_image = old.image;
    frozen.old_image_id = old.image_id;
    frozen.old_restart_policy = old.restart_policy.empty() ? "no" : old.restart_policy;
    frozen.new_name = crd::NewContainerName(old.name, in.from, in.to);
    if (const ports::Mount* config = old.FindMount(product::kConfigMount))
      frozen.config_source = config->source;
    nodes.push_back(std::move(frozen));
  }
  if (nodes.empty()) return Incomplete("a node");
  return nodes;
}

base::Result<Subject> SubjectOf(const UpgradePlanInput& in) {
  Subject subject{{{in.spec, {}, {}}, in.to, in.path, in.facts, {}, {}}, {}};
  steps::UpgradeSubject& plan = subject.plan;
  plan.components = in.components;
  plan.rewrites = in.path.config_rewrite && in.facts.RewritesConfig();
  if (in.open != nullptr) {
    plan.nodes = in.open->nodes;
    plan.directory = in.open->folder.substr(0, in.open->folder.find_last_of('/'));
    plan.ha_on = in.open->ha_was_on;
    plan.components = in.open->components;
    plan.rewrites = in.path.config_rewrite && (plan.rewrites || !in.open->config_rewrites.empty());
    subject.databases = in.open->databases;
  } else {
    if (!in.facts.config) return Incomplete("config.yaml");
    if (!in.facts.meta) return Incomplete("the MetaDB");
    plan.directory = in.spec.backup.directory;
    while (plan.directory.size() > 1 && plan.directory.ends_with('/')) plan.directory.pop_back();
    OMS_ASSIGN(plan.nodes, NodesFrom(in));
    subject.databases = model::DatabasesOf(*in.facts.config, *in.facts.meta);
    if (in.facts.meta->ha_raw) {
      OMS_ASSIGN(const product::HaState ha, product::ReadHa(*in.facts.meta->ha_raw));
      plan.ha_on = ha.enabled;
    }
  }
  for (const auto& database : subject.databases) {
    plan.databases.push_back(database.name);
    if (database.role == "cm_hb") plan.heartbeat_database = database.name;
  }
  return subject;
}

class UpgradePlan {
 public:
  UpgradePlan(const UpgradePlanInput& in, const Subject& subject)
      : in_(in), subject_(subject), plan_(subject.plan) {
    for (const auto& name : plan_.databases) bytes_ += plan_.BytesOf(name).value_or(0);
  }

  Plan Make() const {
    Plan plan;
    for (const steps::StepSpec& spec : steps::SpecsOf(model::Direction::kUpgrade))
      plan.steps.push_back(Line(spec.step, spec.plan_upgrade(plan_)));
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
  std::string GoingBack() const {
    const Rates& rates = in_.rates;
    // The new one stopped, both states compared and saved, loaded, compared again, started.
    const base::Duration restore =
        rates.stop + 2 * Dumping(rates, bytes_) + Moving(bytes_, rates.load_per_second) +
        Moving(bytes_, rates.dump_per_second) + rates.start + rates.health;
    return fmt::format(
        "Rollback: before {} nothing is lost{}. From {} on, {} is started again (about {}). From "
        "{} on, {} is removed, the databases are dumped as they are then, {} are dropped and "
        "restored from the dump of {}, and {} is started again (about {}); what OMS has written "
        "since then remains only in that dump{}",
        model::NameOf(model::Step::kStopContainers),
        plan_.ha_on ? " (HA is switched on again)" : "",
        model::NameOf(model::Step::kStopContainers), plan_.OldOnes(),
        About(rates.start + rates.health), model::NameOf(model::Step::kStartContainers),
        plan_.NewOnes(), steps::List(plan_.databases), model::NameOf(model::Step::kBackUpDatabases),
        plan_.OldOnes(), About(restore),
        plan_.Kept()
            ? fmt::format(". For that {} is stopped as well, with its tasks, and started "
                          "afterwards; what {} changed in it is not rolled back",
                          plan_.Components(), model::NameOf(model::Step::kUpgradeComponents))
            : "");
  }

  std::string Hash() const {
    const crd::Spec& spec = in_.spec;
    Json nodes = Json::array(), databases = Json::array();
    for (const auto& node : plan_.nodes) {
      nodes.push_back(Json::array({node.name, node.engine_id, node.old_id, node.old_name,
                                   node.old_image_id, node.new_name, node.config_source}));
      if (node.role != crd::NodeRole::kAll) nodes.back().push_back(crd::ToString(node.role));
      if (node.keeps_running) {
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
                               plan_.directory,
                               steps::WantedTool(spec),
                               spec.backup.compression == crd::Compression::kZstd,
                               spec.backup.image,
                               plan_.rewrites,
                               plan_.InPlace(),
                               in_.path.legacy_steps,
                               in_.path.correction_jar,
                               in_.path.legacy_working_directory,
                               in_.path.upgrade_script,
                               in_.path.working_directory,
                               plan_.ha_on,
                               plan_.Manual(),
                               spec.ha.perceive_store_client_checkpoint,
                               std::move(steps)}));
  }

  const UpgradePlanInput& in_;
  const Subject& subject_;
  const steps::UpgradeSubject& plan_;
  uint64_t bytes_ = 0;  // Of all databases, as far as known.
};

// ------------------------------------------------------------------------------------- an undo

class RollbackPlan {
 public:
  RollbackPlan(const crd::Spec& spec, const model::OperationRecord& undone, base::WallTime now,
               const UndoRequest& request, const UndoNumbers& numbers)
      : undone_(undone),
        now_(now),
        request_(request),
        numbers_(numbers),
        plan_{{spec, undone.nodes, {}}, undone, {}, numbers.database_bytes} {
    const model::BackupRef& backup = *undone.backup;
    plan_.folder =
        backup.folder.starts_with('/') ? backup.folder : undone.folder + "/" + backup.folder;
    for (const auto& database : undone.databases) plan_.databases.push_back(database.name);
  }

  Plan Make() const {
    Plan plan;
    for (const steps::StepSpec& spec : steps::SpecsOf(model::Direction::kRollback))
      plan.steps.push_back(Line(spec.step, spec.plan_rollback(plan_)));
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
        "No way back: until {} nothing is lost, set spec.version to {} again to cancel. From there "
        "on the rollback runs to its end; then {} exists only as an image and as the dump of {}, "
        "and only a new upgrade leads to it",
        model::NameOf(model::Step::kStopNewContainers), undone_.to, undone_.to,
        model::NameOf(model::Step::kSaveUpgradedState));
    plan.lost = Lost();
    plan.hash = Hash();
    return plan;
  }

 private:
  // The state that comes back is that of the stop.
  base::WallTime StateOf() const { return undone_.t1 ? *undone_.t1 : undone_.backup->completed; }

  std::string Lost() const {
    return fmt::format(
        "Lost: {} are restored to their state at {}, {} ago; what OMS has written to them since{} "
        "is kept only in the dump of {}{}",
        steps::List(plan_.databases), base::FormatTime(StateOf()),
        Age(std::chrono::duration_cast<base::Duration>(now_ - StateOf())),
        numbers_.rows_since ? fmt::format(" ({} rows)", *numbers_.rows_since) : "",
        model::NameOf(model::Step::kSaveUpgradedState),
        numbers_.events.empty()
            ? ""
            : fmt::format("; no dump contains scheduled events: save the output of SHOW CREATE "
                          "EVENT for {}, and create them again",
                          steps::List(numbers_.events)));
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
    return HashOf(Json::array(
        {kRollbackFormat, request_.generation, request_.follows, undone_.id, undone_.to.ToString(),
         undone_.from.ToString(), std::move(nodes), std::move(databases), plan_.folder,
         undone_.backup->manifest_sha256, undone_.ha_was_on,
         undone_.ha_raw ? base::Sha256Hex(*undone_.ha_raw) : "", plan_.Manual(),
         plan_.spec.ha.perceive_store_client_checkpoint, steps::WroteOverConfig(undone_),
         plan_.spec.backup.directory, steps::WantedTool(plan_.spec), std::move(steps)}));
  }

  const model::OperationRecord& undone_;
  const base::WallTime now_;
  const UndoRequest& request_;
  const UndoNumbers& numbers_;
  steps::RollbackSubject plan_;
};

}  // namespace

Rates RatesFrom(const model::OperationRecord& last) {
  Rates rates;
  if (last.direction != model::Direction::kUpgrade ||
      last.outcome != model::OperationOutcome::kSucceeded)
    return rates;
  using Time = std::optional<base::WallTime>;
  const auto seen = [&](model::Step step) -> Time { return last.Progress(step).seen; };
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
      if (point.step == model::Step::kUpgradeComponents) continue;  // While OMS ran.
      if (step && point.step != step) continue;
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
    return base::MakeError(
        base::Code::kTerminal, crd::reason::kNoBackup,
        fmt::format("the upgrade from {} to {} (operation {}) has no backup to restore",
                    undone.from, undone.to, undone.id));
  }
  return RollbackPlan(spec, undone, now, request, numbers).Make();
}

}  // namespace oms::show
