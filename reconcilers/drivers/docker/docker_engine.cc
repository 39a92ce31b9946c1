#include "reconcilers/drivers/docker/docker_engine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "controller/base/base64.h"
#include "controller/base/json.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/docker/docker_http.h"
#include "reconcilers/drivers/docker/docker_stream.h"
#include "reconcilers/drivers/docker/tar.h"
#include "reconcilers/drivers/files/durable_file.h"

namespace oms::drivers::docker {
namespace {

using base::Code;
using base::Context;
using base::Duration;
using base::MakeError;
using base::Result;
using base::Status;
using Json = nlohmann::json;
using ports::ByteProgress;
using ports::ContainerInfo;
using ports::EngineInfo;
using ports::ExecResult;
using ports::FileContent;
using ports::ImageInfo;
using ports::PathInfo;
using ports::ProcessInfo;
namespace fs = std::filesystem;

// What a call may take that is no transfer and waits for no container.
constexpr Duration kQuick = std::chrono::seconds(60);
// Of one label; each is inspected, and kept for the length of a pass.
constexpr size_t kMostLabelled = 32;
constexpr Duration kCreate = std::chrono::seconds(180);
constexpr size_t kOutputLimit = 64u << 10;
constexpr uint64_t kFileLimit = 64u << 20;

// The versions that this driver was written for: 1.40 is what the newest engines still speak, and
// nothing that it uses has changed up to 1.47.
constexpr int kMinMinor = 40;
constexpr int kMaxMinor = 47;

// ---- JSON that may lack anything --------------------------------------------------------------

const Json& At(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto it = object.find(key);
  return it == object.end() ? null : *it;
}
std::string Text(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }
int64_t Int(const Json& value) { return base::WholeNumber<int64_t>(value).value_or(0); }
int SmallInt(const Json& value) { return base::WholeNumber<int>(value).value_or(0); }
// A number that no int holds is none of an end that went well.
int ExitCode(const Json& value) {
  return base::WholeNumber<int>(value).value_or(value.is_number() ? -1 : 0);
}
bool Bool(const Json& value) { return value.is_boolean() && value.get<bool>(); }
std::vector<std::string> Texts(const Json& value) {
  std::vector<std::string> out;
  if (!value.is_array()) return out;
  for (const auto& item : value) out.push_back(Text(item));
  return out;
}
std::map<std::string, std::string> TextMap(const Json& value) {
  std::map<std::string, std::string> out;
  if (!value.is_object()) return out;
  for (const auto& [key, item] : value.items()) out[key] = Text(item);
  return out;
}
// What is no JSON, or too deep, is discarded().
Json Parse(std::string_view text) {
  return base::ParseJson(text).value_or(Json(Json::value_t::discarded));
}
std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ContainerInfo ParseContainer(const std::string& text, const Json& doc) {
  ContainerInfo info;
  info.id = Text(At(doc, "Id"));
  info.name = Text(At(doc, "Name"));
  if (info.name.starts_with('/')) info.name.erase(0, 1);
  const Json& config = At(doc, "Config");
  const Json& host = At(doc, "HostConfig");
  const Json& state = At(doc, "State");
  info.image = Text(At(config, "Image"));
  info.image_id = Text(At(doc, "Image"));
  info.status = Text(At(state, "Status"));
  info.running = Bool(At(state, "Running"));
  info.dead = Bool(At(state, "Dead")) || info.status == "dead";
  info.exit_code = ExitCode(At(state, "ExitCode"));
  info.created = Text(At(doc, "Created"));
  info.started_at = Text(At(state, "StartedAt"));
  info.finished_at = Text(At(state, "FinishedAt"));
  info.restart_policy = Text(At(At(host, "RestartPolicy"), "Name"));
  info.restart_max_retries = SmallInt(At(At(host, "RestartPolicy"), "MaximumRetryCount"));
  info.auto_remove = Bool(At(host, "AutoRemove"));
  info.privileged = Bool(At(host, "Privileged"));
  info.network_mode = Text(At(host, "NetworkMode"));
  info.pids_limit = Int(At(host, "PidsLimit"));
  if (const Json& ulimits = At(host, "Ulimits"); ulimits.is_array()) {
    for (const auto& limit : ulimits) {
      if (Text(At(limit, "Name")) != "nproc") continue;
      info.nproc_soft = Int(At(limit, "Soft"));
      info.nproc_hard = Int(At(limit, "Hard"));
    }
  }
  if (const Json& mounts = At(doc, "Mounts"); mounts.is_array()) {
    for (const auto& mount : mounts) {
      info.mounts.push_back({Text(At(mount, "Type")), Text(At(mount, "Source")),
                             Text(At(mount, "Destination")), Bool(At(mount, "RW"))});
    }
  }
  info.env = Texts(At(config, "Env"));
  info.labels = TextMap(At(config, "Labels"));
  info.inspect = text;
  return info;
}

// ---- Small pieces -----------------------------------------------------------------------------

std::optional<int> Minor(std::string_view version) {
  if (!version.starts_with("1.")) return std::nullopt;
  version.remove_prefix(2);
  int minor = 0;
  const auto [stop, ec] = std::from_chars(version.data(), version.data() + version.size(), minor);
  if (ec != std::errc() || stop != version.data() + version.size()) return std::nullopt;
  return minor;
}

// The lines of JSON that load and pull answer with: remembers the error that one of them holds.
class ProgressLines {
 public:
  void Add(std::string_view bytes) {
    for (const char c : bytes) {
      if (c != '\n') {
        if (line_.size() < (1u << 20)) line_ += c;
        continue;
      }
      Finish();
    }
  }
  void Finish() {
    const Json line = Parse(line_);
    line_.clear();
    if (!line.is_object()) return;
    std::string error = Text(At(At(line, "errorDetail"), "message"));
    if (error.empty()) error = Text(At(line, "error"));
    if (!error.empty() && error_.empty()) error_ = ToUtf8(error);
  }
  const std::string& error() const { return error_; }

