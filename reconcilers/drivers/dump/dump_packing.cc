#include "reconcilers/drivers/dump/dump_packing.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>

#include "controller/base/fd.h"
#include "controller/base/sha256.h"
#include "controller/base/task_group.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/dump/dump_files.h"
#include "reconcilers/drivers/dump/dump_scanner.h"
#include "reconcilers/drivers/files/zstd_stream.h"

namespace oms::drivers::dump {

namespace fs = std::filesystem;

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::Compression;
using ports::DumpedTable;
using ports::DumpFile;
using ports::DumpOutcome;
using ports::DumpRequest;

namespace {

constexpr size_t kPackers = 4;

Status SyncFile(const fs::path& path) {
  const base::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return VolumeError("cannot open", path);
  if (fsync(file.get()) != 0) return VolumeError("cannot sync", path);
  return base::Ok();
}

// Lines, whatever the pieces they come in; only their first 256 bytes, which is all that is asked.
class Lines {
 public:
  explicit Lines(std::function<void(std::string_view)> line) : line_(std::move(line)) {}
  void Feed(std::string_view bytes) {
    while (!bytes.empty()) {
      const size_t end = std::min(bytes.find('\n'), bytes.size());
      if (head_.size() < 256) head_.append(bytes.substr(0, std::min<size_t>(end, 256)));
      if (end == bytes.size()) return;
      line_(head_);
      head_.clear();
      bytes.remove_prefix(end + 1);
    }
  }
  void End() {
    if (!head_.empty()) line_(head_);
  }

 private:
  std::function<void(std::string_view)> line_;
  std::string head_;
};

// Takes the first line away if it is MariaDB's sandbox mark, which other clients choke on.
class SandboxCut {
 public:
  std::string_view Feed(std::string_view bytes) {
    if (done_) return bytes;
    held_.append(bytes);
    const auto begins = [&](std::string_view mark) {
      const size_t n = std::min(held_.size(), mark.size());
      return std::string_view(held_).substr(0, n) == mark.substr(0, n);
    };
    // The second is 10.11.8's.
    if (!begins("/*M!999999") && !begins("/*!999999")) {
      done_ = true;
      return held_;
    }
    const size_t end = held_.find('\n');
    if (end == std::string::npos) return {};
    done_ = true;
    return std::string_view(held_).substr(end + 1);
  }

 private:
  bool done_ = false;
  std::string held_;
};

// Writes what is fed to it to `target`, compressed if asked for; knows size and sha256 of what it
// wrote.
class Packer {
 public:
  static Result<std::unique_ptr<Packer>> Create(const fs::path& target, Compression compression) {
    std::unique_ptr<Packer> packer(new Packer);
    OMS_ASSIGN(packer->file_, NewFile::Create(target));
    if (compression == Compression::kZstd)
      packer->zstd_ = std::make_unique<files::ZstdCompressor>();
    return packer;
  }
  Status Feed(std::string_view bytes) {
    if (!zstd_) return Put(bytes);
    return zstd_->Feed(bytes, [this](std::string_view out) { return Put(out); });
  }
  Result<DumpFile> Finish() {
    if (zstd_) OMS_TRY(zstd_->Finish([this](std::string_view out) { return Put(out); }));
    OMS_TRY(file_->Close());
    return DumpFile{"", bytes_, hash_.Hex()};
  }

