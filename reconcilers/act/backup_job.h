// The backup of all databases of one OMS, as one long task.
//
// Dumps run side by side, and each database's sums beside its dump, not after it. Over all of it no
// foreign connection may be seen on the databases and the heartbeat's ids must stand still, or the
// dump and its sums may be of different states: kTransient "BackupDisturbed", and the planner makes
// a new attempt in a new folder. Other errors: those of MetaDb, BackupTool and RecordStore.
//
// While a component keeps running none of this holds: it writes, and its connections are its own.
// Then each database is dumped in one transaction, and the sums of what that transaction saw cannot
// be asked of the server by another connection. So they are taken twice, before the dumps and after
// them. A table whose rows and sum are the same both times is taken for one that stood still, and
// its sum for the dump's; one that changed is marked as moving: its part of the dump is held to be
// whole by the tool's exit code, its end mark and the files' checksums alone. A schema that changed
// is kTransient "BackupDisturbed".
//
// Then the files are held against the sums (dump_check.h): a tool that leaves out rows or columns
// without a word has left its exit code and its end mark all the same. kTransient "DumpIncomplete".
//
// manifest.json is written last and read back.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/backup_tool.h"
#include "reconcilers/ports/container_engine.h"
#include "reconcilers/ports/meta_db.h"
#include "reconcilers/ports/record_store.h"
#include "reconcilers/record/manifest.h"
#include "reconcilers/record/restore_guide.h"

namespace oms::act {

struct BackupDatabase {
  std::string role;  // rm, cm, cm_hb; the heartbeat's ids are looked at in each cm_hb.
  std::string name;
  std::optional<ports::MetaDbView> meta_db = {};  // Where it is on another server than the rest.
};

struct BackupPlan {
  std::filesystem::path folder;  // Of this attempt. Holds nothing yet.
  std::string operation;
  std::string from;  // OMS version.
  std::vector<BackupDatabase> databases;
  ports::DumpTool tool = ports::DumpTool::kMydumper;
  ports::Compression compression = ports::Compression::kZstd;
  std::string container_id, container_name, started_at;
  std::map<std::string, std::string> other_runs;  // As BackupRef's.
  uint64_t heartbeat_max = 0;                     // Of the first cm_hb, as the planner saw it.
  bool written_meanwhile = false;                 // A component keeps running.
  record::RestoreHints hints;
  // How often the process list is looked at meanwhile.
  base::Duration watch_interval = std::chrono::seconds(1);
};

// Sets progress.total to the estimate of DbServer::Database as soon as it is known (the dumps do not
// wait for it), and progress.done to the bytes that the
// tools have read. Blocks for the whole backup; ctx's stop ends it within two seconds.
base::Result<record::Manifest> RunBackup(const base::Context& ctx, const BackupPlan& plan,
                                         const ports::MetaDbView& meta_db, ports::BackupTool& tool,
                                         ports::Fence& fence, ports::RecordStore& store,
                                         ports::ByteProgress& progress);

}  // namespace oms::act
