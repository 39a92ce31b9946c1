#include "controller/runtime/manager.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

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