 private:
  std::string line_, error_;
};

// Go's os.FileMode bits, as the engine sends them.
constexpr uint32_t kGoFolder = 1u << 31;
constexpr uint32_t kGoSymlink = 1u << 27;
constexpr uint32_t kGoSpecial = 1u << 26 | 1u << 25 | 1u << 24 | 1u << 21 | 1u << 19;

// Waits a little, or until the context is stopped.
Status Pause(const Context& ctx, Duration time) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, ctx.stop(), std::min(time, ctx.Remaining()), [] { return false; });
  return ctx.Check();
}

// ---- The engine -------------------------------------------------------------------------------

class DockerEngine final : public ports::ContainerEngine {
 public:
  explicit DockerEngine(http::EngineEndpoint endpoint) : endpoint_(std::move(endpoint)) {}

  Result<EngineInfo> Info(const Context& ctx) override {
    OMS_ASSIGN(const auto response,
               Call(ctx, "read the engine's id", {.method = "GET", .target = "/info"}));
    const Json doc = Parse(response.body);
    EngineInfo info{Text(At(doc, "ID")), Text(At(doc, "ServerVersion")), {}};
    if (info.id.empty()) return UnexpectedAnswer("GET /info has no ID");
    OMS_ASSIGN(info.api_version, ApiVersion(ctx));
    return info;
  }

  Result<ContainerInfo> Inspect(const Context& ctx, const std::string& name_or_id) override {
    OMS_ASSIGN(const auto path, ContainerPath(name_or_id, "/json"));
    OMS_ASSIGN(const auto response,
               Call(ctx, "inspect container " + name_or_id, {.method = "GET", .target = path}));
    const Json doc = Parse(response.body);
    if (!doc.is_object())
      return UnexpectedAnswer("the inspection of a container is not JSON, or nested too deep");
    ContainerInfo info = ParseContainer(response.body, doc);
    // The engine also takes the beginning of an id for a name; a short one would be a surprise.
    const bool meant = info.name == name_or_id || info.id == name_or_id ||
                       (name_or_id.size() >= 12 && info.id.starts_with(name_or_id));
    if (!meant) return NoContainer(name_or_id);
    return info;
  }

