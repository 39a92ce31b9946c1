// MetaDb: one MySQL-compatible server (OceanBase tenant, MySQL, MariaDB) that holds databases of
// OMS.
//
// All calls block, open connections of their own, and are thread-safe. Sessions are set to utf8mb4,
// a fixed sql_mode and time_zone, and on OceanBase to an ob_query_timeout and ob_trx_timeout that
// fit the call (10 s is the server's default and cuts a long read in its middle: error 4012).
// Errors: kTransient "MetaDBUnreachable"; kDenied "MetaDBDenied" (1044, 1045, 1142); kNotFound (no
// such database or table); kConflict (a compare-and-set lost); kFenced (the row's epoch is not ours
// any more); kTimeout. Names of databases and tables are validated and quoted by the driver. No
// error text holds a password.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/base/secret.h"

namespace oms::ports {

struct DbServerAddress {
  std::string host;
  int port = 0;
  std::string user;
  base::Secret password;
  std::string tls_ca;      // Path of a PEM file; empty: no TLS asked for.
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

// A connection to the server, exactly enough to find it again in its process list. Ids are reused,
// so all counts.
struct DbConnection {
  std::string server;  // host:port as we dialled it.
  uint64_t id = 0;     // CONNECTION_ID()
  std::string user;
  std::string
      address;  // The client's host:port as the process list shows it; empty where it shows none.
  std::string connected;  // UTC time of registration.
  std::string database;   // Of a foreign one: what it uses.
  std::string command;    // Of a foreign one; never its statement's text.
  // The server itself refuses it every write (it is READ ONLY since before its first statement), so
  // whoever takes over ends it but need not wait for that.
  bool reads = false;
  bool operator==(const DbConnection&) const = default;
};

struct HeartbeatInfo {
  bool found = false;         // heart_beat has a row of this host (task_name='supervisor').
  int64_t age_ms = 0;         // By the server's own NOW(), of gmt_modified.
  std::string modified;       // gmt_modified as text; compared by equality only.
  uint64_t sequence_max = 0;  // max(id) of heatbeat_sequence (sic).
};

struct HostRow {
  std::string ip;
  std::string status;  // ONLINE, OFFLINE, ...
};

// One of heatbeat_sequence, heatbeat_sequence_bak, heatbeat_sequence_bak2 (sic: OMS's own
// spelling).
struct SequenceTable {
  static constexpr uint64_t kMostRows = 100'001;
  bool exists = false;
  uint64_t rows = 0;  // Counted up to kMostRows; the table may have hundreds of millions.
  uint64_t max_id = 0;
  uint64_t auto_increment = 0;  // 0: not known.
};
struct SequenceTables {
  SequenceTable base, bak, bak2;
};

// How far ahead of the base a _bak is made while somebody writes the base: no id is handed out
// twice as long as the base takes fewer than half of these until the two change places.
inline constexpr uint64_t kSequenceHeadroom = 1'000'000;

// The single acts of the compaction (guide, step 2.2). Which one is next is decided by heartbeat.h,
// purely. The driver looks again before each, and refuses (kConflict) what no longer fits.
enum class CompactionAct {
  kNone,
  kCreateBak,  // CREATE TABLE _bak LIKE base (the guide's own DDL), with AUTO_INCREMENT set
               // explicitly.
  kFillBak,    // INSERT the last row of base, if _bak is empty.
  kSwap,  // base -> _bak2, _bak -> base: one two-table RENAME where the server has it, else two
          // ALTERs.
  kFinishSwap,  // _bak -> base: we died between the two ALTERs.
  kDropBak,     // A left-over _bak while base is whole.
  kDropBak2,    // The old table; only if max(id) of base >= its own.
  kUndoSwap,    // _bak2 -> base: base and _bak are gone.
  kRaise,       // Base is behind _bak or _bak2 (somebody made it anew): their last row is copied
                // into it, and its AUTO_INCREMENT set beyond all of theirs.
  // While somebody writes the base:
  kCreateBakAhead,  // As kCreateBak, kSequenceHeadroom ahead.
  kSwapAtOnce,      // As kSwap, by the two-table RENAME or not at all: kTerminal
                    // "TwoTableRenameMissing", and nothing was renamed.
};

// What the guide's second part asks before an upgrade from below 4.0.1.
struct DuplicateTask {
  std::string table;  // oms_project, oms_sync_project
  std::string name;
  uint64_t count = 0;
  std::vector<std::string> ids;  // Maybe not all of them: the server bounds GROUP_CONCAT.
};
struct LegacyFindings {
  std::vector<DuplicateTask> duplicates;
  // config_job, key 'sourceFile.blackRegionNo', value another than cm_location: each value once.
  std::vector<std::string> black_regions;
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

// Whoever wants to write asks the fence first. See ownership.h.
class Fence {
 public:
  virtual ~Fence() = default;
  // Notes the connection in the row, WHERE epoch = ours. kFenced when the row is another's: nothing
  // may be written.
  virtual base::Status Register(const base::Context& ctx, const DbConnection& connection) = 0;
  // Best effort; an entry that stays behind is a dead id, which costs the successor one look.
  virtual void Unregister(const DbConnection& connection) = 0;
};

// Microseconds. mysqldump cannot set a session variable, and OceanBase's ob_query_timeout (10 s)
// cuts a long table in its middle: the global one is raised to this for the dump.
inline constexpr uint64_t kRaisedQueryTimeout = 24ULL * 3600 * 1'000'000;

class MetaDb {
 public:
  virtual ~MetaDb() = default;

