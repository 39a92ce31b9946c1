#include "controller/kube/exec_credential.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "controller/base/base64.h"
#include "controller/base/child_process.h"
#include "controller/base/json.h"

extern char** environ;

namespace oms::kube {
namespace {

using base::Code;
using base::MakeError;
using nlohmann::json;

constexpr base::Duration kPluginTimeout = std::chrono::seconds(60);
constexpr size_t kMaxOutput = 1 << 20;

bool g_hidden = false;  // Set before any thread, by HidePublicCas().
// What HidePublicCas() replaced; no value: it was not set.
std::map<std::string, std::optional<std::string>>& HiddenVariables() {
  static std::map<std::string, std::optional<std::string>> variables;
  return variables;
}

std::string StringMember(const json& from, const char* member) {
  const auto found = from.find(member);
  return found != from.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// What KUBERNETES_EXEC_INFO tells the plug-in.
base::Result<std::string> ExecInfo(const KubeConfig& config) {
  json info = {{"apiVersion", config.exec->api_version},
               {"kind", "ExecCredential"},
               {"spec", {{"interactive", false}}}};
  if (config.exec->provide_cluster_info) {
    json& cluster = info["spec"]["cluster"];
    cluster["server"] = config.server;
    if (!config.tls_server_name.empty()) cluster["tls-server-name"] = config.tls_server_name;
    OMS_ASSIGN(const std::string ca, config.ca.Read());
    if (!ca.empty()) cluster["certificate-authority-data"] = base::EncodeBase64(ca);
  }
  return info.dump();
}

base::Result<std::vector<std::string>> EnvironmentOf(const KubeConfig& config) {
  const ExecPlugin& plugin = *config.exec;
  const auto info = ExecInfo(config);
  if (!info.ok()) {
    // Not as kNotFound: whoever asks for an object would take it for the object's absence.
    return MakeError(Code::kTransient, "ExecPluginFailed", info.error().message);
  }
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string name(text.substr(0, text.find('=')));
    if (g_hidden && HiddenVariables().contains(name)) continue;
    if (!plugin.env.contains(name) && name != "KUBERNETES_EXEC_INFO") {
      environment.emplace_back(text);
    }
  }
  for (const auto& [name, value] : HiddenVariables()) {
    // The plug-in may well need the public CAs.
    if (value && !plugin.env.contains(name)) environment.push_back(name + "=" + *value);
  }
  for (const auto& [name, value] : plugin.env) environment.push_back(name + "=" + value);
  environment.push_back("KUBERNETES_EXEC_INFO=" + *info);
  return environment;
}

// Its complaints (standard error) could hold what it was given; our log is no place for them.
base::Error Failed(const ExecPlugin& plugin, const base::Error& error) {
  const auto failed = [&](Code code, const std::string& why) {
    return MakeError(code, "ExecPluginFailed",
                     fmt::format("the credential plug-in {} {}", plugin.command, why));
  };
  if (error.code == Code::kCancelled || error.code == Code::kFenced) return error;
  if (error.code == Code::kTimeout) return failed(Code::kTimeout, "did not answer in time");
  if (error.reason == "ChildOutputTooLong")
    return failed(Code::kInvalid, "answered with too much data");
  if (error.reason != "ChildNotStarted") return failed(Code::kTransient, "could not be read");
  const std::string why = error.message.substr(error.message.rfind(": ") + 2);
  return failed(Code::kDenied,
                fmt::format("cannot be started: {}{}{}", why,
                            plugin.install_hint.empty() ? "" : "; ", plugin.install_hint));
}

}  // namespace

void HidePublicCas() {
  if (g_hidden) return;
  g_hidden = true;
  for (const char* name : {"SSL_CERT_FILE", "SSL_CERT_DIR"}) {
    const char* value = std::getenv(name);
    HiddenVariables()[name] = value != nullptr ? std::optional<std::string>(value) : std::nullopt;
    setenv(name, "/dev/null", 1);
  }
}

base::Result<ExecCredential> ParseExecCredential(const std::string& output,
                                                 const std::string& api_version) {
  const auto bad = [](std::string_view why) {
    return MakeError(Code::kInvalid, "ExecPluginFailed",
                     fmt::format("the credential plug-in's answer {}", why));
  };
  const auto parsed = base::ParseJson(output);
  if (!parsed.ok()) return bad(parsed.error().message);
  const json& answer = *parsed;
  if (!answer.is_object()) return bad("is not a JSON object");
  if (StringMember(answer, "kind") != "ExecCredential") return bad("is not an ExecCredential");
  if (StringMember(answer, "apiVersion") != api_version) {
    return bad("has another apiVersion than the kubeconfig asks for");
  }
  const auto status = answer.find("status");
  if (status == answer.end() || !status->is_object()) return bad("has no status");
  ExecCredential credential;
  credential.token = StringMember(*status, "token");
  credential.certificate_pem = StringMember(*status, "clientCertificateData");
  credential.key_pem = StringMember(*status, "clientKeyData");
  if (credential.token.empty() && credential.certificate_pem.empty()) {
    return bad("has neither a token nor a client certificate");
  }
  if (credential.certificate_pem.empty() != credential.key_pem.empty()) {
    return bad("has only one of client certificate and key");
  }
  if (const std::string expires = StringMember(*status, "expirationTimestamp"); !expires.empty()) {
    auto time = base::ParseTime(expires);
    if (!time.ok()) return bad("has an expirationTimestamp that is not a time");
    credential.expires = *time;
  }
  return credential;
}

base::Result<ExecCredential> RunExecPlugin(const base::Context& ctx, const KubeConfig& config) {
  const ExecPlugin& plugin = *config.exec;
  base::ChildCommand command;
  command.argv = {plugin.command};
  command.argv.insert(command.argv.end(), plugin.args.begin(), plugin.args.end());
  OMS_TRY(ctx.Check());
  OMS_ASSIGN(command.environment, EnvironmentOf(config));
  command.whole_output = kMaxOutput;
  const auto ran = base::RunChild(ctx.WithTimeout(kPluginTimeout), command);
  if (!ran.ok()) return Failed(plugin, ran.error());
  if (ran->exit_code != 0) {
    return MakeError(
        Code::kDenied, "ExecPluginFailed",
        fmt::format("the credential plug-in {} {}", plugin.command,
                    ran->signal != 0
                        ? fmt::format("was ended by signal {}", ran->signal)
                        : fmt::format("failed with exit code {}: run it manually to see why",
                                      ran->exit_code)));
  }
  return ParseExecCredential(ran->output, config.exec->api_version);
}

}  // namespace oms::kube
