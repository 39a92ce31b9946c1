// ContainerEngine: one Docker Engine, in our words; in two halves, so that who may only look is
// given only that.
//
// All calls block until done, until the context's deadline, or until it is stopped. Thread-safe:
// each call has a connection of its own. "Already so" is success everywhere (starting what runs,
// stopping what stands). Errors: kNotFound (no such container or image), kAlreadyExists (name
// taken), kTransient with reason "EngineUnreachable" (no answer), kDenied, kInvalid (the engine
// refused the request), kTimeout, kCancelled.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/base/secret.h"
#include "reconcilers/ports/container_spec.h"

namespace oms::ports {

// Bytes of a long transfer; written by the worker, read by the reconcile pass.
struct ByteProgress {
  std::atomic<uint64_t> done{0};
  std::atomic<uint64_t> total{0};  // 0: not known.
};

struct EngineInfo {
  std::string id;  // The engine's own id (GET /info: ID); stays the same over restarts.
  std::string version;
  std::string api_version;  // The negotiated one.
};

struct Mount {
  std::string type;  // "bind" or "volume"
  std::string source;
  std::string destination;
  bool writable = true;
  bool operator==(const Mount&) const = default;
};

struct ContainerInfo {
  std::string id;
  std::string name;      // Without the leading slash.
  std::string image;     // As given at creation.
  std::string image_id;  // sha256:...
  std::string status;    // created, running, paused, restarting, exited, dead, removing
  bool running = false;
  // Its removal was begun and has failed: it can never run again, and nothing of it can be changed.
  bool dead = false;
  int exit_code = 0;
  std::string created;         // The engine's own text; compared by equality only.
  std::string started_at;      // Likewise; "0001-01-01T00:00:00Z" if never started.
  std::string finished_at;     // Of a running container: the end of its run before.
  std::string restart_policy;  // "no", "always", "unless-stopped", "on-failure"; "" is "no".
  int restart_max_retries = 0;
  bool auto_remove = false;
  bool privileged = false;
  std::string network_mode;
  int64_t pids_limit = 0;  // -1 or 0: unlimited.
  int64_t nproc_soft = 0;  // 0: not set.
  int64_t nproc_hard = 0;
  std::vector<Mount> mounts;
  std::vector<std::string> env;
  std::map<std::string, std::string> labels;
  // The engine's own account of it, whole: what ContainerTemplate takes, and what is kept as
  // evidence. Read by the engine alone.
  std::string inspect;

  const Mount* FindMount(std::string_view at) const {
    for (const auto& mount : mounts) {
      if (mount.destination == at) return &mount;
    }
    return nullptr;
  }
  std::string EnvValue(std::string_view variable) const {
    for (const auto& entry : env) {
      if (entry.size() > variable.size() && entry.starts_with(variable) &&
          entry[variable.size()] == '=') {
        return entry.substr(variable.size() + 1);
      }
    }
    return {};
  }
};

struct ImageInfo {
  std::string
      id;  // What the engine lists: a config digest, or with containerd's store a manifest digest.
  std::vector<std::string> tags;
  std::vector<std::string> digests;
  uint64_t size = 0;
  std::vector<std::string> env;
  std::map<std::string, std::string> labels;
  std::string inspect;  // As ContainerInfo's.
};

struct FileContent {
  std::string content;
  int64_t uid = 0;
  int64_t gid = 0;
  uint32_t mode = 0;    // Permission bits.
  bool regular = true;  // False: a folder or something else; `content` is empty then.
};

// What lies at a path, and not what a symbolic link leads to.
struct PathInfo {
  enum class Kind { kFile, kFolder, kLink, kOther };
  Kind kind = Kind::kFile;
  std::string link;  // Of a symbolic link: where it leads, in its own words.
};

struct ProcessInfo {
  std::string pid;
  std::string command;  // With its arguments.
};

struct ExecResult {
  int exit_code = 0;
  std::string output;  // stdout and stderr, cut to the last 64 KiB.
};

// To look at.
class ContainerEngineView {
 public:
  virtual ~ContainerEngineView() = default;

  virtual base::Result<EngineInfo> Info(const base::Context& ctx) = 0;

  virtual base::Result<ContainerInfo> Inspect(const base::Context& ctx,
                                              const std::string& name_or_id) = 0;
  // Full inspections of all containers, stopped ones too, that carry label=value.
  virtual base::Result<std::vector<ContainerInfo>> ListByLabel(const base::Context& ctx,
                                                               const std::string& label,
                                                               const std::string& value) = 0;
  virtual base::Result<ImageInfo> InspectImage(const base::Context& ctx,
                                               const std::string& reference) = 0;

