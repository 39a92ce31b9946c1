// What OMS keeps: ha.config, host, heart_beat, heatbeat_sequence (sic), and what the guide asks of
// an OMS from below 4.0.1.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <utility>

#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/mysql_ports.h"
#include "reconcilers/drivers/mysql/schema_text.h"
#include "reconcilers/drivers/mysql/server_access.h"

namespace oms::drivers::mysql {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::CompactionAct;
using ports::DbServerAddress;
using ports::Fence;
using ports::SequenceTable;
using ports::SequenceTables;

namespace {

constexpr char kBase[] = "heatbeat_sequence";  // sic
constexpr char kBak[] = "heatbeat_sequence_bak";
constexpr char kBak2[] = "heatbeat_sequence_bak2";

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

Status SetAutoIncrement(const Context& ctx, MysqlSession& session, const char* table,
                        uint64_t value) {
  OMS_TRY(
      session.Execute(ctx, fmt::format("ALTER TABLE {} AUTO_INCREMENT = {}", Quote(table), value)));
  return base::Ok();
}

Result<SequenceTable> ReadSequenceTable(const Context& ctx, MysqlSession& session,
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

Result<SequenceTables> ReadSequence(const Context& ctx, MysqlSession& session,
                                    const std::string& database) {
  // A missing database is an error, three missing tables are not.
  OMS_TRY(CharsetOf(ctx, session, database));
  SequenceTables tables;
  OMS_ASSIGN(tables.base, ReadSequenceTable(ctx, session, kBase));
  OMS_ASSIGN(tables.bak, ReadSequenceTable(ctx, session, kBak));
  OMS_ASSIGN(tables.bak2, ReadSequenceTable(ctx, session, kBak2));
  return tables;
}

class MysqlOmsTables final : public ports::OmsTables {
 public:
  MysqlOmsTables(DbServerAddress address, base::Duration looking)
      : address_(std::move(address)), looking_(looking) {}

  Result<std::optional<std::string>> ReadHaConfig(const Context& outer,
                                                  const std::string& rm) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(rm));
    OMS_ASSIGN(auto session, OpenFor(ctx, address_));
    return session->Scalar(
        ctx, fmt::format("SELECT cfg_value FROM {}.oms_normal_config WHERE cfg_name = 'ha.config'",
                         Quote(rm)));
  }

  Result<std::vector<ports::HostRow>> Hosts(const Context& outer, const std::string& cm) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(cm));
    OMS_ASSIGN(auto session, OpenFor(ctx, address_));
    OMS_ASSIGN(auto rows,
               session->Query(
                   ctx, fmt::format("SELECT ip, host_status FROM {}.host ORDER BY ip", Quote(cm))));
    std::vector<ports::HostRow> hosts;
    for (const auto& row : rows) {
      hosts.push_back({row.at(0).value_or(""), row.at(1).value_or("")});
    }
    return hosts;
  }

  Result<ports::HeartbeatInfo> Heartbeat(const Context& outer, const std::string& heartbeat_db,
                                         const std::string& host_ip) override {
    const Context ctx = outer.WithTimeout(looking_);
    OMS_TRY(CheckIdentifier(heartbeat_db));
    OMS_ASSIGN(auto session, OpenFor(ctx, address_, heartbeat_db));
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
    OMS_ASSIGN(auto session, OpenFor(ctx, address_, heartbeat_db));
    return ReadSequence(ctx, *session, heartbeat_db);
  }

  Result<ports::LegacyFindings> LookForLegacy(const Context& outer, const std::string& rm,
                                              const std::string& cm,
                                              const std::string& location) override {
    const Context ctx = outer.WithTimeout(looking_);
    if (!rm.empty()) OMS_TRY(CheckIdentifier(rm));
    if (!cm.empty()) OMS_TRY(CheckIdentifier(cm));
    OMS_ASSIGN(auto session, OpenFor(ctx, address_));
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

 private:
  const DbServerAddress address_;
  const base::Duration looking_;
};

}  // namespace

std::shared_ptr<ports::OmsTables> MakeOmsTables(const DbServerAddress& address,
                                                base::Duration looking) {
  return std::make_shared<MysqlOmsTables>(address, looking);
}

}  // namespace oms::drivers::mysql
