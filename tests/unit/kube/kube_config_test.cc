#include "controller/kube/kube_config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace oms::kube {
namespace {

using base::Code;

std::string Config(const std::string& cluster, const std::string& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
         "contexts:\n- name: c\n  context: {cluster: k, user: u, namespace: team}\n"
         "- name: d\n  context: {cluster: missing, user: u}\n"
         "clusters:\n- name: k\n  cluster: " +
         cluster + "\nusers:\n- name: u\n  user: " + user + "\n";
}

const char kCluster[] = "{server: 'https://h:6443/', certificate-authority: ca.crt}";

TEST(KubeConfig, FilesAreRelativeToTheKubeconfigAndInlineDataWins) {
  const auto config = ParseKubeConfig(
      Config("{server: 'https://h:6443/', certificate-authority: ca.crt, tls-server-name: kube}",
             "{client-certificate: /abs/c.crt, client-key: c.key, client-key-data: a2V5, "
             "token: t, tokenFile: sub/token}"),
      "/etc/kube");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->server, "https://h:6443");
  EXPECT_EQ(config->tls_server_name, "kube");
  EXPECT_EQ(config->ca.file, "/etc/kube/ca.crt");
  EXPECT_EQ(config->client_certificate.file, "/abs/c.crt");
  EXPECT_EQ(config->client_key.inline_pem, "key");
  EXPECT_EQ(config->client_key.file, "");
  EXPECT_EQ(config->token_file, "/etc/kube/sub/token");
  EXPECT_EQ(config->default_namespace, "team");
}

TEST(KubeConfig, AnExecPluginIsReadWhole) {
  const auto config = ParseKubeConfig(
      Config(kCluster,
             "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./bin/login, "
             "args: [-a, b], env: [{name: X, value: y}], provideClusterInfo: true, "
             "interactiveMode: Never, installHint: get it}}"),
      "/etc/kube");
  ASSERT_TRUE(config.ok()) << config.error().message;
  ASSERT_TRUE(config->exec.has_value());
  EXPECT_EQ(config->exec->command, "/etc/kube/./bin/login");
  EXPECT_EQ(config->exec->args, (std::vector<std::string>{"-a", "b"}));
  EXPECT_EQ(config->exec->env.at("X"), "y");
  EXPECT_TRUE(config->exec->provide_cluster_info);
}

TEST(KubeConfig, WhatIsWrongOrUnsafeIsRefusedWithItsName) {
  const struct {
    std::string text;
    const char* says;
  } table[] = {
      {"[", "not valid YAML"},
      {"text", "not a map"},
      {"{}", "no current-context"},
      {Config("{server: 'http://h', certificate-authority: x}", "{}"), "https://"},
      {Config("{server: 'https://h', insecure-skip-tls-verify: true}", "{}"), "insecure-skip"},
      {Config("{server: 'https://h', certificate-authority: x, proxy-url: 'http://p'}", "{}"),
       "proxy-url"},
      {Config("{server: 'https://h'}", "{}"), "certificate-authority"},
      {Config("{server: 'https://h', certificate-authority-data: '!!'}", "{}"), "base64"},
      {Config(kCluster, "{username: a, password: geheim}"), "user name and password"},
      {Config(kCluster, "{auth-provider: {name: gcp}}"), "auth-provider"},
      {Config(kCluster, "{client-certificate: c}"), "together"},
      {Config(kCluster, "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}}"),
       "apiVersion"},
      {Config(kCluster, "{exec: {apiVersion: client.authentication.k8s.io/v1}}"), "no command"},
  };
  for (const auto& row : table) {
    const auto config = ParseKubeConfig(row.text, "/");
    ASSERT_TRUE(config.Is(Code::kInvalid)) << row.says;
    EXPECT_NE(config.error().message.find(row.says), std::string::npos) << config.error().message;
    EXPECT_EQ(config.error().message.find("geheim"), std::string::npos);
  }
}

TEST(KubeConfig, AContextThatDoesNotExistIsNamed) {
  const std::string text = Config(kCluster, "{token: t}");
  EXPECT_TRUE(ParseKubeConfig(text, "/", "c").ok());
  EXPECT_NE(ParseKubeConfig(text, "/", "x").error().message.find("'x'"), std::string::npos);
  EXPECT_NE(ParseKubeConfig(text, "/", "d").error().message.find("'missing'"), std::string::npos);
}

TEST(KubeConfig, AFileThatDoesNotExistIsNamed) {
  const auto config = LoadKubeConfig("/nowhere/config");
  EXPECT_TRUE(config.Is(Code::kNotFound));
  EXPECT_NE(config.error().message.find("/nowhere/config"), std::string::npos);
}

TEST(KubeConfig, WithoutAnyHintNoClusterIsGuessed) {
  unsetenv("KUBECONFIG");
  unsetenv("KUBERNETES_SERVICE_HOST");
  EXPECT_TRUE(FindKubeConfig("").Is(Code::kNotFound));
}

TEST(KubeConfig, InAPodTheServiceAccountIsUsed) {
  const auto directory =
      std::filesystem::temp_directory_path() / ("sa-" + std::to_string(getpid()));
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "ca.crt") << "PEM";
  std::ofstream(directory / "namespace") << "team";
  setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
  setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  EXPECT_FALSE(InClusterConfig(directory.string()).ok()) << "there is no token";
  std::ofstream(directory / "token") << "t";
  const auto config = InClusterConfig(directory.string());
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->server, "https://[fd00::1]:443");
  EXPECT_EQ(config->default_namespace, "team");
  EXPECT_EQ(config->token_file, (directory / "token").string());
  unsetenv("KUBERNETES_SERVICE_HOST");
  EXPECT_TRUE(InClusterConfig(directory.string()).Is(Code::kNotFound));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace oms::kube
