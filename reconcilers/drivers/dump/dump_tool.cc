#include "reconcilers/drivers/dump/dump_tool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <utility>

#include "controller/base/sha256.h"
#include "controller/base/task_group.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/dump/dump_files.h"
#include "reconcilers/drivers/dump/dump_loader.h"
#include "reconcilers/drivers/dump/dump_scanner.h"
#include "reconcilers/drivers/files/durable_file.h"
#include "reconcilers/drivers/files/zstd_stream.h"
#include "reconcilers/drivers/mysql/mysql_metadb.h"
#include "reconcilers/drivers/mysql/mysql_relay.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/drivers/mysql/packet_limit.h"
#include "reconcilers/drivers/os/child_process.h"

namespace oms::drivers::dump {

namespace fs = std::filesystem;

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::Compression;
using ports::DumpedTable;
using ports::DumpFile;
using ports::DumpOutcome;
using ports::DumpRequest;
using ports::DumpTool;

namespace {

constexpr size_t kPackers = 4;
// For one statement of the tool; a table of 100 GB is read in it.
constexpr uint64_t kQueryMicros = 24ULL * 3600 * 1000 * 1000;
constexpr char kModeLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_, ";

base::Error Incomplete(std::string message) {
  return MakeError(Code::kTransient, crd::reason::kDumpIncomplete, std::move(message));
}

Status SyncFile(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return VolumeError("cannot open", path);
  const bool synced = fsync(fd) == 0;
  close(fd);
  if (!synced) return VolumeError("cannot sync", path);
  return base::Ok();
}

// Lines, whatever the pieces they come in; only their first 256 bytes, which is all that is asked.
class Lines {
 public:
  explicit Lines(std::function<void(std::string_view)> line) : line_(std::move(line)) {}
  void Feed(std::string_view bytes) {
    while (!bytes.empty()) {
      const size_t end = std::min(bytes.find('\n'), bytes.size());
      if (head_.size() < 256) head_.append(bytes.substr(0, std::min<size_t>(end, 256)));
      if (end == bytes.size()) return;
      line_(head_);
      head_.clear();
      bytes.remove_prefix(end + 1);
    }
  }
  void End() {
    if (!head_.empty()) line_(head_);
  }

 private:
  std::function<void(std::string_view)> line_;
  std::string head_;
};

// Takes the first line away if it is MariaDB's sandbox mark, which other clients choke on.
class SandboxCut {
 public:
  std::string_view Feed(std::string_view bytes) {
    if (done_) return bytes;
    held_.append(bytes);
    const auto begins = [&](std::string_view mark) {
      const size_t n = std::min(held_.size(), mark.size());
      return std::string_view(held_).substr(0, n) == mark.substr(0, n);
    };
    // The second is 10.11.8's.
    if (!begins("/*M!999999") && !begins("/*!999999")) {
      done_ = true;
      return held_;
    }
    const size_t end = held_.find('\n');
    if (end == std::string::npos) return {};
    done_ = true;
    return std::string_view(held_).substr(end + 1);
  }

 private:
  bool done_ = false;
  std::string held_;
};

// Writes what is fed to it to `target`, compressed if asked for; knows size and sha256 of what it
// wrote.
class Packer {
 public:
  static Result<std::unique_ptr<Packer>> Create(const fs::path& target, Compression compression) {
    std::unique_ptr<Packer> packer(new Packer);
    OMS_ASSIGN(packer->file_, NewFile::Create(target));
    if (compression == Compression::kZstd)
      packer->zstd_ = std::make_unique<files::ZstdCompressor>();
    return packer;
  }
  Status Feed(std::string_view bytes) {
    if (!zstd_) return Put(bytes);
    return zstd_->Feed(bytes, [this](std::string_view out) { return Put(out); });
  }
  Result<DumpFile> Finish() {
    if (zstd_) OMS_TRY(zstd_->Finish([this](std::string_view out) { return Put(out); }));
    OMS_TRY(file_->Close());
    return DumpFile{"", bytes_, hash_.Hex()};
  }

