#include "reconcilers/show/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::show {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

// One upgrade before it has begun, with what a plan needs to know.
struct World : fixtures::Upgrade {
  crd::Version from = *crd::Version::Parse("4.3.0");
  crd::Version to = *crd::Version::Parse("4.3.1");
  Rates rates;

  World() {
    product::OmsConfig config;
    config.drc_rm_db = "oms_rm";
    config.drc_cm_db = "oms_cm";
    config.drc_cm_heartbeat_db = "oms_cm_hb";
    facts.config = config;
    facts.archive_bytes = 300ULL << 20;
    meta().server.identity = "s";
    meta().databases = {{"oms_rm", "utf8mb4", "c", 12ULL << 20},
                        {"oms_cm", "utf8mb4", "c", 3ULL << 20},
                        {"oms_cm_hb", "utf8mb4", "c", 1ULL << 20}};
    record.nodes.front().engine_id = "engine";
  }

  base::Result<Plan> Try(const model::OperationRecord* open = nullptr) const {
    return PlanUpgrade({spec, from, to, path, facts, open, rates});
  }
  Plan Make(const model::OperationRecord* open = nullptr) const {
    auto plan = Try(open);
    EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().message);
    return plan.ok() ? *std::move(plan) : Plan{};
  }
  // What the plan says of a step.
  std::string Of(model::Step step) const { return OfStep(Make(), step); }

  static std::string OfStep(const Plan& plan, model::Step step) {
    const std::string name = std::string(model::NameOf(step)) + ": ";
    for (const auto& line : plan.steps) {
      if (line.starts_with(name)) return line.substr(name.size());
    }
    return "(no such step)";
  }
};

// -------------------------------------------------------------------------------------- the steps

TEST(UpgradePlan, HasALineForEachStepInTheOrderInWhichTheyAreDone) {
  const Plan plan = World().Make();
  const auto steps = model::StepsOf(model::Direction::kUpgrade);
  ASSERT_EQ(plan.steps.size(), steps.size());
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_THAT(plan.steps[i], StartsWith(std::string(steps[i].name) + ": "));
    EXPECT_GT(plan.steps[i].size(), steps[i].name.size() + 2) << "says nothing";
    EXPECT_THAT(plan.steps[i], Not(HasSubstr("\n")));
  }
}

TEST(UpgradePlan, SaysWhatEachStepWillTouch) {
  const World world;
  EXPECT_EQ(world.Of(model::Step::kStopContainers), "stop oms_430 on oms-1 (downtime begins)");
  EXPECT_EQ(world.Of(model::Step::kBackUpDatabases),
            "dump oms_rm (12.0 MiB), oms_cm (3.0 MiB) and oms_cm_hb (1.0 MiB) into "
            "/var/lib/oms-upgrade/backups with mydumper, with a checksum of each table");
  EXPECT_EQ(world.Of(model::Step::kStartContainers),
            "start oms_431 on oms-1; from here on a rollback restores the three databases");
  EXPECT_EQ(world.Of(model::Step::kRunUpgradeScript),
            "run /root/docker_upgrade.sh in oms_431, once; it changes the databases");
  EXPECT_EQ(world.Of(model::Step::kCompactHeartbeat),
            "keep only the last row of oms_cm_hb.heatbeat_sequence");
  EXPECT_EQ(world.Of(model::Step::kCreateContainers),
            "create, and do not start, oms_431 on oms-1 (a copy of oms_430) from oms:4.3.1");
  EXPECT_THAT(world.Of(model::Step::kRewriteConfig),
              StartsWith("write config-4.3.1.yaml beside /data/conf/config.yaml of oms-1"));
  EXPECT_THAT(world.Of(model::Step::kSaveOldImage), StartsWith("save oms:4.3.0 of oms-1 into "));
}

TEST(UpgradePlan, SaysWhereTheImageComesFrom) {
  World world;
  EXPECT_THAT(world.Of(model::Step::kLoadImage),
              StartsWith("load oms:4.3.1 from /images/oms_4.3.1.tar.gz (300.0 MiB) on oms-1"));
  world.spec.image.archive.clear();
  EXPECT_THAT(world.Of(model::Step::kLoadImage), StartsWith("pull oms:4.3.1 on oms-1"));
  world.ImageThere();
  EXPECT_THAT(world.Of(model::Step::kLoadImage), StartsWith("oms:4.3.1 is on oms-1 already"));
}

