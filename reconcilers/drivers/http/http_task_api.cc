#include "reconcilers/drivers/http/http_task_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "controller/base/base64.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/http/http_exchange.h"
#include "reconcilers/drivers/http/task_api_answer.h"

namespace oms::drivers::http {
namespace {

using base::Code;
using base::MakeError;
using nlohmann::json;
using ports::OmsTask;
using ports::OmsTaskStep;
using ports::TaskApiAddress;

constexpr base::Duration kCallTimeout = std::chrono::seconds(15);
constexpr size_t kMaxAnswer = 1UL << 20;  // Of one page, or of one task.
constexpr int kPageSize = 150;            // The most that it allows.
constexpr int kMostPages = 200;
constexpr size_t kMostTasks = 20'000;
constexpr size_t kMostBytes = 64UL << 20;  // Of all pages.

class Asking {
 public:
  Asking(const base::Context& ctx, const TaskApiAddress& address) : ctx_(ctx), address_(address) {
    authorization_ = base::EncodeBase64(address.user + ":" + address.password.Reveal());
  }

  base::Result<std::vector<OmsTask>> All();

 private:
  base::Result<std::string> Call(std::string_view operation, const json& question);
  base::Status List(const char* type);
  base::Result<OmsTask> Describe(ListedTask listed);

