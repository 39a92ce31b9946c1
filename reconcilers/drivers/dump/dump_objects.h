// Views, functions, procedures and triggers of a database, as a file for the mysql client: see
// dump_tool.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/ports/backup_tool.h"

namespace oms::drivers::dump {

// A view, function or procedure.
struct CreatedObject {
  std::string name;
  std::string text;           // Its CREATE statement.
  std::string settings = {};  // Statements before it.
};
// <db>-objects.sql, as above: the objects in the order given. Each text ends at a delimiter that
// none of them holds: "$$oms$$" is a name that somebody may use. Pure.
std::string ObjectsText(const std::string& database, const std::vector<CreatedObject>& objects);
// Each after those that its text names (a view cannot be created before the view that it reads).
// Otherwise as they came; also where two name each other. Pure.
std::vector<CreatedObject> InCreationOrder(std::vector<CreatedObject> objects);

// Names that information_schema.`view` has of this database, sorted.
base::Result<std::vector<std::string>> Names(const base::Context& ctx, mysql::MysqlSession& session,
                                             std::string_view view, std::string_view schema,
                                             std::string_view name, std::string_view and_also,
                                             const std::string& database);

// Writes <db>-objects.sql.
base::Status WriteObjects(const base::Context& ctx, mysql::MysqlSession& session,
                          const ports::DumpRequest& request, const std::vector<std::string>& views);

}  // namespace oms::drivers::dump