 private:
  Packer() = default;
  Status Put(std::string_view bytes) {
    hash_.Update(bytes);
    bytes_ += bytes.size();
    return file_->Write(bytes);
  }
  std::unique_ptr<NewFile> file_;
  std::unique_ptr<files::ZstdCompressor> zstd_;
  base::Sha256Stream hash_;
  uint64_t bytes_ = 0;
};

base::Error InFile(const base::Error& error, const fs::path& path) {
  return MakeError(error.code, error.reason,
                   fmt::format("{}: {}", path.filename().string(), error.message));
}

Status Count(DumpScanner& scanner, const std::string& name,
             std::map<std::string, DumpedTable>& found) {
  const auto scanned = scanner.Finish();
  if (!scanned.ok()) return InFile(scanned.error(), name);
  if (!scanner.creates().empty())
    return Incomplete(name + " creates a table and also contains rows");
  for (const auto& [table, rows] : scanner.tables()) {
    if (!AddTable(rows, found[table])) {
      return Incomplete(fmt::format(
          "{}: its rows of {} do not have the same columns as another file", name, table));
    }
  }
  return base::Ok();
}

// `scanner`: of a file that holds rows.
Result<DumpFile> PackFile(const Context& ctx, const DumpRequest& request, const std::string& name,
                          DumpScanner* scanner) {
  const fs::path path = request.folder / name;
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error || size == 0) {
    return Incomplete(fmt::format("{} of {} is empty", name, request.database));
  }
  // The tool's umask is ours, but its modes are its own.
  chmod(path.c_str(), 0600);
  DumpFile file;
  if (request.compression == Compression::kZstd && name.ends_with(".sql")) {
    OMS_ASSIGN(auto packer, Packer::Create(request.folder / (name + ".zst"), request.compression));
    OMS_TRY(ReadAll(ctx, path, [&](std::string_view bytes) {
      if (scanner != nullptr) scanner->Feed(bytes);
      return packer->Feed(bytes);
    }));
    OMS_ASSIGN(file, packer->Finish());
    file.path = name + ".zst";
    if (unlink(path.c_str()) != 0) return VolumeError("cannot remove", path);
  } else {
    base::Sha256Stream hash;
    OMS_TRY(ReadAll(ctx, path, [&](std::string_view bytes) {
      if (scanner != nullptr) scanner->Feed(bytes);
      hash.Update(bytes);
      file.bytes += bytes.size();
      return base::Ok();
    }));
    file.sha256 = hash.Hex();
    file.path = name;
    OMS_TRY(SyncFile(path));
  }
  return file;
}

}  // namespace

base::Error Incomplete(std::string message) {
  return MakeError(Code::kTransient, crd::reason::kDumpIncomplete, std::move(message));
}

Status Missing(const std::string& database, const std::vector<std::string>& missing) {
  if (missing.empty()) return base::Ok();
  std::string names;
  for (size_t i = 0; i < missing.size() && i < 5; ++i) names += (i ? ", " : "") + missing[i];
  return Incomplete(
      fmt::format("{} tables of {} are not in the dump: {}", missing.size(), database, names));
}

Status CorrectSchemas(const Context& ctx, const DumpRequest& request,
                      const std::vector<std::string>& tables) {
  constexpr std::string_view kBinary = "/*!40101 SET NAMES binary*/;\n";
  for (const auto& table : tables) {
    const fs::path path = request.folder / (request.database + "." + table + "-schema.sql");
    std::string text;
    OMS_TRY(ReadAll(ctx, path, [&](std::string_view bytes) {
      text += bytes;
      return base::Ok();
    }));
    if (!text.starts_with(kBinary)) {
      return Incomplete(
          fmt::format("{} does not begin as mydumper 0.10 begins it", path.filename().string()));
    }
    DumpScanner scanner;
    scanner.Feed(text);
    const auto scanned = scanner.Finish();
    if (!scanned.ok()) return InFile(scanned.error(), path);
    if (scanner.creates() != std::vector<std::string>{table} || scanner.beyond_schema()) {
      return MakeError(Code::kTerminal, crd::reason::kDumpUnsupported,
                       fmt::format("{} contains more than the definition of {}.{}; the server "
                                   "returned an invalid definition",
                                   path.filename().string(), request.database, table));
    }
    text.replace(0, kBinary.size(), "/*!40101 SET NAMES utf8mb4*/;\n");
    if (unlink(path.c_str()) != 0) return VolumeError("cannot remove", path);
    OMS_ASSIGN(auto file, NewFile::Create(path));
    OMS_TRY(file->Write(text));
    OMS_TRY(file->Close());
  }
  return base::Ok();
}

