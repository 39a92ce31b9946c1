#include "reconcilers/act/restore_job.h"

#include <fmt/format.h>

#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "controller/base/sha256.h"
#include "controller/base/task_group.h"
#include "crd/conditions.h"
#include "crd/oms_upgrade.h"
#include "crd/reasons.h"

namespace oms::act {
namespace {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;

base::Error Corrupt(const std::string& what) {
  return MakeError(Code::kTerminal, crd::reason::kBackupCorrupt,
                   fmt::format("{}; nothing was dropped. Restore the file from your own copy, then "
                               "set annotation {} to a new value",
                               what, crd::kResetAt));
}

std::string SumOf(const ports::DatabaseDigest& digest) {
  std::string text = digest.charset + "/" + digest.collation + "\n";
  for (const auto& table : digest.tables)
    text += fmt::format("{}\t{}\t{}\n", table.name, table.rows, table.crc_sum);
  for (const auto& object : digest.objects)
    text += fmt::format("{}\t{}\t{}\n", object.kind, object.name, object.sha256);
  return base::Sha256Hex(text);
}

// The difference in words; a database that is gone is one.
Result<std::string> Difference(const Context& ctx, const record::ManifestDatabase& database,
                               ports::DbServerView& server,
                               record::Comparing comparing = record::Comparing::kAsItIs) {
  const auto found = server.Digest(ctx, database.name);
  if (found.Is(Code::kNotFound)) return std::string("the database is gone");
  if (!found.ok()) return found.error();
  std::string words = record::DescribeDifference(database.digest, *found, comparing);
  // What a person accepts is what was found, and not the next thing of the same words.
  if (!words.empty()) words += fmt::format(" (sum {})", SumOf(*found).substr(0, 8));
  return words;
}

}  // namespace

Result<record::Manifest> VerifyForRestore(ports::RecordStoreView& store,
                                          const std::filesystem::path& folder,
                                          const std::string& manifest_sha256,
                                          const std::string& database) {
  if (!manifest_sha256.empty()) {
    const auto sha256 = store.Sha256(folder / record::kManifestName);
    if (!sha256.ok() && !sha256.Is(Code::kNotFound)) return sha256.error();
    if (!sha256.ok() || *sha256 != manifest_sha256) {
      return Corrupt(
          fmt::format("{}/{} {}", folder.string(), record::kManifestName,
                      sha256.ok() ? "differs from the one that was written" : "is missing"));
    }
  }
  auto verified = record::VerifyManifest(store, folder, database);
  if (verified.ok() || verified.error().Retryable()) return verified;
  return Corrupt(verified.error().message);
}

Result<std::map<std::string, std::string>> CompareWithBackup(const Context& outer,
                                                             const std::filesystem::path& folder,
                                                             const ports::MetaDbs& meta_dbs,
                                                             ports::RecordStoreView& store) {
  OMS_ASSIGN(const record::Manifest manifest, record::ReadManifest(store, folder));
  std::map<std::string, std::string> differences;
  std::mutex mutex;
  std::optional<base::Error> failed;  // Guarded by mutex, as differences is.
  base::TaskGroup group;
  const std::stop_callback<std::function<void()>> stopper(outer.stop(),
                                                          [&group] { group.RequestStop(); });
  for (const auto& database : manifest.databases) {
    group.Start("compare", [&, ctx = outer.WithStop(group.token())](std::stop_token) {
      auto difference = Difference(ctx, database, *meta_dbs.For(database.role).server);
      // A half-changed schema may hold what no server can read. Whatever it is, it is not what was
      // backed up, and to restore it is the cure.
      if (difference.Is(Code::kTerminal) || difference.Is(Code::kInvalid))
        difference = "it cannot be read: " + difference.error().message;
      const std::lock_guard lock(mutex);
      if (difference.ok()) {
        differences[database.name] = *std::move(difference);
      } else if (!failed) {
        failed = difference.error();
        group.RequestStop();
      }
    });
  }
  group.Join();
  OMS_TRY(outer.Check());
  if (failed) return *failed;
  return differences;
}

Result<std::string> RestoreDatabase(const Context& ctx, const RestoreRequest& request,
                                    const ports::MetaDbs& meta_dbs, ports::BackupTool& tool,
                                    ports::Fence& fence, ports::RecordStoreView& store,
                                    ports::ByteProgress& progress) {
  OMS_ASSIGN(const record::Manifest manifest,
             VerifyForRestore(store, request.folder, request.manifest_sha256, request.database));
  const record::ManifestDatabase* database = manifest.Find(request.database);
  if (database == nullptr) {
    return Corrupt(fmt::format("{}/{} does not contain database {}", request.folder.string(),
                               record::kManifestName, request.database));
  }
  ports::DbServer& server = *meta_dbs.For(database->role).server;
  OMS_TRY(ctx.Check());
  OMS_TRY(server.DropDatabase(ctx, fence, database->name));
  OMS_TRY(server.CreateDatabase(ctx, fence, database->name, database->digest.charset,
                                database->digest.collation));
  ports::LoadRequest load;
  load.server = server.address();
  load.database = database->name;
  load.folder = request.folder;
  load.files = database->files;
  load.tool = manifest.tool;
  load.compression = manifest.compression;
  OMS_TRY(tool.Load(ctx, fence, load, progress));
  return Difference(ctx, *database, server, record::Comparing::kLoaded);
}

}  // namespace oms::act
