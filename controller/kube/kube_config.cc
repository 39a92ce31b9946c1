#include "controller/kube/kube_config.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "controller/base/base64.h"

namespace oms::kube {
namespace {

using base::Code;
using base::MakeError;

base::Error Invalid(std::string message) { return MakeError(Code::kInvalid, std::move(message)); }

base::Result<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return MakeError(Code::kNotFound, fmt::format("{} cannot be read", path));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// kubectl takes line breaks in it as well.
base::Result<std::string> Decode(std::string text, const std::string& what) {
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  auto bytes = base::DecodeBase64(text);
  if (!bytes) return Invalid(fmt::format("{} is not base64", what));
  return *std::move(bytes);
}

// The text of a scalar member; empty when absent or null.
std::string Scalar(const YAML::Node& from, const char* member) {
  const YAML::Node node = from[member];
  return node && node.IsScalar() ? node.Scalar() : std::string();
}

// The entry of that name in a list of {name, <member>}; its <member>.
base::Result<YAML::Node> Named(const YAML::Node& root, const char* list, const char* member,
                               const std::string& name) {
  const YAML::Node entries = root[list];
  if (entries && entries.IsSequence()) {
    for (const auto& entry : entries) {
      if (entry.IsMap() && Scalar(entry, "name") == name && entry[member] &&
          entry[member].IsMap()) {
        return YAML::Clone(entry[member]);
      }
    }
  }
  return Invalid(fmt::format("the kubeconfig has no entry '{}' in {}", name, list));
}

base::Result<PemSource> Pem(const YAML::Node& from, const char* member,
                            const std::string& directory) {
  PemSource source;
  const std::string data_member = std::string(member) + "-data";
  // kubectl takes the inline data where both are there.
  if (const std::string data = Scalar(from, data_member.c_str()); !data.empty()) {
    OMS_ASSIGN(source.inline_pem, Decode(data, data_member));
  } else if (const std::string file = Scalar(from, member); !file.empty()) {
    source.file = (std::filesystem::path(directory) / file).string();
  }
  return source;
}

base::Status ReadCluster(const YAML::Node& cluster, const std::string& directory, KubeConfig& out) {
  out.server = Scalar(cluster, "server");
  while (!out.server.empty() && out.server.back() == '/') out.server.pop_back();
  if (out.server.find("://") == std::string::npos && !out.server.empty()) {
    out.server = "https://" + out.server;
  }
  if (!out.server.starts_with("https://")) {
    return Invalid(fmt::format("the server '{}' is not an https:// address", out.server));
  }
  if (Scalar(cluster, "insecure-skip-tls-verify") == "true") {
    return Invalid("insecure-skip-tls-verify is refused: set certificate-authority instead");
  }
  if (!Scalar(cluster, "proxy-url").empty()) return Invalid("proxy-url is not supported");
  out.tls_server_name = Scalar(cluster, "tls-server-name");
  OMS_ASSIGN(out.ca, Pem(cluster, "certificate-authority", directory));
  if (out.ca.empty()) {
    return Invalid("the cluster has no certificate-authority; public ones are not trusted");
  }
  return base::Ok();
}

base::Result<ExecPlugin> ReadExec(const YAML::Node& exec, const std::string& directory) {
  ExecPlugin plugin;
  plugin.api_version = Scalar(exec, "apiVersion");
  if (plugin.api_version != "client.authentication.k8s.io/v1" &&
      plugin.api_version != "client.authentication.k8s.io/v1beta1") {
    return Invalid(fmt::format("exec apiVersion '{}' is not supported", plugin.api_version));
  }
  plugin.command = Scalar(exec, "command");
  if (plugin.command.empty()) return Invalid("exec has no command");
  // As kubectl does: a path with a slash is relative to the kubeconfig, a bare name is on PATH.
  if (plugin.command.find('/') != std::string::npos) {
    plugin.command = (std::filesystem::path(directory) / plugin.command).string();
  }
  if (const YAML::Node args = exec["args"]; args && args.IsSequence()) {
    for (const auto& arg : args) plugin.args.push_back(arg.as<std::string>());
  }
  if (const YAML::Node env = exec["env"]; env && env.IsSequence()) {
    for (const auto& entry : env) plugin.env[Scalar(entry, "name")] = Scalar(entry, "value");
  }
  if (Scalar(exec, "interactiveMode") == "Always") {
    return Invalid("exec with interactiveMode Always cannot be used by a controller");
  }
  plugin.provide_cluster_info = Scalar(exec, "provideClusterInfo") == "true";
  plugin.install_hint = Scalar(exec, "installHint");
  return plugin;
}

base::Status ReadUser(const YAML::Node& user, const std::string& directory, KubeConfig& out) {
  if (!Scalar(user, "username").empty() || !Scalar(user, "password").empty()) {
    return Invalid("user name and password are not supported (removed from API servers in 1.19)");
  }
  if (user["auth-provider"]) {
    return Invalid("auth-provider is not supported (removed in 1.26): use an exec plug-in");
  }
  if (!Scalar(user, "as").empty()) return Invalid("impersonation ('as') is not supported");
  OMS_ASSIGN(out.client_certificate, Pem(user, "client-certificate", directory));
  OMS_ASSIGN(out.client_key, Pem(user, "client-key", directory));
  if (out.client_certificate.empty() != out.client_key.empty()) {
    return Invalid("client-certificate and client-key must be given together");
  }
  out.token = Scalar(user, "token");
  if (const std::string file = Scalar(user, "tokenFile"); !file.empty()) {
    out.token_file = (std::filesystem::path(directory) / file).string();
  }
  if (const YAML::Node exec = user["exec"]; exec && exec.IsMap()) {
    OMS_ASSIGN(out.exec, ReadExec(exec, directory));
  }
  return base::Ok();
}

base::Result<KubeConfig> Parse(const YAML::Node& root, const std::string& directory,
                               const std::string& wanted) {
  if (!root.IsMap()) return Invalid("the kubeconfig is not a map");
  const std::string name = wanted.empty() ? Scalar(root, "current-context") : wanted;
  if (name.empty()) return Invalid("the kubeconfig has no current-context");
  OMS_ASSIGN(const YAML::Node context, Named(root, "contexts", "context", name));
  KubeConfig config;
  OMS_ASSIGN(const YAML::Node cluster,
             Named(root, "clusters", "cluster", Scalar(context, "cluster")));
  OMS_TRY(ReadCluster(cluster, directory, config));
  if (const std::string user_name = Scalar(context, "user"); !user_name.empty()) {
    OMS_ASSIGN(const YAML::Node user, Named(root, "users", "user", user_name));
    OMS_TRY(ReadUser(user, directory, config));
  }
  if (const std::string ns = Scalar(context, "namespace"); !ns.empty()) {
    config.default_namespace = ns;
  }
  return config;
}

}  // namespace

base::Result<std::string> PemSource::Read() const {
  if (!inline_pem.empty() || file.empty()) return inline_pem;
  return ReadFile(file);
}

base::Result<KubeConfig> ParseKubeConfig(std::string_view text, const std::string& directory,
                                         const std::string& context) {
  try {
    return Parse(YAML::Load(std::string(text)), directory, context);
  } catch (const YAML::Exception& error) {
    // The mark only: what() of some errors quotes the text, which may be a token.
    return Invalid(fmt::format("the kubeconfig is not valid YAML (line {}, column {})",
                               error.mark.line + 1, error.mark.column + 1));
  }
}

base::Result<KubeConfig> LoadKubeConfig(const std::string& path, const std::string& context) {
  OMS_ASSIGN(const std::string text, ReadFile(path));
  auto config =
      ParseKubeConfig(text, std::filesystem::absolute(path).parent_path().string(), context);
  if (!config.ok()) return config.error().Wrap(path);
  return config;
}

base::Result<KubeConfig> InClusterConfig(const std::string& directory) {
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr || *host == '\0' || *port == '\0') {
    return MakeError(Code::kNotFound, "KUBERNETES_SERVICE_HOST is not set: this is not a Pod");
  }
  KubeConfig config;
  const bool ipv6 = std::string_view(host).find(':') != std::string_view::npos;
  config.server =
      ipv6 ? fmt::format("https://[{}]:{}", host, port) : fmt::format("https://{}:{}", host, port);
  config.ca.file = directory + "/ca.crt";
  config.token_file = directory + "/token";
  for (const std::string& file : {config.ca.file, config.token_file}) {
    OMS_ASSIGN(const std::string text, ReadFile(file));
    if (text.empty()) return Invalid(file + " is empty");
  }
  if (auto ns = ReadFile(directory + "/namespace"); ns.ok() && !ns->empty()) {
    config.default_namespace = *ns;
  }
  return config;
}

base::Result<KubeConfig> FindKubeConfig(const std::string& path, const std::string& context) {
  if (!path.empty()) return LoadKubeConfig(path, context);
  if (std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) return InClusterConfig();
  if (const char* variable = std::getenv("KUBECONFIG"); variable != nullptr && *variable != '\0') {
    // Several files in one variable would have to be merged.
    if (std::string_view(variable).find(':') != std::string_view::npos) {
      return Invalid("KUBECONFIG lists several files; select one with --kubeconfig");
    }
    return LoadKubeConfig(variable, context);
  }
  return MakeError(Code::kNotFound,
                   "no cluster is configured: run in a Pod, or set --kubeconfig or KUBECONFIG");
}

}  // namespace oms::kube