  Result<std::vector<ContainerInfo>> ListByLabel(const Context& outer, const std::string& label,
                                                 const std::string& value) override {
    const Context ctx = outer.WithTimeout(kQuick);  // All of them together.
    const Json filters = {{"label", Json::array({label + "=" + value})}};
    OMS_ASSIGN(const auto response,
               Call(ctx, "list containers",
                    {.method = "GET",
                     .target = "/containers/json?all=1&filters=" + EscapeUrl(Dump(filters))}));
    const Json list = Parse(response.body);
    if (!list.is_array()) return UnexpectedAnswer("the list of containers is not JSON");
    if (list.size() > kMostLabelled) {
      return MakeError(
          Code::kInvalid, crd::reason::kEngineAnswerTooLong,
          fmt::format("the Docker Engine at {} has {} containers with the label {}={}, more than "
                      "the {} that are checked; remove those that no rollback needs",
                      endpoint_.text, list.size(), label, value, kMostLabelled));
    }
    std::vector<ContainerInfo> containers;
    for (const auto& item : list) {
      auto info = Inspect(ctx, Text(At(item, "Id")));
      if (info.Is(Code::kNotFound)) continue;  // Removed in between.
      if (!info.ok()) return info.error();
      containers.push_back(std::move(info).value());
    }
    return containers;
  }

  Result<ImageInfo> InspectImage(const Context& ctx, const std::string& reference) override {
    if (reference.empty()) return MakeError(Code::kInvalid, "the image reference is empty");
    OMS_ASSIGN(const auto response,
               Call(ctx, "inspect image " + reference,
                    {.method = "GET", .target = "/images/" + EscapePath(reference) + "/json"}));
    const Json doc = Parse(response.body);
    ImageInfo info;
    info.id = Text(At(doc, "Id"));
    if (info.id.empty()) return UnexpectedAnswer("the inspection of an image has no Id");
    info.tags = Texts(At(doc, "RepoTags"));
    info.digests = Texts(At(doc, "RepoDigests"));
    info.size = static_cast<uint64_t>(std::max<int64_t>(0, Int(At(doc, "Size"))));
    info.env = Texts(At(At(doc, "Config"), "Env"));
    info.labels = TextMap(At(At(doc, "Config"), "Labels"));
    info.inspect = response.body;
    return info;
  }

