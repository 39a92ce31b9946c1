#include "reconcilers/show/upgrade_metrics.h"

#include <algorithm>

#include "crd/conditions.h"

namespace oms::show {
namespace {

double Seconds(base::Duration duration) { return static_cast<double>(duration.count()) / 1000.0; }

bool FinishedBefore(const crd::Status& status, const crd::PhaseStatus& phase) {
  return std::any_of(status.phases.begin(), status.phases.end(), [&](const crd::PhaseStatus& old) {
    return old.name == phase.name && old.finished_at == phase.finished_at;
  });
}

}  // namespace

UpgradeMetrics::UpgradeMetrics(runtime::Registry& registry)
    : info_(registry.Gauge("omsupgrade_info",
                           "1 for each OmsUpgrade: the running and the desired version.",
                           {"namespace", "name", "version", "target"})),
      ready_(registry.Gauge("omsupgrade_ready", "1 if the condition Ready is True.",
                            {"namespace", "name"})),
      stalled_(registry.Gauge("omsupgrade_stalled",
                              "1 if the condition Stalled is True: a person must act.",
                              {"namespace", "name"})),
      progress_(registry.Gauge("omsupgrade_progress_ratio",
                               "How much of the open operation is done, 0 to 1.",
                               {"namespace", "name"})),
      downtime_(registry.Gauge("omsupgrade_downtime_seconds", "T2 - T1 of the last operation.",
                               {"namespace", "name"})),
      near_budget_(registry.Gauge("omsupgrade_downtime_near_budget",
                                  "1 while OMS has been down for more than three quarters of "
                                  "spec.strategy.downtimeBudget, 2 when it is over.",
                                  {"namespace", "name"})),
      backup_bytes_(registry.Gauge("omsupgrade_backup_bytes",
                                   "Size of the last dump of a database.",
                                   {"namespace", "name", "database"})),
      phase_seconds_(registry.Histogram("omsupgrade_phase_duration_seconds",
                                        "How long a phase took.", {"phase"},
                                        {0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600})) {}

void UpgradeMetrics::Show(const kube::ObjectKey& key, const std::string& target,
                          const crd::Status& before, const crd::Status& after,
                          DowntimeLevel downtime) {
  std::lock_guard lock(mutex_);
  ForgetLocked(key);
  Shown shown{after.current_version, target, {}};
  const runtime::MetricFamily::Labels labels = {key.ns, key.name};
  info_.Set({key.ns, key.name, after.current_version, target}, 1);
  ready_.Set(labels, crd::IsTrue(after.conditions, crd::kReady) ? 1 : 0);
  stalled_.Set(labels, crd::IsTrue(after.conditions, crd::kStalled) ? 1 : 0);
  if (after.progress) progress_.Set(labels, after.progress->percent / 100.0);
  near_budget_.Set(labels, static_cast<int>(downtime));
  if (after.downtime) downtime_.Set(labels, Seconds(*after.downtime));
  for (const auto& backup : after.backups) {
    backup_bytes_.Set({key.ns, key.name, backup.database}, static_cast<double>(backup.size));
    shown.databases.push_back(backup.database);
  }
  for (const auto& phase : after.phases) {
    if (!phase.finished_at || !phase.started_at || FinishedBefore(before, phase)) continue;
    phase_seconds_.Observe({phase.name}, Seconds(std::chrono::duration_cast<base::Duration>(
                                             *phase.finished_at - *phase.started_at)));
  }
  shown_[key] = std::move(shown);
}

void UpgradeMetrics::Forget(const kube::ObjectKey& key) {
  std::lock_guard lock(mutex_);
  ForgetLocked(key);
}

void UpgradeMetrics::ForgetLocked(const kube::ObjectKey& key) {
  const auto found = shown_.find(key);
  if (found == shown_.end()) return;
  const Shown& shown = found->second;
  info_.Remove({key.ns, key.name, shown.version, shown.target});
  for (auto* family : {&ready_, &stalled_, &progress_, &downtime_, &near_budget_})
    family->Remove({key.ns, key.name});
  for (const auto& database : shown.databases) backup_bytes_.Remove({key.ns, key.name, database});
  shown_.erase(found);
}

}  // namespace oms::show
