// Controller: workers that take keys from a queue and reconcile them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "controller/base/context.h"
#include "controller/base/task_group.h"
#include "controller/runtime/metrics.h"
#include "controller/runtime/reconciler.h"
#include "controller/runtime/work_queue.h"

namespace oms::runtime {

class Controller {
 public:
  struct Options {
    std::string name;
    int workers = 2;
    // The deadline of one pass; zero: none.
    base::Duration pass_timeout = base::Duration(0);
    // Called once for each pass that ends with kFenced: the process must exit.
    std::function<void(const base::Error&)> on_fenced = nullptr;
    base::OnFailure on_failure = nullptr;  // A worker is gone: the process must exit.
  };

  // All must outlive the controller; `metrics` may be null.
  Controller(Options options, Reconciler& reconciler, WorkQueue& queue,
             Registry* metrics = nullptr);
  ~Controller();  // Stop().

  // Each pass gets `ctx` (its clock, logger, permission, deadline) with a logger that carries the
  // key, and with a stop token that Stop() and the token of `ctx` both trigger. Call once.
  void Start(const base::Context& ctx);
  // Tells running passes to stop, and waits for them. Keys still queued stay there.
  void Stop();

  // Enqueues at once, also a key that waits for a later time. Thread-safe; called by the end of a
  // long task.
  void Wake(const kube::ObjectKey& key) { queue_.Add(key); }

  // One pass and what follows from it, on the caller's thread (a worker's body; tests).
  void Process(const base::Context& ctx, const kube::ObjectKey& key);

 private:
  void Work(const base::Context& ctx);

  const Options options_;
  Reconciler& reconciler_;
  WorkQueue& queue_;
  MetricFamily* total_ = nullptr;
  MetricFamily* errors_ = nullptr;
  MetricFamily* terminal_errors_ = nullptr;
  MetricFamily* panics_ = nullptr;
  MetricFamily* seconds_ = nullptr;
  MetricFamily* active_ = nullptr;

  base::TaskGroup tasks_;  // Last: its threads use all above.
};

}  // namespace oms::runtime
