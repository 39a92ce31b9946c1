#include "controller/runtime/event_recorder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_api_client.h"

namespace oms::runtime {
namespace {

using base::Code;
using nlohmann::json;

const kube::ResourceType kEvents{"", "v1", "events"};
const ObjectRef kObject{"example.com/v1", "Thing", "ns", "a", "uid-1"};

class EventRecorderTest : public testing::Test {
 protected:
  // Lets the time pass that the recorder waits.
  void WriteAll() {
    while (const auto wait = recorder_.WriteOne(ctx_)) clock_.Advance(*wait);
  }
  // So many calls fail from now on, for a passing reason.
  void FailFirst(int calls) {
    failing_ = calls;
    client_.SetFault([this](auto&, auto&, auto&) -> std::optional<base::Error> {
      if (failing_-- > 0) return base::MakeError(Code::kTransient, "no route");
      return std::nullopt;
    });
  }
  fakes::FakeClock clock_;
  fakes::MemoryApiClient client_;
  base::Context ctx_{clock_, {}};
  int failing_ = 0;
  ApiEventRecorder recorder_{
      {"tester", "tester-0", std::chrono::minutes(10), 3, 2}, client_, clock_};
};

TEST_F(EventRecorderTest, AnEventSaysWhatHappenedToWhich) {
  recorder_.Event(kObject, EventType::kWarning, "Broken", "it broke", {{"k", "v"}});
  WriteAll();
  const auto events = client_.All(kEvents);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["involvedObject"], json({{"apiVersion", "example.com/v1"},
                                               {"kind", "Thing"},
                                               {"namespace", "ns"},
                                               {"name", "a"},
                                               {"uid", "uid-1"}}));
  EXPECT_EQ(events[0]["type"], "Warning");
  EXPECT_EQ(events[0]["reason"], "Broken");
  EXPECT_EQ(events[0]["message"], "it broke");
  EXPECT_EQ(events[0]["count"], 1);
  EXPECT_EQ(events[0]["metadata"]["annotations"]["k"], "v");
  EXPECT_EQ(events[0]["source"]["component"], "tester");
}

TEST_F(EventRecorderTest, TheSameAgainRaisesTheCount) {
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  WriteAll();
  clock_.Advance(std::chrono::seconds(60));
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  recorder_.Event(kObject, EventType::kNormal, "R", "another message");
  WriteAll();
  const auto events = client_.All(kEvents);
  ASSERT_EQ(events.size(), 2u);
  int counts = 0;
  for (const auto& event : events) counts += event["count"].get<int>();
  EXPECT_EQ(counts, 3);
}

TEST_F(EventRecorderTest, AfterTheWindowItIsANewEvent) {
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  WriteAll();
  clock_.Advance(std::chrono::minutes(11));
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  WriteAll();
  EXPECT_EQ(client_.All(kEvents).size(), 2u);
}

TEST_F(EventRecorderTest, AnEventTheServerForgotIsMadeAnew) {
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  WriteAll();
  client_.Remove(kEvents, {"ns", client_.All(kEvents)[0]["metadata"]["name"]});
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  WriteAll();
  EXPECT_EQ(client_.All(kEvents).size(), 1u);
}

TEST_F(EventRecorderTest, AFullQueueDropsTheOldest) {
  for (const char* message : {"1", "2", "3", "4"}) {
    recorder_.Event(kObject, EventType::kNormal, "R", message);
  }
  EXPECT_EQ(recorder_.dropped(), 1u);
  WriteAll();
  for (const auto& event : client_.All(kEvents)) EXPECT_NE(event["message"], "1");
}

TEST_F(EventRecorderTest, APassingFailureIsTriedAgainAndALastingOneDropped) {
  FailFirst(2);
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  EXPECT_GT(recorder_.WriteOne(ctx_)->count(), 0);
  WriteAll();
  EXPECT_EQ(client_.All(kEvents).size(), 1u);

  client_.SetFault([](auto&, auto&, auto&) { return base::MakeError(Code::kDenied, "no"); });
  recorder_.Event(kObject, EventType::kNormal, "R", "n");
  WriteAll();
  EXPECT_EQ(recorder_.dropped(), 1u);
}

TEST_F(EventRecorderTest, AnOutageOfMoreThanAMinuteLosesNothing) {
  const auto back = clock_.Now() + std::chrono::seconds(90);
  client_.SetFault([&](auto&, auto&, auto&) -> std::optional<base::Error> {
    if (clock_.Now() < back) return base::MakeError(Code::kTransient, "no route");
    return std::nullopt;
  });
  recorder_.Event(kObject, EventType::kNormal, "R", "1");
  recorder_.Event(kObject, EventType::kNormal, "R", "2");
  WriteAll();
  EXPECT_EQ(client_.All(kEvents).size(), 2u);
  EXPECT_EQ(recorder_.dropped(), 0u);
}

TEST_F(EventRecorderTest, ATransientFailureThatLastsIsDroppedInTheEnd) {
  FailFirst(1'000'000);
  const auto begin = clock_.Now();
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  WriteAll();
  EXPECT_EQ(recorder_.dropped(), 1u);
  EXPECT_EQ(client_.Calls("create"), 12);
  EXPECT_LT(clock_.Now() - begin, std::chrono::minutes(3));
}

TEST_F(EventRecorderTest, AnEventThatIsNotTakenHoldsUpNoOther) {
  ObjectRef stuck = kObject;
  stuck.name = "stuck";
  client_.SetFault([](auto&, auto&, const kube::ObjectKey& key) -> std::optional<base::Error> {
    if (key.name.starts_with("stuck.")) return base::MakeError(Code::kTransient, "quota");
    return std::nullopt;
  });
  recorder_.Event(stuck, EventType::kNormal, "R", "m");
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  EXPECT_EQ(recorder_.WriteOne(ctx_), base::Duration(0)) << "the next one is due";
  recorder_.WriteOne(ctx_);
  EXPECT_EQ(client_.All(kEvents).size(), 1u) << "no time has passed";
}

TEST_F(EventRecorderTest, TheSameAgainWaitsForTheFirstAndIsCountedOnIt) {
  FailFirst(3);
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  WriteAll();
  const auto events = client_.All(kEvents);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["count"], 2);
}

