#include "tests/property/controller.h"

#include <algorithm>

#include "controller/base/context.h"
#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/decide/retention.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/oms/ha_config.h"
#include "reconcilers/oms/heartbeat.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/record/open_operation.h"
#include "reconcilers/steps/accept.h"
#include "reconcilers/steps/preflight.h"
#include "reconcilers/steps/restore.h"
#include "reconcilers/steps/table.h"

namespace oms::property {

using base::Code;
using decide::Decision;
using model::Direction;
using model::NameOf;
using model::PointKind;
using model::Step;
using model::TaskView;
using steps::At;
using steps::RestoreTask;
using steps::TaskName;
using Kind = Decision::Kind;
using std::chrono::seconds;

namespace {

const char* const kNode = "oms-1";
const char* const kNewConfig = "/data/config-new";

const std::string& NewConfigSum() {
  static const std::string kSum = base::Sha256Hex("new text");
  return kSum;
}

const product::PathSteps& PathTo(int version) {
  static const std::map<int, product::PathSteps> kPaths = [] {
    std::map<int, product::PathSteps> paths;
    for (const int to : {430, 431, 432}) {
      paths[to] = product::StepsForTarget(*crd::Version::Parse(VersionText(to)));
    }
    return paths;
  }();
  return kPaths.at(version);
}

// The record's and the row's words for the look of JudgeSteps at one node.
ports::ContainerInfo AsTheGuideAsks() {
  ports::ContainerInfo info;
  info.privileged = true;
  info.network_mode = "host";
  info.pids_limit = -1;
  info.nproc_soft = info.nproc_hard = 65535;
  info.mounts = {{"bind", "/data/conf/config.yaml", "/home/admin/conf/config.yaml", true},
                 {"bind", "/data/logs", "/home/admin/logs", true},
                 {"bind", "/data/store", "/home/ds/store", true},
                 {"bind", "/data/run", "/home/ds/run", true}};
  return info;
}

}  // namespace

// ------------------------------------------------------------------------------------------ writes

// One outward write. The process may die on either side of it.
template <typename F>
void Controller::Act(F act, bool to_engine) {
  const bool last = ++writes_ == death_.at_write;
  if (last && death_.side == Death::Side::kLate && to_engine) world_.late.emplace_back(act);
  if (last && death_.side != Death::Side::kAfter) throw Died{};
  act();
  if (last) throw Died{};
}

template <typename F>
void Controller::Save(F change) {
  Act([&] { change(*record_); });
}

void Controller::Pass(PointKind kind, std::optional<Step> step, int attempt) {
  const bool of_node = kind == PointKind::kNewStarting || kind == PointKind::kOldStarting ||
                       kind == PointKind::kScriptStarting;
  const model::Point point{kind, of_node ? kNode : "", step, attempt, world_.wall};
  Save([&](Record& record) {
    record.points.push_back(point);
    world_.PointPassed(record, point);
  });
}

// Unless a task of this name runs.
Controller::Task& Controller::Begin(Step step, const std::string& name) {
  Task& task = tasks_[name];
  if (task.act > 0 && task.view.state == TaskView::State::kRunning) return task;
  task = {};
  task.step = step;
  task.act = 1;
  task.view.started = world_.steady;
  world_.Say("  > task ", name);
  return task;
}

// ----------------------------------------------------------------------------------------- looking

ports::ContainerInfo Controller::InfoOf(const Container& container) const {
  static const ports::ContainerInfo kAsTheGuideAsks = AsTheGuideAsks();
  const bool looked_into =
      record_ == nullptr || !record_->open() || !record_->Passed(PointKind::kNewStarting);
  ports::ContainerInfo info;
  if (looked_into) info = kAsTheGuideAsks;
  if (looked_into && record_ != nullptr && container.operation == record_->id)
    info.mounts.front().source = kNewConfig;
  info.id = container.id;
  info.name = container.name;
  info.image_id = "oms:" + VersionText(container.version);
  info.status = container.status;
  info.running = container.running;
  info.started_at = container.started_at;
  info.restart_policy = container.policy;
  info.env = {"OMS_HOST_IP=10.0.0.1"};
  return info;
}

model::HealthFacts Controller::HealthOf(const Container& container) const {
  model::HealthFacts health;
  health.supervisor_answers = container.up >= 1;
  const bool well = world_.Well(container);
  health.programs = {{"oms_console", well ? "RUNNING" : "STARTING"}};
  health.host_online = health.heartbeat_fresh = well;
  return health;
}

void Controller::ObserveNode(model::NodeFacts& node, bool flaky) {
  const bool open = record_ != nullptr && record_->open();
  const bool back = open && record_->direction == Direction::kRollback;
  const auto passed = [&](PointKind kind) { return open && record_->Passed(kind); };
  node.name = kNode;
  node.engine = ports::EngineInfo{"engine", "20.10", "1.41"};
  Container* old = open ? world_.Find(record_->nodes.front().old_id) : world_.Current();
  Container* fresh = open ? world_.OfOperation(*record_) : nullptr;
  if (old == nullptr && back) {
    old = world_.Find(record_->nodes.front().old_name);
    if (old == fresh) old = nullptr;
    node.old_image_gone =
        old == nullptr && !world_.images.contains(record_->nodes.front().old_image);
  }
  if (flaky) {
    facts_.troubles.push_back({"EngineUnreachable", "no answer", true});
    node.old_image_gone = false;
  } else if (old != nullptr) {
    node.old_container = InfoOf(*old);
  } else if (!back && !passed(PointKind::kStopping)) {
    facts_.troubles.push_back({"ContainerNotFound", "it is gone"});
  }
  if (fresh != nullptr) node.new_container = InfoOf(*fresh);
  if (fresh == nullptr) {
    const std::string planned =
        open ? record_->nodes.front().new_name
             : "oms_" + std::to_string(VersionNumber(world_.resource.spec.version));
    const Container* holder = world_.Find(planned);
    node.planned_name_taken = holder != nullptr && holder != old;
    node.planned_name_runs = node.planned_name_taken && holder->running;
  }
  if (!passed(PointKind::kNewStarting) && !back) {
    const std::string& reference =
        open ? record_->image.reference : world_.resource.spec.image.reference;
    if (world_.images.contains(reference)) {
      node.target_image.emplace();
      node.target_image->id = reference;
      node.target_image->size = 1000;
      if (open) node.script_in_image = true;
    }
    node.config_sha256 = "config-sum";
    node.config.emplace();
    if (node.new_container) node.new_config_sha256 = NewConfigSum();
  }
  if (open && !back && fresh != nullptr && !record_->Seen(Step::kRunUpgradeScript)) {
    const int last =
        record_->LastAttempt(PointKind::kScriptStarting, kNode, Step::kRunUpgradeScript);
    if (last > 0) {
      using State = model::ScriptState::Kind;
      node.script.emplace();
      const auto found = world_.attempts.find(record_->id + "/" + std::to_string(last));
      if (found != world_.attempts.end()) {
        const Attempt& attempt = found->second;
        node.script->exit_code = attempt.exit_code.value_or(0);
        node.script->kind = attempt.claimed     ? State::kNeverRan
                            : attempt.exit_code ? State::kEnded
                            : !attempt.folder   ? State::kNoFolder
                            : attempt.running   ? State::kRunning
                                                : State::kUnknown;
      }
    }
  }
  const bool new_one = passed(PointKind::kNewStarting) && !back;
  const bool looked = back ? record_->Passed(PointKind::kOldStarting, kNode)
                           : !passed(PointKind::kStopping) || new_one;
  const Container* one = new_one ? fresh : old;
  if (looked && one != nullptr && one->running && (new_one || !flaky) &&
      !(open && record_->Seen(back ? Step::kAwaitOldHealth : Step::kAwaitHealth))) {
    node.health = HealthOf(*one);
  }
}

void Controller::ObserveMeta(bool flaky) {
  const bool open = record_ != nullptr && record_->open();
  const bool back = open && record_->direction == Direction::kRollback;
  model::MetaFacts meta;
  if (flaky) facts_.troubles.push_back({"MetaDBUnreachable", "no answer", true});
  if (!flaky) meta.ha_raw = world_.databases.ha;
  meta.hosts = {{"10.0.0.1", "ONLINE"}};
  meta.heartbeat_moves = heartbeat_moves_ ? std::optional(true) : std::nullopt;
  // Seen to move over two looks.
  if (const Container* current = world_.Current(); current != nullptr && current->running) {
    heartbeat_moves_ = true;
  }
  if (open && record_->Passed(PointKind::kStopping) &&
      (back || !record_->Passed(PointKind::kNewStarting))) {
    meta.sequence = world_.databases.sequence;
  }
  const bool partial_will_do = !back && !(open && record_->Passed(PointKind::kStopping));
  if (!flaky || partial_will_do) facts_.meta = std::move(meta);
}

void Controller::Observe() {
  const auto used = [](int& count) { return count > 0 && count-- > 0; };
  facts_ = {};
  facts_.now = world_.wall;
  facts_.steady_now = world_.steady;
  for (const auto& [name, task] : tasks_) facts_.tasks.emplace(name, task.view);
  ObserveNode(facts_.nodes.emplace_back(), used(world_.faults.engine_flaky));
  ObserveMeta(used(world_.faults.meta_flaky));
  facts_.volume = ports::VolumeInfo{"volume-1", 1ULL << 40};
  facts_.nodes.front().rehearsed_config = "new text";
  facts_.accept = world_.resource.accept;
}

decide::UserRequests Controller::UserRequestsNow() const {
  const Resource& resource = world_.resource;
  decide::UserRequests requests;
  requests.version = crd::Version::Parse(resource.spec.version);
  requests.deleting = resource.deleting;
  requests.approve = resource.approve;
  requests.resource = Mark();
  requests.window_open = resource.window_open;
  return requests;
}

// ----------------------------------------------------------------------------- no operation is
// open

Decision Controller::Closed() {
  Resource& resource = world_.resource;
  if (!world_.row_operation.empty() && record_ != nullptr && world_.row_operation == record_->id) {
    Act([&] { world_.row_operation.clear(); });
    return {Kind::kWait, Step::kPreflight, "RowCleared", "", base::Duration(0)};
  }
  Container* current = world_.Current();
  const auto running = crd::Version::Parse(VersionText(current->version));
  decide::IdleInput idle{*running};
  idle.now = world_.wall;
  idle.last = record_;
  Record* way_back = nullptr;
  if (const auto way = record_ == nullptr ? std::nullopt : record_->WayBack()) {
    for (auto& record : world_.records) {
      if (record.id == way->id && current->operation == record.id) way_back = &record;
    }
  }
  idle.way_back = way_back;
  if (auto latched = decide::Latched(idle, UserRequestsNow())) return *latched;
  steps::StepState preflight;
  if (!decide::WantsUndo(resource.spec, idle, UserRequestsNow()) &&
      decide::WantsUpgrade(UserRequestsNow(), *running)) {
    Observe();
    preflight = steps::PreflightState(resource.spec, *running,
                                      *crd::Version::Parse(resource.spec.version), facts_);
    idle.preflight = &preflight;
  }
  idle.plan_hash = "plan";
  Decision decision = decide::DecideWithoutOperation(resource.spec, idle, UserRequestsNow());
  if (decision.kind == Kind::kOpen) OpenUpgrade();
  if (decision.kind == Kind::kOpenUndo) OpenUndo(*way_back);
  if (decision.kind == Kind::kIdle) PruneBackups();
  return decision;
}

void Controller::OpenUpgrade() {
  const Container& old = *world_.Current();
  Record record;
  record.id = world_.NewId("operation-");
  record.folder = "/backups/" + record.id;
  record.volume = "volume-1";
  record.epoch = 1;
  record.from = *crd::Version::Parse(VersionText(old.version));
  record.to = *crd::Version::Parse(world_.resource.spec.version);
  record.image = world_.resource.spec.image;
  record.handled = Mark();
  record.started = world_.wall;
  if (record_ != nullptr) {
    record.follows = record_->id;
    record.previous = record_->WayBack();
    record.recent = decide::RecentOnly(record_->recent, world_.wall);
  }
  record.recent.push_back(record.started);
  model::FrozenNode node;
  node.name = kNode;
  node.old_id = old.id;
  node.old_name = old.name;
  node.old_started_at = old.started_at;
  node.old_image = "oms:" + VersionText(old.version);
  node.old_image_id = node.old_image;
  node.old_restart_policy = old.policy;
  node.new_name = "oms_" + std::to_string(VersionNumber(record.to.ToString()));
  node.config_source = "/data/conf/config.yaml";
  record.nodes = {node};
  record.databases = {
      {"rm", kDatabases[0], "s"}, {"cm", kDatabases[1], "s"}, {"cm_hb", kDatabases[2], "s"}};
  record.ha_raw = facts_.meta->ha_raw;
  if (record.ha_raw) record.ha_was_on = product::ReadHa(*record.ha_raw)->enabled;
  Act([&] { world_.records.push_back(record); });
  Act([&] {
    world_.row_record = static_cast<int>(world_.records.size()) - 1;
    world_.row_operation = record.id;
  });
  failures_ = {};
}

void Controller::OpenUndo(const Record& undone) {
  record::NewOperation operation;
  operation.id = world_.NewId("operation-");
  operation.now = world_.wall;
  operation.key = {"ns", "oms"};
  operation.epoch = 1;
  operation.resource = Mark();
  operation.follows = record_->id;
  operation.recent = decide::RecentOnly(record_->recent, world_.wall);
  const Record record = record::UndoRecord(undone, operation);
  Act([&] { world_.records.push_back(record); });
  Act([&] {
    world_.row_record = static_cast<int>(world_.records.size()) - 1;
    world_.row_operation = record.id;
  });
  failures_ = {};
}

// ------------------------------------------------------------------------------ an operation is
// open

model::ResourceMark Controller::Mark() const {
  return {world_.resource.uid, world_.resource.generation, world_.resource.reset};
}

Decision Controller::TakeEdit() {
  const bool token =
      !world_.resource.reset.empty() && record_->handled.reset_token != world_.resource.reset;
  if (token) {
    if (auto turn = decide::TurnOnToken(*record_, state_)) {
      Turn(turn->reason);
      return *turn;
    }
  }
  failures_ = {};
  if (const auto step = decide::StepAtHand(*record_, state_);
      step && At(state_, *step).verdict == steps::Verdict::kFailed) {
    std::erase_if(tasks_, [&](const auto& entry) {
      return entry.first.starts_with(NameOf(*step)) &&
             entry.second.view.state != TaskView::State::kRunning;
    });
  }
  Save(
      [&](Record& record) { decide::Forgive(state_, facts_, Mark(), token, world_.wall, record); });
  return {Kind::kWait, Step::kPreflight, "Edited", "", base::Duration(0)};
}

void Controller::Turn(const std::string& why) {
  tasks_.clear();
  Save([&](Record& record) {
    record.direction = Direction::kRollback;
    record.turns.push_back({Direction::kRollback, why, world_.wall});
    record.recent.push_back(world_.wall);
    record.failure.reset();
    record.handled = record.latched = Mark();
  });
  failures_ = {};
}

// Its record, then its row; nobody looks for its tasks any more.
template <typename F>
void Controller::End(F change) {
  Save([&](Record& record) {
    change(record);
    record.ended = world_.wall;
    world_.Count(record.undoes ? "undo closed " : "closed ", model::ToString(record.outcome));
  });
  Act([&] { world_.row_operation.clear(); });
  tasks_.clear();
}

// Once for each closed operation and each edit.
void Controller::PruneBackups() {
  const Resource& resource = world_.resource;
  if (record_ == nullptr || record_->open() || resource.spec.suspend ||
      resource.spec.mode == crd::Mode::kPlan) {
    return;
  }
  const std::string mark = record_->id + std::to_string(resource.generation);
  if (mark == pruned_for_) return;
  pruned_for_ = mark;
  std::vector<decide::OperationFolder> folders;
  for (const auto& record : world_.records) folders.push_back({record.folder, record});
  const decide::RetentionRule rule{
      {}, resource.spec.backup.retain, resource.spec.strategy.rollback_window};
  for (const auto& folder : decide::PrunableFolders(folders, *record_, rule, world_.wall).remove) {
    Act([&] {
      world_.Say("  * pruned: ", folder.path, ": ", folder.why);
      world_.Count("", "pruned");
      std::erase_if(world_.dumps,
                    [&](const auto& dump) { return dump.first.starts_with(folder.path + "/"); });
    });
  }
}

void Controller::CountFailures() {
  decide::RecallFailure(*record_, world_.steady, failures_, state_);
  const auto found = decide::CountFailure(*record_, state_, facts_, failures_);
  if (found && found->kept) Save([&](Record& record) { record.failure = found->failure; });
}

void Controller::RecordEvidence() {
  std::vector<Step> fresh;
  for (const auto& info : model::StepsOf(record_->direction)) {
    if (!At(state_, info.step).complete()) break;
    if (!record_->Seen(info.step)) fresh.push_back(info.step);
  }
  if (fresh.empty()) return;
  Save([&](Record& record) {
    for (const Step step : fresh) record.NoteSeen(step, world_.wall);
    if (record.failure && record.Seen(record.failure->step)) record.failure.reset();
    if (record.Seen(Step::kStopContainers) && !record.t1) record.t1 = world_.wall;
  });
}

Decision Controller::Open() {
  Observe();
  // It is never corrected in this world, so that of the record is the one that counts.
  crd::Spec spec = world_.resource.spec;
  spec.image = record_->image;
  state_ =
      steps::JudgeSteps({spec, PathTo(VersionNumber(record_->to.ToString())), *record_, facts_});
  if (record_->handled != Mark()) return TakeEdit();
  CountFailures();
  Decision decision = decide::Decide(world_.resource.spec, *record_, state_, facts_,
                                     UserRequestsNow(), failures_.count, 0.5);
  RecordEvidence();
  switch (decision.kind) {
    case Kind::kRun:
      passing_ = true;
      failures_.begun = decision.step;
      if (!Run(decision.step)) {
        const auto error = base::MakeError(passing_ ? Code::kTransient : Code::kTerminal,
                                           "PhaseFailed", "the model says so");
        const auto failure = decide::FailureOf(decision.step, error, world_.steady, failures_);
        Save([&](Record& record) { record.failure = failure; });
        decision = {Kind::kWait, decision.step, "PhaseFailed", "", base::Duration(0)};
      }
      break;
    case Kind::kTurn: Turn(decision.reason); break;
    case Kind::kCallOff:
      tasks_.clear();
      if (record_->Passed(PointKind::kHaDisabling)) {
        if (!PutHaBack()) break;
        if (CanSwitch() && !product::ReadHa(*facts_.meta->ha_raw)->enabled) break;
      }
      End([&](Record& record) {
        record.outcome = model::OperationOutcome::kCalledOff;
        record.outcome_reason = decision.reason;
        record.latched = Mark();
      });
      break;
    case Kind::kRestoreHa:
      PutHaBack();
      decision.wait = seconds(10);
      break;
    case Kind::kClose:
      End([&](Record& record) {
        const bool back = record.direction == Direction::kRollback;
        record.outcome =
            back ? model::OperationOutcome::kRolledBack : model::OperationOutcome::kSucceeded;
        record.outcome_reason = back && !record.turns.empty()
                                    ? record.turns.back().why
                                    : std::string(crd::reason::kSucceeded);
        if (!back) record.latched = Mark();
      });
      break;
    default: break;
  }
  return decision;
}

Decision Controller::Round(const Death& death) {
  death_ = death;
  writes_ = 0;
  Resource& resource = world_.resource;
  if (!resource.exists) return {};
  Faults& faults = world_.faults;
  if (faults.engine_silent > 0 || faults.meta_silent > 0) {
    if (faults.engine_silent > 0) --faults.engine_silent;
    if (faults.meta_silent > 0) --faults.meta_silent;
    return {Kind::kUnknown, Step::kPreflight, "Unreachable", "", seconds(10)};
  }
  record_ = world_.Record();
  const bool open = record_ != nullptr && record_->open();
  // How the MetaDB is reached is read from a container, or from what an open operation has kept.
  if (world_.Current() == nullptr && !(open && !record_->config_backups.empty())) {
    return {Kind::kStall, Step::kPreflight, "ContainerNotFound", "", seconds(10)};
  }
  if (open && resource.abandon == record_->id) {
    End([&](Record& record) {
      record.outcome = model::OperationOutcome::kAbandoned;
      record.latched = Mark();
      world_.abandoned = true;
    });
    return {Kind::kWait, Step::kPreflight, "Abandoned", "", base::Duration(0)};
  }
  // A restore that has begun to drop goes to its end in any case.
  const bool orphans = resource.spec.deletion_policy == crd::DeletionPolicy::kOrphan &&
                       !(open && record_->Passed(PointKind::kFirstDrop));
  if (resource.deleting && (!open || orphans)) {
    tasks_.clear();
    // The row is given free; what it names stays.
    if (!open) Act([&] { world_.row_operation.clear(); });
    Act([&] { resource.exists = resource.deleting = false; });
    return {Kind::kIdle, Step::kPreflight, "Gone", ""};
  }
  Decision decision = open ? Open() : Closed();
  if (decision.kind == Kind::kStall) world_.Count("stalled ", decision.reason);
  world_.Say("  = ",
             decision.kind == Kind::kStall  ? "stall "
             : decision.kind == Kind::kHold ? "hold "
             : decision.kind == Kind::kTurn ? "turn "
             : decision.kind == Kind::kRun  ? "run "
             : decision.kind == Kind::kWait ? "wait "
                                            : "",
             std::string(NameOf(decision.step)), " ", decision.reason, ": ", decision.message);
  return decision;
}

// --------------------------------------------------------------------------------------------
// steps

bool Controller::Run(Step step) {
  Record& record = *record_;
  switch (step) {
    case Step::kPreflight:
    case Step::kLoadAssistant:  // Of deployment.keepTasksRunning, as is the next one.
    case Step::kUpgradeComponents:
    case Step::kEditConfig:  // Of deployment.config: InPlace, as is the next one.
    case Step::kRestoreConfig: break;
    case Step::kLoadImage:
      if (const auto* view = View(TaskName(step, kNode));
          view != nullptr && view->state == TaskView::State::kSucceeded &&
          model::LoadedFor(record, record.nodes.front(), record.image) == nullptr) {
        Save([&](Record& next) {
          next.loaded_images[kNode] = {
              next.image.reference, next.image.archive, next.image.reference, {}};
        });
      } else {
        Begin(step, TaskName(step, kNode));
      }
      break;
    case Step::kSaveOldImage:
      if (const auto* view = View(TaskName(step, kNode));
          view != nullptr && view->state == TaskView::State::kSucceeded) {
        Save([&](Record& next) { next.image_backups[kNode] = {"images/oms-1.tar", "sum"}; });
      } else {
        Begin(step, TaskName(step, kNode));
      }
      break;
    case Step::kBackUpConfig:
      Save([&](Record& next) { next.config_backups[kNode] = {"config.yaml", "config-sum"}; });
      break;
    case Step::kRewriteConfig:
      Save([&](Record& next) { next.config_rewrites[kNode] = {kNewConfig, NewConfigSum()}; });
      break;
    case Step::kCreateContainers: {
      const model::FrozenNode& node = record.nodes.front();
      if (facts_.nodes.front().new_container) break;
      if (world_.Find(node.new_name) != nullptr) return false;
      if (!world_.images.contains(node.old_image)) return passing_ = false;
      if (node.target_image_id.empty() && facts_.nodes.front().target_image) {
        Save([&](Record& next) {
          next.nodes.front().target_image_id = facts_.nodes.front().target_image->id;
        });
      }
      Container fresh;
      fresh.id = world_.NewId("new-");
      fresh.name = node.new_name;
      fresh.operation = record.id;
      fresh.version = VersionNumber(record.to.ToString());
      Act([this, fresh] { world_.containers.push_back(fresh); });
      break;
    }
    case Step::kDisableHa: DisableHa(); break;
    case Step::kStopContainers: return StopContainers();
    case Step::kCompactHeartbeat: CompactHeartbeat(); break;
    case Step::kBackUpDatabases: BackUp(); break;
    case Step::kStartContainers: return StartContainers();
    case Step::kCorrectSchema:  // Of a start below 4.0.1, which this world has none of.
    case Step::kInitializeMetadata: return passing_ = false;
    case Step::kRunUpgradeScript: return RunScript();
    case Step::kAwaitHealth:
    case Step::kAwaitOldHealth: {
      const auto& info = step == Step::kAwaitHealth ? facts_.nodes.front().new_container
                                                    : facts_.nodes.front().old_container;
      if (!info) break;
      Act([&] {
        if (Container* c = world_.Find(info->id))
          c->policy = record.nodes.front().old_restart_policy;
      });
      Save([&](Record& next) {
        next.NoteSeen(step, world_.wall);
        if (!next.ha_was_on) next.t2 = world_.wall;
      });
      break;
    }
    case Step::kEnableHa: SwitchOn(step); break;
    case Step::kVerifyBackups: Begin(step, TaskName(step, "")); break;
    case Step::kSwitchHaOff:
      if (!CanSwitch()) break;
      if (!record.Passed(PointKind::kHaDisabling)) {
        const bool on = product::ReadHa(*facts_.meta->ha_raw)->enabled;
        if (on != record.ha_was_on) Save([&](Record& next) { next.ha_was_on = on; });
        if (!on) break;
      }
      DisableHa();
      break;
    case Step::kStopNewContainers: StopNewContainers(); break;
    case Step::kCompareDatabases: {
      const std::string name = TaskName(step, "");
      if (const auto* view = View(name);
          view != nullptr && view->state == TaskView::State::kSucceeded) {
        std::vector<std::string> differing;
        for (size_t i = 0; i < kDatabases.size(); ++i) {
          if (view->output[i] == '!') differing.emplace_back(kDatabases[i]);
        }
        Save([&](Record& next) { next.differing = differing; });
      } else {
        Begin(step, name);
      }
      break;
    }
    case Step::kSaveUpgradedState: SaveUpgradedState(); break;
    case Step::kRestoreDatabases: RestoreDatabases(); break;
    case Step::kSettleDatabases:
      if (!record.Passed(PointKind::kNewStarting)) {
        const auto& tables = facts_.meta->sequence;
        if (!tables.base.exists || tables.bak.exists || tables.bak2.exists) CompactHeartbeat();
      }
      Save([&](Record& next) { next.NoteSeen(step, world_.wall); });
      break;
    case Step::kStartOldContainers: StartOldContainers(); break;
    case Step::kRestoreHa:
      if (record.Passed(PointKind::kStopping)) {
        SwitchOn(step);
      } else if (PutHaBack()) {
        HaIsBack(step);
      } else {
        return false;
      }
      break;
  }
  return true;
}

// A compare-and-set on the text that was read.
bool Controller::SwapHa(const std::string& desired) {
  const std::string current = *facts_.meta->ha_raw;
  if (current == desired) return true;
  Act([&] {
    if (world_.databases.ha == current) world_.databases.ha = desired;
  });
  return true;
}

bool Controller::PutHaBack() {
  if (!record_->ha_raw || !record_->Passed(PointKind::kHaDisabling)) return true;
  if (!CanSwitch()) return facts_.meta && facts_.troubles.empty();
  const std::string& current = *facts_.meta->ha_raw;
  const auto ha = product::ReadHa(current);
  if (ha->enabled) return true;
  if (current == *product::DisableHa(*record_->ha_raw)) return SwapHa(*record_->ha_raw);
  return SwapHa(*product::EnableHa(
      current, product::HaPolicy{.perceive = ha->perceive, .refetch_at_least = {}}));
}

void Controller::HaIsBack(Step step) {
  Save([&](Record& record) {
    if (record.Passed(PointKind::kStopping)) record.t2 = world_.wall;
    record.NoteSeen(step, world_.wall);
  });
}

void Controller::SwitchOn(Step step) {
  if (!CanSwitch()) return;
  const auto ha = product::ReadHa(*facts_.meta->ha_raw);
  if (ha->enabled && ha->perceive) return HaIsBack(step);
  SwapHa(*product::EnableHa(*facts_.meta->ha_raw, product::HaPolicy{}));
}

void Controller::DisableHa() {
  if (!facts_.meta) return;
  const std::optional<std::string> raw = facts_.meta->ha_raw;
  const bool on = raw && product::ReadHa(*raw)->enabled;
  if (!on && !record_->Passed(PointKind::kHaDisabling)) {
    return Save([&](Record& record) {
      record.ha_raw = raw;
      record.ha_was_on = false;
    });
  }
  if (!raw) return;
  const model::Point point{PointKind::kHaDisabling, "", std::nullopt,
                           record_->LastAttempt(PointKind::kHaDisabling) + 1, world_.wall};
  Save([&](Record& record) {
    if (on && record.direction == Direction::kUpgrade && !record.Passed(PointKind::kStopping)) {
      record.ha_raw = raw;
      record.ha_was_on = true;
    }
    record.points.push_back(point);
    world_.PointPassed(record, point);
  });
  SwapHa(*product::DisableHa(*raw));
}

bool Controller::StopContainers() {
  const Container* old = world_.Find(record_->nodes.front().old_id);
  if (old == nullptr) return passing_ = false;
  if (record_->Passed(PointKind::kStopping)) {
    if (old->started_at != record_->nodes.front().old_started_at) return passing_ = false;
  } else {
    Save([&](Record& record) {
      record.nodes.front().old_started_at = old->started_at;
      record.points.push_back({PointKind::kStopping, "", std::nullopt, 0, world_.wall});
      world_.PointPassed(record, record.points.back());
    });
  }
  Begin(Step::kStopContainers, TaskName(Step::kStopContainers, kNode)).old = old->id;
  return true;
}

void Controller::CompactHeartbeat() {
  for (int acts = 0; acts < 12; ++acts) {
    const auto act = product::NextCompactionAct(world_.databases.sequence);
    if (act == ports::CompactionAct::kNone) return;
    Act([&] { world_.Compact(act); });
  }
}

void Controller::BackUp() {
  const std::string name = TaskName(Step::kBackUpDatabases, "");
  const int last = record_->Progress(Step::kBackUpDatabases).begun;
  const auto folder = [](int n) { return "dump/" + std::to_string(n); };
  const auto* view = View(name);
  if (view != nullptr && view->state == TaskView::State::kSucceeded && last > 0 &&
      !(record_->backup && record_->backup->folder == folder(last))) {
    const Dump& dump = world_.dumps.at(record_->folder + "/" + folder(last));
    model::BackupRef backup;
    backup.folder = folder(last);
    backup.container_id = dump.container_id;
    backup.started_at = dump.started_at;
    backup.heartbeat_max = dump.heartbeat_max;
    backup.completed = world_.wall;
    Save([&](Record& record) { record.backup = backup; });
    return;
  }
  Save([&](Record& record) { record.steps[Step::kBackUpDatabases].begun = last + 1; });
  Task& task = Begin(Step::kBackUpDatabases, name);
  task.folder = record_->folder + "/" + folder(last + 1);
  task.old = record_->nodes.front().old_id;
  const auto& old = facts_.nodes.front().old_container;
  task.fresh = old ? old->started_at : record_->nodes.front().old_started_at;
  task.heartbeat = facts_.meta->sequence.base.max_id;
}

bool Controller::StartContainers() {
  const auto& fresh = facts_.nodes.front().new_container;
  if (!fresh || fresh->running) return true;
  if (!record_->Passed(PointKind::kNewStarting, kNode)) {
    const Container* old = world_.Find(record_->nodes.front().old_id);
    if (old == nullptr) return passing_ = false;
    if (old->running) return false;
    Pass(PointKind::kNewStarting, std::nullopt, 1);
  }
  const bool late = death_.side == Death::Side::kLate;
  Act([this, late, id = fresh->id] { world_.Start(id, late); }, true);
  return true;
}

bool Controller::RunScript() {
  const auto& fresh = facts_.nodes.front().new_container;
  if (!fresh) return true;
  const Step step = Step::kRunUpgradeScript;
  const int last = record_->LastAttempt(PointKind::kScriptStarting, kNode, step);
  const auto key = [&](int n) { return record_->id + "/" + std::to_string(n); };
  if (last > 0) {
    if (!fresh->running) return false;
    bool won = false;
    Act([&] {
      Attempt& attempt = world_.attempts[key(last)];
      if (!attempt.folder) attempt.claimed = true;
      won = attempt.claimed;
    });
    if (!won) return true;
  }
  Pass(PointKind::kScriptStarting, step, last + 1);
  Task& task = Begin(Step::kRunUpgradeScript, TaskName(Step::kRunUpgradeScript, kNode));
  task.folder = key(last + 1);
  task.fresh = fresh->id;
  return true;
}

void Controller::StopNewContainers() {
  if (record_->Passed(PointKind::kNewStarting) && !record_->Passed(PointKind::kRollbackStopping)) {
    Save([&](Record& record) {
      record.points.push_back({PointKind::kRollbackStopping, "", std::nullopt, 0, world_.wall});
      world_.PointPassed(record, record.points.back());
    });
  }
  const auto& node = facts_.nodes.front();
  const bool stop_old = node.old_container && node.old_container->running &&
                        !record_->Passed(PointKind::kOldStarting, kNode) &&
                        record_->Passed(PointKind::kStopping);
  if (!stop_old && !node.new_container) return;
  Task& task = Begin(Step::kStopNewContainers, TaskName(Step::kStopNewContainers, kNode));
  if (task.act > 1) return;  // It runs already.
  task.old = stop_old ? node.old_container->id : std::string();
  task.fresh = node.new_container ? node.new_container->id : std::string();
}

void Controller::SaveUpgradedState() {
  if (!record_->differing) return;
  const std::string name = TaskName(Step::kSaveUpgradedState, "");
  const int last = record_->Progress(Step::kSaveUpgradedState).begun;
  const auto* view = View(name);
  if (view != nullptr && view->state == TaskView::State::kSucceeded && last > 0) {
    Save([&](Record& record) {
      record.upgraded_state = model::SavedState{steps::UpgradedFolder(last), true, {}};
    });
    return;
  }
  if (steps::SavesTried(*record_) >= steps::kMaxSaves &&
      (view == nullptr || view->state == TaskView::State::kFailed)) {
    const bool used = record_->Seen(Step::kAwaitHealth);
    if (!used || facts_.accept == steps::AcceptToken(*record_, "UpgradedStateUnsaved")) {
      Save([&](Record& record) {
        record.upgraded_state = model::SavedState{steps::UpgradedFolder(last), false, "no"};
      });
      return;
    }
  }
  Save([&](Record& record) { record.steps[Step::kSaveUpgradedState].begun = last + 1; });
  Task& task = Begin(Step::kSaveUpgradedState, name);
  task.folder = record_->folder + "/" + steps::UpgradedFolder(last + 1);
  task.heartbeat = facts_.meta->sequence.base.max_id;
}

void Controller::RestoreDatabases() {
  if (!record_->differing || !record_->backup) return;
  if (!record_->Passed(PointKind::kFirstDrop)) {
    const auto* verified = View(RestoreTask(""));
    if (verified == nullptr || verified->state != TaskView::State::kSucceeded ||
        facts_.steady_now - verified->ended > std::chrono::minutes(5)) {
      Begin(Step::kVerifyBackups, RestoreTask(""));
      return;
    }
    Pass(PointKind::kFirstDrop);
  }
  const auto conclude = [&](const std::string& database, const std::string& difference) {
    Save([&](Record& record) {
      auto& restore = record.restores[database];
      restore.difference = difference;
      if (difference.empty()) {
        restore.restored = world_.wall;
      } else {
        ++restore.differed;
      }
      restore.concluded = restore.begun;
    });
  };
  const std::vector<std::string> differing = *record_->differing;
  for (size_t i = 0; i < kDatabases.size(); ++i) {
    const std::string database = kDatabases[i];
    if (std::find(differing.begin(), differing.end(), database) == differing.end()) continue;
    if (record_->Restore(database).restored) continue;
    const std::string name = RestoreTask(database);
    const auto* view = View(name);
    if (view != nullptr && view->state == TaskView::State::kRunning) continue;
    if (view != nullptr && view->state == TaskView::State::kSucceeded &&
        record_->Restore(database).concluded < record_->Restore(database).begun) {
      conclude(database, view->output);
      if (view->output.empty()) continue;
    }
    if (record_->Restore(database).differed >= steps::kMaxLoads) {
      if (facts_.accept == steps::AcceptDifference(*record_, database)) {
        world_.accepted = true;
        conclude(database, "");
      }
      continue;
    }
    Save([&](Record& record) { ++record.restores[database].begun; });
    Begin(Step::kRestoreDatabases, name).database = static_cast<int>(i);
  }
}

void Controller::StartOldContainers() {
  const auto& facts = facts_.nodes.front();
  const model::FrozenNode& node = record_->nodes.front();
  if (facts.new_container) return;
  if (!facts.old_container) {
    if (facts.old_image_gone) {
      Begin(Step::kStartOldContainers, TaskName(Step::kStartOldContainers, kNode));
      return;
    }
    if (world_.Find(node.old_name) != nullptr) return;  // Somebody was faster.
    Container again;
    again.id = world_.NewId("again-");
    again.name = node.old_name;
    again.version = VersionNumber(record_->from.ToString());
    for (const auto& earlier : world_.records) {
      if (earlier.outcome == model::OperationOutcome::kSucceeded && earlier.to == record_->from)
        again.operation = earlier.id;  // Its labels are part of its settings.
    }
    again.policy = node.old_restart_policy;
    Act([this, again] { world_.containers.push_back(again); });
    return;
  }
  if (!record_->Passed(PointKind::kOldStarting, kNode)) {
    Save([&](Record& record) {
      record.nodes.front().old_started_at = facts.old_container->started_at;
      record.points.push_back({PointKind::kOldStarting, kNode, std::nullopt, 1, world_.wall});
      world_.PointPassed(record, record.points.back());
    });
  }
  const bool late = death_.side == Death::Side::kLate;
  Act([this, late, id = facts.old_container->id] { world_.Start(id, late); }, true);
}

// --------------------------------------------------------------------------------------------
// tasks

void Controller::Succeed(Task& task, std::string output) {
  task.view.state = TaskView::State::kSucceeded;
  task.view.output = std::move(output);
  task.view.ended = world_.steady;
}

void Controller::Fail(Task& task, Code code, std::string reason) {
  task.view.state = TaskView::State::kFailed;
  task.view.error = base::MakeError(code, std::move(reason), "the model says so");
  task.view.ended = world_.steady;
}

bool Controller::Spoiled(int& count, Task& task, const char* reason) {
  if (count <= 0) return false;
  --count;
  Fail(task, world_.faults.terminal ? Code::kTerminal : Code::kTransient, reason);
  return true;
}

void Controller::TickTasks(int only) {
  record_ = world_.Record();
  int n = 0;
  for (auto& [name, task] : tasks_) {
    if (task.view.state != TaskView::State::kRunning) continue;
    if (only >= 0 && n++ != only) continue;
    Go(task);
    if (task.view.state == TaskView::State::kFailed)
      world_.Say("  < task ", name, " failed: ", task.view.error.reason);
  }
}

// A dump of what lies there while it stands still; `heartbeat` is the id that was seen before.
void Controller::DumpOn(Task& task, bool upgraded) {
  if (world_.databases.sequence.base.max_id != task.heartbeat)
    return Fail(task, Code::kTransient, "Disturbed");
  if (task.act == 1) {
    task.seen = world_.databases;
    ++task.act;
    return;
  }
  if (Spoiled(world_.faults.dump_fails, task, "DumpFailed")) return;
  Dump dump;
  dump.data = task.seen;
  dump.container_id = task.old;
  dump.started_at = task.fresh;
  dump.heartbeat_max = task.heartbeat;
  dump.upgraded = upgraded;
  world_.dumps[task.folder] = dump;
  Succeed(task);
}

void Controller::VerifyOn(Task& task) {
  Dump* dump = world_.BackupOf(*record_);
  if (dump == nullptr || !dump->Whole())
    return Fail(task, Code::kTerminal, crd::reason::kBackupCorrupt);
  dump->verified_by = record_->id;
  Succeed(task);
}

void Controller::RestoreOn(Task& task) {
  Dump* dump = world_.BackupOf(*record_);
  const auto i = static_cast<size_t>(task.database);
  switch (task.act++) {
    case 1:
      if (dump == nullptr || dump->damaged[i])
        return Fail(task, Code::kTerminal, crd::reason::kBackupCorrupt);
      dump->part_verified[i] = world_.steady;
      break;
    case 2: world_.Drop(*record_, i); break;
    case 3: world_.databases.of[i] = {kHalf, 0}; break;
    case 4:
      if (Spoiled(world_.faults.load_fails, task, "LoadFailed")) return;
      world_.databases.of[i] = dump->data.of[i];
      if (i == kRm) world_.databases.ha = dump->data.ha;
      if (i == kHeartbeat) world_.databases.sequence = dump->data.sequence;
      if (world_.faults.load_spoils > 0) {
        --world_.faults.load_spoils;
        world_.databases.of[i].rows += 1000;
      }
      break;
    default: Succeed(task, world_.databases.Same(dump->data, i) ? "" : "rows differ");
  }
}

// Acts first and first + 1: the policy, and the stop; then it waits. The act after it is first + 3.
void Controller::StopOn(Task& task, const std::string& id, int first) {
  Container* container = world_.Find(id);
  if (container == nullptr) {
    if (task.act > first) {
      task.act = first + 3;
      return;
    }
    return Fail(task, Code::kNotFound, "");
  }
  if (task.act == first) {
    container->policy = "no";
    ++task.act;
  } else if (task.act == first + 1) {
    world_.StopContainer(id);
    task.run = container->started_at;
    ++task.act;
  } else if (!container->running || container->started_at != task.run) {
    task.act = first + 3;
  }
}

void Controller::Go(Task& task) {
  if (record_ == nullptr) return;
  const bool meta = task.step == Step::kBackUpDatabases || task.step == Step::kCompareDatabases ||
                    task.step == Step::kSaveUpgradedState || task.step == Step::kRestoreDatabases;
  const bool engine = !meta && task.step != Step::kVerifyBackups;
  if (meta && world_.faults.meta_silent > 0)
    return Fail(task, Code::kTransient, "MetaDBUnreachable");
  if (engine && world_.faults.engine_silent > 0)
    return Fail(task, Code::kTransient, "EngineUnreachable");
  switch (task.step) {
    case Step::kLoadImage:
      if (Spoiled(world_.faults.image_fails, task, "ImageLoadFailed")) return;
      world_.images.insert(record_->image.reference);
      return Succeed(task);
    case Step::kSaveOldImage: return Succeed(task, "sum");
    case Step::kStopContainers:
      StopOn(task, task.old, 1);
      if (task.act == 4) Succeed(task);
      return;
    case Step::kBackUpDatabases: return DumpOn(task, false);
    case Step::kSaveUpgradedState: return DumpOn(task, true);
    case Step::kRunUpgradeScript: {
      const Container* container = world_.Find(task.fresh);
      if (container == nullptr || !container->running) return Fail(task, Code::kConflict, "");
      if (task.act == 1) {
        Attempt& attempt = world_.attempts[task.folder];
        if (attempt.claimed) return Succeed(task);
        attempt.container = task.fresh;
        attempt.from = VersionNumber(record_->from.ToString());
        attempt.to = VersionNumber(record_->to.ToString());
        ++task.act;
        return;
      }
      const Attempt& attempt = world_.attempts[task.folder];
      if (attempt.claimed || (attempt.folder && !attempt.running)) Succeed(task);
      return;
    }
    case Step::kVerifyBackups: return VerifyOn(task);
    case Step::kStopNewContainers:
      if (task.act < 4 && !task.fresh.empty()) {
        StopOn(task, task.fresh, 1);
        return;
      }
      if (task.act < 5) {
        if (!task.fresh.empty() && !world_.Remove(task.fresh))
          return Fail(task, Code::kConflict, "ItRuns");
        task.act = 5;
        return;
      }
      if (task.act < 8 && !task.old.empty()) return StopOn(task, task.old, 5);
      return Succeed(task);
    case Step::kCompareDatabases: {
      const Dump* dump = world_.BackupOf(*record_);
      if (dump == nullptr) return Fail(task, Code::kTerminal, crd::reason::kBackupCorrupt);
      std::string output;
      for (size_t i = 0; i < kDatabases.size(); ++i)
        output += world_.databases.Same(dump->data, i) ? '.' : '!';
      return Succeed(task, output);
    }
    case Step::kRestoreDatabases: return RestoreOn(task);
    case Step::kStartOldContainers:
      world_.images.insert(record_->nodes.front().old_image);
      return Succeed(task);
    default: return Succeed(task);
  }
}

}  // namespace oms::property
