#include "controller/kube/credentials.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "tests/unit/kube/plugin_fixture.h"

namespace oms::kube {
namespace {

using base::Code;
using std::chrono::seconds;

// The plug-in answers what is in the file `answer`, fails without one, and waits while there is a
// file `hold`.
class CredentialsTest : public PluginTest {
 protected:
  void PluginFromFiles() {
    Plugin("echo x >> $D/calls; while [ -e $D/hold ]; do sleep 0.02; done; cat $D/answer\n");
  }
  void AnswerWith(const std::string& token, const std::string& expires) {
    Write("answer", Credential(token, ",\"expirationTimestamp\":\"" + expires + "\""));
  }
  size_t Calls() const { return Read("calls").size() / 2; }
  // Whether the thread is there that runs the plug-in.
  static bool Runs() {
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      if (std::ifstream(thread.path() / "comm") >> name && name == "exec-plugin") return true;
    }
    return false;
  }
  static bool Eventually(const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(20);
    while (!holds() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return holds();
  }

  base::SystemClock real_;
};

TEST_F(CredentialsTest, ThePluginsAnswerIsKeptUntilItEndsOrIsRefused) {
  Plugin("echo x >> $D/calls\n" + Answer("t", ",\"expirationTimestamp\":\"2026-01-02T04:00:00Z\""));
  Credentials credentials(config_);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(credentials.Token(ctx_).ok());
  EXPECT_EQ(Read("calls"), "x\n");
  EXPECT_TRUE(credentials.Refresh("t"));
  EXPECT_TRUE(credentials.Token(ctx_).ok());
  EXPECT_EQ(Read("calls"), "x\nx\n");
  clock_.Advance(std::chrono::hours(1));
  EXPECT_TRUE(credentials.Token(ctx_).ok());
  EXPECT_EQ(Read("calls"), "x\nx\nx\n");
}

TEST_F(CredentialsTest, WhoWaitsForThePluginDoesSoByTheirOwnContext) {
  PluginFromFiles();
  Write("answer", Credential("t"));
  Write("hold", "x");
  Credentials credentials(config_);
  const base::Context patient(real_, {});
  std::thread first([&] { EXPECT_EQ(credentials.Token(patient).value_or(""), "t"); });
  ASSERT_TRUE(Eventually([&] { return Calls() == 1; }));

  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(credentials.Token(patient.WithTimeout(base::Duration(100))).Is(Code::kTimeout));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(credentials.Token(patient.WithStop(stop.get_token())).Is(Code::kCancelled));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(20)) << "the plug-in still runs";

  Remove("hold");
  first.join();
  EXPECT_EQ(Calls(), 1u);
}

TEST_F(CredentialsTest, WhoGivesUpDoesNotEndThePluginForTheOthers) {
  PluginFromFiles();
  Write("answer", Credential("t"));
  Write("hold", "x");
  Credentials credentials(config_);
  const base::Context patient(real_, {});
  EXPECT_TRUE(credentials.Token(patient.WithTimeout(base::Duration(50))).Is(Code::kTimeout));
  Remove("hold");
  EXPECT_EQ(credentials.Token(patient).value_or(""), "t");
  EXPECT_EQ(Calls(), 1u) << "a slow plug-in would never get to its end";
}

TEST_F(CredentialsTest, TheOldTokenServesWhileTheNextIsFetched) {
  PluginFromFiles();
  AnswerWith("old", "2026-01-02T04:00:00Z");
  Credentials credentials(config_);
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "old");
  AnswerWith("new", "2026-01-02T05:00:00Z");
  Write("hold", "x");
  clock_.Advance(std::chrono::minutes(38));  // 75 s are left.
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "old") << "and not a wait for the plug-in";
  ASSERT_TRUE(Eventually([&] { return Calls() == 2; }));
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "old");
  Remove("hold");
  EXPECT_TRUE(Eventually([&] { return credentials.Token(ctx_).value_or("") == "new"; }));
  EXPECT_EQ(Calls(), 2u);
}

TEST_F(CredentialsTest, ARenewalThatFailsLeavesTheOldTokenInUseAndIsTriedAgain) {
  PluginFromFiles();
  AnswerWith("old", "2026-01-02T04:00:00Z");
  Credentials credentials(config_);
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "old");
  Remove("answer");
  clock_.Advance(std::chrono::minutes(38));
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "old");
  ASSERT_TRUE(Eventually([&] { return Calls() == 2 && !Runs(); }));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(credentials.Token(ctx_).value_or(""), "old");
  EXPECT_FALSE(Runs()) << "a pause follows its failure, however often it is asked for";
  EXPECT_EQ(Calls(), 2u);
  AnswerWith("new", "2026-01-02T05:00:00Z");
  clock_.Advance(seconds(10));
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "old");
  EXPECT_TRUE(Eventually([&] { return credentials.Token(ctx_).value_or("") == "new"; }));
  EXPECT_EQ(Calls(), 3u);
}

TEST_F(CredentialsTest, AShortLifeIsNotSpentOnRenewals) {
  PluginFromFiles();
  AnswerWith("short", "2026-01-02T03:21:35Z");  // 50 s.
  Credentials credentials(config_);
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "short");
  clock_.Advance(seconds(39));
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "short");
  EXPECT_EQ(Calls(), 1u);
  clock_.Advance(seconds(2));
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "short");
  EXPECT_TRUE(Eventually([&] { return Calls() == 2; }));
}

TEST_F(CredentialsTest, WhatHasEndedBeforeItCameIsUsedOnce) {
  // The clocks of the two hosts differ. The server decides.
  PluginFromFiles();
  AnswerWith("t", "2026-01-02T03:00:00Z");
  Credentials credentials(config_);
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "t");
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "t");
  EXPECT_EQ(Calls(), 2u);
}

TEST_F(CredentialsTest, ARefusedTokenIsNotUsedAgainAlsoIfThePluginFails) {
  PluginFromFiles();
  AnswerWith("old", "2026-01-02T04:00:00Z");
  Credentials credentials(config_);
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "old");
  Remove("answer");
  EXPECT_TRUE(credentials.Refresh("old"));
  EXPECT_TRUE(credentials.Token(ctx_).Is(Code::kDenied));
}

TEST_F(CredentialsTest, ATokenFileIsReadAgainWhenItChangesOrAMinuteHasPassed) {
  const auto file = directory_ / "token";
  config_.token_file = file.string();
  Credentials credentials(config_);
  EXPECT_TRUE(credentials.Token(ctx_).Is(Code::kDenied));
  std::ofstream(file) << "one\n";
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "one");
  const auto mtime = std::filesystem::last_write_time(file);

  std::ofstream(file) << "two\n";
  std::filesystem::last_write_time(file, mtime + seconds(1));
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "two");

  std::ofstream(file) << "three\n";
  std::filesystem::last_write_time(file, mtime + seconds(1));
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "two");
  clock_.Advance(seconds(61));
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "three");

  std::ofstream(file) << "four\n";
  std::filesystem::last_write_time(file, mtime + seconds(1));
  EXPECT_TRUE(credentials.Refresh("two"));
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "three") << "that one is gone already";
  EXPECT_TRUE(credentials.Refresh("three"));
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "four");

  std::filesystem::remove(file);
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "four") << "in the middle of a rotation";
}

TEST_F(CredentialsTest, AnInlineTokenCannotBeRefreshed) {
  config_.token = "t";
  Credentials credentials(config_);
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "t");
  EXPECT_FALSE(credentials.Refresh("t"));
}

}  // namespace
}  // namespace oms::kube
