// LongTasks of a test that steps them: the work of a task is done when it is stepped, on the
// thread that steps it, so that the same steps lead to the same world. Not thread-safe.
#pragma once

#include <memory>
#include <stop_token>
#include <vector>

#include "reconcilers/act/long_tasks.h"

namespace oms::fakes {

class SteppedTasks final : public act::LongTasks {
 public:
  // As kill -9: what was not stepped is never done.
  ~SteppedTasks() override = default;

  void Start(const base::Context& ctx, const std::string& name, base::Duration timeout, Work work,
             std::function<void()> on_end) override;
  std::map<std::string, model::TaskView> LookAll(const std::string& prefix) const override;
  void ForgetEnded(const std::string& prefix) override;
  // One that was not stepped yet is run with a token that is stopped already: as a thread does whose
  // first call was on its way.
  void Stop(const std::string& prefix) override;

  // Runs the nth (from 0) of those that wait for their step, by name. False: there are not so many.
  bool Step(size_t n);
  void StepAll();  // Each that waits now.

 private:
  struct Task {
    ports::ByteProgress progress;
    std::stop_source stop;
    model::TaskView view;
    base::Context ctx;
    Work work;
    std::function<void()> on_end;
    explicit Task(base::Context context) : ctx(std::move(context)) {}
  };
  static void Run(Task& task);
  std::vector<std::shared_ptr<Task>> Waiting() const;

  std::map<std::string, std::shared_ptr<Task>> tasks_;
};

}  // namespace oms::fakes
