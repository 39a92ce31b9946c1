// What fails within a pass, how often it is tried, what a person is told, and what their token
// does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/oms/ha_config.h"
#include "tests/fakes/fake_world.h"
#include "tests/scenario/crash.h"
#include "tests/scenario/shown.h"
#include "tests/scenario/stride.h"

namespace oms {
namespace {

using base::Code;
using fakes::ConditionOf;
using fakes::Life;
using fakes::Process;
using fakes::World;
using model::PointKind;
using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

void Policy(World& world, const char* policy) {
  world.EditSpec([&](json& spec) { spec["strategy"]["onFailure"] = policy; });
}
int Told(const World& world, const std::string& what) {
  return static_cast<int>(
      std::count_if(world.events.begin(), world.events.end(),
                    [&](const auto& event) { return event.find(what) != std::string::npos; }));
}

// ---------------------------------------------------------------- an act within the pass fails

TEST(Act, ThatFailsForAMomentIsTriedAgainAfterAPause) {
  World world;
  world.starts_to_refuse = 2;
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(Told(world, "Warning EngineRefused"), 2);
  EXPECT_FALSE(world.Record()->failure.has_value()) << "forgotten once the step is done";
}

TEST(Act, ThatKeepsFailingIsBoundedAndStalls) {
  World world;
  world.starts_to_refuse = 1000;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/EngineRefused");
  EXPECT_THAT(world.Resource().status.message, HasSubstr("/data/store"));
  EXPECT_EQ(1000 - world.starts_to_refuse, 4) << "once, and three retries";
  EXPECT_EQ(world.Resource().status.operation->failures, 4);
  EXPECT_EQ(ConditionOf(world.Resource(), "ContainersStarted"), "False/EngineRefused");
  // A restart is no retry.
  Process second(world, "second");
  second.Settle();
  EXPECT_EQ(Stalled(world), "True/EngineRefused");
  EXPECT_EQ(1000 - world.starts_to_refuse, 4);
  world.starts_to_refuse = 0;
  world.Annotate(crd::kResetAt, "mended");
  EXPECT_TRUE(second.RunToReady()) << Why(world);
}

TEST(Act, ThatCannotSucceedStallsAtOnceAndATokenGoesOn) {
  World world;
  world.starts_to_refuse = 1;
  world.refuses_with = Code::kInvalid;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/EngineRefused");
  EXPECT_EQ(world.starts_to_refuse, 0);
  world.Annotate(crd::kResetAt, "mended");
  EXPECT_TRUE(process.RunToReady()) << Why(world);
}

TEST(Act, ThatFailsForGoodTurnsBackUnderRollback) {
  World world;
  Policy(world, "Rollback");
  Process process(world);
  world.dump_held = true;
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.Locked([&] { world.refuses_with = Code::kInvalid, world.starts_to_refuse = 1; });
  world.Release();
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/RolledBackAfterFailure") << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.Find("oms_431"), nullptr);
  EXPECT_EQ(world.Resource().status.history.at(0).outcome, crd::HistoryOutcome::kFailed);
}

TEST(Act, ThatFailsIsTriedAgainAtOnceOnARequest) {
  World world;
  world.starts_to_refuse = 1;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return Told(world, "EngineRefused") == 1; }));
  world.Annotate(crd::kRequestedAt, "now");
  for (int i = 0; i < 4 && world.Find("oms_431")->info.running == false; ++i) (void)process.Pass();
  EXPECT_TRUE(world.Find("oms_431")->info.running) << "no pause was waited for";
}

// --------------------------------------------------------------------------- the status on the way

TEST(Ready, IsNeverTrueBeforeTheVersionThatIsAskedForRuns) {
  World world;
  Policy(world, "Rollback");
  world.script_exit_code = 3;
  Process process(world);
  const bool misled = process.RunUntil([&] { return Ready(world).starts_with("True"); }, 200);
  EXPECT_FALSE(misled) << "a failed upgrade that was rolled back";
  EXPECT_EQ(Stalled(world), "True/RolledBackAfterFailure");
}

