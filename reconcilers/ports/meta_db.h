// MetaDb: one MySQL-compatible server (OceanBase tenant, MySQL, MariaDB) that holds databases of
// OMS, as three ports: what OMS keeps there, what the server can do, whose connections there are.
// Each is in two halves, so that who may only look is given only that.
//
// All calls block, open connections of their own, and are thread-safe. Sessions are set to utf8mb4,
// a fixed sql_mode and time_zone, and on OceanBase to an ob_query_timeout and ob_trx_timeout that
// fit the call (10 s is the server's default and cuts a long read in its middle: error 4012).
// Errors: kTransient "MetaDBUnreachable"; kDenied "MetaDBDenied" (1044, 1045, 1142); kNotFound (no
// such database or table); kConflict (a compare-and-set lost); kFenced (the row's epoch is not ours
// any more); kTimeout. Names of databases and tables are validated and quoted by the driver. No
// error text holds a password.
#pragma once

#include <memory>

#include "reconcilers/ports/db_connections.h"
#include "reconcilers/ports/db_server.h"
#include "reconcilers/ports/oms_tables.h"

namespace oms::ports {

// To look at.
struct MetaDbView {
  std::shared_ptr<OmsTablesView> tables;
  std::shared_ptr<DbServerView> server;
  std::shared_ptr<DbConnectionsView> connections;
};

struct MetaDb {
  std::shared_ptr<OmsTables> tables;
  std::shared_ptr<DbServer> server;
  std::shared_ptr<DbConnections> connections;

  MetaDbView View() const { return {tables, server, connections}; }
};

class MetaDbProvider {
 public:
  virtual ~MetaDbProvider() = default;
  virtual MetaDb Open(const DbServerAddress& address) = 0;
};

// Opens what may only be looked at.
class MetaDbViewProvider {
 public:
  virtual ~MetaDbViewProvider() = default;
  virtual MetaDbView Open(const DbServerAddress& address) = 0;
};

}  // namespace oms::ports
