// Files of the host that this controller did not make: told before anything is written, and left as
// they are; and what somebody has put into those that it made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/base/sha256.h"
#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::ConditionOf;
using fakes::Life;
using fakes::Process;
using fakes::World;
using nlohmann::json;
using ports::FileContent;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char kOld[] = "/data/conf/config.yaml", kNew[] = "/data/conf/config-4.3.1.yaml";
const FileContent kMine{"# mine: prepared by a person\n", 7, 7, 0600, true};

void InPlace(World& world) {
  world.EditSpec([](json& spec) { spec["deployment"]["config"] = "InPlace"; });
}

// As the guide says, by hand.
std::string EditedByHand() {
  std::string text = "# by hand\n";
  for (const char* server : {"rm", "cm"}) {
    for (const auto& [key, value] : {std::pair{"host", "10.0.0.3"},
                                     {"password", "s3cret-word"},
                                     {"port", "2883"},
                                     {"user", "oms"}})
      text += std::string("\"oms_") + server + "_meta_" + key + "\": \"" + value + "\"\n";
  }
  const std::string old = fakes::kOldConfig;
  return old.substr(0, old.find("\"oms_meta_host\"")) + text;
}

bool RunToTheWindow(World& world, Process& process) {
  world.EditSpec([](json& spec) {
    spec["maintenanceWindow"] = {{"start", "00:00"}, {"end", "00:01"}, {"timeZone", "UTC"}};
  });
  return process.RunUntil([&] { return Ready(world) == "False/OutsideWindow"; });
}

void Settled(World& world, Process& process, const std::string& reason) {
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/" + reason) << Why(world);
}

// ------------------------------------------------------------------ a file that a person prepared

TEST(ConfigFile, OfAPersonIsToldInPreflightAndLeftAsItIs) {
  World world;
  world.host_files[kNew] = kMine;
  Process process(world);
  Settled(world, process, "ConfigFileExists");
  EXPECT_THAT(world.Resource().status.message,
              AllOf(HasSubstr(kNew), HasSubstr("config.yaml itself")));
  EXPECT_EQ(ConditionOf(world.Resource(), "PreflightPassed"), "False/ConfigFileExists");
  EXPECT_EQ(world.oms_writes, 0) << testing::PrintToString(world.log);
  EXPECT_EQ(world.host_files[kNew].content, kMine.content);
  EXPECT_FALSE(world.host_files.contains("/data/conf/.config-4.3.1.yaml.oms-upgrade.tmp"));
  // Moved away, it goes on without a touch of the resource.
  world.Locked([&] { world.host_files.erase(kNew); });
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_THAT(world.host_files[kNew].content, HasSubstr("oms_rm_meta_host"));
}

TEST(ConfigFile, OfAPersonThatIsALinkOrAFolderIsToldAsWell) {
  for (const bool link : {false, true}) {
    World world;
    if (link) {
      world.host_links[kNew] = "/etc/nowhere";
    } else {
      world.host_files[kNew] = {"", 0, 0, 0755, false};
    }
    Process process(world);
    Settled(world, process, "ConfigFileExists");
    EXPECT_EQ(world.oms_writes, 0);
  }
}

TEST(ConfigFile, OfAPersonStaysWhenTheUpgradeIsCalledBack) {
  World world;
  world.host_files[kNew] = kMine;
  Process process(world);
  Settled(world, process, "ConfigFileExists");
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.host_files.at(kNew).content, kMine.content);
  EXPECT_THAT(world.events, Not(Contains(HasSubstr("ConfigFileLeft"))));
}

TEST(ConfigFile, ThatAppearsBetweenTheLookAndTheWriteIsNotReplaced) {
  World world;
  bool put = false;
  world.before_host_write = [&] {
    if (!std::exchange(put, true)) world.host_files[kNew] = kMine;
  };
  Process process(world);
  Settled(world, process, "ConfigFileExists");
  EXPECT_EQ(world.host_files.at(kNew).content, kMine.content);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  // Never written by us, it is not removed either, and a person is told that it is there.
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.host_files.at(kNew).content, kMine.content);
  EXPECT_THAT(world.events, Contains(AllOf(HasSubstr("ConfigFileLeft"), HasSubstr(kNew))));
}

TEST(ConfigFile, OfOursIsKnownAfterADeathOnEitherSideOfItsWrite) {
  for (const auto end : {Life::End::kBefore, Life::End::kAfter}) {
    int tried = 0;
    for (int n = 1; n < 60; ++n) {
      World world;
      {
        Process first(world, "first");
        first.life.DieAt(n, end);
        (void)first.RunToReady();
      }
      const auto record = world.Record();
      if (!record || !record->config_meant.contains("oms-1")) continue;
      if (record->Passed(model::PointKind::kHaDisabling)) break;
      ++tried;
      Process second(world, "second");
      ASSERT_TRUE(second.RunToReady()) << n << Why(world);
    }
    EXPECT_GE(tried, 3) << "the note, the helper's writes, and what follows";
  }
}

