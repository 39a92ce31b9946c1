#include "controller/runtime/work_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/unit/runtime/fixed_random.h"

namespace oms::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const kube::ObjectKey kA{"ns", "a"};
const kube::ObjectKey kB{"ns", "b"};

class WorkQueueTest : public testing::Test {
 protected:
  fakes::FakeClock clock_;
  fakes::FixedRandom random_;
  Registry metrics_;
  WorkQueue queue_{{"q", seconds(1), seconds(10)}, clock_, random_, &metrics_};
};

TEST_F(WorkQueueTest, KeysComeInTheOrderTheyWereAdded) {
  queue_.Add(kB);
  queue_.Add(kA);
  EXPECT_EQ(queue_.TryGet(), kB);
  EXPECT_EQ(queue_.TryGet(), kA);
  EXPECT_EQ(queue_.TryGet(), std::nullopt);
}

TEST_F(WorkQueueTest, AKeyAddedTwiceIsGivenOnce) {
  queue_.Add(kA);
  queue_.Add(kA);
  EXPECT_EQ(queue_.Depth(), 1u);
  EXPECT_EQ(queue_.TryGet(), kA);
  EXPECT_EQ(queue_.TryGet(), std::nullopt);
}

TEST_F(WorkQueueTest, AKeyAddedWhileHeldIsGivenAgainOnlyAfterDone) {
  queue_.Add(kA);
  ASSERT_EQ(queue_.TryGet(), kA);
  queue_.Add(kA);
  queue_.Add(kA);
  EXPECT_EQ(queue_.TryGet(), std::nullopt);
  queue_.Done(kA);
  EXPECT_EQ(queue_.TryGet(), kA);
  queue_.Done(kA);
  EXPECT_EQ(queue_.TryGet(), std::nullopt);
}

TEST_F(WorkQueueTest, ADelayedKeyComesWhenItsTimeHasCome) {
  queue_.AddAfter(kA, seconds(3));
  clock_.Advance(milliseconds(2999));
  EXPECT_EQ(queue_.TryGet(), std::nullopt);
  clock_.Advance(milliseconds(1));
  EXPECT_EQ(queue_.TryGet(), kA);
}

TEST_F(WorkQueueTest, OfTwoDelaysTheEarlierHoldsWhicheverCameFirst) {
  queue_.AddAfter(kA, seconds(30));
  queue_.AddAfter(kA, seconds(3));
  queue_.AddAfter(kB, seconds(3));
  queue_.AddAfter(kB, seconds(30));
  clock_.Advance(seconds(3));
  EXPECT_EQ(queue_.TryGet(), kA);
  EXPECT_EQ(queue_.TryGet(), kB);
  queue_.Done(kA);
  queue_.Done(kB);
  clock_.Advance(seconds(60));
  EXPECT_EQ(queue_.TryGet(), std::nullopt);
}

TEST_F(WorkQueueTest, ADelayThatIsOverIsQueuedAtOnce) {
  queue_.AddAfter(kA, seconds(0));
  EXPECT_EQ(queue_.TryGet(), kA);
}

TEST_F(WorkQueueTest, AWakeUpOvertakesADelay) {
  queue_.AddAfter(kA, seconds(30));
  queue_.Add(kA);
  EXPECT_EQ(queue_.TryGet(), kA);
}

TEST_F(WorkQueueTest, ADelayThatEndsWhileTheKeyIsHeldIsNotLost) {
  queue_.Add(kA);
  ASSERT_EQ(queue_.TryGet(), kA);
  queue_.AddAfter(kA, seconds(1));
  clock_.Advance(seconds(2));
  EXPECT_EQ(queue_.TryGet(), std::nullopt);
  queue_.Done(kA);
  EXPECT_EQ(queue_.TryGet(), kA);
}

TEST_F(WorkQueueTest, FailuresWaitTwiceAsLongEachTimeUpToTheLimit) {
  for (const int wait : {1, 2, 4, 8, 10, 10}) {
    queue_.AddRateLimited(kA);
    clock_.Advance(seconds(wait) - milliseconds(1));
    EXPECT_EQ(queue_.TryGet(), std::nullopt) << wait;
    clock_.Advance(milliseconds(1));
    EXPECT_EQ(queue_.TryGet(), kA) << wait;
    queue_.Done(kA);
  }
  EXPECT_EQ(queue_.Failures(kA), 6);
}

