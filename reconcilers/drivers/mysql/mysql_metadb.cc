#include "reconcilers/drivers/mysql/mysql_metadb.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <tuple>
#include <utility>

#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/grants.h"
#include "reconcilers/drivers/mysql/mysql_relay.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/drivers/mysql/own_connections.h"
#include "reconcilers/drivers/mysql/packet_limit.h"

namespace oms::drivers::mysql {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::CompactionAct;
using ports::DatabaseDigest;
using ports::DbConnection;
using ports::DbServerAddress;
using ports::Fence;
using ports::SequenceTable;
using ports::SequenceTables;

namespace {

constexpr char kBase[] = "heatbeat_sequence";  // sic
constexpr char kBak[] = "heatbeat_sequence_bak";
constexpr char kBak2[] = "heatbeat_sequence_bak2";
constexpr char kViews[] =
    "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_type = 'VIEW' "
    "LIMIT 1";
// The tables in the database of a proof.
constexpr char kProbe[] = "probe", kProbeNext[] = "probe_next", kProbeBefore[] = "probe_before";

// Looking is quick; reading all rows, or DDL on a big table, is not.
constexpr auto kShort = std::chrono::seconds(30);
constexpr auto kLong = std::chrono::hours(12);
// Counting the rows of all tables, within a pass.
constexpr auto kEstimate = std::chrono::minutes(5);
// Looking for rows that are too long to be loaded again, within a pass.
constexpr base::Duration kRowsFit = std::chrono::minutes(1);
// Of one proof as a whole: the connections and probe databases of it.
constexpr auto kProve = std::chrono::minutes(2);
// How long a killed connection may stay in the process list.
constexpr auto kKillDeadline = std::chrono::seconds(15);
// One that only reads does no harm by staying.
constexpr auto kReaderDeadline = std::chrono::seconds(3);
constexpr auto kPoll = std::chrono::milliseconds(50);

// 0 where it is none, or none that fits.
template <typename T = uint64_t>
T Number(const std::optional<std::string>& text) {
  T number = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

// project_name, COUNT(*), GROUP_CONCAT(id ORDER BY id). The last id may be cut off where the
// server's group_concat_max_len was reached, so it is not taken then.
ports::DuplicateTask DuplicateOf(const char* table, const SqlRow& row) {
  ports::DuplicateTask task{table, row.at(0).value_or(""), Number(row.at(1)), {}};
  std::istringstream ids(row.at(2).value_or(""));
  for (std::string id; std::getline(ids, id, ',');) task.ids.push_back(id);
  if (task.ids.size() < task.count && !task.ids.empty()) task.ids.pop_back();
  return task;
}

// cm_location is a number, and the guide compares it as one.
SqlParam LocationParam(const std::string& location) {
  int64_t number = 0;
  const auto [stop, ec] =
      std::from_chars(location.data(), location.data() + location.size(), number);
  if (ec == std::errc() && stop == location.data() + location.size()) return number;
  return location;
}

Status Pause(const Context& ctx, base::Duration duration) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, ctx.stop(), duration, [] { return false; });
  return ctx.Check();
}

// A registered session. Leaves the fence's list when it ends, but not if its connection broke or
// was given up: then a statement of it may still run.
struct Writer {
  Writer() = default;
  Writer(Writer&&) = default;
  Writer& operator=(Writer&&) = delete;
  ~Writer() {
    if (!session) return;
    const bool in_doubt = session->dead();
    session.reset();
    if (fence != nullptr && !in_doubt) fence->Unregister(connection);
  }
  MysqlSession* operator->() const { return session.get(); }

  std::unique_ptr<MysqlSession> session;
  Fence* fence = nullptr;
  DbConnection connection;
};

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

// Remembers, and lets everybody through. For the proof of the relay, which writes nothing.
class OpenFence final : public Fence {
 public:
  Status Register(const Context&, const DbConnection& connection) override {
    const std::lock_guard lock(mutex_);
    last_[connection.id] = connection;
    return base::Ok();
  }
  void Unregister(const DbConnection&) override {}
  // As it was registered last.
  std::optional<DbConnection> Registered(uint64_t id) {
    const std::lock_guard lock(mutex_);
    const auto found = last_.find(id);
    if (found == last_.end()) return std::nullopt;
    return found->second;
  }

 private:
  std::mutex mutex_;
  std::map<uint64_t, DbConnection> last_;
};

std::string Ids(const std::vector<uint64_t>& ids) {
  return fmt::format("connection{} {}", ids.size() == 1 ? "" : "s", fmt::join(ids, ", "));
}

bool ColumnTypeIn(const std::string& type, std::initializer_list<const char*> types) {
  return std::any_of(types.begin(), types.end(), [&](const char* t) { return type == t; });
}

class MysqlMetaDb final : public ports::MetaDb {
 public:
  MysqlMetaDb(DbServerAddress address, base::Duration looking)
      : address_(std::move(address)), looking_(looking) {}

  const DbServerAddress& address() const override { return address_; }

  Result<ports::DbServerInfo> Server(const Context& outer) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_ASSIGN(auto session, Open(ctx));
    ports::DbServerInfo info;
    info.version = session->version();
    info.oceanbase = session->oceanbase();
    // MySQL and OceanBase have @@server_uuid (OceanBase per tenant); MariaDB 10.11 has none.
    const auto uuid = session->Scalar(ctx, "SELECT @@global.server_uuid");
    if (uuid.ok() && *uuid && !(*uuid)->empty()) {
      info.identity = **uuid;
      return info;
    }
    if (!uuid.ok() && !uuid.Is(Code::kTerminal) && !uuid.Is(Code::kTransient)) return uuid.error();
    OMS_ASSIGN(auto rows, session->Query(ctx, "SELECT @@hostname, @@port, @@server_id, @@datadir"));
    info.identity =
        fmt::format("{}:{}/{}{}", rows.at(0).at(0).value_or(""), rows[0].at(1).value_or(""),
                    rows[0].at(2).value_or(""), rows[0].at(3).value_or(""));
    return info;
  }

