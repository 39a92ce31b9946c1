#include "reconcilers/act/host_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <vector>

#include "crd/reasons.h"

namespace oms::act {
namespace {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;

constexpr int kMostDeadHelpers = 5;
constexpr auto kRemoveWithin = std::chrono::seconds(5);

constexpr char kFolder[] = "/oms-upgrade-work";      // Where the host's folder is bound.
constexpr char kContent[] = "/oms-upgrade-content";  // In the helper's own file system.

constexpr int kIsThere = 17;

// Arguments: file name, uid:gid, mode, and "new", "folder" or "replace". The temporary file has the
// mode 0600 until it is chmod-ed, as it may hold a password. A new file takes its name by link(2),
// which takes no other's.
constexpr char kScript[] =
    R"sh(set -e; umask 077; cd /oms-upgrade-work; t=".$1.oms-upgrade.tmp"; )sh"
    R"sh(if test "$4" = folder && test -d "$1" && ! test -L "$1"; then )sh"
    R"sh(rmdir "$1" || exit 17; fi; )sh"
    R"sh(if test "$4" != replace && { test -e "$1" || test -L "$1"; }; then exit 17; fi; )sh"
    R"sh(if test -L "$1"; then echo "$1 is a symbolic link" >&2; exit 1; fi; )sh"
    R"sh(if test -d "$1"; then echo "$1 is a folder" >&2; exit 1; fi; )sh"
    R"sh(rm -f "$t"; cp /oms-upgrade-content "$t"; chown "$2" "$t"; chmod "$3" "$t"; )sh"
    R"sh(sync "$t" 2>/dev/null || sync; )sh"
    R"sh(if test "$4" = replace; then mv -f "$t" "$1"; )sh"
    R"sh(elif ln "$t" "$1"; then rm -f "$t"; )sh"
    R"sh(else rm -f "$t"; if test -e "$1" || test -L "$1"; then exit 17; fi; exit 1; fi; )sh"
    R"sh(sync . 2>/dev/null || sync)sh";

// Argument: file name.
constexpr char kRemoveScript[] =
    R"sh(set -e; cd /oms-upgrade-work; rm -f "$1"; sync . 2>/dev/null || sync)sh";

bool IsFileName(const std::string& name) {
  return !name.empty() && name.size() <= 200 && name[0] != '.' && name[0] != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
         });
}

Status CheckPlace(const std::string& folder, const std::string& name) {
  if (!folder.starts_with('/')) {
    return MakeError(Code::kInvalid, fmt::format("the folder {} is not absolute", folder));
  }
  if (!IsFileName(name)) {
    return MakeError(Code::kInvalid,
                     fmt::format("\"{}\" cannot be used as a file name on the host", name));
  }
  return base::Ok();
}

// `folder` empty: nothing is bound. One that does not exist is not made.
ports::ContainerSpec HelperOf(const Helper& helper, const std::string& folder, bool writable,
                              const std::vector<std::string>& argv) {
  ports::ContainerSpec spec;
  spec.image = helper.image_id;
  spec.labels = helper.labels;
  spec.entrypoint = {"/bin/sh", "-c"};
  spec.command = argv;
  spec.user = "0:0";
  spec.network = false;
  spec.health_check = false;
  spec.hosts_users = true;  // The owner that is written is the host's.
  if (!folder.empty())
    spec.mounts = {{.source = folder, .destination = kFolder, .writable = writable}};
  return spec;
}

// Removes a leftover of ours.
Status RemoveHelper(const Context& ctx, ports::ContainerEngine& engine, const Helper& helper) {
  auto left = engine.Inspect(ctx, helper.name);
  if (left.Is(Code::kNotFound)) return base::Ok();
  if (!left.ok()) return left.error();
  const bool ours = !helper.labels.empty() &&
                    std::all_of(helper.labels.begin(), helper.labels.end(), [&](const auto& label) {
                      const auto it = left->labels.find(label.first);
                      return it != left->labels.end() && it->second == label.second;
                    });
  if (!ours) {
    return MakeError(
        Code::kAlreadyExists, crd::reason::kHelperNameTaken,
        fmt::format(
            "container {} exists and was not created by this controller; rename or remove it",
            helper.name));
  }
  return engine.Remove(ctx, left->id, true);
}

// One that is dead keeps its name until somebody removes it: the next takes another.
Result<std::string> CreateHelper(const Context& ctx, ports::ContainerEngine& engine,
                                 const Helper& helper, const ports::ContainerSpec& spec) {
  Helper named = helper;
  for (int n = 2;; ++n) {
    const Status removed = RemoveHelper(ctx, engine, named);
    if (removed.ok()) break;
    const auto left = engine.Inspect(ctx, named.name);
    if (n > kMostDeadHelpers || !left.ok() || !left->dead) return removed.error();
    named.name = fmt::format("{}-{}", helper.name, n);
  }
  OMS_TRY(ctx.Check());
  return engine.Create(ctx, named.name, spec);
}