TEST(Ready, IsNotTrueInAnyWriteOfTheStatusWhileAnotherVersionIsAskedFor) {
  World world;
  Policy(world, "Rollback");
  world.script_exit_code = 3;
  int misleading = 0;
  // Sees each object as it is stored.
  world.api.SetPruning([&](json& object) {
    for (const auto& condition : object.value("/status/conditions"_json_pointer, json::array())) {
      misleading += condition["type"] == "Ready" && condition["status"] == "True" ? 1 : 0;
    }
  });
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/RolledBackAfterFailure") << Why(world);
  EXPECT_EQ(misleading, 0);
}

TEST(Status, OfARolledBackFailureKeepsItsAccount) {
  World world;
  Policy(world, "Rollback");
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  for (int i = 0; i < 3; ++i) (void)process.Pass();
  EXPECT_EQ(ConditionOf(world.Resource(), "RollbackCompleted"), "True/Done");
  EXPECT_EQ(ConditionOf(world.Resource(), "RollbackNeeded"), "True/FailurePolicy");
  EXPECT_THAT(world.Resource().status.follow_ups, Contains(HasSubstr("Full-Import")));
}

TEST(Status, ThatAnOldCrdPrunesStallsBeforeAnythingMoreIsDone) {
  World world;
  Process process(world);
  world.load_held = true;
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.api.SetPruning([](json& object) {
    if (object.contains("status")) object["status"].erase("phases");
  });
  world.Release();
  process.AwaitTasks();
  for (int i = 0; i < 5; ++i) (void)process.Pass();
  EXPECT_EQ(Stalled(world), "True/CRDTooOld");
  EXPECT_EQ(Ready(world), "False/CRDTooOld");
  EXPECT_TRUE(world.OmsRuns());
  const int before = world.oms_writes;
  for (int i = 0; i < 5; ++i) (void)process.Pass();
  EXPECT_EQ(world.oms_writes, before) << "what cannot be shown is not done";
  EXPECT_EQ(Told(world, "CRDTooOld"), 1);
  world.api.SetPruning(nullptr);
  EXPECT_TRUE(process.RunToReady()) << Why(world);
}

// ------------------------------------------------------------------------------ the token

TEST(Token, OnAFailedScriptGoesBackAndBeginsAnew) {
  for (const char* policy : {"Pause", "Retry"}) {
    World world;
    Policy(world, policy);
    world.script_exit_code = 3;
    Process process(world);
    process.Settle();
    ASSERT_EQ(Stalled(world), "True/ScriptFailed");
    const std::string first = world.Record()->id;
    world.script_exit_code = 0;
    world.Annotate(crd::kResetAt, "again");
    ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "True/Succeeded"; })) << Why(world);
    EXPECT_EQ(world.script_runs, 2) << "once in each operation";
    EXPECT_NE(world.Record()->id, first);
    const auto history = world.Resource().status.history;
    ASSERT_EQ(history.size(), 2u);
    EXPECT_EQ(history[1].outcome, crd::HistoryOutcome::kRolledBack);
    EXPECT_EQ(history[1].reason, "RetryRequested");
  }
}

TEST(Token, ThatIsGivenWhileNoControllerRunsIsTakenByTheNext) {
  World world;
  {
    Process first(world, "first");
    world.starts_to_refuse = 1;
    world.refuses_with = Code::kInvalid;
    first.Settle();
    ASSERT_EQ(Stalled(world), "True/EngineRefused");
  }
  world.Annotate(crd::kResetAt, "mended");
  Process second(world, "second");
  ASSERT_TRUE(second.RunToReady()) << Why(world);
  EXPECT_EQ(world.Resource().status.last_handled.reset_at, "mended");
}

