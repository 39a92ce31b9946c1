// A Random that always says the same: with 0.5 a jitter in [0.8, 1.2] is 1.
#pragma once

#include "controller/base/clock.h"

namespace oms::fakes {

class FixedRandom final : public base::Random {
 public:
  explicit FixedRandom(double fraction = 0.5) : fraction_(fraction) {}
  double Fraction() override { return fraction_; }

 private:
  double fraction_;
};

}  // namespace oms::fakes
