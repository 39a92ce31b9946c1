#include "reconcilers/act/backup_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>

#include "controller/base/task_group.h"
#include "crd/reasons.h"
#include "reconcilers/act/dump_check.h"

namespace oms::act {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

base::Error Disturbed(std::string message) {
  return MakeError(Code::kTransient, crd::reason::kBackupDisturbed, std::move(message));
}

class Job {
 public:
  Job(const BackupPlan& plan, const ports::MetaDbView& meta_db, ports::BackupTool& tool,
      ports::Fence& fence, ports::RecordStore& store, ports::ByteProgress& progress)
      : plan_(plan),
        meta_db_(meta_db),
        tool_(tool),
        fence_(fence),
        store_(store),
        progress_(progress),
        dumped_(plan.databases.size()) {}

  Result<record::Manifest> Run(const Context& ctx) {
    OMS_ASSIGN(record::Manifest manifest, Describe(ctx));
    if (plan_.written_meanwhile) {
      OMS_TRY(DumpWhileWritten(ctx, manifest));
    } else {
      OMS_TRY(CheckHeartbeat(ctx, manifest));
      OMS_TRY(LookForOthers(ctx));
      OMS_TRY(Do(ctx, manifest, {.dump = true, .sums = true}));
      OMS_TRY(LookForOthers(ctx));
      OMS_TRY(CheckHeartbeat(ctx, manifest));
    }
    for (const auto& database : manifest.databases) OMS_TRY(CheckSums(database));
    for (size_t i = 0; i < manifest.databases.size(); ++i) {
      const std::string lacks = WhatDumpLacks(manifest.databases[i].digest, dumped_[i]);
      if (lacks.empty()) continue;
      return MakeError(Code::kTransient, crd::reason::kDumpIncomplete,
                       fmt::format("the dump made by {} differs from the databases: {}",
                                   record::ToString(plan_.tool), lacks));
    }
    manifest.completed = base::FormatTime(ctx.clock().Wall());

    OMS_TRY(ctx.Check());
    OMS_TRY(store_.WriteFile(plan_.folder / record::kSumsName, record::SumsText(manifest)));
    OMS_TRY(store_.WriteFile(plan_.folder / record::kRestoreName,
                             record::RestoreText(manifest, plan_.hints)));
    const auto text = manifest.ToJson();
    OMS_TRY(store_.WriteFile(plan_.folder / record::kManifestName, text));
    OMS_ASSIGN(const auto back, store_.ReadFile(plan_.folder / record::kManifestName));
    if (back != text) {
      return MakeError(Code::kTransient, crd::reason::kBackupVolume,
                       "manifest.json differs from what was just written");
    }
    return record::Manifest::FromJson(back);
  }

 private:
  const ports::MetaDbView& MetaDbOf(const BackupDatabase& database) const {
    return database.meta_db ? *database.meta_db : meta_db_;
  }

  Result<record::Manifest> Describe(const Context& ctx) {
    record::Manifest manifest;
    manifest.operation = plan_.operation;
    manifest.from = plan_.from;
    manifest.tool = plan_.tool;
    manifest.compression = plan_.compression;
    manifest.container_id = plan_.container_id;
    manifest.container_name = plan_.container_name;
    manifest.started_at = plan_.started_at;
    manifest.other_runs = plan_.other_runs;
    manifest.heartbeat_max = plan_.heartbeat_max;
    manifest.written_meanwhile = plan_.written_meanwhile;
    manifest.begun = base::FormatTime(ctx.clock().Wall());
    if (plan_.databases.empty()) return MakeError(Code::kInternal, "no database to back up");
    std::set<std::string> names;
    std::map<ports::DbServerView*, ports::DbServerInfo> servers;
    for (const auto& planned : plan_.databases) {
      if (!names.insert(planned.name).second) {
        return MakeError(Code::kInvalid, crd::inner_reason::kInvalidName,
                         fmt::format("database {} is named twice", planned.name));
      }
      auto& db_server = *MetaDbOf(planned).server;
      auto server = servers.find(&db_server);
      if (server == servers.end()) {
        OMS_ASSIGN(auto info, db_server.Server(ctx));
        server = servers.emplace(&db_server, std::move(info)).first;
      }
      auto& database = manifest.databases.emplace_back();
      database.role = planned.role;
      database.name = planned.name;
      database.server = db_server.address().Name();
      database.server_identity = server->second.identity;
      database.server_version = server->second.version;
      database.oceanbase = server->second.oceanbase;
    }
    return manifest;
  }