 private:
  Packer() = default;
  Status Put(std::string_view bytes) {
    hash_.Update(bytes);
    bytes_ += bytes.size();
    return file_->Write(bytes);
  }
  std::unique_ptr<NewFile> file_;
  std::unique_ptr<files::ZstdCompressor> zstd_;
  base::Sha256Stream hash_;
  uint64_t bytes_ = 0;
};

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
      const auto child = os::RunChild(ctx, command);
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
    OMS_ASSIGN(auto child, os::RunChild(ctx, {{Program(tool), "--version"}, {}, {}}));
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

  static Result<os::ChildCommand> Command(const DumpRequest& request,
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
    os::ChildCommand command;
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

  static Result<std::vector<std::string>> Names(const Context& ctx, mysql::MysqlSession& session,
                                                std::string_view view, std::string_view schema,
                                                std::string_view name, std::string_view and_also,
                                                const std::string& database) {
    OMS_ASSIGN(auto rows,
               session.Query(ctx,
                             fmt::format("SELECT {} FROM information_schema.{} WHERE {} = ? {}",
                                         name, view, schema, and_also),
                             {database}));
    std::vector<std::string> names;
    for (const auto& row : rows) names.push_back(row.at(0).value_or(""));
    std::sort(names.begin(), names.end());
    return names;
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

  static base::Error InFile(const base::Error& error, const fs::path& path) {
    return MakeError(error.code, error.reason,
                     fmt::format("{}: {}", path.filename().string(), error.message));
  }

  static Status Missing(const std::string& database, const std::vector<std::string>& missing) {
    if (missing.empty()) return base::Ok();
    std::string names;
    for (size_t i = 0; i < missing.size() && i < 5; ++i) names += (i ? ", " : "") + missing[i];
    return Incomplete(
        fmt::format("{} tables of {} are not in the dump: {}", missing.size(), database, names));
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
    OMS_ASSIGN(const auto found, meta_db->Obstacles(ctx, request.database));
    const auto& obstacle =
        request.tool == DumpTool::kMydumper ? found.no_mydumper : found.no_mysqldump;
    if (obstacle.empty()) return base::Ok();
    return MakeError(Code::kTerminal, crd::reason::kDumpUnsupported,
                     fmt::format("{}; set spec.backup.tool to {}", obstacle,
                                 request.tool == DumpTool::kMydumper ? "mysqldump" : "mydumper"));
  }

  // mydumper has the schema of a table, which is utf8mb4, loaded as binary. OceanBase then changes
  // literals in it (in the expression of a generated column 'g' becomes X'67').
  static Status CorrectSchemas(const Context& ctx, const DumpRequest& request,
                               const std::vector<std::string>& tables) {
    constexpr std::string_view kBinary = "/*!40101 SET NAMES binary*/;\n";
    for (const auto& table : tables) {
      const fs::path path = request.folder / (request.database + "." + table + "-schema.sql");
      std::string text;
      OMS_TRY(ReadAll(ctx, path, [&](std::string_view bytes) {
        text += bytes;
        return base::Ok();
      }));
      if (!text.starts_with(kBinary)) {
        return Incomplete(
            fmt::format("{} does not begin as mydumper 0.10 begins it", path.filename().string()));
      }
      DumpScanner scanner;
      scanner.Feed(text);
      const auto scanned = scanner.Finish();
      if (!scanned.ok()) return InFile(scanned.error(), path);
      if (scanner.creates() != std::vector<std::string>{table} || scanner.beyond_schema()) {
        return MakeError(Code::kTerminal, crd::reason::kDumpUnsupported,
                         fmt::format("{} contains more than the definition of {}.{}; the server "
                                     "returned an invalid definition",
                                     path.filename().string(), request.database, table));
      }
      text.replace(0, kBinary.size(), "/*!40101 SET NAMES utf8mb4*/;\n");
      if (unlink(path.c_str()) != 0) return VolumeError("cannot remove", path);
      OMS_ASSIGN(auto file, NewFile::Create(path));
      OMS_TRY(file->Write(text));
      OMS_TRY(file->Close());
    }
    return base::Ok();
  }

  // Looks at the whole file while it is copied to its final form.
  static Result<DumpFile> PackMysqldump(const Context& ctx, const DumpRequest& request,
                                        const fs::path& raw, const std::vector<std::string>& tables,
                                        std::vector<DumpedTable>& found) {
    const std::string name =
        request.database + (request.compression == Compression::kZstd ? ".sql.zst" : ".sql");
    OMS_ASSIGN(auto packer, Packer::Create(request.folder / name, request.compression));
    DumpScanner scanner;
    bool completed = false;
    Lines lines([&](std::string_view line) {
      // The mark is the last thing in the file, or it is a piece of data.
      if (!line.empty()) completed = line.starts_with("-- Dump completed");
    });
    SandboxCut cut;
    OMS_TRY(ReadAll(ctx, raw, [&](std::string_view bytes) -> Status {
      const auto rest = cut.Feed(bytes);
      lines.Feed(rest);
      scanner.Feed(rest);
      return packer->Feed(rest);
    }));
    lines.End();
    OMS_ASSIGN(auto file, packer->Finish());
    if (!completed) {
      return Incomplete(
          fmt::format("mysqldump of {} has no \"-- Dump completed\" at its end", request.database));
    }
    const auto scanned = scanner.Finish();
    if (!scanned.ok()) return InFile(scanned.error(), raw.stem());
    const std::set<std::string> created(scanner.creates().begin(), scanner.creates().end());
    std::vector<std::string> missing;
    for (const auto& table : tables) {
      if (created.count(table) == 0) missing.push_back(table);
    }
    OMS_TRY(Missing(request.database, missing));
    for (const auto& [table, rows] : scanner.tables()) found.push_back(rows);
    if (unlink(raw.c_str()) != 0) return VolumeError("cannot remove", raw);
    file.path = name;
    return file;
  }

  // Views, functions, procedures, triggers: see dump_tool.h.
  static Status WriteObjects(const Context& ctx, mysql::MysqlSession& session,
                             const DumpRequest& request, const std::vector<std::string>& views) {
    const auto routines = [&](std::string_view kind) {
      return Names(ctx, session, "routines", "routine_schema", "routine_name",
                   fmt::format("AND LOWER(routine_type) = '{}'", kind), request.database);
    };
    OMS_ASSIGN(const auto functions, routines("function"));
    OMS_ASSIGN(const auto procedures, routines("procedure"));
    std::vector<CreatedObject> objects;
    const auto add = [&](std::string_view kind, const std::vector<std::string>& names) -> Status {
      for (const auto& name : names) {
        OMS_ASSIGN(auto object, Object(ctx, session, request.database, kind, name));
        objects.push_back(std::move(object));
      }
      return base::Ok();
    };
    OMS_TRY(add("view", views));
    OMS_TRY(add("function", functions));
    OMS_TRY(add("procedure", procedures));
    objects = InCreationOrder(std::move(objects));
    // Last, and several of one table and event in the order in which they fire.
    OMS_ASSIGN(auto rows,
               session.Query(ctx,
                             "SELECT trigger_name FROM information_schema.triggers WHERE "
                             "trigger_schema = ? ORDER BY event_object_table, action_timing, "
                             "event_manipulation, action_order, trigger_name",
                             {request.database}));
    std::vector<std::string> triggers;
    for (const auto& row : rows) triggers.push_back(row.at(0).value_or(""));
    OMS_TRY(add("trigger", triggers));

    OMS_ASSIGN(auto file, NewFile::Create(request.folder / (request.database + "-objects.sql")));
    OMS_TRY(file->Write(ObjectsText(request.database, objects)));
    return file->Close();
  }

  static Result<CreatedObject> Object(const Context& ctx, mysql::MysqlSession& session,
                                      const std::string& database, std::string_view kind,
                                      const std::string& name) {
    OMS_ASSIGN(auto rows,
               session.Query(ctx, fmt::format("SHOW CREATE {} {}.{}", kind, mysql::Quote(database),
                                              mysql::Quote(name))));
    // view: name, text, charset, collation. The others: name, sql_mode, text, charset, collation.
    const size_t column = kind == "view" ? 1 : 2;
    if (rows.empty() || rows[0].size() <= column || !rows[0][column]) {
      return MakeError(
          Code::kDenied, crd::reason::kMetaDbDenied,
          fmt::format(
              "no permission to read the definition of {} {}; it would be missing from the backup",
              kind, name));
    }
    const auto& row = rows[0];
    std::string mode = kind == "view" ? "" : row[1].value_or("");
    std::erase(mode, '\'');
    if (mode.find_first_not_of(kModeLetters) != std::string::npos) {
      return MakeError(Code::kTerminal, crd::reason::kDumpUnsupported,
                       fmt::format("{} {}.{} has an invalid sql_mode", kind, database, name));
    }
    // What a comparison of two literals in it means. (OceanBase says "utf8mb4" of triggers.)
    const std::string collation = row.size() > column + 2 ? row[column + 2].value_or("") : "";
    const bool known = collation.starts_with("utf8mb4_") && mysql::CheckIdentifier(collation).ok();
    std::string text = mysql::NormalizeCreate(*row[column], database);
    OMS_TRY(mysql::CheckDefinition(kind, database, name, text));
    return CreatedObject{name, std::move(text),
                         fmt::format("SET NAMES utf8mb4{};\nSET sql_mode = '{}';\n",
                                     known ? " COLLATE " + collation : "", mode)};
  }

  // A statement that the server would not take back makes a dump that cannot be loaded. Found
  // before the stop where it could be foreseen (MetaDb::ProveRowsFit).
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

  // Compresses, hashes and syncs all that is not in the outcome yet; counts the rows of those files
  // that hold rows.
  static Status PackFolder(const Context& ctx, const DumpRequest& request,
                           const std::vector<std::string>& tables, DumpOutcome& outcome) {
    std::set<std::string> without_rows = {"metadata", request.database + "-schema-create.sql",
                                          request.database + "-objects.sql"};
    for (const auto& table : tables) {
      without_rows.insert(request.database + "." + table + "-schema.sql");
    }
    std::map<std::string, DumpedTable> found;  // Guarded by mutex, below.
    std::set<std::string> done;
    for (const auto& file : outcome.files) done.insert(file.path);
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(request.folder, error)) {
      const auto name = entry.path().filename().string();
      if (done.count(name) == 0) names.push_back(name);
    }
    if (error) {
      errno = error.value();
      return VolumeError("cannot list", request.folder);
    }
    // Side by side: each file waits for the disk once, and there may be hundreds.
    std::mutex mutex;
    size_t next = 0;  // Guarded by mutex, as are the two below.
    Status failed;
    base::TaskGroup group;
    for (size_t i = 0; i < std::min(kPackers, names.size()); ++i) {
      group.Start("pack", [&](std::stop_token) {
        while (true) {
          std::unique_lock lock(mutex);
          if (next == names.size() || !failed.ok()) return;
          const auto& name = names[next++];
          lock.unlock();
          DumpScanner scanner;
          const bool rows = without_rows.count(name) == 0;
          auto file = PackFile(ctx, request, name, rows ? &scanner : nullptr);
          lock.lock();
          Status good = file.ok() ? base::Ok() : Status(file.error());
          if (good.ok() && rows) good = Count(scanner, name, found);
          if (good.ok()) {
            outcome.files.push_back(std::move(*file));
          } else if (failed.ok()) {
            failed = good.error();
          }
        }
      });
    }
    group.Join();
    for (auto& [table, rows] : found) outcome.tables.push_back(std::move(rows));
    return failed;
  }

  static Status Count(DumpScanner& scanner, const std::string& name,
                      std::map<std::string, DumpedTable>& found) {
    const auto scanned = scanner.Finish();
    if (!scanned.ok()) return InFile(scanned.error(), name);
    if (!scanner.creates().empty())
      return Incomplete(name + " creates a table and also contains rows");
    for (const auto& [table, rows] : scanner.tables()) {
      if (!AddTable(rows, found[table])) {
        return Incomplete(fmt::format(
            "{}: its rows of {} do not have the same columns as another file", name, table));
      }
    }
    return base::Ok();
  }

  // `scanner`: of a file that holds rows.
  static Result<DumpFile> PackFile(const Context& ctx, const DumpRequest& request,
                                   const std::string& name, DumpScanner* scanner) {
    const fs::path path = request.folder / name;
    std::error_code error;
    const auto size = fs::file_size(path, error);
    if (error || size == 0) {
      return Incomplete(fmt::format("{} of {} is empty", name, request.database));
    }
    // The tool's umask is ours, but its modes are its own.
    chmod(path.c_str(), 0600);
    DumpFile file;
    if (request.compression == Compression::kZstd && name.ends_with(".sql")) {
      OMS_ASSIGN(auto packer,
                 Packer::Create(request.folder / (name + ".zst"), request.compression));
      OMS_TRY(ReadAll(ctx, path, [&](std::string_view bytes) {
        if (scanner != nullptr) scanner->Feed(bytes);
        return packer->Feed(bytes);
      }));
      OMS_ASSIGN(file, packer->Finish());
      file.path = name + ".zst";
      if (unlink(path.c_str()) != 0) return VolumeError("cannot remove", path);
    } else {
      base::Sha256Stream hash;
      OMS_TRY(ReadAll(ctx, path, [&](std::string_view bytes) {
        if (scanner != nullptr) scanner->Feed(bytes);
        hash.Update(bytes);
        file.bytes += bytes.size();
        return base::Ok();
      }));
      file.sha256 = hash.Hex();
      file.path = name;
      OMS_TRY(SyncFile(path));
    }
    return file;
  }

  std::mutex mutex_;
  std::map<DumpTool, std::string> versions_;  // Guarded by mutex_.
};

}  // namespace

std::unique_ptr<ports::BackupTool> MakeDumpTool() { return std::make_unique<Dumper>(); }

std::string ObjectsText(const std::string& database, const std::vector<CreatedObject>& objects) {
  std::string delimiter = "$$oms$$";
  const auto in_a_text = [&](const CreatedObject& object) {
    return object.text.find(delimiter) != std::string::npos;
  };
  for (int n = 1; std::any_of(objects.begin(), objects.end(), in_a_text); ++n) {
    delimiter = fmt::format("$$oms{}$$", n);
  }
  std::string text = fmt::format(
      "-- Views, routines and triggers of `{}`, for the mysql client.\nSET NAMES utf8mb4;\n",
      database);
  for (const auto& object : objects) {
    text += fmt::format("{0}DELIMITER {1}\n{2}\n{1}\nDELIMITER ;\n", object.settings, delimiter,
                        object.text);
  }
  return text + fmt::format("-- Completed: {}\n", objects.size());
}

std::vector<CreatedObject> InCreationOrder(std::vector<CreatedObject> objects) {
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  };
  const auto in_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || (c & 0x80) != 0;
  };
  const auto names = [&](const std::string& text, const std::string& name) {
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
      const size_t end = at + name.size();
      if ((at == 0 || !in_word(text[at - 1])) && (end == text.size() || !in_word(text[end]))) {
        return true;
      }
    }
    return false;
  };
  std::vector<std::string> texts, own;
  for (const auto& object : objects) {
    texts.push_back(lower(object.text));
    own.push_back(lower(object.name));
  }
  std::vector<CreatedObject> ordered;
  std::vector<bool> seen(objects.size());
  const std::function<void(size_t)> visit = [&](size_t i) {
    if (seen[i]) return;
    seen[i] = true;
    for (size_t j = 0; j < objects.size(); ++j) {
      if (j != i && names(texts[i], own[j])) visit(j);
    }
    ordered.push_back(std::move(objects[i]));
  };
  for (size_t i = 0; i < objects.size(); ++i) visit(i);
  return ordered;
}

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
