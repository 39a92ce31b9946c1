#include "reconcilers/drivers/files/durable_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "controller/base/clock.h"
#include "crd/reasons.h"

namespace oms::drivers::files {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
namespace fs = std::filesystem;

base::Error FileError(std::string_view doing, const fs::path& path, int error) {
  Code code = Code::kTransient;
  std::string_view what_to_do = "; it will be retried";
  switch (error) {
    case ENOENT:
      code = Code::kNotFound;
      what_to_do = "";
      break;
    case ENOSPC:
    case EDQUOT: what_to_do = "; free some space on that volume"; break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = Code::kTerminal;
      what_to_do = "; let this controller's user read and write there";
      break;
    case EEXIST:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
      code = Code::kTerminal;
      what_to_do = "; something else exists at that path";
      break;
    default: break;
  }
  return MakeError(code, crd::reason::kBackupVolume,
                   fmt::format("{} {} failed ({}){}", doing, path.string(),
                               std::generic_category().message(error), what_to_do));
}

Status SyncFolder(const fs::path& folder) {
  const base::Fd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return FileError("opening the folder", folder, errno);
  if (fsync(fd.get()) != 0) return FileError("syncing the folder", folder, errno);
  return base::Ok();
}

Status MakeFolders(const fs::path& folder) {
  std::error_code ignored;
  if (fs::is_directory(folder, ignored)) return base::Ok();
  const fs::path parent = folder.parent_path();
  if (!parent.empty() && parent != folder) OMS_TRY(MakeFolders(parent));
  if (mkdir(folder.c_str(), 0700) != 0) {
    if (errno == EEXIST && fs::is_directory(folder, ignored)) return base::Ok();
    return FileError("making the folder", folder, errno);
  }
  // A umask may only have taken bits from 0700; give them back.
  if (chmod(folder.c_str(), 0700) != 0) return FileError("making the folder", folder, errno);
  return SyncFolder(parent.empty() ? "." : parent);
}

Result<DurableFile> DurableFile::Create(const fs::path& target) {
  fs::path temp = target.parent_path() /
                  fmt::format(".{}.{}.tmp", target.filename().string(), base::RandomId());
  base::Fd fd(open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return FileError("making the file", target, errno);
  DurableFile file(std::move(fd), std::move(temp), target);
  if (fchmod(file.fd_.get(), 0600) != 0) return FileError("making the file", target, errno);
  return file;
}

DurableFile::DurableFile(DurableFile&& other) noexcept
    : fd_(std::move(other.fd_)),
      temp_(std::exchange(other.temp_, {})),
      target_(std::move(other.target_)) {}

DurableFile::~DurableFile() {
  if (!temp_.empty()) unlink(temp_.c_str());
}

Status DurableFile::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_.get(), bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return FileError("writing the file", target_, errno);
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return base::Ok();
}

Status DurableFile::SyncAndClose() {
  if (fsync(fd_.get()) != 0) return FileError("syncing the file", target_, errno);
  if (close(fd_.Release()) != 0) return FileError("closing the file", target_, errno);
  return base::Ok();
}

Status DurableFile::CommitByRename() {
  OMS_TRY(SyncAndClose());
  if (rename(temp_.c_str(), target_.c_str()) != 0) {
    return FileError("renaming to", target_, errno);
  }
  temp_.clear();
  return SyncFolder(target_.parent_path());
}

namespace {

bool AreOneFile(const fs::path& a, const fs::path& b) {
  struct stat one {
  }, other{};
  return lstat(a.c_str(), &one) == 0 && lstat(b.c_str(), &other) == 0 &&
         one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

}  // namespace

Status DurableFile::CommitByLink() {
  OMS_TRY(SyncAndClose());
  // link(2) sent again over NFS says EEXIST to what it has made itself; the temporary name is ours
  // alone, so one file behind both is the answer.
  const int error = link(temp_.c_str(), target_.c_str()) == 0 ? 0 : errno;
  if (error != 0 && !AreOneFile(temp_, target_)) {
    if (error == EEXIST) {
      return MakeError(Code::kAlreadyExists, fmt::format("{} already exists", target_.string()));
    }
    return FileError("linking to", target_, error);
  }
  return SyncFolder(target_.parent_path());  // The destructor takes the temporary name away.
}

}  // namespace oms::drivers::files
