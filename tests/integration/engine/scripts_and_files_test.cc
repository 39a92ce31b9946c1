// Scripts that run once, and files on the host, with a real engine.
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "reconcilers/act/host_file.h"
#include "reconcilers/act/once_script.h"
#include "reconcilers/observe/script_look.h"
#include "tests/integration/engine/engine_fixture.h"

namespace oms::integration {
namespace {

using base::Code;
using model::ScriptState;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using Kind = ScriptState::Kind;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class OnceScript : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    fs::create_directories(folder_ / "logs");
    container_ = MakeContainer(
        "oms",
        Json({{"HostConfig",
               {{"Binds", Json::array({(folder_ / "logs").string() + ":/home/admin/logs"})}}}})
            .dump());
  }
  base::Result<ScriptState> Run(const std::string& script, milliseconds timeout = seconds(30)) {
    return act::RunScript(ctx_.WithTimeout(timeout), *engine_, container_, marker_, "/home/admin",
                          {"/bin/sh", "-c", script});
  }
  ScriptState Look() {
    const auto state = observe::LookAtScript(ctx_, *engine_, container_, marker_);
    EXPECT_TRUE(state.ok()) << state.error().message;
    return state.value_or({});
  }
  // Begins a script that waits for the file `go`, and leaves it running.
  void BeginOneThatWaits() {
    std::stop_source stop;
    const auto output =
        folder_ / "logs" / fs::path(marker_).lexically_relative("/home/admin/logs") / "output.log";
    const auto begun = [&] { return fs::exists(output) && ReadText(output) == "begun\n"; };
    std::thread starter_dies([&] {
      EXPECT_TRUE(Await(begun));
      stop.request_stop();
    });
    const auto run = act::RunScript(
        ctx_.WithStop(stop.get_token()), *engine_, container_, marker_, "/home/admin",
        {"/bin/sh", "-c",
         "echo begun; while ! test -e /home/admin/logs/go; do sleep 0.1; done; echo done"});
    starter_dies.join();
    ASSERT_TRUE(run.Is(Code::kCancelled)) << (run.ok() ? "ok" : run.error().message);
  }

  std::string container_;
  std::string marker_ = observe::MarkerPath("0123abcd", "upgrade-script", 1).value();
};

TEST_F(OnceScript, RunsOnceAndKeepsWhatBecameOfIt) {
  EXPECT_EQ(Look().kind, Kind::kNoFolder);
  const auto ran = Run("echo ran >>/home/admin/logs/runs; echo last line; exit 3");
  ASSERT_TRUE(ran.ok()) << ran.error().message;
  EXPECT_EQ(ran->kind, Kind::kEnded);
  EXPECT_EQ(ran->exit_code, 3);
  EXPECT_EQ(ran->output, "last line\n");

  EXPECT_EQ(Run("echo ran >>/home/admin/logs/runs")->exit_code, 3) << "a second run only looks";
  EXPECT_EQ(ReadText(folder_ / "logs" / "runs"), "ran\n");
  EXPECT_FALSE(act::ClaimAttempt(ctx_, *engine_, container_, marker_).value());
}

TEST_F(OnceScript, GoesOnWhenItsStarterDiesAndIsSeenToEnd) {
  BeginOneThatWaits();
  EXPECT_EQ(Look().kind, Kind::kRunning);
  EXPECT_FALSE(act::ClaimAttempt(ctx_, *engine_, container_, marker_).value());
  std::ofstream(folder_ / "logs" / "go").close();
  EXPECT_TRUE(Await([&] { return Look().kind == Kind::kEnded; }));
  EXPECT_EQ(Look().exit_code, 0);
  EXPECT_EQ(Look().output, "begun\ndone\n");
}

TEST_F(OnceScript, AContainerStoppedMidwayLeavesTheOutcomeUnknown) {
  BeginOneThatWaits();
  ASSERT_TRUE(engine_->Stop(ctx_, container_, seconds(1)).ok());
  EXPECT_EQ(Look().kind, Kind::kUnknown);
  EXPECT_EQ(Look().output, "begun\n");
  ASSERT_TRUE(engine_->Start(ctx_, container_).ok());
  EXPECT_EQ(Look().kind, Kind::kUnknown) << "started again, it is still nobody's to run";
  EXPECT_EQ(Run("echo twice >/home/admin/logs/twice")->kind, Kind::kUnknown);
  EXPECT_FALSE(fs::exists(folder_ / "logs" / "twice"));
}

