// UpgradeReconciler: one pass for one OmsUpgrade.
//
//   reach the site -> { observe -> state -> decide -> act } until nothing is to be done now ->
//   write status
//
// What is needed after a restart lies in the record, the row and the world; what this class
// remembers between passes (ResourceCache) saves time only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/context.h"
#include "controller/kube/api_client.h"
#include "controller/runtime/event_recorder.h"
#include "controller/runtime/reconciler.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/act/long_tasks.h"
#include "reconcilers/decide/planner.h"
#include "reconcilers/model/limits.h"
#include "reconcilers/observe/observer.h"
#include "reconcilers/observe/site.h"
#include "reconcilers/pass/reached.h"
#include "reconcilers/show/status_writer.h"
#include "reconcilers/show/upgrade_metrics.h"
#include "reconcilers/steps/preflight.h"

namespace oms::pass {

class UpgradeReconciler final : public runtime::Reconciler {
 public:
  struct Options {
    std::string cluster;  // uid of the kube-system namespace
    std::string process;  // Random per process start.
    model::Limits limits;
    show::UpgradeMetrics* metrics = nullptr;             // May be null.
    base::Duration idle_look = std::chrono::minutes(1);  // How often an idle resource is looked at.
    std::function<std::string()> new_id = base::RandomId;  // Of an operation; never the same twice.
  };
  // Null: the object is gone.
  using Lookup = std::function<std::shared_ptr<const crd::OmsUpgrade>(const kube::ObjectKey&)>;

  // All outlive it. `wake` enqueues a key at once; called by ends of long tasks, on their threads.
  UpgradeReconciler(Options options, Ports ports, Lookup lookup, runtime::EventRecorder& events,
                    base::Random& random, act::LongTasks& tasks,
                    std::function<void(const kube::ObjectKey&)> wake);
  ~UpgradeReconciler() override;

  base::Result<runtime::Outcome> Reconcile(const base::Context& ctx,
                                           const runtime::Request& request) override;

 private:
  struct ResourceCache;
  class Pass;

  std::shared_ptr<ResourceCache> CacheOf(const kube::ObjectKey& key);
  void Forget(const base::Context& ctx, const kube::ObjectKey& key);

  const Options options_;
  const Ports ports_;
  const Lookup lookup_;
  runtime::EventRecorder& events_;
  base::Random& random_;
  act::LongTasks& tasks_;
  const std::function<void(const kube::ObjectKey&)> wake_;
  show::StatusWriter status_;

  std::mutex mutex_;  // Guards the map; a ResourceCache is its worker's alone.
  std::map<kube::ObjectKey, std::shared_ptr<ResourceCache>> memory_;
};

}  // namespace oms::pass
