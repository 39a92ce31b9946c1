#include "reconcilers/act/threaded_tasks.h"

#include <vector>

namespace oms::act {

base::Result<std::string> RunTask(const LongTasks::Work& work, const base::Context& ctx,
                                  ports::ByteProgress& progress) {
  try {
    return work(ctx, progress);
  } catch (const std::exception& problem) {
    return base::MakeError(base::Code::kInternal,
                           std::string("internal error in a task: ") + problem.what());
  }
}

void EndTask(base::Result<std::string> result, base::SteadyTime now, model::TaskView& view) {
  view.ended = now;
  if (result.ok()) {
    view.state = model::TaskView::State::kSucceeded;
    view.output = *std::move(result);
  } else {
    view.state = model::TaskView::State::kFailed;
    view.error = result.error();
  }
}

ThreadedTasks::~ThreadedTasks() { StopAll(""); }

void ThreadedTasks::Start(const base::Context& ctx, const std::string& name, base::Duration timeout,
                          Work work, std::function<void()> on_end) {
  std::shared_ptr<Task> old;  // Joined after the lock is given back.
  std::lock_guard lock(mutex_);
  auto& slot = tasks_[name];
  if (slot && slot->view.state == model::TaskView::State::kRunning) return;
  old = std::move(slot);
  slot = std::make_shared<Task>();
  slot->view.started = ctx.clock().Now();
  Task* task = slot.get();
  const base::Context task_ctx = ctx.WithStop(task->stop.get_token())
                                     .WithLogger(ctx.log().With("task", name))
                                     .WithNewDeadline(timeout);
  task->thread =
      std::jthread([this, task, task_ctx, work = std::move(work), on_end = std::move(on_end)] {
        auto result = RunTask(work, task_ctx, task->progress);
        {
          std::lock_guard inner(mutex_);
          EndTask(std::move(result), task_ctx.clock().Now(), task->view);
        }
        if (on_end) on_end();
      });
}

model::TaskView ThreadedTasks::ViewOf(const Task& task) {
  model::TaskView view = task.view;
  view.done = task.progress.done.load();
  view.total = task.progress.total.load();
  return view;
}

std::map<std::string, model::TaskView> ThreadedTasks::LookAll(const std::string& prefix) const {
  std::lock_guard lock(mutex_);
  std::map<std::string, model::TaskView> views;
  for (auto at = tasks_.lower_bound(prefix); at != tasks_.end() && at->first.starts_with(prefix);
       ++at) {
    views.emplace(at->first.substr(prefix.size()), ViewOf(*at->second));
  }
  return views;
}

void ThreadedTasks::ForgetEnded(const std::string& prefix) {
  std::vector<std::shared_ptr<Task>> ended;  // Joined after the lock is given back.
  std::lock_guard lock(mutex_);
  for (auto at = tasks_.lower_bound(prefix); at != tasks_.end() && at->first.starts_with(prefix);) {
    if (at->second->view.state == model::TaskView::State::kRunning) {
      ++at;
      continue;
    }
    ended.push_back(std::move(at->second));
    at = tasks_.erase(at);
  }
}

void ThreadedTasks::Stop(const std::string& prefix) { StopAll(prefix); }

void ThreadedTasks::StopAll(const std::string& prefix) {
  std::vector<std::shared_ptr<Task>> ending;
  {
    std::lock_guard lock(mutex_);
    for (auto at = tasks_.lower_bound(prefix);
         at != tasks_.end() && at->first.starts_with(prefix);) {
      at->second->stop.request_stop();
      ending.push_back(std::move(at->second));
      at = tasks_.erase(at);
    }
  }
  for (auto& task : ending) task->thread.join();
}

}  // namespace oms::act
