#include "controller/kube/exec_credential.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/fakes/fake_clock.h"

namespace oms::kube {
namespace {

using base::Code;
using std::chrono::seconds;

const char kV1[] = "client.authentication.k8s.io/v1";

TEST(ParseExecCredential, TakesTokenCertificateAndEnd) {
  const auto credential = ParseExecCredential(
      R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{
        "token":"t","clientCertificateData":"c","clientKeyData":"k",
        "expirationTimestamp":"2026-01-02T03:04:05Z"}})",
      kV1);
  ASSERT_TRUE(credential.ok());
  EXPECT_EQ(credential->token, "t");
  EXPECT_EQ(credential->certificate_pem, "c");
  EXPECT_EQ(base::FormatTime(*credential->expires), "2026-01-02T03:04:05Z");
}

TEST(ParseExecCredential, RefusesTheRestWithoutQuotingIt) {
  for (
      const char* bad :
      {"geheim", "[]", R"({"kind":"ExecCredential","status":{"token":"geheim"}})",
       R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"X","status":{"token":"geheim"}})",
       R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential"})",
       R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{}})",
       R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"clientKeyData":"geheim","token":"t"}})",
       R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"geheim","expirationTimestamp":"soon"}})"}) {
    const auto credential = ParseExecCredential(bad, kV1);
    ASSERT_TRUE(credential.Is(Code::kInvalid)) << bad;
    EXPECT_EQ(credential.error().message.find("geheim"), std::string::npos);
  }
}

class CredentialsTest : public testing::Test {
 protected:
  CredentialsTest() {
    directory_ =
        std::filesystem::temp_directory_path() / ("credentials-" + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
  }
  ~CredentialsTest() override { std::filesystem::remove_all(directory_); }

  // A plug-in of this script; $D is the test's folder.
  void Plugin(const std::string& script) {
    const auto path = directory_ / "plugin";
    std::ofstream(path) << "#!/bin/sh\nD=" << directory_.string() << "\n" << script;
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    config_.exec = ExecPlugin{kV1,  path.string(), {"one two", "$HOME"}, {{"EXTRA", "x y"}},
                              true, "install it"};
  }
  std::string Read(const char* name) const {
    std::ifstream in(directory_ / name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static std::string Answer(const std::string& token, const std::string& more = "") {
    return "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":"
           "\"ExecCredential\",\"status\":{\"token\":\"" +
           token + "\"" + more + "}}'\n";
  }

  std::filesystem::path directory_;
  fakes::FakeClock clock_;
  base::Context ctx_{clock_, {}};
  KubeConfig config_;
};

TEST_F(CredentialsTest, ThePluginGetsItsArgumentsAsTheyAreAndTheClusterInfo) {
  config_.server = "https://h:1";
  Plugin(
      "printf '%s|' \"$@\" > $D/args; echo \"$EXTRA\" > $D/env\n"
      "echo \"$KUBERNETES_EXEC_INFO\" > $D/info\n" +
      Answer("t"));
  EXPECT_EQ(Credentials(config_).Token(ctx_).value_or(""), "t");
  EXPECT_EQ(Read("args"), "one two|$HOME|");
  EXPECT_EQ(Read("env"), "x y\n");
  EXPECT_NE(Read("info").find("\"server\":\"https://h:1\""), std::string::npos);
}

TEST_F(CredentialsTest, ItsAnswerIsKeptUntilItEndsOrIsRefused) {
  // FakeClock's wall time begins at 2026-01-02T03:04:05Z plus 1000 s.
  Plugin("echo x >> $D/calls\n" + Answer("t", ",\"expirationTimestamp\":\"2026-01-02T04:00:00Z\""));
  Credentials credentials(config_);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(credentials.Token(ctx_).ok());
  EXPECT_EQ(Read("calls"), "x\n");
  EXPECT_TRUE(credentials.Refresh());
  EXPECT_TRUE(credentials.Token(ctx_).ok());
  EXPECT_EQ(Read("calls"), "x\nx\n");
  clock_.Advance(std::chrono::hours(1));
  EXPECT_TRUE(credentials.Token(ctx_).ok());
  EXPECT_EQ(Read("calls"), "x\nx\nx\n");
}

TEST_F(CredentialsTest, AFailureSaysItsExitCodeAndNothingOfItsOutput) {
  Plugin("echo geheim; echo geheim >&2; exit 7\n");
  const auto token = Credentials(config_).Token(ctx_);
  ASSERT_TRUE(token.Is(Code::kDenied));
  EXPECT_NE(token.error().message.find("exit code 7"), std::string::npos);
  EXPECT_EQ(token.error().message.find("geheim"), std::string::npos);
}

TEST_F(CredentialsTest, APluginThatDoesNotExistSaysHowToGetIt) {
  Plugin("");
  config_.exec->command = "/nowhere/login";
  const auto token = Credentials(config_).Token(ctx_);
  ASSERT_FALSE(token.ok());
  EXPECT_NE(token.error().message.find("install it"), std::string::npos);
}

TEST_F(CredentialsTest, APluginThatHangsIsKilledAtTheDeadline) {
  base::SystemClock clock;
  Plugin("echo $$ > $D/pid; sleep 600\n");
  const auto ctx = base::Context(clock, {}).WithTimeout(base::Duration(300));
  EXPECT_TRUE(Credentials(config_).Token(ctx).Is(Code::kTimeout));
  const int pid = std::atoi(Read("pid").c_str());
  ASSERT_GT(pid, 0);
  EXPECT_NE(kill(pid, 0), 0) << "it must not live on";
}

TEST_F(CredentialsTest, AStopEndsTheWaitForAPlugin) {
  base::SystemClock clock;
  std::stop_source stop;
  Plugin("echo x > $D/started; sleep 600\n");
  std::thread stopper([&] {
    while (Read("started").empty()) std::this_thread::yield();
    stop.request_stop();
  });
  EXPECT_TRUE(
      Credentials(config_).Token(base::Context(clock, {}, stop.get_token())).Is(Code::kCancelled));
  stopper.join();
}

TEST_F(CredentialsTest, ThePluginRunsWithoutOurBlockedSignals) {
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, &old);
  Plugin("grep SigBlk /proc/self/status > $D/mask\n" + Answer("t"));
  EXPECT_TRUE(Credentials(config_).Token(ctx_).ok());
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  EXPECT_EQ(Read("mask"), "SigBlk:\t0000000000000000\n");
}

TEST_F(CredentialsTest, ThePluginKeepsThePublicCasThatWeDoWithout) {
  // In a process of its own, since it changes the environment for good.
  EXPECT_EXIT(
      {
        setenv("SSL_CERT_FILE", "/public.pem", 1);
        unsetenv("SSL_CERT_DIR");
        HidePublicCas();
        const std::string now = getenv("SSL_CERT_FILE");
        Plugin("echo \"[$SSL_CERT_FILE|$SSL_CERT_DIR]\" > $D/cas\n" + Answer("t"));
        const bool ok = Credentials(config_).Token(ctx_).ok();
        _exit(ok && now == "/dev/null" && Read("cas") == "[/public.pem|]\n" ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
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
  EXPECT_TRUE(credentials.Refresh());
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "four");

  std::filesystem::remove(file);
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "four") << "in the middle of a rotation";
}

TEST_F(CredentialsTest, AnInlineTokenCannotBeRefreshed) {
  config_.token = "t";
  Credentials credentials(config_);
  EXPECT_EQ(credentials.Token(ctx_).value_or(""), "t");
  EXPECT_FALSE(credentials.Refresh());
}

}  // namespace
}  // namespace oms::kube
