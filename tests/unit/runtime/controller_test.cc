#include "controller/runtime/controller.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <stdexcept>
#include <thread>

#include "tests/fakes/fake_clock.h"
#include "tests/unit/runtime/fixed_random.h"

namespace oms::runtime {
namespace {

using base::Code;
using std::chrono::seconds;

const kube::ObjectKey kA{"ns", "a"};

class FunctionReconciler final : public Reconciler {
 public:
  using Function = std::function<base::Result<Outcome>(const base::Context&, const Request&)>;
  explicit FunctionReconciler(Function function) : function_(std::move(function)) {}
  base::Result<Outcome> Reconcile(const base::Context& ctx, const Request& request) override {
    return function_(ctx, request);
  }

 private:
  Function function_;
};

class ControllerTest : public testing::Test {
 protected:
  // Takes kA from the queue and lets the controller process it with this answer.
  void ProcessWith(FunctionReconciler::Function function) {
    FunctionReconciler reconciler(std::move(function));
    Controller::Options options{"c", 1, seconds(0),
                                [this](const base::Error& error) { fenced_ = error.message; }};
    Controller controller(options, reconciler, queue_, &metrics_);
    queue_.Add(kA);
    ASSERT_EQ(queue_.TryGet(), kA);
    controller.Process(ctx_, kA);
  }
  void ProcessWith(base::Result<Outcome> result) {
    ProcessWith([result](const base::Context&, const Request&) { return result; });
  }
  double Total(const char* result) {
    return metrics_.Counter("controller_runtime_reconcile_total", "").Value({"c", result});
  }
  double Count(const char* name) { return metrics_.Counter(name, "").Value({"c"}); }

