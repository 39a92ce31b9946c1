#include "reconcilers/oms/overview_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include "crd/conditions.h"

namespace oms::product {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;
using Words = std::vector<std::string>;

constexpr TaskEvidence kUnguarded{true}, kSeparateCm{false, true};

std::vector<OverviewLimit> Limits(const char* from, const char* to, Asks asks,
                                  const TaskEvidence& seen = {}, const Words& acknowledged = {},
                                  crd::LimitPolicy limits = crd::LimitPolicy::kAdvise) {
  crd::Spec spec;
  spec.acknowledge = acknowledged;
  spec.strategy.limits = limits;
  return LimitsNotAcknowledged(*crd::Version::Parse(from), *crd::Version::Parse(to), seen, spec,
                               asks);
}

Words WordsOf(const std::vector<OverviewLimit>& limits) {
  Words words;
  for (const auto& limit : limits) words.emplace_back(limit.word);
  return words;
}

struct Way {
  const char* from;
  const char* to;
  Words waits;
  Words tells;
  TaskEvidence seen = {};
};

TEST(OverviewLimits, AreAskedForWhereTheyApplyAndNowhereElse) {
  const Words plain = {"NoOblogproxyTasks", "TasksSettled", "NoFullImportRunning"};
  const std::vector<Way> ways = {
      // The plain way waits for nothing.
      {"4.3.0", "4.3.1", {}, plain},
      {"4.3.0-BP1", "4.3.2", {}, plain},
      {"4.2.5", "4.3.0", {}, {"TasksSettled", "NoFullImportRunning"}},
      {"4.0.1",
       "4.3.1",
       {},
       {"NoOblogproxyTasks", "TasksSettled", "NoFullImportRunning", "NoSharePlex"}},
      {"4.0.2", "4.3.1", {}, plain},
      // Below 4.0.1 all waits, and the older, the more of it.
      {"3.4.0", "4.3.1", plain, {"NoSharePlex"}},
      {"3.3.0", "4.3.1", plain, {"NoSharePlex"}},
      {"3.4.0", "4.2.3", {"TasksSettled", "NoFullImportRunning"}, {"NoSharePlex"}},
      {"3.2.2-BP2",
       "4.3.1",
       {"NoOblogproxyTasks", "TasksSettled", "NoFullImportRunning", "DbTypeSet"},
       {"NoSharePlex"}},
      {"3.2.1",
       "4.3.1",
       {"NoOblogproxyTasks", "TasksSettled", "NoFullImportRunning", "DbTypeSet", "NoDataHubTasks"},
       {"NoSharePlex"}},
      {"3.2.1", "3.2.2", {"NoDataHubTasks"}, {}},
      {"3.2.2", "3.4.0", {"DbTypeSet"}, {}},
      {"3.3.0", "3.4.0", {}, {}},
      // Seen in ha.config, and of what crosses 4.1.1 only.
      {"4.1.0", "4.3.1", {"ConnectorUnguarded"}, plain, kUnguarded},
      {"4.2.0", "4.3.1", {}, plain, kUnguarded},
      {"4.0.1", "4.1.0", {}, {"TasksSettled", "NoFullImportRunning", "NoSharePlex"}, kUnguarded},
      // Seen in config.yaml, and of the guide for 4.3.1.
      {"4.3.1", "4.3.2", {"TasksReadyForSeparateCM"}, plain, kSeparateCm},
      {"4.2.5", "4.3.0", {}, {"TasksSettled", "NoFullImportRunning"}, kSeparateCm},
      // The community edition has pages of its own.
      {"4.2.4-CE", "4.2.6-CE", {}, {"TasksSettled", "NoFullImportRunning"}},
      {"4.2.4-CE", "4.3.1-CE", {}, {"TasksSettled", "NoFullImportRunning"}},
      {"3.2.2-CE", "3.3.0-CE", {"DbTypeSet"}, {"TasksSettled"}},
      {"3.3.0-CE", "3.3.1-CE", {}, {"TasksSettled"}},
  };
  for (const auto& way : ways) {
    SCOPED_TRACE(std::string(way.from) + " -> " + way.to);
    EXPECT_EQ(WordsOf(Limits(way.from, way.to, Asks::kWait, way.seen)), way.waits);
    EXPECT_EQ(WordsOf(Limits(way.from, way.to, Asks::kTell, way.seen)), way.tells);
    Words all = way.waits;
    all.insert(all.end(), way.tells.begin(), way.tells.end());
    const auto enforced = [&](Asks asks) {
      return WordsOf(Limits(way.from, way.to, asks, way.seen, {}, crd::LimitPolicy::kEnforce));
    };
    EXPECT_THAT(enforced(Asks::kWait), UnorderedElementsAreArray(all));
    EXPECT_THAT(enforced(Asks::kTell), IsEmpty());
  }
}

TEST(OverviewLimits, AnAcknowledgedOneIsNeitherWaitedForNorTold) {
  EXPECT_THAT(WordsOf(Limits("3.4.0", "4.3.1", Asks::kWait, {}, {"TasksSettled"})),
              ElementsAre("NoOblogproxyTasks", "NoFullImportRunning"));
  EXPECT_THAT(WordsOf(Limits("4.3.0", "4.3.1", Asks::kTell, {}, {"TasksSettled"})),
              ElementsAre("NoOblogproxyTasks", "NoFullImportRunning"));
}

TEST(OverviewLimits, TheTextSaysWhatToWriteWithTheWordsThatStandThereAlready) {
  const Words there = {"UnlistedVersion", "NoOblogproxyTasks"};
  const std::string text = TextOf(Limits("3.4.0", "4.3.1", Asks::kWait, {}, there), there);
  EXPECT_THAT(text, HasSubstr("spec.acknowledge: [UnlistedVersion, NoOblogproxyTasks, "
                              "TasksSettled, NoFullImportRunning]"));
  EXPECT_THAT(text, HasSubstr("TasksSettled: tasks are near real time"));
  EXPECT_THAT(text, HasSubstr("NoFullImportRunning: no Full-Import runs"));
}

TEST(OverviewLimits, TheLongestTextIsNotCut) {
  const Words there = {"UnlistedVersion"};
  const auto all =
      Limits("3.2.1", "4.3.1", Asks::kWait, kUnguarded, there, crd::LimitPolicy::kEnforce);
  EXPECT_EQ(all.size(), 7u);
  // Less what stands before it: the step, and the other findings' words.
  EXPECT_LT(TextOf(all, there).size(), crd::kMaxMessageBytes - 60);
}

TEST(OverviewLimits, AWordThatNothingAsksForIsUnknown) {
  EXPECT_THAT(UnknownWords({"UnlistedVersion", "TasksSettled"}), IsEmpty());
  EXPECT_THAT(UnknownWords({"TasksSetled", "tasksSettled"}),
              ElementsAre("TasksSetled", "tasksSettled"));
}

TEST(OverviewLimits, TheSchemaKnowsTheSameWords) {
  const YAML::Node crd = YAML::LoadFile(OMS_CRD_FILE);
  const YAML::Node spec =
      crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
  std::vector<std::string_view> words;
  for (const auto& word : spec["properties"]["acknowledge"]["items"]["enum"])
    words.push_back(word.Scalar());
  EXPECT_EQ(words, KnownWords());
}

}  // namespace
}  // namespace oms::product
