#include "controller/runtime/work_queue.h"

#include <algorithm>
#include <utility>

namespace oms::runtime {
namespace {

double Seconds(base::SteadyTime::duration time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

WorkQueue::WorkQueue(Options options, const base::Clock& clock, base::Random& random,
                     Registry* metrics)
    : options_(std::move(options)), clock_(clock), random_(random) {
  if (metrics == nullptr) return;
  const std::vector<std::string> labels = {"name", "controller"};
  // client-go's buckets: 10 ns to 1000 s, each ten times the one before.
  const std::vector<double> decades = {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3,
                                       1e-2, 0.1,  1,    10,   100,  1000};
  depth_ = &metrics->Gauge("workqueue_depth", "Current depth of workqueue", labels);
  adds_ = &metrics->Counter("workqueue_adds_total", "Total number of adds handled by workqueue",
                            labels);
  retries_ = &metrics->Counter("workqueue_retries_total",
                               "Total number of retries handled by workqueue", labels);
  queue_seconds_ = &metrics->Histogram(
      "workqueue_queue_duration_seconds",
      "How long in seconds an item stays in workqueue before being requested", labels, decades);
  work_seconds_ = &metrics->Histogram(
      "workqueue_work_duration_seconds",
      "How long in seconds processing an item from workqueue takes.", labels, decades);
  unfinished_seconds_ = &metrics->Gauge(
      "workqueue_unfinished_work_seconds",
      "How many seconds of work has been done that is in progress and hasn't been observed by "
      "work_duration. Large values indicate stuck threads.",
      labels);
  longest_seconds_ = &metrics->Gauge(
      "workqueue_longest_running_processor_seconds",
      "How many seconds has the longest running processor for workqueue been running.", labels);
  depth_->Set({options_.name, options_.name}, 0);
  adds_->Add({options_.name, options_.name}, 0);
  retries_->Add({options_.name, options_.name}, 0);
  metrics->OnCollect([this] { Collect(); });
}

void WorkQueue::Add(const kube::ObjectKey& key) {
  std::lock_guard lock(mutex_);
  AddLocked(key);
}

void WorkQueue::AddAfter(const kube::ObjectKey& key, base::Duration wait) {
  std::lock_guard lock(mutex_);
  if (wait.count() <= 0) {
    AddLocked(key);
  } else {
    AddAtLocked(key, clock_.Now() + wait);
  }
}

void WorkQueue::AddRateLimited(const kube::ObjectKey& key) {
  const double fraction = random_.Fraction();
  std::lock_guard lock(mutex_);
  const int failures = failures_[key]++;
  if (retries_ != nullptr) retries_->Add({options_.name, options_.name});
  AddAtLocked(key, clock_.Now() + base::Backoff(options_.first_backoff, options_.max_backoff,
                                                failures, fraction));
}

void WorkQueue::Forget(const kube::ObjectKey& key) {
  std::lock_guard lock(mutex_);
  failures_.erase(key);
}

int WorkQueue::Failures(const kube::ObjectKey& key) const {
  std::lock_guard lock(mutex_);
  const auto found = failures_.find(key);
  return found == failures_.end() ? 0 : found->second;
}

std::optional<kube::ObjectKey> WorkQueue::Get(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    if (stop.stop_requested()) return std::nullopt;
    if (auto key = TakeLocked()) return key;
    if (shut_down_) return std::nullopt;
    const uint64_t seen = changes_;
    const auto changed = [&] { return changes_ != seen; };
    if (delayed_.empty()) {
      changed_.wait(lock, stop, changed);
    } else {
      // Real time is waited for, the passed clock is asked: they run alike but in tests.
      const auto wait = delayed_.begin()->first - clock_.Now();
      changed_.wait_for(lock, stop, wait, changed);
    }
  }
}

std::optional<kube::ObjectKey> WorkQueue::TryGet() {
  std::lock_guard lock(mutex_);
  return TakeLocked();
}

void WorkQueue::Done(const kube::ObjectKey& key) {
  std::lock_guard lock(mutex_);
  const auto held = processing_.find(key);
  if (held == processing_.end()) return;
  if (work_seconds_ != nullptr) {
    work_seconds_->Observe({options_.name, options_.name}, Seconds(clock_.Now() - held->second));
  }
  processing_.erase(held);
  if (dirty_.contains(key)) {  // Added while it was held.
    queue_.push_back(key);
    CountDepthLocked();
    ++changes_;
    changed_.notify_one();
  }
}

void WorkQueue::ShutDown() {
  std::lock_guard lock(mutex_);
  shut_down_ = true;
  ++changes_;
  changed_.notify_all();
}

size_t WorkQueue::Depth() const {
  std::lock_guard lock(mutex_);
  return queue_.size();
}

void WorkQueue::AddLocked(const kube::ObjectKey& key) {
  if (shut_down_ || !dirty_.insert(key).second) return;
  if (adds_ != nullptr) adds_->Add({options_.name, options_.name});
  added_.emplace(key, clock_.Now());
  if (processing_.contains(key)) return;  // Done() queues it.
  queue_.push_back(key);
  CountDepthLocked();
  ++changes_;
  changed_.notify_one();
}

void WorkQueue::AddAtLocked(const kube::ObjectKey& key, base::SteadyTime when) {
  if (shut_down_) return;
  if (const auto waiting = delayed_by_key_.find(key); waiting != delayed_by_key_.end()) {
    if (waiting->second->first <= when) return;
    delayed_.erase(waiting->second);
    delayed_by_key_.erase(waiting);
  }
  const auto added = delayed_.emplace(when, key);
  delayed_by_key_.emplace(key, added);
  if (added == delayed_.begin()) {
    // All that wait, wait for too long now. Were only one told, an Add() might make just that one
    // busy, for no order among waiters is promised, and the others would sleep through `when`.
    ++changes_;
    changed_.notify_all();
  }
}

void WorkQueue::MoveDueLocked() {
  const base::SteadyTime now = clock_.Now();
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    const kube::ObjectKey key = delayed_.begin()->second;
    delayed_.erase(delayed_.begin());
    delayed_by_key_.erase(key);
    AddLocked(key);
  }
}

std::optional<kube::ObjectKey> WorkQueue::TakeLocked() {
  if (shut_down_) return std::nullopt;
  MoveDueLocked();
  if (queue_.empty()) return std::nullopt;
  kube::ObjectKey key = std::move(queue_.front());
  queue_.pop_front();
  CountDepthLocked();
  const base::SteadyTime now = clock_.Now();
  if (const auto added = added_.find(key); added != added_.end()) {
    if (queue_seconds_ != nullptr) {
      queue_seconds_->Observe({options_.name, options_.name}, Seconds(now - added->second));
    }
    added_.erase(added);
  }
  dirty_.erase(key);
  processing_.emplace(key, now);
  return key;
}

void WorkQueue::CountDepthLocked() {
  if (depth_ != nullptr) {
    depth_->Set({options_.name, options_.name}, static_cast<double>(queue_.size()));
  }
}

void WorkQueue::Collect() {
  double unfinished = 0, longest = 0;
  {
    std::lock_guard lock(mutex_);
    const base::SteadyTime now = clock_.Now();
    for (const auto& [key, since] : processing_) {
      unfinished += Seconds(now - since);
      longest = std::max(longest, Seconds(now - since));
    }
  }
  unfinished_seconds_->Set({options_.name, options_.name}, unfinished);
  longest_seconds_->Set({options_.name, options_.name}, longest);
}

}  // namespace oms::runtime
