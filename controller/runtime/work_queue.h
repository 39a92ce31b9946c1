// WorkQueue: keys that need a look, with client-go's semantics.
//
// - A key that waits is in the queue once, however often it is added.
// - A key that a worker holds (from Get to Done) is given to no other; added meanwhile, it is
// queued
//   again when the worker is done. So no wake-up is lost and no key is on two workers.
// - A delayed key is in the waiting room once, at its earliest time.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "controller/base/clock.h"
#include "controller/kube/meta.h"
#include "controller/runtime/metrics.h"

namespace oms::runtime {

class WorkQueue {
 public:
  struct Options {
    std::string name;  // For the workqueue_* metrics.
    base::Duration first_backoff = base::Duration(250);
    base::Duration max_backoff = std::chrono::minutes(2);
  };

  // All must outlive the queue; `metrics` may be null, and its Text() must not be asked for once
  // the queue is gone.
  WorkQueue(Options options, const base::Clock& clock, base::Random& random,
            Registry* metrics = nullptr);

  void Add(const kube::ObjectKey& key);
  void AddAfter(const kube::ObjectKey& key, base::Duration wait);
  // After first_backoff * 2^failures with jitter; each call counts one failure of this key.
  void AddRateLimited(const kube::ObjectKey& key);
  // The key's failures are 0 again. Does not take it out of the queue.
  void Forget(const kube::ObjectKey& key);
  int Failures(const kube::ObjectKey& key) const;

  // Waits for a key; nothing when `stop` is requested or the queue is shut down. The caller owes a
  // Done(key).
  std::optional<kube::ObjectKey> Get(std::stop_token stop);
  // The same without waiting.
  std::optional<kube::ObjectKey> TryGet();
  void Done(const kube::ObjectKey& key);

  // Get() returns nothing from now on; Add is ignored.
  void ShutDown();

  size_t Depth() const;  // Keys that are due, not those delayed or held.

 private:
  using Delayed = std::multimap<base::SteadyTime, kube::ObjectKey>;

  void AddLocked(const kube::ObjectKey& key);
  void AddAtLocked(const kube::ObjectKey& key, base::SteadyTime when);
  void MoveDueLocked();
  std::optional<kube::ObjectKey> TakeLocked();
  void CountDepthLocked();
  void Collect();

  const Options options_;
  const base::Clock& clock_;
  base::Random& random_;
  MetricFamily* depth_ = nullptr;
  MetricFamily* adds_ = nullptr;
  MetricFamily* retries_ = nullptr;
  MetricFamily* queue_seconds_ = nullptr;
  MetricFamily* work_seconds_ = nullptr;
  MetricFamily* unfinished_seconds_ = nullptr;
  MetricFamily* longest_seconds_ = nullptr;

  mutable std::mutex mutex_;  // Guards all below.
  std::condition_variable_any changed_;
  std::deque<kube::ObjectKey> queue_;  // Each of them is in dirty_ and not in processing_.
  std::unordered_set<kube::ObjectKey> dirty_;
  std::unordered_map<kube::ObjectKey, base::SteadyTime> processing_;  // Since when.
  std::unordered_map<kube::ObjectKey, base::SteadyTime> added_;       // For the queue time.
  Delayed delayed_;
  std::unordered_map<kube::ObjectKey, Delayed::iterator> delayed_by_key_;
  std::unordered_map<kube::ObjectKey, int> failures_;
  uint64_t changes_ = 0;  // Of what a waiting Get() should look at.
  bool shut_down_ = false;
};

}  // namespace oms::runtime
