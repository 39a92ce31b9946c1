#include "reconcilers/oms/ha_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace oms::product {
namespace {

using std::chrono::minutes;
using testing::HasSubstr;

// The documented defaults (oms/README.md), HA on.
constexpr char kDocumented[] =
    R"({"enable":true,"enableHost":false,"enableStore":true,"perceiveStoreClientCheckpoint":false,)"
    R"("enableConnector":true,"enableJdbcWriter":true,"subtopicStoreNumberThreshold":5,)"
    R"("checkRequestIntervalSec":600,"checkJdbcWriterIntervalSec":600,)"
    R"("checkHostDownIntervalSec":540,"checkModuleExceptionIntervalSec":240,)"
    R"("clearAbnormalResourceHours":72,"refetchStoreIntervalMin":30})";

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string Disabled(const std::string& raw) {
  const auto text = DisableHa(raw);
  EXPECT_TRUE(text.ok()) << raw;
  return text.ok() ? *text : text.error().message;
}

std::string Enabled(const std::string& raw, const HaPolicy& policy = {}) {
  const auto text = EnableHa(raw, policy);
  EXPECT_TRUE(text.ok()) << raw;
  return text.ok() ? *text : text.error().message;
}

TEST(HaConfig, KnowsAnIncrSyncThatOnlyTheOldGuardWatches) {
  const auto unguarded = [](const char* raw) { return ReadHa(raw)->connector_unguarded; };
  EXPECT_FALSE(unguarded(kDocumented));
  EXPECT_FALSE(unguarded("{}")) << "both are on by default";
  EXPECT_TRUE(unguarded(R"({"enableConnector":false})"));
  EXPECT_TRUE(unguarded(R"({"enableConnector":"false","enableJdbcWriter":true})"));
  EXPECT_FALSE(unguarded(R"({"enableConnector":false,"enableJdbcWriter":false})"));
  EXPECT_FALSE(unguarded(R"({"enableConnector":7})")) << "no number of ours hangs on it";
}

TEST(HaConfig, ReadsTheSwitchAndWhatBelongsToIt) {
  const auto state = ReadHa(kDocumented);
  ASSERT_TRUE(state.ok());
  EXPECT_TRUE(state->enabled);
  EXPECT_FALSE(state->perceive);
  EXPECT_EQ(state->refetch_minutes, 30);
}

TEST(HaConfig, KeysThatAreMissingHaveTheirDocumentedDefaults) {
  const auto state = ReadHa("{}");
  ASSERT_TRUE(state.ok());
  EXPECT_FALSE(state->enabled);
  EXPECT_FALSE(state->perceive);
  EXPECT_EQ(state->refetch_minutes, 30);
}

TEST(HaConfig, DisablingChangesOneWordOnly) {
  EXPECT_EQ(Disabled(kDocumented), Replaced(kDocumented, "\"enable\":true", "\"enable\":false"));
}

TEST(HaConfig, DisablingWhatIsOffChangesNoByte) {
  for (const char* raw : {"{}", R"({ "enable" : false , "x":1})", R"({"enable":null})"}) {
    EXPECT_EQ(Disabled(raw), raw);
  }
}

TEST(HaConfig, EnablingTheOriginalAddsOnlyWhatTheGuideAsksFor) {
  EXPECT_EQ(Enabled(kDocumented), Replaced(kDocumented, "\"perceiveStoreClientCheckpoint\":false",
                                           "\"perceiveStoreClientCheckpoint\":true"));
}

TEST(HaConfig, UnknownKeysOrderNumbersAndSpacesStay) {
  const std::string raw =
      "{\n  \"zeta\": 1.50,\n  \"enable\" : true ,\n  \"big\": 123456789012345678901234567890,\n"
      "  \"exp\": 1e3, \"nested\": {\"enable\": true, \"list\": [1, {\"enable\": true}]},\n"
      "  \"text\": \"say \\\"enable\\\": true, \\u00e9 \\/\",\n  \"alpha\": null\n}\n";
  EXPECT_EQ(Disabled(raw), Replaced(raw, "\"enable\" : true", "\"enable\" : false"));
}

TEST(HaConfig, AKeyThatIsMissingIsAddedInTheTextsOwnManner) {
  EXPECT_EQ(Enabled(R"({"enable":true,"x":1})"),
            R"({"enable":true,"x":1,"perceiveStoreClientCheckpoint":true})");
  EXPECT_EQ(Enabled("{\n  \"enable\": true,\n  \"x\": 1\n}"),
            "{\n  \"enable\": true,\n  \"x\": 1,\n  \"perceiveStoreClientCheckpoint\": true\n}");
  EXPECT_EQ(Enabled("{}"), R"({"enable":true,"perceiveStoreClientCheckpoint":true})");
  EXPECT_EQ(Enabled("{ }"), R"({"enable":true,"perceiveStoreClientCheckpoint":true })");
  EXPECT_EQ(Enabled(R"({"x": 1})"),
            R"({"x": 1,"enable": true,"perceiveStoreClientCheckpoint": true})");
}

TEST(HaConfig, WithoutPerceivingTheIntervalCoversTheDowntime) {
  EXPECT_EQ(
      Enabled(kDocumented, {false, minutes(95)}),
      Replaced(kDocumented, "\"refetchStoreIntervalMin\":30", "\"refetchStoreIntervalMin\":95"));
}

TEST(HaConfig, AnIntervalThatIsLongEnoughStays) {
  const std::string raw = Replaced(kDocumented, "IntervalMin\":30", "IntervalMin\":600");
  EXPECT_EQ(Enabled(raw, {false, minutes(95)}), raw);
  EXPECT_EQ(Enabled(R"({"enable":true})", {false, minutes(20)}), R"({"enable":true})")
      << "30 is the default";
}

TEST(HaConfig, PerceivingIsTakenBackWhereTheUserWantsItFalse) {
  EXPECT_EQ(Enabled(R"({"enable":true,"perceiveStoreClientCheckpoint":true})", {false, {}}),
            R"({"enable":true,"perceiveStoreClientCheckpoint":false})");
}

TEST(HaConfig, AValueThatIsAStringWithJsonInItStaysOne) {
  const std::string raw = R"("{\"enable\":true,\"own\":[1,2]}")";
  EXPECT_TRUE(ReadHa(raw)->enabled);
  EXPECT_EQ(Disabled(raw), R"("{\"enable\":false,\"own\":[1,2]}")");
  EXPECT_EQ(Disabled(R"("{\"enable\":false}")"), R"("{\"enable\":false}")");
}

TEST(HaConfig, FlagsAndNumbersThatAreStringsStayStrings) {
  const std::string raw =
      R"({"enable":"true","perceiveStoreClientCheckpoint":"false","refetchStoreIntervalMin":"30"})";
  EXPECT_EQ(Disabled(raw), Replaced(raw, "\"true\"", "\"false\""));
  EXPECT_EQ(Enabled(raw, {true, minutes(60)}),
            R"({"enable":"true","perceiveStoreClientCheckpoint":"true",)"
            R"("refetchStoreIntervalMin":"60"})");
}

TEST(HaConfig, KeysWrittenWithEscapesAreFound) {
  EXPECT_EQ(Disabled(R"({"en\u0061ble":true})"), R"({"en\u0061ble":false})");
}

TEST(HaConfig, ThereAndBackGivesTheOriginal) {
  const std::string raw = Replaced(kDocumented, "Checkpoint\":false", "Checkpoint\":true");
  EXPECT_EQ(Enabled(raw), raw);
  EXPECT_EQ(Enabled(Disabled(raw)), raw);
}

// Copied and compared by recursion, it took the stack and with it the process.
TEST(HaConfig, NestedWithoutEndIsRefusedByWord) {
  const std::string deep(100'000, '['), end(100'000, ']');
  const std::string in_string = R"("{\"enable\":true,\"x\":)" + deep + end + R"(}")";
  for (const std::string& raw :
       {R"({"enable":true,"x":)" + deep + end + "}", deep + end, deep, in_string}) {
    for (const auto& refused :
         {ReadHa(raw).ok() ? base::Status() : ReadHa(raw).error(),
          DisableHa(raw).ok() ? base::Status() : DisableHa(raw).error(),
          EnableHa(raw, {}).ok() ? base::Status() : EnableHa(raw, {}).error()}) {
      ASSERT_FALSE(refused.ok());
      EXPECT_EQ(refused.error().reason, "HAConfigInvalid");
      EXPECT_THAT(refused.error().message, HasSubstr("nested more than 64 levels deep"));
    }
  }
}

TEST(HaConfig, WhatCannotBeUnderstoodIsRefusedAndNotGuessedAt) {
  for (const char* raw :
       {"", "null", "[]", "true", "{", "{\"enable\":true}}", "\"text\"", "\"[1]\"",
        R"({"enable":1})", R"({"enable":"on"})", R"({"enable":true,"enable":false})",
        R"({"enable":true,"refetchStoreIntervalMin":-1})",
        R"({"enable":true,"refetchStoreIntervalMin":"soon"})",
        R"({"enable":true,"perceiveStoreClientCheckpoint":{}})"}) {
    const auto enabled = EnableHa(raw, {});
    ASSERT_FALSE(enabled.ok()) << raw;
    EXPECT_EQ(enabled.error().code, base::Code::kTerminal);
    EXPECT_EQ(enabled.error().reason, "HAConfigInvalid");
    EXPECT_THAT(enabled.error().message, HasSubstr("correct it in the console"));
    EXPECT_FALSE(ReadHa(raw).ok()) << raw;
  }
  EXPECT_FALSE(DisableHa("{").ok());
}

}  // namespace
}  // namespace oms::product