  virtual base::Result<std::string> Logs(const base::Context& ctx, const std::string& id,
                                         int tail_lines) = 0;
  virtual base::Result<std::vector<ProcessInfo>> Processes(const base::Context& ctx,
                                                           const std::string& id) = 0;
  // What `supervisorctl status` says in a container that runs: the one question that is asked by a
  // command.
  virtual base::Result<ExecResult> SupervisorStatus(const base::Context& ctx,
                                                    const std::string& id) = 0;

  // Works on created, running and stopped containers alike, also below mounts. kNotFound if there
  // is no such file. Files above 64 MiB are refused (kInvalid).
  virtual base::Result<FileContent> ReadFile(const base::Context& ctx, const std::string& id,
                                             const std::string& path) = 0;
  // As ReadFile, of what lies there itself.
  virtual base::Result<PathInfo> LookAtPath(const base::Context& ctx, const std::string& id,
                                            const std::string& path) = 0;
};

class ContainerEngine : public ContainerEngineView {
 public:
  // Streams the archive to images/load. The end is the engine's own word; an in-band error is an
  // error: kInvalid "ImageLoadFailed", kTransient where the engine's disk is full.
  virtual base::Status LoadImage(const base::Context& ctx, const std::filesystem::path& archive,
                                 ByteProgress& progress) = 0;
  // kTransient "ImagePullFailed": it broke off in the middle.
  virtual base::Status PullImage(const base::Context& ctx, const std::string& reference) = 0;
  // Into a temp file beside `archive`, fsync, then rename.
  virtual base::Status SaveImage(const base::Context& ctx, const std::string& reference,
                                 const std::filesystem::path& archive, ByteProgress& progress) = 0;

  // By its name; the image itself goes with its last name. kNotFound: there is none. kConflict: a
  // container uses it.
  virtual base::Status RemoveImage(const base::Context& ctx, const std::string& reference) = 0;

  // Returns the id. kAlreadyExists if the name is taken. kInvalid "ConfigNotMounted": nothing of the
  // host is mounted where `spec` asks for another source.
  virtual base::Result<std::string> Create(const base::Context& ctx, const std::string& name,
                                           const ContainerSpec& spec) = 0;
  virtual base::Status Start(const base::Context& ctx, const std::string& id) = 0;
  virtual base::Status Stop(const base::Context& ctx, const std::string& id,
                            base::Duration grace) = 0;
  virtual base::Status Remove(const base::Context& ctx, const std::string& id, bool force) = 0;
  virtual base::Status SetRestartPolicy(const base::Context& ctx, const std::string& id,
                                        const std::string& policy, int max_retries) = 0;
  // Blocks until the container has ended; its exit code.
  virtual base::Result<int> Wait(const base::Context& ctx, const std::string& id) = 0;

  // Only for a container that is created and not a mounted path. `path` is absolute; its folder
  // must exist.
  virtual base::Status WriteFile(const base::Context& ctx, const std::string& id,
                                 const std::string& path, const FileContent& file) = 0;

  // Runs argv (no shell of ours) and waits for its end. A deadline does NOT end the process in the
  // container.
  virtual base::Result<ExecResult> Exec(const base::Context& ctx, const std::string& id,
                                        const std::vector<std::string>& argv,
                                        const std::string& working_dir) = 0;

  base::Result<ExecResult> SupervisorStatus(const base::Context& ctx, const std::string& id) final {
    return Exec(ctx, id, {"supervisorctl", "status"}, "/");
  }
};

// How an engine is reached. Endpoint is "unix:///path" or "tcp://host:port" (then TLS material is
// needed).
struct EngineAddress {
  std::string endpoint;
  base::Secret tls_ca, tls_cert, tls_key;  // PEM texts; empty for unix.
};

class EngineProvider {
 public:
  virtual ~EngineProvider() = default;
  virtual base::Result<std::shared_ptr<ContainerEngine>> Open(const EngineAddress& address) = 0;
};

// Opens what may only be looked at.
class EngineViewProvider {
 public:
  virtual ~EngineViewProvider() = default;
  virtual base::Result<std::shared_ptr<ContainerEngineView>> Open(const EngineAddress& address) = 0;
};

}  // namespace oms::ports
