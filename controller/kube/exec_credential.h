// Credentials of a client: a token or a client certificate, from where the kubeconfig says.
#pragma once

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/kube/kube_config.h"

namespace oms::kube {

// OpenSSL's public CAs are not looked for any more by this process: loading them costs 30 ms of CPU
// for each new connection (measured), and the REST client throws them away again. Sets
// SSL_CERT_FILE and SSL_CERT_DIR; exec plug-ins get the values of before. Before any thread; a
// second call does nothing.
void HidePublicCas();

// Holds secrets; has no formatter on purpose.
struct ExecCredential {
  std::string token;
  std::string certificate_pem;
  std::string key_pem;
  std::optional<base::WallTime> expires;  // None: as long as the process lives.
};

// Pure. kInvalid when `output` is no ExecCredential of that version with something in it. The text
// is in no error: it holds secrets.
base::Result<ExecCredential> ParseExecCredential(const std::string& output,
                                                 const std::string& api_version);

// Runs the plug-in once, without a shell, its standard input and error closed off, and waits for it
// until the context's deadline or stop token, at most 60 s; then it is killed with its children.
base::Result<ExecCredential> RunExecPlugin(const base::Context& ctx, const KubeConfig& config);

// What goes with each request. Thread-safe; one thread refreshes at a time, the others wait for it.
class Credentials {
 public:
  explicit Credentials(const KubeConfig& config) : config_(config) {}

  // The bearer token of now, empty when there is none. Reads the token file anew when its mtime
  // changed or a minute has passed; runs the exec plug-in when its answer has expired.
  base::Result<std::string> Token(const base::Context& ctx);
  // The server answered 401: the next Token() asks the source again. False when there is no source
  // that could give another one.
  bool Refresh();
  // The client certificate and key as PEM; both empty when there is none. Blocks on no child
  // process: one from the exec plug-in is what the last Token() brought.
  base::Result<ExecCredential> Certificate();

 private:
  const KubeConfig& config_;

  std::mutex plugin_mutex_;  // Held while the plug-in runs; taken before mutex_.
  std::mutex mutex_;         // Guards all below.
  std::string token_;
  std::optional<base::SteadyTime> token_read_;
  std::filesystem::file_time_type token_mtime_;
  std::optional<ExecCredential> exec_;
};

}  // namespace oms::kube