  virtual const DbServerAddress& address() const = 0;

  // --- looking
  virtual base::Result<DbServerInfo> Server(const base::Context& ctx) = 0;
  virtual base::Result<DbInfo> Database(const base::Context& ctx, const std::string& database) = 0;
  // As Database() says them, and nothing else of it: no row is read. None of a database that is not
  // there.
  virtual base::Result<DumpObstacles> Obstacles(const base::Context& ctx,
                                                const std::string& database) = 0;
  // As Database() says them; none where the server has no such thing.
  virtual base::Result<std::vector<std::string>> Events(const base::Context& ctx,
                                                        const std::string& database) = 0;
  virtual base::Result<std::optional<std::string>> ReadHaConfig(const base::Context& ctx,
                                                                const std::string& rm) = 0;
  virtual base::Result<std::vector<HostRow>> Hosts(const base::Context& ctx,
                                                   const std::string& cm) = 0;
  virtual base::Result<HeartbeatInfo> Heartbeat(const base::Context& ctx,
                                                const std::string& heartbeat_db,
                                                const std::string& host_ip) = 0;
  virtual base::Result<SequenceTables> Sequence(const base::Context& ctx,
                                                const std::string& heartbeat_db) = 0;
  // The guide's three queries: two in rm, one in cm. `location` is cm_location of config.yaml. What
  // has no name is not looked at (it lies on another server).
  virtual base::Result<LegacyFindings> LookForLegacy(const base::Context& ctx,
                                                     const std::string& rm, const std::string& cm,
                                                     const std::string& location) = 0;
  // Connections that use one of the databases and are not of this process.
  virtual base::Result<std::vector<DbConnection>> ForeignConnections(
      const base::Context& ctx, const std::vector<std::string>& databases) = 0;
  // Reads every row of every table once. Seconds to minutes. kNotFound: no such database. kTerminal
  // "DigestFailed": the server lists a table, view, trigger or routine that it cannot read, so the
  // database equals no digest. kDenied: it may not be read by this user.
  virtual base::Result<DatabaseDigest> Digest(const base::Context& ctx,
                                              const std::string& database) = 0;

  // --- proofs that touch nothing of OMS
  // Two connections as the operation will open them, one kills the other; the victim must get
  // 2006/2013, and be gone from the process list. Then a third as the dump tools open theirs, which
  // is found and ended by what the relay has registered of it. Else kTerminal "CannotFence".
  virtual base::Status ProveFence(const base::Context& ctx) = 0;
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
  // That each row could be loaded again: a dump writes a value in up to twice its bytes, and no
  // statement may be longer than the server's max_allowed_packet. Reads the rows of those tables
  // that could hold such a one, for a bounded time; what could not be read by then is taken for
  // fitting. kTransient "PacketTooSmall": names table, column, length, and the figure to set.
  virtual base::Status ProveRowsFit(const base::Context& ctx, const std::string& database) = 0;

  // --- writing; each registers its connection with the fence first
  // UPDATE ... WHERE cfg_value = BINARY expected. kConflict if the value is another by now.
  virtual base::Status SwapHaConfig(const base::Context& ctx, Fence& fence, const std::string& rm,
                                    const std::string& expected, const std::string& desired) = 0;
  virtual base::Status Compact(const base::Context& ctx, Fence& fence,
                               const std::string& heartbeat_db, CompactionAct act) = 0;
  // Gone already is success. Nothing but a rollback calls it.
  virtual base::Status DropDatabase(const base::Context& ctx, Fence& fence,
                                    const std::string& database) = 0;
  // Empty. kAlreadyExists if there is one.
  virtual base::Status CreateDatabase(const base::Context& ctx, Fence& fence,
                                      const std::string& database, const std::string& charset,
                                      const std::string& collation) = 0;
  // KILLs each that is still the same connection, then waits (15 s, and bounded by ctx) until they
  // are gone from the process list. kTransient "ConnectionsEnding" if one stays: a big load is
  // taken back for minutes. Not to be gone on from, as its statement may still run.
  // The answer: of those that only read, the ones that the server keeps (OceanBase does, where the
  // client is frozen in the middle of a result: no KILL and no time-out ends that, measured). From
  // then on they are not foreign ones.
  virtual base::Result<std::vector<DbConnection>> EndConnections(
      const base::Context& ctx, const std::vector<DbConnection>& victims) = 0;

  // The global ob_query_timeout in microseconds; nullopt where the server has none.
  virtual base::Result<std::optional<uint64_t>> GlobalQueryTimeout(const base::Context& ctx) = 0;
  virtual base::Status SetGlobalQueryTimeout(const base::Context& ctx, Fence& fence,
                                             uint64_t micros) = 0;
};

class MetaDbProvider {
 public:
  virtual ~MetaDbProvider() = default;
  virtual std::shared_ptr<MetaDb> Open(const DbServerAddress& address) = 0;
};

}  // namespace oms::ports