  // For the progress bar alone, so it is never waited for: rows are counted where the server keeps
  // no sizes (OceanBase), which takes long for big tables. A database that is not there is found by
  // its dump.
  void Estimate(const Context& ctx) {
    uint64_t total = 0;
    for (const auto& planned : plan_.databases) {
      const auto info = MetaDbOf(planned).server->Database(ctx, planned.name);
      if (!info.ok()) return;
      total += info->bytes;
    }
    progress_.total = total;
  }

  // The ids stand still. The first look remembers those of further regions.
  Status CheckHeartbeat(const Context& ctx, const record::Manifest& manifest) {
    bool first = true;
    for (const auto& planned : plan_.databases) {
      if (planned.role != "cm_hb") continue;
      OMS_ASSIGN(const auto tables, MetaDbOf(planned).tables->Sequence(ctx, planned.name));
      const uint64_t expected =
          first ? manifest.heartbeat_max
                : heartbeats_.emplace(planned.name, tables.base.max_id).first->second;
      first = false;
      if (tables.base.max_id != expected) {
        return Disturbed(fmt::format(
            "the highest heartbeat id in {} changed from {} to {}: an OMS still writes there",
            planned.name, expected, tables.base.max_id));
      }
    }
    return base::Ok();
  }

  Status LookForOthers(const Context& ctx) {
    std::map<ports::DbConnectionsView*, std::vector<std::string>> by_server;
    for (const auto& planned : plan_.databases) {
      by_server[MetaDbOf(planned).connections.get()].push_back(planned.name);
    }
    for (auto& [connections, names] : by_server) {
      OMS_ASSIGN(const auto foreign, connections->ForeignConnections(ctx, names));
      if (foreign.empty()) continue;
      return Disturbed(fmt::format(
          "{} at {} uses database {}{}", foreign[0].user, foreign[0].address, foreign[0].database,
          foreign.size() > 1 ? fmt::format(", and {} more connections", foreign.size() - 1) : ""));
    }
    return base::Ok();
  }

  Status DumpWhileWritten(const Context& ctx, record::Manifest& manifest) {
    OMS_TRY(Do(ctx, manifest, {.sums = true}));
    const auto before = manifest.databases;
    OMS_TRY(Do(ctx, manifest, {.dump = true}));
    OMS_TRY(Do(ctx, manifest, {.sums = true}));
    for (size_t i = 0; i < before.size(); ++i) {
      OMS_TRY(CheckSums(before[i]));
      OMS_TRY(MarkMoving(before[i].digest, manifest.databases[i].digest));
    }
    return base::Ok();
  }

  static Status MarkMoving(const ports::DatabaseDigest& before, ports::DatabaseDigest& after) {
    const auto same = [](const ports::TableSum& a, const ports::TableSum& b) {
      return a.name == b.name;
    };
    const bool defined_as_before = before.charset == after.charset &&
                                   before.collation == after.collation &&
                                   before.objects == after.objects &&
                                   std::equal(before.tables.begin(), before.tables.end(),
                                              after.tables.begin(), after.tables.end(), same);
    if (!defined_as_before)
      return Disturbed(fmt::format("the schema of {} changed while it was dumped", after.name));
    for (size_t i = 0; i < after.tables.size(); ++i) {
      after.tables[i].moving = before.tables[i] != after.tables[i];
    }
    return base::Ok();
  }