TEST(Token, IsTakenOnceWhereverAProcessDies) {
  int all = 1;
  for (int n = 1; n <= all && !testing::Test::HasFailure(); n += fixtures::kEvery) {
    World world;
    {
      Process first(world, "first");
      world.script_exit_code = 3;
      first.Settle();
    }
    ASSERT_EQ(Stalled(world), "True/ScriptFailed");
    world.script_exit_code = 0;
    world.Annotate(crd::kResetAt, "again");
    {
      Process second(world, "second");
      second.life.DieAt(n, Life::End::kAfter);
      (void)second.RunUntil([&] { return Ready(world) == "True/Succeeded"; });
      all = std::max(all, world.WritesOf(second.life));
    }
    SCOPED_TRACE("died at write " + std::to_string(n));
    Process third(world, "third");
    ASSERT_TRUE(third.RunUntil([&] { return Ready(world) == "True/Succeeded"; })) << Why(world);
    EXPECT_EQ(world.script_runs, 2);
    n += 10;  // Each write of the way itself is looked at elsewhere.
  }
}

TEST(Edit, InTheMiddleOfARollbackByPolicyAsksForANewUpgradeAtItsEnd) {
  World world;
  Policy(world, "Rollback");
  world.script_exit_code = 3;
  world.script_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.Locked([&] {
    world.dump_held = true;
    world.script_held = false;
  });
  world.Wake();
  ASSERT_TRUE(process.RunUntil(
      [&] { return world.Record()->direction == model::Direction::kRollback && world.Held(); }));
  world.script_exit_code = 0;
  world.EditSpec([](json& spec) { spec["historyLimit"] = 7; });
  world.Release();
  EXPECT_TRUE(process.RunUntil([&] { return Ready(world) == "True/Succeeded"; })) << Why(world);
}

// ---------------------------------------------------------------------------- mysqldump's timeout

void WithMysqldump(json& spec) { spec["backup"] = {{"tool", "mysqldump"}, {"image", false}}; }

TEST(QueryTimeout, IsRaisedForMysqldumpAndPutBack) {
  World world;
  world.EditSpec(WithMysqldump);
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  EXPECT_GT(*world.query_timeout, 10'000'000u);
  EXPECT_EQ(world.Record()->global_query_timeout, 10'000'000u) << "what it was is written down";
  world.Release();
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  EXPECT_EQ(world.query_timeout, 10'000'000u);
}

TEST(QueryTimeout, IsNotTouchedForMydumperOrWhereTheServerHasNone) {
  World world;
  ASSERT_TRUE(Process(world).RunToReady());
  EXPECT_THAT(world.log, Not(Contains("SetGlobalQueryTimeout")));
  World other;
  other.query_timeout.reset();
  other.EditSpec(WithMysqldump);
  ASSERT_TRUE(Process(other).RunToReady());
  EXPECT_THAT(other.log, Not(Contains("SetGlobalQueryTimeout")));
}

TEST(QueryTimeout, IsPutBackWhereTheDumpFailsOrIsStopped) {
  World world;
  world.EditSpec(WithMysqldump);
  world.dumps_to_fail = 1000;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/DumpFailed");
  EXPECT_EQ(world.query_timeout, 10'000'000u);

  World other;
  other.EditSpec(WithMysqldump);
  other.dump_held = true;
  Process another(other);
  ASSERT_TRUE(another.RunUntil([&] { return other.Held(); }));
  other.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  (void)another.Pass();  // Ends the dump.
  another.AwaitTasks();
  EXPECT_EQ(other.query_timeout, 10'000'000u);
}

TEST(QueryTimeout, IsPutBackAfterACrashWhateverTheNextToolIs) {
  for (const char* next : {"mysqldump", "mydumper"}) {
    World world;
    world.EditSpec(WithMysqldump);
    {
      Process first(world, "first");
      first.life.DieAfter("SetGlobalQueryTimeout");
      ASSERT_FALSE(first.RunToReady());
    }
    ASSERT_GT(*world.query_timeout, 10'000'000u);
    world.EditSpec([&](json& spec) { spec["backup"]["tool"] = next; });
    Process second(world, "second");
    ASSERT_TRUE(second.RunToReady()) << Why(world);
    EXPECT_EQ(world.query_timeout, 10'000'000u) << next;
  }
}

