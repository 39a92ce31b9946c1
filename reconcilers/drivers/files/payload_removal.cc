#include "reconcilers/drivers/files/payload_removal.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/base/fd.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/files/durable_file.h"

namespace oms::drivers::files {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
namespace fs = std::filesystem;

// All that an operation's folder holds but for record/, config/ and what a person has put there.
constexpr const char* kPayload[] = {"dump", "upgraded", "images", "rollback"};
constexpr int kMaxDepth = 16;  // Ours are three deep.

base::Error Refused(const fs::path& path, std::string_view why) {
  return MakeError(Code::kTerminal, crd::reason::kBackupVolume,
                   fmt::format("{} {}, so nothing is removed there", path.string(), why));
}

Result<base::Fd> OpenFolder(int parent, const std::string& name, const fs::path& path) {
  base::Fd fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.get() < 0) return FileError("opening the folder", path, errno);
  return fd;
}

Result<std::vector<std::string>> NamesIn(int folder, const fs::path& path) {
  const int copy = dup(folder);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(copy < 0 ? nullptr : fdopendir(copy),
                                                    &closedir);
  if (!listing) {
    const int error = errno;
    if (copy >= 0) close(copy);
    return FileError("reading the folder", path, error);
  }
  std::vector<std::string> names;
  errno = 0;
  for (const dirent* entry = readdir(listing.get()); entry; entry = readdir(listing.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  if (errno != 0) return FileError("reading the folder", path, errno);
  return names;
}

// By descriptors, from the leaves up: no link is ever followed, also not one that is put in the way
// meanwhile. What is gone already is fine.
class Removal {
 public:
  explicit Removal(dev_t device) : device_(device) {}

  Status Remove(int parent, const std::string& name, const fs::path& path, int depth = 0) {
    struct stat info {};
    if (fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno == ENOENT ? base::Ok() : Status(FileError("looking at", path, errno));
    }
    if (!S_ISDIR(info.st_mode)) return Unlink(parent, name, path, info);
    if (info.st_dev != device_) return Refused(path, "is another file system");
    if (depth > kMaxDepth) return Refused(path, "is deeper than what this controller writes");
    {
      OMS_ASSIGN(const base::Fd folder, OpenFolder(parent, name, path));
      OMS_ASSIGN(const auto names, NamesIn(folder.get(), path));
      for (const auto& inner : names) {
        OMS_TRY(Remove(folder.get(), inner, path / inner, depth + 1));
      }
    }
    if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return FileError("removing the folder", path, errno);
    }
    return base::Ok();
  }

  const ports::RemovedPayload& removed() const { return removed_; }

 private:
  Status Unlink(int parent, const std::string& name, const fs::path& path,
                const struct stat& info) {
    if (unlinkat(parent, name.c_str(), 0) != 0) {
      return errno == ENOENT ? base::Ok() : Status(FileError("removing the file", path, errno));
    }
    ++removed_.files;
    if (S_ISREG(info.st_mode) && info.st_nlink == 1) {
      removed_.bytes += static_cast<uint64_t>(info.st_size);
    }
    return base::Ok();
  }

  const dev_t device_;
  ports::RemovedPayload removed_;
};

bool IsThere(int folder, const std::string& name) {
  struct stat info {};
  return fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

bool Is(int folder, const char* name, mode_t type) {
  struct stat info {};
  return fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && (info.st_mode & S_IFMT) == type;
}

Status Sync(int fd, const fs::path& folder) {
  if (fsync(fd) != 0) return FileError("syncing the folder", folder, errno);
  return base::Ok();
}

// Opens the folder, if it is one that may be emptied.
Result<base::Fd> OpenOperation(const fs::path& folder) {
  if (!folder.is_absolute() || folder.lexically_normal() != folder || !folder.has_filename()) {
    return Refused(folder, "is not a plain absolute path");
  }
  const fs::path directory = folder.parent_path();
  const base::Fd parent(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.get() < 0) return FileError("opening the folder", directory, errno);
  if (!Is(parent.get(), kIdentityFile, S_IFREG)) {
    return Refused(folder, fmt::format("is not in a directory that carries {}", kIdentityFile));
  }
  const std::string name = folder.filename().string();
  if (!Is(parent.get(), name.c_str(), S_IFDIR)) return Refused(folder, "is not a folder");
  OMS_ASSIGN(base::Fd operation, OpenFolder(parent.get(), name, folder));
  if (!Is(operation.get(), "record", S_IFDIR)) {
    return Refused(folder, "contains no operation record");
  }
  return operation;
}

}  // namespace

Result<ports::RemovedPayload> RemovePayloadOf(const fs::path& folder) {
  OMS_ASSIGN(const base::Fd operation, OpenOperation(folder));
  struct stat info {};
  if (fstat(operation.get(), &info) != 0) return FileError("looking at", folder, errno);
  Removal removal(info.st_dev);
  bool changed = false;
  for (const std::string name : kPayload) {
    // A half-removed backup must never look like one that is whole.
    const std::string dying = ".removing-" + name;
    if (IsThere(operation.get(), dying)) {
      changed = true;
      OMS_TRY(removal.Remove(operation.get(), dying, folder / dying));
    }
    if (!IsThere(operation.get(), name)) continue;
    changed = true;
    if (renameat(operation.get(), name.c_str(), operation.get(), dying.c_str()) != 0) {
      return FileError("renaming", folder / name, errno);
    }
    OMS_TRY(Sync(operation.get(), folder));
    OMS_TRY(removal.Remove(operation.get(), dying, folder / dying));
  }
  if (changed) OMS_TRY(Sync(operation.get(), folder));
  return removal.removed();
}

}  // namespace oms::drivers::files
