#include "reconcilers/observe/script_look.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "controller/base/json.h"

namespace oms::observe {
namespace {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using Kind = model::ScriptState::Kind;

constexpr size_t kOutputLimit = 8u << 10;

bool IsIdentifier(std::string_view text) {
  return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

// The file's content, nothing if it is not there.
Result<std::optional<std::string>> ReadIfThere(const Context& ctx,
                                               ports::ContainerEngineView& engine,
                                               const std::string& container,
                                               const std::string& path) {
  auto file = engine.ReadFile(ctx, container, path);
  if (file.Is(Code::kNotFound)) return std::optional<std::string>();
  if (!file.ok()) return file.error();
  return std::optional<std::string>(std::move(file->content));
}

std::optional<int> ExitCode(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  int code = 0;
  const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), code);
  if (text.empty() || ec != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return code;
}

std::string Output(const Context& ctx, ports::ContainerEngineView& engine,
                   const std::string& container, const std::string& marker) {
  auto text = ReadIfThere(ctx, engine, container, marker + "/output.log");
  if (!text.ok()) {
    return fmt::format("(see {}/output.log; it cannot be shown: {})", marker, text.error().message);
  }
  return text->has_value() ? LastLines(**text) : std::string();
}

// kEnded if the exit code is there, else nothing.
Result<std::optional<model::ScriptState>> LookForEnd(const Context& ctx,
                                                     ports::ContainerEngineView& engine,
                                                     const std::string& container,
                                                     const std::string& marker) {
  OMS_ASSIGN(const auto text, ReadIfThere(ctx, engine, container, marker + "/exit_code"));
  if (!text) return std::optional<model::ScriptState>();
  model::ScriptState state;
  const auto code = ExitCode(*text);
  state.kind = code ? Kind::kEnded : Kind::kUnknown;
  state.exit_code = code.value_or(0);
  state.output = Output(ctx, engine, container, marker);
  return std::optional<model::ScriptState>(std::move(state));
}

// The marker as a whole word of the command line: ".../1" is not ".../12".
bool Names(std::string_view command, std::string_view marker) {
  for (size_t at = command.find(marker); at != std::string_view::npos;
       at = command.find(marker, at + 1)) {
    const size_t end = at + marker.size();
    if (end == command.size() || command[end] == ' ') return true;
  }
  return false;
}

Result<bool> Runs(const Context& ctx, ports::ContainerEngineView& engine,
                  const std::string& container, const std::string& marker) {
  OMS_ASSIGN(const auto info, engine.Inspect(ctx, container));
  if (!info.running) return false;
  auto processes = engine.Processes(ctx, container);
  if (processes.Is(Code::kConflict)) return false;  // Stopped in between.
  if (!processes.ok()) return processes.error();
  return std::any_of(processes->begin(), processes->end(), [&](const ports::ProcessInfo& process) {
    return process.command.find(kScriptProcess) != std::string::npos &&
           Names(process.command, marker);
  });
}

}  // namespace

std::string LastLines(std::string_view text) {
  if (text.size() > kOutputLimit) {
    text.remove_prefix(text.size() - kOutputLimit);
    const size_t newline = text.find('\n');
    if (newline != std::string_view::npos) text.remove_prefix(newline + 1);
  }
  using Json = nlohmann::json;
  const std::string valid = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return base::ParseJson(valid).value_or(Json("")).get<std::string>();
}

Result<std::string> MarkerPath(std::string_view operation, std::string_view step, int attempt) {
  if (!IsIdentifier(operation) || !IsIdentifier(step) || attempt < 1) {
    return MakeError(Code::kInvalid, fmt::format("\"{}\", \"{}\", {} cannot name a script's marker",
                                                 operation, step, attempt));
  }
  return fmt::format("/home/admin/logs/oms-upgrade/{}/{}/{}", operation, step, attempt);
}

Result<model::ScriptState> LookAtScript(const Context& ctx, ports::ContainerEngineView& engine,
                                        const std::string& container, const std::string& marker) {
  // Before the files: a container that is gone must not look like a file that is not there.
  OMS_TRY(engine.Inspect(ctx, container));
  auto folder = engine.ReadFile(ctx, container, marker);
  if (folder.Is(Code::kNotFound)) return model::ScriptState{};
  if (!folder.ok()) return folder.error();
  if (folder->regular) return model::ScriptState{Kind::kNeverRan, 0, {}};
  OMS_ASSIGN(auto ended, LookForEnd(ctx, engine, container, marker));
  if (ended) return *std::move(ended);

  OMS_ASSIGN(const bool runs, Runs(ctx, engine, container, marker));
  if (runs) return model::ScriptState{Kind::kRunning, 0, {}};
  // It may have ended between the first look at its files and the look at the processes.
  OMS_ASSIGN(ended, LookForEnd(ctx, engine, container, marker));
  if (ended) return *std::move(ended);
  return model::ScriptState{Kind::kUnknown, 0, Output(ctx, engine, container, marker)};
}

}  // namespace oms::observe
