#include "reconcilers/upgrade_reconciler.h"

#include "reconcilers/pass.h"

namespace oms::upgrade {

UpgradeReconciler::UpgradeReconciler(Options options, Ports ports, Lookup lookup,
                                     runtime::EventRecorder& events, base::Random& random,
                                     LongTasks& tasks,
                                     std::function<void(const kube::ObjectKey&)> wake)
    : options_(std::move(options)),
      ports_(ports),
      lookup_(std::move(lookup)),
      events_(events),
      random_(random),
      tasks_(tasks),
      wake_(std::move(wake)),
      status_(*ports.api) {}

UpgradeReconciler::~UpgradeReconciler() = default;

std::shared_ptr<UpgradeReconciler::KeyMemory> UpgradeReconciler::MemoryOf(
    const kube::ObjectKey& key) {
  std::lock_guard lock(mutex_);
  auto& slot = memory_[key];
  if (!slot) slot = std::make_shared<KeyMemory>();
  return slot;
}

base::Result<runtime::Outcome> UpgradeReconciler::Reconcile(const base::Context& ctx,
                                                            const runtime::Request& request) {
  auto resource = lookup_(request.key);
  if (!resource) {
    std::lock_guard lock(mutex_);
    memory_.erase(request.key);
    if (options_.metrics != nullptr) options_.metrics->Forget(request.key);
    return runtime::Outcome::Done();
  }
  const auto memory = MemoryOf(request.key);
  return Pass(*this, *memory, std::move(resource)).Run(ctx);
}

}  // namespace oms::upgrade
