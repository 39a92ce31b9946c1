#include "reconcilers/observe/record_trust.h"

#include <fmt/format.h>

#include <filesystem>
#include <vector>

#include "crd/reasons.h"

namespace oms::observe {

namespace fs = std::filesystem;

base::Status RecordTrust::CheckPlace(const std::string& folder) const {
  // Below, and not one of them: the volume's own folder is read as well.
  if (model::IsBelow(fs::path(folder).lexically_normal().parent_path(), limits.backup_dirs)) {
    return base::Ok();
  }
  return base::MakeError(
      base::Code::kInvalid, crd::reason::kBackupDirectoryNotAllowed,
      fmt::format("the operation's folder is {}, which is not below a folder that this controller "
                  "may use; it was started with --allow-backup-dir {}",
                  folder, fmt::join(limits.backup_dirs, ", ")));
}

base::Status RecordTrust::Check(const model::OperationRecord& record, const std::string& folder,
                                const std::string& identity) const {
  if (fs::path(record.folder).lexically_normal() != fs::path(folder).lexically_normal()) {
    return base::MakeError(base::Code::kInvalid, crd::reason::kWrongBackupVolume,
                           fmt::format("the record in {} belongs to an operation in {}; mount its "
                                       "volume there, and do not put a copy of a folder beside it",
                                       folder, record.folder));
  }
  if (record.volume.empty() || record.volume != identity) {
    return base::MakeError(base::Code::kInvalid, crd::reason::kWrongBackupVolume,
                           fmt::format("the record in {} was written on another volume than the "
                                       "mounted one; mount the volume that contains the operation",
                                       folder));
  }
  if (record.owner() == me) return base::Ok();
  if (!take_over.empty() && record.owner_object == take_over) return base::Ok();
  return base::MakeError(
      base::Code::kDenied, crd::reason::kOperationOwnedByAnother,
      fmt::format("the operation in {} belongs to OmsUpgrade {}{}; if this resource owns that OMS "
                  "now, annotate it with {}={}",
                  folder, record.owner_object,
                  record.owner_cluster == me.cluster ? "" : " of another cluster", crd::kTakeOver,
                  record.owner_object));
}

base::Result<FoundRecord> ReadTrusted(ports::RecordStoreView& store, const std::string& folder,
                                      const RecordTrust& trust,
                                      std::optional<ports::Owner>* others) {
  OMS_TRY(trust.CheckPlace(folder));
  OMS_ASSIGN(const ports::VolumeInfo volume, store.Look(fs::path(folder).parent_path()));
  OMS_ASSIGN(auto entries, store.Read(folder));
  FoundRecord found;
  std::vector<std::string> texts;
  for (auto& entry : entries) texts.push_back(std::move(entry.text));
  if (!entries.empty()) found.last_n = entries.back().n;
  auto record = trust.cache.Fold(folder, std::move(texts));
  if (!record.ok()) {
    return record.Is(base::Code::kNotFound) ? record.error() : record.error().Wrap(folder);
  }
  const auto believed = trust.Check(*record, folder, volume.identity);
  if (others != nullptr && believed.Is(base::Code::kDenied) && !record->open())
    *others = record->owner();
  if (!believed.ok()) return believed.error();
  found.record = *std::move(record);
  return found;
}

}  // namespace oms::observe
