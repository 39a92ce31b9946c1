#include "reconcilers/drivers/mysql/database_look.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/database_digest.h"
#include "reconcilers/drivers/mysql/grants.h"
#include "reconcilers/drivers/mysql/packet_limit.h"
#include "reconcilers/drivers/mysql/schema_text.h"
#include "reconcilers/drivers/mysql/server_access.h"

namespace oms::drivers::mysql {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr char kViews[] =
    "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_type = 'VIEW' "
    "LIMIT 1";

Result<ports::DumpObstacles> LookForObstacles(const Context& ctx, MysqlSession& session,
                                              const std::string& database,
                                              const std::vector<std::string>& tables) {
  OMS_ASSIGN(const auto rows,
             session.Query(ctx,
                           "SELECT table_name, column_name, UPPER(extra), generation_expression "
                           "FROM information_schema.columns WHERE table_schema = ? AND "
                           "(UPPER(extra) LIKE '%INVISIBLE%' OR UPPER(extra) LIKE '%GENERATED%' "
                           "OR generation_expression <> '') ORDER BY table_name, column_name",
                           {database}));
  std::vector<OddColumn> columns;
  for (const auto& row : rows) {
    const std::string table = row.at(0).value_or("");
    // Views have columns too.
    if (!std::binary_search(tables.begin(), tables.end(), table)) continue;
    columns.push_back(
        {table, row.at(1).value_or(""), row.at(2).value_or(""), !row.at(3).value_or("").empty()});
  }
  const bool mariadb = session.version().find("MariaDB") != std::string::npos;
  ports::DumpObstacles found = ObstaclesOf(database, columns, mariadb);
  // A SEQUENCE, a table with system versioning: neither dumps nor sums have them.
  OMS_ASSIGN(const auto others,
             session.Query(ctx,
                           "SELECT table_name, table_type FROM information_schema.tables WHERE "
                           "table_schema = ? AND table_type NOT IN ('BASE TABLE', 'VIEW') "
                           "ORDER BY table_name LIMIT 1",
                           {database}));
  if (!others.empty()) {
    found.no_mydumper = found.no_mysqldump =
        fmt::format("{}.{} is a {}, which no dump contains", database, others[0].at(0).value_or(""),
                    others[0].at(1).value_or(""));
  }
  return found;
}

// SHOW PRIVILEGES would be the way to ask, but OceanBase leaves there out what it has (TRIGGER:
// seen). So something is taken from a user who does not exist, which changes nothing: only a
// server that does not know the word says that it does not understand.
Result<bool> KnowsPrivilege(const Context& ctx, MysqlSession& session, std::string_view privilege) {
  const auto said = session.Execute(
      ctx,
      fmt::format("REVOKE {} ON `oms_upgrade_nothing`.* FROM 'oms_upgrade_nobody'@'%'", privilege));
  if (said.ok()) return true;
  if (said.error().Retryable()) return said.error();
  const std::string& text = said.error().message;
  return text.find("(error 1064)") == std::string::npos &&
         text.find("(error 1149)") == std::string::npos;
}

// The server shows no trigger or routine to who lacks these, or not its text, and lets nobody
// without them make it again: it would be in neither dump nor sums, and a rollback would take it.
Result<std::string> MissingRights(const Context& ctx, MysqlSession& session,
                                  const std::string& user, const std::string& database) {
  // The second column: asked for only where the database has such a thing.
  constexpr std::pair<const char*, const char*> kNeeded[] = {
      {"SELECT", nullptr},
      {"INSERT", nullptr},
      {"CREATE", nullptr},
      {"DROP", nullptr},
      {"ALTER", nullptr},
      {"TRIGGER", nullptr},
      {"CREATE ROUTINE", nullptr},
      {"SHOW VIEW", kViews},
      {"CREATE VIEW", kViews},
      {"REFERENCES",
       "SELECT 1 FROM information_schema.table_constraints WHERE table_schema = ? AND "
       "constraint_type = 'FOREIGN KEY' LIMIT 1"},
  };
  const auto shown = session.Query(ctx, "SHOW GRANTS");
  if (!shown.ok() && shown.error().Retryable()) return shown.error();
  if (!shown.ok()) return std::string();  // Cannot be told.
  std::vector<std::string> lines;
  for (const auto& row : *shown) lines.push_back(row.at(0).value_or(""));
  const Grants grants(lines, !session.oceanbase());
  std::vector<std::string> missing;
  for (const auto& [privilege, where] : kNeeded) {
    if (!grants.Lacks(privilege, database)) continue;
    if (where != nullptr) {
      OMS_ASSIGN(const auto any, session.Query(ctx, where, {database}));
      if (any.empty()) continue;
    }
    OMS_ASSIGN(const bool known, KnowsPrivilege(ctx, session, privilege));
    if (known) missing.push_back(privilege);
  }
  if (missing.empty()) return std::string();
  OMS_ASSIGN(const auto current, session.Scalar(ctx, "SELECT CURRENT_USER()"));
  const std::string list = fmt::format("{}", fmt::join(missing, ", "));
  return fmt::format(
      "user '{}' lacks {} on {}; without it a backup is incomplete or cannot be restored: GRANT "
      "{} ON {}.* TO {}",
      user, list, database, list, database, QuotedUser(current ? *current : user));
}

// By which the texts of others' routines are shown; tried on the first two.
const char* RightToRoutines(const MysqlSession& session) {
  if (session.oceanbase()) return "SELECT ON *.*";
  const bool mariadb = session.version().find("MariaDB") != std::string::npos;
  return mariadb ? "SELECT ON mysql.proc" : "SHOW_ROUTINE ON *.*";
}

// What the dump will read of views, triggers and routines is read here, while OMS still runs.
Status LookAtDefinitions(const Context& ctx, MysqlSession& session, const std::string& user,
                         const std::string& database, ports::DbInfo& info) {
  std::vector<std::pair<std::string, std::string>> objects;
  OMS_ASSIGN(const auto views, Views(ctx, session, database));
  for (const auto& view : views) objects.emplace_back("view", view);
  OMS_ASSIGN(const auto triggers, Triggers(ctx, session, database));
  for (const auto& trigger : triggers) objects.emplace_back("trigger", trigger);
  for (const char* kind : {"procedure", "function"}) {
    OMS_ASSIGN(const auto routines, Routines(ctx, session, database, kind));
    for (const auto& routine : routines) objects.emplace_back(kind, routine);
  }
  for (const auto& [kind, name] : objects) {
    const auto create = ShowCreate(ctx, session, database, kind, name);
    if (!create.ok() && create.error().Retryable()) return create.error();
    if (create.Is(Code::kDenied)) {
      if (info.denied.empty()) {
        info.denied = fmt::format(
            "user '{}' may not read the definition of {} {}.{}, so a backup would lack it ({}); "
            "grant {} to that user, or drop it",
            user, kind, database, name, create.error().message,
            kind == "procedure" || kind == "function" ? RightToRoutines(session) : "that right");
      }
      continue;
    }
    if (create.Is(Code::kNotFound)) continue;  // Gone since it was listed; or a view is broken.
    const Status good =
        create.ok() ? CheckDefinition(kind, database, name, NormalizeCreate(*create, database))
                    : Status(create.error());
    if (good.ok() || kind == "view") continue;
    auto& [no_mydumper, no_mysqldump] = info.obstacles;
    no_mydumper = no_mysqldump = create.ok() ? good.error().message
                                             : fmt::format("the {} {}.{} cannot be read: {}", kind,
                                                           database, name, good.error().message);
  }
  return base::Ok();
}

// A view over what is gone can be neither dumped (mysqldump ends at it) nor created again.
Result<std::string> BrokenView(const Context& ctx, MysqlSession& session,
                               const std::string& database) {
  OMS_ASSIGN(const auto views, Views(ctx, session, database));
  for (const auto& view : views) {
    const auto read = session.Query(
        ctx, fmt::format("SELECT 1 FROM {}.{} LIMIT 0", Quote(database), Quote(view)));
    if (read.ok()) continue;
    if (!read.Is(Code::kTerminal) && !read.Is(Code::kNotFound)) return read.error();
    return fmt::format("{}.{}: {}", database, view, read.error().message);
  }
  return std::string();
}

// What a dump of the table will take: what the server says, or rows times the length of the first
// thousand (OceanBase says 0, and InnoDB's figures of a small table lag behind).
Result<uint64_t> TableBytes(const Context& ctx, MysqlSession& session, const std::string& database,
                            const std::string& table, uint64_t known) {
  constexpr uint64_t kDdl = 2048;
  constexpr uint64_t kSmall = 32 << 20;
  if (known > kSmall) return known + known / 4 + kDdl;
  OMS_ASSIGN(auto count, session.Scalar(ctx, fmt::format("SELECT COUNT(*) FROM {}.{}",
                                                         Quote(database), Quote(table))));
  const uint64_t rows = Number(count);
  if (rows == 0) return kDdl;
  OMS_ASSIGN(auto columns, Columns(ctx, session, database, table));
  std::string length = "0";
  for (const auto& column : columns) {
    length += fmt::format("+COALESCE(LENGTH({}),4)", Quote(column.name));
  }
  OMS_ASSIGN(auto average,
             session.Scalar(ctx, fmt::format("SELECT CEIL(AVG(s.l)) FROM (SELECT {} AS l FROM "
                                             "{}.{} LIMIT 1000) s",
                                             length, Quote(database), Quote(table))));
  // Quotes, commas and brackets.
  const uint64_t row_bytes = Number(average) + 3 * columns.size() + 4;
  return rows * row_bytes + kDdl;
}

}  // namespace

