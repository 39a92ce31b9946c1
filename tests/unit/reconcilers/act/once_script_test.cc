#include "reconcilers/act/once_script.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "reconcilers/observe/script_look.h"
#include "tests/unit/reconcilers/scripted_engine.h"

namespace oms::act {
namespace {

using base::Code;
using testing::HasSubstr;
using Kind = model::ScriptState::Kind;
namespace fs = std::filesystem;

// ---- The shell's text, run for real on a folder of ours ----

class WrapperTest : public testing::Test {
 protected:
  WrapperTest() {
    char name[] = "/tmp/once-script-test-XXXXXX";
    folder_ = mkdtemp(name);
    marker_ = folder_ / "op" / "upgrade-script" / "1";
  }
  ~WrapperTest() override { fs::remove_all(folder_); }

  static pid_t Spawn(const std::vector<std::string>& argv) {
    std::vector<char*> args;
    for (const auto& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
    args.push_back(nullptr);
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, args[0], nullptr, nullptr, args.data(), environ), 0);
    return pid;
  }
  static int Await(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  int Run(const std::vector<std::string>& argv, const std::string& dir = "/") {
    return Await(Spawn(WrapperArgv(marker_, dir, argv)));
  }
  // The text that ClaimAttempt gives to the shell.
  std::vector<std::string> ClaimArgv() {
    std::vector<std::string> argv;
    fixtures::ScriptedEngine engine;
    engine.on_exec = [&](fixtures::ScriptedEngine::Container&,
                         const std::vector<std::string>& given) {
      argv = given;
      return ports::ExecResult{};
    };
    base::SystemClock clock;
    EXPECT_TRUE(ClaimAttempt(base::Context(clock, {}), engine, "oms", marker_).ok());
    return argv;
  }
  static std::string Read(const fs::path& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }

  fs::path folder_, marker_;
};

TEST_F(WrapperTest, KeepsOutputAndExitCode) {
  EXPECT_EQ(Run({"/bin/sh", "-c", "echo out; echo err >&2; exit 7"}), 0);
  EXPECT_EQ(Read(marker_ / "output.log"), "out\nerr\n");
  EXPECT_EQ(Read(marker_ / "exit_code"), "7\n");
  EXPECT_FALSE(fs::exists(marker_ / "exit_code.tmp"));
}

TEST_F(WrapperTest, ASecondRunOfAnAttemptDoesNothing) {
  const std::string append = "echo ran >>" + (folder_ / "runs").string();
  EXPECT_EQ(Run({"/bin/sh", "-c", append}), 0);
  EXPECT_EQ(Run({"/bin/sh", "-c", append}), kMarkerTaken);
  EXPECT_EQ(Read(folder_ / "runs"), "ran\n");
}

TEST_F(WrapperTest, OfManyAtOnceOneRuns) {
  const std::string append = "echo ran >>" + (folder_ / "runs").string();
  std::vector<pid_t> pids;
  for (int i = 0; i < 8; ++i)
    pids.push_back(Spawn(WrapperArgv(marker_, "/", {"/bin/sh", "-c", append})));
  int ran = 0;
  for (const pid_t pid : pids) ran += Await(pid) == 0 ? 1 : 0;
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(Read(folder_ / "runs"), "ran\n");
}

TEST_F(WrapperTest, RunsInTheWorkingFolder) {
  Run({"/bin/pwd"}, folder_);
  EXPECT_EQ(Read(marker_ / "output.log"), folder_.string() + "\n");
}

TEST_F(WrapperTest, AWorkingFolderThatIsNotThereIsAFailureThatIsKept) {
  EXPECT_EQ(Run({"/bin/pwd"}, "/no/such/folder"), 0);
  EXPECT_EQ(Read(marker_ / "exit_code"), "125\n");
  EXPECT_THAT(Read(marker_ / "output.log"), HasSubstr("/no/such/folder"));
}

TEST_F(WrapperTest, ArgumentsAreNeverShellText) {
  Run({"/usr/bin/printf", "%s|", "$(touch " + (folder_ / "x").string() + ")", "a b", "'\"",
       ";exit 3"});
  EXPECT_EQ(Read(marker_ / "output.log"),
            "$(touch " + (folder_ / "x").string() + ")|a b|'\"|;exit 3|");
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

TEST_F(WrapperTest, APlaceWhereNoFolderCanBeMadeRunsNothing) {
  std::ofstream(folder_ / "op") << "a file in the way";
  EXPECT_EQ(Run({"/usr/bin/touch", folder_ / "ran"}), kMarkerFailed);
  EXPECT_FALSE(fs::exists(folder_ / "ran"));
}

TEST_F(WrapperTest, AClaimedAttemptNeverRuns) {
  EXPECT_EQ(Await(Spawn(ClaimArgv())), 0);
  EXPECT_TRUE(fs::is_regular_file(marker_));
  EXPECT_EQ(Run({"/usr/bin/touch", folder_ / "ran"}), kMarkerTaken);
  EXPECT_FALSE(fs::exists(folder_ / "ran"));
  EXPECT_EQ(Await(Spawn(ClaimArgv())), 0) << "claimed before is claimed";
}

TEST_F(WrapperTest, AnAttemptThatBeganCannotBeClaimed) {
  Run({"/bin/true"});
  EXPECT_EQ(Await(Spawn(ClaimArgv())), kMarkerTaken);
  EXPECT_TRUE(fs::is_directory(marker_));
}

TEST_F(WrapperTest, OfAClaimAndARunOneWins) {
  const auto claim = ClaimArgv();
  for (int i = 1; i <= 20; ++i) {
    marker_ = folder_ / "op" / "race" / std::to_string(i);
    auto mine = claim;
    mine.back() = marker_;
    const fs::path ran = folder_ / ("ran" + std::to_string(i));
    const pid_t a = Spawn(WrapperArgv(marker_, "/", {"/usr/bin/touch", ran}));
    const pid_t b = Spawn(mine);
    const bool it_ran = Await(a) == 0;
    const bool claimed = Await(b) == 0;
    EXPECT_NE(it_ran, claimed);
    EXPECT_EQ(fs::exists(ran), it_ran);
  }
}

// ---- The looks ----

constexpr char kMarker[] = "/home/admin/logs/oms-upgrade/op/upgrade-script/1";

class LookTest : public testing::Test {
 protected:
  LookTest() {
    oms().info.id = "oms";
    oms().info.running = true;
  }
  fixtures::ScriptedEngine::Container& oms() { return engine_.containers["oms"]; }
  void MakeFolder() { oms().files[kMarker].regular = false; }
  void MakeFile(const std::string& name, const std::string& content) {
    oms().files[kMarker + ("/" + name)].content = content;
  }
  model::ScriptState Look() {
    const auto state = observe::LookAtScript(ctx_, engine_, "oms", kMarker);
    EXPECT_TRUE(state.ok()) << state.error().message;
    return state.value_or({});
  }

  fixtures::ScriptedEngine engine_;
  base::SystemClock clock_;
  base::Context ctx_{clock_, {}};
};

TEST_F(LookTest, NothingThereIsNotBegun) { EXPECT_EQ(Look().kind, Kind::kNoFolder); }

TEST_F(LookTest, AFileInPlaceOfTheFolderNeverRan) {
  oms().files[kMarker] = {};
  EXPECT_EQ(Look().kind, Kind::kNeverRan);
}

TEST_F(LookTest, AFolderAndItsProcessIsRunning) {
  MakeFolder();
  oms().processes = {
      {"1", "supervisord"},
      {"7", std::string("/bin/sh -c ... oms-upgrade-script ") + kMarker + " /root sh x"}};
  EXPECT_EQ(Look().kind, Kind::kRunning);
}

TEST_F(LookTest, AnotherAttemptsProcessIsNotThisOnes) {
  MakeFolder();
  oms().processes = {
      {"7", std::string("/bin/sh -c ... oms-upgrade-script ") + kMarker + "2 /root sh x"},
      {"8", std::string("tail -f ") + kMarker}};
  EXPECT_EQ(Look().kind, Kind::kUnknown);
}

TEST_F(LookTest, AnExitCodeIsTheEndWhateverRuns) {
  MakeFolder();
  MakeFile("exit_code", "3\n");
  MakeFile("output.log", "it failed\n");
  const auto state = Look();
  EXPECT_EQ(state.kind, Kind::kEnded);
  EXPECT_EQ(state.exit_code, 3);
  EXPECT_EQ(state.output, "it failed\n");
}

TEST_F(LookTest, AnExitCodeWrittenBetweenTheLooksIsSeen) {
  MakeFolder();
  engine_.before_processes = [&] { MakeFile("exit_code", "0\n"); };
  EXPECT_EQ(Look().kind, Kind::kEnded);
}

TEST_F(LookTest, AStoppedContainersScriptIsEndedOrUnknown) {
  oms().info.running = false;
  MakeFolder();
  MakeFile("output.log", "half\n");
  EXPECT_EQ(Look().kind, Kind::kUnknown);
  EXPECT_EQ(Look().output, "half\n");
  MakeFile("exit_code", "0\n");
  EXPECT_EQ(Look().kind, Kind::kEnded);
}

TEST_F(LookTest, AContainerThatStopsBetweenTheLooksIsUnknown) {
  MakeFolder();
  engine_.before_processes = [&] { oms().info.running = false; };
  EXPECT_EQ(Look().kind, Kind::kUnknown);
}

TEST_F(LookTest, AContainerThatIsGoneIsNotAnAttemptThatHasNotBegun) {
  EXPECT_TRUE(observe::LookAtScript(ctx_, engine_, "other", kMarker).Is(Code::kNotFound));
}

TEST_F(LookTest, AnEngineThatDoesNotAnswerIsAnError) {
  MakeFolder();
  engine_.failures["ReadFile"] = base::MakeError(Code::kTransient, "EngineUnreachable", "away");
  EXPECT_TRUE(observe::LookAtScript(ctx_, engine_, "oms", kMarker).Is(Code::kTransient));
}

TEST_F(LookTest, AnExitCodeThatIsNoNumberIsUnknown) {
  MakeFolder();
  MakeFile("exit_code", "");
  EXPECT_EQ(Look().kind, Kind::kUnknown);
}

TEST_F(LookTest, OnlyTheLastLinesAreShown) {
  MakeFolder();
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "line " + std::to_string(i) + "\n";
  MakeFile("output.log", text);
  MakeFile("exit_code", "0\n");
  const auto state = Look();
  EXPECT_LE(state.output.size(), 8u << 10);
  EXPECT_TRUE(state.output.starts_with("line "));
  EXPECT_TRUE(state.output.ends_with("line 4999\n"));
}

TEST_F(LookTest, OutputThatIsNotUtf8IsMadeSo) {
  MakeFolder();
  MakeFile("output.log", "gbk: \xb0\xc4 end\n");
  MakeFile("exit_code", "0\n");
  EXPECT_EQ(Look().output, "gbk: \xef\xbf\xbd\xef\xbf\xbd end\n");
}

TEST_F(LookTest, ARunWhoseFolderCannotBeMadeIsAPersonsMatter) {
  engine_.on_exec = [](auto&, const auto&) {
    return ports::ExecResult{kMarkerFailed, "mkdir: Read-only file system\n"};
  };
  const auto run = RunScript(ctx_, engine_, "oms", kMarker, "/root", {"/bin/sh", "x"});
  ASSERT_TRUE(run.Is(Code::kTerminal));
  EXPECT_THAT(run.error().message, HasSubstr("Read-only file system"));
  EXPECT_TRUE(ClaimAttempt(ctx_, engine_, "oms", kMarker).Is(Code::kTerminal));
}

TEST_F(LookTest, ARunThatWasBegunBeforeIsLookedAt) {
  MakeFolder();
  MakeFile("exit_code", "0\n");
  engine_.on_exec = [](auto&, const auto&) { return ports::ExecResult{kMarkerTaken, ""}; };
  EXPECT_EQ(RunScript(ctx_, engine_, "oms", kMarker, "/root", {"/bin/sh", "x"}).value().kind,
            Kind::kEnded);
  EXPECT_EQ(ClaimAttempt(ctx_, engine_, "oms", kMarker).value(), false);
}

TEST(MarkerPath, TakesIdentifiersOnly) {
  EXPECT_EQ(observe::MarkerPath("0123abcd", "upgrade-script", 1).value(),
            "/home/admin/logs/oms-upgrade/0123abcd/upgrade-script/1");
  for (const std::string bad : {"", "..", "a/b", "A", "a b", "$x", "a\n"}) {
    EXPECT_TRUE(observe::MarkerPath(bad, "s", 1).Is(Code::kInvalid)) << bad;
    EXPECT_TRUE(observe::MarkerPath("o", bad, 1).Is(Code::kInvalid)) << bad;
  }
  EXPECT_TRUE(observe::MarkerPath("o", "s", 0).Is(Code::kInvalid));
}

}  // namespace
}  // namespace oms::act
