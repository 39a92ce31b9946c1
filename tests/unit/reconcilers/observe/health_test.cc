#include "reconcilers/observe/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::observe {
namespace {

using base::Code;
using base::MakeError;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ParseSupervisorStatus, ReadsNamesAndStatesAndPassesOverTheRest) {
  const auto programs = ParseSupervisorStatus(
      "nginx                            RUNNING   pid 17, uptime 0:01:02\n"
      "oms_console                      STARTING  \n"
      "oms_drc_cm                       FATAL     Exited too quickly (process log may have "
      "details)\n"
      "unix:///var/run/supervisor.sock no such file\n"
      "\n"
      "warning: something else\n");
  ASSERT_EQ(programs.size(), 3u);
  EXPECT_EQ(programs[0].name, "nginx");
  EXPECT_EQ(programs[1].state, "STARTING");
  EXPECT_EQ(programs[2].state, "FATAL");
  EXPECT_THAT(ParseSupervisorStatus("unix:///tmp/supervisor.sock refused connection"), IsEmpty());
  EXPECT_THAT(ParseSupervisorStatus(""), IsEmpty());
}

struct Answer {
  base::Result<ports::HttpAnswer> answer;
  const char* problem;
};

TEST(HealthProblem, ReadsTheAnswerByItsWords) {
  const Answer rows[] = {
      {ports::HttpAnswer{200, R"({"code":0,"data":{"healthy":true}})"}, ""},
      {ports::HttpAnswer{404, "not found"}, ""},  // Not offered.
      {ports::HttpAnswer{200, R"({"data":{"healthy":false}})"}, "does not say healthy"},
      {ports::HttpAnswer{200, R"({"data":{"healthy":"true"}})"}, "does not say healthy"},
      {ports::HttpAnswer{200, R"({"data":null})"}, "does not say healthy"},
      {ports::HttpAnswer{200, "<html>"}, "does not say healthy"},
      {ports::HttpAnswer{503, ""}, "503"},
      {MakeError(Code::kTransient, "Refused", "nothing listens"), "nothing listens"},
      {MakeError(Code::kTimeout, "deadline"), "no answer within 4s"},
  };
  for (const auto& row : rows) {
    const std::string problem = HealthProblem(row.answer);
    if (*row.problem == '\0') {
      EXPECT_THAT(problem, IsEmpty());
    } else {
      EXPECT_THAT(problem, HasSubstr(row.problem));
    }
  }
}

TEST(SaysUnhealthy, IsOmssOwnWordAndNotAWayThatIsClosed) {
  EXPECT_TRUE(SaysUnhealthy(ports::HttpAnswer{200, R"({"data":{"healthy":false}})"}));
  EXPECT_TRUE(SaysUnhealthy(ports::HttpAnswer{503, ""}));
  EXPECT_FALSE(SaysUnhealthy(ports::HttpAnswer{200, R"({"data":{"healthy":true}})"}));
  EXPECT_FALSE(SaysUnhealthy(ports::HttpAnswer{200, "<html>"}));
  EXPECT_FALSE(SaysUnhealthy(ports::HttpAnswer{302, ""}));
  EXPECT_FALSE(SaysUnhealthy(ports::HttpAnswer{404, ""}));
  EXPECT_FALSE(SaysUnhealthy(MakeError(Code::kTransient, "Refused", "nothing listens")));
}

TEST(HealthFacts, TellsTheFirstThingThatIsMissing) {
  EXPECT_THAT(fixtures::Well().Missing(), IsEmpty());
  model::HealthFacts health;
  EXPECT_THAT(health.Missing(), HasSubstr("supervisord"));
  health = fixtures::Well();
  health.programs[1].state = "BACKOFF";
  EXPECT_THAT(health.Missing(), HasSubstr("oms_console is BACKOFF"));
  health = fixtures::Well();
  health.health_problem = "/oms/health answers 503";
  EXPECT_THAT(health.Missing(), HasSubstr("503"));
  health = fixtures::Well();
  health.host_online = false;
  EXPECT_THAT(health.Missing(), HasSubstr("ONLINE"));
  health.host_problem = "host 10.0.0.1 is OFFLINE";
  EXPECT_THAT(health.Missing(), HasSubstr("OFFLINE"));
  health = fixtures::Well();
  health.heartbeat_fresh = false;
  EXPECT_THAT(health.Missing(), HasSubstr("heartbeat"));
  health = fixtures::Well();
  health.programs.clear();
  EXPECT_THAT(health.Missing(), testing::Not(IsEmpty()));
}

}  // namespace
}  // namespace oms::observe