TEST(UpgradePlan, SaysByWhatTheImageIsToldFromAnotherOfItsName) {
  World world;
  world.spec.image.archive = "/images/oms_4.3.1.tar.gz";
  EXPECT_THAT(world.Of(model::Step::kLoadImage),
              StartsWith("load oms:4.3.1 from /images/oms_4.3.1"));
  world.facts.nodes.front().target_image = ports::ImageInfo{};
  EXPECT_THAT(world.Of(model::Step::kLoadImage),
              AllOf(HasSubstr("is loaded from /images/oms_4.3.1.tar.gz"),
                    HasSubstr("if that contains another one")));
  world.spec.image.archive.clear();
  EXPECT_THAT(world.Of(model::Step::kLoadImage), HasSubstr("is not verified"));
  world.spec.image.id = "sha256:new";
  EXPECT_THAT(world.Of(model::Step::kLoadImage), Not(HasSubstr("spec.image.id")));
}

TEST(UpgradePlan, SaysWhatIsSkippedAndWhy) {
  World world;
  world.spec.backup.image = false;
  world.facts.nodes.front().rehearsed_config.reset();
  world.meta().ha_raw = fixtures::kHaOff;
  EXPECT_EQ(world.Of(model::Step::kSaveOldImage), "skipped, spec.backup.image is false");
  EXPECT_EQ(world.Of(model::Step::kRewriteConfig), "skipped, no key of config.yaml has to change");
  EXPECT_EQ(world.Of(model::Step::kDisableHa), "skipped, HA is off");
  EXPECT_EQ(world.Of(model::Step::kEnableHa), "skipped, HA was off and stays off");
}

TEST(UpgradePlan, SaysWhereTheDowntimeEnds) {
  World world;
  EXPECT_THAT(world.Of(model::Step::kEnableHa), EndsWith("(downtime ends)"));
  EXPECT_THAT(world.Of(model::Step::kAwaitHealth), Not(HasSubstr("downtime ends")));
  world.meta().ha_raw.reset();  // No row: HA is off.
  EXPECT_THAT(world.Of(model::Step::kEnableHa), Not(HasSubstr("downtime ends")));
  EXPECT_THAT(world.Of(model::Step::kAwaitHealth), EndsWith("(downtime ends)"));
}

TEST(UpgradePlan, NamesWhatAPersonHasToSwitch) {
  World world;
  world.spec.ha.control = crd::HaControl::kManual;
  EXPECT_THAT(world.Of(model::Step::kDisableHa),
              HasSubstr("wait until somebody sets enable=false"));
  EXPECT_THAT(world.Of(model::Step::kEnableHa), HasSubstr("after somebody has switched it on"));
}

TEST(UpgradePlan, NamesEveryNode) {
  World world;
  auto second = world.node();
  second.name = "oms-2";
  second.old_container->id = "old-id-2";
  world.facts.nodes.push_back(second);
  EXPECT_EQ(world.Of(model::Step::kStopContainers),
            "stop oms_430 on oms-1 and oms_430 on oms-2 (downtime begins)");
}

TEST(UpgradePlan, OfAnOverriddenScriptNamesThatScript) {
  World world;
  world.path.upgrade_script = "/root/own.sh";
  EXPECT_THAT(world.Of(model::Step::kRunUpgradeScript), StartsWith("run /root/own.sh in oms_431"));
}

TEST(UpgradePlan, FromBelowFourZeroOneNamesTheJarAndTheMetadata) {
  World world;
  const Plan plain = world.Make();
  EXPECT_EQ(world.Of(model::Step::kCorrectSchema), "skipped, only for a start below 4.0.1");
  EXPECT_EQ(world.Of(model::Step::kInitializeMetadata), "skipped, only for a start below 4.0.1");
  world.from = *crd::Version::Parse("3.4.0");
  world.path = *product::CheckPath(world.from, world.to);
  EXPECT_THAT(world.Of(model::Step::kCorrectSchema),
              StartsWith("stop oms_console, and run /opt/alibaba/java/bin/java -jar "
                         "/root/correction-1.0-SNAPSHOT-jar-with-dependencies.jar -mupgrade "
                         "-y/home/admin/conf/config.yaml -ltrue in "));
  EXPECT_THAT(
      world.Of(model::Step::kInitializeMetadata),
      StartsWith("run python -m omsflow.scripts.units.oms_cluster_manager add_resource in "));
  const Plan legacy = world.Make();
  EXPECT_GT(legacy.estimated_downtime, plain.estimated_downtime);
  world.path.correction_jar = "/opt/other.jar";
  EXPECT_NE(world.Make().hash, legacy.hash) << "another jar is another plan";
}