TEST_F(OnceScript, AnEndIsReadFromAStoppedContainer) {
  ASSERT_TRUE(Run("exit 5").ok());
  ASSERT_TRUE(engine_->Stop(ctx_, container_, seconds(1)).ok());
  EXPECT_EQ(Look().kind, Kind::kEnded);
  EXPECT_EQ(Look().exit_code, 5);
}

TEST_F(OnceScript, AnAttemptThatIsClaimedNeverRuns) {
  EXPECT_TRUE(act::ClaimAttempt(ctx_, *engine_, container_, marker_).value());
  EXPECT_TRUE(act::ClaimAttempt(ctx_, *engine_, container_, marker_).value())
      << "as after a death of the claimer";
  EXPECT_EQ(Run("echo ran >/home/admin/logs/runs")->kind, Kind::kNeverRan);
  EXPECT_FALSE(fs::exists(folder_ / "logs" / "runs"));
  ASSERT_TRUE(engine_->Stop(ctx_, container_, seconds(1)).ok());
  EXPECT_EQ(Look().kind, Kind::kNeverRan);
}

TEST_F(OnceScript, ALogsMountThatCannotBeWrittenRunsNothing) {
  std::ofstream(folder_ / "logs" / "oms-upgrade") << "a file in the way";
  const auto ran = Run("echo ran >/home/admin/logs/runs");
  ASSERT_TRUE(ran.Is(Code::kTerminal));
  EXPECT_FALSE(fs::exists(folder_ / "logs" / "runs"));
}

class HostFile : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    data_ = folder_ / "data";
    fs::create_directories(data_);
    request_.helper = {Name("helper"),
                       image_id_,
                       {{"oms.oceanbase.com/role", "helper"}, {"oms.test", Name("helper")}}};
    request_.host_folder = data_;
    request_.file_name = "config-4.3.1.yaml";
    request_.content = "oms_meta_password: 'a$b'\n";
    request_.uid = 500;
    request_.gid = 501;
    request_.mode = 0640;
    RemoveLater(Name("helper"));
  }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(data_))
      names.push_back(entry.path().filename());
    return names;
  }
  bool HelperIsGone() { return engine_->Inspect(ctx_, Name("helper")).Is(Code::kNotFound); }

  fs::path data_;
  act::HostFileRequest request_;
};

TEST_F(HostFile, IsWrittenWithOwnerAndMode) {
  const auto written = act::WriteHostFile(ctx_, *engine_, request_);
  ASSERT_TRUE(written.ok()) << written.error().message;
  const fs::path file = data_ / "config-4.3.1.yaml";
  struct stat info {};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 500u);
  EXPECT_EQ(info.st_gid, 501u);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  EXPECT_EQ(ReadText(file), request_.content);
  EXPECT_THAT(Files(), testing::ElementsAre("config-4.3.1.yaml")) << "no temporary file is left";
  EXPECT_TRUE(HelperIsGone());

  request_.content = "second\n";
  ASSERT_TRUE(act::WriteHostFile(ctx_, *engine_, request_).ok());
  EXPECT_EQ(ReadText(file), "second\n");
  const auto read =
      act::LookAtHostFile(ctx_, *engine_, request_.helper, data_, "config-4.3.1.yaml");
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_TRUE(read->file.has_value());
  EXPECT_EQ(read->file->content, "second\n");
  EXPECT_EQ(read->file->uid, 500);
  EXPECT_EQ(read->file->mode, 0640u);
  EXPECT_TRUE(
      act::LookAtHostFile(ctx_, *engine_, request_.helper, data_, "none").Is(Code::kNotFound));
  EXPECT_TRUE(HelperIsGone());
}

