// Time, passed in. Nothing but SystemClock asks the machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace oms::base {

using Duration = std::chrono::milliseconds;
using SteadyTime = std::chrono::steady_clock::time_point;  // For deadlines; never shown to anyone.
using WallTime = std::chrono::system_clock::time_point;    // For people and records.

class Clock {
 public:
  virtual ~Clock() = default;
  virtual SteadyTime Now() const = 0;
  virtual WallTime Wall() const = 0;
};

// Thread-safe.
class SystemClock final : public Clock {
 public:
  // CLOCK_BOOTTIME would be better for a Lease, but libstdc++'s waits take steady_clock only.
  SteadyTime Now() const override { return std::chrono::steady_clock::now(); }
  WallTime Wall() const override { return std::chrono::system_clock::now(); }
};

// Times that are read, and written, are within these two: what is out of them, as the
// 0001-01-01T00:00:00Z of an engine for never, is the first or the last. The difference of any two
// holds, and so does a time and kLongestDuration.
inline constexpr WallTime kFirstTime{std::chrono::seconds(-2'208'988'800)};  // 1900-01-01
inline constexpr WallTime kLastTime{std::chrono::seconds(5'680'281'600)};    // 2150-01-01
WallTime WallTimeOf(int64_t seconds);                                        // Since 1970.

// Ten years. Longer means for ever, to people; as a number it would not hold in all that is
// reckoned with it.
inline constexpr Duration kLongestDuration = std::chrono::hours(87'600);

// RFC 3339 in UTC with seconds, as metav1.Time writes it: 2026-01-02T03:04:05Z.
std::string FormatTime(WallTime time);
// The same with microseconds, as metav1.MicroTime (Lease, Event) writes it.
std::string FormatMicroTime(WallTime time);
// Any RFC 3339 time: either of both, and with an offset such as +08:00 instead of Z. Nanoseconds
// are cut to microseconds.
Result<WallTime> ParseTime(std::string_view text);

// "1h30m", "90s", "500ms", "72h": Go's duration syntax, as Kubernetes resources use it. Not
// negative; longer than kLongestDuration is kInvalid.
Result<Duration> ParseDuration(std::string_view text);
// The same, but what is longer than `most` is `most`.
Result<Duration> ParseDurationAtMost(std::string_view text, Duration most);
// "1h2m3s", cut to whole seconds; below a second "450ms". ParseDuration() reads all that it writes:
// nothing lasts less than no time, so what a clock that was set back makes negative is "0s"; and
// nothing lasts longer than kLongestDuration.
std::string FormatDuration(Duration duration);

// A random number in [0, 1), passed in so that tests can choose it.
class Random {
 public:
  virtual ~Random() = default;
  virtual double Fraction() = 0;
};
std::unique_ptr<Random> MakeSystemRandom();  // Thread-safe.

// 32 lower-case hex digits of the kernel's randomness.
std::string RandomId();

// initial * 2^failures, at most `max`, times a jitter in [0.8, 1.2]. `failures` begins at 0.
Duration Backoff(Duration initial, Duration max, int failures, double random_fraction);

}  // namespace oms::base
