// LongTasks: work that outlasts a pass (image load, stop, dump, a script in a container).
//
// A pass starts a task or looks at it, and never waits for it. Nothing here survives the process,
// and nothing needs to: what a task did is seen in the world, and a task that died with its process
// is begun again as a new attempt. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/model/task_view.h"
#include "reconcilers/ports/container_engine.h"

namespace oms::act {

class LongTasks {
 public:
  using Work = std::function<base::Result<std::string>(const base::Context&, ports::ByteProgress&)>;

  LongTasks() = default;
  ~LongTasks();  // Asks all to stop, and joins them.

  // Starts `work` on a thread of its own unless a task of this name runs; one that has ended is
  // forgotten first. `on_end` is called on that thread after the end can be seen. `ctx` gives
  // clock, logger and permission; the task has a stop token of its own, and `timeout` is its
  // deadline.
  void Start(const base::Context& ctx, const std::string& name, base::Duration timeout, Work work,
             std::function<void()> on_end);
  std::optional<model::TaskView> Look(const std::string& name) const;
  // All whose name begins with `prefix`, by the rest of it.
  std::map<std::string, model::TaskView> LookAll(const std::string& prefix) const;
  // Forgets those of this prefix that have ended, so that the next look finds them not begun.
  void ForgetEnded(const std::string& prefix);
  // Asks the tasks of this prefix to stop, waits for their end, and forgets them.
  void Stop(const std::string& prefix);

 private:
  struct Task {
    ports::ByteProgress progress;
    std::stop_source stop;
    model::TaskView view;  // Guarded by mutex_, but for the bytes.
    std::jthread thread;
  };
  static model::TaskView ViewOf(const Task& task);

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Task>> tasks_;
};

}  // namespace oms::act
