#include "reconcilers/drivers/docker/docker_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "crd/reasons.h"
#include "reconcilers/drivers/docker/docker_engine.h"
#include "reconcilers/drivers/docker/docker_json.h"
#include "reconcilers/drivers/docker/docker_stream.h"

namespace oms::drivers::docker {

using base::Code;
using base::Context;
using base::Duration;
using base::MakeError;
using base::Result;
using base::Status;
using Json = nlohmann::json;

namespace {

// The versions that this driver was written for: 1.40 is what the newest engines still speak, and
// nothing that it uses has changed up to 1.47.
constexpr int kMinMinor = 40;
constexpr int kMaxMinor = 47;

std::optional<int> Minor(std::string_view version) {
  if (!version.starts_with("1.")) return std::nullopt;
  version.remove_prefix(2);
  int minor = 0;
  const auto [stop, ec] = std::from_chars(version.data(), version.data() + version.size(), minor);
  if (ec != std::errc() || stop != version.data() + version.size()) return std::nullopt;
  return minor;
}

// The lines of JSON that load and pull answer with: remembers the error that one of them holds.
class ProgressLines {
 public:
  void Add(std::string_view bytes) {
    for (const char c : bytes) {
      if (c != '\n') {
        if (line_.size() < (1u << 20)) line_ += c;
        continue;
      }
      Finish();
    }
  }
  void Finish() {
    const Json line = Parse(line_);
    line_.clear();
    if (!line.is_object()) return;
    std::string error = Text(At(At(line, "errorDetail"), "message"));
    if (error.empty()) error = Text(At(line, "error"));
    if (!error.empty() && error_.empty()) error_ = ToUtf8(error);
  }
  const std::string& error() const { return error_; }

 private:
  std::string line_, error_;
};

}  // namespace

base::Error DockerCalls::UnexpectedAnswer(std::string_view what) const {
  return MakeError(Code::kTransient, crd::reason::kEngineError,
                   fmt::format("the Docker Engine at {} gave an answer that cannot be understood "
                               "({}); check that it is a Docker Engine",
                               endpoint_.text, what));
}

base::Error DockerCalls::Refused(const std::string& what, const HttpResponse& response) const {
  std::string said = ToUtf8(Text(At(Parse(response.body), "message")));
  if (said.empty()) said = fmt::format("HTTP {}", response.status);
  const std::string text =
      fmt::format("the Docker Engine at {} refused to {}: {}", endpoint_.text, what, said);
  switch (response.status) {
    case 401:
    case 403: return MakeError(Code::kDenied, crd::reason::kEngineDenied, text);
    case 404: {
      std::string reason = crd::inner_reason::kNotFound;
      if (said.starts_with("No such container")) reason = crd::reason::kNoSuchContainer;
      if (said.starts_with("No such image")) reason = crd::reason::kNoSuchImage;
      return MakeError(Code::kNotFound, reason, text);
    }
    case 409: return MakeError(Code::kConflict, crd::reason::kEngineConflict, text);
    default: break;
  }
  if (response.status >= 500) return MakeError(Code::kTransient, crd::reason::kEngineError, text);
  return MakeError(Code::kInvalid, crd::reason::kEngineRefused, text);
}

Result<std::string> DockerCalls::ContainerPath(const std::string& id,
                                               const std::string& rest) const {
  if (id.empty()) return MakeError(Code::kInvalid, "the name of the container is empty");
  return "/containers/" + EscapeUrl(id) + rest;
}

Result<std::string> DockerCalls::ApiVersion(const Context& ctx) {
  {
    const std::lock_guard lock(mutex_);
    if (!api_version_.empty()) return api_version_;
  }
  OMS_ASSIGN(const auto response,
             Exchange(ctx.WithTimeout(kQuick), endpoint_, {.method = "GET", .target = "/version"}));
  if (response.status != 200) return Refused("report its version", response);
  const Json doc = Parse(response.body);
  auto version = NegotiateApiVersion(Text(At(doc, "MinAPIVersion")), Text(At(doc, "ApiVersion")));
  if (!version.ok()) return version.error().Wrap("the Docker Engine at " + endpoint_.text);
  const std::lock_guard lock(mutex_);
  api_version_ = *version;
  return *version;
}

void DockerCalls::ForgetApiVersion() {
  const std::lock_guard lock(mutex_);
  api_version_.clear();
}

Result<HttpResponse> DockerCalls::Call(const Context& ctx, const std::string& what,
                                       HttpRequest request, const HttpOptions& options,
                                       std::optional<Duration> limit) {
  OMS_TRY(ctx.Check());
  OMS_ASSIGN(const auto version, ApiVersion(ctx));
  request.target = "/v" + version + request.target;
  auto response = Exchange(limit ? ctx.WithTimeout(*limit) : ctx, endpoint_, request, options);
  if (!response.ok()) {
    if (response.error().reason == crd::reason::kEngineUnreachable) ForgetApiVersion();
    return response.error().reason == crd::reason::kEngineAnswerTooLong
               ? response.error().Wrap(what)
               : response.error();
  }
  const int status = response->status;
  if ((status >= 200 && status < 300) || status == 304) return response;
  if (status == 400) ForgetApiVersion();  // Perhaps "client version is too new".
  return Refused(what, *response);
}

Status DockerCalls::Simple(const Context& ctx, const std::string& what, HttpRequest request,
                           Duration limit) {
  OMS_TRY(Call(ctx, what, std::move(request), {}, limit));
  return base::Ok();
}

Status DockerCalls::CallWithProgress(const Context& ctx, const std::string& what,
                                     const HttpRequest& request, const std::string& reason,
                                     Code (*broken)(const std::string& words)) {
  ProgressLines lines;
  HttpOptions options;
  options.sink = [&](std::string_view piece) -> Status {
    lines.Add(piece);
    return base::Ok();
  };
  auto called = Call(ctx, what, request, options, std::nullopt);
  lines.Finish();
  if (!lines.error().empty()) {
    return MakeError(broken(lines.error()), reason,
                     fmt::format("the Docker Engine at {} could not {}: {}", endpoint_.text, what,
                                 lines.error()));
  }
  if (!called.ok()) return called.error();
  return base::Ok();
}

Result<std::string> NegotiateApiVersion(std::string_view min, std::string_view max) {
  const auto highest = Minor(max);
  // Engines before 1.25 do not name a minimum.
  const auto lowest = min.empty() ? std::optional<int>(0) : Minor(min);
  if (!highest || !lowest || *highest < kMinMinor || *lowest > kMaxMinor) {
    return MakeError(
        Code::kInvalid, crd::reason::kEngineApiVersion,
        fmt::format("it speaks API versions {} to {}, this controller 1.{} to 1.{}; use an engine "
                    "or a controller of another release",
                    min.empty() ? "?" : ToUtf8(min), max.empty() ? "?" : ToUtf8(max), kMinMinor,
                    kMaxMinor));
  }
  return fmt::format("1.{}", std::min(*highest, kMaxMinor));
}

}  // namespace oms::drivers::docker
