#include "reconcilers/act/host_file.h"

#include <gmock/gmock.h>

#include "tests/unit/reconcilers/scripted_engine.h"

namespace oms::act {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class HostFileTest : public testing::Test {
 protected:
  HostFileTest() {
    request_.helper = {"helper", "sha256:oms", {{"oms.oceanbase.com/role", "helper"}}};
    request_.host_folder = "/data";
    request_.file_name = "config-4.3.1.yaml";
    request_.content = "password: secret";
    request_.uid = 500;
    request_.gid = 501;
    request_.mode = 0640;
  }

  fixtures::ScriptedEngine engine_;
  HostFileRequest request_;
  base::SystemClock clock_;
  base::Context ctx_{clock_, {}};
};

TEST_F(HostFileTest, GoesThroughAHelperThatIsRemovedAgain) {
  ASSERT_TRUE(WriteHostFile(ctx_, engine_, request_).ok());
  EXPECT_THAT(engine_.calls, ElementsAre("Create helper", "WriteFile helper", "Start helper",
                                         "Wait helper", "Remove helper"));
  EXPECT_THAT(engine_.containers, IsEmpty());
}

TEST_F(HostFileTest, TheHelperIsConfinedAndTheContentIsNotInItsArguments) {
  engine_.failures["Remove"] =
      base::MakeError(Code::kTransient, "away");  // So that it can be looked at.
  ASSERT_TRUE(WriteHostFile(ctx_, engine_, request_).ok())
      << "a leftover is the next call's matter";
  const ports::ContainerSpec& spec = engine_.containers.at("helper").spec;
  for (const auto& argument : spec.command) EXPECT_THAT(argument, Not(HasSubstr("secret")));
  EXPECT_EQ(spec.image, "sha256:oms");
  EXPECT_FALSE(spec.network);
  EXPECT_FALSE(spec.like) << "it has no settings of another one: no privileges";
  ASSERT_EQ(spec.mounts.size(), 1u);
  EXPECT_EQ(spec.mounts[0].source, "/data");
  EXPECT_FALSE(spec.mounts[0].make_source);
  EXPECT_THAT(spec.entrypoint, ElementsAre("/bin/sh", "-c"));
  EXPECT_EQ(spec.command[2], "config-4.3.1.yaml");
  EXPECT_EQ(spec.command[3], "500:501");
  EXPECT_EQ(spec.command[4], "0640");
}

TEST_F(HostFileTest, ALeftoverOfOursIsRemovedFirst) {
  engine_.containers["helper"].info.id = "helper";
  engine_.containers["helper"].info.labels = request_.helper.labels;
  ASSERT_TRUE(WriteHostFile(ctx_, engine_, request_).ok());
  EXPECT_EQ(engine_.calls.front(), "Remove helper");
}

TEST_F(HostFileTest, AContainerOfThatNameThatIsNotOursIsLeftAlone) {
  engine_.containers["helper"].info.id = "helper";
  EXPECT_TRUE(WriteHostFile(ctx_, engine_, request_).Is(Code::kAlreadyExists));
  EXPECT_THAT(engine_.calls, IsEmpty());
}

TEST_F(HostFileTest, AFailureTellsTheHelpersLastLinesAndLeavesNoHelper) {
  class Failing : public fixtures::ScriptedEngine {
   public:
    base::Result<int> Wait(const base::Context&, const std::string&) override { return 1; }
    base::Result<std::string> Logs(const base::Context&, const std::string&, int) override {
      return std::string("cp: No space left on device\n");
    }
  } engine;
  const auto status = WriteHostFile(ctx_, engine, request_);
  ASSERT_TRUE(status.Is(Code::kTerminal));
  EXPECT_EQ(status.error().reason, "HostFile");
  EXPECT_THAT(status.error().message, HasSubstr("No space left on device"));
  EXPECT_THAT(engine.containers, IsEmpty());
}

TEST_F(HostFileTest, AStopInTheMiddleLeavesNoHelper) {
  class Stopping : public fixtures::ScriptedEngine {
   public:
    std::stop_source stop;
    base::Result<int> Wait(const base::Context& ctx, const std::string&) override {
      stop.request_stop();
      return ctx.Check().error();
    }
    base::Status Remove(const base::Context& ctx, const std::string& id, bool force) override {
      OMS_TRY(ctx.Check());
      return fixtures::ScriptedEngine::Remove(ctx, id, force);
    }
  } engine;
  EXPECT_TRUE(
      WriteHostFile(ctx_.WithStop(engine.stop.get_token()), engine, request_).Is(Code::kCancelled));
  EXPECT_THAT(engine.containers, IsEmpty());
}

TEST_F(HostFileTest, AfterADeathAtAnyPlaceTheSameCallSucceeds) {
  for (const std::string verb : {"Create", "WriteFile", "Start", "Wait", "Remove"}) {
    engine_.containers.clear();
    engine_.failures[verb] = base::MakeError(Code::kCancelled, "stopping");
    (void)WriteHostFile(ctx_, engine_, request_);
    if (engine_.containers.contains("helper"))
      engine_.containers["helper"].info.labels = request_.helper.labels;
    engine_.failures.clear();
    EXPECT_TRUE(WriteHostFile(ctx_, engine_, request_).ok()) << verb;
    EXPECT_THAT(engine_.containers, IsEmpty()) << verb;
  }
}

TEST_F(HostFileTest, AHelperThatIsDeadKeepsItsNameAndHoldsNothingUp) {
  auto& dead = engine_.containers["helper"].info;
  dead.id = dead.name = "helper";
  dead.labels = request_.helper.labels;
  dead.dead = true;
  class Undying : public fixtures::ScriptedEngine {
   public:
    base::Status Remove(const base::Context& ctx, const std::string& id, bool force) override {
      if (containers.at(id).info.dead)
        return base::MakeError(Code::kTransient, "EngineError", "no");
      return fixtures::ScriptedEngine::Remove(ctx, id, force);
    }
  } engine;
  engine.containers = engine_.containers;
  ASSERT_TRUE(WriteHostFile(ctx_, engine, request_).ok());
  EXPECT_THAT(engine.calls, testing::Contains("Start helper-2"));
  EXPECT_EQ(engine.containers.size(), 1u) << "the dead one alone";
}

TEST_F(HostFileTest, AFileThatIsThereIsToldApartFromAFailure) {
  class There : public fixtures::ScriptedEngine {
   public:
    base::Result<int> Wait(const base::Context&, const std::string&) override { return 17; }
  } engine;
  request_.over = HostFileRequest::Over::kNothing;
  const auto written = WriteHostFile(ctx_, engine, request_);
  EXPECT_TRUE(written.Is(Code::kAlreadyExists));
  EXPECT_EQ(written.error().reason, "HostFileExists");
  EXPECT_THAT(written.error().message, HasSubstr("/data/config-4.3.1.yaml"));
}

TEST_F(HostFileTest, NamesThatReachAShellOrAPathAreChecked) {
  for (const std::string bad : {"", ".", "..", "-x", ".x", "a/b", "a b", "a\n", "$x"}) {
    request_.file_name = bad;
    EXPECT_TRUE(WriteHostFile(ctx_, engine_, request_).Is(Code::kInvalid)) << bad;
    EXPECT_TRUE(LookAtHostFile(ctx_, engine_, request_.helper, "/data", bad).Is(Code::kInvalid))
        << bad;
  }
  EXPECT_TRUE(LookAtHostFile(ctx_, engine_, request_.helper, "data", "x").Is(Code::kInvalid));
  EXPECT_THAT(engine_.calls, IsEmpty());
}

TEST_F(HostFileTest, AnImageIsLookedIntoWithoutStartingIt) {
  engine_.image_files["/root/docker_upgrade.sh"].content = "#!/bin/sh";
  engine_.image_files["/root"].regular = false;
  EXPECT_EQ(ImageHasFile(ctx_, engine_, request_.helper, "/root/docker_upgrade.sh").value(), true);
  EXPECT_EQ(ImageHasFile(ctx_, engine_, request_.helper, "/root/other.sh").value(), false);
  EXPECT_EQ(ImageHasFile(ctx_, engine_, request_.helper, "/root").value(), false);
  EXPECT_THAT(engine_.calls, Not(testing::Contains("Start helper")));
  EXPECT_THAT(engine_.containers, IsEmpty());
}

TEST_F(HostFileTest, AHostsFileIsReadWithoutStartingAnything) {
  engine_.image_files["/oms-upgrade-work/config.yaml"].content = "a: b";
  engine_.image_files["/oms-upgrade-work/folder"].regular = false;
  engine_.links["/oms-upgrade-work/link"] = "elsewhere/config.yaml";
  const auto look = [&](const char* name) {
    return LookAtHostFile(ctx_, engine_, request_.helper, "/data", name);
  };
  EXPECT_EQ(look("config.yaml").value().file->content, "a: b");
  EXPECT_EQ(look("folder").value().path.kind, ports::PathInfo::Kind::kFolder);
  EXPECT_EQ(look("link").value().path.kind, ports::PathInfo::Kind::kLink);
  EXPECT_EQ(look("link").value().path.link, "elsewhere/config.yaml");
  EXPECT_FALSE(look("link").value().file.has_value()) << "nothing is read through it";
  EXPECT_TRUE(look("other").Is(Code::kNotFound));
  EXPECT_THAT(engine_.calls, Not(testing::Contains("Start helper")));
  EXPECT_THAT(engine_.containers, IsEmpty());
}

}  // namespace
}  // namespace oms::act
