#include "controller/runtime/manager.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <stdexcept>
#include <thread>

#include "controller/base/task_group.h"

namespace oms::runtime {
namespace {

class ManagerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { Manager::BlockSignals(); }

  void AddPart(Manager& manager, const std::string& name, bool starts = true) {
    manager.Add(
        name,
        [this, name, starts]() -> base::Status {
          log_ += "+" + name;
          if (!starts) return base::MakeError(base::Code::kTransient, "no port");
          return base::Ok();
        },
        [this, name] { log_ += "-" + name; });
  }
  std::string log_;
};

TEST_F(ManagerTest, StartsInOrderAndStopsInReverse) {
  Manager manager({});
  AddPart(manager, "a");
  AddPart(manager, "b");
  manager.RequestExit(3, "test");
  manager.RequestExit(4, "too late");
  EXPECT_EQ(manager.Run(), 3);
  EXPECT_EQ(log_, "+a+b-b-a");
}

TEST_F(ManagerTest, APartThatDoesNotStartStopsThoseBeforeIt) {
  Manager manager({});
  AddPart(manager, "a");
  AddPart(manager, "b", false);
  AddPart(manager, "c");
  EXPECT_EQ(manager.Run(), 1);
  EXPECT_EQ(log_, "+a+b-a");
}

TEST_F(ManagerTest, SigtermIsACleanEnd) {
  Manager manager({});
  AddPart(manager, "a");
  kill(getpid(), SIGTERM);  // Blocked, so it waits for Run().
  EXPECT_EQ(manager.Run(), 0);
  EXPECT_EQ(log_, "+a-a");
}

TEST_F(ManagerTest, AnExitAskedForByAnotherThreadEndsRun) {
  Manager manager({});
  std::thread other;
  manager.Add(
      "asker",
      [&] {
        other = std::thread([&] { manager.RequestExit(1, "lease lost"); });
        return base::Ok();
      },
      [&] { other.join(); });
  EXPECT_EQ(manager.Run(), 1);
}

TEST_F(ManagerTest, AThreadThatEndsByAnExceptionEndsTheProcessAndSaysWhy) {
  Manager manager({});
  base::TaskGroup threads([&](const std::string& what) { manager.RequestExit(1, what); });
  AddPart(manager, "a");
  manager.Add(
      "service",
      [&] {
        EXPECT_EQ(manager.Failure(), "");
        threads.Start("informer", [](std::stop_token) { throw std::runtime_error("no memory"); });
        return base::Ok();
      },
      [&] { threads.Join(); });
  EXPECT_EQ(manager.Run(), 1);
  EXPECT_EQ(log_, "+a-a");
  EXPECT_NE(manager.Failure().find("'informer' ended with an exception: no memory"),
            std::string::npos);
}

TEST_F(ManagerTest, AWantedEndIsNoFailure) {
  Manager manager({});
  manager.RequestExit(0, "done");
  EXPECT_EQ(manager.Run(), 0);
  EXPECT_EQ(manager.Failure(), "");
}

TEST_F(ManagerTest, AStopThatThrowsDoesNotKeepTheOthersFromStopping) {
  Manager manager({});
  AddPart(manager, "a");
  manager.Add("throws", nullptr, [] { throw std::runtime_error("boom"); });
  manager.RequestExit(0, "test");
  EXPECT_EQ(manager.Run(), 1);
  EXPECT_EQ(log_, "+a-a");
}

TEST_F(ManagerTest, AStartThatThrowsIsOneThatFailed) {
  Manager manager({});
  AddPart(manager, "a");
  manager.Add(
      "throws", []() -> base::Status { throw std::runtime_error("no thread"); },
      [this] { log_ += "never"; });
  EXPECT_EQ(manager.Run(), 1);
  EXPECT_EQ(log_, "+a-a");
}

TEST_F(ManagerTest, AStopThatHangsIsCutOff) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        Manager manager({}, base::Duration(50));
        manager.Add("hangs", nullptr, [] { pause(); });
        manager.RequestExit(0, "test");
        manager.Run();
      },
      testing::ExitedWithCode(1), "");
}

}  // namespace
}  // namespace oms::runtime
