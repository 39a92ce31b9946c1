// A resource that is deleted, or whose finalizer somebody else took, while an operation is open;
// and what an idle one leaves behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::Process;
using fakes::World;
using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;

const kube::ResourceType kUpgrades{crd::kGroup, crd::kVersionName, crd::kPlural};

bool IsGone(const World& world) { return world.Resource().meta.name.empty(); }
bool IsHeld(const World& world) {
  return !IsGone(world) && !world.Resource().meta.finalizers.empty();
}

// ----------------------------------------------------------------- what cannot be seen is not over

struct Blind {
  const char* name;
  void (*begins)(World&);
  void (*ends)(World&);
};
void PrintTo(const Blind& blind, std::ostream* out) { *out << blind.name; }
class OrphanInARestore : public testing::TestWithParam<Blind> {};

TEST_P(OrphanInARestore, IsNotGivenUpForALookThatGotNoAnswer) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.0";
    spec["deletionPolicy"] = "Orphan";
  });
  world.restore_held = true;
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.Delete();
  world.Locked([&] { GetParam().begins(world); });
  for (int i = 0; i < 3; ++i) (void)process.Pass();
  EXPECT_FALSE(IsGone(world)) << "nobody would know of the restore";
  EXPECT_TRUE(world.Held()) << "the restore was ended";
  EXPECT_THAT(world.Resource().status.message, HasSubstr(world.Record()->id));
  world.Locked([&] { GetParam().ends(world); });
  world.Release();
  process.RunUntil([&] { return IsGone(world); });
  EXPECT_TRUE(IsGone(world)) << Why(world);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

INSTANTIATE_TEST_SUITE_P(
    Blind, OrphanInARestore,
    testing::Values(Blind{"MetaDb", [](World& w) { w.meta_down = true; },
                          [](World& w) { w.meta_down = false; }},
                    Blind{"Engine", [](World& w) { w.engine_down = true; },
                          [](World& w) { w.engine_down = false; }},
                    Blind{"BackupVolume", [](World& w) { w.volume_identity = "another volume"; },
                          [](World& w) { w.volume_identity = "volume-1"; }}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(OrphanInARestore, IsNotGivenUpForAFlagThatWasNarrowed) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  world.EditSpec([](json& spec) {
    spec["version"] = "4.3.0";
    spec["deletionPolicy"] = "Orphan";
  });
  world.restore_held = true;
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  // An endpoint that no flag allows is the same as a flag that allows no more.
  world.EditSpec(
      [](json& spec) { spec["nodes"][0]["engine"]["endpoint"] = "tcp://10.0.0.9:2376"; });
  world.Delete();
  for (int i = 0; i < 3; ++i) (void)process.Pass();
  EXPECT_FALSE(IsGone(world));
  EXPECT_TRUE(world.Held()) << "the restore was ended";
  EXPECT_EQ(Stalled(world), "True/EngineNotAllowed");
  world.EditSpec([](json& spec) { spec["nodes"][0]["engine"]["endpoint"] = fakes::kFirstEngine; });
  world.Release();
  process.RunUntil([&] { return IsGone(world); });
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
}

TEST(Orphan, OfAnOperationThatCannotBeSeenIsTold) {
  World world;
  world.EditSpec([](json& spec) { spec["deletionPolicy"] = "Orphan"; });
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.Locked([&] { world.engine_down = true; });
  world.Delete();
  (void)process.Pass();
  world.Release();
  EXPECT_TRUE(IsGone(world));
  EXPECT_THAT(world.events, Contains(HasSubstr("Warning Orphaned")));
}

// -------------------------------------------------------------------------------------- finalizer

void Replace(World& world) {
  auto object = *world.api.Find(kUpgrades, {"ns", "oms"});
  object["metadata"].erase("finalizers");
  world.api.Put(kUpgrades, object);
}

TEST(Finalizer, ThatAReplaceTookIsPutBackSoThatADeletionStillRollsBack) {
  World world;
  world.script_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  Replace(world);
  ASSERT_FALSE(IsHeld(world));
  (void)process.Pass();
  EXPECT_TRUE(IsHeld(world));
  world.Delete();
  process.RunUntil([&] { return IsGone(world); });
  world.Release();
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

TEST(Finalizer, OfOthersStaysWhereOursIsPutBack) {
  World world;
  world.script_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  auto object = *world.api.Find(kUpgrades, {"ns", "oms"});
  object["metadata"]["finalizers"] = {"somebody.else/holds"};
  world.api.Put(kUpgrades, object);
  (void)process.Pass();
  EXPECT_EQ(world.Resource().meta.finalizers,
            (std::vector<std::string>{"somebody.else/holds", crd::kFinalizer}));
  world.Release();
}

TEST(Finalizer, IsOffWhereNoOperationIsOpen) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  (void)process.Pass();
  EXPECT_FALSE(IsHeld(world)) << "an uninstall would hang on it";
  const int writes = world.writes;
  (void)process.Pass();
  EXPECT_EQ(world.writes, writes);
  world.restore_held = true;
  Wants(world, "4.3.0");
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  EXPECT_TRUE(IsHeld(world));
  world.Release();
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  (void)process.Pass();
  EXPECT_FALSE(IsHeld(world));
}

TEST(Finalizer, ThatAnEarlierControllerLeftOnAnIdleResourceIsTakenOff) {
  World world;
  {
    Process first(world, "first");
    ASSERT_TRUE(RunUp(world, first));
  }
  auto object = *world.api.Find(kUpgrades, {"ns", "oms"});
  object["metadata"]["finalizers"] = {crd::kFinalizer};
  world.api.Put(kUpgrades, object);
  Process second(world, "second");
  (void)second.Pass();
  EXPECT_FALSE(IsHeld(world));
}

// ------------------------------------------------------------------------- what an idle one leaves

TEST(Deletion, OfAnIdleResourceGivesItsOmsFree) {
  World world;
  Process process(world);
  ASSERT_TRUE(RunUp(world, process));
  (void)process.Pass();
  world.Delete();
  ASSERT_TRUE(IsGone(world));
  (void)process.Pass();
  EXPECT_TRUE(world.row->Free());
  EXPECT_EQ(world.drops, 0);
}

TEST(Owner, ThatIsGoneWithNothingOpenHoldsNoOtherOff) {
  World world;
  world.row =
      ports::OwnershipRow{{"cluster-1", "ns/deleted-while-nobody-looked"}, "p", 7, "", "", "", {}};
  Process process(world);
  EXPECT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_GT(world.row->epoch, 7u);
}

void PutInsteadOf(World& world, const char* name) {
  json other = *world.api.Find(kUpgrades, {"ns", "oms"});
  other.erase("status");
  other["metadata"] = {{"namespace", "ns"}, {"name", name}};
  world.api.Put(kUpgrades, other);
}

// Whether the row was given free by a controller that looked, or still names who is gone.
class WhoIsGone : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Row, WhoIsGone, testing::Bool(), [](const auto& row) {
  return row.param ? "IsGivenFree" : "StillNamesIt";
});

