// Context: the first argument of everything that blocks or acts on the world.
//
// A value; cheap to copy; thread-safe. It carries the wish to stop, a deadline, the right to go on,
// and the logger of this piece of work.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "controller/base/clock.h"
#include "controller/base/log.h"
#include "controller/base/result.h"

namespace oms::base {

class Context {
 public:
  // `may_act` answers whether this process may still act on the world at this instant (the Lease's
  // own deadline, looked at anew: a process that was stopped for a minute finds out here, before
  // its elector thread runs).
  using Permission = std::function<bool()>;

  Context(const Clock& clock, Logger logger, std::stop_token stop = {})
      : clock_(&clock), logger_(std::move(logger)), stop_(std::move(stop)) {}

  Context WithTimeout(Duration timeout) const;      // The earlier of both deadlines holds.
  Context WithNewDeadline(Duration timeout) const;  // Of a task that outlives the pass.
  Context WithLogger(Logger logger) const;
  Context WithStop(std::stop_token stop) const;  // Replaces the token.
  Context WithPermission(Permission may_act) const;

  // kCancelled, kTimeout or kFenced when the caller must not go on. Asked before each outward act.
  Status Check() const;
  bool Stopped() const { return stop_.stop_requested(); }

  const std::stop_token& stop() const { return stop_; }
  SteadyTime deadline() const { return deadline_; }
  Duration Remaining() const;  // Never negative.
  const Logger& log() const { return logger_; }
  const Clock& clock() const { return *clock_; }

 private:
  const Clock* clock_;
  Logger logger_;
  std::stop_token stop_;
  SteadyTime deadline_ = SteadyTime::max();
  std::shared_ptr<const Permission> may_act_;
};

// Waits for so long, but not beyond the deadline and not once it is to stop. As Check() then.
Status Pause(const Context& ctx, Duration time);

}  // namespace oms::base
