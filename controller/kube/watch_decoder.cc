#include "controller/kube/watch_decoder.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/base/json.h"

namespace oms::kube {
namespace {

using base::Code;
using nlohmann::json;

std::string StringMember(const json& from, const char* member) {
  if (!from.is_object()) return {};
  const auto found = from.find(member);
  return found != from.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Code CodeOf(int http_status, const std::string& reason) {
  switch (http_status) {
    case 400:
    case 405:
    case 406:
    case 413:
    case 415:
    case 422: return Code::kInvalid;
    case 401:
    case 403: return Code::kDenied;
    case 404: return Code::kNotFound;
    case 409: return reason == "AlreadyExists" ? Code::kAlreadyExists : Code::kConflict;
    case 410: return Code::kExpired;
    case 408:
    case 429: return Code::kTransient;
    default: return http_status >= 500 ? Code::kTransient : Code::kInternal;
  }
}

}  // namespace

base::Error ErrorFromStatus(int http_status, const json& status) {
  if (http_status == 0 && status.is_object()) {
    const auto code = status.find("code");
    if (code != status.end()) http_status = base::WholeNumber<int>(*code).value_or(0);
  }
  const std::string reason = StringMember(status, "reason");
  std::string message = StringMember(status, "message");
  if (message.empty()) message = fmt::format("the API server answered HTTP {}", http_status);
  // An in-stream error without a code: what "too old resource version" has been seen as.
  if (http_status == 0 && (reason == "Expired" || reason == "Gone")) http_status = 410;
  if (http_status == 0) http_status = 500;
  return base::MakeError(CodeOf(http_status, reason), reason, std::move(message));
}

base::Status WatchDecoder::Feed(std::string_view bytes, const WatchSink& sink) {
  while (true) {
    const size_t newline = bytes.find('\n');
    if (newline == std::string_view::npos) {
      buffer_.append(bytes);
      return base::Ok();
    }
    if (buffer_.empty()) {
      OMS_TRY(Line(bytes.substr(0, newline), sink));
    } else {
      buffer_.append(bytes.substr(0, newline));
      const std::string line = std::exchange(buffer_, {});
      OMS_TRY(Line(line, sink));
    }
    bytes.remove_prefix(newline + 1);
  }
}

base::Status WatchDecoder::Line(std::string_view line, const WatchSink& sink) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (line.empty()) return base::Ok();
  const auto broken = [] {
    return base::MakeError(Code::kTransient, "a line of the watch is not a watch event");
  };
  const auto parsed = base::ParseJson(line);
  if (!parsed.ok() || !parsed->is_object()) return broken();
  const json& event = *parsed;
  const auto object = event.find("object");
  if (object == event.end() || !object->is_object()) return broken();
  const std::string type = StringMember(event, "type");
  if (type == "ERROR") return ErrorFromStatus(0, *object);

  WatchEventType kind;
  if (type == "ADDED") {
    kind = WatchEventType::kAdded;
  } else if (type == "MODIFIED") {
    kind = WatchEventType::kModified;
  } else if (type == "DELETED") {
    kind = WatchEventType::kDeleted;
  } else if (type == "BOOKMARK") {
    kind = WatchEventType::kBookmark;
  } else {
    return broken();
  }
  OMS_TRY(sink(kind, *object));
  if (const auto meta = object->find("metadata"); meta != object->end()) {
    if (std::string version = StringMember(*meta, "resourceVersion"); !version.empty()) {
      resource_version_ = std::move(version);
    }
  }
  return base::Ok();
}

}  // namespace oms::kube
