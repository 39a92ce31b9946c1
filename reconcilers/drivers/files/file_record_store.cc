#include "reconcilers/drivers/files/file_record_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>

#include "controller/base/clock.h"
#include "controller/base/fd.h"
#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/files/durable_file.h"
#include "reconcilers/drivers/files/payload_removal.h"

namespace oms::drivers::files {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using ports::RecordEntry;
using ports::VolumeInfo;
namespace fs = std::filesystem;

constexpr uintmax_t kMaxTextFile = 64u << 20;  // Records and manifests are far smaller.

// Reads in pieces; `take` gets each of them.
template <typename Take>
Status ReadPieces(const fs::path& file, Take take) {
  const base::Fd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return FileError("opening the file", file, errno);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return FileError("reading the file", file, errno);
  if (!S_ISREG(info.st_mode)) {
    return MakeError(Code::kTerminal, crd::reason::kBackupVolume,
                     fmt::format("{} is not a regular file; move it away", file.string()));
  }
  (void)posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::string buffer(256u << 10, '\0');
  while (true) {
    const ssize_t n = read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError("reading the file", file, errno);
    if (n == 0) return base::Ok();
    OMS_TRY(take(std::string_view(buffer.data(), static_cast<size_t>(n))));
  }
}

Result<std::string> ReadText(const fs::path& file) {
  std::string text;
  OMS_TRY(ReadPieces(file, [&](std::string_view piece) -> Status {
    if (text.size() + piece.size() > kMaxTextFile) {
      return MakeError(Code::kTerminal, crd::reason::kBackupVolume,
                       fmt::format("{} is longer than any file of this controller", file.string()));
    }
    text += piece;
    return base::Ok();
  }));
  return text;
}

// "17.json" is 17; temporary files and other names are none.
std::optional<int> RecordNumber(const fs::path& file) {
  const std::string name = file.filename().string();
  if (!name.ends_with(".json")) return std::nullopt;
  const char* end = name.data() + name.size() - 5;
  int n = 0;
  const auto [stop, ec] = std::from_chars(name.data(), end, n);
  if (ec != std::errc() || stop != end || n < 1 || std::to_string(n) + ".json" != name) {
    return std::nullopt;
  }
  return n;
}

// The numbers of all records in order. No folder: none.
Result<std::vector<int>> RecordNumbers(const fs::path& records) {
  std::vector<int> numbers;
  std::error_code ec;
  fs::directory_iterator it(records, ec);
  for (; !ec && it != fs::directory_iterator(); it.increment(ec)) {
    if (const auto n = RecordNumber(it->path())) numbers.push_back(*n);
  }
  if (ec && ec != std::errc::no_such_file_or_directory) {
    return FileError("reading the folder", records, ec.value());
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

class FileRecordStore final : public ports::RecordStore {
 public:
  Result<VolumeInfo> Look(const fs::path& directory) override {
    auto identity = ReadText(directory / kIdentityFile);
    if (identity.Is(Code::kNotFound)) {
      return MakeError(Code::kNotFound, crd::reason::kBackupVolume,
                       fmt::format("{} has no identity file; check that the backup volume is "
                                   "mounted there",
                                   directory.string()));
    }
    if (!identity.ok()) return identity.error();
    while (!identity->empty() && identity->back() == '\n') identity->pop_back();
    if (identity->empty()) {
      return MakeError(Code::kTerminal, crd::reason::kBackupVolume,
                       fmt::format("the identity file in {} is empty; restore it from the volume's "
                                   "own backup, or remove it if the volume contains no operation",
                                   directory.string()));
    }
    OMS_ASSIGN(const uint64_t free, FreeBytes(directory));
    return VolumeInfo{std::move(*identity), free};
  }

  Result<uint64_t> FreeBytes(const fs::path& directory) override {
    for (fs::path there = directory;; there = there.parent_path()) {
      struct statvfs space {};
      if (statvfs(there.empty() ? "." : there.c_str(), &space) == 0) {
        return uint64_t{space.f_bavail} * space.f_frsize;
      }
      if (errno != ENOENT || there.empty() || there == there.parent_path()) {
        return FileError("asking for the free space of", there, errno);
      }
    }
  }

  Result<VolumeInfo> Identify(const fs::path& directory) override {
    auto known = Look(directory);
    if (!known.Is(Code::kNotFound)) return known;
    OMS_TRY(MakeFolders(directory));
    // Folders of operations without an identity: that volume lost it, and must not get another.
    std::error_code ec;
    fs::recursive_directory_iterator it(directory, ec);
    for (; !ec && it != fs::recursive_directory_iterator(); it.increment(ec)) {
      if (it.depth() == 3) it.disable_recursion_pending();
      std::error_code ignored;
      if (it->path().filename() == "record" && it->is_directory(ignored)) {
        return MakeError(Code::kTerminal, crd::reason::kBackupVolume,
                         fmt::format("{} contains operations but no identity file {}; restore that "
                                     "file, then the operation continues",
                                     directory.string(), kIdentityFile));
      }
    }
    if (ec) return FileError("reading the folder", directory, ec.value());
    OMS_ASSIGN(auto file, DurableFile::Create(directory / kIdentityFile));
    OMS_TRY(file.Write(base::RandomId() + "\n"));
    // Another process may have been quicker; then its identity is the volume's.
    if (auto made = file.CommitByLink(); !made.ok() && !made.Is(Code::kAlreadyExists)) {
      return made.error();
    }
    return Look(directory);
  }

  Result<std::vector<RecordEntry>> Read(const fs::path& folder) override {
    std::error_code ec;
    if (!fs::is_directory(folder, ec)) {
      if (ec && ec != std::errc::no_such_file_or_directory) {
        return FileError("reading the folder", folder, ec.value());
      }
      return MakeError(Code::kNotFound, crd::reason::kBackupVolume,
                       fmt::format("the operation's folder {} does not exist", folder.string()));
    }
    OMS_TRY(SyncWhatIsNot(folder / "record"));
    OMS_ASSIGN(const auto numbers, RecordNumbers(folder / "record"));
    std::vector<RecordEntry> entries;
    for (const int n : numbers) {
      OMS_ASSIGN(auto text, ReadText(folder / "record" / fmt::format("{}.json", n)));
      entries.push_back({n, std::move(text)});
    }
    return entries;
  }

  Status Append(const fs::path& folder, int n, const std::string& text) override {
    const fs::path records = folder / "record";
    OMS_TRY(MakeFolders(records));
    OMS_TRY(SyncWhatIsNot(records));
    OMS_ASSIGN(const auto numbers, RecordNumbers(records));
    const int highest = numbers.empty() ? 0 : numbers.back();
    if (n == highest) return IsOurs(folder, n, text);
    if (n < highest) return Taken(folder, n);
    // A gap: the record that we read has gone, or this is another volume than the one we read.
    if (n != highest + 1) {
      return MakeError(
          Code::kTerminal, crd::reason::kBackupVolume,
          fmt::format("record {} of {} cannot follow record {}; records are missing, so "
                      "check that the right backup volume is mounted",
                      n, folder.string(), highest));
    }
    OMS_ASSIGN(auto file, DurableFile::Create(records / fmt::format("{}.json", n)));
    OMS_TRY(file.Write(text));
    auto linked = file.CommitByLink();
    if (linked.Is(Code::kAlreadyExists)) return IsOurs(folder, n, text);
    if (!linked.ok()) NotSynced(records);
    return linked;
  }

  Status WriteFile(const fs::path& path, const std::string& content) override {
    OMS_TRY(MakeFolders(path.parent_path()));
    OMS_ASSIGN(auto file, DurableFile::Create(path));
    OMS_TRY(file.Write(content));
    return file.CommitByRename();
  }

  Result<std::string> ReadFile(const fs::path& file) override { return ReadText(file); }

  Result<std::string> Sha256(const fs::path& file) override {
    base::Sha256Stream sum;
    OMS_TRY(ReadPieces(file, [&](std::string_view piece) -> Status {
      sum.Update(piece);
      return base::Ok();
    }));
    return sum.Hex();
  }

  Result<uint64_t> Size(const fs::path& file) override {
    struct stat info {};
    if (stat(file.c_str(), &info) != 0) return FileError("looking at", file, errno);
    if (!S_ISREG(info.st_mode)) {
      return MakeError(Code::kTerminal, crd::reason::kBackupVolume,
                       fmt::format("{} is not a regular file", file.string()));
    }
    return static_cast<uint64_t>(info.st_size);
  }

  Result<std::vector<fs::path>> List(const fs::path& directory) override {
    std::vector<fs::path> folders;
    std::error_code ec, ignored;
    fs::directory_iterator it(directory, ec);
    for (; !ec && it != fs::directory_iterator(); it.increment(ec)) {
      if (fs::is_directory(it->symlink_status(ignored)) &&
          fs::is_directory(fs::symlink_status(it->path() / "record", ignored))) {
        folders.push_back(it->path());
      }
    }
    if (ec && ec != std::errc::no_such_file_or_directory) {
      return FileError("reading the folder", directory, ec.value());
    }
    std::sort(folders.begin(), folders.end());
    return folders;
  }

  Result<ports::RemovedPayload> RemovePayload(const fs::path& folder) override {
    return RemovePayloadOf(folder);
  }

 private:
  static base::Error Taken(const fs::path& folder, int n) {
    return MakeError(Code::kConflict, ports::kRecordTaken,
                     fmt::format("record {} of {} already exists with other content than in this "
                                 "process; the operation is read again",
                                 n, folder.string()));
  }
  // A try before this one has written it, and heard otherwise.
  static Status IsOurs(const fs::path& folder, int n, const std::string& text) {
    OMS_ASSIGN(const auto there, ReadText(folder / "record" / fmt::format("{}.json", n)));
    return there == text ? base::Ok() : Status(Taken(folder, n));
  }

  // A record whose name may be lost with the power is not acted on.
  void NotSynced(const fs::path& records) {
    const std::lock_guard lock(mutex_);
    not_synced_.insert(records);
  }
  Status SyncWhatIsNot(const fs::path& records) {
    const std::lock_guard lock(mutex_);
    if (!not_synced_.contains(records)) return base::Ok();
    OMS_TRY(SyncFolder(records));
    not_synced_.erase(records);
    return base::Ok();
  }

  std::mutex mutex_;
  std::set<fs::path> not_synced_;  // Guarded by mutex_.
};

}  // namespace

std::unique_ptr<ports::RecordStore> MakeFileRecordStore() {
  return std::make_unique<FileRecordStore>();
}

}  // namespace oms::drivers::files
