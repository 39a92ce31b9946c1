#include "controller/runtime/leader_elector.h"

#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_api_client.h"
#include "tests/unit/runtime/fixed_random.h"

namespace oms::runtime {
namespace {

using base::Code;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

const kube::ResourceType kLeases{"coordination.k8s.io", "v1", "leases"};
const kube::ObjectKey kLease{"sys", "lock"};

LeaseView View(const std::string& holder, int duration, base::SteadyTime changed) {
  LeaseView view;
  view.record.holder = holder;
  view.record.lease_duration_seconds = duration;
  view.changed_at = changed;
  return view;
}

TEST(DecideLease, FollowsTheTable) {
  const base::SteadyTime t0{seconds(100)};
  const struct {
    const char* what;
    std::optional<LeaseView> view;
    base::SteadyTime now;
    LeaseAction want;
  } table[] = {
      {"no lease", std::nullopt, t0, LeaseAction::kCreate},
      {"ours", View("me", 15, t0), t0 + seconds(1), LeaseAction::kRenew},
      {"ours, long ago", View("me", 15, t0), t0 + seconds(99), LeaseAction::kRenew},
      {"released", View("", 1, t0), t0, LeaseAction::kAcquire},
      {"held", View("other", 15, t0), t0 + milliseconds(14999), LeaseAction::kWait},
      {"expired", View("other", 15, t0), t0 + seconds(15), LeaseAction::kAcquire},
      {"no duration counts as 15 s", View("other", 0, t0), t0 + seconds(14), LeaseAction::kWait},
  };
  for (const auto& row : table) {
    EXPECT_EQ(DecideLease(row.view, "me", row.now), row.want) << row.what;
  }
}

TEST(ParseLease, TakesWhatIsMissingForEmpty) {
  EXPECT_EQ(ParseLease(json()), LeaseRecord{});
  EXPECT_EQ(ParseLease({{"spec", {{"holderIdentity", 7}}}}), LeaseRecord{});
}

class LeaderElectorTest : public testing::Test {
 protected:
  struct Candidate {
    Candidate(LeaderElectorTest& test, const std::string& identity)
        : elector(
              [&] {
                LeaderElector::Options options;
                options.lease_namespace = kLease.ns;
                options.lease_name = kLease.name;
                options.identity = identity;
                options.on_started = [this] { ++started; };
                options.on_lost = [this](const std::string& why) {
                  ++losses;
                  lost = why;
                };
                options.on_other = [this](const std::string& holder) { other = holder; };
                return options;
              }(),
              test.client_, test.clock_, test.random_, &test.metrics_) {}
    int started = 0, losses = 0;
    std::string lost, other;
    LeaderElector elector;
  };

  json Spec() { return (*client_.Find(kLeases, kLease))["spec"]; }
  std::string Holder() { return Spec()["holderIdentity"]; }
  void FailWrites(std::optional<base::Error> error) {
    client_.SetFault([error](const std::string& verb, auto&, auto&) {
      return verb == "get" ? std::optional<base::Error>() : error;
    });
  }

