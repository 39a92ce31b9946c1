#include "reconcilers/drivers/mysql/ca_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <string_view>
#include <system_error>
#include <utility>

#include "controller/base/fd.h"
#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/os/private_folder.h"

namespace oms::drivers::mysql {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

bool IsOurs(const std::string& folder) {
  struct stat info {};
  return !folder.empty() && lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
         info.st_uid == geteuid();
}

Status WriteNew(const std::string& path, std::string_view text) {
  const base::Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  bool written = file.valid();
  while (written && !text.empty()) {
    const ssize_t n = write(file.get(), text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    written = n > 0;
    if (written) text.remove_prefix(static_cast<size_t>(n));
  }
  if (written) return base::Ok();
  const int number = errno;
  if (file.valid()) unlink(path.c_str());
  return MakeError(
      Code::kTransient, crd::reason::kTemporaryFolder,
      fmt::format("cannot write {}: {}", path, std::generic_category().message(number)));
}

}  // namespace

Result<std::string> CaFile(const std::string& pem) {
  static std::mutex mutex;
  // Guarded by mutex. Never destroyed: a thread that is left behind with a silent server may still
  // ask for it. The next process removes what this one leaves.
  static auto& folder = *new os::PrivateFolder;
  const std::lock_guard lock(mutex);
  if (!IsOurs(folder.path())) {
    auto made = os::PrivateFolder::Make("oms-upgrade-ca-");
    if (!made.ok())
      return MakeError(Code::kTransient, crd::reason::kTemporaryFolder, made.error().message);
    folder = *std::move(made);
  }
  std::string path = fmt::format("{}/{}.pem", folder.path(), base::Sha256Hex(pem));
  if (access(path.c_str(), R_OK) != 0) OMS_TRY(WriteNew(path, pem));
  return path;
}

}  // namespace oms::drivers::mysql
