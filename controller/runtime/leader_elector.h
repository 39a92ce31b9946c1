// LeaderElector: one process of many acts, by a Lease (coordination.k8s.io/v1).
//
// As client-go does it: times of other hosts are never compared with ours. A Lease counts as held
// until `lease_duration` has passed on *our* monotonic clock since we last saw it change. We hold
// it until `renew_deadline` has passed on our clock since we *sent* the last renewal that
// succeeded, which is earlier than anyone else may take it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <stop_token>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/context.h"
#include "controller/base/task_group.h"
#include "controller/kube/api_client.h"
#include "controller/runtime/metrics.h"

namespace oms::runtime {

// What the Lease object says.
struct LeaseRecord {
  std::string holder;  // Empty: released.
  int lease_duration_seconds = 0;
  std::string acquire_time;  // RFC 3339 with microseconds, as its writer had it.
  std::string renew_time;
  int64_t transitions = 0;

  bool operator==(const LeaseRecord&) const = default;
};

LeaseRecord ParseLease(const nlohmann::json& lease);  // What is missing or odd counts as empty.

// What we remember of the Lease between two looks.
struct LeaseView {
  LeaseRecord record;
  base::SteadyTime changed_at;  // When we first saw this record, by our own clock.
};

enum class LeaseAction {
  kCreate,   // There is none.
  kAcquire,  // It is free: released, or not renewed for its duration.
  kRenew,    // It is ours.
  kWait,     // Another holds it.
};

// Pure. `view` none: the Lease does not exist.
LeaseAction DecideLease(const std::optional<LeaseView>& view, const std::string& identity,
                        base::SteadyTime now);

class LeaderElector {
 public:
  struct Options {
    std::string lease_namespace;
    std::string lease_name;
    std::string identity;  // Unique to this process, for instance host name + "_" + random id.
    base::Duration lease_duration = std::chrono::seconds(15);
    base::Duration renew_deadline = std::chrono::seconds(10);  // Less than lease_duration.
    base::Duration retry_period = std::chrono::seconds(2);     // Less than renew_deadline.
    // All three are called on the elector's thread, on_lost on its watchdog's too, the first two at
    // most once. They must not block.
    std::function<void()> on_started;                         // We lead now.
    std::function<void(const std::string& why)> on_lost;      // We led and do not any more: exit.
    std::function<void(const std::string& holder)> on_other;  // (Each time) another leads.
    base::OnFailure on_failure = nullptr;  // The thread is gone: the process must exit.
  };

  // `client` and `clock` must outlive it; `metrics` may be null.
  LeaderElector(Options options, kube::ApiClient& client, const base::Clock& clock,
                base::Random& random, Registry* metrics = nullptr);
  ~LeaderElector();  // As a crash would: the Lease is not released.

  void Start(const base::Context& ctx);
  // Ends the thread; when we lead, IsLeader() is false from here on, then the Lease is released, so
  // that another can take it at once. Call it after all that acts has been stopped.
  void StopAndRelease(const base::Context& ctx);

  // Looks at the clock anew: a process that was stopped for a minute gets false here before any of
  // its threads has run. Thread-safe; this is the Context's permission.
  bool IsLeader() const;
  // Requested when leadership is lost, before the Lease can be another's (by then IsLeader() is
  // false already).
  std::stop_token lost() const { return lost_.get_token(); }

  // One look at the Lease and what follows from it, on the caller's thread (the body of the
  // thread; tests). Returns the time to wait before the next. After a loss it does nothing.
  base::Duration Step(const base::Context& ctx);
  // Tells a loss when its time has come, whatever Step() is waiting for (the body of the watchdog's
  // thread; tests). Returns the time to wait before the next look.
  base::Duration Guard();

 private:
  base::Status Look(const base::Context& ctx);
  // Writes `record` if the Lease is still as last seen; remembers the answer.
  base::Status Write(const base::Context& ctx, bool create, const LeaseRecord& record);
  void Remember(nlohmann::json lease);
  bool Hold(const base::Context& ctx);  // True: the Lease was taken or renewed.
  void Lose(const std::string& why);
  base::Duration NextLook();

  const Options options_;
  kube::ApiClient& client_;
  const base::Clock& clock_;
  base::Random& random_;
  MetricFamily* master_status_ = nullptr;

  // Of the thread of Step() only.
  std::optional<LeaseView> view_;
  std::shared_ptr<const nlohmann::json> lease_;  // The whole object as last seen.
  std::string told_holder_;
  bool led_ = false;

  // Our leadership holds before this instant; 0: we do not lead. Ticks of the steady clock.
  std::atomic<base::SteadyTime::rep> leads_until_{0};
  std::stop_source lost_;
  base::TaskGroup tasks_;  // Last: its thread uses all above.
};

}  // namespace oms::runtime
