#include "reconcilers/drivers/http/task_api_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "controller/base/json.h"
#include "crd/reasons.h"

namespace oms::drivers::http {
namespace {

using base::Code;
using base::MakeError;
using nlohmann::json;
using ports::OmsTaskStep;

base::Error Invalid(std::string_view operation, std::string_view what) {
  return MakeError(Code::kTransient, crd::reason::kTaskApiAnswerInvalid,
                   fmt::format("the answer to {} {}", operation, what));
}

const json* Member(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<bool> Truth(const json* value) {
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  if (*value == "true") return true;
  if (*value == "false") return false;
  return std::nullopt;
}

std::optional<int64_t> Number(const json* value) {
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return base::WholeNumber<int64_t>(*value);
  const auto& text = value->get_ref<const std::string&>();
  int64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string Text(const json& object, const char* key) {
  const json* value = Member(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

// A word of OMS's own, such as CM-RESOAT1111. Anything else may be what we have sent.
std::string ErrorCode(const json& answer) {
  std::string code = Text(answer, "code");
  if (const json* detail = Member(answer, "errorDetail");
      detail != nullptr && detail->is_object()) {
    if (std::string newer = Text(*detail, "code"); !newer.empty()) code = std::move(newer);
  }
  const bool word =
      code.size() <= 32 && std::all_of(code.begin(), code.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
      });
  return word ? code : std::string();
}

// An answer that says that it succeeded, and has "data".
base::Result<json> Succeeded(std::string_view body, std::string_view operation) {
  auto parsed = base::ParseJson(body);
  if (!parsed.ok()) return Invalid(operation, parsed.error().message);
  json answer = *std::move(parsed);
  if (!answer.is_object()) return Invalid(operation, "is not a JSON object");
  const auto success = Truth(Member(answer, "success"));
  if (!success) return Invalid(operation, "does not say whether it succeeded");
  if (!*success) {
    const std::string code = ErrorCode(answer);
    return MakeError(Code::kTransient, crd::reason::kTaskApiRefused,
                     fmt::format("OMS reports that {} failed{}", operation,
                                 code.empty() ? "" : fmt::format(" ({})", code)));
  }
  if (!answer.contains("data")) return Invalid(operation, "has no data");
  return answer;
}

std::optional<bool> LogProxy(const json& task, const char* side) {
  const json* connection = Member(task, side);
  if (connection == nullptr || !connection->is_object()) return std::nullopt;
  const json* more = Member(*connection, "connExtraAttributes");
  if (more == nullptr || !more->is_object()) return std::nullopt;
  return Truth(Member(*more, "useLogProxy"));
}

base::Result<ListedTask> OneTask(const json& value, std::string_view operation) {
  if (!value.is_object()) return Invalid(operation, "has a task that is not an object");
  ListedTask listed;
  ports::OmsTask& task = listed.task;
  task.id = Text(value, "id");
  if (task.id.empty()) return Invalid(operation, "has a task without an id");
  task.status = Text(value, "status");
  if (task.status.empty()) return Invalid(operation, "has a task without a status");
  task.name = Text(value, "name");
  task.source_type = Text(value, "sourceEndpointType");
  task.sink_type = Text(value, "sinkEndpointType");
  task.source_log_proxy = LogProxy(value, "sourceConnectInfo");
  task.sink_log_proxy = LogProxy(value, "sinkConnectInfo");
  listed.full = Truth(Member(value, "enableFullTransfer"));
  listed.incremental = Truth(Member(value, "enableIncrTransfer"));
  listed.reverse = Truth(Member(value, "enableReverseIncrTransfer"));
  return listed;
}

std::optional<int64_t> Behind(const json& step) {
  const json* info = Member(step, "stepInfo");
  if (info == nullptr || !info->is_object()) return std::nullopt;
  const auto at = Number(Member(*info, "incrTimestampCheckpoint"));
  const auto sampled = Number(Member(*info, "checkpointSampleTimestamp"));
  if (!at || !sampled || *at <= 0 || *sampled <= 0) return std::nullopt;
  return std::max<int64_t>(*sampled - *at, 0);
}

}  // namespace

base::Result<TaskPage> ReadTaskPage(std::string_view body) {
  constexpr std::string_view kOperation = "ListProjects";
  OMS_ASSIGN(const json answer, Succeeded(body, kOperation));
  const json& data = answer["data"];
  TaskPage page;
  if (data.is_null()) return page;  // None.
  if (!data.is_array()) return Invalid(kOperation, "has data that is not a list");
  for (const auto& value : data) {
    OMS_ASSIGN(ListedTask task, OneTask(value, kOperation));
    page.tasks.push_back(std::move(task));
  }
  page.total = Number(Member(answer, "totalCount"));
  return page;
}

base::Result<ListedTask> ReadTask(std::string_view body, const std::string& id) {
  constexpr std::string_view kOperation = "DescribeProject";
  OMS_ASSIGN(const json answer, Succeeded(body, kOperation));
  const json& data = answer["data"];
  const bool list_of_one = data.is_array() && data.size() == 1;
  OMS_ASSIGN(ListedTask task, OneTask(list_of_one ? data.front() : data, kOperation));
  if (task.task.id != id) return Invalid(kOperation, "is of another task");
  return task;
}

base::Result<std::vector<OmsTaskStep>> ReadTaskSteps(std::string_view body) {
  constexpr std::string_view kOperation = "DescribeProjectSteps";
  OMS_ASSIGN(const json answer, Succeeded(body, kOperation));
  const json& data = answer["data"];
  if (!data.is_array()) return Invalid(kOperation, "has data that is not a list");
  std::vector<OmsTaskStep> steps;
  for (const auto& value : data) {
    if (!value.is_object()) return Invalid(kOperation, "has a step that is not an object");
    OmsTaskStep step{Text(value, "name"), Text(value, "status"), Behind(value)};
    if (step.name.empty() || step.status.empty())
      return Invalid(kOperation, "has a step without a name or a status");
    steps.push_back(std::move(step));
  }
  return steps;
}

base::Result<std::string> ReadCurrentStep(std::string_view body, const std::string& id) {
  constexpr std::string_view kOperation = "DescribeProjectProgress";
  OMS_ASSIGN(const json answer, Succeeded(body, kOperation));
  const json& data = answer["data"];
  if (!data.is_object()) return Invalid(kOperation, "has data that is not an object");
  if (Text(data, "projectId") != id) return Invalid(kOperation, "is of another task");
  return Text(data, "currentStep");
}

}  // namespace oms::drivers::http
