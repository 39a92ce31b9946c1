// A clock that stands still until a test moves it. Thread-safe.
#pragma once

#include <atomic>

#include "controller/base/clock.h"

namespace oms::fakes {

class FakeClock final : public base::Clock {
 public:
  base::SteadyTime Now() const override {
    return base::SteadyTime(std::chrono::milliseconds(ms_.load()));
  }
  base::WallTime Wall() const override {
    return base::WallTime(std::chrono::seconds(1'767'323'045)) +
           std::chrono::milliseconds(ms_.load() + jumped_ms_.load());
  }
  void Advance(base::Duration by) { ms_ += by.count(); }
  void JumpWall(base::Duration by) { jumped_ms_ += by.count(); }  // As when somebody sets it.

 private:
  std::atomic<int64_t> ms_{1'000'000};
  std::atomic<int64_t> jumped_ms_{0};
};

}  // namespace oms::fakes
