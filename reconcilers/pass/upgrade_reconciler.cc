#include "reconcilers/pass/upgrade_reconciler.h"

#include "reconcilers/pass/pass.h"

namespace oms::pass {

UpgradeReconciler::UpgradeReconciler(Options options, Ports ports, Lookup lookup,
                                     runtime::EventRecorder& events, base::Random& random,
                                     act::LongTasks& tasks,
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

std::shared_ptr<UpgradeReconciler::ResourceCache> UpgradeReconciler::CacheOf(
    const kube::ObjectKey& key) {
  std::lock_guard lock(mutex_);
  auto& slot = memory_[key];
  if (!slot) slot = std::make_shared<ResourceCache>();
  return slot;
}

// The resource is gone. With nothing open it needed no finalizer, so its row is still its own.
void UpgradeReconciler::Forget(const base::Context& ctx, const kube::ObjectKey& key) {
  std::shared_ptr<ResourceCache> memory;
  {
    std::lock_guard lock(mutex_);
    if (auto node = memory_.extract(key)) memory = std::move(node.mapped());
  }
  if (options_.metrics != nullptr) options_.metrics->Forget(key);
  if (!memory || !memory->idle_row || !ctx.Check().ok()) return;
  const auto& row = *memory->idle_row;
  const auto given =
      row.ownership->Release(ctx.WithTimeout(std::chrono::seconds(30)), row.oms, row.epoch);
  // Whoever comes next finds its owner gone.
  if (!given.ok())
    ctx.log().Warn("the row of OMS '{}' is not released: {}", row.oms, given.error().message);
}

base::Result<runtime::Outcome> UpgradeReconciler::Reconcile(const base::Context& ctx,
                                                            const runtime::Request& request) {
  auto resource = lookup_(request.key);
  if (!resource) {
    Forget(ctx, request.key);
    return runtime::Outcome::Done();
  }
  const auto memory = CacheOf(request.key);
  return Pass(*this, *memory, std::move(resource)).Run(ctx);
}

}  // namespace oms::pass