  Result<ports::DbInfo> Database(const Context& outer, const std::string& database) override {
    const Context ctx = outer.WithTimeout(kEstimate);
    OMS_ASSIGN(auto session, Open(ctx, "", kEstimate));
    ports::DbInfo info;
    OMS_TRY(Charset(ctx, *session, database, info.name, info.charset, info.collation));
    OMS_ASSIGN(auto tables, Tables(ctx, *session, database));
    OMS_ASSIGN(auto sizes,
               session->Query(ctx,
                              "SELECT table_name, data_length FROM information_schema.tables "
                              "WHERE table_schema = ? AND table_type = 'BASE TABLE'",
                              {database}));
    std::map<std::string, uint64_t> known;
    for (const auto& row : sizes) known[row.at(0).value_or("")] = Number(row.at(1));
    for (const auto& table : tables) {
      OMS_ASSIGN(const uint64_t bytes, TableBytes(ctx, *session, database, table, known[table]));
      info.bytes += bytes;
    }
    OMS_ASSIGN(info.obstacles, Obstacles(ctx, *session, database, tables));
    OMS_ASSIGN(info.broken_view, BrokenView(ctx, *session, database));
    OMS_ASSIGN(info.denied, MissingRights(ctx, *session, database));
    OMS_TRY(LookAtDefinitions(ctx, *session, database, info));
    OMS_ASSIGN(info.events, Events(ctx, *session, database));
    return info;
  }

