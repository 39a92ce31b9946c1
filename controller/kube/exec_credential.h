// The exec plug-in of a kubeconfig, and what it answers.
#pragma once

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

}  // namespace oms::kube
