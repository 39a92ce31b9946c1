#include "controller/base/child_process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

namespace oms::base {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using base::Code;

class ChildProcessTest : public ::testing::Test {
 protected:
  ChildProcessTest() {
    char name[] = "/tmp/oms-child-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~ChildProcessTest() override { fs::remove_all(folder_); }

  static bool Eventually(const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }
  // Empty where it cannot be read: of a process that has just ended.
  std::string Read(const fs::path& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }
  // A dead one may stay as a zombie for a while: whoever inherits it takes its time.
  bool Alive(pid_t pid) {
    return kill(pid, 0) == 0 &&
           Read("/proc/" + std::to_string(pid) + "/stat").find(") Z ") == std::string::npos;
  }
  // The pid that a child wrote into the file.
  pid_t PidIn(const fs::path& file) {
    pid_t pid = 0;
    EXPECT_TRUE(Eventually([&] {
      const auto text = Read(file);
      if (text.empty() || text.back() != '\n') return false;
      pid = std::atoi(text.c_str());
      return pid > 0;
    }));
    return pid;
  }

  base::SystemClock clock_;
  base::Context ctx_{clock_, base::Logger()};
  fs::path folder_;
};

TEST_F(ChildProcessTest, TellsExitCodeAndBothStreams) {
  const auto child = RunChild(ctx_, {{"sh", "-c", "echo out; echo err >&2; exit 7"}, {}, {}});
  ASSERT_TRUE(child.ok()) << child.error().message;
  EXPECT_EQ(child->exit_code, 7);
  EXPECT_EQ(child->output, "out\n");
  EXPECT_EQ(child->errors, "err\n");
}

TEST_F(ChildProcessTest, ASignalIsAnExitCodeToo) {
  const auto killed = RunChild(ctx_, {{"sh", "-c", "kill -9 $$"}, {}, {}});
  EXPECT_EQ(killed->exit_code, 128 + 9);
  EXPECT_EQ(killed->signal, 9);
  const auto exited = RunChild(ctx_, {{"sh", "-c", "exit 137"}, {}, {}});
  EXPECT_EQ(exited->exit_code, 137);
  EXPECT_EQ(exited->signal, 0);
}

TEST_F(ChildProcessTest, WritesAndReadsFilesAndNeverReplacesOne) {
  const auto file = folder_ / "out";
  ASSERT_TRUE(RunChild(ctx_, {{"echo", "hello"}, file, {}}).ok());
  EXPECT_EQ(Read(file), "hello\n");
  EXPECT_EQ(fs::status(file).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_FALSE(RunChild(ctx_, {{"echo", "again"}, file, {}}).ok());
  EXPECT_EQ(Read(file), "hello\n");
  EXPECT_EQ(RunChild(ctx_, {{"cat"}, {}, file})->output, "hello\n");
}

TEST_F(ChildProcessTest, AMissingProgramIsSaidSo) {
  const auto child = RunChild(ctx_, {{"no-such-program-here"}, {}, {}});
  ASSERT_FALSE(child.ok());
  EXPECT_EQ(child.error().reason, "ChildNotStarted");
  const auto file = folder_ / "out";
  EXPECT_FALSE(RunChild(ctx_, {{"no-such-program-here"}, file, {}}).ok());
  EXPECT_FALSE(fs::exists(file));
  EXPECT_EQ(RunChild(ctx_, {{"/etc/passwd"}, {}, {}}).error().reason, "ChildNotStarted");
}

TEST_F(ChildProcessTest, IsFedByAFunction) {
  ChildCommand command{{"sh", "-c", "wc -c"}, {}, {}, {}};
  command.feed = [](const auto& write) -> base::Status {
    const std::string megabyte(1 << 20, 'x');
    for (int i = 0; i < 5; ++i) OMS_TRY(write(megabyte));
    return base::Ok();
  };
  const auto outcome = RunChild(ctx_, command);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  EXPECT_EQ(outcome->exit_code, 0);
  EXPECT_EQ(std::stoi(outcome->output), 5 << 20);
}

TEST_F(ChildProcessTest, AChildThatReadsNoMoreEndsItsFeedAndTellsWhyItself) {
  ChildCommand command{{"sh", "-c", "read line; echo 'too much' >&2; exit 7"}, {}, {}, {}};
  bool closed = false;
  command.feed = [&](const auto& write) -> base::Status {
    while (true) {
      const auto written = write("line\n");
      if (written.ok()) continue;
      closed = true;
      return written;
    }
  };
  const auto outcome = RunChild(ctx_, command);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  EXPECT_EQ(outcome->exit_code, 7);
  EXPECT_EQ(outcome->errors, "too much\n");
  EXPECT_TRUE(closed);
}

TEST_F(ChildProcessTest, AnErrorOfTheFeedKillsTheChild) {
  ChildCommand command{{"sleep", "60"}, {}, {}, {}};
  command.feed = [](const auto&) -> base::Status {
    return base::MakeError(Code::kTransient, "Broken", "the file is broken");
  };
  const auto outcome = RunChild(ctx_, command);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().reason, "Broken");
}

TEST_F(ChildProcessTest, AStopEndsAFeedThatTheChildDoesNotTake) {
  std::stop_source stop;
  ChildCommand command{{"sleep", "60"}, {}, {}, {}};
  command.feed = [&](const auto& write) -> base::Status {
    while (true) {
      const auto written = write(std::string(1 << 16, 'x'));
      if (!written.ok()) return written;
      stop.request_stop();  // The next ones block.
    }
  };
  EXPECT_TRUE(RunChild(ctx_.WithStop(stop.get_token()), command).Is(Code::kCancelled));
}

TEST_F(ChildProcessTest, KeepsTheEndOfALongOutput) {
  const auto child = RunChild(ctx_, {{"sh", "-c", "seq 1 100000"}, {}, {}});
  ASSERT_TRUE(child.ok());
  EXPECT_LE(child->output.size(), 16U * 1024);
  EXPECT_TRUE(child->output.ends_with("\n100000\n"));
}

TEST_F(ChildProcessTest, SeesNothingOfOurEnvironment) {
  setenv("OMS_TEST_SECRET", "s3cret", 1);
  const auto child = RunChild(ctx_, {{"env"}, {}, {}});
  unsetenv("OMS_TEST_SECRET");
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->output.find("s3cret"), std::string::npos);
  EXPECT_NE(child->output.find("PATH="), std::string::npos);
}

TEST_F(ChildProcessTest, HoldsNoneOfOurDescriptors) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0) << "as a library opens them: without O_CLOEXEC";
  const auto child = RunChild(ctx_, {{"sh", "-c", "ls /proc/$$/fd"}, {}, {}});
  for (const int end : ends) close(end);
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->output, "0\n1\n2\n");
}