  Result<ports::DumpObstacles> Obstacles(const Context& outer,
                                         const std::string& database) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(database));
    OMS_ASSIGN(auto session, Open(ctx));
    OMS_ASSIGN(const auto tables, Tables(ctx, *session, database));
    return Obstacles(ctx, *session, database, tables);
  }

  Result<std::vector<std::string>> Events(const Context& outer,
                                          const std::string& database) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(database));
    OMS_ASSIGN(auto session, Open(ctx));
    return Events(ctx, *session, database);
  }

  Result<std::optional<std::string>> ReadHaConfig(const Context& outer,
                                                  const std::string& rm) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(rm));
    OMS_ASSIGN(auto session, Open(ctx));
    return session->Scalar(
        ctx, fmt::format("SELECT cfg_value FROM {}.oms_normal_config WHERE cfg_name = 'ha.config'",
                         Quote(rm)));
  }

  Result<std::vector<ports::HostRow>> Hosts(const Context& outer, const std::string& cm) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(cm));
    OMS_ASSIGN(auto session, Open(ctx));
    OMS_ASSIGN(auto rows,
               session->Query(
                   ctx, fmt::format("SELECT ip, host_status FROM {}.host ORDER BY ip", Quote(cm))));
    std::vector<ports::HostRow> hosts;
    for (const auto& row : rows) {
      hosts.push_back({row.at(0).value_or(""), row.at(1).value_or("")});
    }
    return hosts;
  }

  Result<ports::LegacyFindings> LookForLegacy(const Context& outer, const std::string& rm,
                                              const std::string& cm,
                                              const std::string& location) override {
    const Context ctx = outer.WithTimeout(looking_);
    if (!rm.empty()) OMS_TRY(CheckIdentifier(rm));
    if (!cm.empty()) OMS_TRY(CheckIdentifier(cm));
    OMS_ASSIGN(auto session, Open(ctx));
    ports::LegacyFindings found;
    for (const char* table : {"oms_project", "oms_sync_project"}) {
      if (rm.empty()) break;
      OMS_ASSIGN(
          auto rows,
          session->Query(
              ctx, fmt::format(
                       "SELECT project_name, COUNT(*), "
                       "GROUP_CONCAT(id ORDER BY id) FROM {}.{} WHERE project_status != 'DELETED' "
                       "GROUP BY project_name HAVING COUNT(*) > 1 "
                       "ORDER BY project_name",
                       Quote(rm), table)));
      for (const auto& row : rows) found.duplicates.push_back(DuplicateOf(table, row));
    }
    if (cm.empty()) return found;
    // As the guide compares it: a number with the text of the column.
    OMS_ASSIGN(auto rows,
               session->Query(ctx,
                              fmt::format("SELECT DISTINCT value FROM {}.config_job WHERE "
                                          "`key` = 'sourceFile.blackRegionNo' AND value != ? "
                                          "ORDER BY value",
                                          Quote(cm)),
                              {LocationParam(location)}));
    for (const auto& row : rows) found.black_regions.push_back(row.at(0).value_or(""));
    return found;
  }

  Result<ports::HeartbeatInfo> Heartbeat(const Context& outer, const std::string& heartbeat_db,
                                         const std::string& host_ip) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(heartbeat_db));
    OMS_ASSIGN(auto session, Open(ctx, heartbeat_db));
    ports::HeartbeatInfo info;
    // gmt_modified is a DATETIME that OMS fills by NOW() in the server's time zone.
    OMS_TRY(session->Execute(ctx, "SET time_zone = @@global.time_zone"));
    OMS_ASSIGN(auto rows,
               session->Query(ctx,
                              "SELECT gmt_modified, "
                              "TIMESTAMPDIFF(MICROSECOND, gmt_modified, NOW(6)) FROM heart_beat "
                              "WHERE task_name = 'supervisor' AND host_ip = ? "
                              "ORDER BY gmt_modified DESC LIMIT 1",
                              {host_ip}));
    if (!rows.empty()) {
      info.found = true;
      info.modified = rows[0].at(0).value_or("");
      // Ten years ago or ahead is as wrong as any more, and can be reckoned with.
      constexpr int64_t kMost = base::kLongestDuration.count();
      info.age_ms = std::clamp(Number<int64_t>(rows[0].at(1)) / 1000, -kMost, kMost);
    }
    // No base (a compaction that died): the highest id of its two other names.
    const auto max = session->Scalar(ctx, fmt::format("SELECT MAX(id) FROM {}", Quote(kBase)));
    if (!max.ok() && !max.Is(Code::kNotFound)) return max.error();
    if (max.ok()) {
      info.sequence_max = Number(*max);
      return info;
    }
    OMS_ASSIGN(auto tables, ReadSequence(ctx, *session, heartbeat_db));
    info.sequence_max = std::max(tables.bak.max_id, tables.bak2.max_id);
    return info;
  }

  Result<SequenceTables> Sequence(const Context& outer, const std::string& heartbeat_db) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(heartbeat_db));
    OMS_ASSIGN(auto session, Open(ctx, heartbeat_db));
    return ReadSequence(ctx, *session, heartbeat_db);
  }

  Result<std::vector<DbConnection>> ForeignConnections(
      const Context& outer, const std::vector<std::string>& databases) override {
    const Context ctx = outer.WithTimeout(looking_);
    std::vector<DbConnection> foreign;
    if (databases.empty()) return foreign;
    OMS_ASSIGN(auto session, Open(ctx));
    std::vector<SqlParam> params(databases.begin(), databases.end());
    // lower_case_table_names differs between servers; names that differ in case only do not
    // occur in one OMS.
    std::string in;
    for (size_t i = 0; i < databases.size(); ++i) in += i == 0 ? "LOWER(?)" : ",LOWER(?)";
    OMS_ASSIGN(auto rows, session->Query(ctx,
                                         "SELECT id, user, host, db, command FROM "
                                         "information_schema.processlist WHERE LOWER(db) IN (" +
                                             in + ") ORDER BY id",
                                         std::move(params)));
    for (const auto& row : rows) {
      DbConnection connection;
      connection.server = ServerName(address_);
      connection.id = Number(row.at(0));
      connection.user = row.at(1).value_or("");
      connection.address = row.at(2).value_or("");
      connection.database = row.at(3).value_or("");
      connection.command = row.at(4).value_or("");
      if (OwnConnections::Has(connection.server, connection.id, connection.address)) continue;
      foreign.push_back(std::move(connection));
    }
    return foreign;
  }

  Result<DatabaseDigest> Digest(const Context& ctx, const std::string& database) override {
    OMS_ASSIGN(auto session, Open(ctx, "", kLong));
    DatabaseDigest digest;
    OMS_TRY(Charset(ctx, *session, database, digest.name, digest.charset, digest.collation));
    // So that SHOW CREATE of a view leaves its database out where the server does that at all.
    OMS_TRY(session->Execute(ctx, "USE " + Quote(database)));
    OMS_ASSIGN(auto tables, Tables(ctx, *session, database));
    for (const auto& table : tables) {
      OMS_TRY(AddObject(ctx, *session, database, "table", table, digest));
      auto sum = Sum(ctx, *session, database, table);
      if (!sum.ok()) return DigestError(sum.error(), "table", database, table);
      digest.tables.push_back(*std::move(sum));
    }
    OMS_ASSIGN(const auto views, Views(ctx, *session, database));
    for (const auto& view : views)
      OMS_TRY(AddObject(ctx, *session, database, "view", view, digest));
    OMS_ASSIGN(auto triggers, Triggers(ctx, *session, database));
    for (const auto& trigger : triggers) {
      OMS_TRY(AddObject(ctx, *session, database, "trigger", trigger, digest));
    }
    for (const char* kind : {"procedure", "function"}) {
      OMS_ASSIGN(auto routines, Routines(ctx, *session, database, kind));
      for (const auto& name : routines) {
        OMS_TRY(AddObject(ctx, *session, database, kind, name, digest));
      }
    }
    std::sort(digest.objects.begin(), digest.objects.end(), [](const auto& a, const auto& b) {
      return std::tie(a.kind, a.name) < std::tie(b.kind, b.name);
    });
    return digest;
  }

  Status ProveFence(const Context& outer) override {
    const Context ctx = outer.WithTimeout(kProve);
    const auto cannot = [&](std::string_view why) {
      return MakeError(Code::kTerminal, crd::reason::kCannotFence,
                       fmt::format("MetaDB {}: {}. After a takeover, the connections of the "
                                   "previous controller could not be killed here; connect to the "
                                   "server itself (an observer of OceanBase), not to a proxy",
                                   ServerName(address_), why));
    };
    OMS_ASSIGN(auto killer, Open(ctx));
    OMS_ASSIGN(auto victim, Open(ctx));
    OMS_TRY(victim->Scalar(ctx, "SELECT 1"));
    OMS_ASSIGN(auto listed, Listed(ctx, *killer, victim->id()));
    if (!listed) return cannot("the process list does not show a connection under its own id");
    const auto killed = killer->Execute(ctx, fmt::format("KILL {}", victim->id()));
    if (killed.Is(Code::kDenied)) return killed.error();
    if (!killed.ok()) return cannot("KILL failed: " + killed.error().message);
    const auto after = victim->Scalar(ctx, "SELECT 1");
    if (after.ok()) return cannot("a killed connection kept working");
    OMS_TRY(ctx.Check());
    if (after.error().reason != crd::reason::kMetaDbUnreachable) {
      return cannot("a killed connection answered: " + after.error().message);
    }
    bool gone = false;
    for (const auto give_up = ctx.clock().Now() + kKillDeadline; !gone;) {
      OMS_ASSIGN(const bool there, Listed(ctx, *killer, victim->id()));
      gone = !there;
      if (there && ctx.clock().Now() >= give_up) {
        return cannot("a connection stays in the process list after KILL");
      }
      if (there) OMS_TRY(Pause(ctx, kPoll));
    }

    // The tools' way: what the relay registers must be enough to find and end the connection.
    OpenFence fence;
    OMS_ASSIGN(auto relay, MysqlRelay::Start(ctx, address_, RelayUse::kWrite, fence, nullptr));
    MysqlSession::Options options;
    options.statement_timeout = kShort;
    options.socket = relay->socket_path();
    const auto relayed = MysqlSession::Open(ctx, address_, options);
    // The client only sees that its connection ends; why is the relay's to say.
    if (const auto health = relay->Health(); !relayed.ok() && !health.ok()) {
      if (health.error().reason != crd::reason::kCannotFence) return health;
      return cannot("the connection id in the server's greeting is not in its process list");
    }
    if (!relayed.ok()) return relayed.error();
    const auto registered = fence.Registered((*relayed)->id());
    if (!registered) {
      return cannot("the connection id in the server's greeting is not CONNECTION_ID()");
    }
    OMS_ASSIGN(const auto there, KillAndWait(ctx, *killer, {*registered}));
    if (!there.empty()) return cannot("a connection stays in the process list after KILL");
    const auto late = (*relayed)->Scalar(ctx, "SELECT 1");
    OMS_ASSIGN(const bool still, Listed(ctx, *killer, registered->id));
    if (late.ok() || still) {
      return cannot(
          "the process list does not show a connection of the dump tools as it was registered, so "
          "it was not found and killed");
    }
    return ctx.Check();
  }

  Status ProveRights(const Context& outer, const std::string& suffix) override {
    const Context ctx = outer.WithTimeout(kProve);
    const std::string name = "oms_upgrade_probe_" + suffix;
    OMS_ASSIGN(auto session, MakeProbe(ctx, name, {kProbe}));
    OMS_TRY(session->Execute(ctx, "DROP DATABASE IF EXISTS " + Quote(name)));
    return base::Ok();
  }

  Status ProveTwoTableRename(const Context& outer, const std::string& suffix) override {
    const Context ctx = outer.WithTimeout(kProve);
    const std::string name = "oms_upgrade_probe_" + suffix;
    OMS_ASSIGN(auto session, MakeProbe(ctx, name, {kProbe, kProbeNext}));
    const auto renamed = session->Execute(
        ctx, fmt::format("RENAME TABLE {0}.{1} TO {0}.{3}, {0}.{2} TO {0}.{1}", Quote(name),
                         Quote(kProbe), Quote(kProbeNext), Quote(kProbeBefore)));
    const auto dropped = session->Execute(ctx, "DROP DATABASE IF EXISTS " + Quote(name));
    if (renamed.Is(Code::kTerminal)) return NoTwoTableRename(renamed.error());
    if (!renamed.ok()) return OfProbe(renamed.error(), name);
    return dropped.ok() ? base::Ok() : Status(dropped.error());
  }

  // Not ob_query_timeout itself: another controller may be raising it, or putting it back.
  Status ProveQueryTimeout(const Context& outer) override {
    const Context ctx = outer.WithTimeout(kProve);
    OMS_ASSIGN(const auto now, GlobalQueryTimeout(ctx));
    if (!now || *now >= ports::kRaisedQueryTimeout) return base::Ok();
    OMS_ASSIGN(auto session, Open(ctx));
    const auto set = session->Execute(ctx, "SET GLOBAL ob_trx_timeout = @@global.ob_trx_timeout");
    if (set.ok()) return base::Ok();
    if (!set.Is(Code::kDenied)) return set.error();
    return MakeError(Code::kDenied, crd::reason::kMetaDbDenied,
                     fmt::format("user '{}' may not SET GLOBAL ({}), by which ob_query_timeout is "
                                 "raised for mysqldump: GRANT ALTER SYSTEM ON *.* to that user, or "
                                 "let mydumper dump (spec.backup.tool) where it can",
                                 address_.user, set.error().message));
  }

  Status ProveRowsFit(const Context& outer, const std::string& database) override {
    OMS_TRY(CheckIdentifier(database));
    // There are two more databases, and what comes after them, within the pass.
    const Context ctx = outer.WithTimeout(std::min(kRowsFit, outer.Remaining() / 4));
    const auto told = RowsFit(ctx, database);
    // Not known is not too long; and the dump itself looks once more (dump_tool.cc).
    if (told.Is(Code::kTimeout) && outer.Check().ok()) {
      ctx.log().Warn("{}: the longest rows were not found before the deadline", database);
      return base::Ok();
    }
    return told;
  }

  Status SwapHaConfig(const Context& ctx, Fence& fence, const std::string& rm,
                      const std::string& expected, const std::string& desired) override {
    OMS_TRY(CheckIdentifier(rm));
    OMS_ASSIGN(auto writer, OpenWriter(ctx, address_, fence, {rm, kShort, {}}));
    OMS_ASSIGN(const uint64_t found,
               writer->Execute(ctx,
                               "UPDATE oms_normal_config SET cfg_value = ? "
                               "WHERE cfg_name = 'ha.config' AND cfg_value = BINARY ?",
                               {desired, expected}));
    if (found > 0) return base::Ok();
    return MakeError(Code::kConflict, crd::reason::kHaConfigChanged,
                     "ha.config changed after it was read; somebody else edited it");
  }

  Status Compact(const Context& ctx, Fence& fence, const std::string& heartbeat_db,
                 CompactionAct act) override {
    OMS_TRY(CheckIdentifier(heartbeat_db));
    if (act == CompactionAct::kNone) return base::Ok();
    OMS_ASSIGN(auto writer, OpenWriter(ctx, address_, fence, {heartbeat_db, kLong, {}}));
    auto& session = *writer.session;
    OMS_ASSIGN(const auto tables, ReadSequence(ctx, session, heartbeat_db));
    const auto& [base, bak, bak2] = tables;
    const auto highest = [](const SequenceTable& t) {
      return !t.exists ? 0 : std::max(t.max_id, t.auto_increment > 0 ? t.auto_increment - 1 : 0);
    };
    const auto refuse = [&] {
      return MakeError(Code::kConflict, crd::reason::kHeartbeatTablesChanged,
                       "the heartbeat sequence tables changed while they were being compacted");
    };
    const auto last_row = [&](const char* from, const char* into) {
      return fmt::format(
          "INSERT INTO {} (id, gmt_created, gmt_modified) SELECT id, gmt_created, gmt_modified "
          "FROM {} ORDER BY id DESC LIMIT 1",
          Quote(into), Quote(from));
    };
    const auto rename = [](const char* from, const char* to) {
      return fmt::format("ALTER TABLE {} RENAME TO {}", Quote(from), Quote(to));
    };
    switch (act) {
      case CompactionAct::kNone: break;
      case CompactionAct::kCreateBak:
        if (!base.exists || bak.exists) return refuse();
        OMS_TRY(session.Execute(ctx,
                                fmt::format("CREATE TABLE {} LIKE {}", Quote(kBak), Quote(kBase))));
        OMS_TRY(SetAutoIncrement(ctx, session, kBak, highest(base) + 1));
        break;
      case CompactionAct::kCreateBakAhead:
        if (!base.exists || bak.exists) return refuse();
        OMS_TRY(session.Execute(ctx,
                                fmt::format("CREATE TABLE {} LIKE {}", Quote(kBak), Quote(kBase))));
        OMS_TRY(SetAutoIncrement(ctx, session, kBak, highest(base) + 1 + ports::kSequenceHeadroom));
        break;
      case CompactionAct::kFillBak:
        if (!base.exists || !bak.exists || bak.rows != 0) return refuse();
        OMS_TRY(session.Execute(ctx, last_row(kBase, kBak)));
        OMS_TRY(SetAutoIncrement(ctx, session, kBak, std::max(highest(base), highest(bak)) + 1));
        break;
      case CompactionAct::kSwapAtOnce:
      case CompactionAct::kSwap: {
        if (!base.exists || !bak.exists || bak2.exists || highest(bak) < highest(base) ||
            bak.rows == 0) {
          return refuse();
        }
        const auto swapped =
            session.Execute(ctx, fmt::format("RENAME TABLE {0} TO {2}, {1} TO {0}", Quote(kBase),
                                             Quote(kBak), Quote(kBak2)));
        if (swapped.ok()) break;
        // 1064 and the like: a server that has no such statement. Then the guide's two.
        if (!swapped.Is(Code::kTerminal)) return swapped.error();
        if (act == CompactionAct::kSwapAtOnce) {
          return NoTwoTableRename(swapped.error());
        }
        OMS_TRY(session.Execute(ctx, rename(kBase, kBak2)));
        OMS_TRY(session.Execute(ctx, rename(kBak, kBase)));
        break;
      }
      case CompactionAct::kFinishSwap:
        if (base.exists || !bak.exists) return refuse();
        OMS_TRY(session.Execute(ctx, rename(kBak, kBase)));
        break;
      case CompactionAct::kDropBak:
        if (!bak.exists || highest(bak) > std::max(highest(base), highest(bak2)) ||
            (!base.exists && !bak2.exists)) {
          return refuse();
        }
        OMS_TRY(session.Execute(ctx, "DROP TABLE " + Quote(kBak)));
        break;
      case CompactionAct::kDropBak2:
        if (!base.exists || !bak2.exists || highest(base) < highest(bak2)) return refuse();
        OMS_TRY(session.Execute(ctx, "DROP TABLE " + Quote(kBak2)));
        break;
      case CompactionAct::kUndoSwap:
        if (base.exists || bak.exists || !bak2.exists) return refuse();
        OMS_TRY(session.Execute(ctx, rename(kBak2, kBase)));
        break;
      case CompactionAct::kRaise: {
        if (!base.exists) return refuse();
        const bool first = bak.max_id >= bak2.max_id;
        const auto& source = first ? bak : bak2;
        if (source.rows > 0 && source.max_id > base.max_id) {
          OMS_TRY(session.Execute(ctx, last_row(first ? kBak : kBak2, kBase)));
        }
        OMS_TRY(SetAutoIncrement(ctx, session, kBase,
                                 std::max({highest(base), highest(bak), highest(bak2)}) + 1));
        break;
      }
    }
    return base::Ok();
  }

  Status DropDatabase(const Context& ctx, Fence& fence, const std::string& database) override {
    OMS_TRY(CheckIdentifier(database));
    OMS_ASSIGN(auto writer, OpenWriter(ctx, address_, fence, {"", kLong, {}}));
    OMS_TRY(writer->Execute(ctx, "DROP DATABASE IF EXISTS " + Quote(database)));
    return base::Ok();
  }

  Status CreateDatabase(const Context& ctx, Fence& fence, const std::string& database,
                        const std::string& charset, const std::string& collation) override {
    OMS_TRY(CheckIdentifier(database));
    OMS_TRY(CheckIdentifier(charset));
    OMS_TRY(CheckIdentifier(collation));
    OMS_ASSIGN(auto writer, OpenWriter(ctx, address_, fence, {"", kLong, {}}));
    OMS_TRY(
        writer->Execute(ctx, fmt::format("CREATE DATABASE {} DEFAULT CHARACTER SET {} COLLATE {}",
                                         Quote(database), Quote(charset), Quote(collation))));
    return base::Ok();
  }

  Result<std::vector<DbConnection>> EndConnections(
      const Context& ctx, const std::vector<DbConnection>& victims) override {
    if (victims.empty()) return std::vector<DbConnection>();
    OMS_ASSIGN(auto session, Open(ctx));
    std::vector<DbConnection> writers, readers;
    for (const auto& victim : victims) {
      (victim.reads && session->oceanbase() ? readers : writers).push_back(victim);
    }
    OMS_ASSIGN(const auto there, KillAndWait(ctx, *session, writers));
    if (there.empty()) return EndReaders(ctx, *session, std::move(readers));
    return MakeError(Code::kTransient, crd::reason::kConnectionsEnding,
                     fmt::format("MetaDB {}: {} stay{} in the process list after KILL; the server "
                                 "is rolling back what {} had written",
                                 ServerName(address_), Ids(there), there.size() == 1 ? "s" : "",
                                 there.size() == 1 ? "it" : "they"));
  }

  Result<std::optional<uint64_t>> GlobalQueryTimeout(const Context& outer) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_ASSIGN(auto session, Open(ctx));
    if (!session->oceanbase()) return std::optional<uint64_t>();
    OMS_ASSIGN(auto value, session->Scalar(ctx, "SELECT @@global.ob_query_timeout"));
    return std::optional<uint64_t>(Number(value));
  }

  Status SetGlobalQueryTimeout(const Context& ctx, Fence& fence, uint64_t micros) override {
    OMS_ASSIGN(auto writer, OpenWriter(ctx, address_, fence, {"", kShort, {}}));
    OMS_TRY(writer->Execute(ctx, fmt::format("SET GLOBAL ob_query_timeout = {}", micros)));
    return base::Ok();
  }

 private:
  // A session of one call, so what the call's deadline leaves bounds its statements on the server
  // as well: what nobody waits for any more shall not run on there.
  Result<std::unique_ptr<MysqlSession>> Open(const Context& ctx, const std::string& database = "",
                                             base::Duration timeout = kShort) {
    const auto left = std::max<base::Duration>(ctx.Remaining(), std::chrono::seconds(1));
    return MysqlSession::Open(ctx, address_, {database, std::min(timeout, left), {}});
  }

  static base::Error NoTwoTableRename(const base::Error& refused) {
    return MakeError(
        Code::kTerminal, crd::reason::kTwoTableRenameMissing,
        fmt::format("the MetaDB cannot rename two tables in one statement ({}), so "
                    "heatbeat_sequence cannot be compacted while a component writes to it; nothing "
                    "was renamed. Set spec.deployment.keepTasksRunning to false; if an upgrade is "
                    "in progress, revert spec.version first",
                    refused.message));
  }

  // Another process may be at the same proof: it drops what this one has made.
  base::Error OfProbe(const base::Error& error, const std::string& name) const {
    if (error.code != Code::kNotFound && error.code != Code::kAlreadyExists) return error;
    return MakeError(Code::kTransient, crd::reason::kMetaDbBusy,
                     fmt::format("MetaDB {}: somebody else dropped {} at the same time",
                                 ServerName(address_), name));
  }

  // The database of a proof, made anew with these tables in it, each without a row.
  Result<std::unique_ptr<MysqlSession>> MakeProbe(const Context& ctx, const std::string& name,
                                                  std::initializer_list<const char*> tables) {
    OMS_TRY(CheckIdentifier(name));
    OMS_ASSIGN(auto session, Open(ctx, "", kProve));
    OMS_TRY(IsProbe(ctx, *session, name));
    OMS_TRY(session->Execute(ctx, "DROP DATABASE IF EXISTS " + Quote(name)));
    OMS_TRY(session->Execute(ctx, "CREATE DATABASE IF NOT EXISTS " + Quote(name)));
    for (const char* table : tables) {
      const auto made = session->Execute(
          ctx, fmt::format("CREATE TABLE IF NOT EXISTS {}.{} (id int)", Quote(name), Quote(table)));
      if (!made.ok()) return OfProbe(made.error(), name);
    }
    return session;
  }

  // A probe that was killed leaves nothing but, perhaps, its own tables without a row.
  Status IsProbe(const Context& ctx, MysqlSession& session, const std::string& name) const {
    OMS_ASSIGN(
        const auto tables,
        Names(ctx, session,
              "SELECT table_name FROM information_schema.tables WHERE table_schema = ?", name));
    bool ours = true;
    for (const auto& table : tables) {
      ours = ours && (table == kProbe || table == kProbeNext || table == kProbeBefore);
      if (!ours) break;
      OMS_ASSIGN(const auto row, session.Query(ctx, fmt::format("SELECT 1 FROM {}.{} LIMIT 1",
                                                                Quote(name), Quote(table))));
      ours = row.empty();
    }
    if (ours) return base::Ok();
    return MakeError(Code::kTerminal, crd::reason::kProbeDatabaseInUse,
                     fmt::format("MetaDB {}: the database {}, with which this controller tests its "
                                 "privileges, is not empty; rename or drop it",
                                 ServerName(address_), name));
  }

  static Status SetAutoIncrement(const Context& ctx, MysqlSession& session, const char* table,
                                 uint64_t value) {
    OMS_TRY(session.Execute(
        ctx, fmt::format("ALTER TABLE {} AUTO_INCREMENT = {}", Quote(table), value)));
    return base::Ok();
  }

  // Fills name, charset and collation. kNotFound: no such database.
  static Status Charset(const Context& ctx, MysqlSession& session, const std::string& database,
                        std::string& name, std::string& charset, std::string& collation) {
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
    name = database;
    charset = rows[0].at(0).value_or("");
    collation = rows[0].at(1).value_or("");
    return base::Ok();
  }

  static Result<std::vector<std::string>> Names(const Context& ctx, MysqlSession& session,
                                                const std::string& sql,
                                                const std::string& database) {
    OMS_ASSIGN(auto rows, session.Query(ctx, sql, {database}));
    std::vector<std::string> names;
    for (auto& row : rows) {
      if (!row.empty() && row[0]) names.push_back(std::move(*row[0]));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  static Result<std::vector<std::string>> Tables(const Context& ctx, MysqlSession& session,
                                                 const std::string& database) {
    return Names(ctx, session,
                 "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND "
                 "table_type = 'BASE TABLE'",
                 database);
  }

  static Result<std::vector<std::string>> Views(const Context& ctx, MysqlSession& session,
                                                const std::string& database) {
    return Names(ctx, session,
                 "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND "
                 "table_type = 'VIEW'",
                 database);
  }

  static Result<ports::DumpObstacles> Obstacles(const Context& ctx, MysqlSession& session,
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
          fmt::format("{}.{} is a {}, which no dump contains", database,
                      others[0].at(0).value_or(""), others[0].at(1).value_or(""));
    }
    return found;
  }

  // The server shows no trigger or routine to who lacks these, or not its text, and lets nobody
  // without them make it again: it would be in neither dump nor sums, and a rollback would take it.
  Result<std::string> MissingRights(const Context& ctx, MysqlSession& session,
                                    const std::string& database) const {
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
    OMS_ASSIGN(const auto user, session.Scalar(ctx, "SELECT CURRENT_USER()"));
    const std::string list = fmt::format("{}", fmt::join(missing, ", "));
    return fmt::format(
        "user '{}' lacks {} on {}; without it a backup is incomplete or cannot be restored: GRANT "
        "{} ON {}.* TO {}",
        address_.user, list, database, list, database, QuotedUser(user ? *user : address_.user));
  }

  // SHOW PRIVILEGES would be the way to ask, but OceanBase leaves there out what it has (TRIGGER:
  // seen). So something is taken from a user who does not exist, which changes nothing: only a
  // server that does not know the word says that it does not understand.
  static Result<bool> KnowsPrivilege(const Context& ctx, MysqlSession& session,
                                     std::string_view privilege) {
    const auto said = session.Execute(
        ctx, fmt::format("REVOKE {} ON `oms_upgrade_nothing`.* FROM 'oms_upgrade_nobody'@'%'",
                         privilege));
    if (said.ok()) return true;
    if (said.error().Retryable()) return said.error();
    const std::string& text = said.error().message;
    return text.find("(error 1064)") == std::string::npos &&
           text.find("(error 1149)") == std::string::npos;
  }

  // What the dump will read of views, triggers and routines is read here, while OMS still runs.
  Status LookAtDefinitions(const Context& ctx, MysqlSession& session, const std::string& database,
                           ports::DbInfo& info) const {
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
              address_.user, kind, database, name, create.error().message,
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
      no_mydumper = no_mysqldump = create.ok()
                                       ? good.error().message
                                       : fmt::format("the {} {}.{} cannot be read: {}", kind,
                                                     database, name, good.error().message);
    }
    return base::Ok();
  }

  // By which the texts of others' routines are shown; tried on the first two.
  static const char* RightToRoutines(const MysqlSession& session) {
    if (session.oceanbase()) return "SELECT ON *.*";
    const bool mariadb = session.version().find("MariaDB") != std::string::npos;
    return mariadb ? "SELECT ON mysql.proc" : "SHOW_ROUTINE ON *.*";
  }

  static Result<std::vector<std::string>> Triggers(const Context& ctx, MysqlSession& session,
                                                   const std::string& database) {
    return Names(ctx, session,
                 "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = ?",
                 database);
  }

  static Result<std::vector<std::string>> Routines(const Context& ctx, MysqlSession& session,
                                                   const std::string& database,
                                                   std::string_view kind) {
    return Names(ctx, session,
                 fmt::format("SELECT routine_name FROM information_schema.routines WHERE "
                             "routine_schema = ? AND LOWER(routine_type) = '{}'",
                             kind),
                 database);
  }

  static Result<std::vector<std::string>> Events(const Context& ctx, MysqlSession& session,
                                                 const std::string& database) {
    auto names =
        Names(ctx, session,
              "SELECT event_name FROM information_schema.events WHERE event_schema = ?", database);
    // OceanBase of before 4.3.5.3 has no such table (1109).
    if (names.Is(Code::kTerminal) || names.Is(Code::kNotFound)) return std::vector<std::string>();
    return names;
  }

  Status RowsFit(const Context& ctx, const std::string& database) {
    OMS_ASSIGN(auto session, Open(ctx, "", kRowsFit));
    OMS_ASSIGN(const uint64_t allowed, MaxAllowedPacket(ctx, *session));
    OMS_ASSIGN(const auto tables, Tables(ctx, *session, database));
    OMS_ASSIGN(const auto rows,
               session->Query(ctx,
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
      OMS_ASSIGN(
          const auto found,
          session->Query(ctx, fmt::format("SELECT MAX({}),{} FROM (SELECT {} FROM {}.{}) s", sum,
                                          fmt::join(longest, ","), fmt::join(lengths, ","),
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

  // A view over what is gone can be neither dumped (mysqldump ends at it) nor created again.
  static Result<std::string> BrokenView(const Context& ctx, MysqlSession& session,
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

  static Result<std::vector<SumColumn>> Columns(const Context& ctx, MysqlSession& session,
                                                const std::string& database,
                                                const std::string& table) {
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

  static Result<ports::TableSum> Sum(const Context& ctx, MysqlSession& session,
                                     const std::string& database, const std::string& table) {
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
  static base::Error DigestError(const base::Error& error, const std::string& kind,
                                 const std::string& database, const std::string& name) {
    if (error.code != Code::kTerminal && error.code != Code::kNotFound) return error;
    return MakeError(
        Code::kTerminal, crd::reason::kDigestFailed,
        fmt::format("the {} {}.{} cannot be read: {}", kind, database, name, error.message));
  }

  static Status AddObject(const Context& ctx, MysqlSession& session, const std::string& database,
                          const std::string& kind, const std::string& name,
                          DatabaseDigest& digest) {
    const auto create = ShowCreate(ctx, session, database, kind, name);
    if (!create.ok()) return DigestError(create.error(), kind, database, name);
    digest.objects.push_back({kind, name, base::Sha256Hex(NormalizeCreate(*create, database))});
    return base::Ok();
  }

  static Result<std::string> ShowCreate(const Context& ctx, MysqlSession& session,
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

  // What a dump of the table will take: what the server says, or rows times the length of the first
  // thousand (OceanBase says 0, and InnoDB's figures of a small table lag behind).
  static Result<uint64_t> TableBytes(const Context& ctx, MysqlSession& session,
                                     const std::string& database, const std::string& table,
                                     uint64_t known) {
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

  static Result<SequenceTable> ReadSequenceTable(const Context& ctx, MysqlSession& session,
                                                 const char* table) {
    SequenceTable info;
    auto rows = session.Query(ctx, fmt::format("SELECT COUNT(*), COALESCE(MAX(s.id), 0) FROM "
                                               "(SELECT id FROM {} ORDER BY id DESC LIMIT {}) s",
                                               Quote(table), SequenceTable::kMostRows));
    if (rows.Is(Code::kNotFound)) return info;
    if (!rows.ok()) return rows.error();
    info.exists = true;
    info.rows = Number(rows->at(0).at(0));
    info.max_id = Number(rows->at(0).at(1));
    OMS_ASSIGN(auto create, session.Query(ctx, "SHOW CREATE TABLE " + Quote(table)));
    if (!create.empty() && create[0].size() > 1) {
      info.auto_increment = AutoIncrementOf(create[0][1].value_or(""));
    }
    return info;
  }

  static Result<SequenceTables> ReadSequence(const Context& ctx, MysqlSession& session,
                                             const std::string& database) {
    // A missing database is an error, three missing tables are not.
    std::string unused;
    OMS_TRY(Charset(ctx, session, database, unused, unused, unused));
    SequenceTables tables;
    OMS_ASSIGN(tables.base, ReadSequenceTable(ctx, session, kBase));
    OMS_ASSIGN(tables.bak, ReadSequenceTable(ctx, session, kBak));
    OMS_ASSIGN(tables.bak2, ReadSequenceTable(ctx, session, kBak2));
    return tables;
  }

  static Result<bool> Listed(const Context& ctx, MysqlSession& session, uint64_t id) {
    OMS_ASSIGN(
        auto found,
        session.Scalar(ctx, fmt::format("SELECT COUNT(*) FROM information_schema.processlist "
                                        "WHERE id = {}",
                                        id)));
    return Number(found) > 0;
  }

  // The relay registers before the login, then with the name that logs in: OceanBase lists
  // "user@tenant" as "user".
  static bool RegisteredAtLogin(const DbConnection& victim, const std::string& listed) {
    return victim.address.empty() && victim.user.starts_with(listed + "@");
  }

  static Result<bool> SameConnection(const Context& ctx, MysqlSession& session,
                                     const DbConnection& victim) {
    OMS_ASSIGN(const auto command, CommandOf(ctx, session, victim));
    return command.has_value();
  }

  // What the process list says of it; nullopt when it is gone, or the id is another's by now.
  static Result<std::optional<std::string>> CommandOf(const Context& ctx, MysqlSession& session,
                                                      const DbConnection& victim) {
    std::optional<std::string> command;
    OMS_ASSIGN(auto rows,
               session.Query(ctx, fmt::format("SELECT user, host, command FROM "
                                              "information_schema.processlist WHERE id = {}",
                                              victim.id)));
    if (rows.empty()) return command;
    const std::string user = rows[0].at(0).value_or("");
    const std::string host = rows[0].at(1).value_or("");
    // MariaDB shows a connection that has not logged in yet so; its address still tells it.
    const bool logging_in = user == "unauthenticated user" || RegisteredAtLogin(victim, user);
    if (user != victim.user && !logging_in) return command;
    if (victim.address.empty() || host.empty() || host == victim.address) {
      command = rows[0].at(2).value_or("");
    }
    return command;
  }

  // KILLs those that are still the same, and waits until they are gone from the process list; the
  // ids that stay there.
  static Result<std::vector<uint64_t>> KillAndWait(const Context& ctx, MysqlSession& session,
                                                   const std::vector<DbConnection>& victims) {
    std::vector<DbConnection> killed;
    for (const auto& victim : victims) {
      if (victim.id == session.id()) continue;
      OMS_ASSIGN(const bool same, SameConnection(ctx, session, victim));
      if (!same) continue;
      OMS_TRY(ctx.Check());
      OMS_TRY(session.Kill(ctx, victim.id));
      killed.push_back(victim);
    }
    const auto give_up = ctx.clock().Now() + kKillDeadline;
    while (true) {
      std::vector<uint64_t> there;
      for (const auto& victim : killed) {
        OMS_ASSIGN(const bool same, SameConnection(ctx, session, victim));
        if (same) there.push_back(victim.id);
      }
      if (there.empty() || ctx.clock().Now() >= give_up) return there;
      OMS_TRY(Pause(ctx, kPoll));
    }
  }

  // For OceanBase. A KILL of a session that it sends rows to comes back when these are taken, which
  // a frozen client never does; and it keeps a thread of the server as long. So a reader is asked
  // to end its statement, which comes back at once, and killed when it has none. Those that stay.
  Result<std::vector<DbConnection>> EndReaders(const Context& ctx, MysqlSession& session,
                                               std::vector<DbConnection> readers) {
    std::set<uint64_t> asked, killed;
    const auto give_up = ctx.clock().Now() + kReaderDeadline;
    while (!readers.empty()) {
      std::vector<DbConnection> there;
      for (const auto& reader : readers) {
        OMS_ASSIGN(const auto command, CommandOf(ctx, session, reader));
        if (!command) continue;
        there.push_back(reader);
        OMS_TRY(ctx.Check());
        if (*command == "Sleep") {
          if (killed.insert(reader.id).second) OMS_TRY(session.Kill(ctx, reader.id));
        } else if (asked.insert(reader.id).second) {
          OMS_TRY(session.KillQuery(ctx, reader.id));
        }
      }
      readers = std::move(there);
      if (readers.empty() || ctx.clock().Now() >= give_up) break;
      OMS_TRY(Pause(ctx, kPoll));
    }
    for (const auto& reader : readers) {
      OwnConnections::AddKept(ServerName(address_), reader.id, reader.address);
    }
    return readers;
  }

  const DbServerAddress address_;
  const base::Duration looking_;
};

}  // namespace

std::shared_ptr<ports::MetaDb> MysqlMetaDbProvider::Open(const DbServerAddress& address) {
  return std::make_shared<MysqlMetaDb>(address, looking_);
}

ports::DumpObstacles ObstaclesOf(const std::string& database, const std::vector<OddColumn>& columns,
                                 bool mariadb) {
  const auto named = [&](const OddColumn& column) {
    return fmt::format("{}.{}.{}", database, column.table, column.name);
  };
  const auto says_generated = [](const OddColumn& column) {
    return column.extra.find("GENERATED") != std::string::npos;
  };
  std::set<std::string> listed;  // Tables whose columns mydumper names one by one.
  for (const auto& column : columns) {
    if (says_generated(column)) listed.insert(column.table);
  }
  ports::DumpObstacles found;
  for (const auto& column : columns) {
    if (column.generated) {
      if (!mariadb && found.no_mysqldump.empty()) {
        found.no_mysqldump = fmt::format(
            "{} is a generated column, and a mysqldump backup of it could not be restored on this "
            "server",
            named(column));
      }
    } else if (found.no_mydumper.empty() && says_generated(column)) {
      found.no_mydumper = fmt::format(
          "the default of {} is an expression, so mydumper treats it as a generated column and "
          "omits it",
          named(column));
    } else if (found.no_mydumper.empty() && listed.count(column.table) == 0) {
      found.no_mydumper =
          fmt::format("{} is an INVISIBLE column, which mydumper omits", named(column));
    }
  }
  return found;
}

Status CheckDefinition(std::string_view kind, const std::string& database, const std::string& name,
                       const std::string& text) {
  constexpr std::string_view kCreate = "CREATE";
  bool begins = text.size() > kCreate.size();
  for (size_t i = 0; begins && i < kCreate.size(); ++i) {
    begins = std::toupper(static_cast<unsigned char>(text[i])) == kCreate[i];
  }
  if (begins && std::isspace(static_cast<unsigned char>(text[kCreate.size()])) != 0)
    return base::Ok();
  return MakeError(Code::kTerminal, crd::reason::kDumpUnsupported,
                   fmt::format("the definition that the server returns for {} {}.{} does not begin "
                               "with CREATE, but a restore would run it",
                               kind, database, name));
}

std::string SumExpression(const std::vector<SumColumn>& columns) {
  std::string nulls, values;
  for (const auto& column : columns) {
    const std::string name = Quote(column.name);
    nulls += (nulls.empty() ? "" : ",") + fmt::format("ISNULL({})", name);
    if (ColumnTypeIn(column.type, {"char", "varchar", "binary", "varbinary", "enum", "set", "bit",
                                   "uuid", "inet4", "inet6"})) {
      values += fmt::format(",HEX({})", name);
    } else if (ColumnTypeIn(column.type, {"tinyblob", "blob", "mediumblob", "longblob", "tinytext",
                                          "text", "mediumtext", "longtext"})) {
      values += fmt::format(",LENGTH({0}),CRC32({0})", name);
    } else if (column.type == "json") {
      values += fmt::format(",LENGTH(CAST({0} AS CHAR)),CRC32(CAST({0} AS CHAR))", name);
    } else if (ColumnTypeIn(column.type,
                            {"geometry", "point", "linestring", "polygon", "multipoint",
                             "multilinestring", "multipolygon", "geometrycollection"})) {
      values += fmt::format(",HEX({})", name);
    } else {
      values += "," + name;
    }
  }
  return nulls + values;
}

uint64_t AutoIncrementOf(const std::string& create) {
  // The table's options come after the last bracket that closes the columns; a comment may follow.
  const size_t options = create.rfind("\n)");
  size_t at = create.find("AUTO_INCREMENT", options == std::string::npos ? 0 : options);
  if (at == std::string::npos) return 0;
  at += std::string("AUTO_INCREMENT").size();
  while (at < create.size() && (create[at] == ' ' || create[at] == '=')) ++at;
  uint64_t value = 0;
  for (; at < create.size() && create[at] >= '0' && create[at] <= '9'; ++at) {
    value = value * 10 + static_cast<uint64_t>(create[at] - '0');
  }
  return value;
}

namespace {

// Cuts `word`, blanks, '=', blanks and what `skip` takes, once, if it stands before `limit`.
void Cut(std::string& text, const std::string& word, size_t from,
         const std::function<size_t(const std::string&, size_t)>& skip) {
  const size_t at = text.find(word, from);
  if (at == std::string::npos) return;
  size_t end = at + word.size();
  while (end < text.size() && (text[end] == ' ' || text[end] == '=')) ++end;
  end = skip(text, end);
  while (end < text.size() && text[end] == ' ') ++end;
  text.erase(at, end - at);
}

}  // namespace

std::string NormalizeCreate(const std::string& create, const std::string& database) {
  std::string text = create;
  const bool table = text.starts_with("CREATE TABLE");
  if (table) {
    const size_t options = text.rfind("\n)");
    if (options != std::string::npos) {
      Cut(text, "AUTO_INCREMENT", options, [](const std::string& t, size_t at) {
        while (at < t.size() && t[at] >= '0' && t[at] <= '9') ++at;
        return at;
      });
    }
  } else {
    // Only in the head, which is before the object's own word.
    if (text.find("DEFINER") < 80) {
      Cut(text, "DEFINER", 0, [](const std::string& t, size_t at) {
        // `user`@`host`, or user@host without quotes (OceanBase, triggers).
        bool quoted = false;
        for (; at < t.size(); ++at) {
          if (t[at] == '`') quoted = !quoted;
          if (t[at] == ' ' && !quoted) break;
        }
        return at;
      });
    }
    for (const char* word : {"ALGORITHM=UNDEFINED ", "SQL SECURITY DEFINER "}) {
      const size_t at = text.find(word);
      if (at < 80) text.erase(at, std::string(word).size());
    }
    const std::string own = Quote(database) + ".";
    for (size_t at = text.find(own); at != std::string::npos; at = text.find(own, at)) {
      text.erase(at, own.size());
    }
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n' || text.back() == ';')) {
    text.pop_back();
  }
  return text;
}

}  // namespace oms::drivers::mysql