Result<DumpFile> PackMysqldump(const Context& ctx, const DumpRequest& request, const fs::path& raw,
                               const std::vector<std::string>& tables,
                               std::vector<DumpedTable>& found) {
  const std::string name =
      request.database + (request.compression == Compression::kZstd ? ".sql.zst" : ".sql");
  OMS_ASSIGN(auto packer, Packer::Create(request.folder / name, request.compression));
  DumpScanner scanner;
  bool completed = false;
  Lines lines([&](std::string_view line) {
    // The mark is the last thing in the file, or it is a piece of data.
    if (!line.empty()) completed = line.starts_with("-- Dump completed");
  });
  SandboxCut cut;
  OMS_TRY(ReadAll(ctx, raw, [&](std::string_view bytes) -> Status {
    const auto rest = cut.Feed(bytes);
    lines.Feed(rest);
    scanner.Feed(rest);
    return packer->Feed(rest);
  }));
  lines.End();
  OMS_ASSIGN(auto file, packer->Finish());
  if (!completed) {
    return Incomplete(
        fmt::format("mysqldump of {} has no \"-- Dump completed\" at its end", request.database));
  }
  const auto scanned = scanner.Finish();
  if (!scanned.ok()) return InFile(scanned.error(), raw.stem());
  const std::set<std::string> created(scanner.creates().begin(), scanner.creates().end());
  std::vector<std::string> missing;
  for (const auto& table : tables) {
    if (created.count(table) == 0) missing.push_back(table);
  }
  OMS_TRY(Missing(request.database, missing));
  for (const auto& [table, rows] : scanner.tables()) found.push_back(rows);
  if (unlink(raw.c_str()) != 0) return VolumeError("cannot remove", raw);
  file.path = name;
  return file;
}

Status PackFolder(const Context& ctx, const DumpRequest& request,
                  const std::vector<std::string>& tables, DumpOutcome& outcome) {
  std::set<std::string> without_rows = {"metadata", request.database + "-schema-create.sql",
                                        request.database + "-objects.sql"};
  for (const auto& table : tables) {
    without_rows.insert(request.database + "." + table + "-schema.sql");
  }
  std::map<std::string, DumpedTable> found;  // Guarded by mutex, below.
  std::set<std::string> done;
  for (const auto& file : outcome.files) done.insert(file.path);
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(request.folder, error)) {
    const auto name = entry.path().filename().string();
    if (done.count(name) == 0) names.push_back(name);
  }
  if (error) {
    errno = error.value();
    return VolumeError("cannot list", request.folder);
  }
  // Side by side: each file waits for the disk once, and there may be hundreds.
  std::mutex mutex;
  size_t next = 0;  // Guarded by mutex, as are the two below.
  Status failed;
  base::TaskGroup group;
  for (size_t i = 0; i < std::min(kPackers, names.size()); ++i) {
    group.Start("pack", [&](std::stop_token) {
      while (true) {
        std::unique_lock lock(mutex);
        if (next == names.size() || !failed.ok()) return;
        const auto& name = names[next++];
        lock.unlock();
        DumpScanner scanner;
        const bool rows = without_rows.count(name) == 0;
        auto file = PackFile(ctx, request, name, rows ? &scanner : nullptr);
        lock.lock();
        Status good = file.ok() ? base::Ok() : Status(file.error());
        if (good.ok() && rows) good = Count(scanner, name, found);
        if (good.ok()) {
          outcome.files.push_back(std::move(*file));
        } else if (failed.ok()) {
          failed = good.error();
        }
      }
    });
  }
  group.Join();
  for (auto& [table, rows] : found) outcome.tables.push_back(std::move(rows));
  return failed;
}

}  // namespace oms::drivers::dump
