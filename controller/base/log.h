// Structured logging. spdlog is in log.cc only.
//
// A Logger is a value: a level, and the fields that every line of it carries (key, operation, ...).
// Thread-safe. Nothing secret is ever given to it: what holds a secret has no formatter.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oms::base {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class LogFormat { kText, kJson };

// Once, in main(), before any Logger is used. Lines go to standard error.
void InitLogging(LogFormat format, LogLevel level);

class Logger {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  Logger() = default;
  Logger With(std::string key, std::string value) const;

  template <typename... A>
  void Debug(fmt::format_string<A...> text, A&&... args) const {
    if (Enabled(LogLevel::kDebug))
      Write(LogLevel::kDebug, fmt::format(text, std::forward<A>(args)...));
  }
  template <typename... A>
  void Info(fmt::format_string<A...> text, A&&... args) const {
    if (Enabled(LogLevel::kInfo))
      Write(LogLevel::kInfo, fmt::format(text, std::forward<A>(args)...));
  }
  template <typename... A>
  void Warn(fmt::format_string<A...> text, A&&... args) const {
    if (Enabled(LogLevel::kWarn))
      Write(LogLevel::kWarn, fmt::format(text, std::forward<A>(args)...));
  }
  template <typename... A>
  void Error(fmt::format_string<A...> text, A&&... args) const {
    if (Enabled(LogLevel::kError))
      Write(LogLevel::kError, fmt::format(text, std::forward<A>(args)...));
  }

 private:
  static bool Enabled(LogLevel level);
  void Write(LogLevel level, std::string_view text) const;

  std::shared_ptr<const Fields> fields_;  // Null: none.
};

}  // namespace oms::base
