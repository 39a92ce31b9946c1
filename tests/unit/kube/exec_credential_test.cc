#include "controller/kube/exec_credential.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/unit/kube/plugin_fixture.h"

namespace oms::kube {
namespace {

using base::Code;
using nlohmann::json;

TEST(ParseExecCredential, TakesTokenCertificateAndEnd) {
  const auto credential = ParseExecCredential(
      R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{
        "token":"t","clientCertificateData":"c","clientKeyData":"k",
        "expirationTimestamp":"2026-01-02T03:04:05Z"}})",
      kExecV1);
  ASSERT_TRUE(credential.ok());
  EXPECT_EQ(credential->token, "t");
  EXPECT_EQ(credential->certificate_pem, "c");
  EXPECT_EQ(base::FormatTime(*credential->expires), "2026-01-02T03:04:05Z");
}

TEST(ParseExecCredential, TakesAnEndInAnotherTimeZone) {
  const auto credential = ParseExecCredential(
      R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{
        "token":"t","expirationTimestamp":"2026-01-02T11:04:05+08:00"}})",
      kExecV1);
  ASSERT_TRUE(credential.ok()) << credential.error().message;
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
    const auto credential = ParseExecCredential(bad, kExecV1);
    ASSERT_TRUE(credential.Is(Code::kInvalid)) << bad;
    EXPECT_EQ(credential.error().message.find("geheim"), std::string::npos);
  }
}

TEST_F(PluginTest, ThePluginGetsItsArgumentsAsTheyAreAndTheClusterInfo) {
  config_.server = "https://h:1";
  Plugin(
      "printf '%s|' \"$@\" > $D/args; echo \"$EXTRA\" > $D/env\n"
      "echo \"$KUBERNETES_EXEC_INFO\" > $D/info\n" +
      Answer("t"));
  EXPECT_EQ(RunExecPlugin(ctx_, config_).value_or({}).token, "t");
  EXPECT_EQ(Read("args"), "one two|$HOME|");
  EXPECT_EQ(Read("env"), "x y\n");
  EXPECT_NE(Read("info").find("\"server\":\"https://h:1\""), std::string::npos);
}

TEST_F(PluginTest, TheClusterInfoHasTheCaWhereverItIs) {
  const auto ca_told = [this](const std::string& ca) {
    Plugin("echo \"$KUBERNETES_EXEC_INFO\" > $D/info\n" + Answer("t"));
    config_.ca = {};
    if (ca.starts_with("/")) {
      config_.ca.file = ca;
    } else {
      config_.ca.inline_pem = ca;
    }
    const auto ran = RunExecPlugin(ctx_, config_);
    EXPECT_TRUE(ran.ok()) << ran.error().message;
    const json cluster = json::parse(Read("info"))["spec"]["cluster"];
    return cluster.value("certificate-authority-data", "none");
  };
  EXPECT_EQ(ca_told("A CA"), "QSBDQQ==");
  EXPECT_EQ(ca_told("the CA"), "dGhlIENB");
  EXPECT_EQ(ca_told("\xFF\xFE!"), "//4h");
  EXPECT_EQ(ca_told(""), "none");
  Write("ca.crt", "in a file");
  EXPECT_EQ(ca_told((directory_ / "ca.crt").string()), "aW4gYSBmaWxl");
}

TEST_F(PluginTest, ACaThatCannotBeReadIsAPassingError) {
  Plugin(Answer("t"));
  config_.ca.file = "/nowhere/ca.crt";
  EXPECT_TRUE(RunExecPlugin(ctx_, config_).Is(Code::kTransient));
}

TEST_F(PluginTest, AFailureSaysItsExitCodeAndNothingOfItsOutput) {
  Plugin("echo geheim; echo geheim >&2; exit 7\n");
  const auto token = RunExecPlugin(ctx_, config_);
  ASSERT_TRUE(token.Is(Code::kDenied));
  EXPECT_NE(token.error().message.find("exit code 7"), std::string::npos);
  EXPECT_EQ(token.error().message.find("geheim"), std::string::npos);
}

TEST_F(PluginTest, AnExitCodeIsNotTakenForASignal) {
  const auto told = [&](const std::string& ends) {
    Plugin(ends);
    return RunExecPlugin(ctx_, config_).error().message;
  };
  EXPECT_NE(told("exit 255\n").find("exit code 255"), std::string::npos);
  EXPECT_NE(told("kill -9 $$\n").find("was ended by signal 9"), std::string::npos);
}

TEST_F(PluginTest, APluginThatDoesNotExistSaysHowToGetIt) {
  Plugin("");
  config_.exec->command = "/nowhere/login";
  const auto token = RunExecPlugin(ctx_, config_);
  ASSERT_FALSE(token.ok());
  EXPECT_NE(token.error().message.find("install it"), std::string::npos);
}

TEST_F(PluginTest, APluginThatHangsIsKilledAtTheDeadline) {
  base::SystemClock clock;
  Plugin("echo $$ > $D/pid; sleep 600\n");
  int pid = 0;
  // On a busy machine it may not have begun by then.
  for (base::Duration limit(300); pid == 0; limit *= 2) {
    EXPECT_TRUE(
        RunExecPlugin(base::Context(clock, {}).WithTimeout(limit), config_).Is(Code::kTimeout));
    pid = std::atoi(Read("pid").c_str());
  }
  EXPECT_NE(kill(pid, 0), 0) << "it must not live on";
}

TEST_F(PluginTest, AStopEndsTheWaitForAPlugin) {
  base::SystemClock clock;
  std::stop_source stop;
  Plugin("echo x > $D/started; sleep 600\n");
  std::thread stopper([&] {
    while (Read("started").empty()) std::this_thread::yield();
    stop.request_stop();
  });
  EXPECT_TRUE(
      RunExecPlugin(base::Context(clock, {}, stop.get_token()), config_).Is(Code::kCancelled));
  stopper.join();
}

TEST_F(PluginTest, ThePluginRunsWithoutOurBlockedSignals) {
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, &old);
  Plugin("grep SigBlk /proc/self/status > $D/mask\n" + Answer("t"));
  EXPECT_TRUE(RunExecPlugin(ctx_, config_).ok());
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  EXPECT_EQ(Read("mask"), "SigBlk:\t0000000000000000\n");
}

TEST_F(PluginTest, ThePluginKeepsThePublicCasThatWeDoWithout) {
  // In a process of its own, since it changes the environment for good.
  EXPECT_EXIT(
      {
        setenv("SSL_CERT_FILE", "/public.pem", 1);
        unsetenv("SSL_CERT_DIR");
        HidePublicCas();
        const std::string now = getenv("SSL_CERT_FILE");
        Plugin("echo \"[$SSL_CERT_FILE|$SSL_CERT_DIR]\" > $D/cas\n" + Answer("t"));
        const bool ok = RunExecPlugin(ctx_, config_).ok();
        _exit(ok && now == "/dev/null" && Read("cas") == "[/public.pem|]\n" ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}
}  // namespace
}  // namespace oms::kube
