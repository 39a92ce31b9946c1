#include "reconcilers/drivers/dump/dump_tool.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <utility>

#include "controller/base/child_process.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/dump/dump_files.h"
#include "reconcilers/drivers/dump/dump_loader.h"
#include "reconcilers/drivers/dump/dump_objects.h"
#include "reconcilers/drivers/dump/dump_packing.h"
#include "reconcilers/drivers/files/durable_file.h"
#include "reconcilers/drivers/mysql/mysql_metadb.h"
#include "reconcilers/drivers/mysql/mysql_relay.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/drivers/mysql/packet_limit.h"

namespace oms::drivers::dump {

namespace fs = std::filesystem;

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::DumpedTable;
using ports::DumpOutcome;
using ports::DumpRequest;
using ports::DumpTool;

namespace {

// For one statement of the tool; a table of 100 GB is read in it.
constexpr uint64_t kQueryMicros = 24ULL * 3600 * 1000 * 1000;

class Dumper final : public ports::BackupTool {
 public:
  Result<DumpOutcome> Dump(const Context& ctx, ports::Fence& fence, const DumpRequest& request,
                           ports::ByteProgress& progress) override {
    OMS_TRY(ctx.Check());
    OMS_TRY(mysql::CheckIdentifier(request.database));
    DumpOutcome outcome;
    OMS_ASSIGN(outcome.tool_version, Version(ctx, request.tool));
    OMS_ASSIGN(auto session, Open(ctx, request));
    OMS_ASSIGN(const auto tables, Names(ctx, *session, "tables", "table_schema", "table_name",
                                        "AND table_type = 'BASE TABLE'", request.database));
    OMS_ASSIGN(const auto views, Names(ctx, *session, "tables", "table_schema", "table_name",
                                       "AND table_type = 'VIEW'", request.database));
    OMS_TRY(CheckTool(ctx, request));
    const bool oceanbase = session->oceanbase();
    bool in_chunks = request.tool == DumpTool::kMydumper && !request.one_transaction;
    if (in_chunks) {
      OMS_ASSIGN(in_chunks, KeysCanBeCut(ctx, *session, request.database, tables));
    }
    session.reset();  // It would be idle for as long as the dump takes.
    OMS_TRY(MakeFolder(request.folder));
    const fs::path raw = request.folder / (request.database + ".sql.part");
    {
      OMS_ASSIGN(auto relay,
                 mysql::MysqlRelay::Start(ctx, request.server, UseOf(request.tool, oceanbase),
                                          fence, &progress));
      OMS_ASSIGN(auto command, Command(request, *relay, raw, oceanbase, in_chunks, views));
      const auto child = base::RunChild(ctx, command);
      const auto health = relay->Health();
      // That another owns the operation is the news; how the tool took it is not.
      if (health.Is(Code::kFenced)) return health.error();
      if (!child.ok()) return child.error();
      OMS_TRY(ctx.Check());
      if (child->exit_code != 0) {
        const auto words = ToolWords(child->errors, request.server.password.Reveal());
        // The tool only knows that its connection was closed; why, the relay knows.
        return MakeError(
            Code::kTransient, crd::reason::kDumpFailed,
            fmt::format("{} of {} ended with exit code {}: {}{}", command.argv[0], request.database,
                        child->exit_code, words,
                        health.ok() ? "" : fmt::format(" [{}]", health.error().message)));
      }
    }
    // Before anything else: is it whole?
    if (request.tool == DumpTool::kMydumper) {
      OMS_TRY(CheckMydumper(request, tables));
      OMS_TRY(CorrectSchemas(ctx, request, tables));
    } else {
      OMS_ASSIGN(auto file, PackMysqldump(ctx, request, raw, tables, outcome.tables));
      outcome.files.push_back(std::move(file));
    }
    OMS_ASSIGN(session, Open(ctx, request));
    OMS_TRY(WriteObjects(ctx, *session, request, views));
    OMS_TRY(PackFolder(ctx, request, tables, outcome));
    OMS_TRY(files::SyncFolder(request.folder));
    OMS_ASSIGN(session, Open(ctx, request));
    OMS_TRY(CheckPackets(ctx, *session, request, outcome.tables));
    std::sort(outcome.files.begin(), outcome.files.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    return outcome;
  }

  Status Load(const Context& ctx, ports::Fence& fence, const ports::LoadRequest& request,
              ports::ByteProgress& progress) override {
    return LoadDump(ctx, fence, request, progress);
  }

 private:
  static Result<std::unique_ptr<mysql::MysqlSession>> Open(const Context& ctx,
                                                           const DumpRequest& request) {
    return mysql::MysqlSession::Open(ctx, request.server,
                                     {request.database, std::chrono::minutes(10), {}});
  }

  static const char* Program(DumpTool tool) {
    return tool == DumpTool::kMydumper ? "mydumper" : "mysqldump";
  }

  // Asked once; the tool is part of the image.
  Result<std::string> Version(const Context& ctx, DumpTool tool) {
    const std::lock_guard lock(mutex_);
    auto& known = versions_[tool];
    if (known.empty()) {
      OMS_ASSIGN(known, AskVersion(ctx, tool));
    }
    return known;
  }

  // OceanBase refuses SAVEPOINT and UNLOCK TABLES, too, to a session that is read only, and
  // mysqldump says both.
  static mysql::RelayUse UseOf(DumpTool tool, bool oceanbase) {
    return oceanbase && tool == DumpTool::kMysqldump ? mysql::RelayUse::kWrite
                                                     : mysql::RelayUse::kRead;
  }

  static Result<std::string> AskVersion(const Context& ctx, DumpTool tool) {
    OMS_ASSIGN(auto child, base::RunChild(ctx, {{Program(tool), "--version"}, {}, {}}));
    if (child.exit_code != 0) {
      return MakeError(
          Code::kTerminal, crd::reason::kChildNotStarted,
          fmt::format("{} --version ended with exit code {}", Program(tool), child.exit_code));
    }
    return child.output.substr(0, child.output.find('\n'));
  }

  // Each folder on the way is private and on the disk, or a loss of power could take a dump that
  // is believed to be there.
  static Status MakeFolder(const fs::path& folder) {
    OMS_TRY(files::MakeFolders(folder.parent_path()));
    if (mkdir(folder.c_str(), 0700) == 0) {
      if (chmod(folder.c_str(), 0700) != 0) return VolumeError("cannot make", folder);
      return files::SyncFolder(folder.parent_path());
    }
    if (errno == EEXIST) {
      return MakeError(
          Code::kAlreadyExists, crd::reason::kBackupVolume,
          fmt::format("{} exists; each attempt needs its own folder", folder.string()));
    }
    return VolumeError("cannot make", folder);
  }

  static Result<base::ChildCommand> Command(const DumpRequest& request,
                                            const mysql::MysqlRelay& relay, const fs::path& raw,
                                            bool oceanbase, bool in_chunks,
                                            const std::vector<std::string>& views) {
    const bool mydumper = request.tool == DumpTool::kMydumper;
    OMS_ASSIGN(auto user, OptionFileValue(request.server.user));
    OMS_ASSIGN(auto password, OptionFileValue(request.server.password.Reveal()));
    std::string text = fmt::format("[{}]\nuser={}\npassword={}\nsocket={}\n", Program(request.tool),
                                   user, password, relay.socket_path());
    // One statement, as one is all that is taken. mysqldump sets its sql_mode itself.
    if (mydumper) {
      text += fmt::format(
          "init-command=\"SET SESSION sql_mode=''{}\"\n",
          oceanbase ? fmt::format(", ob_query_timeout={0}, ob_trx_timeout={0}", kQueryMicros) : "");
    }
    OMS_ASSIGN(const auto defaults, WriteOptionFile(relay.folder(), text));
    base::ChildCommand command;
    if (mydumper) {
      command.argv = {
          "mydumper",
          "--defaults-file=" + defaults,
          "--socket=" + relay.socket_path(),
          "--database=" + request.database,
          "--outputdir=" + request.folder.string(),
          "--no-locks",  // OMS stands still, and the caller looks for others; or one thread.
          "--no-views",
          "--long-query-guard=2000000000",
          "--verbose=1"};
      if (request.one_transaction) {
        // Without locks each thread has a snapshot of its own; and the ends of chunks are looked up
        // before the thread's snapshot is taken, so that rows between the two would be missing.
        command.argv.insert(command.argv.end(), {"--threads=1"});
      } else {
        command.argv.push_back("--threads=2");
        if (in_chunks) command.argv.push_back("--rows=250000");
      }
    } else {
      command.argv = {"mysqldump",
                      "--defaults-file=" + defaults,
                      "--protocol=socket",
                      "--socket=" + relay.socket_path(),
                      "--default-character-set=utf8mb4",
                      "--max-allowed-packet=1G",
                      "--single-transaction",
                      "--quick",
                      "--hex-blob",
                      "--triggers=false",
                      "--skip-add-locks"};  // A restore would need the right to lock tables.
      for (const auto& view : views) {
        command.argv.push_back(fmt::format("--ignore-table={}.{}", request.database, view));
      }
      command.argv.push_back(request.database);
      command.output_file = raw;
    }
    return command;
  }

  // With --rows mydumper cuts a long table by an integer key, the primary one or a unique one, and
  // counts in unsigned 64 bits: beyond 2^63 it may never end and takes all memory (seen), and of
  // keys below 0 it asks for none that there is. Then no table is cut.
  static Result<bool> KeysCanBeCut(const Context& ctx, mysql::MysqlSession& session,
                                   const std::string& database,
                                   const std::vector<std::string>& tables) {
    OMS_ASSIGN(
        const auto keys,
        session.Query(ctx,
                      "SELECT DISTINCT s.table_name, s.column_name FROM "
                      "information_schema.statistics s JOIN information_schema.columns c ON "
                      "c.table_schema = s.table_schema AND c.table_name = s.table_name AND "
                      "c.column_name = s.column_name WHERE s.table_schema = ? AND "
                      "s.seq_in_index = 1 AND s.non_unique = 0 AND "
                      "LOWER(c.data_type) IN ('smallint', 'mediumint', 'int', 'integer', 'bigint')",
                      {database}));
    constexpr size_t kAtOnce = 50;
    std::string query;
    size_t count = 0;
    const auto ask = [&]() -> Result<bool> {
      if (query.empty()) return true;
      OMS_ASSIGN(const auto rows, session.Query(ctx, std::exchange(query, "")));
      return std::all_of(rows.begin(), rows.end(), [](const mysql::SqlRow& row) {
        if (!row.at(0)) return true;  // No row, or NULL alone.
        const std::string& highest = *row[0];
        return !highest.starts_with('-') &&
               std::strtoull(highest.c_str(), nullptr, 10) <= INT64_MAX;
      });
    };
    for (const auto& key : keys) {
      const std::string table = key.at(0).value_or("");
      if (!std::binary_search(tables.begin(), tables.end(), table)) continue;
      query += fmt::format("{}SELECT MAX({}) FROM {}.{}", query.empty() ? "" : " UNION ALL ",
                           mysql::Quote(key.at(1).value_or("")), mysql::Quote(database),
                           mysql::Quote(table));
      if (++count % kAtOnce != 0) continue;
      OMS_ASSIGN(const bool good, ask());
      if (!good) return false;
    }
    return ask();
  }

  static Status CheckMydumper(const DumpRequest& request, const std::vector<std::string>& tables) {
    std::ostringstream metadata;
    metadata << std::ifstream(request.folder / "metadata").rdbuf();
    if (metadata.str().find("Finished dump at") == std::string::npos) {
      return Incomplete("mydumper's metadata of " + request.database + " has no end mark");
    }
    std::vector<std::string> missing;
    for (const auto& table : tables) {
      std::error_code error;  // What cannot be looked at is not there.
      if (!fs::exists(request.folder / (request.database + "." + table + "-schema.sql"), error)) {
        missing.push_back(table);
      }
    }
    return Missing(request.database, missing);
  }

  // A dump that lacks something, or could not be loaded, is no way back.
  static Status CheckTool(const Context& ctx, const DumpRequest& request) {
    const auto meta_db = mysql::MysqlMetaDbProvider().Open(request.server);
    OMS_ASSIGN(const auto found, meta_db.server->Obstacles(ctx, request.database));
    const auto& obstacle =
        request.tool == DumpTool::kMydumper ? found.no_mydumper : found.no_mysqldump;
    if (obstacle.empty()) return base::Ok();
    return MakeError(Code::kTerminal, crd::reason::kDumpUnsupported,
                     fmt::format("{}; set spec.backup.tool to {}", obstacle,
                                 request.tool == DumpTool::kMydumper ? "mysqldump" : "mydumper"));
  }

  // A statement that the server would not take back makes a dump that cannot be loaded. Found
  // before the stop where it could be foreseen (DbServer::ProveRowsFit).
  static Status CheckPackets(const Context& ctx, mysql::MysqlSession& session,
                             const DumpRequest& request, const std::vector<DumpedTable>& tables) {
    OMS_ASSIGN(const uint64_t allowed, mysql::MaxAllowedPacket(ctx, session));
    for (const auto& table : tables) {
      if (table.longest + 1 <= allowed) continue;
      return MakeError(
          Code::kTransient, crd::reason::kPacketTooSmall,
          fmt::format(
              "the dump of {}.{} has a statement of {} bytes, but @@global.max_allowed_packet of "
              "MetaDB {} is {}, so it could not be restored: {}",
              request.database, table.name, table.longest, mysql::ServerName(request.server),
              allowed, mysql::RaisePacket(table.longest)));
    }
    return base::Ok();
  }

  std::mutex mutex_;
  std::map<DumpTool, std::string> versions_;  // Guarded by mutex_.
};

}  // namespace

std::unique_ptr<ports::BackupTool> MakeDumpTool() { return std::make_unique<Dumper>(); }

Result<std::string> OptionFileValue(const std::string& value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < 0x20) {
      return MakeError(Code::kInvalid, crd::inner_reason::kInvalidPassword,
                       "the MetaDB's user or password contains a control character, which cannot "
                       "be passed to the dump tool");
    }
    if (c == '\\' || c == '"') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace oms::drivers::dump
