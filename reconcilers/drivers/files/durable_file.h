// Files that are wholly there or not at all, also after a loss of power.
//
// Written to a temporary file beside the target (O_EXCL, mode 0600 whatever the umask), fsynced,
// then renamed or linked, and the folder is fsynced. Errors: kTerminal "BackupVolume" where a
// person must give a right or take something out of the way, else kTransient "BackupVolume" (also
// of a full volume: it goes on when there is room); with errno's words and the target's name.
#pragma once

#include <filesystem>
#include <string_view>

#include "controller/base/fd.h"
#include "controller/base/result.h"

namespace oms::drivers::files {

// errno of a failed call on `path`, as an error. kNotFound for ENOENT.
base::Error FileError(std::string_view doing, const std::filesystem::path& path, int error);

base::Status SyncFolder(const std::filesystem::path& folder);
// Makes the folder and its missing parents, each with mode 0700 and fsynced.
base::Status MakeFolders(const std::filesystem::path& folder);

class DurableFile {
 public:
  // Opens `<folder>/.<name>.<random>.tmp` for a later `<folder>/<name>`.
  static base::Result<DurableFile> Create(const std::filesystem::path& target);
  DurableFile(DurableFile&& other) noexcept;
  DurableFile& operator=(DurableFile&&) = delete;
  ~DurableFile();  // Removes the temporary file if it was not committed.

  base::Status Write(std::string_view bytes);
  base::Status CommitByRename();  // Replaces what is there.
  // kAlreadyExists if the target is there, and is not this file; nothing is replaced. Any other
  // error may leave it there.
  base::Status CommitByLink();

 private:
  DurableFile(base::Fd fd, std::filesystem::path temp, std::filesystem::path target)
      : fd_(std::move(fd)), temp_(std::move(temp)), target_(std::move(target)) {}
  base::Status SyncAndClose();

  base::Fd fd_;
  std::filesystem::path temp_, target_;
};

}  // namespace oms::drivers::files