Result<ports::DumpObstacles> ObstaclesIn(const Context& ctx, MysqlSession& session,
                                         const std::string& database) {
  OMS_ASSIGN(const auto tables, Tables(ctx, session, database));
  return LookForObstacles(ctx, session, database, tables);
}

Result<std::vector<std::string>> EventsIn(const Context& ctx, MysqlSession& session,
                                          const std::string& database) {
  auto names =
      Names(ctx, session, "SELECT event_name FROM information_schema.events WHERE event_schema = ?",
            database);
  // OceanBase of before 4.3.5.3 has no such table (1109).
  if (names.Is(Code::kTerminal) || names.Is(Code::kNotFound)) return std::vector<std::string>();
  return names;
}

Status RowsFit(const Context& ctx, MysqlSession& session, const std::string& database) {
  OMS_ASSIGN(const uint64_t allowed, MaxAllowedPacket(ctx, session));
  OMS_ASSIGN(const auto tables, Tables(ctx, session, database));
  OMS_ASSIGN(const auto rows,
             session.Query(ctx,
                           "SELECT table_name, column_name, LOWER(data_type), "
                           "character_octet_length FROM information_schema.columns WHERE "
                           "table_schema = ? ORDER BY table_name, ordinal_position",
                           {database}));
  std::vector<LongColumn> columns;
  for (const auto& row : rows) {
    const std::string table = row.at(0).value_or(""), type = row.at(2).value_or("");
    if (!std::binary_search(tables.begin(), tables.end(), table)) continue;
    const bool text = ColumnTypeIn(
        type, {"char", "varchar", "binary", "varbinary", "tinyblob", "blob", "mediumblob",
               "longblob", "tinytext", "text", "mediumtext", "longtext", "json"});
    const uint64_t most = Number(row.at(3));
    if (text) columns.push_back({table, row.at(1).value_or(""), most == 0 ? 1ULL << 32 : most});
  }
  for (const auto& table : CouldBeTooLong(columns, allowed)) {
    std::vector<std::string> names, lengths, longest;
    for (const auto& column : columns) {
      if (column.table != table) continue;
      lengths.push_back(
          fmt::format("COALESCE(LENGTH({}),0) AS l{}", Quote(column.name), names.size()));
      longest.push_back(fmt::format("MAX(l{})", names.size()));
      names.push_back(column.name);
    }
    std::string sum;
    for (size_t i = 0; i < names.size(); ++i) sum += fmt::format("{}l{}", i == 0 ? "" : "+", i);
    OMS_ASSIGN(const auto found,
               session.Query(ctx, fmt::format("SELECT MAX({}),{} FROM (SELECT {} FROM {}.{}) s",
                                              sum, fmt::join(longest, ","), fmt::join(lengths, ","),
                                              Quote(database), Quote(table))));
    const uint64_t row_bytes = Number(found.at(0).at(0));
    const uint64_t statement = StatementOf(row_bytes);
    if (statement + 1 <= allowed) continue;
    size_t worst = 0;
    for (size_t i = 0; i < names.size(); ++i) {
      if (Number(found[0].at(i + 1)) > Number(found[0].at(worst + 1))) worst = i;
    }
    return MakeError(
        Code::kTransient, crd::reason::kPacketTooSmall,
        fmt::format("a row of {}.{} has {} bytes ({} of them in column {}), and a dump may write "
                    "it as a statement of twice that size, but @@global.max_allowed_packet is "
                    "{}, so it could not be restored: {}",
                    database, table, row_bytes, Number(found[0].at(worst + 1)), names[worst],
                    allowed, RaisePacket(statement)));
  }
  return base::Ok();
}