TEST(UpgradePlan, SaysWhatGoingBackCostsAroundEachPointOfNoReturn) {
  const Plan plan = World().Make();
  EXPECT_THAT(plan.point_of_no_return,
              AllOf(StartsWith("Rollback: before StopContainers nothing is lost (HA is switched "
                               "on again). From StopContainers on, oms_430 on oms-1 is started "
                               "again (about 4s)."),
                    HasSubstr("From StartContainers on, oms_431 on oms-1 is removed"),
                    HasSubstr("oms_rm, oms_cm and oms_cm_hb are dropped and restored")));
}

TEST(UpgradePlan, CannotBeMadeBeforeWhatItWouldTouchIsKnown) {
  const std::vector<std::function<void(World&)>> gaps = {
      [](World& w) { w.facts.config.reset(); },         [](World& w) { w.facts.meta.reset(); },
      [](World& w) { w.facts.nodes.clear(); },          [](World& w) { w.node().engine.reset(); },
      [](World& w) { w.node().old_container.reset(); },
  };
  for (size_t i = 0; i < gaps.size(); ++i) {
    World world;
    gaps[i](world);
    const auto plan = world.Try();
    ASSERT_FALSE(plan.ok()) << i;
    EXPECT_EQ(plan.error().code, base::Code::kInvalid) << i;
    EXPECT_EQ(plan.error().reason, "PlanIncomplete") << i;
  }
}

TEST(UpgradePlan, CannotBeMadeOfAnHaConfigThatCannotBeRead) {
  World world;
  world.meta().ha_raw = "{";
  ASSERT_FALSE(world.Try().ok());
  EXPECT_EQ(world.Try().error().reason, "HAConfigInvalid");
}

// ----------------------------------------------------------------------------------- the downtime

TEST(UpgradePlan, OfASmallOmsIsDownForSomeSeconds) {
  World world;  // 16 MiB
  const Plan plan = world.Make();
  EXPECT_GE(plan.estimated_downtime, std::chrono::seconds(6));
  EXPECT_LE(plan.estimated_downtime, std::chrono::seconds(12));
  EXPECT_THAT(plan.downtime, AllOf(StartsWith("Downtime: about "), HasSubstr("dump 2s"),
                                   HasSubstr("rates of small databases")));
}

