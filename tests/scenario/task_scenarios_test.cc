// OMS's task API answers for its tasks where spec.taskAPI lets the controller ask.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::ConditionOf;
using fakes::Process;
using fakes::World;
using nlohmann::json;
using ports::OmsTask;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

OmsTask LogProxyTask() {
  OmsTask task;
  task.id = "np_4w3r";
  task.name = "订单";
  task.status = "RUNNING";
  task.source_type = "OB_MYSQL";
  task.source_log_proxy = true;
  task.full = true;
  task.steps = {{"FULL_TRANSFER", "FINISHED", std::nullopt}};
  return task;
}

OmsTask LateTask() {
  OmsTask task;
  task.id = "ns_late";
  task.name = "late";
  task.status = "RUNNING";
  task.source_type = "MYSQL";
  task.incremental = true;
  task.steps = {{"INCR_TRANSFER", "MONITORING", 900}};
  return task;
}

std::string Status(const World& world) {
  return world.api.Find({crd::kGroup, crd::kVersionName, crd::kPlural}, {"ns", "oms"})->dump();
}

// Nothing that a person can read has it, plain or as it is sent.
void ExpectNoSecret(const World& world) {
  std::vector<std::string> texts = world.events;
  texts.push_back(Status(world));
  for (const auto& [folder, entries] : world.records) {
    for (const auto& [n, text] : entries) texts.push_back(text);
  }
  for (const auto& [path, text] : world.files) texts.push_back(text);
  for (const auto& text : texts) {
    EXPECT_THAT(text, Not(HasSubstr("c0nsole-word")));
    EXPECT_THAT(text, Not(HasSubstr("YWRtaW46")));
    EXPECT_THAT(text, Not(HasSubstr("wr0ng-word")));
  }
}

TEST(TaskApi, ATaskThatIsNotReadyIsWaitedForAndSeenToBeReadyWithoutAnEdit) {
  World world;
  world.GiveTaskApi();
  world.tasks = {LogProxyTask()};
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/TasksNotReady") << Why(world);
  EXPECT_EQ(ConditionOf(world.Resource(), "PreflightPassed"), "False/TasksNotReady");
  EXPECT_THAT(world.Resource().status.message,
              HasSubstr("np_4w3r '订单' reads through oblogproxy"));
  EXPECT_EQ(world.oms_writes, 0);
  // A word does not outweigh what is seen.
  world.EditSpec([](json& spec) { spec["acknowledge"] = {"NoOblogproxyTasks"}; });
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/TasksNotReady") << Why(world);
  const auto generation = world.Resource().meta.generation;
  world.Locked([&] { world.tasks[0].status = "RELEASED"; });
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_EQ(world.Resource().meta.generation, generation);
  EXPECT_EQ(world.script_runs, 1);
  ExpectNoSecret(world);
}

TEST(TaskApi, WhatTasksShowIsToldByNameAndWhatHoldsIsNotToldAtAll) {
  World world;
  world.GiveTaskApi();
  world.tasks = {LateTask()};
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  const auto told = std::count_if(
      world.events.begin(), world.events.end(),
      [](const std::string& event) { return event.find("SeeToItFirst") != std::string::npos; });
  EXPECT_EQ(told, 1) << "oblogproxy and Full-Import were seen to be none";
  EXPECT_THAT(world.events, Contains(HasSubstr("OMS reports: ns_late 'late' is 900 s behind")));
}

TEST(TaskApi, ThePlanNamesTheTasks) {
  World world;
  world.GiveTaskApi();
  world.tasks = {LateTask()};
  world.EditSpec([](json& spec) { spec["mode"] = "Plan"; });
  Process(world).Settle();
  const auto plan = world.Resource().status.plan;
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->steps, Contains(HasSubstr("ns_late 'late' is 900 s behind")));
  EXPECT_THAT(plan->steps, Not(Contains(HasSubstr("oblogproxy"))));
}

TEST(TaskApi, AWrongPasswordIsToldAndACorrectedSecretIsSeenByItself) {
  World world;
  world.GiveTaskApi("wr0ng-word");
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/TaskAPIDenied") << Why(world);
  EXPECT_THAT(world.Resource().status.message,
              testing::AllOf(HasSubstr("correct the Secret ns/console-user"),
                             HasSubstr("remove spec.taskAPI")));
  EXPECT_EQ(world.oms_writes, 0);
  ExpectNoSecret(world);
  world.GiveTaskApi();
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  ExpectNoSecret(world);
}

TEST(TaskApi, WithoutItsSecretNothingIsTouchedAndWithoutTheFieldNothingIsAsked) {
  World world;
  world.EditSpec([](json& spec) { spec["taskAPI"] = {{"secretRef", {{"name", "nowhere"}}}}; });
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/SecretUnreadable") << Why(world);
  EXPECT_EQ(world.oms_writes, 0);
  world.EditSpec([](json& spec) { spec.erase("taskAPI"); });
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_EQ(world.task_questions, 0);
}

TEST(TaskApi, AnApiThatDoesNotAnswerIsWaitedForBeforeTheStopAndNotAskedAfterIt) {
  World world;
  world.GiveTaskApi();
  world.tasks_error = base::MakeError(base::Code::kTimeout, "TaskAPITimeout", "no answer in time");
  Process process(world);
  process.Settle();
  EXPECT_EQ(Stalled(world), "True/TaskAPITimeout") << Why(world);
  EXPECT_EQ(world.oms_writes, 0);
  world.Locked([&] { world.tasks_error.reset(); });
  world.dump_held = true;
  // From the stop on neither the API nor the Secret is needed.
  ASSERT_TRUE(process.RunUntil([&] { return !world.OmsRuns(); })) << Why(world);
  world.Locked(
      [&] { world.tasks_error = base::MakeError(base::Code::kDenied, "TaskAPIDenied", "no"); });
  world.api.Remove({"", "v1", "secrets"}, {"ns", "console-user"});
  world.Release();
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
}

TEST(TaskApi, ItsSecretIsNotHeldAndARollbackAsksNothing) {
  World world;
  world.GiveTaskApi();
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return !world.OmsRuns(); })) << Why(world);
  EXPECT_FALSE(world.api.Find({"", "v1", "secrets"}, {"ns", "console-user"})
                   ->at("metadata")
                   .contains("finalizers"));
  world.Release();
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  world.tasks = {LogProxyTask()};
  const int questions = world.task_questions;
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, process)) << Why(world);
  EXPECT_EQ(world.task_questions, questions);
}

TEST(TaskApi, ItIsAskedByHttpsWhereTheCertificateIsMounted) {
  World world;
  world.MountCertificate(std::chrono::hours(24));
  world.GiveTaskApi();
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_GT(world.task_questions, 0);
}

TEST(TaskApi, PassesThatFollowEachOtherAtOnceAskOnce) {
  World world;
  world.GiveTaskApi();
  Process process(world);
  ASSERT_TRUE(RunUp(world, process)) << Why(world);
  EXPECT_LT(world.task_questions, 5);
}

}  // namespace
}  // namespace oms
