// Credentials of a client: a token or a client certificate, from where the kubeconfig says.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/kube/exec_credential.h"
#include "controller/kube/kube_config.h"

namespace oms::kube {

// What goes with each request. Thread-safe.
//
// The exec plug-in runs on a thread of its own, one at a time, and no longer than its own limit:
// who waits for it waits by their own context, and whoever gives up does not end it for the others.
// In the last part of a credential's life the next one is fetched while the old one still serves.
class Credentials {
 public:
  explicit Credentials(const KubeConfig& config) : config_(config) {}
  ~Credentials() = default;  // Ends a plug-in that runs.
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  // The bearer token of now, empty when there is none. Reads the token file anew when its mtime
  // changed or a minute has passed. The clock of `ctx` must outlive this object.
  base::Result<std::string> Token(const base::Context& ctx);
  // The server answered 401 to `token`: the next Token() asks the source again, unless it has done
  // so since. False when there is no source that could give another one.
  bool Refresh(const std::string& token);
  // The client certificate and key as PEM; both empty when there is none. Blocks on no child
  // process: one from the exec plug-in is what the last Token() brought.
  base::Result<ExecCredential> Certificate();

 private:
  base::Result<std::string> FileToken(const base::Context& ctx);
  base::Result<std::string> PluginToken(const base::Context& ctx);
  void StartPluginLocked(const base::Clock& clock);
  void RunPlugin(const base::Context& ctx);

  const KubeConfig& config_;

  std::mutex mutex_;  // Guards all below.
  std::condition_variable_any changed_;
  // Of the token file.
  std::string token_;
  std::optional<base::SteadyTime> token_read_;
  std::filesystem::file_time_type token_mtime_;
  // Of the plug-in.
  std::optional<ExecCredential> exec_;      // Its last good answer.
  std::optional<base::WallTime> renew_at_;  // From here on another is fetched; none: never.
  bool refused_ = false;                    // The server does not take exec_.
  bool running_ = false;
  uint64_t runs_ = 0;                           // That have ended.
  std::optional<base::Error> failure_;          // Of the last one.
  std::optional<base::SteadyTime> not_before_;  // After a failed one, while the old one serves.
  std::jthread plugin_;                         // Last: it uses all above.
};

}  // namespace oms::kube
