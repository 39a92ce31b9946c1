// How to reach an API server: from a kubeconfig file, or from the files of a ServiceAccount.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"

namespace oms::kube {

// PEM text that is in a file (read anew for each connection, so that rotation works) or inline.
struct PemSource {
  std::string file;
  std::string inline_pem;

  bool empty() const { return file.empty() && inline_pem.empty(); }
  base::Result<std::string> Read() const;
};

// client.authentication.k8s.io exec plug-in.
struct ExecPlugin {
  std::string api_version;
  std::string command;  // Absolute, or looked up on PATH.
  std::vector<std::string> args;
  std::map<std::string, std::string> env;  // Added to ours.
  bool provide_cluster_info = false;
  std::string install_hint;
};

// Holds secrets; has no formatter on purpose.
struct KubeConfig {
  std::string server;           // https://host:port, maybe with a path prefix; no slash at the end.
  std::string tls_server_name;  // Empty: the host of `server`.
  PemSource ca;
  PemSource client_certificate;
  PemSource client_key;
  std::string token;       // Inline.
  std::string token_file;  // Read anew each minute, or when its mtime changes. Wins over `token`.
  std::optional<ExecPlugin> exec;
  std::string default_namespace = "default";
};

// Reads a kubeconfig file. `context` empty: its current-context. kNotFound when there is no such
// file; kInvalid for anything wrong in it, and for what we refuse or do not know
// (insecure-skip-tls-verify, http://, proxy-url, auth-provider, username and password, no CA).
base::Result<KubeConfig> LoadKubeConfig(const std::string& path, const std::string& context = "");
// The same from text; relative file names are taken from `directory`.
base::Result<KubeConfig> ParseKubeConfig(std::string_view text, const std::string& directory,
                                         const std::string& context = "");

// The files and environment that a Pod's ServiceAccount has. kNotFound outside of a Pod.
base::Result<KubeConfig> InClusterConfig(
    const std::string& directory = "/var/run/secrets/kubernetes.io/serviceaccount");

// `path` if not empty; else in-cluster if we are in a Pod; else $KUBECONFIG. Never ~/.kube/config:
// what a person's default context points to must not be upgraded by surprise.
base::Result<KubeConfig> FindKubeConfig(const std::string& path, const std::string& context = "");

}  // namespace oms::kube
