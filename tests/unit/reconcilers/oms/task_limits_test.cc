#include "reconcilers/oms/task_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/oms/overview_limits.h"

namespace oms::product {
namespace {

using testing::HasSubstr;
using testing::Not;
using Says = LimitAnswer::Says;

// full, incremental and reverse included; the status of each step, "" where it is not listed.
struct Steps {
  std::string full, incremental, change, reverse;
  std::string current = {};
  std::optional<int64_t> behind = 3;
};

ports::OmsTask Task(const char* id, bool full, bool incremental, bool reverse, const Steps& steps,
                    const char* status = "RUNNING") {
  ports::OmsTask task;
  task.id = id;
  task.name = std::string("task of ") + id;
  task.status = status;
  task.source_type = "MYSQL";
  task.sink_type = "OB_MYSQL";
  task.sink_log_proxy = false;
  task.full = full;
  task.incremental = incremental;
  task.reverse = reverse;
  task.current_step = steps.current;
  const auto add = [&](const char* name, const std::string& step_status,
                       std::optional<int64_t> behind = std::nullopt) {
    if (!step_status.empty()) task.steps.push_back({name, step_status, behind});
  };
  add("TRANSFER_PRECHECK", "FINISHED");
  add("FULL_TRANSFER", steps.full);
  add("INCR_TRANSFER", steps.incremental, steps.behind);
  add("TRANSFER_APP_SWITCH", steps.change);
  add("REVERSE_INCR_TRANSFER", steps.reverse);
  return task;
}

const char* Name(Says says) {
  return says == Says::kHolds ? "holds" : says == Says::kBroken ? "broken" : "nothing";
}

struct Row {
  const char* what;
  ports::OmsTask task;
  Says says;
  const char* amiss = "";
};

void ExpectRows(const char* word, const std::vector<Row>& rows) {
  for (const auto& row : rows) {
    SCOPED_TRACE(row.what);
    const LimitAnswer answer = AskTasks(word, {row.task});
    EXPECT_STREQ(Name(answer.says), Name(row.says)) << answer.tasks;
    EXPECT_THAT(answer.tasks, HasSubstr(row.amiss));
    EXPECT_EQ(answer.tasks.empty(), row.says != Says::kBroken);
  }
}

constexpr bool kYes = true, kNo = false;

TEST(TaskLimits, ASeparateCmDatabaseWantsTasksAtTheStepThatTheGuidesCasesName) {
  const char* entered = "has not entered the reverse increment step";
  ExpectRows(
      "TasksReadyForSeparateCM",
      {
          {"no reverse increment, whatever else",
           Task("a", kYes, kYes, kNo, {"RUNNING", "INIT", "INIT", ""}), Says::kHolds},
          // Full and incremental.
          {"switch not done",
           Task("b", kYes, kYes, kYes, {"FINISHED", "MONITORING", "INIT", "INIT"}), Says::kBroken,
           entered},
          {"never started", Task("c", kYes, kYes, kYes, {"INIT", "INIT", "INIT", "INIT"}, "INIT"),
           Says::kBroken, entered},
          {"reverse runs",
           Task("d", kYes, kYes, kYes, {"FINISHED", "FINISHED", "FINISHED", "RUNNING"}),
           Says::kHolds},
          {"reverse is watched",
           Task("e", kYes, kYes, kYes, {"FINISHED", "FINISHED", "FINISHED", "MONITORING"}),
           Says::kHolds},
          {"paused in the reverse increment",
           Task("f", kYes, kYes, kYes,
                {"FINISHED", "FINISHED", "FINISHED", "SUSPEND", "REVERSE_INCR_TRANSFER"},
                "SUSPEND"),
           Says::kHolds},
          {"by the older name",
           Task("g", kYes, kYes, kYes,
                {"FINISHED", "FINISHED", "FINISHED", "", "REVERSE_INCR_SYNC"}, "FAILED"),
           Says::kHolds},
          {"paused before it",
           Task("h", kYes, kYes, kYes, {"FINISHED", "SUSPEND", "INIT", "SUSPEND", "INCR_TRANSFER"},
                "SUSPEND"),
           Says::kBroken, entered},
          // Incremental alone.
          {"incremental alone, not there",
           Task("i", kNo, kYes, kYes, {"", "MONITORING", "INIT", "INIT"}), Says::kBroken, entered},
          {"incremental alone, there",
           Task("j", kNo, kYes, kYes, {"", "FINISHED", "FINISHED", "RUNNING"}), Says::kHolds},
          // Full alone.
          {"full alone, runs", Task("k", kYes, kNo, kYes, {"RUNNING", "", "", "INIT"}),
           Says::kBroken, "has not completed the full migration step"},
          {"full alone, failed", Task("l", kYes, kNo, kYes, {"FAILED", "", "", "INIT"}, "FAILED"),
           Says::kBroken, "full migration"},
          {"full alone, complete", Task("m", kYes, kNo, kYes, {"FINISHED", "", "", "INIT"}),
           Says::kHolds},
          {"neither", Task("n", kNo, kNo, kYes, {"", "", "", "INIT"}), Says::kHolds},
          // It will not run any more.
          {"over", Task("o", kYes, kYes, kYes, {"INIT", "INIT", "INIT", "INIT"}, "DELETED"),
           Says::kHolds},
          {"ended", Task("p", kYes, kYes, kYes, {"", "", "", ""}, "FINISHED"), Says::kHolds},
      });
}

TEST(TaskLimits, TasksAreSettledOnceSwitchedOverOrNearRealTime) {
  ExpectRows(
      "TasksSettled",
      {
          {"switched over",
           Task("a", kYes, kYes, kYes, {"FINISHED", "FINISHED", "FINISHED", "INIT"}), Says::kHolds},
          {"in the reverse increment",
           Task("b", kYes, kYes, kYes, {"FINISHED", "FINISHED", "SUSPEND", "RUNNING"}),
           Says::kHolds},
          {"not switched over, however near",
           Task("c", kYes, kYes, kNo, {"FINISHED", "MONITORING", "INIT", ""}), Says::kBroken,
           "its forward switchover is not done"},
          {"no switchover, near", Task("d", kNo, kYes, kNo, {"", "MONITORING", "", ""}),
           Says::kHolds},
          {"a minute behind", Task("e", kNo, kYes, kNo, {"", "RUNNING", "", "", "", 60}),
           Says::kHolds},
          {"more than a minute behind", Task("f", kNo, kYes, kNo, {"", "RUNNING", "", "", "", 61}),
           Says::kBroken, "is 61 s behind"},
          {"how far is not told",
           Task("g", kNo, kYes, kNo, {"", "MONITORING", "", "", "", std::nullopt}), Says::kNothing},
          {"not begun", Task("h", kYes, kYes, kNo, {"RUNNING", "INIT", "", ""}), Says::kBroken,
           "its incremental synchronization is INIT"},
          {"the step is not listed", Task("i", kYes, kYes, kNo, {"FINISHED", "", "", ""}),
           Says::kNothing},
          {"no increment", Task("j", kYes, kNo, kNo, {"RUNNING", "", "", ""}), Says::kHolds},
      });
}

TEST(TaskLimits, AFullImportRunsWhileItsStepDoes) {
  ExpectRows(
      "NoFullImportRunning",
      {
          {"runs", Task("a", kYes, kYes, kNo, {"RUNNING", "INIT", "", ""}), Says::kBroken,
           "its full migration is running"},
          {"paused", Task("b", kYes, kYes, kNo, {"SUSPEND", "INIT", "", ""}), Says::kHolds},
          {"complete", Task("c", kYes, kYes, kNo, {"FINISHED", "RUNNING", "", ""}), Says::kHolds},
      });
  ports::OmsTask older = Task("d", kYes, kNo, kNo, {});
  older.steps = {{"FULL_MIGRATION", "RUNNING", std::nullopt}};
  EXPECT_EQ(AskTasks("NoFullImportRunning", {older}).says, Says::kBroken);
}

TEST(TaskLimits, OblogproxyIsSeenAtTheEndWhoseLogIsRead) {
  const auto task = [](const char* source, std::optional<bool> source_proxy, const char* sink,
                       std::optional<bool> sink_proxy, bool reverse) {
    ports::OmsTask made = Task("a", kYes, kYes, reverse, {});
    made.source_type = source;
    made.source_log_proxy = source_proxy;
    made.sink_type = sink;
    made.sink_log_proxy = sink_proxy;
    return made;
  };
  const char* reads = "reads through oblogproxy";
  ExpectRows(
      "NoOblogproxyTasks",
      {
          {"source", task("OB_MYSQL", true, "KAFKA", {}, kNo), Says::kBroken, reads},
          {"source without", task("OB_ORACLE", false, "KAFKA", {}, kNo), Says::kHolds},
          {"source, not told", task("OB_MYSQL", {}, "MYSQL", {}, kNo), Says::kNothing},
          {"no type", task("", true, "MYSQL", {}, kNo), Says::kNothing},
          {"target, not read", task("MYSQL", {}, "OB_MYSQL", true, kNo), Says::kHolds},
          {"target, read back", task("MYSQL", {}, "OB_MYSQL", true, kYes), Says::kBroken, reads},
          {"target, not told", task("MYSQL", {}, "OB_MYSQL", {}, kYes), Says::kNothing},
          {"source not told, target read", task("OB_MYSQL", {}, "OB_MYSQL", true, kYes),
           Says::kBroken, reads},
          {"neither is OceanBase", task("ORACLE", {}, "KAFKA", {}, kYes), Says::kHolds},
      });
}

TEST(TaskLimits, OneThatBreaksItDecidesAndOneThatIsNotKnownAnswersNothing) {
  const ports::OmsTask well = Task("a", kNo, kYes, kNo, {"", "MONITORING", "", ""});
  const ports::OmsTask unknown =
      Task("b", kNo, kYes, kNo, {"", "MONITORING", "", "", "", std::nullopt});
  const ports::OmsTask bad = Task("c", kNo, kYes, kNo, {"", "MONITORING", "", "", "", 900});
  EXPECT_EQ(AskTasks("TasksSettled", {}).says, Says::kHolds);
  EXPECT_EQ(AskTasks("TasksSettled", {well, unknown}).says, Says::kNothing);
  const LimitAnswer answer = AskTasks("TasksSettled", {well, unknown, bad});
  EXPECT_EQ(answer.says, Says::kBroken);
  EXPECT_EQ(answer.tasks, "c 'task of c' is 900 s behind");
}

TEST(TaskLimits, OfManyTasksTheFirstAreNamedAndTheirNamesAreCutBetweenCharacters) {
  std::vector<ports::OmsTask> tasks;
  for (const char* id : {"np_1", "np_2", "np_3", "np_4", "np_5", "np_6"})
    tasks.push_back(Task(id, kYes, kNo, kNo, {"RUNNING", "", "", ""}));
  tasks[0].name = "订单库迁移订单库迁移订单库迁移订单库迁移";  // 3 bytes each.
  tasks[1].name = "two\nlines";
  const LimitAnswer answer = AskTasks("NoFullImportRunning", tasks);
  EXPECT_THAT(answer.tasks, HasSubstr("np_1 '订单库迁移订单库迁移订单库...' its"));
  EXPECT_THAT(answer.tasks, HasSubstr("np_2 'two?lines'"));
  EXPECT_THAT(answer.tasks, HasSubstr("np_4"));
  EXPECT_THAT(answer.tasks, Not(HasSubstr("np_5")));
  EXPECT_THAT(answer.tasks, HasSubstr("; 2 more"));
  EXPECT_LT(answer.tasks.size(), 512u);
}

TEST(TaskLimits, OfWhatTheApiDoesNotTellNothingIsAnswered) {
  for (const char* word : {"DbTypeSet", "NoDataHubTasks", "NoSharePlex", "ConnectorUnguarded",
                           "UnlistedVersion", "Nonsense"})
    EXPECT_EQ(AskTasks(word, {}).says, Says::kNothing) << word;
}

TEST(TaskLimits, TheApiIsOfferedFromOneVersionOfEachEditionOn) {
  for (const char* version : {"4.1.0", "4.1.0-BP1", "4.3.1", "5.0.0", "4.1.1-CE", "4.2.4-CE"})
    EXPECT_TRUE(OffersTaskApi(*crd::Version::Parse(version))) << version;
  for (const char* version : {"4.0.2", "3.4.0", "3.3.1", "4.1.0-CE", "4.0.0-CE"})
    EXPECT_FALSE(OffersTaskApi(*crd::Version::Parse(version))) << version;
}

// ------------------------------------------------------------------------- in the table of limits

TEST(TaskLimits, ASeparateCmDatabaseWaitsForItsTasksWhateverThePersonSays) {
  std::vector<ports::OmsTask> tasks = {
      Task("a", kYes, kYes, kYes, {"FINISHED", "MONITORING", "FINISHED", "INIT"})};
  TaskEvidence seen;
  seen.separate_cm = true;
  seen.tasks = &tasks;
  const auto waits = [&](const std::vector<std::string>& acknowledged) {
    crd::Spec spec;
    spec.acknowledge = acknowledged;
    return LimitsNotAcknowledged(*crd::Version::Parse("4.3.1"), *crd::Version::Parse("4.3.2"), seen,
                                 spec, Asks::kWait);
  };
  const auto broken = waits({"TasksReadyForSeparateCM"});
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_EQ(broken[0].word, "TasksReadyForSeparateCM");
  EXPECT_EQ(broken[0].tasks, "a 'task of a' has not entered the reverse increment step");
  tasks[0].steps.back().status = "RUNNING";
  EXPECT_TRUE(waits({}).empty()) << "no word is needed where the tasks answer";
  seen.tasks = nullptr;
  EXPECT_EQ(waits({}).size(), 1u);
  EXPECT_TRUE(waits({"TasksReadyForSeparateCM"}).empty());
}

std::vector<OverviewLimit> Limits(Asks asks, const std::vector<ports::OmsTask>& tasks,
                                  const std::vector<std::string>& acknowledged = {},
                                  crd::LimitPolicy limits = crd::LimitPolicy::kAdvise) {
  TaskEvidence seen;
  seen.tasks = &tasks;
  crd::Spec spec;
  spec.acknowledge = acknowledged;
  spec.strategy.limits = limits;
  return LimitsNotAcknowledged(*crd::Version::Parse("4.3.0"), *crd::Version::Parse("4.3.1"), seen,
                               spec, asks);
}

TEST(TaskLimits, ALimitThatTasksShowToHoldIsNeitherWaitedForNorTold) {
  EXPECT_TRUE(Limits(Asks::kWait, {}).empty());
  EXPECT_TRUE(Limits(Asks::kTell, {}).empty());
}

TEST(TaskLimits, WhatTheTasksShowCountsAndNotTheWord) {
  const std::vector<ports::OmsTask> tasks = {Task("a", kYes, kNo, kNo, {"RUNNING", "", "", ""})};
  const auto told = Limits(Asks::kTell, tasks, {"NoFullImportRunning", "TasksSettled"});
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].word, "NoFullImportRunning");
  EXPECT_THAT(told[0].tasks, HasSubstr("its full migration is running"));
  EXPECT_TRUE(Limits(Asks::kWait, tasks).empty()) << "told here, as without the API";
  const auto waits =
      Limits(Asks::kWait, tasks, {"NoFullImportRunning"}, crd::LimitPolicy::kEnforce);
  EXPECT_THAT(waits, testing::ElementsAre(testing::Field(&OverviewLimit::tasks,
                                                         HasSubstr("full migration is running"))));
}