TEST(UpgradePlan, IsDownForLongerTheMoreThereIsToDump) {
  World small, large;
  large.meta().databases[0].bytes += 40ULL << 30;  // 1024 s at 40 MiB/s
  const auto more = large.Make().estimated_downtime - small.Make().estimated_downtime;
  EXPECT_NEAR(static_cast<double>(more.count()), 1'024'000, 2'000);
}

TEST(UpgradePlan, SaysWhenItTakesLongerThanTheDowntimeBudget) {
  World world;
  EXPECT_THAT(world.Make().downtime, Not(HasSubstr("downtimeBudget")));
  world.spec.strategy.downtime_budget = std::chrono::seconds(5);
  EXPECT_THAT(world.Make().downtime, HasSubstr("spec.strategy.downtimeBudget allows (5s)"));
}

TEST(UpgradePlan, GoesByWhatTheLastUpgradeOfThisOmsTook) {
  World world;
  world.Accepted();
  auto& last = world.record;
  last.outcome = model::OperationOutcome::kSucceeded;
  last.points.clear();
  last.steps.clear();
  last.t1 = fixtures::At(0);
  last.NoteSeen(model::Step::kStopContainers, fixtures::At(20));
  last.NoteSeen(model::Step::kCompactHeartbeat, fixtures::At(25));
  last.NoteSeen(model::Step::kRunUpgradeScript, fixtures::At(500));
  last.NoteSeen(model::Step::kAwaitHealth, fixtures::At(560));
  last.backup->completed = fixtures::At(100);
  last.points = {{model::PointKind::kNewStarting, "oms-1", std::nullopt, 1, fixtures::At(101)},
                 {model::PointKind::kScriptStarting, "oms-1", model::Step::kRunUpgradeScript, 1,
                  fixtures::At(140)}};
  const Rates rates = RatesFrom(last);
  EXPECT_TRUE(rates.of_this_oms);
  EXPECT_EQ(rates.stop, std::chrono::seconds(20));
  EXPECT_EQ(rates.compact, std::chrono::seconds(5));
  EXPECT_EQ(rates.dump_least, std::chrono::seconds(75));
  EXPECT_EQ(rates.start, std::chrono::seconds(39));
  EXPECT_EQ(rates.script, std::chrono::seconds(360));
  EXPECT_EQ(rates.health, std::chrono::seconds(60));

  World next;
  next.rates = rates;
  EXPECT_EQ(next.Make().estimated_downtime, std::chrono::seconds(559));
  EXPECT_THAT(next.Make().downtime, HasSubstr("based on the last upgrade of this OMS"));
}

TEST(UpgradePlan, CountsTheJarAndTheMetadataNeitherAsStartNorAsScript) {
  model::OperationRecord last;
  last.outcome = model::OperationOutcome::kSucceeded;
  last.NoteSeen(model::Step::kInitializeMetadata, fixtures::At(90));
  last.NoteSeen(model::Step::kRunUpgradeScript, fixtures::At(200));
  last.points = {{model::PointKind::kNewStarting, "oms-1", std::nullopt, 1, fixtures::At(0)},
                 {model::PointKind::kScriptStarting, "oms-1", model::Step::kCorrectSchema, 1,
                  fixtures::At(30)},
                 {model::PointKind::kScriptStarting, "oms-1", model::Step::kInitializeMetadata, 1,
                  fixtures::At(80)},
                 {model::PointKind::kScriptStarting, "oms-1", model::Step::kRunUpgradeScript, 1,
                  fixtures::At(100)}};
  const Rates rates = RatesFrom(last);
  EXPECT_EQ(rates.start, std::chrono::seconds(30));
  EXPECT_EQ(rates.correction, std::chrono::seconds(60));
  EXPECT_EQ(rates.script, std::chrono::seconds(100));
}

TEST(UpgradePlan, TakesNoRatesFromAnUpgradeThatDidNotSucceed) {
  World world;
  world.Accepted();
  world.record.t1 = fixtures::At(0);
  world.record.NoteSeen(model::Step::kStopContainers, fixtures::At(2000));
  EXPECT_FALSE(RatesFrom(world.record).of_this_oms) << "still open";
  world.record.outcome = model::OperationOutcome::kSucceeded;
  EXPECT_TRUE(RatesFrom(world.record).of_this_oms);
  world.record.direction = model::Direction::kRollback;
  EXPECT_FALSE(RatesFrom(world.record).of_this_oms);
}

// ---------------------------------------------------------------------------------------- the hash

TEST(UpgradePlan, HashIsTwelveHexDigits) {
  EXPECT_THAT(World().Make().hash, MatchesRegex("[0-9a-f]{12}"));
}

struct Change {
  const char* what;
  void (*change)(World&);
};

TEST(UpgradePlan, KeepsItsHashOverWhatChangesFromMinuteToMinute) {
  const std::string hash = World().Make().hash;
  const std::vector<Change> changes = {
      {"sizes", [](World& w) { w.meta().databases[0].bytes *= 2; }},
      {"now", [](World& w) { w.facts.now += std::chrono::hours(5); }},
      {"the image is loaded", [](World& w) { w.ImageThere(); }},
      {"the archive is written", [](World& w) { w.facts.archive_bytes = 1; }},
      {"OMS is restarted", [](World& w) { w.node().old_container->started_at = "later"; }},
      {"a heartbeat", [](World& w) { w.meta().heartbeats["oms-1"].sequence_max += 100; }},
      {"rates", [](World& w) { w.rates.script = std::chrono::minutes(5); }},
      {"how it is reached", [](World& w) { w.spec.nodes[0].engine.endpoint = "tcp://h:2376"; }},
      {"the mode", [](World& w) { w.spec.mode = crd::Mode::kPlan; }},
      {"the approval", [](World& w) { w.spec.approval = crd::Approval::kManual; }},
      {"suspend", [](World& w) { w.spec.suspend = true; }},
      {"the window", [](World& w) { w.spec.maintenance_window.emplace(); }},
      {"retries", [](World& w) { w.spec.strategy.max_retries = 9; }},
      {"a slash", [](World& w) { w.spec.backup.directory += "/"; }},
  };
  for (const auto& [what, change] : changes) {
    World world;
    change(world);
    EXPECT_EQ(world.Make().hash, hash) << what;
  }
}

TEST(UpgradePlan, HasAnotherHashForEachThingThatIsWrittenOrDestroyed) {
  const std::vector<Change> changes = {
      {"nothing", [](World&) {}},
      {"from", [](World& w) { w.from = *crd::Version::Parse("4.2.5"); }},
      {"to", [](World& w) { w.to = *crd::Version::Parse("4.3.2"); }},
      {"image", [](World& w) { w.spec.image.reference = "other:4.3.1"; }},
      {"image id", [](World& w) { w.spec.image.id = "sha256:x"; }},
      {"archive", [](World& w) { w.spec.image.archive = "/images/other.tar"; }},
      {"archive's sum", [](World& w) { w.spec.image.sha256 = "x"; }},
      {"node", [](World& w) { w.node().name = "oms-2"; }},
      {"engine", [](World& w) { w.node().engine->id = "other"; }},
      {"container", [](World& w) { w.node().old_container->id = "other"; }},
      {"container's name", [](World& w) { w.node().old_container->name = "oms"; }},
      {"old image", [](World& w) { w.node().old_container->image_id = "other"; }},
      {"config.yaml", [](World& w) { w.node().old_container->mounts[0].source = "/other"; }},
      {"rm", [](World& w) { w.facts.config->drc_rm_db = "other"; }},
      {"cm", [](World& w) { w.facts.config->drc_cm_db = "other"; }},
      {"cm_hb", [](World& w) { w.facts.config->drc_cm_heartbeat_db = "other"; }},
      {"server", [](World& w) { w.meta().server.identity = "other"; }},
      {"folder", [](World& w) { w.spec.backup.directory = "/other"; }},
      {"tool", [](World& w) { w.spec.backup.tool = crd::BackupTool::kMysqldump; }},
      {"compression", [](World& w) { w.spec.backup.compression = crd::Compression::kNone; }},
      {"saved image", [](World& w) { w.spec.backup.image = false; }},
      {"rewrite", [](World& w) { w.facts.nodes.front().rehearsed_config.reset(); }},
      {"in place", [](World& w) { w.spec.deployment.config = crd::ConfigPlace::kInPlace; }},
      {"script", [](World& w) { w.path.upgrade_script = "/root/own.sh"; }},
      {"script's folder", [](World& w) { w.path.working_directory = "/tmp"; }},
      {"HA", [](World& w) { w.meta().ha_raw = fixtures::kHaOff; }},
      {"HA by hand", [](World& w) { w.spec.ha.control = crd::HaControl::kManual; }},
      {"perceive", [](World& w) { w.spec.ha.perceive_store_client_checkpoint = false; }},
  };
  std::set<std::string> seen;
  for (const auto& [what, change] : changes) {
    World world;
    change(world);
    EXPECT_TRUE(seen.insert(world.Make().hash).second) << what;
  }
}

TEST(UpgradePlan, KeepsItsHashWhileTheOperationIsUnderWay) {
  const World before;
  const std::string hash = before.Make().hash;
  World open;
  open.record.folder = before.spec.backup.directory + "/ns-oms-4.3.0-to-4.3.1-01234567";
  open.record.nodes.front().old_image = "oms:4.3.0";
  EXPECT_EQ(open.Make(&open.record).hash, hash) << "opened";
  open.Prepared();
  EXPECT_EQ(open.Make(&open.record).hash, hash) << "prepared";
  open.HaOff();
  EXPECT_EQ(open.Make(&open.record).hash, hash) << "HA off";
  open.Stopped();
  open.facts.meta.reset();
  open.facts.config.reset();
  open.facts.nodes.clear();
  EXPECT_EQ(open.Make(&open.record).hash, hash) << "nothing can be looked at";
  EXPECT_EQ(World::OfStep(open.Make(&open.record), model::Step::kStopContainers),
            before.Of(model::Step::kStopContainers));
  EXPECT_THAT(World::OfStep(open.Make(&open.record), model::Step::kBackUpDatabases),
              StartsWith("dump oms_rm, oms_cm and oms_cm_hb into "));
}

TEST(UpgradePlan, InTheStatusEndsWithDowntimeAndTheWayBack) {
  const Plan plan = World().Make();
  const crd::PlanStatus status = plan.ToStatus();
  EXPECT_EQ(status.hash, plan.hash);
  EXPECT_EQ(status.estimated_downtime, plan.estimated_downtime);
  ASSERT_EQ(status.steps.size(), plan.steps.size() + 2);
  EXPECT_THAT(status.steps[plan.steps.size()], StartsWith("Downtime: "));
  EXPECT_THAT(status.steps.back(), StartsWith("Rollback: "));
}

// ------------------------------------------------------------------------------------ going back

// An upgrade that has succeeded, and what is asked of it.
struct Undone : World {
  base::WallTime now = fixtures::At(0) + std::chrono::hours(76) + std::chrono::minutes(30);
  show::UndoRequest request{7, "before"};
  UndoNumbers numbers;

  Undone() {
    Accepted();
    record.outcome = model::OperationOutcome::kSucceeded;
    record.t1 = fixtures::At(0);
    record.backup->bytes = 5ULL << 20;
    record.backup->databases = {{"oms_rm", 4ULL << 20, "a"}, {"oms_cm", 1ULL << 20, "b"}};
    record.nodes.front().target_image_id = "sha256:new";
  }
  Plan Back() const {
    auto plan = PlanRollback(spec, record, now, request, numbers);
    EXPECT_TRUE(plan.ok());
    return plan.ok() ? *std::move(plan) : Plan{};
  }
  std::string Of(model::Step step) const { return OfStep(Back(), step); }
};

TEST(RollbackPlan, HasALineForEachStepInTheOrderInWhichTheyAreDone) {
  const Plan plan = Undone().Back();
  const auto steps = model::StepsOf(model::Direction::kRollback);
  ASSERT_EQ(plan.steps.size(), steps.size());
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_THAT(plan.steps[i], StartsWith(std::string(steps[i].name) + ": "));
    EXPECT_GT(plan.steps[i].size(), steps[i].name.size() + 2) << "says nothing";
  }
}

