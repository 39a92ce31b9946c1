#include "controller/runtime/leader_elector.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/base/json.h"
#include "controller/runtime/wait.h"

namespace oms::runtime {
namespace {

using base::Code;
using nlohmann::json;

const kube::ResourceType kLeases = {"coordination.k8s.io", "v1", "leases"};
// For a Lease whose writer gave none.
constexpr int kAssumedDurationSeconds = 15;
constexpr base::Duration kReleaseTimeout = std::chrono::seconds(5);
constexpr base::Duration kShortestWait = std::chrono::milliseconds(100);

json SpecOf(const LeaseRecord& record) {
  json spec = {{"holderIdentity", record.holder},
               {"leaseDurationSeconds", record.lease_duration_seconds},
               {"leaseTransitions", record.transitions}};
  if (!record.acquire_time.empty()) spec["acquireTime"] = record.acquire_time;
  if (!record.renew_time.empty()) spec["renewTime"] = record.renew_time;
  return spec;
}

base::SteadyTime ExpiryOf(const LeaseView& view) {
  const int seconds = view.record.lease_duration_seconds > 0 ? view.record.lease_duration_seconds
                                                             : kAssumedDurationSeconds;
  return view.changed_at + std::chrono::seconds(seconds);
}

}  // namespace

LeaseRecord ParseLease(const json& lease) {
  LeaseRecord record;
  const auto spec = lease.is_object() ? lease.find("spec") : lease.end();
  if (!lease.is_object() || spec == lease.end() || !spec->is_object()) return record;
  const auto text = [&](const char* member) {
    const auto found = spec->find(member);
    return found != spec->end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto number = [&](const char* member) {
    const auto found = spec->find(member);
    return found != spec->end() ? base::WholeNumber<int64_t>(*found).value_or(0) : 0;
  };
  record.holder = text("holderIdentity");
  record.acquire_time = text("acquireTime");
  record.renew_time = text("renewTime");
  record.lease_duration_seconds =
      static_cast<int>(std::clamp<int64_t>(number("leaseDurationSeconds"), 0, 24 * 60 * 60));
  record.transitions = number("leaseTransitions");
  return record;
}

LeaseAction DecideLease(const std::optional<LeaseView>& view, const std::string& identity,
                        base::SteadyTime now) {
  if (!view) return LeaseAction::kCreate;
  if (view->record.holder == identity) return LeaseAction::kRenew;
  if (view->record.holder.empty()) return LeaseAction::kAcquire;
  return now >= ExpiryOf(*view) ? LeaseAction::kAcquire : LeaseAction::kWait;
}

LeaderElector::LeaderElector(Options options, kube::ApiClient& client, const base::Clock& clock,
                             base::Random& random, Registry* metrics)
    : options_(std::move(options)),
      client_(client),
      clock_(clock),
      random_(random),
      tasks_(options_.on_failure) {
  if (metrics == nullptr) return;
  master_status_ = &metrics->Gauge("leader_election_master_status",
                                   "Gauge of if the reporting system is master of the relevant "
                                   "lease, 0 indicates backup, 1 indicates master. 'name' is the "
                                   "string used to identify the lease. Please make sure to group "
                                   "by name.",
                                   {"name"});
  master_status_->Set({options_.lease_name}, 0);
}

LeaderElector::~LeaderElector() {
  tasks_.RequestStop();
  tasks_.Join();
}

void LeaderElector::Start(const base::Context& ctx) {
  tasks_.Start("elector", [this, ctx](std::stop_token stop) {
    const std::stop_callback bridge(ctx.stop(), [this] { tasks_.RequestStop(); });
    const base::Context mine = ctx.WithStop(stop);
    while (!stop.stop_requested() && !lost().stop_requested()) WaitFor(stop, Step(mine));
  });
  // A request should end by its deadline, but work that obeys lost() alone must end in time however
  // long one hangs.
  tasks_.Start("lease-watchdog", [this](std::stop_token stop) {
    while (!stop.stop_requested() && !lost().stop_requested()) WaitFor(stop, Guard());
  });
}

base::Duration LeaderElector::Guard() {
  const base::SteadyTime::rep until = leads_until_.load();
  // Not leading yet: who begins to lead meanwhile does so for longer than this.
  if (until == 0) return options_.retry_period;
  const auto left = base::SteadyTime(base::SteadyTime::duration(until)) - clock_.Now();
  if (left.count() > 0) return std::chrono::ceil<base::Duration>(left);
  Lose("it was not renewed in time");
  return options_.retry_period;
}

bool LeaderElector::IsLeader() const {
  if (lost_.stop_requested()) return false;  // For good, even if an answer comes after all.
  const base::SteadyTime::rep until = leads_until_.load();
  return until != 0 && clock_.Now().time_since_epoch().count() < until;
}

base::Duration LeaderElector::Step(const base::Context& ctx) {
  if (lost().stop_requested()) return options_.retry_period;
  if (led_ && !IsLeader()) {
    Lose("it was not renewed in time");
    return options_.retry_period;
  }
  const base::SteadyTime sent = clock_.Now();
  // Half the deadline, so that a request that hangs can be tried again in time; and a leader's
  // request may not outlive its leadership.
  base::SteadyTime until = sent + options_.renew_deadline / 2;
  if (led_) {
    until = std::min(until, base::SteadyTime(base::SteadyTime::duration(leads_until_.load())));
  }
  const bool held = Hold(ctx.WithTimeout(std::chrono::duration_cast<base::Duration>(until - sent)));
  if (ctx.Stopped()) return base::Duration(0);  // StopAndRelease() goes on from here.
  if (led_ && !IsLeader()) {
    // Also when the answer was yes, but came too late: others have seen us as gone since.
    Lose("its renewal took too long");
  } else if (held) {
    // Counted from before the request: nobody can have seen this renewal earlier.
    leads_until_ = (sent + options_.renew_deadline).time_since_epoch().count();
    if (!led_) {
      led_ = true;
      if (master_status_ != nullptr) master_status_->Set({options_.lease_name}, 1);
      ctx.log().Info("leading: lease {}/{} is held by {}", options_.lease_namespace,
                     options_.lease_name, options_.identity);
      if (options_.on_started) options_.on_started();
    }
  } else if (led_ && view_ && view_->record.holder != options_.identity) {
    Lose(fmt::format("it is held by '{}'", view_->record.holder));
  }
  return NextLook();
}

base::Duration LeaderElector::NextLook() {
  const base::SteadyTime now = clock_.Now();
  base::Duration wait = options_.retry_period;
  if (led_) {
    // Not past the end of our leadership, so that a loss is told when it happens.
    const base::SteadyTime until(base::SteadyTime::duration(leads_until_.load()));
    wait = std::min(wait, std::chrono::ceil<base::Duration>(until - now));
  } else {
    // Spread, so that many candidates do not ask together; and not long after it becomes free.
    wait = base::Backoff(wait, wait, 0, random_.Fraction());
    if (view_ && !view_->record.holder.empty()) {
      wait = std::min(wait, std::chrono::ceil<base::Duration>(ExpiryOf(*view_) - now));
    }
  }
  return std::max(wait, kShortestWait);
}

bool LeaderElector::Hold(const base::Context& ctx) {
  // What we hold was written by us last, so the first look is spared.
  if (!led_ || !lease_) {
    if (const base::Status looked = Look(ctx); !looked.ok()) {
      if (!ctx.Stopped()) {
        ctx.log().Warn("the lease cannot be read: {}", looked.error().message);
      }
      return false;
    }
  }
  const LeaseAction action = DecideLease(view_, options_.identity, clock_.Now());
  if (action == LeaseAction::kWait) {
    if (told_holder_ != view_->record.holder) {
      told_holder_ = view_->record.holder;
      ctx.log().Info("waiting: lease {}/{} is held by {}", options_.lease_namespace,
                     options_.lease_name, told_holder_);
      if (options_.on_other) options_.on_other(told_holder_);
    }
    return false;
  }
  // Somebody took it from us and let it go again: that is a loss too.
  if (led_ && action == LeaseAction::kAcquire) return false;
  LeaseRecord record = view_ ? view_->record : LeaseRecord{};
  const std::string now = base::FormatMicroTime(clock_.Wall());
  if (action != LeaseAction::kRenew) {
    if (action == LeaseAction::kAcquire) ++record.transitions;
    record.holder = options_.identity;
    record.acquire_time = now;
  }
  record.renew_time = now;
  record.lease_duration_seconds =
      static_cast<int>(std::chrono::ceil<std::chrono::seconds>(options_.lease_duration).count());
  const base::Status written = Write(ctx, action == LeaseAction::kCreate, record);
  if (written.ok()) return true;
  if (!ctx.Stopped()) ctx.log().Warn("the lease cannot be written: {}", written.error().message);
  // Whatever was wrong, what we remember may be old. A look costs little and tells who holds it.
  if (led_) {
    lease_.reset();
    if (!ctx.Stopped() && Look(ctx).ok() && view_ && view_->record.holder == options_.identity) {
      return Write(ctx, false, record).ok();
    }
  }
  return false;
}

base::Status LeaderElector::Look(const base::Context& ctx) {
  auto lease = client_.Get(ctx, kLeases, {options_.lease_namespace, options_.lease_name});
  if (lease.Is(Code::kNotFound)) {
    view_.reset();
    lease_.reset();
    return base::Ok();
  }
  if (!lease.ok()) return lease.error();
  Remember(std::move(*lease));
  return base::Ok();
}

base::Status LeaderElector::Write(const base::Context& ctx, bool create,
                                  const LeaseRecord& record) {
  base::Result<json> written = json();
  if (create) {
    written = client_.Create(
        ctx, kLeases, options_.lease_namespace,
        {{"apiVersion", "coordination.k8s.io/v1"},
         {"kind", "Lease"},
         {"metadata", {{"name", options_.lease_name}, {"namespace", options_.lease_namespace}}},
         {"spec", SpecOf(record)}});
  } else {
    // The whole object with its resourceVersion: refused when anybody wrote it since, and what
    // others put into its metadata stays.
    json lease = *lease_;
    lease["spec"].update(SpecOf(record));
    written = client_.Replace(ctx, kLeases, {options_.lease_namespace, options_.lease_name}, lease);
  }
  if (!written.ok()) return written.error();
  Remember(std::move(*written));
  return base::Ok();
}

void LeaderElector::Remember(json lease) {
  const LeaseRecord record = ParseLease(lease);
  if (!view_ || view_->record != record) view_ = LeaseView{record, clock_.Now()};
  lease_ = std::make_shared<const json>(std::move(lease));
}

void LeaderElector::Lose(const std::string& why) {
  if (!lost_.request_stop()) return;  // The other thread has told it.
  if (master_status_ != nullptr) master_status_->Set({options_.lease_name}, 0);
  if (options_.on_lost) options_.on_lost(why);
}

void LeaderElector::StopAndRelease(const base::Context& ctx) {
  tasks_.RequestStop();
  tasks_.Join();
  const bool leading = led_ && IsLeader();
  leads_until_ = 0;
  if (!leading) return;
  led_ = false;
  if (master_status_ != nullptr) master_status_->Set({options_.lease_name}, 0);
  const base::Context limited = ctx.WithTimeout(kReleaseTimeout);
  base::Status released = base::MakeError(Code::kNotFound, "the lease is gone");
  // Twice: a renewal that was cut off may have been done, then our resourceVersion is old.
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!lease_ && !Look(limited).ok()) break;
    if (!view_ || view_->record.holder != options_.identity) break;
    LeaseRecord record = view_->record;
    record.holder.clear();
    record.lease_duration_seconds = 1;  // client-go's way; zero is not valid.
    record.renew_time = base::FormatMicroTime(clock_.Wall());
    released = Write(limited, false, record);
    if (released.ok()) break;
    lease_.reset();
  }
  if (!released.ok()) {
    ctx.log().Warn("the lease could not be released: {}", released.error().message);
  }
}

}  // namespace oms::runtime
