// The image that is asked for, and the one that is there: of another version, of another archive,
// or taken away again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::ConditionOf;
using fakes::Process;
using fakes::World;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kArchiveOf432[] = "/images/oms_4.3.2.tar.gz";

void ExpectUntouched(World& world) {
  EXPECT_EQ(world.oms_writes, 0) << testing::PrintToString(world.log);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.script_runs, 0);
}

void Asks(World& world, const char* version, const char* reference, const char* archive) {
  world.EditSpec([&](json& spec) {
    spec["version"] = version;
    spec["image"] = {{"reference", reference}};
    if (archive != nullptr) spec["image"]["archive"] = archive;
  });
}

int Loads(const World& world) {
  return static_cast<int>(std::count(world.log.begin(), world.log.end(), "LoadImage"));
}

// Once by the old engine: no image, and no container that has not run, stays.
void Prune(World& world) {
  world.Locked([&] {
    std::erase_if(world.containers, [](const auto& each) { return !each.second.info.running; });
    std::set<std::string> used;
    for (const auto& [id, container] : world.containers) used.insert(container.info.image_id);
    std::erase_if(world.images, [&](const auto& each) { return !used.contains(each.second.id); });
  });
}

// Everything before the stop is done, and the window is awaited.
bool RunToTheWindow(World& world, Process& process) {
  world.EditSpec([](json& spec) {
    spec["maintenanceWindow"] = {{"start", "00:00"}, {"end", "00:01"}, {"timeZone", "UTC"}};
  });
  return process.RunUntil(
      [&] { return Ready(world) == "False/OutsideWindow" && world.Find("oms_431") != nullptr; });
}
void OpenTheWindow(World& world) {
  world.EditSpec([](json& spec) { spec.erase("maintenanceWindow"); });
}

// ---------------------------------------------------------------- version edited, image forgotten

TEST(Image, OfAnotherVersionByItsTagIsRefusedBeforeAnOperationIsOpened) {
  World world;
  Asks(world, "4.3.2", "oms:4.3.1", fakes::kArchive);
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ImageVersionDiffers");
  EXPECT_THAT(world.Resource().status.message, AllOf(HasSubstr("4.3.2"), HasSubstr("oms:4.3.1")));
  EXPECT_FALSE(world.Record().has_value());
  ExpectUntouched(world);
}

TEST(Image, ThatRunsAlreadyIsRefusedBeforeAnOperationIsOpened) {
  World world;
  world.images["oms:latest"] = world.images.at("oms:4.3.0");
  Asks(world, "4.3.1", "oms:latest", nullptr);
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ImageIsTheOldOne");
  EXPECT_THAT(world.Resource().status.message,
              AllOf(HasSubstr("oms:latest"), HasSubstr("oms_430")));
  EXPECT_FALSE(world.Record().has_value());
  ExpectUntouched(world);
}

TEST(Image, ThatTheArchiveHasAndThatRunsAlreadyIsRefusedBeforeTheStop) {
  World world;
  world.archives[fakes::kArchive] = "oms:latest";
  world.archive_ids[fakes::kArchive] = "sha256:oms430";
  Asks(world, "4.3.1", "oms:latest", fakes::kArchive);
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ImageIsTheOldOne");
  ExpectUntouched(world);
  // Corrected, it goes on by itself, in the same operation.
  const std::string id = world.Record()->id;
  world.files[kArchiveOf432] = "another archive";
  world.archives[kArchiveOf432] = "oms:latest";
  world.archive_ids[kArchiveOf432] = "sha256:oms431";
  Asks(world, "4.3.1", "oms:latest", kArchiveOf432);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.Record()->id, id);
  EXPECT_EQ(world.Find("oms_431")->info.image_id, "sha256:oms431");
}

TEST(Image, WhoseTagIsANameOfTheSitesOwnGoesOnceAPersonSaysSo) {
  World world;
  world.archives[fakes::kArchive] = "oms:1.0.7";
  world.archive_ids[fakes::kArchive] = "sha256:oms431";
  Asks(world, "4.3.1", "oms:1.0.7", fakes::kArchive);
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ImageVersionDiffers");
  ExpectUntouched(world);
  world.EditSpec([](json& spec) { spec["acknowledge"] = {"ImageNamesAnotherVersion"}; });
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.Find("oms_431")->info.image, "oms:1.0.7");
}

TEST(Image, WhoseScriptSaysThatItIsOfAnotherReleaseIsNoUpgrade) {
  World world;
  world.archives[fakes::kArchive] = "oms:latest";
  world.archive_ids[fakes::kArchive] = "sha256:oms431";
  world.script_output = "[Completed] OMS upgrade to 4.3.1 is executed\n";
  Asks(world, "4.3.2", "oms:latest", fakes::kArchive);
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ScriptFailed");
  EXPECT_THAT(world.Resource().status.message,
              AllOf(HasSubstr("4.3.1"), HasSubstr("4.3.2"), HasSubstr("oms:latest")));
  EXPECT_THAT(ConditionOf(world.Resource(), "UpgradeScriptRun"), StartsWith("False"));
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
}

// ---------------------------------------------------------------------- the archive's image counts

TEST(Image, OfAnArchiveIsLoadedThoughItsNameIsThere) {
  World world;
  world.images["oms:latest"] = world.images.at("oms:4.3.0");
  world.archives[fakes::kArchive] = "docker.io/library/oms:latest";
  world.archive_ids[fakes::kArchive] = "sha256:oms431";
  world.loads_as = "oms:latest";
  Asks(world, "4.3.1", "oms:latest", fakes::kArchive);
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(Loads(world), 1);
  EXPECT_EQ(world.Find("oms_431")->info.image_id, "sha256:oms431");
  EXPECT_EQ(world.Find("oms_431")->info.image, "oms:latest") << "docker ps shows it by its name";
}

