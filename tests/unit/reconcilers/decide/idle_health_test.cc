#include "reconcilers/decide/idle_health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace oms::decide {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;

// One node that is well, looked at so long after the beginning.
model::Facts Well(base::Duration at) {
  model::Facts facts;
  facts.steady_now = base::SteadyTime(std::chrono::hours(1)) + at;
  model::NodeFacts node;
  node.name = "oms-1";
  node.health.emplace();
  node.health->supervisor_answers = true;
  node.health->programs = {{"nginx", "RUNNING"}, {"oms_console", "RUNNING"}};
  node.health->host_online = true;
  facts.nodes.push_back(std::move(node));
  facts.meta.emplace();
  facts.meta->heartbeats["oms-1"] = {true, 0, "beat " + std::to_string(at.count()), 0};
  return facts;
}

struct Row {
  const char* what;
  void (*change)(model::Facts&);
  const char* says;  // Empty: nothing that is known.
};

TEST(JudgeIdle, CallsUnwellWhatIsOmssOwnAndNothingElse) {
  const std::vector<Row> rows = {
      {"nothing", [](model::Facts&) {}, ""},
      {"supervisord is silent",
       [](model::Facts& f) { f.nodes[0].health->supervisor_answers = false; },
       "node oms-1: supervisord does not answer"},
      {"a program of OMS", [](model::Facts& f) { f.nodes[0].health->programs[1].state = "FATAL"; },
       "oms_console is FATAL"},
      {"a program of the site's own",
       [](model::Facts& f) {
         f.nodes[0].health->programs.push_back({"once", "EXITED"});
       },
       ""},
      {"an answer that is no word of OMS",
       [](model::Facts& f) { f.nodes[0].health->health_problem = "/oms/health answers 302"; }, ""},
      {"OMS's own word",
       [](model::Facts& f) {
         f.nodes[0].health->health_problem = "/oms/health does not say healthy";
         f.nodes[0].health->says_unhealthy = true;
       },
       "does not say healthy"},
      {"its host",
       [](model::Facts& f) {
         f.nodes[0].health->host_online = false;
         f.nodes[0].health->host_problem = "host 10.0.0.1 is OFFLINE";
       },
       "OFFLINE"},
      {"a heartbeat by a clock that is hours behind",
       [](model::Facts& f) { f.meta->heartbeats["oms-1"].age_ms = 8LL * 3600 * 1000; }, ""},
      {"no answer of the engine",
       [](model::Facts& f) {
         f.nodes[0].health->supervisor_answers = false;
         f.nodes[0].health->error = base::MakeError(base::Code::kTransient, "no answer");
       },
       ""},
      {"no answer of the MetaDB",
       [](model::Facts& f) {
         f.nodes[0].health->host_online = false;
         f.meta.reset();
       },
       ""},
      {"no container that runs", [](model::Facts& f) { f.nodes[0].health.reset(); }, ""},
  };
  for (const auto& row : rows) {
    IdleMemory memory;
    std::string says;
    for (int i = 0; i < 4; ++i) {
      model::Facts facts = Well(minutes(i));
      row.change(facts);
      says = JudgeIdle(facts, memory);
    }
    if (*row.says == '\0') {
      EXPECT_THAT(says, IsEmpty()) << row.what;
    } else {
      EXPECT_THAT(says, HasSubstr(row.says)) << row.what;
    }
  }
}

TEST(JudgeIdle, NeedsMoreThanOneLookAndOneGoodLookEndsIt) {
  IdleMemory memory;
  const auto look = [&](base::Duration at, bool well) {
    model::Facts facts = Well(at);
    facts.nodes[0].health->supervisor_answers = well;
    return JudgeIdle(facts, memory);
  };
  EXPECT_THAT(look(seconds(0), false), IsEmpty());
  EXPECT_THAT(look(seconds(9), false), IsEmpty()) << "passes may follow each other at once";
  EXPECT_THAT(look(seconds(10), false), HasSubstr("supervisord"));
  EXPECT_THAT(look(seconds(20), true), IsEmpty());
  EXPECT_THAT(look(seconds(30), false), IsEmpty()) << "counted anew";
}

TEST(JudgeIdle, ALookWithoutAnAnswerChangesNothing) {
  IdleMemory memory;
  for (const int at : {0, 20}) {
    model::Facts facts = Well(seconds(at));
    facts.nodes[0].health->supervisor_answers = false;
    (void)JudgeIdle(facts, memory);
  }
  model::Facts blind = Well(seconds(40));
  blind.nodes[0].health->error = base::MakeError(base::Code::kTransient, "no answer");
  EXPECT_THAT(JudgeIdle(blind, memory), HasSubstr("supervisord"));
}

TEST(JudgeIdle, AHeartThatDoesNotMoveIsSeenByItself) {
  IdleMemory memory;
  std::string says;
  for (int i = 0; i < 5; ++i) {
    model::Facts facts = Well(minutes(i));
    facts.meta->heartbeats["oms-1"].modified = "always the same";
    facts.meta->heartbeats["oms-1"].age_ms = 0;  // Of a clock that runs ahead.
    says = JudgeIdle(facts, memory);
    if (i < 3) {
      EXPECT_THAT(says, IsEmpty()) << i;
    }
  }
  EXPECT_THAT(says, HasSubstr("does not advance"));
}

}  // namespace
}  // namespace oms::decide