TEST_F(EventRecorderTest, ATryWhoseAnswerWasLostMakesNoSecondEvent) {
  client_.SetFault([&](auto&, auto&, const kube::ObjectKey& key) -> std::optional<base::Error> {
    client_.SetFault(nullptr);
    client_.Put(kEvents, {{"metadata", {{"namespace", key.ns}, {"name", key.name}}}});
    return base::MakeError(Code::kTimeout, "no answer");
  });
  recorder_.Event(kObject, EventType::kNormal, "R", "m");
  WriteAll();
  EXPECT_EQ(client_.All(kEvents).size(), 1u);
  EXPECT_EQ(client_.Calls("create"), 2);
  EXPECT_EQ(recorder_.dropped(), 0u);
}

TEST_F(EventRecorderTest, ALongMessageIsCutAtAWholeCharacter) {
  std::string message(1019, 'x');
  message += "\xC3\xA9\xC3\xA9\xC3\xA9";
  recorder_.Event(kObject, EventType::kNormal, "R", message);
  WriteAll();
  const std::string written = client_.All(kEvents)[0]["message"];
  EXPECT_LE(written.size(), 1024u);
  EXPECT_EQ(written, message.substr(0, 1021) + "...");
}

TEST_F(EventRecorderTest, StopWritesWhatIsQueued) {
  base::SystemClock clock;
  ApiEventRecorder recorder({"tester", "t"}, client_, clock);
  recorder.Start(base::Context(clock, {}));
  recorder.Event(kObject, EventType::kNormal, "R", "1");
  recorder.Event(kObject, EventType::kNormal, "R", "2");
  recorder.Stop();
  EXPECT_EQ(client_.All(kEvents).size(), 2u);
}

TEST_F(EventRecorderTest, StopDoesNotWaitForAServerThatIsAway) {
  base::SystemClock clock;
  ApiEventRecorder recorder({"tester", "t"}, client_, clock);
  client_.SetFault([](auto&, auto&, auto&) { return base::MakeError(Code::kTransient, "x"); });
  recorder.Start(base::Context(clock, {}));
  recorder.Event(kObject, EventType::kNormal, "R", "1");
  const auto begin = std::chrono::steady_clock::now();
  recorder.Stop(std::chrono::milliseconds(50));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

}  // namespace
}  // namespace oms::runtime