TEST_F(HostFile, ThatIsNewTakesNoOthersPlace) {
  request_.over = act::HostFileRequest::Over::kNothing;
  ASSERT_TRUE(act::WriteHostFile(ctx_, *engine_, request_).ok());
  EXPECT_EQ(ReadText(data_ / "config-4.3.1.yaml"), request_.content);
  EXPECT_THAT(Files(), testing::ElementsAre("config-4.3.1.yaml")) << "no temporary file is left";
  const auto refused = [&] {
    const auto written = act::WriteHostFile(ctx_, *engine_, request_);
    EXPECT_TRUE(HelperIsGone());
    return !written.ok() && written.error().reason == "HostFileExists";
  };
  request_.content = "second\n";
  EXPECT_TRUE(refused());
  EXPECT_NE(ReadText(data_ / "config-4.3.1.yaml"), "second\n");
  // Nor that of a link that leads nowhere, or of a folder.
  fs::remove(data_ / "config-4.3.1.yaml");
  fs::create_symlink("nowhere", data_ / "config-4.3.1.yaml");
  EXPECT_TRUE(refused());
  fs::remove(data_ / "config-4.3.1.yaml");
  fs::create_directories(data_ / "config-4.3.1.yaml");
  EXPECT_TRUE(refused());
  EXPECT_TRUE(fs::is_empty(data_ / "config-4.3.1.yaml"));
  // What an engine makes where a mounted file is gone is empty.
  request_.over = act::HostFileRequest::Over::kEmptyFolder;
  std::ofstream(data_ / "config-4.3.1.yaml" / "mine") << "mine";
  EXPECT_TRUE(refused());
  fs::remove(data_ / "config-4.3.1.yaml" / "mine");
  ASSERT_TRUE(act::WriteHostFile(ctx_, *engine_, request_).ok());
  EXPECT_EQ(ReadText(data_ / "config-4.3.1.yaml"), "second\n");
}

TEST_F(HostFile, ThatIsALinkIsSeenAsOneAndNeverReplaced) {
  std::ofstream(folder_ / "managed.yaml") << "managed\n";
  fs::create_symlink("../managed.yaml", data_ / "config.yaml");
  const auto seen = act::LookAtHostFile(ctx_, *engine_, request_.helper, data_, "config.yaml");
  ASSERT_TRUE(seen.ok()) << seen.error().message;
  EXPECT_EQ(seen->path.kind, ports::PathInfo::Kind::kLink);
  EXPECT_EQ(seen->path.link, "../managed.yaml");
  EXPECT_FALSE(seen->file.has_value());
  request_.file_name = "config.yaml";
  const auto written = act::WriteHostFile(ctx_, *engine_, request_);
  ASSERT_TRUE(written.Is(Code::kTerminal));
  EXPECT_THAT(written.error().message, HasSubstr("is a symbolic link"));
  EXPECT_TRUE(fs::is_symlink(data_ / "config.yaml"));
  EXPECT_EQ(ReadText(folder_ / "managed.yaml"), "managed\n");
  fs::create_directories(data_ / "folder");
  EXPECT_EQ(act::LookAtHostFile(ctx_, *engine_, request_.helper, data_, "folder").value().path.kind,
            ports::PathInfo::Kind::kFolder);
}

TEST_F(HostFile, ALeftoverHelperOfOursIsNoHindranceAndAStrangersIs) {
  ASSERT_TRUE(engine_
                  ->Create(ctx_, Name("helper"),
                           {.image = image_, .labels = request_.helper.labels, .network = false})
                  .ok());
  EXPECT_TRUE(act::WriteHostFile(ctx_, *engine_, request_).ok());
  ASSERT_TRUE(engine_->Create(ctx_, Name("helper"), {.image = image_}).ok());
  EXPECT_TRUE(act::WriteHostFile(ctx_, *engine_, request_).Is(Code::kAlreadyExists));
  EXPECT_FALSE(HelperIsGone());
}

TEST_F(HostFile, AFolderThatDoesNotExistIsNotMade) {
  request_.host_folder = folder_ / "none";
  EXPECT_TRUE(act::WriteHostFile(ctx_, *engine_, request_).Is(Code::kInvalid));
  EXPECT_FALSE(fs::exists(folder_ / "none"));
  EXPECT_TRUE(HelperIsGone());
}

TEST_F(HostFile, AFailureTellsTheHelpersWords) {
  fs::create_directories(data_ / "config-4.3.1.yaml");
  const auto written = act::WriteHostFile(ctx_, *engine_, request_);
  ASSERT_TRUE(written.Is(Code::kTerminal))
      << (written.ok() ? "it was written" : written.error().message);
  EXPECT_THAT(written.error().message, HasSubstr("is a folder"));
  EXPECT_TRUE(HelperIsGone());
}

TEST_F(HostFile, AnImageIsLookedInto) {
  EXPECT_TRUE(
      act::ImageHasFile(ctx_, *engine_, request_.helper, "/home/admin/docker_upgrade.sh").value());
  EXPECT_FALSE(
      act::ImageHasFile(ctx_, *engine_, request_.helper, "/root/docker_upgrade.sh").value());
  EXPECT_TRUE(HelperIsGone());
}

}  // namespace
}  // namespace oms::integration
