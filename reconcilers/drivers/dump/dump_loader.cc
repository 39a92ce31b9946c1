#include "reconcilers/drivers/dump/dump_loader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "controller/base/child_process.h"
#include "controller/base/fd.h"
#include "controller/base/sha256.h"
#include "controller/base/task_group.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/dump/dump_files.h"
#include "reconcilers/drivers/dump/dump_tool.h"
#include "reconcilers/drivers/files/zstd_stream.h"
#include "reconcilers/drivers/mysql/mysql_relay.h"
#include "reconcilers/drivers/mysql/mysql_session.h"

namespace oms::drivers::dump {

namespace fs = std::filesystem;

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::DumpFile;
using ports::DumpTool;
using ports::LoadRequest;

namespace {

// Measured on two busy cores with 81 tables of 110 MB: OceanBase 10.9 s by one, 8.0 by two, 6.6 by
// four; MariaDB 8.9, 7.0, 6.2.
constexpr size_t kLanes = 4;
constexpr uint64_t kQueryMicros = 24ULL * 3600 * 1000 * 1000;
// What the client prints before each file and after the last, so that we know how far it is.
constexpr std::string_view kMark = "oms-load ";
constexpr std::string_view kEnd = "oms-load end";

using Sink = std::function<Status(std::string_view)>;

base::Error Failed(Code code, std::string message) {
  return MakeError(code, crd::reason::kLoadFailed, std::move(message));
}

// A file of the dump, decompressed. Not thread-safe.
class FileReader {
 public:
  FileReader(const LoadRequest& request, const DumpFile& file, ports::ByteProgress& progress)
      : file_(file), progress_(progress), path_(request.folder / file.path) {}
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  // Adds the next piece (at most a megabyte) to `text`. False: the end, and the file was whole.
  Result<bool> Read(std::string& text) {
    if (!fd_.valid()) OMS_TRY(Open());
    while (true) {
      if (zstd_) {
        const auto some = zstd_->Next(text);
        if (!some.ok()) return Damaged(some.error().message);
        if (*some) return true;
      }
      OMS_ASSIGN(const auto bytes, Fill());
      if (bytes.empty()) return End();
      if (!zstd_) {
        text += bytes;
        return true;
      }
      zstd_->Take(bytes);
    }
  }

 private:
  Status Open() {
    fd_.Reset(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd_.valid()) return VolumeError("cannot read", path_);
    buffer_.resize(1 << 20);
    if (path_.extension() == ".zst") {
      zstd_ = std::make_unique<files::ZstdDecompressor>();
    }
    return base::Ok();
  }
  Result<std::string_view> Fill() {
    ssize_t n;
    do {
      n = read(fd_.get(), buffer_.data(), buffer_.size());
    } while (n < 0 && errno == EINTR);
    if (n < 0) return VolumeError("cannot read", path_);
    const auto size = static_cast<size_t>(n);
    const std::string_view bytes = std::string_view(buffer_).substr(0, size);
    hash_.Update(bytes);
    const uint64_t step = std::min<uint64_t>(size, file_.bytes - counted_);
    counted_ += step;
    progress_.done += step;
    return bytes;
  }
  Result<bool> End() {
    if (zstd_ && !zstd_->Whole()) return Damaged("it ends too early");
    if (hash_.Hex() != file_.sha256) return Damaged("its sha256 differs from the manifest's");
    progress_.done += file_.bytes - counted_;
    return false;
  }
  base::Error Damaged(std::string_view how) const {
    return Failed(Code::kTransient, fmt::format("{} is damaged: {}", file_.path, how));
  }

