// What a database holds, as one digest: definitions and sums of all rows.
#pragma once

#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/drivers/mysql/schema_text.h"
#include "reconcilers/ports/db_server.h"

namespace oms::drivers::mysql {

// As DbServer::Digest says. The session is left in this database.
base::Result<ports::DatabaseDigest> DigestOf(const base::Context& ctx, MysqlSession& session,
                                             const std::string& database);

// The columns of a table, in order.
base::Result<std::vector<SumColumn>> Columns(const base::Context& ctx, MysqlSession& session,
                                             const std::string& database, const std::string& table);

// The text of SHOW CREATE. kDenied: this user is not shown it.
base::Result<std::string> ShowCreate(const base::Context& ctx, MysqlSession& session,
                                     const std::string& database, const std::string& kind,
                                     const std::string& name);

}  // namespace oms::drivers::mysql
