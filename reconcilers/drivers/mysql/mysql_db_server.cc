// What one server is and can do: its databases, the rights of the user that config.yaml names, and
// the setting that a dump by mysqldump needs.
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/database_digest.h"
#include "reconcilers/drivers/mysql/database_look.h"
#include "reconcilers/drivers/mysql/mysql_ports.h"
#include "reconcilers/drivers/mysql/server_access.h"

namespace oms::drivers::mysql {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::DbServerAddress;
using ports::Fence;

namespace {

// The tables in the database of a proof.
constexpr char kProbe[] = "probe", kProbeNext[] = "probe_next", kProbeBefore[] = "probe_before";

// Counting the rows of all tables, within a pass.
constexpr auto kEstimate = std::chrono::minutes(5);
// Looking for rows that are too long to be loaded again, within a pass.
constexpr base::Duration kRowsFit = std::chrono::minutes(1);

class MysqlDbServer final : public ports::DbServer {
 public:
  MysqlDbServer(DbServerAddress address, base::Duration looking)
      : address_(std::move(address)), looking_(looking) {}

  const DbServerAddress& address() const override { return address_; }

  Result<ports::DbServerInfo> Server(const Context& outer) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_ASSIGN(auto session, OpenFor(ctx, address_));
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
    OMS_ASSIGN(auto session, OpenFor(ctx, address_, "", kEstimate));
    return LookAtDatabase(ctx, *session, address_.user, database);
  }

  Result<ports::DumpObstacles> Obstacles(const Context& outer,
                                         const std::string& database) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(database));
    OMS_ASSIGN(auto session, OpenFor(ctx, address_));
    return ObstaclesIn(ctx, *session, database);
  }

  Result<std::vector<std::string>> Events(const Context& outer,
                                          const std::string& database) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(database));
    OMS_ASSIGN(auto session, OpenFor(ctx, address_));
    return EventsIn(ctx, *session, database);
  }

  Result<ports::DatabaseDigest> Digest(const Context& ctx, const std::string& database) override {
    OMS_ASSIGN(auto session, OpenFor(ctx, address_, "", kLong));
    return DigestOf(ctx, *session, database);
  }

  Result<std::optional<uint64_t>> GlobalQueryTimeout(const Context& outer) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_ASSIGN(auto session, OpenFor(ctx, address_));
    if (!session->oceanbase()) return std::optional<uint64_t>();
    OMS_ASSIGN(auto value, session->Scalar(ctx, "SELECT @@global.ob_query_timeout"));
    return std::optional<uint64_t>(Number(value));
  }

  Status ProveRowsFit(const Context& outer, const std::string& database) override {
    OMS_TRY(CheckIdentifier(database));
    // There are two more databases, and what comes after them, within the pass.
    const Context ctx = outer.WithTimeout(std::min(kRowsFit, outer.Remaining() / 4));
    const auto told = [&]() -> Status {
      OMS_ASSIGN(auto session, OpenFor(ctx, address_, "", kRowsFit));
      return RowsFit(ctx, *session, database);
    }();
    // Not known is not too long; and the dump itself looks once more (dump_tool.cc).
    if (told.Is(Code::kTimeout) && outer.Check().ok()) {
      ctx.log().Warn("{}: the longest rows were not found before the deadline", database);
      return base::Ok();
    }
    return told;
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
    OMS_ASSIGN(auto session, OpenFor(ctx, address_));
    const auto set = session->Execute(ctx, "SET GLOBAL ob_trx_timeout = @@global.ob_trx_timeout");
    if (set.ok()) return base::Ok();
    if (!set.Is(Code::kDenied)) return set.error();
    return MakeError(Code::kDenied, crd::reason::kMetaDbDenied,
                     fmt::format("user '{}' may not SET GLOBAL ({}), by which ob_query_timeout is "
                                 "raised for mysqldump: GRANT ALTER SYSTEM ON *.* to that user, or "
                                 "let mydumper dump (spec.backup.tool) where it can",
                                 address_.user, set.error().message));
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

  Status SetGlobalQueryTimeout(const Context& ctx, Fence& fence, uint64_t micros) override {
    OMS_ASSIGN(auto writer, OpenWriter(ctx, address_, fence, {"", kShort, {}}));
    OMS_TRY(writer->Execute(ctx, fmt::format("SET GLOBAL ob_query_timeout = {}", micros)));
    return base::Ok();
  }

 private:
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
    OMS_ASSIGN(auto session, OpenFor(ctx, address_, "", kProve));
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

  const DbServerAddress address_;
  const base::Duration looking_;
};

}  // namespace

std::shared_ptr<ports::DbServer> MakeDbServer(const DbServerAddress& address,
                                              base::Duration looking) {
  return std::make_shared<MysqlDbServer>(address, looking);
}

}  // namespace oms::drivers::mysql
