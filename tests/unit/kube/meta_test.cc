#include "controller/kube/meta.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "controller/kube/api_client.h"

namespace oms::kube {
namespace {

using nlohmann::json;

TEST(ObjectKey, IsWrittenWithItsNamespaceIfItHasOne) {
  EXPECT_EQ((ObjectKey{"ns", "a"}).ToString(), "ns/a");
  EXPECT_EQ((ObjectKey{"", "a"}).ToString(), "a");
}

TEST(ObjectKey, NamespaceAndNameAreNotMixedUpByTheHash) {
  const std::unordered_set<ObjectKey> keys = {{"a", "b"}, {"b", "a"}, {"", "ab"}, {"ab", ""}};
  EXPECT_EQ(keys.size(), 4u);
  EXPECT_NE(std::hash<ObjectKey>()({"a", "b"}), std::hash<ObjectKey>()({"b", "a"}));
}

TEST(ResourceType, IsWrittenWithItsGroup) {
  EXPECT_EQ((ResourceType{"", "v1", "events"}).ToString(), "events.v1");
  EXPECT_EQ((ResourceType{"apps", "v1", "deployments"}).ToString(), "deployments.v1.apps");
}

TEST(ObjectMeta, SurvivesTheWayThroughJson) {
  const json object = json::parse(R"({"metadata": {
    "name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "7", "generation": 3,
    "annotations": {"k": "v"}, "labels": {"l": "w"}, "finalizers": ["f"],
    "deletionTimestamp": "2026-01-02T03:04:05Z", "creationTimestamp": "2026-01-01T00:00:00Z",
    "managedFields": [{}]}})");
  const auto meta = ParseMeta(object);
  ASSERT_TRUE(meta.ok());
  EXPECT_EQ(meta->Key(), (ObjectKey{"ns", "a"}));
  EXPECT_EQ(meta->generation, 3);
  EXPECT_EQ(meta->finalizers, std::vector<std::string>{"f"});
  ASSERT_TRUE(meta->deletion_timestamp.has_value());
  json expected = object["metadata"];
  expected.erase("managedFields");
  EXPECT_EQ(ToJson(*meta), expected);
  EXPECT_EQ(*ParseMeta({{"metadata", ToJson(*meta)}}), *meta);
}

TEST(ObjectMeta, NullsAreAbsentAndWrongTypesAreRefused) {
  EXPECT_TRUE(ParseMeta({{"metadata", {{"name", "a"}, {"annotations", nullptr}}}}).ok());
  for (const char* bad :
       {R"({})", R"({"metadata": 7})", R"({"metadata": {"namespace": "ns"}})",
        R"({"metadata": {"name": 7}})", R"({"metadata": {"name": "a", "generation": "1"}})",
        R"({"metadata": {"name": "a", "labels": {"x": 1}}})",
        R"({"metadata": {"name": "a", "finalizers": "f"}})",
        R"({"metadata": {"name": "a", "deletionTimestamp": "yesterday"}})"}) {
    EXPECT_TRUE(ParseMeta(json::parse(bad)).Is(base::Code::kInvalid)) << bad;
  }
}

TEST(Condition, SurvivesTheWayThroughJson) {
  const json object = json::parse(R"({"type": "Ready", "status": "False", "reason": "R",
    "message": "m", "observedGeneration": 4, "lastTransitionTime": "2026-01-02T03:04:05Z"})");
  const auto condition = ParseCondition(object);
  ASSERT_TRUE(condition.ok());
  EXPECT_EQ(condition->status, ConditionStatus::kFalse);
  EXPECT_EQ(ToJson(*condition), object);
}

TEST(Condition, AnUnknownStatusWordIsRefused) {
  EXPECT_FALSE(ParseCondition({{"type", "Ready"}, {"status", "Maybe"}}).ok());
  EXPECT_FALSE(ParseCondition({{"status", "True"}}).ok());
  EXPECT_FALSE(ParseCondition("text").ok());
}

}  // namespace
}  // namespace oms::kube