TEST(QueryTimeout, IsPutBackByARevertAfterACrash) {
  World world;
  world.EditSpec(WithMysqldump);
  {
    Process first(world, "first");
    first.life.DieAfter("SetGlobalQueryTimeout");
    ASSERT_FALSE(first.RunToReady());
  }
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  Process second(world, "second");
  ASSERT_TRUE(second.RunToReady()) << Why(world);
  EXPECT_EQ(world.query_timeout, 10'000'000u);
}

// ------------------------------------------------------------------------------ on the way back

TEST(WayBack, OfADatabaseThatCannotBeReadAnyMoreRestoresIt) {
  World world;
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/ScriptFailed");
  world.Locked([&] {
    world.unreadable.insert("oms_rm");
    world.databases["oms_rm"] = "half migrated";
  });
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "True/RolledBackByRequest"; }))
      << Why(world);
  EXPECT_EQ(world.databases["oms_rm"], "rm of 4.3.0");
}

TEST(WayBack, ToAContainerThatEndsAtItsStartIsBoundedToldAndGoesOnWhenMended) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  world.old_dies_at_start = true;
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/OldContainerDied") << Why(world);
  const auto starts = std::count(world.log.begin(), world.log.end(), "Start oms_430");
  EXPECT_LE(starts, 4);
  world.old_dies_at_start = false;
  world.Annotate(crd::kResetAt, "mended");
  EXPECT_TRUE(process.RunUntil([&] { return Ready(world) == "True/RolledBackByRequest"; }))
      << Why(world);
}

TEST(WayBack, WithoutRetriesStillGivesAStateUpThatNobodyUsed) {
  World world;
  world.EditSpec([](json& spec) { spec["strategy"]["maxRetries"] = 0; });
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/ScriptFailed");
  world.dumps_to_fail = 1000;
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  EXPECT_TRUE(process.RunUntil([&] { return Ready(world) == "True/RolledBackByRequest"; }))
      << Why(world);
}

TEST(WayBack, RemovesTheRewrittenConfigThatNothingReadsAnyMore) {
  World world;
  Process process(world);
  ASSERT_TRUE(process.RunToReady());
  ASSERT_TRUE(world.host_files.contains("/data/conf/config-4.3.1.yaml"));
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "True/RolledBackByRequest"; }))
      << Why(world);
  EXPECT_FALSE(world.host_files.contains("/data/conf/config-4.3.1.yaml"));
  EXPECT_EQ(world.host_files["/data/conf/config.yaml"].content, fakes::kOldConfig);
}

TEST(QueryTimeout, ThatMayNotBeSetIsToldBeforeTheStopAndNotAskedOfMydumper) {
  World world;
  world.SeparateCm();
  world.EditSpec(WithMysqldump);
  world.cm_no_set_global = true;
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/MetaDBDenied") << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_FALSE(world.Record());
  world.EditSpec([](json& spec) { spec["backup"]["tool"] = "mydumper"; });
  EXPECT_TRUE(process.RunToReady()) << Why(world);
}

TEST(QueryTimeout, ThatMayNotBeSetDoesNotKeepFromGoingBack) {
  World world;
  world.EditSpec(WithMysqldump);
  world.load_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); }));
  world.Locked([&] { world.no_set_global = true; });
  world.Release();
  process.AwaitTasks();
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/MetaDBDenied") << Why(world);
  EXPECT_FALSE(world.Find("oms_430")->info.running) << "found out with OMS down";
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_EQ(world.query_timeout, 10'000'000U);
}

TEST(Compaction, ThatMayNotAlterItsTablesDoesNotKeepFromGoingBack) {
  World world;
  world.no_alter = true;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/MetaDBDenied") << Why(world);
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
  EXPECT_TRUE(world.sequence.base.exists);
  EXPECT_FALSE(world.sequence.bak.exists || world.sequence.bak2.exists);
}

// ------------------------------------------------------------------------------- in place

void InPlace(json& spec) {
  spec["deployment"] = {{"config", "InPlace"}};
  spec["backup"] = {{"image", false}};
}