TEST_F(ChildProcessTest, AStopKillsTheChildAndItsChildren) {
  const auto file = folder_ / "pid";
  std::stop_source stop;
  pid_t grandchild = 0;
  base::SteadyTime stopped;
  std::thread stopper([&] {
    grandchild = PidIn(file);
    stopped = clock_.Now();
    stop.request_stop();
  });
  const auto child =
      RunChild(ctx_.WithStop(stop.get_token()),
               {{"sh", "-c", "sleep 100 & echo $! >" + file.string() + "; wait"}, {}, {}});
  const auto ended = clock_.Now();
  stopper.join();
  EXPECT_TRUE(child.Is(Code::kCancelled));
  EXPECT_LT(ended - stopped, 10s);
  EXPECT_TRUE(Eventually([&] { return !Alive(grandchild); }));
}

TEST_F(ChildProcessTest, ADeadlineKillsTheChild) {
  const auto begin = clock_.Now();
  EXPECT_TRUE(RunChild(ctx_.WithTimeout(100ms), {{"sleep", "100"}, {}, {}}).Is(Code::kTimeout));
  EXPECT_LT(clock_.Now() - begin, 10s);
}

TEST_F(ChildProcessTest, ALeftOverGrandchildIsEndedWithTheChild) {
  const auto file = folder_ / "pid";
  const auto begin = clock_.Now();
  const auto child =
      RunChild(ctx_, {{"sh", "-c", "sleep 100 & echo $! >" + file.string() + "; exit 0"}, {}, {}});
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->exit_code, 0);
  EXPECT_LT(clock_.Now() - begin, 30s) << "the pipe that it keeps open holds nobody";
  const pid_t grandchild = PidIn(file);
  EXPECT_TRUE(Eventually([&] { return !Alive(grandchild); }));
}

TEST_F(ChildProcessTest, TheChildDiesWithItsParent) {
  const auto file = folder_ / "pid";
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    const auto child =
        RunChild(ctx_, {{"sh", "-c", "echo $$ >" + file.string() + "; exec sleep 100"}, {}, {}});
    _exit(child.ok() ? 0 : 1);
  }
  const pid_t child = PidIn(file);
  EXPECT_TRUE(Alive(child));
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_TRUE(Eventually([&] { return !Alive(child); }));
}

TEST_F(ChildProcessTest, GetsTheEnvironmentThatItIsGivenAndNothingElse) {
  ChildCommand command{{"/usr/bin/env"}, {}, {}};
  command.environment = {"A=b c", "PATH=/nowhere"};
  const auto child = RunChild(ctx_, command);
  ASSERT_TRUE(child.ok()) << child.error().message;
  EXPECT_EQ(child->output, "A=b c\nPATH=/nowhere\n");
}

TEST_F(ChildProcessTest, OutputThatIsWantedWholeIsKeptWholeOrRefused) {
  ChildCommand command{{"/bin/sh", "-c", "head -c 40000 /dev/zero"}, {}, {}};
  command.whole_output = 40'000;
  const auto whole = RunChild(ctx_, command);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  EXPECT_EQ(whole->output.size(), 40'000u);
  command.whole_output = 39'999;
  const auto refused = RunChild(ctx_, command);
  ASSERT_TRUE(refused.Is(Code::kInvalid));
  EXPECT_EQ(refused.error().reason, "ChildOutputTooLong");
}

}  // namespace
}  // namespace oms::base
