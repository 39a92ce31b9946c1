#include "controller/cmd/wake.h"

#include <gtest/gtest.h>

#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>

#include "controller/runtime/informer.h"
#include "controller/runtime/work_queue.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_api_client.h"
#include "tests/unit/runtime/fixed_random.h"

namespace oms::cmd {
namespace {

using nlohmann::json;

crd::OmsUpgrade Resource() {
  crd::OmsUpgrade resource;
  resource.meta.ns = "ns";
  resource.meta.name = "oms";
  resource.meta.uid = "u1";
  resource.meta.resource_version = "7";
  resource.meta.generation = 3;
  resource.meta.annotations = {{crd::kResetAt, "then"}};
  resource.meta.labels = {{"team", "a"}};
  resource.meta.finalizers = {crd::kFinalizer};
  resource.status.observed_generation = 3;
  resource.status.message = "try 1 failed";
  resource.status.conditions = {{.type = "Ready"}, {.type = "Stalled"}};
  return resource;
}

TEST(IsWorthAPass, FollowsTheTable) {
  const struct {
    const char* what;
    std::function<void(crd::OmsUpgrade&)> change;
    bool worth;
  } table[] = {
      {"nothing but the version", [](auto& o) { o.meta.resource_version = "8"; }, false},
      {"our message", [](auto& o) { o.status.message = "try 2 failed"; }, false},
      {"our first look at an edit",
       [](auto& o) {
         o.status.observed_generation = 4;
         o.status.conditions[0].status = kube::ConditionStatus::kTrue;
         o.status.conditions.push_back({.type = "ImageLoaded"});
       },
       false},
      {"a label, which nothing here reads", [](auto& o) { o.meta.labels["team"] = "b"; }, false},
      {"an edit of the spec", [](auto& o) { o.meta.generation = 4; }, true},
      {"another token", [](auto& o) { o.meta.annotations[crd::kResetAt] = "now"; }, true},
      {"a token taken back", [](auto& o) { o.meta.annotations.clear(); }, true},
      {"a finalizer taken away", [](auto& o) { o.meta.finalizers.clear(); }, true},
      {"deletion", [](auto& o) { o.meta.deletion_timestamp = base::WallTime(); }, true},
      {"another object of this name", [](auto& o) { o.meta.uid = "u2"; }, true},
      {"an erased status", [](auto& o) { o.status = {}; }, true},
      {"a status from an older copy", [](auto& o) { o.status.observed_generation = 2; }, true},
      {"erased conditions", [](auto& o) { o.status.conditions.clear(); }, true},
  };
  for (const auto& row : table) {
    const crd::OmsUpgrade before = Resource();
    crd::OmsUpgrade after = before;
    row.change(after);
    EXPECT_EQ(IsWorthAPass(&before, &after), row.worth) << row.what;
  }
}

TEST(IsWorthAPass, WhatIsNewOrGoneIs) {
  const crd::OmsUpgrade resource = Resource();
  EXPECT_TRUE(IsWorthAPass(nullptr, &resource));
  EXPECT_TRUE(IsWorthAPass(&resource, nullptr));
}

// The informer and the queue as main.cc puts them together, with a pass that fails and says so in
// another way each time.
TEST(AFailingStep, IsTriedAgainAfterItsBackoffAndNotForItsOwnMessage) {
  const kube::ResourceType type{crd::kGroup, crd::kVersionName, crd::kPlural};
  const kube::ObjectKey key{"ns", "oms"};
  fakes::FakeClock clock;
  fakes::FixedRandom random;
  fakes::MemoryApiClient api;
  const base::Context ctx(clock, {});
  std::mutex mutex;
  std::string told;  // The version of which OnChange was told last.
  runtime::WorkQueue queue({"q", std::chrono::seconds(1)}, clock, random);
  runtime::Informer<crd::OmsUpgrade> informer({.type = type}, api, random, crd::FromJson);
  informer.SetOnChange([&](const kube::ObjectKey& changed, const auto& before, const auto& after) {
    if (IsWorthAPass(before.get(), after.get())) queue.Add(changed);
    std::lock_guard lock(mutex);
    told = after->meta.resource_version;
  });
  const auto was_told = [&](const std::string& version) {
    std::lock_guard lock(mutex);
    return version.empty() ? !told.empty() : told == version;
  };
  const auto write = [&](const json& status) {
    const auto written =
        api.Patch(ctx, type, key, kube::PatchType::kMerge, {{"status", status}}, "status");
    ASSERT_TRUE(written.ok()) << written.error().message;
    const std::string version = (*written)["metadata"]["resourceVersion"];
    ASSERT_TRUE(api.WaitUntil([&] { return was_told(version); }));
  };
  crd::Spec spec;
  spec.version = "4.3.1";
  spec.image.reference = "oms:4.3.1";
  spec.nodes = {{.name = "oms-1", .engine = {.endpoint = "unix:///s"}, .container = {"oms_430"}}};
  api.Put(type,
          {{"metadata", {{"namespace", "ns"}, {"name", "oms"}}}, {"spec", crd::SpecToJson(spec)}});
  informer.Start(ctx);
  ASSERT_TRUE(api.WaitUntil([&] { return was_told(""); }));

  for (int attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_EQ(queue.TryGet(), key) << attempt;
    write({{"observedGeneration", 1}, {"message", "try " + std::to_string(attempt)}});
    queue.AddRateLimited(key);
    queue.Done(key);
    EXPECT_EQ(queue.TryGet(), std::nullopt) << "its own message woke it";
    clock.Advance(std::chrono::seconds(1 << (attempt - 1)));
  }
  ASSERT_EQ(queue.TryGet(), key);
  queue.Done(key);
  write(nullptr);
  EXPECT_EQ(queue.TryGet(), key) << "an erased status is noticed at once";
  informer.Stop();
}

}  // namespace
}  // namespace oms::cmd
