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
           std::chrono::milliseconds(ms_.load());
  }
  void Advance(base::Duration by) { ms_ += by.count(); }

 private:
  std::atomic<int64_t> ms_{1'000'000};
};

}  // namespace oms::fakes
