#include "controller/base/task_group.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <future>
#include <stdexcept>
#include <thread>

#include "controller/base/one_thread.h"

namespace oms::base {
namespace {

void WaitForStop(std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait(lock, stop, [] { return false; });
}

TEST(TaskGroupThreads, AreStoppedAndJoinedByTheDestructor) {
  bool ended = false;
  {
    TaskGroup group;
    group.Start("waits", [&](std::stop_token stop) {
      WaitForStop(stop);
      ended = true;
    });
  }
  EXPECT_TRUE(ended);
}

TEST(TaskGroupThreads, TheFirstExceptionStopsTheSiblingsAndIsToldByJoin) {
  TaskGroup group;
  group.Start("waits", WaitForStop);
  group.Start("throws", [](std::stop_token) { throw std::runtime_error("boom"); });
  EXPECT_THROW(group.Join(), std::runtime_error);
}

TEST(TaskGroupThreads, AFailureIsToldWhenItHappensAndJoinIsQuiet) {
  std::promise<std::string> told;
  TaskGroup group([&](const std::string& what) { told.set_value(what); });
  group.Start("worker-0", [](std::stop_token) { throw std::runtime_error("boom"); });
  auto what = told.get_future();
  ASSERT_EQ(what.wait_for(std::chrono::seconds(10)), std::future_status::ready)
      << "nobody joins the threads of a service";
  EXPECT_EQ(what.get(), "thread 'worker-0' ended with an exception: boom");
  group.Join();
  EXPECT_TRUE(group.token().stop_requested()) << "its siblings must not go on alone";
}

TEST(TaskGroupThreads, AFailureThatNobodyWantsToldEndsNothingElse) {
  TaskGroup group(OnFailure(nullptr));
  group.Start("throws", [](std::stop_token) { throw 7; });
  group.Join();
}

TEST(TaskGroupOfOneThread, HasEndedWhatItHasStarted) {
  const OnOneThread one;
  TaskGroup group;
  std::thread::id where;
  group.Start("here", [&](std::stop_token) { where = std::this_thread::get_id(); });
  EXPECT_EQ(where, std::this_thread::get_id());
  group.Start("throws", [](std::stop_token) { throw std::runtime_error("boom"); });
  EXPECT_TRUE(group.token().stop_requested());
  EXPECT_THROW(group.Join(), std::runtime_error);
}

}  // namespace
}  // namespace oms::base
