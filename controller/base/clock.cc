#include "controller/base/clock.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <mutex>
#include <random>

namespace oms::base {
namespace {

std::tm ToUtc(WallTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return utc;
}

WallTime Within(WallTime time) { return std::clamp(time, kFirstTime, kLastTime); }

class SystemRandom final : public Random {
 public:
  double Fraction() override {
    std::lock_guard lock(mutex_);
    return distribution_(engine_);
  }

 private:
  std::mutex mutex_;
  std::mt19937_64 engine_{std::random_device{}()};
  std::uniform_real_distribution<double> distribution_{0.0, 1.0};
};

}  // namespace

WallTime WallTimeOf(int64_t seconds) {
  constexpr int64_t kFirst =
      std::chrono::duration_cast<std::chrono::seconds>(kFirstTime.time_since_epoch()).count();
  constexpr int64_t kLast =
      std::chrono::duration_cast<std::chrono::seconds>(kLastTime.time_since_epoch()).count();
  return WallTime(std::chrono::seconds(std::clamp(seconds, kFirst, kLast)));
}

std::string FormatTime(WallTime time) {
  const auto floored = std::chrono::floor<std::chrono::seconds>(Within(time));
  const std::tm utc = ToUtc(floored);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

std::string FormatMicroTime(WallTime time) {
  const WallTime within = Within(time);
  const auto floored = std::chrono::floor<std::chrono::seconds>(within);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(within - floored);
  std::string text = FormatTime(floored);
  text.pop_back();
  return fmt::format("{}.{:06}Z", text, micros.count());
}

Result<WallTime> ParseTime(std::string_view text) {
  const auto bad = [&] {
    return MakeError(Code::kInvalid,
                     fmt::format("'{}' is not a time such as 2026-01-02T03:04:05Z", text));
  };
  std::string_view rest = text;
  const auto take = [&rest](char wanted) {
    if (!rest.starts_with(wanted)) return false;
    rest.remove_prefix(1);
    return true;
  };
  // So many digits, from `low` to `high`.
  const auto number = [&rest](size_t digits, int low, int high, int& out) {
    out = 0;
    if (rest.size() < digits) return false;
    for (const char c : rest.substr(0, digits)) {
      if (c < '0' || c > '9') return false;
      out = out * 10 + (c - '0');
    }
    rest.remove_prefix(digits);
    return low <= out && out <= high;
  };
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  const bool fields = number(4, 0, 9999, year) && take('-') && number(2, 1, 12, month) &&
                      take('-') && number(2, 1, 31, day) && take('T') && number(2, 0, 23, hour) &&
                      take(':') && number(2, 0, 59, minute) && take(':') &&
                      number(2, 0, 60, second);
  if (!fields) return bad();
  int64_t micros = 0;
  if (take('.')) {
    if (rest.empty() || rest.front() < '0' || rest.front() > '9') return bad();
    for (int64_t scale = 100000; !rest.empty() && rest.front() >= '0' && rest.front() <= '9';
         scale /= 10) {
      micros += (rest.front() - '0') * scale;
      rest.remove_prefix(1);
    }
  }
  int64_t ahead = 0;  // Of UTC, in seconds.
  if (!take('Z')) {
    int hours = 0, minutes = 0;
    const int sign = rest.starts_with('-') ? -1 : 1;
    const bool offset = (take('+') || take('-')) && number(2, 0, 23, hours) && take(':') &&
                        number(2, 0, 59, minutes);
    if (!offset) return bad();
    ahead = sign * (hours * 3600 + minutes * 60);
  }
  if (!rest.empty()) return bad();
  std::tm utc{};
  utc.tm_year = year - 1900;
  utc.tm_mon = month - 1;
  utc.tm_mday = day;
  utc.tm_hour = hour;
  utc.tm_min = minute;
  utc.tm_sec = second;
  const WallTime time = WallTimeOf(timegm(&utc) - ahead);
  // The first and the last one may be anything far from now.
  if (time == kFirstTime || time == kLastTime) return time;
  return time + std::chrono::microseconds(micros);
}

Result<Duration> ParseDuration(std::string_view text) {
  OMS_ASSIGN(const Duration duration, ParseDurationAtMost(text, kLongestDuration + Duration(1)));
  if (duration <= kLongestDuration) return duration;
  return MakeError(Code::kInvalid,
                   fmt::format("'{}' is too long; write at most 87600h (10 years)", text));
}

Result<Duration> ParseDurationAtMost(std::string_view text, Duration most) {
  const auto bad = [&] {
    return MakeError(Code::kInvalid,
                     fmt::format("'{}' is not a duration; write it as 90s, 15m or 72h", text));
  };
  if (text.empty()) return bad();
  int64_t total_ms = 0;
  size_t at = 0;
  while (at < text.size()) {
    int64_t number = 0;
    const size_t begin = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
      number = number * 10 + (text[at] - '0');
      if (number > 1'000'000'000) return bad();
      ++at;
    }
    if (at == begin) return bad();
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("ms")) {
      total_ms += number;
      at += 2;
    } else if (rest.starts_with("h")) {
      total_ms += number * 3'600'000;
      ++at;
    } else if (rest.starts_with("m")) {
      total_ms += number * 60'000;
      ++at;
    } else if (rest.starts_with("s")) {
      total_ms += number * 1'000;
      ++at;
    } else {
      return bad();
    }
    total_ms = std::min<int64_t>(total_ms, most.count());
  }
  return Duration(total_ms);
}

std::string FormatDuration(Duration duration) {
  const int64_t ms = std::clamp(duration, Duration(0), kLongestDuration).count();
  if (ms == 0) return "0s";
  if (ms < 1000) return fmt::format("{}ms", ms);
  const int64_t seconds = ms / 1000;
  std::string text;
  if (seconds >= 3600) text += fmt::format("{}h", seconds / 3600);
  if (seconds >= 60) text += fmt::format("{}m", seconds / 60 % 60);
  text += fmt::format("{}s", seconds % 60);
  return text;
}

std::unique_ptr<Random> MakeSystemRandom() { return std::make_unique<SystemRandom>(); }

std::string RandomId() {
  unsigned char bytes[16];
  if (getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) {
    std::random_device device;
    for (auto& byte : bytes) byte = static_cast<unsigned char>(device());
  }
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

Duration Backoff(Duration initial, Duration max, int failures, double random_fraction) {
  const double factor = std::ldexp(1.0, std::clamp(failures, 0, 30));
  const double wanted = static_cast<double>(initial.count()) * factor;
  const double bounded = std::min(wanted, static_cast<double>(max.count()));
  return Duration(static_cast<int64_t>(bounded * (0.8 + 0.4 * random_fraction)));
}

}  // namespace oms::base
