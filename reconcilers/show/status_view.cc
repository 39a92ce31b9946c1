#include "reconcilers/show/status_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "crd/reasons.h"
#include "reconcilers/model/labels.h"
#include "reconcilers/show/status_steps.h"

namespace oms::show {
namespace {

using Kind = decide::Decision::Kind;

// Where a folder of the operation lies; an undo names those of the operation before.
std::string PlaceOf(const model::OperationRecord& record, const std::string& folder) {
  return folder.starts_with('/') ? folder : record.folder + "/" + folder;
}

// From the stop to the end; of an undo, from the stop of the new container on. While it lasts, in
// steps that grow with it, so that it does not make a write of each look.
std::optional<base::Duration> DowntimeOf(const model::OperationRecord& record, base::WallTime now) {
  const auto begin = record.t1 ? record.t1 : record.t3;
  if (!begin || (!record.t2 && !record.open())) return std::nullopt;
  const auto down = std::chrono::duration_cast<base::Duration>(record.t2.value_or(now) - *begin);
  if (down < base::Duration(0)) return base::Duration(0);  // A clock was set.
  if (record.t2) return down;
  const base::Duration step =
      down < std::chrono::minutes(2) ? std::chrono::seconds(10) : std::chrono::seconds(60);
  return down - down % step;
}

// An upgrade that failed, and was rolled back for that, is told from one that a person took back.
crd::HistoryOutcome OutcomeOf(const model::OperationRecord& record) {
  switch (record.outcome) {
    case model::OperationOutcome::kAbandoned: return crd::HistoryOutcome::kAbandoned;
    case model::OperationOutcome::kCalledOff: return crd::HistoryOutcome::kSuperseded;
    case model::OperationOutcome::kRolledBack:
      if (record.outcome_reason == crd::reason::kSuperseded)
        return crd::HistoryOutcome::kSuperseded;
      return record.outcome_reason == crd::reason::kFailurePolicy
                 ? crd::HistoryOutcome::kFailed
                 : crd::HistoryOutcome::kRolledBack;
    case model::OperationOutcome::kOpen:
    case model::OperationOutcome::kSucceeded: break;
  }
  return crd::HistoryOutcome::kSucceeded;
}

class View {
 public:
  View(crd::Status status, const ViewInput& in)
      : in_(in), status_(std::move(status)), stamp_{in.resource.meta.generation, in.now} {}

  crd::Status Build();

 private:
  void Operation();
  void Backups();
  void Nodes();
  void History();
  void Pruned();
  void Progress();
  void FollowUps();
  void PlanOf();
  void Tokens();
  void Summary();

