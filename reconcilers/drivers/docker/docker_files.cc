#include "reconcilers/drivers/docker/docker_files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "controller/base/base64.h"
#include "controller/base/json.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/docker/docker_json.h"
#include "reconcilers/drivers/docker/docker_stream.h"
#include "reconcilers/drivers/docker/tar.h"

namespace oms::drivers::docker {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using Json = nlohmann::json;
using ports::FileContent;
using ports::PathInfo;

namespace {

constexpr uint64_t kFileLimit = 64u << 20;

// Go's os.FileMode bits, as the engine sends them.
constexpr uint32_t kGoFolder = 1u << 31;
constexpr uint32_t kGoSymlink = 1u << 27;
constexpr uint32_t kGoSpecial = 1u << 26 | 1u << 25 | 1u << 24 | 1u << 21 | 1u << 19;

// A piece of what the engine keeps of a container, as it sends it.
struct Sent {
  PathInfo::Kind kind = PathInfo::Kind::kFile;
  std::string link_target;  // Of a link: where it ends within the container.
  std::string archive;      // Of a file or a link.
};
base::Error TooLarge(const std::string& id, const std::string& path) {
  return MakeError(Code::kInvalid, crd::reason::kFileTooLarge,
                   fmt::format("{} in the container {} is larger than 64 MiB", path, id));
}

// `content`: of a file as well, else of a link alone.
Result<Sent> Fetch(DockerCalls& calls, const Context& ctx, const std::string& id,
                   const std::string& path, bool content) {
  OMS_ASSIGN(const auto target, calls.ContainerPath(id, "/archive?path=" + EscapeUrl(path)));
  Sent sent;
  bool wanted = true;
  HttpOptions options;
  // A folder would be sent with all that is in it: the header tells before.
  options.on_header = [&](const HttpResponse& response) -> Status {
    const auto it = response.headers.find("x-docker-container-path-stat");
    if (response.status != 200 || it == response.headers.end()) return base::Ok();
    // Base64 of a JSON text.
    const Json stat = Parse(base::DecodeBase64(it->second).value_or(""));
    const auto mode = base::WholeNumber<uint32_t>(At(stat, "mode")).value_or(0);
    sent.kind = mode & kGoSymlink   ? PathInfo::Kind::kLink
                : mode & kGoFolder  ? PathInfo::Kind::kFolder
                : mode & kGoSpecial ? PathInfo::Kind::kOther
                                    : PathInfo::Kind::kFile;
    if (sent.kind == PathInfo::Kind::kLink) sent.link_target = Text(At(stat, "linkTarget"));
    wanted = content ? sent.kind == PathInfo::Kind::kFile : sent.kind == PathInfo::Kind::kLink;
    if (!wanted) return MakeError(Code::kInternal, "not what is looked for");
    if (Int(At(stat, "size")) > static_cast<int64_t>(kFileLimit)) return TooLarge(id, path);
    return base::Ok();
  };
  options.sink = [&](std::string_view piece) -> Status {
    if (sent.archive.size() + piece.size() > kFileLimit + (1u << 20)) return TooLarge(id, path);
    sent.archive += piece;
    return base::Ok();
  };
  auto called = calls.Call(ctx, fmt::format("read {} in the container {}", path, id),
                           {.method = "GET", .target = target}, options, kCreate);
  if (!wanted) return sent;
  // A file where the path has a folder: the engine answers with 500 and errno's words.
  if (called.Is(Code::kTransient) &&
      called.error().message.find("not a directory") != std::string::npos) {
    return MakeError(Code::kNotFound, crd::inner_reason::kNotFound, called.error().message);
  }
  if (!called.ok()) return called.error();
  return sent;
}

// `next` becomes the path to look at instead, if this one is a symbolic link.
Result<FileContent> ReadFileOnce(DockerCalls& calls, const Context& ctx, const std::string& id,
                                 const std::string& path, std::string& next) {
  OMS_ASSIGN(const Sent sent, Fetch(calls, ctx, id, path, true));
  FileContent file;
  if (sent.kind != PathInfo::Kind::kFile) {
    next = sent.link_target;
    file.regular = false;
    return file;
  }
  OMS_ASSIGN(auto entry, FirstTarEntry(sent.archive));
  file.regular = entry.type == '0';
  file.uid = entry.uid;
  file.gid = entry.gid;
  file.mode = entry.mode;
  if (file.regular) file.content = std::move(entry.content);
  return file;
}

}  // namespace

Result<FileContent> ReadFile(DockerCalls& calls, const Context& ctx, const std::string& id,
                             const std::string& path) {
  // The engine sends a symbolic link as itself, and tells where it ends within the container.
  std::string target = path;
  for (int links = 0; links < 8; ++links) {
    std::string next;
    OMS_ASSIGN(auto file, ReadFileOnce(calls, ctx, id, target, next));
    if (next.empty()) return file;
    target = std::move(next);
  }
  return MakeError(Code::kInvalid, crd::reason::kNotAFile,
                   fmt::format("{} in the container {} is a loop of symbolic links", path, id));
}

Result<PathInfo> LookAtPath(DockerCalls& calls, const Context& ctx, const std::string& id,
                            const std::string& path) {
  OMS_ASSIGN(const Sent sent, Fetch(calls, ctx, id, path, false));
  PathInfo info{sent.kind, {}};
  if (sent.kind != PathInfo::Kind::kLink) return info;
  OMS_ASSIGN(const auto entry, FirstTarEntry(sent.archive));
  info.link = ToUtf8(entry.link);
  return info;
}

Status WriteFile(DockerCalls& calls, const Context& ctx, const std::string& id,
                 const std::string& path, const FileContent& file) {
  const size_t slash = path.rfind('/');
  if (!path.starts_with('/')) {
    return MakeError(Code::kInvalid, fmt::format("{} is not an absolute path", path));
  }
  TarEntry entry;
  entry.name = path.substr(slash + 1);
  entry.mode = file.mode;
  entry.uid = file.uid;
  entry.gid = file.gid;
  entry.content = file.content;
  OMS_ASSIGN(auto archive, MakeTar(entry));
  const std::string folder = slash == 0 ? "/" : path.substr(0, slash);
  OMS_ASSIGN(const auto target, calls.ContainerPath(id, "/archive?noOverwriteDirNonDir=true&path=" +
                                                            EscapeUrl(folder)));
  return calls.Simple(ctx, fmt::format("write {} in the container {}", path, id),
                      {.method = "PUT",
                       .target = target,
                       .content_type = "application/x-tar",
                       .body = std::move(archive)},
                      kCreate);
}

}  // namespace oms::drivers::docker