Result<ports::DbInfo> LookAtDatabase(const Context& ctx, MysqlSession& session,
                                     const std::string& user, const std::string& database) {
  ports::DbInfo info;
  OMS_ASSIGN(auto charset, CharsetOf(ctx, session, database));
  info.name = database;
  info.charset = std::move(charset.charset);
  info.collation = std::move(charset.collation);
  OMS_ASSIGN(auto tables, Tables(ctx, session, database));
  OMS_ASSIGN(auto sizes,
             session.Query(ctx,
                           "SELECT table_name, data_length FROM information_schema.tables "
                           "WHERE table_schema = ? AND table_type = 'BASE TABLE'",
                           {database}));
  std::map<std::string, uint64_t> known;
  for (const auto& row : sizes) known[row.at(0).value_or("")] = Number(row.at(1));
  for (const auto& table : tables) {
    OMS_ASSIGN(const uint64_t bytes, TableBytes(ctx, session, database, table, known[table]));
    info.bytes += bytes;
  }
  OMS_ASSIGN(info.obstacles, LookForObstacles(ctx, session, database, tables));
  OMS_ASSIGN(info.broken_view, BrokenView(ctx, session, database));
  OMS_ASSIGN(info.denied, MissingRights(ctx, session, user, database));
  OMS_TRY(LookAtDefinitions(ctx, session, user, database, info));
  OMS_ASSIGN(info.events, EventsIn(ctx, session, database));
  return info;
}

}  // namespace oms::drivers::mysql
