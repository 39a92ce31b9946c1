// LongTasks, each on a thread of its own. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <thread>

#include "reconcilers/act/long_tasks.h"

namespace oms::act {

class ThreadedTasks final : public LongTasks {
 public:
  ThreadedTasks() = default;
  ~ThreadedTasks() override;  // Asks all to stop, and joins them.

  void Start(const base::Context& ctx, const std::string& name, base::Duration timeout, Work work,
             std::function<void()> on_end) override;
  std::map<std::string, model::TaskView> LookAll(const std::string& prefix) const override;
  void ForgetEnded(const std::string& prefix) override;
  void Stop(const std::string& prefix) override;

 private:
  struct Task {
    ports::ByteProgress progress;
    std::stop_source stop;
    model::TaskView view;  // Guarded by mutex_, but for the bytes.
    std::jthread thread;
  };
  static model::TaskView ViewOf(const Task& task);
  void StopAll(const std::string& prefix);

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Task>> tasks_;
};

// What a task came to: a result of `work`, or the defect that left it.
base::Result<std::string> RunTask(const LongTasks::Work& work, const base::Context& ctx,
                                  ports::ByteProgress& progress);
// The view of a task that has ended.
void EndTask(base::Result<std::string> result, base::SteadyTime now, model::TaskView& view);

}  // namespace oms::act
