#include "controller/base/task_group.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <stdexcept>

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

}  // namespace
}  // namespace oms::base
