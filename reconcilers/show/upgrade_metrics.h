// omsupgrade_* metrics, made from status alone: what is scraped never says something else than what
// kubectl shows.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "controller/kube/meta.h"
#include "controller/runtime/metrics.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/show/status_view.h"

namespace oms::show {

class UpgradeMetrics {
 public:
  explicit UpgradeMetrics(runtime::Registry& registry);

  // After each write of a status; `before` is the one that was shown until now, `downtime` the
  // level that its text was made of. Thread-safe.
  void Show(const kube::ObjectKey& key, const std::string& target, const crd::Status& before,
            const crd::Status& after, DowntimeLevel downtime);
  // The resource is gone: its series are no longer shown.
  void Forget(const kube::ObjectKey& key);

 private:
  void ForgetLocked(const kube::ObjectKey& key);

  struct Shown {
    std::string version, target;
    std::vector<std::string> databases;
  };

  runtime::MetricFamily& info_;
  runtime::MetricFamily& ready_;
  runtime::MetricFamily& stalled_;
  runtime::MetricFamily& progress_;
  runtime::MetricFamily& downtime_;
  runtime::MetricFamily& near_budget_;
  runtime::MetricFamily& backup_bytes_;
  runtime::MetricFamily& phase_seconds_;

  std::mutex mutex_;                        // Guards the map.
  std::map<kube::ObjectKey, Shown> shown_;  // So that a series with old labels goes.
};

}  // namespace oms::show
