#include "controller/runtime/informer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_api_client.h"
#include "tests/unit/runtime/fixed_random.h"

namespace oms::runtime {
namespace {

using base::Code;
using nlohmann::json;

const kube::ResourceType kThings{"example.com", "v1", "things"};

struct Thing {
  std::string name;
  int size;
};

json ThingJson(const std::string& name, const json& size) {
  return {{"metadata", {{"namespace", "ns"}, {"name", name}}}, {"spec", {{"size", size}}}};
}

base::Result<Thing> ParseThing(const json& object) {
  if (!object["spec"]["size"].is_number()) {
    return base::MakeError(Code::kInvalid, "size is not a number");
  }
  return Thing{object["metadata"]["name"], object["spec"]["size"]};
}

class InformerTest : public testing::Test {
 protected:
  InformerTest() {
    InformerOptions options;
    options.type = kThings;
    options.page_size = 2;
    options.first_backoff = std::chrono::milliseconds(100);
    options.max_backoff = std::chrono::milliseconds(400);
    informer_ = std::make_unique<Informer<Thing>>(options, client_, random_, ParseThing);
    informer_->SetOnChange([this](const kube::ObjectKey& key, const Informer<Thing>::Ptr& before,
                                  const Informer<Thing>::Ptr& after) {
      std::lock_guard lock(mutex_);
      changes_.push_back(key.name + " " + (before ? std::to_string(before->size) : "-") + " " +
                         (after ? std::to_string(after->size) : "-"));
    });
    informer_->SetOnParseError([this](const kube::ObjectKey& key, const base::Error& error) {
      std::lock_guard lock(mutex_);
      changes_.push_back(key.name + " bad: " + error.message);
    });
  }
  ~InformerTest() override { informer_->Stop(); }

  std::vector<std::string> Changes() const {
    std::lock_guard lock(mutex_);
    return changes_;
  }
  int SizeOf(const std::string& name) const {
    const auto thing = informer_->Get({"ns", name});
    return thing ? thing->size : -1;
  }
  // Starts the thread and waits until its watch is open.
  void StartAndWatch() {
    informer_->Start(ctx_);
    ASSERT_TRUE(client_.WaitUntil([&] { return client_.RunningWatches() == 1; }));
  }
  void ListAll() {
    while (informer_->loop().state() == InformerLoop::State::kList) informer_->Step(ctx_);
  }