TEST(InPlace, EditsConfigYamlItselfOnceOmsIsStopped) {
  World world;
  world.EditSpec(InPlace);
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); })) << Why(world);
  EXPECT_EQ(world.host_files["/data/conf/config.yaml"].content, fakes::kOldConfig)
      << "the old container may still be started by hand";
  world.Release();
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  const auto& file = world.host_files["/data/conf/config.yaml"];
  EXPECT_THAT(file.content, HasSubstr("oms_rm_meta_host"));
  EXPECT_THAT(file.content, HasSubstr("# written by hand"));
  EXPECT_EQ(file.uid, 1000);
  EXPECT_EQ(file.mode, 0640u);
  EXPECT_FALSE(world.host_files.contains("/data/conf/config-4.3.1.yaml"));
  EXPECT_EQ(world.Find("oms_431")->info.FindMount("/home/admin/conf/config.yaml")->source,
            "/data/conf/config.yaml");
  EXPECT_EQ(ConditionOf(world.Resource(), "ConfigRewritten"), "True/Done");
}

TEST(InPlace, AFileThatCannotBeWrittenDoesNotKeepFromGoingBack) {
  World world;
  world.EditSpec(InPlace);
  world.host_files_read_only = true;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/HostFile") << Why(world);
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.host_files["/data/conf/config.yaml"].content, fakes::kOldConfig);
  EXPECT_TRUE(world.Find("oms_430")->info.running);
}

TEST(InPlace, IsPutBackOnTheWayBackByteForByte) {
  World world;
  world.EditSpec(InPlace);
  Process process(world);
  ASSERT_TRUE(process.RunToReady()) << Why(world);
  world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
  ASSERT_TRUE(process.RunUntil([&] { return Ready(world) == "True/RolledBackByRequest"; }))
      << Why(world);
  const auto& file = world.host_files["/data/conf/config.yaml"];
  EXPECT_EQ(file.content, fakes::kOldConfig);
  EXPECT_EQ(file.uid, 1000);
  EXPECT_EQ(file.gid, 1001);
  EXPECT_EQ(file.mode, 0640u);
  EXPECT_EQ(ConditionOf(world.Resource(), "ConfigRestored"), "True/Done");
}

TEST(InPlace, LeavesNoHelperBehindWhereverAProcessHasLeftOne) {
  const auto helpers = [](World& world) {
    return world.Locked([&] {
      return std::count_if(world.containers.begin(), world.containers.end(), [](const auto& each) {
        return each.second.info.name.ends_with("-config");
      });
    });
  };
  int left = 0;
  for (int n = 1; n < 100; ++n) {
    World world;
    world.EditSpec(InPlace);
    const std::string died = DiesUpgrading(world, n, Life::End::kAfter);
    if (helpers(world) == 0) {
      if (left > 0) break;  // It is made once.
      continue;
    }
    SCOPED_TRACE(died);
    ++left;
    TheNextUpgrades(world);
    EXPECT_EQ(helpers(world), 0);
  }
  EXPECT_GT(left, 0);
}

TEST(InPlace, WhereverAProcessDiesTheFileIsTheOneOfTheVersionThatRuns) {
  const auto writes = [] {
    World world;
    world.EditSpec(InPlace);
    Process process(world);
    EXPECT_TRUE(process.RunToReady());
    return world.WritesOf(process.life);
  }();
  for (int n = 3; n <= writes && !testing::Test::HasFailure(); n += 3 * fixtures::kEvery) {
    World world;
    world.EditSpec(InPlace);
    {
      Process first(world, "first");
      first.life.DieAt(n, Life::End::kAfter);
      (void)first.RunToReady();
    }
    SCOPED_TRACE("died at write " + std::to_string(n));
    const bool back = (n / 3 / fixtures::kEvery) % 2 == 1;
    if (back) world.EditSpec([](json& spec) { spec["version"] = "4.3.0"; });
    Process second(world, "second");
    ASSERT_TRUE(second.RunToReady()) << Why(world);
    const std::string& text = world.host_files["/data/conf/config.yaml"].content;
    if (back) {
      EXPECT_EQ(text, fakes::kOldConfig);
    } else {
      EXPECT_THAT(text, HasSubstr("oms_rm_meta_host"));
    }
    EXPECT_LE(world.script_runs, 1);
  }
}

}  // namespace
}  // namespace oms