TEST(TaskLimits, WhatTheTasksDoNotTellIsAskedForByItsWord) {
  const std::vector<ports::OmsTask> tasks = {
      Task("a", kNo, kYes, kNo, {"", "MONITORING", "", "", "", std::nullopt})};
  const auto told = Limits(Asks::kTell, tasks);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].word, "TasksSettled");
  EXPECT_EQ(told[0].tasks, "");
  EXPECT_TRUE(Limits(Asks::kTell, tasks, {"TasksSettled"}).empty());
}

TEST(TaskLimits, AnOblogproxyTaskThatIsSeenIsWaitedForOnEveryWay) {
  ports::OmsTask task = Task("a", kYes, kNo, kNo, {"FINISHED", "", "", ""});
  task.source_type = "OB_MYSQL";
  task.source_log_proxy = true;
  const auto waits = Limits(Asks::kWait, {task}, {"NoOblogproxyTasks"});
  ASSERT_EQ(waits.size(), 1u);
  EXPECT_EQ(waits[0].tasks, "a 'task of a' reads through oblogproxy");
  EXPECT_TRUE(Limits(Asks::kTell, {task}).empty());
  EXPECT_THAT(TextOfBroken(waits),
              HasSubstr("NoOblogproxyTasks: no task reads through oblogproxy, which"));
  EXPECT_THAT(TextOfBroken(waits), HasSubstr("OMS reports: a 'task of a' reads through"));
}

}  // namespace
}  // namespace oms::product