  fakes::FakeClock clock_;
  fakes::FixedRandom random_;
  fakes::MemoryApiClient client_;
  base::Context ctx_{clock_, {}};
  mutable std::mutex mutex_;
  std::vector<std::string> changes_;
  std::unique_ptr<Informer<Thing>> informer_;
};

TEST_F(InformerTest, ItHasSyncedOnlyAfterTheLastPage) {
  for (int i = 0; i < 5; ++i) client_.Put(kThings, ThingJson("t" + std::to_string(i), i));
  EXPECT_EQ(informer_->Step(ctx_), base::Duration(0));
  EXPECT_EQ(informer_->Step(ctx_), base::Duration(0));
  EXPECT_FALSE(informer_->HasSynced());
  EXPECT_EQ(informer_->Size(), 0u) << "half a list must not be shown";
  informer_->Step(ctx_);
  EXPECT_TRUE(informer_->HasSynced());
  EXPECT_EQ(informer_->Size(), 5u);
  EXPECT_EQ(SizeOf("t3"), 3);
  EXPECT_EQ(Changes().size(), 5u);
}

TEST_F(InformerTest, AnEmptyListIsSyncedToo) {
  informer_->Step(ctx_);
  EXPECT_TRUE(informer_->HasSynced());
  EXPECT_EQ(informer_->loop().state(), InformerLoop::State::kWatch);
}

TEST_F(InformerTest, ItFollowsWhatIsAddedChangedAndDeleted) {
  client_.Put(kThings, ThingJson("a", 1));
  StartAndWatch();
  client_.Put(kThings, ThingJson("b", 2));
  client_.Put(kThings, ThingJson("a", 3));
  client_.Remove(kThings, {"ns", "b"});
  ASSERT_TRUE(client_.WaitUntil([&] { return Changes().size() == 4; }));
  EXPECT_EQ(Changes(), (std::vector<std::string>{"a - 1", "b - 2", "a 1 3", "b 2 -"}));
  EXPECT_EQ(SizeOf("a"), 3);
  EXPECT_EQ(SizeOf("b"), -1);
}

TEST_F(InformerTest, AReaderKeepsTheObjectItHas) {
  client_.Put(kThings, ThingJson("a", 1));
  StartAndWatch();
  const auto mine = informer_->Get({"ns", "a"});
  client_.Put(kThings, ThingJson("a", 2));
  ASSERT_TRUE(client_.WaitUntil([&] { return SizeOf("a") == 2; }));
  EXPECT_EQ(mine->size, 1);
}

TEST_F(InformerTest, AWatchThatEndedGoesOnFromTheLastEvent) {
  StartAndWatch();
  client_.Put(kThings, ThingJson("a", 1));
  ASSERT_TRUE(client_.WaitUntil([&] { return SizeOf("a") == 1; }));
  client_.EndWatches(base::Ok());
  ASSERT_TRUE(client_.WaitUntil([&] { return client_.Calls("watch") == 2; }));
  client_.Put(kThings, ThingJson("b", 2));
  ASSERT_TRUE(client_.WaitUntil([&] { return SizeOf("b") == 2; }));
  EXPECT_EQ(client_.Calls("list"), 1);
  EXPECT_EQ(Changes(), (std::vector<std::string>{"a - 1", "b - 2"})) << "nothing is told twice";
}

TEST_F(InformerTest, ABrokenStreamIsResumedWithoutAList) {
  StartAndWatch();
  client_.EndWatches(base::MakeError(Code::kTransient, "connection reset"));
  client_.Put(kThings, ThingJson("a", 1));
  ASSERT_TRUE(client_.WaitUntil([&] { return SizeOf("a") == 1; }));
  EXPECT_EQ(client_.Calls("list"), 1);
}

TEST_F(InformerTest, ABookmarkSavesTheListAfterACompaction) {
  client_.Put(kThings, ThingJson("a", 1));
  StartAndWatch();
  client_.Compact();  // The version of the list is too old from now on.
  client_.SendBookmarks();
  client_.EndWatches(base::Ok());
  ASSERT_TRUE(client_.WaitUntil(
      [&] { return client_.Calls("watch") == 2 && client_.RunningWatches() == 1; }));
  EXPECT_EQ(client_.Calls("list"), 1);
}

TEST_F(InformerTest, AWatchTooFarBehindListsAnewAndTellsWhatItMissed) {
  client_.Put(kThings, ThingJson("gone", 1));
  client_.Put(kThings, ThingJson("same", 2));
  client_.Put(kThings, ThingJson("other", 3));
  ListAll();
  client_.Remove(kThings, {"ns", "gone"});
  client_.Put(kThings, ThingJson("other", 4));
  client_.Put(kThings, ThingJson("new", 5));
  client_.Compact();
  changes_.clear();
  EXPECT_EQ(informer_->Step(ctx_), base::Duration(0));
  EXPECT_EQ(informer_->loop().state(), InformerLoop::State::kList);
  EXPECT_EQ(SizeOf("same"), 2) << "the old store is shown until the new one is whole";
  ListAll();
  auto changes = Changes();
  std::sort(changes.begin(), changes.end());
  EXPECT_EQ(changes, (std::vector<std::string>{"gone 1 -", "new - 5", "other 3 4"}));
}

TEST_F(InformerTest, AnExpiredContinueTokenBeginsTheListAgain) {
  for (int i = 0; i < 5; ++i) client_.Put(kThings, ThingJson("t" + std::to_string(i), i));
  informer_->Step(ctx_);
  client_.Compact();
  client_.Remove(kThings, {"ns", "t0"});
  EXPECT_GT(informer_->Step(ctx_).count(), 0);
  ListAll();
  EXPECT_EQ(informer_->Size(), 4u);
  EXPECT_EQ(SizeOf("t0"), -1) << "the pages of the list that expired must not be kept";
}

TEST_F(InformerTest, FailuresBackOffAndARealEventEndsTheBackoff) {
  client_.SetFault(
      [](auto&, auto&, auto&) { return base::MakeError(Code::kTransient, "refused"); });
  EXPECT_EQ(informer_->Step(ctx_), base::Duration(100));
  EXPECT_EQ(informer_->Step(ctx_), base::Duration(200));
  EXPECT_EQ(informer_->Step(ctx_), base::Duration(400));
  EXPECT_EQ(informer_->Step(ctx_), base::Duration(400));
  client_.SetFault(nullptr);
  StartAndWatch();
  client_.Put(kThings, ThingJson("a", 1));
  ASSERT_TRUE(client_.WaitUntil([&] { return SizeOf("a") == 1; }));
  informer_->Stop();
  client_.SetFault(
      [](auto&, auto&, auto&) { return base::MakeError(Code::kTransient, "refused"); });
  EXPECT_EQ(informer_->Step(ctx_), base::Duration(100));
}

TEST_F(InformerTest, WatchesThatEndAtOnceAreBackedOff) {
  ListAll();
  client_.SetFault(
      [&](const std::string&, auto&, auto&) -> std::optional<base::Error> { return std::nullopt; });
  std::thread ender([&] {
    client_.WaitUntil([&] { return client_.RunningWatches() == 1; });
    client_.EndWatches(base::Ok());
  });
  EXPECT_EQ(informer_->Step(ctx_), base::Duration(100));
  ender.join();
}

TEST_F(InformerTest, AnObjectThatCannotBeParsedIsToldAndTheRestGoesOn) {
  client_.Put(kThings, ThingJson("bad", "big"));
  client_.Put(kThings, ThingJson("good", 1));
  StartAndWatch();
  EXPECT_EQ(SizeOf("good"), 1);
  EXPECT_EQ(informer_->Get({"ns", "bad"}), nullptr);
  client_.Put(kThings, ThingJson("bad", 7));
  ASSERT_TRUE(client_.WaitUntil([&] { return SizeOf("bad") == 7; }));
  client_.Put(kThings, ThingJson("bad", nullptr));
  ASSERT_TRUE(client_.WaitUntil([&] { return Changes().size() == 4; }));
  auto changes = Changes();
  std::sort(changes.begin(), changes.begin() + 2);
  EXPECT_EQ(changes, (std::vector<std::string>{"bad bad: size is not a number", "good - 1",
                                               "bad - 7", "bad bad: size is not a number"}));
}

TEST_F(InformerTest, AThreadThatIsGoneIsTold) {
  client_.Put(kThings, ThingJson("a", 1));
  std::promise<std::string> told;
  InformerOptions options;
  options.type = kThings;
  options.on_failure = [&](const std::string& what) { told.set_value(what); };
  Informer<Thing> informer(options, client_, random_, [](const json&) -> base::Result<Thing> {
    throw std::runtime_error("a bug of the parser");
  });
  informer.Start(ctx_);
  auto what = told.get_future();
  ASSERT_EQ(what.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(what.get(), "thread 'informer' ended with an exception: a bug of the parser");
  informer.Stop();
}

TEST_F(InformerTest, StopEndsAQuietWatchAtOnce) {
  StartAndWatch();
  informer_->Stop();
  EXPECT_EQ(client_.RunningWatches(), 0);
}

TEST_F(InformerTest, TheTokenOfItsContextStopsItToo) {
  std::stop_source stop;
  informer_->Start(ctx_.WithStop(stop.get_token()));
  ASSERT_TRUE(client_.WaitUntil([&] { return client_.RunningWatches() == 1; }));
  stop.request_stop();
  EXPECT_TRUE(client_.WaitUntil([&] { return client_.RunningWatches() == 0; }));
}

}  // namespace
}  // namespace oms::runtime
