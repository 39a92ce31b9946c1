#include "controller/kube/exec_credential.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>
#include <vector>

#include "controller/base/base64.h"
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

// A child of its own process group, with the signal mask and dispositions of a fresh process and
// its standard output in a pipe.
struct Child {
  pid_t pid = -1;
  int out = -1;

  ~Child() {
    if (out >= 0) close(out);
    if (pid > 0) {
      kill(-pid, SIGKILL);
      while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  }
};

base::Status Spawn(const KubeConfig& config, Child& child) {
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

  std::vector<std::string> arguments = {plugin.command};
  arguments.insert(arguments.end(), plugin.args.begin(), plugin.args.end());
  const auto pointers = [](std::vector<std::string>& strings) {
    std::vector<char*> all;
    for (std::string& text : strings) all.push_back(text.data());
    all.push_back(nullptr);
    return all;
  };

  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
    return MakeError(Code::kTransient, fmt::format("pipe: {}", std::strerror(errno)));
  }
  child.out = pipe_ends[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 1);
  // Its complaints could hold what it was given; our log is no place for them.
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const int error = posix_spawnp(&child.pid, plugin.command.c_str(), &actions, &attributes,
                                 pointers(arguments).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  if (error != 0) {
    child.pid = -1;
    return MakeError(Code::kDenied, "ExecPluginFailed",
                     fmt::format("the credential plug-in {} cannot be started: {}{}{}",
                                 plugin.command, std::strerror(error),
                                 plugin.install_hint.empty() ? "" : "; ", plugin.install_hint));
  }
  return base::Ok();
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
  const auto failed = [&](Code code, const std::string& why) {
    return MakeError(code, "ExecPluginFailed",
                     fmt::format("the credential plug-in {} {}", config.exec->command, why));
  };
  OMS_TRY(ctx.Check());
  Child child;
  OMS_TRY(Spawn(config, child));
  const auto limited = ctx.WithTimeout(kPluginTimeout);
  std::string output;
  char buffer[4096];
  while (true) {
    if (ctx.Stopped()) return MakeError(Code::kCancelled, "stopping");
    const base::Duration left = limited.Remaining();
    if (left.count() <= 0) return failed(Code::kTimeout, "did not answer in time");
    pollfd waiting = {child.out, POLLIN, 0};
    // Short waits, since a stop token cannot end poll().
    const int ready = poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left.count(), 50)));
    if (ready < 0 && errno != EINTR) return failed(Code::kTransient, "could not be read");
    if (ready <= 0) continue;
    const ssize_t got = read(child.out, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    output.append(buffer, static_cast<size_t>(got));
    if (output.size() > kMaxOutput) return failed(Code::kInvalid, "answered with too much data");
  }
  int status = 0;
  while (true) {
    const pid_t ended = waitpid(child.pid, &status, WNOHANG);
    if (ended == child.pid) break;
    if (ended < 0 && errno != EINTR) return failed(Code::kTransient, "was lost");
    if (ctx.Stopped()) return MakeError(Code::kCancelled, "stopping");
    if (limited.Remaining().count() <= 0) {
      return failed(Code::kTimeout, "closed its output and did not end");
    }
    poll(nullptr, 0, 5);
  }
  child.pid = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return failed(Code::kDenied,
                  WIFEXITED(status)
                      ? fmt::format("failed with exit code {}: run it manually to see why",
                                    WEXITSTATUS(status))
                      : fmt::format("was ended by signal {}", WTERMSIG(status)));
  }
  return ParseExecCredential(output, config.exec->api_version);
}

}  // namespace oms::kube