  const base::Context& ctx_;
  const TaskApiAddress& address_;
  std::string authorization_;
  std::vector<ListedTask> listed_;
  std::set<std::string> ids_;
  size_t bytes_ = 0;  // Of the pages that were read.
};

base::Error NoAnswer(const base::Error& error, std::string_view operation) {
  if (error.code == Code::kCancelled) return error;
  const bool late = error.code == Code::kTimeout;
  return MakeError(error.code,
                   late ? crd::reason::kTaskApiTimeout : crd::reason::kTaskApiUnreachable,
                   late ? fmt::format("no answer to {} in time", operation)
                        : fmt::format("{}: {}", operation, error.message));
}

base::Result<std::string> Asking::Call(std::string_view operation, const json& question) {
  HttpQuestion ask;
  ask.method = "POST";
  ask.host = address_.host;
  ask.port = address_.port;
  ask.path = fmt::format("/api/v2?Action={}", operation);
  ask.https = address_.https;
  ask.most_bytes = kMaxAnswer;
  ask.body = question.dump(-1, ' ', false, json::error_handler_t::replace);
  ask.headers = fmt::format(
      "Authorization: Basic {}\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
      "Content-Length: {}\r\n",
      authorization_, ask.body.size());
  OMS_TRY(ctx_.Check());
  auto answer = HttpExchange(ctx_.WithTimeout(kCallTimeout), ask);
  if (!answer.ok()) return NoAnswer(answer.error(), operation);
  switch (answer->status) {
    case 200: break;
    case 401:
    case 403:
      return MakeError(
          Code::kDenied, crd::reason::kTaskApiDenied,
          fmt::format("OMS does not allow this user to use the task API ({} returned {})",
                      operation, answer->status));
    case 404:
      return MakeError(Code::kNotFound, crd::reason::kTaskApiNotOffered,
                       fmt::format("there is no task API at {}:{} ({} returned 404)", address_.host,
                                   address_.port, operation));
    default:
      return MakeError(Code::kTransient, crd::reason::kTaskApiRefused,
                       fmt::format("{} returned {}", operation, answer->status));
  }
  if (answer->body.size() + 4096 >= kMaxAnswer) {
    return MakeError(
        Code::kTransient, crd::reason::kTaskApiAnswerInvalid,
        fmt::format("the answer to {} is longer than {} KiB", operation, kMaxAnswer >> 10));
  }
  return std::move(answer->body);
}

// The oldest first, so that a task that is made meanwhile moves no other to a page that was read.
base::Status Asking::List(const char* type) {
  constexpr std::string_view kOperation = "ListProjects";
  int64_t of_type = 0;
  for (int number = 1; number <= kMostPages; ++number) {
    OMS_ASSIGN(const std::string body, Call(kOperation, {{"type", type},
                                                         {"sortField", "gmtCreate"},
                                                         {"order", "asc"},
                                                         {"pageNumber", number},
                                                         {"pageSize", kPageSize}}));
    bytes_ += body.size();
    OMS_ASSIGN(TaskPage page, ReadTaskPage(body));
    of_type += static_cast<int64_t>(page.tasks.size());
    bool same_again = !page.tasks.empty();
    for (auto& task : page.tasks) {
      if (!ids_.insert(task.task.id).second) continue;
      same_again = false;
      listed_.push_back(std::move(task));
    }
    if (listed_.size() > kMostTasks || bytes_ > kMostBytes) {
      return MakeError(Code::kTransient, crd::reason::kTaskApiAnswerInvalid,
                       fmt::format("{} returned more than {} tasks or {} MiB", kOperation,
                                   kMostTasks, kMostBytes >> 20));
    }
    // Its pages may be smaller than asked for; and one may take the count for that of the pages.
    const bool lacks = page.total && of_type < *page.total;
    if (page.tasks.size() < kPageSize && !lacks) return base::Ok();
    if (page.tasks.empty() || same_again) break;
  }
  return MakeError(
      Code::kTransient, crd::reason::kTaskApiAnswerInvalid,
      fmt::format("the pages of {} do not end, or contain fewer tasks than they announce",
                  kOperation));
}

bool Lists(const std::vector<OmsTaskStep>& steps, std::string_view name, std::string_view older) {
  return std::any_of(steps.begin(), steps.end(), [&](const OmsTaskStep& step) {
    return step.name == name || step.name == older;
  });
}

base::Result<OmsTask> Asking::Describe(ListedTask listed) {
  OmsTask task = std::move(listed.task);
  if (task.Over()) return task;
  const json question = {{"id", task.id}};
  OMS_ASSIGN(const std::string steps, Call("DescribeProjectSteps", question));
  OMS_ASSIGN(task.steps, ReadTaskSteps(steps));
  // The list may leave out how the ends are connected.
  const auto unknown = [](const std::string& end, const std::optional<bool>& log_proxy) {
    return end.starts_with("OB_") && !log_proxy;
  };
  if (unknown(task.source_type, task.source_log_proxy) ||
      unknown(task.sink_type, task.sink_log_proxy)) {
    OMS_ASSIGN(const std::string whole, Call("DescribeProject", question));
    OMS_ASSIGN(const ListedTask described, ReadTask(whole, task.id));
    if (!task.source_log_proxy) task.source_log_proxy = described.task.source_log_proxy;
    if (!task.sink_log_proxy) task.sink_log_proxy = described.task.sink_log_proxy;
  }
  // A list that does not say it is of a version that leaves the step out where it is not included.
  task.full = listed.full.value_or(Lists(task.steps, "FULL_TRANSFER", "FULL_MIGRATION"));
  task.incremental = listed.incremental.value_or(Lists(task.steps, "INCR_TRANSFER", "INCR_SYNC"));
  task.reverse =
      listed.reverse.value_or(Lists(task.steps, "REVERSE_INCR_TRANSFER", "REVERSE_INCR_SYNC"));
  if (!task.reverse) return task;
  OMS_ASSIGN(const std::string progress, Call("DescribeProjectProgress", question));
  OMS_ASSIGN(task.current_step, ReadCurrentStep(progress, task.id));
  return task;
}

base::Result<std::vector<OmsTask>> Asking::All() {
  for (const char* type : {"MIGRATION", "SYNC"}) OMS_TRY(List(type));
  std::vector<OmsTask> tasks;
  for (auto& listed : listed_) {
    OMS_ASSIGN(OmsTask task, Describe(std::move(listed)));
    tasks.push_back(std::move(task));
  }
  return tasks;
}

}  // namespace

base::Result<std::vector<OmsTask>> HttpTaskApi::Tasks(const base::Context& ctx,
                                                      const TaskApiAddress& address) {
  return Asking(ctx, address).All();
}

}  // namespace oms::drivers::http
