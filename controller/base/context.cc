#include "controller/base/context.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace oms::base {

Context Context::WithTimeout(Duration timeout) const {
  Context copy = *this;
  copy.deadline_ = std::min(deadline_, clock_->Now() + timeout);
  return copy;
}

Context Context::WithNewDeadline(Duration timeout) const {
  Context copy = *this;
  copy.deadline_ = clock_->Now() + timeout;
  return copy;
}

Context Context::WithLogger(Logger logger) const {
  Context copy = *this;
  copy.logger_ = std::move(logger);
  return copy;
}

Context Context::WithStop(std::stop_token stop) const {
  Context copy = *this;
  copy.stop_ = std::move(stop);
  return copy;
}

Context Context::WithPermission(Permission may_act) const {
  Context copy = *this;
  copy.may_act_ = std::make_shared<const Permission>(std::move(may_act));
  return copy;
}

Status Context::Check() const {
  if (stop_.stop_requested()) return MakeError(Code::kCancelled, "stopping");
  if (may_act_ && !(*may_act_)()) {
    return MakeError(Code::kFenced,
                     "the Lease of this process has expired; another replica may be active");
  }
  if (clock_->Now() >= deadline_)
    return MakeError(Code::kTimeout, "the deadline for this was exceeded");
  return Ok();
}

Duration Context::Remaining() const {
  if (deadline_ == SteadyTime::max()) return std::chrono::hours(24 * 365);
  return std::max(Duration(0), std::chrono::duration_cast<Duration>(deadline_ - clock_->Now()));
}

Status Pause(const Context& ctx, Duration time) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, ctx.stop(), std::min(time, ctx.Remaining()), [] { return false; });
  return ctx.Check();
}

}  // namespace oms::base
