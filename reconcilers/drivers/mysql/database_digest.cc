#include "reconcilers/drivers/mysql/database_digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/server_access.h"

namespace oms::drivers::mysql {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::DatabaseDigest;

namespace {

Result<ports::TableSum> Sum(const Context& ctx, MysqlSession& session, const std::string& database,
                            const std::string& table) {
  OMS_ASSIGN(auto columns, Columns(ctx, session, database, table));
  if (columns.empty()) {
    return MakeError(Code::kTransient, crd::reason::kMetaDbError,
                     fmt::format("{}.{} shows no columns", database, table));
  }
  const std::string crc = fmt::format("CRC32(CONCAT_WS('#',{}))", SumExpression(columns));
  OMS_ASSIGN(auto rows,
             session.Query(ctx, fmt::format("SELECT COUNT(*), SUM(t.c), SUM(t.c IS NULL) FROM "
                                            "(SELECT {} AS c FROM {}.{}) t",
                                            crc, Quote(database), Quote(table))));
  ports::TableSum sum;
  sum.name = table;
  sum.rows = Number(rows.at(0).at(0));
  sum.crc_sum = rows[0].at(1).value_or("");
  sum.null_crcs = Number(rows[0].at(2));
  for (auto& column : columns) sum.columns.push_back({std::move(column.name), column.generated});
  return sum;
}

// An object that the server lists and cannot read (1033, 1146, 1814, 1932 and their like) stays
// so. That the server is away, busy, or refuses the right says nothing of the database.
base::Error DigestError(const base::Error& error, const std::string& kind,
                        const std::string& database, const std::string& name) {
  if (error.code != Code::kTerminal && error.code != Code::kNotFound) return error;
  return MakeError(
      Code::kTerminal, crd::reason::kDigestFailed,
      fmt::format("the {} {}.{} cannot be read: {}", kind, database, name, error.message));
}

Status AddObject(const Context& ctx, MysqlSession& session, const std::string& database,
                 const std::string& kind, const std::string& name, DatabaseDigest& digest) {
  const auto create = ShowCreate(ctx, session, database, kind, name);
  if (!create.ok()) return DigestError(create.error(), kind, database, name);
  digest.objects.push_back({kind, name, base::Sha256Hex(NormalizeCreate(*create, database))});
  return base::Ok();
}

}  // namespace

Result<std::vector<SumColumn>> Columns(const Context& ctx, MysqlSession& session,
                                       const std::string& database, const std::string& table) {
  OMS_ASSIGN(auto rows,
             session.Query(ctx,
                           "SELECT column_name, LOWER(data_type), generation_expression FROM "
                           "information_schema.columns "
                           "WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
                           {database, table}));
  std::vector<SumColumn> columns;
  for (auto& row : rows) {
    columns.push_back(
        {row.at(0).value_or(""), row.at(1).value_or(""), !row.at(2).value_or("").empty()});
  }
  return columns;
}

Result<std::string> ShowCreate(const Context& ctx, MysqlSession& session,
                               const std::string& database, const std::string& kind,
                               const std::string& name) {
  OMS_ASSIGN(auto rows, session.Query(ctx, fmt::format("SHOW CREATE {} {}.{}", kind,
                                                       Quote(database), Quote(name))));
  // table, view: name, text. trigger, procedure, function: name, sql_mode, text.
  const size_t column = kind == "table" || kind == "view" ? 1 : 2;
  if (rows.empty() || rows[0].size() <= column || !rows[0][column]) {
    return MakeError(Code::kDenied, crd::reason::kMetaDbDenied,
                     fmt::format("SHOW CREATE {} {}.{} returns no definition; the user lacks the "
                                 "privilege to see it, so a dump would lack it too",
                                 kind, database, name));
  }
  return *rows[0][column];
}

Result<DatabaseDigest> DigestOf(const Context& ctx, MysqlSession& session,
                                const std::string& database) {
  DatabaseDigest digest;
  OMS_ASSIGN(auto charset, CharsetOf(ctx, session, database));
  digest.name = database;
  digest.charset = std::move(charset.charset);
  digest.collation = std::move(charset.collation);
  // So that SHOW CREATE of a view leaves its database out where the server does that at all.
  OMS_TRY(session.Execute(ctx, "USE " + Quote(database)));
  OMS_ASSIGN(auto tables, Tables(ctx, session, database));
  for (const auto& table : tables) {
    OMS_TRY(AddObject(ctx, session, database, "table", table, digest));
    auto sum = Sum(ctx, session, database, table);
    if (!sum.ok()) return DigestError(sum.error(), "table", database, table);
    digest.tables.push_back(*std::move(sum));
  }
  OMS_ASSIGN(const auto views, Views(ctx, session, database));
  for (const auto& view : views) OMS_TRY(AddObject(ctx, session, database, "view", view, digest));
  OMS_ASSIGN(auto triggers, Triggers(ctx, session, database));
  for (const auto& trigger : triggers) {
    OMS_TRY(AddObject(ctx, session, database, "trigger", trigger, digest));
  }
  for (const char* kind : {"procedure", "function"}) {
    OMS_ASSIGN(auto routines, Routines(ctx, session, database, kind));
    for (const auto& name : routines) {
      OMS_TRY(AddObject(ctx, session, database, kind, name, digest));
    }
  }
  std::sort(digest.objects.begin(), digest.objects.end(), [](const auto& a, const auto& b) {
    return std::tie(a.kind, a.name) < std::tie(b.kind, b.name);
  });
  return digest;
}

}  // namespace oms::drivers::mysql