TEST(RollbackPlan, SaysWhatEachStepWillTouch) {
  Undone undone;
  undone.numbers.database_bytes = 20ULL << 20;
  EXPECT_THAT(undone.Of(model::Step::kVerifyBackups),
              StartsWith("compare every file of /backups/op/dump/1 (5.0 MiB) with its sha256"));
  EXPECT_THAT(undone.Of(model::Step::kStopNewContainers),
              AllOf(StartsWith("stop and remove oms_431 on oms-1 (downtime begins;"),
                    HasSubstr("its image oms:4.3.1 stays")));
  EXPECT_THAT(undone.Of(model::Step::kSaveUpgradedState),
              StartsWith("dump their current content (20.0 MiB) into "));
  EXPECT_THAT(undone.Of(model::Step::kRestoreDatabases),
              StartsWith("drop oms_rm (4.0 MiB), oms_cm (1.0 MiB) and oms_cm_hb, create them "
                         "again and load /backups/op/dump/1"));
  EXPECT_THAT(undone.Of(model::Step::kStartOldContainers), StartsWith("start oms_430 on oms-1;"));
  EXPECT_THAT(undone.Of(model::Step::kAwaitOldHealth), HasSubstr("(always)"));
  EXPECT_THAT(undone.Of(model::Step::kRestoreHa), EndsWith("(downtime ends)"));
}