  const ViewInput& in_;
  crd::Status status_;
  crd::Stamp stamp_;
};

void View::Operation() {
  if (in_.record == nullptr) return;
  const model::OperationRecord& record = *in_.record;
  crd::OperationStatus shown;
  shown.id = record.id;
  shown.folder = record.folder;
  shown.direction = record.direction == model::Direction::kUpgrade ? crd::Direction::kUpgrade
                                                                   : crd::Direction::kRollback;
  shown.from = record.from.ToString();
  shown.to = record.to.ToString();
  if (!record.nodes.empty()) {
    shown.from_image_id = record.LeadNode().old_image_id;
    shown.to_image_id = record.LeadNode().target_image_id;
    const model::NodeFacts* lead =
        in_.facts != nullptr ? in_.facts->Node(record.LeadNode().name) : nullptr;
    if (lead != nullptr && lead->target_image) shown.to_image_id = lead->target_image->id;
  }
  // The new container tells it too, when the image was loaded before the status was erased.
  if (shown.to_image_id.empty() && !in_.site.nodes.empty()) {
    for (const auto& container : in_.site.nodes.front().labelled) {
      const auto operation = container.labels.find(model::labels::kOperation);
      if (operation != container.labels.end() && operation->second == record.id)
        shown.to_image_id = container.image_id;
    }
  }
  if (shown.to_image_id.empty() && status_.operation && status_.operation->id == record.id) {
    shown.to_image_id = status_.operation->to_image_id;
  }
  shown.started_at = record.started;
  shown.t1 = record.t1;
  shown.t2 = record.t2;
  shown.t3 = record.t3;
  if (record.undoes) shown.undoes = record.undoes->id;
  shown.downtime = DowntimeOf(record, in_.now);
  shown.failures = record.failure ? record.failure->count : 0;
  shown.plan_hash = record.plan_hash;
  shown.point_of_no_return =
      record.Passed(model::PointKind::kRollbackStopping) ? crd::PointOfNoReturn::kRollbackStopping
      : record.Passed(model::PointKind::kNewStarting)    ? crd::PointOfNoReturn::kNewStarting
      : record.Passed(model::PointKind::kStopping)       ? crd::PointOfNoReturn::kStopping
                                                         : crd::PointOfNoReturn::kNone;
  for (const auto& point : record.points) {
    std::string text(model::ToString(point.kind));
    if (!point.node.empty())
      text += "(" + point.node +
              (point.step ? ", " + std::string(model::NameOf(*point.step)) : "") +
              fmt::format(", {})", point.attempt);
    shown.points.push_back(std::move(text));
  }
  status_.downtime = shown.downtime;
  status_.direction = record.open() ? shown.direction : crd::Direction::kNone;
  status_.operation = std::move(shown);
}

void View::Backups() {
  if (in_.record == nullptr || !in_.record->backup) return;
  const model::BackupRef& backup = *in_.record->backup;
  status_.backups.clear();
  for (const auto& part : backup.databases) {
    crd::BackupStatus shown;
    shown.name = fmt::format("{}/{}", backup.folder, part.name);
    // An undo restores what another one has backed up.
    const bool of_another = in_.record->undoes && backup.folder.starts_with('/');
    shown.operation = of_another ? in_.record->undoes->id : in_.record->id;
    shown.database = part.name;
    shown.place = PlaceOf(*in_.record, backup.folder);
    shown.size = static_cast<int64_t>(part.bytes);
    shown.sha256 = part.sha256;
    shown.complete = true;
    shown.created_at = backup.completed;
    shown.verified_at = backup.completed;
    status_.backups.push_back(std::move(shown));
  }
}

void View::Nodes() {
  if (in_.site.nodes.empty()) return;
  status_.nodes.clear();
  for (const auto& node : in_.site.nodes) {
    const ports::ContainerInfo* current = node.Current();
    if (current == nullptr) continue;
    crd::NodeStatus shown;
    shown.name = node.name;
    shown.container = current->name;
    shown.container_id = current->id;
    shown.image = current->image;
    shown.image_id = current->image_id;
    if (const model::UpgradedComponent* component = observe::UpgradedInPlace(in_.site, node)) {
      shown.version = component->version.ToString();
    } else if (const auto version = observe::RunningVersion(in_.resource.spec, *current);
               version.ok()) {
      shown.version = version->ToString();
    }
    shown.state = current->status;
    shown.engine_id = node.info.id;
    status_.nodes.push_back(std::move(shown));
  }
  if (in_.site.running) status_.current_version = in_.site.running->ToString();
}

void View::Pruned() {
  for (auto& entry : status_.history) {
    std::erase_if(entry.backups, [&](const std::string& place) {
      return std::any_of(in_.pruned.begin(), in_.pruned.end(), [&](const std::string& folder) {
        return place.starts_with(folder + "/");
      });
    });
  }
}

void View::History() {
  if (in_.record == nullptr || in_.record->open()) return;
  const model::OperationRecord& record = *in_.record;
  crd::HistoryEntry entry;
  entry.id = record.id;
  entry.from = record.from.ToString();
  entry.to = record.to.ToString();
  entry.outcome = OutcomeOf(record);
  entry.started_at = record.started;
  entry.finished_at = record.ended;
  entry.downtime = DowntimeOf(record, in_.now);
  if (record.backup) entry.backups.push_back(PlaceOf(record, record.backup->folder));
  if (record.upgraded_state) {
    entry.backups.push_back(PlaceOf(record, record.upgraded_state->folder));
  }
  entry.reason = record.outcome_reason;
  auto& history = status_.history;
  history.erase(std::remove_if(history.begin(), history.end(),
                               [&](const auto& old) { return old.id == entry.id; }),
                history.end());
  history.insert(history.begin(), std::move(entry));
  const auto limit = static_cast<size_t>(std::max(1, in_.resource.spec.history_limit));
  if (history.size() > limit) history.resize(limit);
}

void View::Progress() {
  if (in_.record == nullptr || !in_.record->open()) {
    if (in_.record != nullptr && in_.preflight == nullptr &&
        in_.record->outcome == model::OperationOutcome::kSucceeded) {
      status_.progress =
          crd::Progress{fmt::format("{0}/{0} 100%", crd::UpgradeSteps().size()), 100, std::nullopt};
    } else {
      status_.progress.reset();
    }
    return;
  }
  if (in_.state == nullptr) return;
  const auto count = static_cast<int>(status_.phases.size());
  int complete = 0;
  double fraction = 0;
  for (const auto& phase : status_.phases) {
    if (phase.state == crd::PhaseState::kDone || phase.state == crd::PhaseState::kSkipped)
      ++complete;
    if (phase.state == crd::PhaseState::kRunning && phase.bytes_total > 0) {
      fraction = std::min(
          1.0, static_cast<double>(phase.bytes_done) / static_cast<double>(phase.bytes_total));
    }
  }
  crd::Progress progress;
  progress.percent = count == 0 ? 0 : static_cast<int>((complete + fraction) * 100 / count);
  progress.summary = fmt::format("{}/{} {}%", complete, count, progress.percent);
  if (in_.facts != nullptr) {
    for (const auto& [name, task] : in_.facts->tasks) {
      if (task.state != model::TaskView::State::kRunning || task.done == 0 ||
          task.total <= task.done)
        continue;
      const auto elapsed =
          std::chrono::duration_cast<std::chrono::seconds>(in_.steady_now - task.started).count();
      progress.eta_seconds = static_cast<int64_t>(static_cast<double>(elapsed) *
                                                  static_cast<double>(task.total - task.done) /
                                                  static_cast<double>(task.done));
    }
  }
  status_.progress = progress;
}

void View::FollowUps() {
  status_.follow_ups.clear();
  if (in_.record == nullptr || in_.preflight != nullptr) return;
  if (in_.record->open()) {
    const auto level = DowntimeLevelOf(in_.resource.spec, *in_.record, in_.now);
    if (level != DowntimeLevel::kWell)
      status_.follow_ups.push_back(DowntimeText(in_.resource.spec, level));
    return;
  }
  for (auto& left : FollowUpsOf(*in_.record)) status_.follow_ups.push_back(std::move(left.text));
}

// Only of what is wanted and not begun; afterwards the phases tell more.
void View::PlanOf() {
  status_.plan.reset();
  if (in_.plan != nullptr) status_.plan = in_.plan->ToStatus();
}

// What this pass has looked at; a person sees that a token was taken.
void View::Tokens() {
  const auto take = [&](const char* name, std::string& into) {
    const auto found = in_.resource.meta.annotations.find(name);
    if (found != in_.resource.meta.annotations.end()) into = found->second;
  };
  take(crd::kRequestedAt, status_.last_handled.requested_at);
  take(crd::kTakeOver, status_.last_handled.take_over);
  const bool open = in_.record != nullptr && in_.record->open();
  // With an operation open it is taken once the record says so.
  if (!open) {
    take(crd::kResetAt, status_.last_handled.reset_at);
  } else if (!in_.record->handled.reset_token.empty()) {
    status_.last_handled.reset_at = in_.record->handled.reset_token;
  }
  if (in_.record != nullptr && in_.record->outcome == model::OperationOutcome::kAbandoned)
    status_.last_handled.abandon = in_.record->id;
  // Named plans and differences are handled only once they let something go on.
  if (open) take(crd::kApprove, status_.last_handled.approve);
  if (open && in_.decision.kind != Kind::kStall) take(crd::kAccept, status_.last_handled.accept);
}

void View::Summary() {
  crd::Verdict verdict;
  verdict.reason = in_.decision.reason;
  verdict.message = in_.decision.message;
  switch (in_.decision.kind) {
    case Kind::kIdle: verdict.standing = crd::Standing::kCurrent; break;
    case Kind::kHold: verdict.standing = crd::Standing::kHeld; break;
    case Kind::kStall: verdict.standing = crd::Standing::kFailed; break;
    case Kind::kUnknown: verdict.standing = crd::Standing::kUnknown; break;
    case Kind::kOpen:
    case Kind::kOpenUndo:
    case Kind::kClose:
    case Kind::kRun:
    case Kind::kWait:
    case Kind::kTurn:
    case Kind::kCallOff:
    case Kind::kRestoreHa: verdict.standing = crd::Standing::kInProgress; break;
  }
  const bool working = in_.record != nullptr && in_.record->open();
  if (verdict.standing == crd::Standing::kInProgress && working) {
    const std::string doing(model::InfoOf(in_.decision.step).condition.type);
    const bool back = in_.record->direction == model::Direction::kRollback;
    if (back && verdict.reason == crd::reason::kProgressing) {
      verdict.reason = crd::reason::kRollingBack;
    }
    verdict.message = fmt::format("{}from {} to {}, at {}{}{}", back ? "rolling back " : "",
                                  back ? in_.record->to : in_.record->from,
                                  back ? in_.record->from : in_.record->to, doing,
                                  verdict.message.empty() ? "" : ": ", verdict.message);
  }
  status_.phase = verdict.standing == crd::Standing::kCurrent  ? "Idle"
                  : verdict.standing == crd::Standing::kFailed ? "Stalled"
                  : verdict.standing == crd::Standing::kHeld   ? "Held"
                  : working ? std::string(model::InfoOf(in_.decision.step).condition.type)
                            : "Preflight";
  status_.message = verdict.message;
  status_.observed_generation = in_.resource.meta.generation;
  crd::Summarize(status_.conditions, verdict, stamp_);
}

crd::Status View::Build() {
  ShowSteps(status_, in_, stamp_);
  Operation();
  Backups();
  Nodes();
  History();
  Pruned();
  Progress();
  FollowUps();
  PlanOf();
  Tokens();
  Summary();
  return std::move(status_);
}

}  // namespace

DowntimeLevel DowntimeLevelOf(const crd::Spec& spec, const model::OperationRecord& record,
                              base::WallTime now) {
  const auto begin = record.t1 ? record.t1 : record.t3;
  if (!record.open() || !begin || record.t2) return DowntimeLevel::kWell;
  const auto down = now - *begin;
  const auto budget = spec.strategy.downtime_budget;
  if (down > budget) return DowntimeLevel::kOver;
  return 4 * down > 3 * budget ? DowntimeLevel::kNear : DowntimeLevel::kWell;
}

std::string DowntimeText(const crd::Spec& spec, DowntimeLevel level) {
  if (level == DowntimeLevel::kWell) return {};
  return fmt::format(
      "OMS has been down for more than {}{} (spec.strategy.downtimeBudget). Tasks that are paused "
      "for more than 12h cannot be recovered: revert spec.version to roll back, or complete the "
      "upgrade.",
      level == DowntimeLevel::kNear ? "three quarters of " : "",
      base::FormatDuration(spec.strategy.downtime_budget));
}

namespace {

// What an operation that was given up has left behind, as far as it had come.
// Of an operation that was given up: an upgrade that begins anew makes its own.
void TellConfigs(const model::OperationRecord& record, std::vector<FollowUp>& left) {
  for (const auto& node : record.nodes) {
    const auto written = record.config_rewrites.find(node.name);
    if (written == record.config_rewrites.end()) continue;
    const auto copy = record.config_backups.find(node.name);
    if (!record.ConfigEditedInPlace(node)) {
      left.push_back({false, fmt::format("Remove {} on node {}, which was written for OMS {}, once "
                                         "no container reads it.",
                                         written->second.path, node.name, record.to)});
    } else if (copy != record.config_backups.end()) {
      left.push_back(
          {false,
           fmt::format("{} on node {} may have been edited for OMS {}; its previous content: {}.",
                       node.config_source, node.name, record.to,
                       PlaceOf(record, copy->second.path))});
    }
  }
}

std::vector<FollowUp> LeftBehind(const model::OperationRecord& record) {
  std::vector<FollowUp> left;
  TellConfigs(record, left);
  const auto on = [&](const model::FrozenNode& node) {
    return record.nodes.size() > 1 ? " on node " + node.name : std::string();
  };
  const bool ha_off = record.ha_was_on && record.Passed(model::PointKind::kHaDisabling) &&
                      !record.Seen(model::Step::kEnableHa) && !record.Seen(model::Step::kRestoreHa);
  if (ha_off) {
    left.push_back({true,
                    "HA was switched off and may still be off: check ha.config on the System "
                    "Parameters page. Its previous value is in the operation's record."});
  }
  if (record.nodes.empty()) return left;
  if (!record.Passed(model::PointKind::kNewStarting)) {
    for (const auto& node : record.nodes) {
      if (node.keeps_running) continue;
      if (record.Passed(model::PointKind::kStopping)) {
        left.push_back({true, fmt::format("Container '{0}'{2} was stopped, its restart policy set "
                                          "to no; `docker restart {0}` starts OMS {1} again.",
                                          node.old_name, record.from, on(node))});
      }
      left.push_back(
          {false, fmt::format(
                      "Remove container '{}'{}, which was created and never started, if it exists.",
                      node.new_name, on(node))});
    }
    return left;
  }
  for (const auto& node : record.nodes) {
    if (!node.keeps_running || !record.Passed(model::PointKind::kRollbackStopping)) continue;
    left.push_back(
        {true,
         fmt::format("Component container '{0}'{1} was stopped for the rollback, its restart "
                     "policy set to no; run `docker start {0}` once the databases are correct.",
                     node.old_name, on(node))});
  }
  if (!record.Passed(model::PointKind::kFirstDrop)) {
    std::string old;
    for (const auto& node : record.nodes)
      old += fmt::format("{}'{}'{}", old.empty() ? "" : ", ", node.old_name, on(node));
    left.push_back(
        {true, fmt::format(
                   "The databases may be those of {}, or partly changed; container {} must not be "
                   "started on them before they are restored as described by RESTORE.md in {}.",
                   record.to, old,
                   record.backup ? PlaceOf(record, record.backup->folder) : record.folder)});
    return left;
  }
  std::string open;
  for (const auto& database : record.differing.value_or(std::vector<std::string>())) {
    if (!record.Restore(database).restored) open += (open.empty() ? "" : ", ") + database;
  }
  if (!open.empty()) {
    left.push_back(
        {true, fmt::format(
                   "These databases were being restored, and may be empty or partly loaded: {}. "
                   "Restore them as described by RESTORE.md in {} before you start OMS.",
                   open, record.backup ? PlaceOf(record, record.backup->folder) : record.folder)});
  }
  return left;
}

}  // namespace

namespace {

// Components whose upgrade was begun, where OMS has gone back or the operation was given up.
void TellComponents(const model::OperationRecord& record, std::vector<FollowUp>& left) {
  for (const auto& node : record.nodes) {
    if (!node.keeps_running || !record.Passed(model::PointKind::kComponentUpgrading, node.name))
      continue;
    left.push_back(
        {true, fmt::format(
                   "The component container '{}' on node {} {} {}, and is not changed back: the "
                   "guide describes no rollback of a component. Ask technical support whether it "
                   "can run with OMS {}.",
                   node.old_name, node.name,
                   record.ComponentUpgraded(node) ? "was upgraded to" : "may be partly upgraded to",
                   record.to, record.from)});
  }
}

void TellEvents(const model::OperationRecord& record, std::vector<FollowUp>& left) {
  constexpr size_t kMostNamed = 10;
  const auto& events = record.dropped_events;
  if (events.empty() || !record.Passed(model::PointKind::kFirstDrop)) return;
  std::string names;
  for (size_t i = 0; i < events.size() && i < kMostNamed; ++i)
    names += (i == 0 ? "" : ", ") + events[i];
  if (events.size() > kMostNamed) names += fmt::format(" and {} more", events.size() - kMostNamed);
  left.push_back(
      {true, fmt::format(
                 "Create these scheduled events again, from the saved output of SHOW CREATE EVENT: "
                 "{}. The restore of the databases removed them, and no dump contains them.",
                 names)});
}

}  // namespace

std::vector<FollowUp> FollowUpsOf(const model::OperationRecord& record) {
  std::vector<FollowUp> left;
  if (!record.open()) {
    for (const auto& [node, name] : record.dead_containers) {
      left.push_back(
          {true, fmt::format("Container '{0}' on node {1} is dead and could not be removed; it can "
                             "never run. Once nothing blocks it: `docker rm {0}`.",
                             name, node)});
    }
  }
  const bool back = record.outcome == model::OperationOutcome::kRolledBack;
  if (record.outcome == model::OperationOutcome::kAbandoned) left = LeftBehind(record);
  if (back || record.outcome == model::OperationOutcome::kAbandoned) TellComponents(record, left);
  TellEvents(record, left);
  const bool stopped = record.Passed(model::PointKind::kStopping);
  if (record.open() || record.outcome == model::OperationOutcome::kCalledOff || !stopped ||
      record.outcome == model::OperationOutcome::kAbandoned) {
    return left;
  }
  if (!record.ha_was_on) {
    left.push_back({true,
                    "HA was off before and is off now: Store and Incr-Sync components that stopped "
                    "are not restarted automatically; start them, or switch HA on."});
  }
  left.push_back({false,
                  "Resume the Full-Import components of your tasks manually; OMS does not restart "
                  "them automatically."});
  left.push_back({false, "Clear the browser cache before you log in to the OMS console."});
  return left;
}

crd::Status BuildStatus(crd::Status status, const ViewInput& in) {
  return View(std::move(status), in).Build();
}

bool SameButForProgress(const crd::Status& a, const crd::Status& b) {
  const auto bare = [](crd::Status status) {
    status.progress.reset();
    status.downtime.reset();
    if (status.operation) status.operation->downtime.reset();
    for (auto& phase : status.phases) phase.bytes_done = phase.bytes_total = 0;
    return status;
  };
  return bare(a) == bare(b);
}

}  // namespace oms::show
