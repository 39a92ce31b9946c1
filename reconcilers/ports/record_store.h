// RecordStore: the folder of backups, and in it the operation's own record.
//
// `<directory>/.oms-upgrade-identity` names the volume. `<directory>/<folder>/record/<n>.json`
// (mode 0600) are the records: written to a temp file, fsynced, link(2)ed to the next n, folder
// fsynced. An n that is there with the same text is this one, of a try whose answer was lost; with
// another text it is kConflict: whether another process owns the operation is asked of the row, and
// of no file system. Texts are opaque here; operation.h knows them. Errors: kTransient or kTerminal
// "BackupVolume" with errno's words; kNotFound where said.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "crd/reasons.h"

namespace oms::ports {

struct RecordEntry {
  int n = 0;
  std::string text;
};

struct VolumeInfo {
  std::string identity;
  uint64_t free_bytes = 0;
};

// What was removed of an operation's folder; nothing where it held no payload any more.
struct RemovedPayload {
  int files = 0;
  uint64_t bytes = 0;
};

inline constexpr const char* kRecordTaken = crd::reason::kOperationOwnedByAnother;

// To look at: writes nothing.
class RecordStoreView {
 public:
  virtual ~RecordStoreView() = default;

  // What the volume says of itself. kNotFound: no directory or no identity file.
  virtual base::Result<VolumeInfo> Look(const std::filesystem::path& directory) = 0;
  // Bytes free for us on the volume of the directory, or of its nearest ancestor that exists. Asks
  // for no identity.
  virtual base::Result<uint64_t> FreeBytes(const std::filesystem::path& directory) = 0;

  // All records of an operation's folder in order of n. kNotFound: no such folder.
  virtual base::Result<std::vector<RecordEntry>> Read(
      const std::filesystem::path& operation_folder) = 0;
  // The folders of operations in `directory`, those that hold record/, by name. No directory: none.
  virtual base::Result<std::vector<std::filesystem::path>> List(
      const std::filesystem::path& directory) = 0;

  virtual base::Result<std::string> ReadFile(const std::filesystem::path& file) = 0;
  // Lower-case hex. Streams; for archives and dumps.
  virtual base::Result<std::string> Sha256(const std::filesystem::path& file) = 0;
  virtual base::Result<uint64_t> Size(const std::filesystem::path& file) = 0;
};

class RecordStore : public RecordStoreView {
 public:
  // As Look(); makes the identity where the directory has neither an identity nor any
  // operation.
  virtual base::Result<VolumeInfo> Identify(const std::filesystem::path& directory) = 0;
  // Makes folder and record/ as needed. `n` is one more than the highest that the caller has read.
  // kConflict kRecordTaken: see above; look anew. After another error it may be there or not; if it
  // is, it is read only once it is durable.
  virtual base::Status Append(const std::filesystem::path& operation_folder, int n,
                              const std::string& text) = 0;

  // A file of the operation, by temp, fsync, rename, fsync of the folder; mode 0600. Replaces.
  virtual base::Status WriteFile(const std::filesystem::path& file, const std::string& content) = 0;
  // Removes dump/, upgraded/, images/ and rollback/ of an operation's folder; record/, config/ and
  // what is not ours stay. Each goes at once under a name of ours (".removing-dump"), then its
  // files; what a crash leaves of that is carried on by the next call. Never follows a symlink.
  // Writes nothing where there is nothing to remove. kTerminal "BackupVolume", and nothing removed:
  // `operation_folder` is not a folder of an operation in a directory with an identity file.
  virtual base::Result<RemovedPayload> RemovePayload(
      const std::filesystem::path& operation_folder) = 0;
};

}  // namespace oms::ports