TEST_P(WhoIsGone, LeavesTheWayBackToWhoComesNext) {
  World world;
  {
    Process process(world);
    ASSERT_TRUE(RunUp(world, process));
    (void)process.Pass();
    world.Locked([&] {  // As another resource has left it.
      for (auto& [n, text] : world.records.at(world.row->folder)) {
        const size_t at = text.find("\"ns/oms\"");
        text.replace(at, 8, "\"ns/gone\"");
      }
      world.Find("oms_431")->info.labels["oms.oceanbase.com/owner"] = "ns.gone";
      world.row->owner = GetParam() ? ports::Owner() : ports::Owner{"cluster-1", "ns/gone"};
    });
  }
  world.EraseStatus();
  Process process(world, "another");
  process.Settle();
  ASSERT_EQ(Ready(world), "True/Succeeded") << Why(world);
  Wants(world, "4.3.0");
  EXPECT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
}

TEST_P(WhoIsGone, IsNotSomebodyWhoIsStillThere) {
  World world;
  PutInsteadOf(world, "gone");
  {
    Process process(world);
    ASSERT_TRUE(RunUp(world, process));
    (void)process.Pass();
    world.Locked([&] {
      for (auto& [n, text] : world.records.at(world.row->folder)) {
        const size_t at = text.find("\"ns/oms\"");
        text.replace(at, 8, "\"ns/gone\"");
      }
      world.row->owner = GetParam() ? ports::Owner() : ports::Owner{"cluster-1", "ns/gone"};
    });
  }
  world.EraseStatus();
  Process process(world, "another");
  Wants(world, "4.3.0");
  process.Settle();
  EXPECT_THAT(Stalled(world), HasSubstr("OwnedByAnother")) << Why(world);
  EXPECT_EQ(world.drops, 0);
}

TEST(Owner, ThatIsGoneWithAnOperationOpenIsTakenOverByAPersonOnly) {
  World world;
  world.row =
      ports::OwnershipRow{{"cluster-1", "ns/deleted-by-force"}, "p", 7, "an-operation", "", "", {}};
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/OwnedByAnother") << Why(world);
  EXPECT_EQ(world.oms_writes, 0);
}

TEST(Owner, OfAnotherClusterCannotBeLookedForAndIsTakenForThere) {
  World world;
  world.row = ports::OwnershipRow{{"cluster-2", "ns/elsewhere"}, "p", 7, "", "", "", {}};
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/OwnedByAnother");
}

}  // namespace
}  // namespace oms
