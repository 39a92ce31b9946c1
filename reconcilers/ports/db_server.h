// DbServer: what one server of databases is and can do. As MetaDb says of all its ports
// (meta_db.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/base/secret.h"
#include "reconcilers/ports/db_connections.h"

namespace oms::ports {

struct DbServerAddress {
  std::string host;
  int port = 0;
  std::string user;
  base::Secret password;
  std::string tls_ca;      // PEM text; empty: no TLS asked for.
  bool tls_verify = true;  // With tls_ca: chain and host name.
  bool SamePlace(const DbServerAddress& other) const {
    return host == other.host && port == other.port;
  }
  // As DbConnection::server has it.
  std::string Name() const { return host + ":" + std::to_string(port); }
};

struct DbServerInfo {
  std::string version;  // version()
  bool oceanbase = false;
  std::string identity;  // Stable text that tells this server (tenant) from another: server_uuid,
                         // or cluster and tenant.
};

// Why a tool's dump of a database would lack something, or could not be loaded into its server
// again: a clause that names the table and the column. Empty: it would be whole.
struct DumpObstacles {
  std::string no_mydumper;
  std::string no_mysqldump;
};

struct DbInfo {
  std::string name;
  std::string charset;
  std::string collation;
  uint64_t bytes = 0;  // Estimate of what a dump will take; never less than the row count.
  DumpObstacles obstacles = {};
  std::string broken_view = {};  // A view that cannot be read, and why; empty: all can.
  // What a backup would lack, or could not bring back, as this user lacks a right: in words that
  // name it and say what to grant. Empty: nothing is known to be missing.
  std::string denied = {};
  // Scheduled events, which no dump has and a restore takes. Those that this user may see.
  std::vector<std::string> events = {};
};

struct TableColumn {
  std::string name;
  bool generated = false;  // Computed by the server, so a dump need not have it.
  bool operator==(const TableColumn&) const = default;
};

struct TableSum {
  std::string name;
  uint64_t rows = 0;
  std::string crc_sum;     // SUM(CRC32(...)) as decimal text; "" for an empty table.
  uint64_t null_crcs = 0;  // Must be 0.
  // Of a backup that was taken while somebody wrote: rows or sum changed meanwhile, so neither is
  // that of the dump.
  bool moving = false;
  // In order, to hold a dump's files against. Not of what is compared later: the definition says it
  // too.
  std::vector<TableColumn> columns = {};
  bool operator==(const TableSum& other) const {
    return name == other.name && rows == other.rows && crc_sum == other.crc_sum &&
           null_crcs == other.null_crcs && moving == other.moving;
  }
};

struct SchemaObject {
  std::string kind;  // table, view, trigger, procedure, function
  std::string name;
  std::string sha256;  // Of SHOW CREATE, AUTO_INCREMENT and DEFINER's noise aside.
  bool operator==(const SchemaObject&) const = default;
};

// What one database holds, for the manifest and for comparing later. Sorted by (kind,) name.
struct DatabaseDigest {
  std::string name, charset, collation;
  std::vector<TableSum> tables;
  std::vector<SchemaObject> objects;
  bool operator==(const DatabaseDigest&) const = default;
};

// Microseconds. mysqldump cannot set a session variable, and OceanBase's ob_query_timeout (10 s)
// cuts a long table in its middle: the global one is raised to this for the dump.
inline constexpr uint64_t kRaisedQueryTimeout = 24ULL * 3600 * 1'000'000;

// To look at.
class DbServerView {
 public:
  virtual ~DbServerView() = default;

  virtual const DbServerAddress& address() const = 0;

  virtual base::Result<DbServerInfo> Server(const base::Context& ctx) = 0;
  virtual base::Result<DbInfo> Database(const base::Context& ctx, const std::string& database) = 0;
  // As Database() says them, and nothing else of it: no row is read. None of a database that is not
  // there.
  virtual base::Result<DumpObstacles> Obstacles(const base::Context& ctx,
                                                const std::string& database) = 0;
  // As Database() says them; none where the server has no such thing.
  virtual base::Result<std::vector<std::string>> Events(const base::Context& ctx,
                                                        const std::string& database) = 0;
  // Reads every row of every table once. Seconds to minutes. kNotFound: no such database. kTerminal
  // "DigestFailed": the server lists a table, view, trigger or routine that it cannot read, so the
  // database equals no digest. kDenied: it may not be read by this user.
  virtual base::Result<DatabaseDigest> Digest(const base::Context& ctx,
                                              const std::string& database) = 0;
  // The global ob_query_timeout in microseconds; nullopt where the server has none.
  virtual base::Result<std::optional<uint64_t>> GlobalQueryTimeout(const base::Context& ctx) = 0;
  // That each row could be loaded again: a dump writes a value in up to twice its bytes, and no
  // statement may be longer than the server's max_allowed_packet. Reads the rows of those tables
  // that could hold such a one, for a bounded time; what could not be read by then is taken for
  // fitting. kTransient "PacketTooSmall": names table, column, length, and the figure to set.
  virtual base::Status ProveRowsFit(const base::Context& ctx, const std::string& database) = 0;
};

class DbServer : public DbServerView {
 public:
  // --- proofs that touch nothing of OMS
  // Makes and drops an empty database of a name that is ours (oms_upgrade_probe_<suffix>). The
  // suffix is the same each time for one OMS, so that what a killed probe left is found and
  // dropped. kDenied if refused. kTerminal "ProbeDatabaseInUse", and nothing dropped: it holds
  // something.
  virtual base::Status ProveRights(const base::Context& ctx, const std::string& suffix) = 0;
  // In a database as ProveRights': that two tables can be renamed in one statement, by this server
  // and this user. kDenied, or kTerminal "TwoTableRenameMissing".
  virtual base::Status ProveTwoTableRename(const base::Context& ctx, const std::string& suffix) = 0;
  // That the global ob_query_timeout is as long as kRaisedQueryTimeout, or may be set by this user:
  // another global variable, which takes the same right, is set to what it is. kDenied.
  virtual base::Status ProveQueryTimeout(const base::Context& ctx) = 0;

  // --- writing; each registers its connection with the fence first
  // Gone already is success. Nothing but a rollback calls it.
  virtual base::Status DropDatabase(const base::Context& ctx, Fence& fence,
                                    const std::string& database) = 0;
  // Empty. kAlreadyExists if there is one.
  virtual base::Status CreateDatabase(const base::Context& ctx, Fence& fence,
                                      const std::string& database, const std::string& charset,
                                      const std::string& collation) = 0;
  virtual base::Status SetGlobalQueryTimeout(const base::Context& ctx, Fence& fence,
                                             uint64_t micros) = 0;
};

}  // namespace oms::ports
