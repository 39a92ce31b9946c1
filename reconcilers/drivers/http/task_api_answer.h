// What OMS's task API answers, as values (oms/README.md: ListProjects, DescribeProject,
// DescribeProjectSteps, DescribeProjectProgress). Pure.
//
// Strict where a rule depends on it: what is missing there is an error, never a guess. Its own
// samples write numbers and truth values as text here and there, and one task as a list of one;
// both are taken. An error has the reason TaskAPIRefused (it answers that it cannot) or
// TaskAPIAnswerInvalid; its text names the operation and the field, and nothing that was answered
// but an error code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "reconcilers/ports/task_api.h"

namespace oms::drivers::http {

// One task as it is listed. What the list leaves out of a task is nullopt.
struct ListedTask {
  ports::OmsTask task;  // Without steps.
  std::optional<bool> full, incremental, reverse;
};
struct TaskPage {
  std::vector<ListedTask> tasks;
  std::optional<int64_t> total;  // Of all pages.
};

base::Result<TaskPage> ReadTaskPage(std::string_view body);
// DescribeProject: of this task.
base::Result<ListedTask> ReadTask(std::string_view body, const std::string& id);
base::Result<std::vector<ports::OmsTaskStep>> ReadTaskSteps(std::string_view body);
// DescribeProjectProgress: the current step, of this task; empty: there is none.
base::Result<std::string> ReadCurrentStep(std::string_view body, const std::string& id);

}  // namespace oms::drivers::http