TEST(ConfigFile, OfOursIsRemovedOnTheWayBack) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_FALSE(world.host_files.contains(kNew));
  EXPECT_THAT(world.events, Not(Contains(HasSubstr("ConfigFile"))));
}

TEST(ConfigFile, OfOursThatAPersonHasChangedSinceIsKeptBeforeItIsRemoved) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  world.Locked([&] { world.host_files[kNew].content += "# a new password\n"; });
  const std::string changed = world.host_files[kNew].content;
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_FALSE(world.host_files.contains(kNew));
  const std::string copy = world.Record()->folder + "/rollback/oms-1/config-4.3.1.yaml";
  EXPECT_EQ(world.files[copy], changed);
  EXPECT_THAT(world.events, Contains(AllOf(HasSubstr("ConfigFileKept"), HasSubstr(copy))));
}

TEST(ConfigFile, OfOursThatAPersonChangesBeforeTheStopIsToldAndNotOverwritten) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunToTheWindow(world, process)) << Why(world);
  world.Locked([&] { world.host_files[kNew].content += "# more\n"; });
  const std::string changed = world.host_files[kNew].content;
  Settled(world, process, "ConfigFileExists");
  EXPECT_EQ(world.host_files[kNew].content, changed);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  // Removed, the engine makes a folder of it as soon as it looks through the container's mount.
  world.Locked([&] { world.host_files[kNew] = {"", 0, 0, 0755, false}; });
  world.EditSpec([](json& spec) { spec.erase("maintenanceWindow"); });
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_THAT(world.host_files[kNew].content, HasSubstr("oms_rm_meta_host"));
}

TEST(ConfigFile, OfOursFollowsAnEditOfConfigYaml) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunToTheWindow(world, process)) << Why(world);
  world.Locked([&] { world.host_files[kOld].content += "\"added\": \"1\"\n"; });
  world.EditSpec([](json& spec) { spec.erase("maintenanceWindow"); });
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_THAT(world.host_files[kNew].content, HasSubstr("\"added\""));
}

// --------------------------------------------------------------------------------- a symbolic link

TEST(ConfigLink, IsRefusedInPlaceBeforeTheStop) {
  World world;
  InPlace(world);
  world.host_files["/etc/omscfg/config.yaml"] = world.host_files.at(kOld);
  world.host_files.erase(kOld);
  world.host_links[kOld] = "/etc/omscfg/config.yaml";
  Process process(world);
  Settled(world, process, "ConfigIsLink");
  EXPECT_THAT(world.Resource().status.message,
              AllOf(HasSubstr("/etc/omscfg/config.yaml"), HasSubstr("Beside")));
  EXPECT_EQ(world.oms_writes, 0);
  // As the message says: beside it works.
  world.EditSpec([](json& spec) { spec["deployment"]["config"] = "Beside"; });
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_TRUE(world.host_links.contains(kOld));
  EXPECT_EQ(world.host_files["/etc/omscfg/config.yaml"].content, fakes::kOldConfig);
  EXPECT_THAT(world.host_files[kNew].content, HasSubstr("oms_rm_meta_host"));
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_TRUE(world.host_links.contains(kOld));
}

// ------------------------------------------------------------------------ in place, and by a
// person

TEST(ConfigInPlace, ThatAPersonEditsByHandWhereWeCouldNotGoesOn) {
  World world;
  InPlace(world);
  Process process(world);
  ASSERT_TRUE(RunToTheWindow(world, process)) << Why(world);
  world.Locked([&] { world.host_files_read_only = true; });
  world.EditSpec([](json& spec) { spec.erase("maintenanceWindow"); });
  Settled(world, process, "HostFile");
  world.Locked([&] { world.host_files[kOld].content = EditedByHand(); });
  world.Annotate(crd::kResetAt, "edited by hand");
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_EQ(world.host_files[kOld].content, EditedByHand());
  world.Locked([&] { world.host_files_read_only = false; });
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.host_files[kOld].content, fakes::kOldConfig) << "the copy is put back";
  EXPECT_EQ(world.files[world.Record()->folder + "/rollback/oms-1/config.yaml"], EditedByHand());
}

TEST(ConfigInPlace, ThatAPersonEditsBeforeUsGoesOnAndIsPutBack) {
  World world;
  InPlace(world);
  Process process(world);
  world.dump_held = true;
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }) && world.AwaitHeld(3));
  world.Locked([&] { world.host_files[kOld].content = EditedByHand(); });
  world.Release();
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_EQ(world.host_files[kOld].content, EditedByHand());
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.host_files[kOld].content, fakes::kOldConfig);
}

TEST(ConfigInPlace, ThatIsTurnedBackBeforeTheStopTouchesNothing) {
  World world;
  InPlace(world);
  Process process(world);
  ASSERT_TRUE(RunToTheWindow(world, process)) << Why(world);
  world.Locked([&] { world.host_files[kOld].content += "# since\n"; });
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.host_files[kOld].content, std::string(fakes::kOldConfig) + "# since\n");
}

}  // namespace
}  // namespace oms