  fakes::FakeClock clock_;
  fakes::FixedRandom random_;
  Registry metrics_;
  WorkQueue queue_{{"q", seconds(1), seconds(60)}, clock_, random_};
  base::Context ctx_{clock_, {}};
  std::string fenced_;
};

TEST_F(ControllerTest, DoneIsForgottenUntilSomethingChanges) {
  queue_.AddRateLimited(kA);
  ProcessWith(Outcome::Done());
  EXPECT_EQ(queue_.Failures(kA), 0);
  EXPECT_EQ(Total("success"), 1);
  clock_.Advance(seconds(1));
  EXPECT_EQ(queue_.TryGet(), kA) << "the delayed one from before";
  queue_.Done(kA);
  clock_.Advance(std::chrono::hours(1));
  EXPECT_EQ(queue_.TryGet(), std::nullopt);
}

TEST_F(ControllerTest, AfterComesBackThenAndNotEarlier) {
  ProcessWith(Outcome::After(seconds(10)));
  clock_.Advance(seconds(9));
  EXPECT_EQ(queue_.TryGet(), std::nullopt);
  clock_.Advance(seconds(1));
  EXPECT_EQ(queue_.TryGet(), kA);
  EXPECT_EQ(Total("requeue_after"), 1);
}

TEST_F(ControllerTest, ErrorsThatMayPassAreTriedAgainWithBackoff) {
  for (const Code code :
       {Code::kTransient, Code::kTimeout, Code::kConflict, Code::kNotFound, Code::kAlreadyExists,
        Code::kExpired, Code::kDenied, Code::kInternal, Code::kCancelled}) {
    queue_.Forget(kA);
    ProcessWith(base::MakeError(code, "x"));
    EXPECT_EQ(queue_.TryGet(), std::nullopt) << ToString(code);
    clock_.Advance(seconds(1));
    EXPECT_EQ(queue_.TryGet(), kA) << ToString(code);
    queue_.Done(kA);
  }
  EXPECT_EQ(Count("controller_runtime_reconcile_errors_total"), 9);
}

TEST_F(ControllerTest, ErrorsThatNeedAPersonAreNotTriedAgain) {
  for (const Code code : {Code::kInvalid, Code::kTerminal}) {
    ProcessWith(base::MakeError(code, "x"));
    clock_.Advance(std::chrono::hours(1));
    EXPECT_EQ(queue_.TryGet(), std::nullopt) << ToString(code);
    EXPECT_EQ(queue_.Failures(kA), 0);
  }
  EXPECT_EQ(Count("controller_runtime_terminal_reconcile_errors_total"), 2);
}

TEST_F(ControllerTest, AnExceptionIsCountedAndTriedAgain) {
  ProcessWith([](auto&, auto&) -> base::Result<Outcome> { throw std::runtime_error("bug"); });
  ProcessWith([](auto&, auto&) -> base::Result<Outcome> { throw 7; });
  EXPECT_EQ(Count("controller_runtime_reconcile_panics_total"), 2);
  EXPECT_EQ(queue_.Failures(kA), 2);
}

TEST_F(ControllerTest, AFencedPassAsksTheProcessToExitAndIsNotTriedAgain) {
  ProcessWith(base::MakeError(Code::kFenced, "another owns it"));
  EXPECT_EQ(fenced_, "another owns it");
  clock_.Advance(std::chrono::hours(1));
  EXPECT_EQ(queue_.TryGet(), std::nullopt);
}

TEST_F(ControllerTest, WithoutPermissionNothingIsReconciled) {
  ctx_ = ctx_.WithPermission([] { return false; });
  bool called = false;
  ProcessWith([&](auto&, auto&) {
    called = true;
    return Outcome::Done();
  });
  EXPECT_FALSE(called);
  EXPECT_FALSE(fenced_.empty());
}

TEST_F(ControllerTest, WhatIsCancelledByTheStopIsDropped) {
  std::stop_source stop;
  stop.request_stop();
  ctx_ = ctx_.WithStop(stop.get_token());
  ProcessWith(base::MakeError(Code::kCancelled, "stopping"));
  EXPECT_EQ(Count("controller_runtime_reconcile_errors_total"), 0);
}

TEST_F(ControllerTest, AKeyWokenDuringItsPassRunsAgain) {
  int passes = 0;
  ProcessWith([&](auto&, auto&) {
    ++passes;
    queue_.Add(kA);
    return Outcome::Done();
  });
  EXPECT_EQ(queue_.TryGet(), kA);
}

TEST_F(ControllerTest, WorkersRunUntilStoppedAndStopCancelsThePass) {
  base::SystemClock clock;
  WorkQueue queue({"real"}, clock, random_);
  std::atomic<bool> inside{false}, cancelled{false};
  FunctionReconciler reconciler([&](const base::Context& ctx, const Request&) {
    inside = true;
    inside.notify_all();
    while (!ctx.Stopped()) std::this_thread::yield();
    cancelled = true;
    return Outcome::Done();
  });
  Controller controller({"c", 2, seconds(0), nullptr}, reconciler, queue);
  controller.Start(base::Context(clock, {}));
  controller.Wake(kA);
  inside.wait(false);
  controller.Stop();
  EXPECT_TRUE(cancelled);
}

TEST_F(ControllerTest, AWorkerThatIsGoneIsTold) {
  base::SystemClock clock;
  WorkQueue queue({"real"}, clock, random_);
  FunctionReconciler reconciler(
      [](auto&, auto&) { return base::MakeError(Code::kFenced, "another owns it"); });
  std::promise<std::string> told;
  Controller::Options options;
  options.name = "c";
  options.on_fenced = [](const base::Error&) { throw std::runtime_error("boom"); };
  options.on_failure = [&](const std::string& what) { told.set_value(what); };
  Controller controller(options, reconciler, queue);
  controller.Start(base::Context(clock, {}));
  queue.Add(kA);
  auto what = told.get_future();
  ASSERT_EQ(what.wait_for(seconds(10)), std::future_status::ready);
  EXPECT_NE(what.get().find("boom"), std::string::npos);
  controller.Stop();
}

TEST_F(ControllerTest, WakeOvertakesTheDelay) {
  base::SystemClock clock;
  WorkQueue queue({"real"}, clock, random_);
  std::atomic<int> passes{0};
  FunctionReconciler reconciler([&](auto&, auto&) {
    ++passes;
    passes.notify_all();
    return Outcome::After(std::chrono::hours(1));
  });
  Controller controller({"c", 2, seconds(0), nullptr}, reconciler, queue);
  controller.Start(base::Context(clock, {}));
  queue.Add(kA);
  passes.wait(0);
  controller.Wake(kA);
  passes.wait(1);
  EXPECT_EQ(passes, 2);
}

}  // namespace
}  // namespace oms::runtime