TEST_F(WorkQueueTest, ForgetBeginsTheBackoffAnew) {
  queue_.AddRateLimited(kA);
  queue_.AddRateLimited(kA);
  queue_.Forget(kA);
  EXPECT_EQ(queue_.Failures(kA), 0);
}

TEST_F(WorkQueueTest, OneKeysFailuresDoNotSlowAnother) {
  for (int i = 0; i < 5; ++i) queue_.AddRateLimited(kA);
  queue_.AddRateLimited(kB);
  clock_.Advance(seconds(1));
  EXPECT_EQ(queue_.TryGet(), kA);  // Its first and earliest.
  EXPECT_EQ(queue_.TryGet(), kB);
}

TEST_F(WorkQueueTest, AShutDownQueueGivesNothingAndTakesNothing) {
  queue_.Add(kA);
  queue_.ShutDown();
  queue_.Add(kB);
  queue_.AddAfter(kB, seconds(1));
  clock_.Advance(seconds(2));
  EXPECT_EQ(queue_.Get({}), std::nullopt);
}

TEST_F(WorkQueueTest, AWaitingWorkerEndsWhenToldToStop) {
  std::stop_source stop;
  std::thread worker([&] { EXPECT_EQ(queue_.Get(stop.get_token()), std::nullopt); });
  stop.request_stop();
  worker.join();
}

TEST_F(WorkQueueTest, AWaitingWorkerIsWokenByAnAdd) {
  std::thread worker([&] { EXPECT_EQ(queue_.Get({}), kA); });
  queue_.Add(kA);
  worker.join();
}

TEST_F(WorkQueueTest, AWaitingWorkerIsWokenByADelay) {
  base::SystemClock clock;
  WorkQueue queue({"real"}, clock, random_);
  std::thread worker([&] { EXPECT_EQ(queue.Get({}), kA); });
  queue.AddAfter(kB, std::chrono::hours(1));
  queue.AddAfter(kA, milliseconds(5));
  worker.join();
}

TEST_F(WorkQueueTest, AKeyIsNeverHeldByTwoWorkersAndNoWakeUpIsLost) {
  constexpr int kKeys = 5, kRounds = 400, kWorkers = 4;
  std::vector<std::atomic<int>> holders(kKeys), wanted(kKeys), seen(kKeys);
  std::stop_source stop;
  std::vector<std::thread> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.emplace_back([&] {
      while (const auto key = queue_.Get(stop.get_token())) {
        const size_t i = static_cast<size_t>(key->name[0] - '0');
        EXPECT_EQ(holders[i].fetch_add(1), 0);
        seen[i] = wanted[i].load();
        holders[i].fetch_sub(1);
        queue_.Done(*key);
      }
    });
  }
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < kKeys; ++i) {
      ++wanted[i];
      queue_.Add({"ns", std::to_string(i)});
    }
  }
  const auto deadline = std::chrono::steady_clock::now() + seconds(20);
  for (size_t i = 0; i < kKeys; ++i) {
    while (seen[i] != kRounds && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    EXPECT_EQ(seen[i], kRounds) << "a worker must see the last wake-up of key " << i;
  }
  stop.request_stop();
  for (auto& worker : workers) worker.join();
}

TEST_F(WorkQueueTest, TheMetricsHaveClientGosNames) {
  queue_.Add(kA);
  queue_.Add(kB);
  clock_.Advance(seconds(2));
  ASSERT_EQ(queue_.TryGet(), kA);
  clock_.Advance(seconds(3));
  queue_.AddRateLimited(kA);
  const std::string text = metrics_.Text();
  for (const char* line : {
           "workqueue_depth{name=\"q\",controller=\"q\"} 1\n",
           "workqueue_adds_total{name=\"q\",controller=\"q\"} 2\n",
           "workqueue_retries_total{name=\"q\",controller=\"q\"} 1\n",
           "workqueue_queue_duration_seconds_sum{name=\"q\",controller=\"q\"} 2\n",
           "workqueue_unfinished_work_seconds{name=\"q\",controller=\"q\"} 3\n",
           "workqueue_longest_running_processor_seconds{name=\"q\",controller=\"q\"} 3\n",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

}  // namespace
}  // namespace oms::runtime