  Status LoadImage(const Context& ctx, const fs::path& archive, ByteProgress& progress) override {
    const int fd = open(archive.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ArchiveError(archive, errno);
    const std::shared_ptr<void> closer(nullptr, [fd](void*) { close(fd); });
    struct stat info {};
    if (fstat(fd, &info) != 0) return ArchiveError(archive, errno);
    if (!S_ISREG(info.st_mode) || info.st_size == 0) {
      return MakeError(Code::kInvalid, crd::reason::kImageArchive,
                       fmt::format("the image archive {} is empty or not a regular file; use the "
                                   "file that `docker save` made",
                                   archive.string()));
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    progress.done = 0;
    progress.total = static_cast<uint64_t>(info.st_size);

    HttpRequest request{
        .method = "POST", .target = "/images/load?quiet=1", .content_type = "application/x-tar"};
    request.source_size = static_cast<uint64_t>(info.st_size);
    request.source = [&, fd](char* buffer, size_t size) -> Result<size_t> {
      ssize_t n = -1;
      do {
        n = read(fd, buffer, size);
      } while (n < 0 && errno == EINTR);
      if (n < 0) return ArchiveError(archive, errno);
      if (n == 0) {
        return MakeError(
            Code::kTransient, crd::reason::kImageArchive,
            fmt::format("the image archive {} became shorter while it was read", archive.string()));
      }
      progress.done += static_cast<uint64_t>(n);
      return static_cast<size_t>(n);
    };
    return CallWithProgress(ctx, "load the image archive " + archive.string(), request,
                            crd::reason::kImageLoadFailed, [](const std::string& words) {
                              const bool full = words.find("no space left") != std::string::npos;
                              return full ? Code::kTransient : Code::kInvalid;
                            });
  }

  Status PullImage(const Context& ctx, const std::string& reference) override {
    if (reference.empty()) return MakeError(Code::kInvalid, "the image reference is empty");
    // Without a tag the engine would pull all of them.
    std::string query = "fromImage=" + EscapeUrl(reference);
    if (reference.find('@') == std::string::npos) {
      const size_t slash = reference.rfind('/');
      const size_t colon = reference.rfind(':');
      const bool tagged =
          colon != std::string::npos && (slash == std::string::npos || colon > slash);
      query = "fromImage=" + EscapeUrl(reference.substr(0, tagged ? colon : std::string::npos)) +
              "&tag=" + EscapeUrl(tagged ? reference.substr(colon + 1) : "latest");
    }
    return CallWithProgress(ctx, "pull the image " + reference,
                            {.method = "POST", .target = "/images/create?" + query},
                            crd::reason::kImagePullFailed,
                            // What cannot be pulled at all is refused with a status, as a rule.
                            [](const std::string&) { return Code::kTransient; });
  }

  Status SaveImage(const Context& ctx, const std::string& reference, const fs::path& archive,
                   ByteProgress& progress) override {
    OMS_ASSIGN(const ImageInfo image, InspectImage(ctx, reference));
    progress.done = 0;
    progress.total = image.size;  // The archive is a little larger; nobody knows it beforehand.
    OMS_TRY(files::MakeFolders(archive.parent_path()));
    RemoveLeftovers(archive);
    OMS_ASSIGN(auto file, files::DurableFile::Create(archive));
    std::string end;
    HttpOptions options;
    options.sink = [&](std::string_view piece) -> Status {
      OMS_TRY(file.Write(piece));
      progress.done += piece.size();
      if (progress.done > progress.total) progress.total = progress.done.load();
      end += piece.substr(piece.size() - std::min<size_t>(piece.size(), 1024));
      if (end.size() > 1024) end.erase(0, end.size() - 1024);
      return base::Ok();
    };
    OMS_TRY(Call(ctx, "save the image " + reference,
                 {.method = "GET", .target = "/images/get?names=" + EscapeUrl(reference)}, options,
                 std::nullopt));
    // An engine that fails in the middle writes its error into the stream, and ends it in good
    // order.
    if (!IsTarEnd(end)) {
      return MakeError(Code::kTransient, crd::reason::kImageSaveFailed,
                       fmt::format("the Docker Engine at {} did not send all of the image {}; see "
                                   "the engine's log",
                                   endpoint_.text, reference));
    }
    OMS_TRY(ctx.Check());
    return file.CommitByRename();
  }

  Result<std::string> Create(const Context& ctx, const std::string& name,
                             const std::string& body) override {
    auto response = Call(ctx, "create the container " + name,
                         {.method = "POST",
                          .target = "/containers/create?name=" + EscapeUrl(name),
                          .content_type = "application/json",
                          .body = body},
                         {}, kCreate);
    if (response.Is(Code::kConflict)) {
      return MakeError(Code::kAlreadyExists, crd::reason::kContainerNameTaken,
                       response.error().message);
    }
    if (!response.ok()) return response.error();
    std::string id = Text(At(Parse(response->body), "Id"));
    if (id.empty()) return UnexpectedAnswer("the answer to a create has no Id");
    return id;
  }

  Status Start(const Context& ctx, const std::string& id) override {
    OMS_ASSIGN(const auto path, ContainerPath(id, "/start"));
    return Simple(ctx, "start the container " + id, {.method = "POST", .target = path}, kCreate);
  }

  Status Stop(const Context& ctx, const std::string& id, Duration grace) override {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(grace).count();
    OMS_ASSIGN(const auto path, ContainerPath(id, fmt::format("/stop?t={}", seconds)));
    return Simple(ctx, "stop the container " + id, {.method = "POST", .target = path},
                  grace + kCreate);
  }

  Status RemoveImage(const Context& ctx, const std::string& reference) override {
    if (reference.empty()) return MakeError(Code::kInvalid, "the image reference is empty");
    return Simple(ctx, "remove the image " + reference,
                  {.method = "DELETE", .target = "/images/" + EscapePath(reference)}, kCreate);
  }

  Status Remove(const Context& ctx, const std::string& id, bool force) override {
    OMS_ASSIGN(const auto path, ContainerPath(id, fmt::format("?force={}", force ? 1 : 0)));
    const Context limited = ctx.WithTimeout(kCreate);
    while (true) {
      auto removed = Simple(limited, "remove the container " + id,
                            {.method = "DELETE", .target = path}, kCreate);
      if (removed.ok() || removed.Is(Code::kNotFound)) return base::Ok();
      const bool under_way =
          removed.Is(Code::kConflict) &&
          removed.error().message.find("already in progress") != std::string::npos;
      if (!under_way) return removed;
      OMS_TRY(Pause(limited, std::chrono::milliseconds(200)));
    }
  }

  Status SetRestartPolicy(const Context& ctx, const std::string& id, const std::string& policy,
                          int max_retries) override {
    OMS_ASSIGN(const auto path, ContainerPath(id, "/update"));
    const Json body = {
        {"RestartPolicy",
         {{"Name", policy.empty() ? "no" : policy}, {"MaximumRetryCount", max_retries}}}};
    return Simple(
        ctx, "set the restart policy of the container " + id,
        {.method = "POST", .target = path, .content_type = "application/json", .body = Dump(body)},
        kQuick);
  }

  Result<int> Wait(const Context& ctx, const std::string& id) override {
    OMS_ASSIGN(const auto path, ContainerPath(id, "/wait"));
    OMS_ASSIGN(const auto response, Call(ctx, "wait for the container " + id,
                                         {.method = "POST", .target = path}, {}, std::nullopt));
    const Json doc = Parse(response.body);
    if (!At(doc, "StatusCode").is_number_integer())
      return UnexpectedAnswer("the end of a wait has no code");
    if (const std::string error = Text(At(At(doc, "Error"), "Message")); !error.empty()) {
      return MakeError(Code::kTransient, crd::reason::kEngineError,
                       fmt::format("waiting for the container {} failed: {}", id, ToUtf8(error)));
    }
    return ExitCode(At(doc, "StatusCode"));
  }

  Result<std::string> Logs(const Context& ctx, const std::string& id, int tail_lines) override {
    // With a terminal the log is one plain stream; before API 1.42 only the container says so.
    OMS_ASSIGN(const auto info, Inspect(ctx, id));
    const bool terminal = Bool(At(At(Parse(info.inspect), "Config"), "Tty"));
    OMS_ASSIGN(const auto path,
               ContainerPath(id, fmt::format("/logs?stdout=1&stderr=1&tail={}", tail_lines)));
    Tail tail(kOutputLimit);
    FrameDemux demux(tail);
    bool framed = true;
    HttpOptions options;
    options.sink = [&](std::string_view piece) -> Status {
      if (terminal) {
        tail.Add(piece);
      } else {
        framed = framed && demux.Add(piece);
      }
      return base::Ok();
    };
    OMS_TRY(Call(ctx, "read the log of the container " + id, {.method = "GET", .target = path},
                 options));
    if (!framed) return UnexpectedAnswer("the log of a container is not a framed stream");
    return tail.Text();
  }

  Result<std::vector<ProcessInfo>> Processes(const Context& ctx, const std::string& id) override {
    OMS_ASSIGN(const auto path, ContainerPath(id, "/top?ps_args=" + EscapeUrl("-eo pid,args")));
    OMS_ASSIGN(const auto response, Call(ctx, "list the processes of the container " + id,
                                         {.method = "GET", .target = path}));
    const Json doc = Parse(response.body);
    if (!At(doc, "Processes").is_array())
      return UnexpectedAnswer("the list of processes is not JSON");
    std::vector<ProcessInfo> processes;
    for (const auto& row : At(doc, "Processes")) {
      const auto columns = Texts(row);
      if (columns.size() < 2) return UnexpectedAnswer("a process has no command");
      processes.push_back({columns[0], ToUtf8(columns[1])});
    }
    return processes;
  }

  Result<FileContent> ReadFile(const Context& ctx, const std::string& id,
                               const std::string& path) override {
    // The engine sends a symbolic link as itself, and tells where it ends within the container.
    std::string target = path;
    for (int links = 0; links < 8; ++links) {
      std::string next;
      OMS_ASSIGN(auto file, ReadFileOnce(ctx, id, target, next));
      if (next.empty()) return file;
      target = std::move(next);
    }
    return MakeError(Code::kInvalid, crd::reason::kNotAFile,
                     fmt::format("{} in the container {} is a loop of symbolic links", path, id));
  }

  Result<PathInfo> LookAtPath(const Context& ctx, const std::string& id,
                              const std::string& path) override {
    OMS_ASSIGN(const Sent sent, Fetch(ctx, id, path, false));
    PathInfo info{sent.kind, {}};
    if (sent.kind != PathInfo::Kind::kLink) return info;
    OMS_ASSIGN(const auto entry, FirstTarEntry(sent.archive));
    info.link = ToUtf8(entry.link);
    return info;
  }

  Status WriteFile(const Context& ctx, const std::string& id, const std::string& path,
                   const FileContent& file) override {
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
    OMS_ASSIGN(const auto target,
               ContainerPath(id, "/archive?noOverwriteDirNonDir=true&path=" + EscapeUrl(folder)));
    return Simple(ctx, fmt::format("write {} in the container {}", path, id),
                  {.method = "PUT",
                   .target = target,
                   .content_type = "application/x-tar",
                   .body = std::move(archive)},
                  kCreate);
  }

  Result<ExecResult> Exec(const Context& ctx, const std::string& id,
                          const std::vector<std::string>& argv,
                          const std::string& working_dir) override {
    OMS_ASSIGN(const auto path, ContainerPath(id, "/exec"));
    Json body = {{"AttachStdin", false},
                 {"AttachStdout", true},
                 {"AttachStderr", true},
                 {"Tty", false},
                 {"Cmd", argv}};
    if (!working_dir.empty()) body["WorkingDir"] = working_dir;
    OMS_ASSIGN(const auto created, Call(ctx, "run a command in the container " + id,
                                        {.method = "POST",
                                         .target = path,
                                         .content_type = "application/json",
                                         .body = Dump(body)}));
    const std::string exec = Text(At(Parse(created.body), "Id"));
    if (exec.empty()) return UnexpectedAnswer("the answer to an exec has no Id");

    Tail tail(kOutputLimit);
    FrameDemux demux(tail);
    bool framed = true;
    HttpOptions options;
    options.sink = [&](std::string_view piece) -> Status {
      framed = framed && demux.Add(piece);
      return base::Ok();
    };
    auto ran = Call(ctx, "run a command in the container " + id,
                    {.method = "POST",
                     .target = "/exec/" + EscapeUrl(exec) + "/start",
                     .content_type = "application/json",
                     .body = R"({"Detach":false,"Tty":false})"},
                    options, std::nullopt);
    if (!ran.ok()) return StillRuns(ran.error(), id);
    if (!framed) return UnexpectedAnswer("the output of a command is not a framed stream");

    // The stream may end a moment before the engine has the exit code; and the command may have
    // closed its output long before its end.
    for (Duration pause = std::chrono::milliseconds(10);;
         pause = std::min<Duration>(pause * 2, std::chrono::seconds(1))) {
      auto looked = Call(ctx, "look at a command in the container " + id,
                         {.method = "GET", .target = "/exec/" + EscapeUrl(exec) + "/json"});
      if (!looked.ok()) return StillRuns(looked.error(), id);
      const Json doc = Parse(looked->body);
      if (!At(doc, "Running").is_boolean())
        return UnexpectedAnswer("an exec does not say whether it runs");
      if (!Bool(At(doc, "Running")) && At(doc, "ExitCode").is_number_integer()) {
        return ExecResult{ExitCode(At(doc, "ExitCode")), tail.Text()};
      }
      if (auto paused = Pause(ctx, pause); !paused.ok()) return StillRuns(paused.error(), id);
    }
  }

 private:
  // ---- Errors ----

  base::Error UnexpectedAnswer(std::string_view what) const {
    return MakeError(Code::kTransient, crd::reason::kEngineError,
                     fmt::format("the Docker Engine at {} gave an answer that cannot be understood "
                                 "({}); check that it is a Docker Engine",
                                 endpoint_.text, what));
  }
  base::Error NoContainer(const std::string& id) const {
    return MakeError(Code::kNotFound, crd::reason::kNoSuchContainer,
                     fmt::format("there is no container {} on the Docker Engine at {}; check its "
                                 "name with `docker ps -a`",
                                 id, endpoint_.text));
  }
  static base::Error ArchiveError(const fs::path& archive, int error) {
    const bool transient = error == EIO || error == ESTALE;
    return MakeError(transient ? Code::kTransient : Code::kInvalid, crd::reason::kImageArchive,
                     fmt::format("the image archive {} cannot be read ({}); check the path and its "
                                 "mode, as this controller sees them",
                                 archive.string(), std::generic_category().message(error)));
  }
  base::Error StillRuns(const base::Error& error, const std::string& id) {
    if (error.code != Code::kTimeout) return error;
    return MakeError(
        Code::kTimeout, error.reason,
        fmt::format("the command in the container {} did not end in time; it is still running",
                    id));
  }

  // What a status that is no success means.
  base::Error Refused(const std::string& what, const HttpResponse& response) {
    std::string said = ToUtf8(Text(At(Parse(response.body), "message")));
    if (said.empty()) said = fmt::format("HTTP {}", response.status);
    const std::string text =
        fmt::format("the Docker Engine at {} refused to {}: {}", endpoint_.text, what, said);
    switch (response.status) {
      case 401:
      case 403: return MakeError(Code::kDenied, crd::reason::kEngineDenied, text);
      case 404: {
        std::string reason = crd::inner_reason::kNotFound;
        if (said.starts_with("No such container")) reason = crd::reason::kNoSuchContainer;
        if (said.starts_with("No such image")) reason = crd::reason::kNoSuchImage;
        return MakeError(Code::kNotFound, reason, text);
      }
      case 409: return MakeError(Code::kConflict, crd::reason::kEngineConflict, text);
      default: break;
    }
    if (response.status >= 500) return MakeError(Code::kTransient, crd::reason::kEngineError, text);
    return MakeError(Code::kInvalid, crd::reason::kEngineRefused, text);
  }

  // ---- Calls ----

  Result<std::string> ContainerPath(const std::string& id, const std::string& rest) const {
    if (id.empty()) return MakeError(Code::kInvalid, "the name of the container is empty");
    return "/containers/" + EscapeUrl(id) + rest;
  }

  // The version is asked for once, and again after the engine was away (it may be another by then).
  Result<std::string> ApiVersion(const Context& ctx) {
    {
      const std::lock_guard lock(mutex_);
      if (!api_version_.empty()) return api_version_;
    }
    OMS_ASSIGN(const auto response, Exchange(ctx.WithTimeout(kQuick), endpoint_,
                                             {.method = "GET", .target = "/version"}));
    if (response.status != 200) return Refused("report its version", response);
    const Json doc = Parse(response.body);
    auto version = NegotiateApiVersion(Text(At(doc, "MinAPIVersion")), Text(At(doc, "ApiVersion")));
    if (!version.ok()) return version.error().Wrap("the Docker Engine at " + endpoint_.text);
    const std::lock_guard lock(mutex_);
    api_version_ = *version;
    return *version;
  }
  void ForgetApiVersion() {
    const std::lock_guard lock(mutex_);
    api_version_.clear();
  }

  // `what` completes "the engine refused to ...". 2xx and 304 are successes. No `limit`: only the
  // context's deadline.
  Result<HttpResponse> Call(const Context& ctx, const std::string& what, HttpRequest request,
                            const HttpOptions& options = {},
                            std::optional<Duration> limit = kQuick) {
    OMS_TRY(ctx.Check());
    OMS_ASSIGN(const auto version, ApiVersion(ctx));
    request.target = "/v" + version + request.target;
    auto response = Exchange(limit ? ctx.WithTimeout(*limit) : ctx, endpoint_, request, options);
    if (!response.ok()) {
      if (response.error().reason == crd::reason::kEngineUnreachable) ForgetApiVersion();
      return response.error().reason == crd::reason::kEngineAnswerTooLong
                 ? response.error().Wrap(what)
                 : response.error();
    }
    const int status = response->status;
    if ((status >= 200 && status < 300) || status == 304) return response;
    if (status == 400) ForgetApiVersion();  // Perhaps "client version is too new".
    return Refused(what, *response);
  }

  Status Simple(const Context& ctx, const std::string& what, HttpRequest request, Duration limit) {
    OMS_TRY(Call(ctx, what, std::move(request), {}, limit));
    return base::Ok();
  }

  // For answers that are lines of JSON: what goes wrong after the header is told in-band. `broken`
  // says what the words of such an error mean.
  Status CallWithProgress(const Context& ctx, const std::string& what, const HttpRequest& request,
                          const std::string& reason, Code (*broken)(const std::string& words)) {
    ProgressLines lines;
    HttpOptions options;
    options.sink = [&](std::string_view piece) -> Status {
      lines.Add(piece);
      return base::Ok();
    };
    auto called = Call(ctx, what, request, options, std::nullopt);
    lines.Finish();
    if (!lines.error().empty()) {
      return MakeError(broken(lines.error()), reason,
                       fmt::format("the Docker Engine at {} could not {}: {}", endpoint_.text, what,
                                   lines.error()));
    }
    if (!called.ok()) return called.error();
    return base::Ok();
  }

  // A piece of what the engine keeps of a container, as it sends it.
  struct Sent {
    PathInfo::Kind kind = PathInfo::Kind::kFile;
    std::string link_target;  // Of a link: where it ends within the container.
    std::string archive;      // Of a file or a link.
  };
  // `content`: of a file as well, else of a link alone.
  Result<Sent> Fetch(const Context& ctx, const std::string& id, const std::string& path,
                     bool content) {
    OMS_ASSIGN(const auto target, ContainerPath(id, "/archive?path=" + EscapeUrl(path)));
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
    auto called = Call(ctx, fmt::format("read {} in the container {}", path, id),
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
  Result<FileContent> ReadFileOnce(const Context& ctx, const std::string& id,
                                   const std::string& path, std::string& next) {
    OMS_ASSIGN(const Sent sent, Fetch(ctx, id, path, true));
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
  base::Error TooLarge(const std::string& id, const std::string& path) {
    return MakeError(Code::kInvalid, crd::reason::kFileTooLarge,
                     fmt::format("{} in the container {} is larger than 64 MiB", path, id));
  }

  // Temporary files of attempts that died. One that another process still writes to loses its name,
  // and that process then fails at its rename.
  static void RemoveLeftovers(const fs::path& archive) {
    const std::string prefix = "." + archive.filename().string() + ".";
    std::error_code ec;
    for (fs::directory_iterator it(archive.parent_path(), ec);
         !ec && it != fs::directory_iterator(); it.increment(ec)) {
      const std::string name = it->path().filename().string();
      if (name.starts_with(prefix) && name.ends_with(".tmp") &&
          name.size() == prefix.size() + 32 + 4) {
        std::error_code ignored;
        fs::remove(it->path(), ignored);
      }
    }
  }

  const http::EngineEndpoint endpoint_;
  std::mutex mutex_;
  std::string api_version_;  // Guarded by mutex_; empty: not negotiated.
};

class DockerEngineProvider final : public ports::EngineProvider {
 public:
  Result<std::shared_ptr<ports::ContainerEngine>> Open(
      const ports::EngineAddress& address) override {
    OMS_ASSIGN(auto endpoint, http::ParseEndpoint(address));
    return std::shared_ptr<ports::ContainerEngine>(
        std::make_shared<DockerEngine>(std::move(endpoint)));
  }
};

}  // namespace

std::unique_ptr<ports::EngineProvider> MakeDockerEngineProvider() {
  return std::make_unique<DockerEngineProvider>();
}

Result<std::string> NegotiateApiVersion(std::string_view min, std::string_view max) {
  const auto highest = Minor(max);
  // Engines before 1.25 do not name a minimum.
  const auto lowest = min.empty() ? std::optional<int>(0) : Minor(min);
  if (!highest || !lowest || *highest < kMinMinor || *lowest > kMaxMinor) {
    return MakeError(
        Code::kInvalid, crd::reason::kEngineApiVersion,
        fmt::format("it speaks API versions {} to {}, this controller 1.{} to 1.{}; use an engine "
                    "or a controller of another release",
                    min.empty() ? "?" : ToUtf8(min), max.empty() ? "?" : ToUtf8(max), kMinMinor,
                    kMaxMinor));
  }
  return fmt::format("1.{}", std::min(*highest, kMaxMinor));
}

}  // namespace oms::drivers::docker
