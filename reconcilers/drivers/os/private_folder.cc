#include "reconcilers/drivers/os/private_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

namespace oms::drivers::os {

using base::Code;
using base::MakeError;
using base::Result;
namespace fs = std::filesystem;

namespace {

base::Fd OpenFolder(const std::string& path) {
  return base::Fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

bool StillNamed(int fd, const std::string& path) {
  struct stat held {
  }, named{};
  return fstat(fd, &held) == 0 && lstat(path.c_str(), &named) == 0 && held.st_dev == named.st_dev &&
         held.st_ino == named.st_ino;
}

// Whoever holds the lock may remove the folder: its maker, or one of these once the maker is gone.
void RemoveLeftovers(const fs::path& directory, std::string_view prefix) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    const base::Fd fd = OpenFolder(entry.path());
    if (!fd.valid()) continue;
    struct stat info {};
    if (fstat(fd.get(), &info) == 0 && info.st_uid == geteuid() &&
        flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
      fs::remove_all(entry.path(), ignored);
    }
  }
}

}  // namespace

Result<PrivateFolder> PrivateFolder::Make(std::string_view prefix) {
  std::error_code error;
  const fs::path directory = fs::temp_directory_path(error);
  const auto failed = [&](int number) {
    return MakeError(Code::kTransient, fmt::format("cannot make a folder in {}: {}",
                                                   error ? "TMPDIR" : directory.string(),
                                                   std::generic_category().message(number)));
  };
  if (error) return failed(error.value());
  RemoveLeftovers(directory, prefix);
  // Until it is locked, another process may take it for a leftover: then it is made anew.
  for (int tries = 0; tries < 100; ++tries) {
    std::string path = (directory / fmt::format("{}XXXXXX", prefix)).string();
    if (mkdtemp(path.data()) == nullptr) return failed(errno);
    PrivateFolder folder(std::move(path));
    folder.lock_ = OpenFolder(folder.path_);
    if (!folder.lock_.valid() && errno != ENOENT) return failed(errno);
    if (!folder.lock_.valid()) continue;
    // A file system without locks: nobody removes anything there.
    if (flock(folder.lock_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) continue;
    if (StillNamed(folder.lock_.get(), folder.path_)) return folder;
  }
  return failed(EBUSY);
}

PrivateFolder::PrivateFolder(PrivateFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}

PrivateFolder& PrivateFolder::operator=(PrivateFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(lock_, other.lock_);
  return *this;
}

PrivateFolder::~PrivateFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

}  // namespace oms::drivers::os
