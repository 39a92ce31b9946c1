#include "tests/fakes/stepped_tasks.h"

#include "controller/base/one_thread.h"
#include "reconcilers/act/threaded_tasks.h"

namespace oms::fakes {

using State = model::TaskView::State;

void SteppedTasks::Start(const base::Context& ctx, const std::string& name, base::Duration timeout,
                         Work work, std::function<void()> on_end) {
  auto& slot = tasks_[name];
  if (slot && slot->view.state == State::kRunning) return;
  auto task = std::make_shared<Task>(ctx.WithLogger(ctx.log().With("task", name)));
  task->ctx = task->ctx.WithStop(task->stop.get_token()).WithNewDeadline(timeout);
  task->view.started = ctx.clock().Now();
  task->work = std::move(work);
  task->on_end = std::move(on_end);
  slot = std::move(task);
}

void SteppedTasks::Run(Task& task) {
  const Work work = std::exchange(task.work, nullptr);
  if (!work) return;  // It is being stepped, further out.
  const base::OnOneThread one;
  act::EndTask(act::RunTask(work, task.ctx, task.progress), task.ctx.clock().Now(), task.view);
  if (task.on_end) task.on_end();
}

std::vector<std::shared_ptr<SteppedTasks::Task>> SteppedTasks::Waiting() const {
  std::vector<std::shared_ptr<Task>> waiting;
  for (const auto& [name, task] : tasks_) {
    if (task->work) waiting.push_back(task);
  }
  return waiting;
}

bool SteppedTasks::Step(size_t n) {
  const auto waiting = Waiting();
  if (n >= waiting.size()) return false;
  Run(*waiting[n]);
  return true;
}

void SteppedTasks::StepAll() {
  for (const auto& task : Waiting()) Run(*task);
}

std::map<std::string, model::TaskView> SteppedTasks::LookAll(const std::string& prefix) const {
  std::map<std::string, model::TaskView> views;
  for (auto at = tasks_.lower_bound(prefix); at != tasks_.end() && at->first.starts_with(prefix);
       ++at) {
    model::TaskView view = at->second->view;
    view.done = at->second->progress.done.load();
    view.total = at->second->progress.total.load();
    views.emplace(at->first.substr(prefix.size()), std::move(view));
  }
  return views;
}

void SteppedTasks::ForgetEnded(const std::string& prefix) {
  std::erase_if(tasks_, [&](const auto& entry) {
    return entry.first.starts_with(prefix) && entry.second->view.state != State::kRunning;
  });
}

void SteppedTasks::Stop(const std::string& prefix) {
  std::vector<std::shared_ptr<Task>> ending;
  for (auto at = tasks_.lower_bound(prefix); at != tasks_.end() && at->first.starts_with(prefix);) {
    ending.push_back(at->second);
    at = tasks_.erase(at);
  }
  for (const auto& task : ending) {
    task->stop.request_stop();
    Run(*task);
  }
}

}  // namespace oms::fakes