  const DumpFile& file_;
  ports::ByteProgress& progress_;
  const fs::path path_;
  base::Fd fd_;
  std::string buffer_;
  std::unique_ptr<files::ZstdDecompressor> zstd_;  // Borrows buffer_.
  base::Sha256Stream hash_;
  uint64_t counted_ = 0;
};

// Hands a stage's files out to its clients. Thread-safe.
class Source {
 public:
  // `apart`: the INSERT statements of one file may go to different clients.
  Source(const LoadRequest& request, const std::vector<DumpFile>& files, bool apart,
         ports::ByteProgress& progress)
      : request_(request), files_(files), apart_(apart), progress_(progress) {}

  // The next piece; "" at the end of all files.
  Result<std::string> Next() {
    const std::lock_guard lock(mutex_);
    if (failed_) return *failed_;
    auto piece = Take();
    if (!piece.ok()) failed_ = piece.error();
    return piece;
  }

 private:
  Result<std::string> Take() {
    while (true) {
      if (!reader_) {
        if (next_ == files_.size()) return std::string();
        reader_ = std::make_unique<FileReader>(request_, files_[next_++], progress_);
        cutter_.emplace();
        begun_ = false;
      }
      std::string text;
      OMS_ASSIGN(const bool more, reader_->Read(text));
      if (!more) reader_.reset();
      if (apart_) text = more ? cutter_->Feed(text) : cutter_->Rest();
      if (text.empty()) continue;
      if (begun_ && !apart_) return text;
      begun_ = true;
      return fmt::format("\nSELECT '{}{}';\n{}", kMark, next_ - 1, text);
    }
  }

  const LoadRequest& request_;
  const std::vector<DumpFile>& files_;
  const bool apart_;
  ports::ByteProgress& progress_;
  std::mutex mutex_;  // Guards all below.
  size_t next_ = 0;
  std::unique_ptr<FileReader> reader_;
  std::optional<StatementCutter> cutter_;
  bool begun_ = false;
  std::optional<base::Error> failed_;
};

class Loader {
 public:
  Loader(const Context& ctx, const LoadRequest& request, ports::ByteProgress& progress,
         std::string option_file)
      : ctx_(ctx),
        request_(request),
        progress_(progress),
        option_file_(std::move(option_file)),
        stopper_(ctx.stop(), [this] { stop_.request_stop(); }) {}

  // The files by so many clients; back when all have ended. The first error stops all.
  Status Stage(const std::vector<DumpFile>& files, size_t lanes) {
    if (files.empty()) return base::Ok();
    Source source(request_, files, lanes > 1, progress_);
    std::mutex mutex;
    std::optional<base::Error> failed;  // Guarded by mutex.
    const Context ctx = ctx_.WithStop(stop_.get_token());
    base::TaskGroup group;
    for (size_t i = 0; i < lanes; ++i) {
      group.Start("load", [&](std::stop_token) {
        const auto done = Lane(ctx, files, source);
        if (done.ok()) return;
        {
          const std::lock_guard lock(mutex);
          if (!failed) failed = done.error();
        }
        stop_.request_stop();
      });
    }
    group.Join();
    OMS_TRY(ctx_.Check());
    if (failed) return *failed;
    return base::Ok();
  }

 private:
  // One client, fed with one piece after the other.
  Status Lane(const Context& ctx, const std::vector<DumpFile>& files, Source& source) {
    base::ChildCommand command;
    command.argv = {"mysql", "--defaults-file=" + option_file_, "--batch", "--skip-column-names",
                    "--unbuffered", "--binary-mode",
                    // A server may ask its client for any file.
                    "--local-infile=0", "--comments", "--skip-reconnect", "--max-allowed-packet=1G",
                    "--default-character-set=utf8mb4", request_.database};
    command.feed = [&](const Sink& sink) -> Status {
      while (true) {
        OMS_TRY(ctx.Check());
        OMS_ASSIGN(const auto piece, source.Next());
        if (piece.empty()) break;
        OMS_TRY(sink(piece));
      }
      // A file that ends within a string would end the client well, with its last statement left
      // out; then there is no answer to this either.
      return sink(fmt::format("\nSELECT '{}';\n", kEnd));
    };
    OMS_ASSIGN(auto child, base::RunChild(ctx, command));
    OMS_TRY(ctx.Check());
    const auto& said = child.output;
    const size_t at = said.rfind(kMark);
    const std::string last =
        at == std::string::npos ? "" : said.substr(at, said.find('\n', at) - at);
    if (child.exit_code == 0 && last == kEnd) return base::Ok();
    std::string where = request_.database;
    if (last.size() > kMark.size() && last != kEnd) {
      const size_t index = std::strtoull(last.c_str() + kMark.size(), nullptr, 10);
      if (index < files.size()) where = files[index].path;
    }
    if (child.exit_code == 0) {
      return Failed(Code::kTransient, fmt::format("{} ends in the middle of a statement", where));
    }
    return Failed(Code::kTransient,
                  fmt::format("mysql ended with exit code {} in {}: {}", child.exit_code, where,
                              LoadWords(child.errors, request_.server.password.Reveal())));
  }