TEST(RollbackPlan, LeavesHaOffThatWasOff) {
  Undone undone;
  undone.record.ha_was_on = false;
  EXPECT_THAT(undone.Of(model::Step::kRestoreHa), StartsWith("skipped, HA was off"));
  EXPECT_THAT(undone.Of(model::Step::kAwaitOldHealth), EndsWith("(downtime ends)"));
}

TEST(RollbackPlan, PutsAConfigBackThatWasEditedInPlace) {
  Undone undone;
  EXPECT_THAT(undone.Of(model::Step::kRestoreConfig), StartsWith("skipped"));
  undone.record.config_rewrites["oms-1"].path = "/data/conf/config.yaml";
  EXPECT_EQ(undone.Of(model::Step::kRestoreConfig),
            "restore /data/conf/config.yaml of oms-1 as it was before the upgrade");
}

TEST(RollbackPlan, SaysWhatIsLostByTheAgeOfTheState) {
  Undone undone;
  EXPECT_EQ(
      undone.Back().lost,
      "Lost: oms_rm, oms_cm and oms_cm_hb are restored to their state at 2026-01-02T03:04:05Z, 3d "
      "4h ago; what OMS has written to them since is kept only in the dump of "
      "SaveUpgradedState");
  undone.numbers.rows_since = 1234;
  EXPECT_THAT(undone.Back().lost, HasSubstr("written to them since (1234 rows) is kept only"));
  undone.now = fixtures::At(0) + std::chrono::minutes(65);
  EXPECT_THAT(undone.Back().lost, HasSubstr(", 1h 5m ago;"));
  undone.now = fixtures::At(0) - std::chrono::minutes(5);
  EXPECT_THAT(undone.Back().lost, HasSubstr(", 0m ago;")) << "a clock that went back";
}

