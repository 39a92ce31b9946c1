#include "reconcilers/drivers/docker/docker_engine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "controller/base/fd.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/docker/create_body.h"
#include "reconcilers/drivers/docker/docker_calls.h"
#include "reconcilers/drivers/docker/docker_files.h"
#include "reconcilers/drivers/docker/docker_json.h"
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

// Of one label; each is inspected, and kept for the length of a pass.
constexpr size_t kMostLabelled = 32;
constexpr size_t kOutputLimit = 64u << 10;

class DockerEngine final : public ports::ContainerEngine, private DockerCalls {
 public:
  using DockerCalls::DockerCalls;

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
                      endpoint(), list.size(), label, value, kMostLabelled));
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
    ImageInfo info = ParseImage(response.body, doc);
    if (info.id.empty()) return UnexpectedAnswer("the inspection of an image has no Id");
    return info;
  }

  Status LoadImage(const Context& ctx, const fs::path& archive, ByteProgress& progress) override {
    const base::Fd file(open(archive.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) return ArchiveError(archive, errno);
    struct stat info {};
    if (fstat(file.get(), &info) != 0) return ArchiveError(archive, errno);
    if (!S_ISREG(info.st_mode) || info.st_size == 0) {
      return MakeError(Code::kInvalid, crd::reason::kImageArchive,
                       fmt::format("the image archive {} is empty or not a regular file; use the "
                                   "file that `docker save` made",
                                   archive.string()));
    }
    (void)posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    progress.done = 0;
    progress.total = static_cast<uint64_t>(info.st_size);

    HttpRequest request{
        .method = "POST", .target = "/images/load?quiet=1", .content_type = "application/x-tar"};
    request.source_size = static_cast<uint64_t>(info.st_size);
    request.source = [&](char* buffer, size_t size) -> Result<size_t> {
      ssize_t n = -1;
      do {
        n = read(file.get(), buffer, size);
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
                                   endpoint(), reference));
    }
    OMS_TRY(ctx.Check());
    return file.CommitByRename();
  }

  Result<std::string> Create(const Context& ctx, const std::string& name,
                             const ports::ContainerSpec& spec) override {
    OMS_ASSIGN(std::string body, CreateBody(spec));
    auto response = Call(ctx, "create the container " + name,
                         {.method = "POST",
                          .target = "/containers/create?name=" + EscapeUrl(name),
                          .content_type = "application/json",
                          .body = std::move(body)},
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
      OMS_TRY(base::Pause(limited, std::chrono::milliseconds(200)));
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
    return docker::ReadFile(*this, ctx, id, path);
  }
  Result<PathInfo> LookAtPath(const Context& ctx, const std::string& id,
                              const std::string& path) override {
    return docker::LookAtPath(*this, ctx, id, path);
  }
  Status WriteFile(const Context& ctx, const std::string& id, const std::string& path,
                   const FileContent& file) override {
    return docker::WriteFile(*this, ctx, id, path, file);
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
      if (auto paused = base::Pause(ctx, pause); !paused.ok()) return StillRuns(paused.error(), id);
    }
  }

 private:
  base::Error NoContainer(const std::string& id) const {
    return MakeError(Code::kNotFound, crd::reason::kNoSuchContainer,
                     fmt::format("there is no container {} on the Docker Engine at {}; check its "
                                 "name with `docker ps -a`",
                                 id, endpoint()));
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
};

class DockerEngineProvider final : public ports::EngineProvider {
 public:
  Result<std::shared_ptr<ports::ContainerEngine>> Open(
      const ports::EngineAddress& address) override {
    OMS_ASSIGN(auto endpoint, ParseEndpoint(address));
    return std::shared_ptr<ports::ContainerEngine>(
        std::make_shared<DockerEngine>(std::move(endpoint)));
  }
};

}  // namespace

std::unique_ptr<ports::EngineProvider> MakeDockerEngineProvider() {
  return std::make_unique<DockerEngineProvider>();
}

}  // namespace oms::drivers::docker