// The outcome of the work counts. A helper that could not be removed is left to the next call; the
// stop of this process is no reason to leave one.
template <typename T>
Result<T> Finish(const Context& ctx, ports::ContainerEngine& engine, const std::string& id,
                 Result<T> outcome) {
  const Context last = ctx.WithStop({}).WithNewDeadline(kRemoveWithin);
  if (auto removed = engine.Remove(last, id, true); !removed.ok()) {
    ctx.log().Warn("a helper container is left over: {}", removed.error().message);
  }
  return outcome;
}

// `done`: what the script does, for a message.
Status RunHelper(const Context& ctx, ports::ContainerEngine& engine, const std::string& id,
                 const std::string& path, const char* done) {
  OMS_TRY(ctx.Check());
  OMS_TRY(engine.Start(ctx, id));
  OMS_ASSIGN(const int code, engine.Wait(ctx, id));
  if (code == 0) return base::Ok();
  if (code == kIsThere) {
    return MakeError(Code::kAlreadyExists, crd::inner_reason::kHostFileExists,
                     fmt::format("{} already exists on the engine's host", path));
  }
  auto logs = engine.Logs(ctx, id, 20);
  return MakeError(Code::kTerminal, crd::reason::kHostFile,
                   fmt::format("{} could not be {} on the engine's host (exit code {}): {}", path,
                               done, code, logs.ok() ? *logs : "its log cannot be read"));
}

const char* ModeOf(HostFileRequest::Over over) {
  switch (over) {
    case HostFileRequest::Over::kNothing: return "new";
    case HostFileRequest::Over::kEmptyFolder: return "folder";
    case HostFileRequest::Over::kOurs: break;
  }
  return "replace";
}

Status FillAndRun(const Context& ctx, ports::ContainerEngine& engine, const std::string& id,
                  const HostFileRequest& request) {
  ports::FileContent content;
  content.content = request.content;
  content.mode = 0600;
  OMS_TRY(engine.WriteFile(ctx, id, kContent, content));
  return RunHelper(ctx, engine, id, request.host_folder + "/" + request.file_name, "written");
}

}  // namespace

Status WriteHostFile(const Context& ctx, ports::ContainerEngine& engine,
                     const HostFileRequest& request) {
  OMS_TRY(CheckPlace(request.host_folder, request.file_name));
  const auto spec = HelperOf(request.helper, request.host_folder, true,
                             {kScript, "oms-upgrade-host-file", request.file_name,
                              fmt::format("{}:{}", request.uid, request.gid),
                              fmt::format("{:04o}", request.mode & 07777), ModeOf(request.over)});
  OMS_ASSIGN(const auto id, CreateHelper(ctx, engine, request.helper, spec));
  return Finish(ctx, engine, id, FillAndRun(ctx, engine, id, request));
}

Status RemoveHostFile(const Context& ctx, ports::ContainerEngine& engine, const Helper& helper,
                      const std::string& host_folder, const std::string& file_name) {
  OMS_TRY(CheckPlace(host_folder, file_name));
  const auto spec = HelperOf(helper, host_folder, true,
                             {kRemoveScript, "oms-upgrade-host-file-removal", file_name});
  OMS_ASSIGN(const auto id, CreateHelper(ctx, engine, helper, spec));
  return Finish(ctx, engine, id,
                RunHelper(ctx, engine, id, host_folder + "/" + file_name, "removed"));
}

Result<HostFileLook> LookAtHostFile(const Context& ctx, ports::ContainerEngine& engine,
                                    const Helper& helper, const std::string& host_folder,
                                    const std::string& file_name) {
  OMS_TRY(CheckPlace(host_folder, file_name));
  OMS_ASSIGN(const auto id,
             CreateHelper(ctx, engine, helper, HelperOf(helper, host_folder, false, {"true"})));
  const auto look = [&]() -> Result<HostFileLook> {
    const std::string path = fmt::format("{}/{}", kFolder, file_name);
    HostFileLook seen;
    OMS_ASSIGN(seen.path, engine.LookAtPath(ctx, id, path));
    if (seen.path.kind != ports::PathInfo::Kind::kFile) return seen;
    OMS_ASSIGN(seen.file, engine.ReadFile(ctx, id, path));
    return seen;
  };
  return Finish(ctx, engine, id, look());
}

Result<bool> ImageHasFile(const Context& ctx, ports::ContainerEngine& engine, const Helper& helper,
                          const std::string& path) {
  OMS_ASSIGN(const auto id,
             CreateHelper(ctx, engine, helper, HelperOf(helper, "", false, {"true"})));
  const auto look = [&]() -> Result<bool> {
    auto file = engine.ReadFile(ctx, id, path);
    if (file.Is(Code::kNotFound) && file.error().reason != crd::reason::kNoSuchContainer)
      return false;
    // A script larger than what may be read is a file all the same.
    if (file.Is(Code::kInvalid) && file.error().reason == crd::reason::kFileTooLarge) return true;
    if (!file.ok()) return file.error();
    return file->regular;
  };
  return Finish(ctx, engine, id, look());
}

}  // namespace oms::act
