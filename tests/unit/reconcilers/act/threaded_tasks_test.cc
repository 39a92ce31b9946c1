#include "reconcilers/act/threaded_tasks.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <latch>

#include "tests/fakes/fake_clock.h"

namespace oms::act {
namespace {

class ThreadedTasksTest : public testing::Test {
 protected:
  fakes::FakeClock clock_;
  base::Context ctx_{clock_, base::Logger()};
  std::optional<model::TaskView> Look(const std::string& name) const {
    const auto views = tasks_.LookAll(name);
    const auto found = views.find("");
    return found == views.end() ? std::nullopt : std::optional(found->second);
  }
  ThreadedTasks tasks_;
};

// Ends by its stop token alone.
base::Result<std::string> UntilStopped(const base::Context& ctx) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait(lock, ctx.stop(), [] { return false; });
  return base::MakeError(base::Code::kCancelled, "stopping");
}

TEST_F(ThreadedTasksTest, TheEndIsSeenBeforeItIsTold) {
  std::latch told(1);
  model::TaskView::State seen = model::TaskView::State::kRunning;
  tasks_.Start(
      ctx_, "op/a", std::chrono::hours(1),
      [](const base::Context&, ports::ByteProgress& progress) -> base::Result<std::string> {
        progress.done = 5;
        return std::string("output");
      },
      [&] {
        seen = Look("op/a")->state;
        told.count_down();
      });
  told.wait();
  EXPECT_EQ(seen, model::TaskView::State::kSucceeded);
  EXPECT_EQ(Look("op/a")->output, "output");
  EXPECT_EQ(Look("op/a")->done, 5u);
}

TEST_F(ThreadedTasksTest, AnErrorAndADefectAreKept) {
  std::latch told(2);
  tasks_.Start(
      ctx_, "op/error", std::chrono::hours(1),
      [](const base::Context&, ports::ByteProgress&) -> base::Result<std::string> {
        return base::MakeError(base::Code::kTransient, "Why", "words");
      },
      [&] { told.count_down(); });
  tasks_.Start(
      ctx_, "op/defect", std::chrono::hours(1),
      [](const base::Context&, ports::ByteProgress&) -> base::Result<std::string> {
        throw std::runtime_error("boom");
      },
      [&] { told.count_down(); });
  told.wait();
  EXPECT_EQ(Look("op/error")->error.reason, "Why");
  EXPECT_EQ(Look("op/defect")->error.code, base::Code::kInternal);
  const auto both = tasks_.LookAll("op/");
  EXPECT_EQ(both.size(), 2u);
  EXPECT_TRUE(both.contains("error")) << both.begin()->first;
  EXPECT_EQ(tasks_.LookAll("op/e").size(), 1u);
  EXPECT_TRUE(tasks_.LookAll("other/").empty());
}

TEST_F(ThreadedTasksTest, OneNameRunsOnceAtATimeAndAgainAfterItsEnd) {
  std::atomic<int> runs = 0;
  tasks_.Start(
      ctx_, "op/a", std::chrono::hours(1),
      [&](const base::Context& ctx, ports::ByteProgress&) {
        ++runs;
        return UntilStopped(ctx);
      },
      nullptr);
  tasks_.Start(
      ctx_, "op/a", std::chrono::hours(1),
      [&](const base::Context&, ports::ByteProgress&) -> base::Result<std::string> {
        ++runs;
        return std::string();
      },
      nullptr);
  tasks_.Stop("op/");
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(Look("op/a").has_value()) << "stopped tasks are forgotten";
  std::latch told(2);
  for (int i = 0; i < 2; ++i) {
    std::latch ended(1);
    tasks_.Start(
        ctx_, "op/b", std::chrono::hours(1),
        [&](const base::Context&, ports::ByteProgress&) -> base::Result<std::string> {
          ++runs;
          return std::string();
        },
        [&] {
          ended.count_down();
          told.count_down();
        });
    ended.wait();
  }
  told.wait();
  EXPECT_EQ(runs, 3);
}

TEST_F(ThreadedTasksTest, TheEndOfTheOwnerStopsAndJoinsAll) {
  std::atomic<bool> ended = false;
  {
    ThreadedTasks mine;
    mine.Start(
        ctx_, "op/a", std::chrono::hours(1),
        [&](const base::Context& ctx, ports::ByteProgress&) {
          auto result = UntilStopped(ctx);
          ended = true;
          return result;
        },
        nullptr);
  }
  EXPECT_TRUE(ended);
}

TEST_F(ThreadedTasksTest, ATaskHasItsOwnDeadlineAndNotThePassesStop) {
  std::stop_source pass;
  const base::Context passing =
      ctx_.WithStop(pass.get_token()).WithTimeout(std::chrono::seconds(1));
  std::latch go(1), told(1);
  bool stopped = true;
  base::Duration left{};
  tasks_.Start(
      passing, "op/a", std::chrono::hours(2),
      [&](const base::Context& ctx, ports::ByteProgress&) -> base::Result<std::string> {
        go.wait();
        stopped = ctx.Stopped();
        left = ctx.Remaining();
        return std::string();
      },
      [&] { told.count_down(); });
  pass.request_stop();
  go.count_down();
  told.wait();
  EXPECT_FALSE(stopped);
  EXPECT_EQ(left, std::chrono::hours(2));
}

}  // namespace
}  // namespace oms::act