TEST(Image, ThatIsTheArchivesOwnIsNotLoadedAgain) {
  World world;
  world.images["oms:4.3.1"] = world.images.at("oms:4.3.0");
  world.images["oms:4.3.1"].id = "sha256:oms431";
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(Loads(world), 0);
  EXPECT_EQ(world.archive_looks, 1);
}

TEST(Image, ThatAnEngineListsByAnotherDigestThanTheArchivesIsTheOneThatWasLoaded) {
  World world;
  world.listed_as = "sha256:oms-manifest-of-";
  world.image_files["sha256:oms-manifest-of-sha256:oms431"] = world.image_files["sha256:oms431"];
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(Loads(world), 1) << "what the engine lists after our own load is what was loaded";
}

TEST(Image, ThatTheArchiveDoesNotHoldIsToldBeforeTheLoadWithTheNamesThatItHas) {
  World world;
  world.archives[fakes::kArchive] = "oms:feature_4.3.1";
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ImageNotInArchive");
  EXPECT_THAT(world.Resource().status.message,
              AllOf(HasSubstr("oms:4.3.1"), HasSubstr("oms:feature_4.3.1"),
                    HasSubstr("spec.image.reference")));
  EXPECT_EQ(Loads(world), 0);
  ExpectUntouched(world);
}

TEST(Image, OfAnAssistantIsTheArchivesOwnToo) {
  World world;
  world.SeparateAndKeepTasks();
  world.images["oms-tools:4.3.1"] = world.images.at("oms:4.3.0");
  world.images["oms-tools:4.3.1"].id = "sha256:another";
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(Loads(world), 2) << "that of OMS, and that of the assistant";
}

// --------------------------------------------------------------- a task in memory decides nothing

TEST(Image, ThatIsPrunedWhileTheWindowIsAwaitedIsLoadedAgainAndTheContainerMadeAgain) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunToTheWindow(world, process)) << Why(world);
  Prune(world);
  ASSERT_EQ(world.Find("oms_431"), nullptr);
  ASSERT_FALSE(world.images.contains("oms:4.3.1"));
  ASSERT_TRUE(process.RunUntil([&] { return world.Find("oms_431") != nullptr; })) << Why(world);
  EXPECT_EQ(Stalled(world), "False/AsExpected");
  EXPECT_EQ(Loads(world), 2);
  OpenTheWindow(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
}

TEST(Image, ThatIsPrunedBeforeItsContainerIsMadeIsLoadedAgain) {
  World world;
  // The first that is made of it is the helper that looks into it.
  bool pruned = false;
  world.before_create = [&] {
    if (!pruned) pruned = world.images.erase("oms:4.3.1") > 0;
  };
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_TRUE(pruned);
  EXPECT_EQ(Loads(world), 2);
}

TEST(Image, ThatIsPrunedBetweenTwoProcessesIsLoadedAgain) {
  World world;
  {
    Process first(world, "first");
    first.life.DieAfter("SaveImage");
    (void)first.RunToReady();
  }
  Prune(world);
  ASSERT_FALSE(world.images.contains("oms:4.3.1"));
  Process second(world, "second");
  ASSERT_TRUE(second.RunToReady()) << Why(world);
  EXPECT_EQ(Loads(world), 2);
}

TEST(Image, ThatComesBackAsAnotherOneThanTheContainerWasMadeFromIsRefused) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunToTheWindow(world, process)) << Why(world);
  Prune(world);
  world.archive_ids[fakes::kArchive] = "sha256:oms432";
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/ImageIDDiffers");
  EXPECT_THAT(world.Resource().status.message,
              AllOf(HasSubstr("sha256:oms431"), HasSubstr("sha256:oms432")));
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  Wants(world, "4.3.0");
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
}

// ------------------------------------------------------------------------- created by its name

TEST(NewContainer, IsMadeAgainWhereTheNameOfItsImageMovedInThatMoment) {
  World world;
  // Between the look at the name and the create.
  world.before_create = [&] {
    const auto mine = world.images.find("oms:4.3.1");
    if (mine == world.images.end() || world.images.contains("<none> moved")) return;
    world.images["<none> moved"] = mine->second;
    mine->second.id = "sha256:oms432";
    world.loaded_on.erase("oms:4.3.1");
  };
  Process process(world);
  // Helpers are made by the id, and are not what this is about.
  world.before_create_of = "oms_431";
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.Find("oms_431")->info.image_id, "sha256:oms431");
  EXPECT_EQ(world.Find("oms_431")->info.image, "sha256:oms431");
}

TEST(NewContainer, IsMadeByItsIdWhereTheNameMeansAnotherImageByThen) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunToTheWindow(world, process)) << Why(world);
  world.Locked([&] {
    std::erase_if(world.containers,
                  [](const auto& each) { return each.second.info.name == "oms_431"; });
    world.images["<none> moved"] = world.images.at("oms:4.3.1");
    world.images.at("oms:4.3.1").id = "sha256:oms432";
    world.loaded_on.erase("oms:4.3.1");
  });
  OpenTheWindow(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.Find("oms_431")->info.image_id, "sha256:oms431");
}

}  // namespace
}  // namespace oms
