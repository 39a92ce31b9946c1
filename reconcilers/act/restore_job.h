// The databases against their backup, and back to it. Both are long tasks; both
// look databases up by what the manifest says, never by what is there; each on the server of its
// role.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/backup_tool.h"
#include "reconcilers/ports/meta_dbs.h"
#include "reconcilers/ports/record_store.h"
#include "reconcilers/record/manifest.h"

namespace oms::act {

// By database of the manifest: what differs, in words; empty: rows, sums and schema equal it. A
// database that is gone differs. Reads every row, side by side. Nobody may write meanwhile.
base::Result<std::map<std::string, std::string>> CompareWithBackup(
    const base::Context& ctx, const std::filesystem::path& folder, const ports::MetaDbs& meta_dbs,
    ports::RecordStoreView& store);

struct RestoreRequest {
  std::filesystem::path folder;  // Of the backup's attempt.
  std::string database;
  std::string manifest_sha256;  // As the record has it.
};

// Its files are compared with their sums, then: drop, create with the character set and collation
// that it had, load, compare. Returns what differs afterwards, in words. To be begun again from the
// front after any error. kTerminal "BackupCorrupt": a file is not as it was written, and nothing
// was dropped.
base::Result<std::string> RestoreDatabase(const base::Context& ctx, const RestoreRequest& request,
                                          const ports::MetaDbs& meta_dbs, ports::BackupTool& tool,
                                          ports::Fence& fence, ports::RecordStoreView& store,
                                          ports::ByteProgress& progress);

// VerifyManifest in the words of a rollback: kTerminal "BackupCorrupt", and what a person can do.
// `database` empty: all. `manifest_sha256` empty: not compared.
base::Result<record::Manifest> VerifyForRestore(ports::RecordStoreView& store,
                                                const std::filesystem::path& folder,
                                                const std::string& manifest_sha256,
                                                const std::string& database);

}  // namespace oms::act