  fakes::FakeClock clock_;
  fakes::FixedRandom random_;
  fakes::MemoryApiClient client_;
  Registry metrics_;
  base::Context ctx_{clock_, {}};
  Candidate a_{*this, "a"}, b_{*this, "b"};
};

TEST_F(LeaderElectorTest, TheFirstOneCreatesTheLeaseAndLeads) {
  EXPECT_FALSE(a_.elector.IsLeader());
  EXPECT_EQ(a_.elector.Step(ctx_), seconds(2));
  EXPECT_TRUE(a_.elector.IsLeader());
  EXPECT_EQ(a_.started, 1);
  EXPECT_EQ(Holder(), "a");
  EXPECT_EQ(Spec()["leaseDurationSeconds"], 15);
  EXPECT_EQ(Spec()["leaseTransitions"], 0);
  EXPECT_NE(metrics_.Text().find("leader_election_master_status{name=\"lock\"} 1"),
            std::string::npos);
}

TEST_F(LeaderElectorTest, TheSecondOneWaitsWhileTheFirstRenews) {
  for (int i = 0; i < 30; ++i) {
    a_.elector.Step(ctx_);
    b_.elector.Step(ctx_);
    clock_.Advance(seconds(2));
    EXPECT_FALSE(b_.elector.IsLeader());
  }
  EXPECT_TRUE(a_.elector.IsLeader());
  EXPECT_EQ(a_.started, 1);
  EXPECT_EQ(b_.other, "a");
}

TEST_F(LeaderElectorTest, AnotherTakesOverOnlyAfterTheLeaseDurationOnItsOwnClock) {
  a_.elector.Step(ctx_);
  b_.elector.Step(ctx_);
  clock_.Advance(milliseconds(14999));
  b_.elector.Step(ctx_);
  EXPECT_FALSE(b_.elector.IsLeader());
  clock_.Advance(milliseconds(1));
  b_.elector.Step(ctx_);
  EXPECT_TRUE(b_.elector.IsLeader());
  EXPECT_EQ(Spec()["leaseTransitions"], 1);
}

TEST_F(LeaderElectorTest, TheTimesOfAnotherHostDoNotMatter) {
  // Renewed "an hour ago" by a clock that is wrong: it still counts from when we saw it.
  client_.Put(kLeases, {{"metadata", {{"namespace", "sys"}, {"name", "lock"}}},
                        {"spec",
                         {{"holderIdentity", "other"},
                          {"leaseDurationSeconds", 15},
                          {"renewTime", "2020-01-01T00:00:00.000000Z"}}}});
  a_.elector.Step(ctx_);
  clock_.Advance(seconds(14));
  a_.elector.Step(ctx_);
  EXPECT_FALSE(a_.elector.IsLeader());
  EXPECT_EQ(Holder(), "other");
}

TEST_F(LeaderElectorTest, TheCandidateLooksAgainWhenTheLeaseRunsOut) {
  a_.elector.Step(ctx_);
  b_.elector.Step(ctx_);
  clock_.Advance(milliseconds(14500));
  EXPECT_EQ(b_.elector.Step(ctx_), milliseconds(500));
}

TEST_F(LeaderElectorTest, AProcessThatWasStoppedFindsOutBeforeItsThreadRuns) {
  a_.elector.Step(ctx_);
  clock_.Advance(milliseconds(9999));
  EXPECT_TRUE(a_.elector.IsLeader());
  clock_.Advance(milliseconds(1));
  EXPECT_FALSE(a_.elector.IsLeader()) << "nobody called Step()";
  const auto permitted = ctx_.WithPermission([&] { return a_.elector.IsLeader(); });
  EXPECT_TRUE(permitted.Check().Is(Code::kFenced));
}

TEST_F(LeaderElectorTest, AStoppedLeaderThatWakesUpIsLostForGoodEvenIfNobodyElseCame) {
  a_.elector.Step(ctx_);
  clock_.Advance(seconds(60));
  a_.elector.Step(ctx_);
  EXPECT_FALSE(a_.lost.empty());
  EXPECT_TRUE(a_.elector.lost().stop_requested());
  a_.elector.Step(ctx_);
  EXPECT_FALSE(a_.elector.IsLeader());
  EXPECT_EQ(a_.started, 1);
}

TEST_F(LeaderElectorTest, NeverDoTwoLeadAtOnce) {
  // `a` cannot write any more, `b` can.
  a_.elector.Step(ctx_);
  for (int i = 0; i < 200; ++i) {
    clock_.Advance(milliseconds(100));
    FailWrites(base::MakeError(Code::kTransient, "no route"));
    if (i % 20 == 0) a_.elector.Step(ctx_);
    client_.SetFault(nullptr);
    b_.elector.Step(ctx_);
    ASSERT_FALSE(a_.elector.IsLeader() && b_.elector.IsLeader()) << i;
  }
  EXPECT_TRUE(b_.elector.IsLeader());
  EXPECT_FALSE(a_.lost.empty());
}

TEST_F(LeaderElectorTest, AFewFailedRenewalsAreSurvived) {
  a_.elector.Step(ctx_);
  FailWrites(base::MakeError(Code::kTransient, "no route"));
  clock_.Advance(seconds(8));
  a_.elector.Step(ctx_);
  client_.SetFault(nullptr);
  clock_.Advance(seconds(1));
  a_.elector.Step(ctx_);
  clock_.Advance(seconds(9));
  EXPECT_TRUE(a_.elector.IsLeader());
  EXPECT_TRUE(a_.lost.empty());
}

TEST_F(LeaderElectorTest, ARenewalThatTookTooLongIsALoss) {
  a_.elector.Step(ctx_);
  clock_.Advance(seconds(2));
  client_.SetFault([&](auto&, auto&, auto&) -> std::optional<base::Error> {
    clock_.Advance(seconds(9));  // The answer comes 11 s after the last renewal.
    return std::nullopt;
  });
  a_.elector.Step(ctx_);
  EXPECT_FALSE(a_.elector.IsLeader());
  EXPECT_FALSE(a_.lost.empty());
}

TEST_F(LeaderElectorTest, TheWatchdogTellsALossWhenItsTimeHasComeAndOnce) {
  EXPECT_EQ(a_.elector.Guard(), seconds(2)) << "nothing to guard yet";
  a_.elector.Step(ctx_);
  EXPECT_EQ(a_.elector.Guard(), seconds(10));
  clock_.Advance(seconds(2));
  a_.elector.Step(ctx_);
  EXPECT_EQ(a_.elector.Guard(), seconds(10)) << "renewed";
  // The next renewal hangs, and is answered after all.
  client_.SetFault([&](auto&, auto&, auto&) -> std::optional<base::Error> {
    clock_.Advance(seconds(10));
    a_.elector.Guard();
    EXPECT_EQ(a_.losses, 1);
    EXPECT_TRUE(a_.elector.lost().stop_requested());
    return std::nullopt;
  });
  a_.elector.Step(ctx_);
  EXPECT_FALSE(a_.elector.IsLeader()) << "an answer after the loss changes nothing";
  EXPECT_EQ(a_.losses, 1);
}

TEST_F(LeaderElectorTest, ALossIsToldOnTimeAlsoWhileARenewalHangs) {
  base::SystemClock clock;
  std::promise<void> release;
  std::promise<std::string> told;
  client_.SetFault([&, answer = release.get_future().share()](const std::string& verb, auto&,
                                                              auto&) -> std::optional<base::Error> {
    if (verb == "replace") answer.wait();
    return std::nullopt;
  });
  LeaderElector::Options options;
  options.lease_namespace = "sys";
  options.lease_name = "real";
  options.identity = "x";
  options.lease_duration = seconds(1);
  options.renew_deadline = milliseconds(300);
  options.retry_period = milliseconds(50);
  options.on_lost = [&](const std::string& why) { told.set_value(why); };
  LeaderElector elector(options, client_, clock, random_);
  elector.Start(base::Context(clock, {}));
  auto why = told.get_future();
  EXPECT_EQ(why.wait_for(seconds(10)), std::future_status::ready)
      << "work that obeys the stop token alone would go on";
  EXPECT_FALSE(elector.IsLeader());
  release.set_value();
  elector.StopAndRelease(base::Context(clock, {}));
}

TEST_F(LeaderElectorTest, LeadershipCountsFromBeforeTheRequest) {
  client_.SetFault([&](const std::string& verb, auto&, auto&) -> std::optional<base::Error> {
    if (verb == "create") clock_.Advance(seconds(4));
    return std::nullopt;
  });
  a_.elector.Step(ctx_);
  clock_.Advance(milliseconds(5999));
  EXPECT_TRUE(a_.elector.IsLeader());
  clock_.Advance(milliseconds(1));
  EXPECT_FALSE(a_.elector.IsLeader());
}

TEST_F(LeaderElectorTest, ALeaseTakenByAnotherIsALossAtOnce) {
  a_.elector.Step(ctx_);
  json lease = *client_.Find(kLeases, kLease);
  lease["spec"]["holderIdentity"] = "thief";
  client_.Put(kLeases, lease);
  a_.elector.Step(ctx_);
  EXPECT_FALSE(a_.elector.IsLeader());
  EXPECT_NE(a_.lost.find("thief"), std::string::npos);
  EXPECT_EQ(Holder(), "thief");
}

TEST_F(LeaderElectorTest, ALeaseWrittenByOthersButStillOursIsKeptWithTheirMetadata) {
  a_.elector.Step(ctx_);
  json lease = *client_.Find(kLeases, kLease);
  lease["metadata"]["labels"]["team"] = "x";
  client_.Put(kLeases, lease);
  clock_.Advance(seconds(5));
  a_.elector.Step(ctx_);
  clock_.Advance(seconds(9));
  EXPECT_TRUE(a_.elector.IsLeader());
  EXPECT_EQ((*client_.Find(kLeases, kLease))["metadata"]["labels"]["team"], "x");
}

TEST_F(LeaderElectorTest, ADeletedLeaseIsMadeAnewByItsHolder) {
  a_.elector.Step(ctx_);
  client_.Remove(kLeases, kLease);
  clock_.Advance(seconds(2));
  a_.elector.Step(ctx_);
  clock_.Advance(seconds(2));
  a_.elector.Step(ctx_);
  EXPECT_TRUE(a_.elector.IsLeader());
  EXPECT_EQ(Holder(), "a");
}

TEST_F(LeaderElectorTest, OfTwoThatCreateAtOnceOneLeads) {
  // `b` creates it between a's look and a's create.
  client_.SetFault([&](const std::string& verb, auto&, auto&) -> std::optional<base::Error> {
    if (verb == "create") {
      client_.SetFault(nullptr);
      b_.elector.Step(ctx_);
    }
    return std::nullopt;
  });
  a_.elector.Step(ctx_);
  EXPECT_TRUE(b_.elector.IsLeader());
  EXPECT_FALSE(a_.elector.IsLeader());
}

TEST_F(LeaderElectorTest, ACreateWhoseAnswerWasLostIsRecognisedAsOurs) {
  client_.SetFault([&](const std::string& verb, auto&, auto&) -> std::optional<base::Error> {
    if (verb != "create") return std::nullopt;
    client_.SetFault(nullptr);
    client_.Put(kLeases, {{"metadata", {{"namespace", "sys"}, {"name", "lock"}}},
                          {"spec", {{"holderIdentity", "a"}, {"leaseDurationSeconds", 15}}}});
    return base::MakeError(Code::kTimeout, "no answer");
  });
  a_.elector.Step(ctx_);
  EXPECT_FALSE(a_.elector.IsLeader());
  clock_.Advance(seconds(2));
  a_.elector.Step(ctx_);
  EXPECT_TRUE(a_.elector.IsLeader());
}

TEST_F(LeaderElectorTest, ACleanStopReleasesSoThatAnotherLeadsAtOnce) {
  a_.elector.Step(ctx_);
  b_.elector.Step(ctx_);
  a_.elector.StopAndRelease(ctx_);
  EXPECT_FALSE(a_.elector.IsLeader());
  EXPECT_TRUE(a_.lost.empty()) << "a wanted end is no loss";
  EXPECT_EQ(Holder(), "");
  clock_.Advance(seconds(2));
  b_.elector.Step(ctx_);
  EXPECT_TRUE(b_.elector.IsLeader());
}

TEST_F(LeaderElectorTest, AReleaseAfterARenewalWithoutAnswerStillReleases) {
  a_.elector.Step(ctx_);
  json lease = *client_.Find(kLeases, kLease);
  lease["spec"]["renewTime"] = "2026-01-02T03:04:05.000001Z";  // Done, but never answered.
  client_.Put(kLeases, lease);
  a_.elector.StopAndRelease(ctx_);
  EXPECT_EQ(Holder(), "");
}

TEST_F(LeaderElectorTest, WhoDoesNotLeadReleasesNothing) {
  a_.elector.Step(ctx_);
  b_.elector.Step(ctx_);
  b_.elector.StopAndRelease(ctx_);
  EXPECT_EQ(Holder(), "a");
  clock_.Advance(seconds(20));
  a_.elector.StopAndRelease(ctx_);
  EXPECT_EQ(Holder(), "a") << "it ran out before; another may have it by now";
}

TEST_F(LeaderElectorTest, ItsThreadAcquiresAndEnds) {
  base::SystemClock clock;
  LeaderElector::Options options;
  options.lease_namespace = "sys";
  options.lease_name = "real";
  options.identity = "x";
  LeaderElector elector(options, client_, clock, random_);
  const base::Context ctx(clock, {});
  elector.Start(ctx);
  EXPECT_TRUE(client_.WaitUntil([&] { return elector.IsLeader(); }));
  elector.StopAndRelease(ctx);
  EXPECT_FALSE(elector.IsLeader());
}

}  // namespace
}  // namespace oms::runtime
