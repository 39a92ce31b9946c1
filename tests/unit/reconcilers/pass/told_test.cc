#include "reconcilers/pass/told.h"

#include <gtest/gtest.h>

namespace oms::pass {
namespace {

using Kind = decide::Decision::Kind;
using show::DowntimeLevel;

decide::Decision Of(Kind kind, const char* reason) {
  return {kind, model::Step::kPreflight, reason, "a message"};
}

TEST(Told, ThatAResourceIsHeldUpIsNewsOnceForEachReason) {
  Told told;
  EXPECT_TRUE(told.IsNews(Of(Kind::kStall, "ScriptFailed")));
  EXPECT_FALSE(told.IsNews(Of(Kind::kStall, "ScriptFailed")));
  EXPECT_TRUE(told.IsNews(Of(Kind::kHold, "Suspended")));
  EXPECT_TRUE(told.IsNews(Of(Kind::kStall, "ScriptFailed")));
}

TEST(Told, WhatGoesOnIsNoNewsAndMakesTheSameReasonNewsAgain) {
  Told told;
  EXPECT_TRUE(told.IsNews(Of(Kind::kStall, "ScriptFailed")));
  EXPECT_FALSE(told.IsNews(Of(Kind::kWait, "Progressing")));
  EXPECT_TRUE(told.IsNews(Of(Kind::kStall, "ScriptFailed")));
}

TEST(Told, ADowntimeThatRisesIsNewsAndOneThatFallsIsNot) {
  Told told;
  EXPECT_FALSE(told.IsNews(DowntimeLevel::kWell));
  EXPECT_TRUE(told.IsNews(DowntimeLevel::kNear));
  EXPECT_FALSE(told.IsNews(DowntimeLevel::kNear));
  EXPECT_TRUE(told.IsNews(DowntimeLevel::kOver));
  EXPECT_FALSE(told.IsNews(DowntimeLevel::kWell));
  EXPECT_TRUE(told.IsNews(DowntimeLevel::kOver));
}

TEST(Told, HaThatSomebodyHasSwitchedOffIsNewsUntilItWasSeenToBeOn) {
  Told told;
  EXPECT_FALSE(told.IsNewsThatHaIs(false));
  EXPECT_TRUE(told.IsNewsThatHaIs(true));
  EXPECT_FALSE(told.IsNewsThatHaIs(true));
  EXPECT_FALSE(told.IsNewsThatHaIs(std::nullopt));
  EXPECT_FALSE(told.IsNewsThatHaIs(true));
  EXPECT_FALSE(told.IsNewsThatHaIs(false));
  EXPECT_TRUE(told.IsNewsThatHaIs(true));
}

}  // namespace
}  // namespace oms::pass