  const Context& ctx_;
  const LoadRequest& request_;
  ports::ByteProgress& progress_;
  const std::string option_file_;
  std::stop_source stop_;
  std::stop_callback<std::function<void()>> stopper_;  // After stop_, which it uses.
};

}  // namespace

Status LoadDump(const Context& ctx, ports::Fence& fence, const LoadRequest& request,
                ports::ByteProgress& progress) {
  OMS_TRY(ctx.Check());
  OMS_TRY(mysql::CheckIdentifier(request.database));
  OMS_ASSIGN(const auto order, OrderFiles(request));
  progress.total += order.bytes;
  bool oceanbase = false;
  {
    // Says kNotFound when there is no such database.
    OMS_ASSIGN(auto session,
               mysql::MysqlSession::Open(ctx, request.server,
                                         {request.database, std::chrono::seconds(30), {}}));
    oceanbase = session->oceanbase();
  }
  OMS_ASSIGN(auto relay, mysql::MysqlRelay::Start(ctx, request.server, mysql::RelayUse::kWrite,
                                                  fence, nullptr));
  OMS_ASSIGN(const auto options, LoadOptions(request.server, relay->socket_path(), oceanbase));
  OMS_ASSIGN(const auto option_file, WriteOptionFile(relay->folder(), options));
  Loader loader(ctx, request, progress, option_file);
  auto done = loader.Stage(order.schemas, 1);
  if (done.ok()) done = loader.Stage(order.rows, order.side_by_side ? kLanes : 1);
  if (done.ok()) done = loader.Stage({order.objects}, 1);
  if (!done.ok()) {
    const auto health = relay->Health();
    // That another owns the operation is the news; how the client took it is not.
    if (health.Is(Code::kFenced)) return health.error();
    if (done.error().reason != crd::reason::kLoadFailed || health.ok()) return done;
    // The client only knows that its connection was closed; why, the relay knows.
    return Failed(done.error().code,
                  fmt::format("{} [{}]", done.error().message, health.error().message));
  }
  progress.done += order.not_loaded;
  return base::Ok();
}

Result<LoadOrder> OrderFiles(const LoadRequest& request) {
  LoadOrder order;
  bool objects = false;
  const bool mydumper = request.tool == DumpTool::kMydumper;
  const auto unknown = [&](const DumpFile& file) {
    return Failed(Code::kTerminal,
                  fmt::format("{} is not a file of a dump of {} by {}", file.path, request.database,
                              mydumper ? "mydumper" : "mysqldump"));
  };
  for (const auto& file : request.files) {
    const fs::path path = file.path;
    if (path.is_absolute() || path.lexically_normal().native().starts_with("..")) {
      return unknown(file);
    }
    std::string name = path.filename().string();
    if (name.ends_with(".zst")) name.resize(name.size() - 4);
    order.bytes += file.bytes;
    if (name == request.database + "-objects.sql") {
      if (objects) return unknown(file);
      objects = true;
      order.objects = file;
    } else if (!mydumper && name == request.database + ".sql") {
      order.rows.push_back(file);
    } else if (mydumper &&
               (name == "metadata" || name == request.database + "-schema-create.sql")) {
      order.not_loaded += file.bytes;
    } else if (!mydumper || !name.starts_with(request.database + ".") || !name.ends_with(".sql") ||
               name.ends_with("-schema-view.sql") || name.ends_with("-schema-triggers.sql") ||
               name.ends_with("-schema-post.sql")) {
      return unknown(file);
    } else if (name.ends_with("-schema.sql")) {
      order.schemas.push_back(file);
    } else {
      order.rows.push_back(file);
    }
  }
  // Of little, a second client's login costs more than it saves.
  uint64_t row_bytes = 0;
  for (const auto& file : order.rows) row_bytes += file.bytes;
  order.side_by_side = mydumper && row_bytes > 64 * 1024;
  const auto missing = [&](std::string_view name) {
    return Failed(Code::kTerminal,
                  fmt::format("{}{} is not among the files of the dump", request.database, name));
  };
  if (!objects) return missing("-objects.sql");
  if (!mydumper && order.rows.size() != 1) return missing(".sql");
  std::sort(order.schemas.begin(), order.schemas.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  std::sort(order.rows.begin(), order.rows.end(), [](const auto& a, const auto& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.path < b.path;
  });
  return order;
}

std::string StatementCutter::Feed(std::string_view text) {
  constexpr std::string_view kNext = ";\nINSERT INTO `";
  text_ += text;
  if (text_.size() < kPiece) return "";
  if (!header_known_) {
    header_known_ = true;
    size_t at = 0;
    while (text_.compare(at, 3, "/*!") == 0)
      at = std::min(text_.find('\n', at), text_.size() - 1) + 1;
    header_ = text_.substr(0, at);
    text_.erase(0, at);
  }
  const size_t at = text_.rfind(kNext);
  if (at == std::string::npos) return "";
  std::string piece = header_ + text_.substr(0, at + 2);
  text_.erase(0, at + 2);
  return piece;
}

std::string StatementCutter::Rest() {
  if (text_.empty()) return "";
  return header_ + std::exchange(text_, "");
}

Result<std::string> LoadOptions(const ports::DbServerAddress& server, const std::string& socket,
                                bool oceanbase) {
  OMS_ASSIGN(auto user, OptionFileValue(server.user));
  OMS_ASSIGN(auto password, OptionFileValue(server.password.Reveal()));
  return fmt::format(
      "[client]\nuser={}\npassword={}\nprotocol=socket\nsocket={}\n"
      "[mysql]\ninit-command=\"SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO', time_zone='+00:00', "
      "foreign_key_checks=0{}\"\n",
      user, password, socket,
      oceanbase ? fmt::format(", ob_query_timeout={0}, ob_trx_timeout={0}", kQueryMicros) : "");
}

std::string LoadWords(const std::string& errors, const std::string& secret) {
  // After an error MariaDB's client repeats the statement, which may be a megabyte of rows.
  const size_t start = errors.starts_with("ERROR") ? 0 : errors.rfind("\nERROR");
  std::string words = start == std::string::npos ? "" : errors.substr(start == 0 ? 0 : start + 1);
  if (words.empty()) return "no words";
  const size_t line = words.find(" at line ");
  if (line != std::string::npos) {
    words.erase(line, std::min(words.find(':', line), words.size()) - line);
  }
  for (const std::string_view before : {" entry '", " value: '"}) {
    const size_t quoted = words.find(before);
    const size_t end = quoted == std::string::npos ? quoted : words.rfind("' for ");
    const size_t from = quoted + before.size();
    if (end != std::string::npos && end >= from) words.replace(from, end - from, "...");
  }
  const size_t near = words.find(" near '");
  if (near != std::string::npos) words.resize(near);
  return ToolWords(words, secret);
}

}  // namespace oms::drivers::dump
