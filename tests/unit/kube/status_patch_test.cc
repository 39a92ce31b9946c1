#include "controller/kube/status_patch.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace oms::kube {
namespace {

using nlohmann::json;

TEST(StatusPatch, EqualStatusesNeedNoWrite) {
  EXPECT_FALSE(StatusPatch(json::object(), json::object(), "1").has_value());
  EXPECT_FALSE(StatusPatch(nullptr, json::object(), "1").has_value());
  const json status = {{"a", 1}, {"list", {1, 2}}, {"o", {{"x", "y"}}}};
  EXPECT_FALSE(StatusPatch(status, status, "1").has_value());
  EXPECT_FALSE(StatusPatch({{"a", 1}}, {{"a", 1}, {"b", nullptr}}, "1").has_value());
}

TEST(StatusPatch, HoldsOnlyWhatDiffersAndTheVersionItIsBasedOn) {
  const json before = {{"same", 1},
                       {"changed", 1},
                       {"gone", 1},
                       {"list", {1, 2}},
                       {"deep", {{"same", 1}, {"changed", 1}, {"gone", 1}}}};
  const json after = {{"same", 1},
                      {"changed", 2},
                      {"new", 3},
                      {"list", {1}},
                      {"deep", {{"same", 1}, {"changed", 2}}}};
  EXPECT_EQ(*StatusPatch(before, after, "7"),
            json({{"metadata", {{"resourceVersion", "7"}}},
                  {"status",
                   {{"changed", 2},
                    {"gone", nullptr},
                    {"new", 3},
                    {"list", {1}},
                    {"deep", {{"changed", 2}, {"gone", nullptr}}}}}}));
  EXPECT_FALSE(StatusPatch(before, after, "")->contains("metadata"));
}

TEST(StatusPatch, AppliedToBeforeItGivesAfter) {
  const json values[] = {
      json::object(),
      {{"a", 1}},
      {{"a", {{"b", {{"c", 1}, {"d", json::array()}}}}}},
      {{"a", json::array({{{"type", "Ready"}}})}, {"b", "text"}},
      {{"a", json::object()}, {"c", false}},
      {{"a", {{"b", 2}}}, {"b", {{"x", 1}}}},
  };
  for (const json& before : values) {
    for (const json& after : values) {
      json patched = {{"status", before}};
      if (const auto patch = StatusPatch(before, after, "")) patched.merge_patch(*patch);
      EXPECT_EQ(patched["status"], after) << before << " -> " << after;
    }
  }
}

}  // namespace
}  // namespace oms::kube
