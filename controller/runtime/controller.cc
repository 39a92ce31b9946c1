#include "controller/runtime/controller.h"

#include <fmt/format.h>

#include <exception>
#include <utility>

namespace oms::runtime {
namespace {

struct Done {
  WorkQueue& queue;
  const kube::ObjectKey& key;
  ~Done() { queue.Done(key); }
};

}  // namespace

Controller::Controller(Options options, Reconciler& reconciler, WorkQueue& queue, Registry* metrics)
    : options_(std::move(options)),
      reconciler_(reconciler),
      queue_(queue),
      tasks_(options_.on_failure) {
  if (metrics == nullptr) return;
  total_ =
      &metrics->Counter("controller_runtime_reconcile_total",
                        "Total number of reconciliations per controller", {"controller", "result"});
  errors_ =
      &metrics->Counter("controller_runtime_reconcile_errors_total",
                        "Total number of reconciliation errors per controller", {"controller"});
  terminal_errors_ = &metrics->Counter(
      "controller_runtime_terminal_reconcile_errors_total",
      "Total number of terminal reconciliation errors per controller", {"controller"});
  panics_ =
      &metrics->Counter("controller_runtime_reconcile_panics_total",
                        "Total number of reconciliation panics per controller", {"controller"});
  seconds_ =
      &metrics->Histogram("controller_runtime_reconcile_time_seconds",
                          "Length of time per reconciliation per controller", {"controller"});
  active_ = &metrics->Gauge("controller_runtime_active_workers",
                            "Number of currently used workers per controller", {"controller"});
  metrics
      ->Gauge("controller_runtime_max_concurrent_reconciles",
              "Maximum number of concurrent reconciles per controller", {"controller"})
      .Set({options_.name}, options_.workers);
  for (const char* result : {"success", "requeue_after", "requeue", "error"}) {
    total_->Add({options_.name, result}, 0);
  }
  errors_->Add({options_.name}, 0);
  terminal_errors_->Add({options_.name}, 0);
  panics_->Add({options_.name}, 0);
  active_->Set({options_.name}, 0);
}

Controller::~Controller() { Stop(); }

void Controller::Start(const base::Context& ctx) {
  for (int i = 0; i < options_.workers; ++i) {
    tasks_.Start(fmt::format("worker-{}", i), [this, ctx](std::stop_token stop) {
      const std::stop_callback bridge(ctx.stop(), [this] { tasks_.RequestStop(); });
      Work(ctx.WithStop(std::move(stop)));
    });
  }
}

void Controller::Stop() {
  tasks_.RequestStop();
  tasks_.Join();
}

void Controller::Work(const base::Context& ctx) {
  while (const auto key = queue_.Get(ctx.stop())) Process(ctx, *key);
}

void Controller::Process(const base::Context& ctx, const kube::ObjectKey& key) {
  const Done done{queue_, key};
  auto pass = ctx.WithLogger(ctx.log().With("key", key.ToString()));
  if (options_.pass_timeout.count() > 0) pass = pass.WithTimeout(options_.pass_timeout);

  const auto begin = ctx.clock().Now();
  if (active_ != nullptr) active_->Add({options_.name}, 1);
  base::Result<Outcome> result = Outcome::Done();
  try {
    // A worker that has lost its right to act does not even look.
    const base::Status may = pass.Check();
    result = may.ok() ? reconciler_.Reconcile(pass, {key}) : may.error();
  } catch (const std::exception& error) {
    if (panics_ != nullptr) panics_->Add({options_.name});
    result = base::MakeError(base::Code::kInternal,
                             fmt::format("an exception left the reconciler: {}", error.what()));
  } catch (...) {
    if (panics_ != nullptr) panics_->Add({options_.name});
    result = base::MakeError(base::Code::kInternal, "an unknown exception left the reconciler");
  }
  if (active_ != nullptr) active_->Add({options_.name}, -1);
  if (seconds_ != nullptr) {
    seconds_->Observe({options_.name},
                      std::chrono::duration<double>(ctx.clock().Now() - begin).count());
  }
  const auto count = [&](const char* label) {
    if (total_ != nullptr) total_->Add({options_.name, label});
  };

  if (result.ok()) {
    queue_.Forget(key);
    if (result->after) {
      count("requeue_after");
      queue_.AddAfter(key, *result->after);
    } else {
      count("success");
    }
    return;
  }

  const base::Error& error = result.error();
  switch (error.code) {
    case base::Code::kInvalid:
    case base::Code::kTerminal:
      count("error");
      if (errors_ != nullptr) errors_->Add({options_.name});
      if (terminal_errors_ != nullptr) terminal_errors_->Add({options_.name});
      queue_.Forget(key);
      pass.log().Error("reconcile failed, no retry until something changes: {}", error.message);
      return;
    case base::Code::kFenced:
      count("error");
      if (errors_ != nullptr) errors_->Add({options_.name});
      pass.log().Error("this process must not act any more: {}", error.message);
      if (options_.on_fenced) options_.on_fenced(error);
      return;
    case base::Code::kCancelled:
      if (ctx.Stopped()) return;
      break;
    case base::Code::kNotFound:
    case base::Code::kAlreadyExists:
    case base::Code::kConflict:
    case base::Code::kExpired:
    case base::Code::kDenied:
    case base::Code::kTransient:
    case base::Code::kTimeout:
    case base::Code::kInternal: break;
  }
  count("error");
  if (errors_ != nullptr) errors_->Add({options_.name});
  queue_.AddRateLimited(key);
  pass.log().Warn("reconcile failed ({}, {} in a row), will be retried: {}", ToString(error.code),
                  queue_.Failures(key), error.message);
}

}  // namespace oms::runtime
