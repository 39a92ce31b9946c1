// LongTasks: work that outlasts a pass (image load, stop, dump, a script in a container).
//
// A pass starts a task or looks at it, and never waits for it. Nothing here survives the process,
// and nothing needs to: what a task did is seen in the world, and a task that died with its process
// is begun again as a new attempt.
//
// An interface, so that a test can step tasks one by one; the controller runs each on a thread of
// its own (threaded_tasks.h).
#pragma once

#include <functional>
#include <map>
#include <string>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/model/task_view.h"
#include "reconcilers/ports/container_engine.h"

namespace oms::act {

class LongTasks {
 public:
  using Work = std::function<base::Result<std::string>(const base::Context&, ports::ByteProgress&)>;

  virtual ~LongTasks() = default;

  // Starts `work` unless a task of this name runs; one that has ended is forgotten first. `on_end`
  // is called after the end can be seen, where the work was done. `ctx` gives clock, logger and
  // permission; the task has a stop token of its own, and `timeout` is its deadline.
  virtual void Start(const base::Context& ctx, const std::string& name, base::Duration timeout,
                     Work work, std::function<void()> on_end) = 0;
  // All whose name begins with `prefix`, by the rest of it.
  virtual std::map<std::string, model::TaskView> LookAll(const std::string& prefix) const = 0;
  // Forgets those of this prefix that have ended, so that the next look finds them not begun.
  virtual void ForgetEnded(const std::string& prefix) = 0;
  // Asks the tasks of this prefix to stop, waits for their end, and forgets them.
  virtual void Stop(const std::string& prefix) = 0;
};

}  // namespace oms::act
