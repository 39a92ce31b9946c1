// Kubernetes Events, told about an object. Never blocks its caller, and a failure stops nothing.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "controller/base/clock.h"
#include "controller/base/context.h"
#include "controller/base/task_group.h"
#include "controller/kube/api_client.h"

namespace oms::runtime {

struct ObjectRef {
  std::string api_version;  // "oms.oceanbase.com/v1alpha1"
  std::string kind;
  std::string ns;
  std::string name;
  std::string uid;
};

enum class EventType { kNormal, kWarning };

class EventRecorder {
 public:
  virtual ~EventRecorder() = default;
  // `reason` is CamelCase; `message` a sentence (cut to 1024 bytes). Thread-safe.
  virtual void Event(const ObjectRef& object, EventType type, const std::string& reason,
                     const std::string& message,
                     const std::map<std::string, std::string>& annotations = {}) = 0;
};

// Writes core/v1 Events on a thread of its own. The same object, type, reason and message within
// `window` is one Event whose count rises. One that cannot be written for a passing reason is tried
// for about two minutes, as client-go does, and holds up only those that are the same. When the
// queue is full the oldest is dropped and counted.
class ApiEventRecorder final : public EventRecorder {
 public:
  struct Options {
    std::string component;  // source.component and reportingComponent.
    std::string instance;   // reportingInstance.
    base::Duration window = std::chrono::minutes(10);
    size_t max_queue = 256;
    size_t max_known = 1024;               // Events remembered for counting.
    base::OnFailure on_failure = nullptr;  // The thread is gone: the process must exit.
  };

  ApiEventRecorder(Options options, kube::ApiClient& client, const base::Clock& clock);
  ~ApiEventRecorder() override;  // Stop() without waiting for what is queued.

  void Start(const base::Context& ctx);
  // Tries to write what is queued for at most `grace`, then ends the thread.
  void Stop(base::Duration grace = std::chrono::seconds(2));

  void Event(const ObjectRef& object, EventType type, const std::string& reason,
             const std::string& message,
             const std::map<std::string, std::string>& annotations = {}) override;

  // Tries one queued event that is due, if there is one, on the caller's thread (the body of the
  // thread; tests). Returns the time until the next is due; nothing when none is queued any more.
  std::optional<base::Duration> WriteOne(const base::Context& ctx);
  uint64_t dropped() const;

 private:
  struct Item {
    ObjectRef object;
    EventType type;
    std::string reason;
    std::string message;
    std::map<std::string, std::string> annotations;
    base::WallTime when;
    uint64_t number = 0;  // In the order of Event().
    std::string identity;
    // From its first try on: a try whose answer was lost must not make a second Event.
    std::string event_name;
    base::SteadyTime due;  // Not tried before this.
    int failures = 0;
  };
  using Queue = std::deque<Item>;
  struct Known {
    std::string event_name;
    int64_t count = 0;
    base::SteadyTime last;
  };

  base::Status Write(const base::Context& ctx, Item& item);
  base::Status Create(const base::Context& ctx, const std::string& ns, const Item& item);
  void Run(const base::Context& ctx);
  // The oldest that is due, else the one that is due first; end() when none is queued. An event
  // waits for an older one that is the same.
  Queue::iterator NextLocked();
  std::optional<base::Duration> WaitLocked();
  void PutBackLocked(Item item);

  const Options options_;
  kube::ApiClient& client_;
  const base::Clock& clock_;

  std::map<std::string, Known> known_;  // By identity. Of the writing thread only.

  mutable std::mutex mutex_;  // Guards all below.
  std::condition_variable_any changed_;
  Queue queue_;  // By number.
  uint64_t next_number_ = 0;
  uint64_t changes_ = 0;   // Of what a waiting thread should look at.
  bool draining_ = false;  // Stop() was called: all is due, and nothing is tried twice any more.
  bool writing_ = false;
  uint64_t dropped_ = 0;

  base::TaskGroup tasks_;  // Last: its thread uses all above.
};

}  // namespace oms::runtime
