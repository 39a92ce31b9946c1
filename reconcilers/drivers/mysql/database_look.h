// What a backup of a database will take, what it would lack, and what could not be brought back.
#pragma once

#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/ports/db_server.h"

namespace oms::drivers::mysql {

// As DbServer::Database says. `user`: whom to name where a right is missing.
base::Result<ports::DbInfo> LookAtDatabase(const base::Context& ctx, MysqlSession& session,
                                           const std::string& user, const std::string& database);
// As DbServer::Obstacles and DbServer::Events say.
base::Result<ports::DumpObstacles> ObstaclesIn(const base::Context& ctx, MysqlSession& session,
                                               const std::string& database);
base::Result<std::vector<std::string>> EventsIn(const base::Context& ctx, MysqlSession& session,
                                                const std::string& database);
// As DbServer::ProveRowsFit says, but for the time that it may take.
base::Status RowsFit(const base::Context& ctx, MysqlSession& session, const std::string& database);

}  // namespace oms::drivers::mysql
