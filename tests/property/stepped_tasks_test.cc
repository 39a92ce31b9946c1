// The runner that tests step tasks with keeps the contract of act/long_tasks.h, and no thread.
#include "tests/fakes/stepped_tasks.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

#include "controller/base/one_thread.h"
#include "tests/fakes/fake_clock.h"

namespace oms::fakes {
namespace {

using Result = base::Result<std::string>;
using State = model::TaskView::State;

class SteppedTasksTest : public testing::Test {
 protected:
  void Start(const std::string& name, act::LongTasks::Work work) {
    tasks_.Start(ctx_, name, std::chrono::hours(1), std::move(work), [this] { ++ended_; });
  }
  State StateOf(const std::string& name) { return tasks_.LookAll(name).at("").state; }
  FakeClock clock_;
  base::Context ctx_{clock_, base::Logger()};
  SteppedTasks tasks_;
  int ended_ = 0;
};

TEST_F(SteppedTasksTest, WorkIsDoneWhenItIsSteppedByTheOneWhoSteps) {
  std::thread::id where;
  bool one_thread = false;
  Start("op/a", [&](const base::Context&, ports::ByteProgress& progress) -> Result {
    where = std::this_thread::get_id();
    one_thread = base::OnOneThread::Holds();
    progress.done = 5;
    return std::string("output");
  });
  EXPECT_EQ(StateOf("op/a"), State::kRunning);
  EXPECT_EQ(where, std::thread::id());
  EXPECT_TRUE(tasks_.Step(0));
  EXPECT_EQ(where, std::this_thread::get_id());
  EXPECT_TRUE(one_thread);
  EXPECT_EQ(StateOf("op/a"), State::kSucceeded);
  EXPECT_EQ(tasks_.LookAll("op/").at("a").done, 5u);
  EXPECT_EQ(ended_, 1);
  EXPECT_FALSE(tasks_.Step(0));
}

TEST_F(SteppedTasksTest, OneNameRunsOnceAtATimeAndAgainAfterItsEnd) {
  int runs = 0;
  const auto work = [&](const base::Context&, ports::ByteProgress&) -> Result {
    if (++runs == 1) throw std::runtime_error("boom");
    return std::string();
  };
  Start("op/a", work);
  Start("op/a", work);
  tasks_.StepAll();
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(tasks_.LookAll("op/a").at("").error.code, base::Code::kInternal);
  Start("op/a", work);
  tasks_.StepAll();
  EXPECT_EQ(StateOf("op/a"), State::kSucceeded);
  tasks_.ForgetEnded("op/");
  EXPECT_TRUE(tasks_.LookAll("").empty());
}

TEST_F(SteppedTasksTest, AStopIsToldToWhatHasNotEnded) {
  bool stopped = false;
  Start("op/a", [&](const base::Context& ctx, ports::ByteProgress&) -> Result {
    stopped = ctx.Stopped();
    return std::string();
  });
  Start("other/a", [&](const base::Context&, ports::ByteProgress&) -> Result {
    ADD_FAILURE() << "it was not asked to stop, and never stepped";
    return std::string();
  });
  tasks_.Stop("op/");
  EXPECT_TRUE(stopped);
  EXPECT_TRUE(tasks_.LookAll("op/").empty());
  EXPECT_EQ(StateOf("other/a"), State::kRunning);
}

}  // namespace
}  // namespace oms::fakes
