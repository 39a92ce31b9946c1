#include "controller/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

namespace oms::base {
namespace {

std::atomic<LogFormat> g_format{LogFormat::kText};
std::atomic<LogLevel> g_level{LogLevel::kInfo};

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarn: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

}  // namespace

void InitLogging(LogFormat format, LogLevel level) {
  g_format = format;
  g_level = level;
  auto logger =
      std::make_shared<spdlog::logger>("oms", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(ToSpdlog(level));
  // In JSON the message is already a run of members, so the pattern only adds the braces around
  // them.
  logger->set_pattern(format == LogFormat::kJson
                          ? R"({"ts":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l","thread":%t,%v})"
                          : "%Y-%m-%dT%H:%M:%S.%eZ %^%-5!l%$ %v",
                      spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

Logger Logger::With(std::string key, std::string value) const {
  auto fields = fields_ ? std::make_shared<Fields>(*fields_) : std::make_shared<Fields>();
  fields->emplace_back(std::move(key), std::move(value));
  Logger child;
  child.fields_ = std::move(fields);
  return child;
}

bool Logger::Enabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

void Logger::Write(LogLevel level, std::string_view text) const {
  std::string line;
  if (g_format == LogFormat::kJson) {
    line = "\"msg\":";
    AppendJsonString(line, text);
    if (fields_) {
      for (const auto& [key, value] : *fields_) {
        line += ',';
        AppendJsonString(line, key);
        line += ':';
        AppendJsonString(line, value);
      }
    }
  } else {
    line = text;
    if (fields_) {
      for (const auto& [key, value] : *fields_) line += fmt::format(" {}={}", key, value);
    }
  }
  spdlog::log(ToSpdlog(level), "{}", line);
}

}  // namespace oms::base