TEST(RollbackPlan, SaysFromWhereOnThereIsNoWayBack) {
  EXPECT_THAT(Undone().Back().point_of_no_return,
              HasSubstr("until StopNewContainers nothing is lost, set spec.version to 4.3.1"));
}

TEST(RollbackPlan, IsDownForLongerTheMoreThereIsToRestore) {
  Undone small, large;
  large.numbers.database_bytes = 10ULL << 30;
  EXPECT_GT(large.Back().estimated_downtime,
            small.Back().estimated_downtime + std::chrono::minutes(10));
}

TEST(RollbackPlan, KeepsItsHashWhileTimeGoesBy) {
  Undone undone;
  const std::string hash = undone.Back().hash;
  EXPECT_THAT(hash, MatchesRegex("[0-9a-f]{12}"));
  undone.now += std::chrono::hours(50);
  undone.numbers = {1ULL << 30, 77, {}};
  undone.spec.approval = crd::Approval::kManual;
  undone.facts = {};
  EXPECT_EQ(undone.Back().hash, hash);
}

TEST(RollbackPlan, HasAnotherHashForEachThingThatIsWrittenOrDestroyed) {
  struct Row {
    const char* what;
    void (*change)(Undone&);
  };
  const std::vector<Row> rows = {
      {"nothing", [](Undone&) {}},
      {"operation", [](Undone& u) { u.record.id = "other"; }},
      {"a request before this one", [](Undone& u) { u.request.generation = 6; }},
      {"a request that came to nothing", [](Undone& u) { u.request.follows = "cancelled"; }},
      {"from", [](Undone& u) { u.record.from = fixtures::VersionOf("4.2.5"); }},
      {"to", [](Undone& u) { u.record.to = fixtures::VersionOf("4.3.2"); }},
      {"old container", [](Undone& u) { u.record.nodes[0].old_id = "other"; }},
      {"new container", [](Undone& u) { u.record.nodes[0].new_name = "other"; }},
      {"engine", [](Undone& u) { u.record.nodes[0].engine_id = "other"; }},
      {"database", [](Undone& u) { u.record.databases[0].name = "other"; }},
      {"server", [](Undone& u) { u.record.databases[0].server = "other"; }},
      {"backup", [](Undone& u) { u.record.backup->folder = "dump/2"; }},
      {"its manifest", [](Undone& u) { u.record.backup->manifest_sha256 = "other"; }},
      {"HA", [](Undone& u) { u.record.ha_was_on = false; }},
      {"ha.config", [](Undone& u) { u.record.ha_raw = "{}"; }},
      {"HA by hand", [](Undone& u) { u.spec.ha.control = crd::HaControl::kManual; }},
      {"folder", [](Undone& u) { u.spec.backup.directory = "/other"; }},
      {"tool", [](Undone& u) { u.spec.backup.tool = crd::BackupTool::kMysqldump; }},
  };
  std::set<std::string> seen = {World().Make().hash};
  for (const auto& row : rows) {
    Undone undone;
    row.change(undone);
    EXPECT_TRUE(seen.insert(undone.Back().hash).second) << row.what;
  }
}

TEST(RollbackPlan, CannotBeMadeWithoutABackup) {
  Undone undone;
  undone.record.backup.reset();
  const auto plan = PlanRollback(undone.spec, undone.record, undone.now, undone.request);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, base::Code::kTerminal);
  EXPECT_EQ(plan.error().reason, "NoBackup");
}

TEST(RollbackPlan, InTheStatusEndsWithWhatIsLost) {
  const Plan plan = Undone().Back();
  EXPECT_THAT(plan.ToStatus().steps.back(), StartsWith("Lost: "));
}

}  // namespace
}  // namespace oms::show
