#include "reconcilers/drivers/http/task_api_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace oms::drivers::http {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Answer(const std::string& data) {
  return R"({"success":true,"errorDetail":null,"code":null,"requestId":"r","data":)" + data + "}";
}

// As OMS's pages show it, with its numbers and truths in text.
constexpr char kListed[] = R"({"success":"true","pageNumber":"1","totalCount":"151","data":[
  {"id":"np_1","type":"MIGRATION","name":"订单","status":"RUNNING","sourceEndpointType":"OB_MYSQL",
   "sinkEndpointType":"MYSQL","enableFullTransfer":true,"enableIncrTransfer":"false",
   "enableReverseIncrTransfer":null,
   "sourceConnectInfo":{"connExtraAttributes":{"useLogProxy":true,"drcUser":"u"}},
   "sinkConnectInfo":{"connExtraAttributes":null}}]})";

TEST(TaskApiAnswer, APageIsReadWithWhatTheListLeavesOutLeftOpen) {
  const auto page = ReadTaskPage(kListed);
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->total, 151);
  ASSERT_EQ(page->tasks.size(), 1u);
  const ListedTask& listed = page->tasks[0];
  EXPECT_EQ(listed.task.id, "np_1");
  EXPECT_EQ(listed.task.name, "订单");
  EXPECT_EQ(listed.task.status, "RUNNING");
  EXPECT_EQ(listed.task.source_type, "OB_MYSQL");
  EXPECT_EQ(listed.task.source_log_proxy, true);
  EXPECT_EQ(listed.task.sink_log_proxy, std::nullopt);
  EXPECT_EQ(listed.full, true);
  EXPECT_EQ(listed.incremental, false);
  EXPECT_EQ(listed.reverse, std::nullopt);
}

TEST(TaskApiAnswer, OneTaskIsReadByItselfOrAsAListOfOne) {
  const std::string task = R"({"id":"np_1","status":"INIT"})";
  EXPECT_TRUE(ReadTask(Answer(task), "np_1").ok());
  EXPECT_TRUE(ReadTask(Answer("[" + task + "]"), "np_1").ok());
  EXPECT_THAT(ReadTask(Answer(task), "np_2").error().message, HasSubstr("is of another task"));
}

TEST(TaskApiAnswer, HowFarItIsBehindIsTheDifferenceOfOmssOwnTwoTimes) {
  const auto behind = [](const char* info) {
    return ReadTaskSteps(Answer(std::string(R"([{"name":"INCR_TRANSFER","status":"MONITORING",
        "stepInfo":)") + info + "}]"))
        ->front()
        .behind_seconds;
  };
  EXPECT_EQ(
      behind(R"({"incrTimestampCheckpoint":1689213946,"checkpointSampleTimestamp":1689214358})"),
      412);
  EXPECT_EQ(
      behind(R"({"incrTimestampCheckpoint":"1689214360","checkpointSampleTimestamp":1689214358})"),
      0);
  EXPECT_EQ(behind(R"({"incrTimestampCheckpoint":null,"checkpointSampleTimestamp":1689214358})"),
            std::nullopt);
  EXPECT_EQ(behind(R"({"incrTimestampCheckpoint":0,"checkpointSampleTimestamp":1689214358})"),
            std::nullopt);
  EXPECT_EQ(behind("null"), std::nullopt);
}

TEST(TaskApiAnswer, TheCurrentStepIsOfTheTaskThatWasAskedFor) {
  const std::string body = Answer(R"({"projectId":"np_1","currentStep":"REVERSE_INCR_SYNC"})");
  EXPECT_EQ(*ReadCurrentStep(body, "np_1"), "REVERSE_INCR_SYNC");
  EXPECT_FALSE(ReadCurrentStep(body, "np_2").ok());
  EXPECT_EQ(*ReadCurrentStep(Answer(R"({"projectId":"np_1","currentStep":null})"), "np_1"), "");
}

TEST(TaskApiAnswer, WhatIsMissingWhereARuleDependsOnItIsAnErrorThatNamesIt) {
  struct Row {
    std::string body;
    const char* says;
  };
  const std::vector<Row> rows = {
      {"<html>login</html>", "is not JSON"},
      {"[]", "is not a JSON object"},
      {R"({"data":[]})", "does not say whether it succeeded"},
      {R"({"success":"yes","data":[]})", "does not say whether it succeeded"},
      {R"({"success":true})", "has no data"},
      {Answer("{}"), "has data that is not a list"},
      {Answer("[7]"), "a task that is not an object"},
      {Answer(R"([{"status":"RUNNING"}])"), "a task without an id"},
      {Answer(R"([{"id":7,"status":"RUNNING"}])"), "a task without an id"},
      {Answer(R"([{"id":"np_1","status":null}])"), "a task without a status"},
  };
  for (const auto& row : rows) {
    const auto page = ReadTaskPage(row.body);
    ASSERT_FALSE(page.ok()) << row.body;
    EXPECT_EQ(page.error().reason, "TaskAPIAnswerInvalid");
    EXPECT_THAT(page.error().message, HasSubstr(row.says));
  }
  EXPECT_TRUE(ReadTaskPage(Answer("null")).ok()) << "no task at all";
  for (const char* data : {"null", "{}", "[7]", R"([{"status":"INIT"}])", R"([{"name":"X"}])"})
    EXPECT_EQ(ReadTaskSteps(Answer(data)).error().reason, "TaskAPIAnswerInvalid") << data;
  for (const char* data : {"null", "[]", R"({"currentStep":"X"})"})
    EXPECT_EQ(ReadCurrentStep(Answer(data), "np_1").error().reason, "TaskAPIAnswerInvalid") << data;
}

TEST(TaskApiAnswer, ARefusalIsToldByItsCodeAndNothingElseThatWasAnswered) {
  const auto refused = ReadTaskPage(
      R"({"success":false,"code":"INNER_ERROR","message":"user admin with s3cret failed",
          "errorDetail":{"code":"CM-RESOAT1111"},"data":null})");
  EXPECT_EQ(refused.error().reason, "TaskAPIRefused");
  EXPECT_EQ(refused.error().message, "OMS reports that ListProjects failed (CM-RESOAT1111)");
  EXPECT_THAT(ReadTaskPage(R"({"success":false,"code":"Basic YWRtaW46czNjcmV0"})").error().message,
              Not(HasSubstr("YWRt")));
}

}  // namespace
}  // namespace oms::drivers::http
