#include "reconcilers/drivers/mysql/server_access.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "crd/reasons.h"

namespace oms::drivers::mysql {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::DbServerAddress;
using ports::Fence;

Result<std::unique_ptr<MysqlSession>> OpenFor(const Context& ctx, const DbServerAddress& address,
                                              const std::string& database, base::Duration timeout) {
  const auto left = std::max<base::Duration>(ctx.Remaining(), std::chrono::seconds(1));
  return MysqlSession::Open(ctx, address, {database, std::min(timeout, left), {}});
}

Result<Writer> OpenWriter(const Context& ctx, const DbServerAddress& address, Fence& fence,
                          MysqlSession::Options options) {
  Writer writer;
  OMS_ASSIGN(writer.session, MysqlSession::Open(ctx, address, options));
  OMS_ASSIGN(writer.connection, writer.session->Describe(ctx));
  OMS_TRY(fence.Register(ctx, writer.connection));
  writer.fence = &fence;
  OMS_TRY(ctx.Check());  // The last look before the act.
  return writer;
}

base::Error NoTwoTableRename(const base::Error& refused) {
  return MakeError(
      Code::kTerminal, crd::reason::kTwoTableRenameMissing,
      fmt::format("the MetaDB cannot rename two tables in one statement ({}), so "
                  "heatbeat_sequence cannot be compacted while a component writes to it; nothing "
                  "was renamed. Set spec.deployment.keepTasksRunning to false; if an upgrade is "
                  "in progress, revert spec.version first",
                  refused.message));
}

Result<DatabaseCharset> CharsetOf(const Context& ctx, MysqlSession& session,
                                  const std::string& database) {
  OMS_TRY(CheckIdentifier(database));
  OMS_ASSIGN(auto rows, session.Query(ctx,
                                      "SELECT default_character_set_name, "
                                      "default_collation_name FROM information_schema.schemata "
                                      "WHERE schema_name = ?",
                                      {database}));
  if (rows.empty()) {
    return MakeError(Code::kNotFound, crd::reason::kMetaDbNotFound,
                     fmt::format("database \"{}\" does not exist", database));
  }
  return DatabaseCharset{rows[0].at(0).value_or(""), rows[0].at(1).value_or("")};
}

Result<std::vector<std::string>> Names(const Context& ctx, MysqlSession& session,
                                       const std::string& sql, const std::string& database) {
  OMS_ASSIGN(auto rows, session.Query(ctx, sql, {database}));
  std::vector<std::string> names;
  for (auto& row : rows) {
    if (!row.empty() && row[0]) names.push_back(std::move(*row[0]));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::vector<std::string>> Tables(const Context& ctx, MysqlSession& session,
                                        const std::string& database) {
  return Names(ctx, session,
               "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND "
               "table_type = 'BASE TABLE'",
               database);
}

Result<std::vector<std::string>> Views(const Context& ctx, MysqlSession& session,
                                       const std::string& database) {
  return Names(ctx, session,
               "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND "
               "table_type = 'VIEW'",
               database);
}

Result<std::vector<std::string>> Triggers(const Context& ctx, MysqlSession& session,
                                          const std::string& database) {
  return Names(ctx, session,
               "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = ?",
               database);
}

Result<std::vector<std::string>> Routines(const Context& ctx, MysqlSession& session,
                                          const std::string& database, std::string_view kind) {
  return Names(ctx, session,
               fmt::format("SELECT routine_name FROM information_schema.routines WHERE "
                           "routine_schema = ? AND LOWER(routine_type) = '{}'",
                           kind),
               database);
}

}  // namespace oms::drivers::mysql