  // What is done of each database, side by side.
  struct Work {
    bool dump = false, sums = false;
  };
  Status Do(const Context& outer, record::Manifest& manifest, const Work& work) {
    std::mutex mutex;
    std::optional<base::Error> failed;  // Guarded by mutex. The first that was no mere stop.
    std::condition_variable_any changed;
    // Guarded by mutex.
    size_t left = plan_.databases.size() * ((work.dump ? 1 : 0) + (work.sums ? 1 : 0));
    base::TaskGroup estimate;
    base::TaskGroup group;
    const std::stop_callback<std::function<void()>> stopper(outer.stop(),
                                                            [&group] { group.RequestStop(); });
    const Context ctx = outer.WithStop(group.token());
    const auto end = [&](const Status& status) {
      if (status.ok()) return;
      const std::lock_guard lock(mutex);
      if (!failed || (failed->code == Code::kCancelled && !status.Is(Code::kCancelled))) {
        failed = status.error();
      }
      group.RequestStop();
    };
    for (size_t i = 0; i < plan_.databases.size(); ++i) {
      const auto& planned = plan_.databases[i];
      auto& database = manifest.databases[i];
      const auto task = [&, &target = database, &source = planned, &found = dumped_[i]](bool dump) {
        end(dump ? Dump(ctx, source, target, found) : Sum(ctx, source, target));
        const std::lock_guard lock(mutex);
        --left;
        changed.notify_all();
      };
      // The two write different members of `database`.
      if (work.dump) group.Start("dump", [task](std::stop_token) { task(true); });
      if (work.sums) group.Start("sums", [task](std::stop_token) { task(false); });
    }
    if (work.dump) {
      estimate.Start("estimate", [this, context = outer.WithStop(estimate.token())](
                                     std::stop_token) { Estimate(context); });
    }
    while (true) {
      std::unique_lock lock(mutex);
      changed.wait_for(lock, group.token(), plan_.watch_interval, [&] { return left == 0; });
      if (left == 0 || group.token().stop_requested()) break;
      lock.unlock();
      if (!plan_.written_meanwhile) end(LookForOthers(ctx));
    }
    estimate.RequestStop();
    group.Join();
    estimate.Join();
    // An outer stop or deadline speaks for itself.
    OMS_TRY(outer.Check());
    if (failed) return *failed;
    return base::Ok();
  }

  Status Dump(const Context& ctx, const BackupDatabase& planned, record::ManifestDatabase& database,
              std::vector<ports::DumpedTable>& found) {
    ports::DumpRequest request;
    request.server = MetaDbOf(planned).server->address();
    request.database = planned.name;
    request.folder = plan_.folder / planned.name;
    request.tool = plan_.tool;
    request.compression = plan_.compression;
    request.one_transaction = plan_.written_meanwhile;
    OMS_ASSIGN(auto outcome, tool_.Dump(ctx, fence_, request, progress_));
    database.tool_version = outcome.tool_version;
    found = std::move(outcome.tables);
    for (auto& file : outcome.files) {
      file.path = planned.name + "/" + file.path;
      database.files.push_back(std::move(file));
    }
    if (database.files.empty()) {
      return MakeError(Code::kTransient, crd::reason::kDumpIncomplete,
                       fmt::format("the dump of {} has no files", planned.name));
    }
    return base::Ok();
  }

  Status Sum(const Context& ctx, const BackupDatabase& planned,
             record::ManifestDatabase& database) {
    OMS_ASSIGN(database.digest, MetaDbOf(planned).server->Digest(ctx, planned.name));
    return base::Ok();
  }

  static Status CheckSums(const record::ManifestDatabase& database) {
    for (const auto& table : database.digest.tables) {
      if (table.null_crcs == 0) continue;
      return MakeError(
          Code::kTerminal, crd::reason::kSumsImpossible,
          fmt::format("no checksum of {} rows of {}.{} can be computed (a value is longer than "
                      "max_allowed_packet of the server); raise max_allowed_packet",
                      table.null_crcs, database.name, table.name));
    }
    return base::Ok();
  }

  const BackupPlan& plan_;
  const ports::MetaDbView& meta_db_;
  ports::BackupTool& tool_;
  ports::Fence& fence_;
  ports::RecordStore& store_;
  ports::ByteProgress& progress_;
  std::map<std::string, uint64_t> heartbeats_;
  std::vector<std::vector<ports::DumpedTable>> dumped_;  // What the files hold, of each database.
};

}  // namespace

Result<record::Manifest> RunBackup(const Context& ctx, const BackupPlan& plan,
                                   const ports::MetaDbView& meta_db, ports::BackupTool& tool,
                                   ports::Fence& fence, ports::RecordStore& store,
                                   ports::ByteProgress& progress) {
  OMS_TRY(ctx.Check());
  progress.done = 0;
  progress.total = 0;
  return Job(plan, meta_db, tool, fence, store, progress).Run(ctx);
}

}  // namespace oms::act
