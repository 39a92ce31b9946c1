// The world's MetaDB: on one server, or on two.
#pragma once

#include <algorithm>
#include <utility>

#include "controller/base/sha256.h"
#include "tests/fakes/world/door.h"

namespace oms::fakes {

class Db final : public ports::OmsTables,
                 public ports::DbServer,
                 public ports::DbConnections,
                 private Door {
 public:
  Db(World& world, Life& life, ports::DbServerAddress address)
      : Door(world, life), address_(std::move(address)), cm_(world.IsCm(address_)) {}

  const ports::DbServerAddress& address() const override { return address_; }

  Result<ports::DbServerInfo> Server(const Context&) override {
    return Seen<ports::DbServerInfo>([&]() -> Result<ports::DbServerInfo> {
      return ports::DbServerInfo{"8.0", true, cm_ ? world_.cm_identity : world_.server_identity};
    });
  }
  Result<ports::DbInfo> Database(const Context&, const std::string& name) override {
    return Seen<ports::DbInfo>([&]() -> Result<ports::DbInfo> {
      if (!world_.HoldsLocked(cm_, name) || !world_.databases.contains(name))
        return MakeError(Code::kNotFound, "no database " + name);
      ports::DbInfo info{name, "utf8mb4", "utf8mb4_general_ci", 1 << 20, ObstaclesLocked(name)};
      info.denied = world_.denied[name];
      info.events = world_.scheduled_events[name];
      return info;
    });
  }
  Result<std::vector<std::string>> Events(const Context&, const std::string& name) override {
    using List = std::vector<std::string>;
    return Seen<List>([&]() -> Result<List> { return world_.scheduled_events[name]; });
  }
  Result<ports::DumpObstacles> Obstacles(const Context&, const std::string& name) override {
    return Seen<ports::DumpObstacles>(
        [&]() -> Result<ports::DumpObstacles> { return ObstaclesLocked(name); });
  }
  Result<std::optional<std::string>> ReadHaConfig(const Context&, const std::string& rm) override {
    using Row = std::optional<std::string>;
    return Seen<Row>([&]() -> Result<Row> {
      if (!world_.HoldsLocked(cm_, rm) || !world_.databases.contains("oms_rm"))
        return MakeError(Code::kNotFound, "no such table");
      if (world_.ha_unreadable)
        return MakeError(Code::kTerminal, "MetaDBError", "unknown column 'cfg_value'");
      return world_.ha;
    });
  }
  Result<std::vector<ports::HostRow>> Hosts(const Context&, const std::string& cm) override {
    using List = std::vector<ports::HostRow>;
    return Seen<List>([&]() -> Result<List> {
      if (!world_.HoldsLocked(cm_, cm)) return MakeError(Code::kNotFound, "no such table");
      return world_.hosts;
    });
  }
  Result<ports::LegacyFindings> LookForLegacy(const Context&, const std::string& rm,
                                              const std::string& cm, const std::string&) override {
    return Seen<ports::LegacyFindings>([&]() -> Result<ports::LegacyFindings> {
      ports::LegacyFindings found;
      if (!rm.empty() && world_.HoldsLocked(cm_, rm)) found.duplicates = world_.legacy.duplicates;
      if (!cm.empty() && world_.HoldsLocked(cm_, cm))
        found.black_regions = world_.legacy.black_regions;
      return found;
    });
  }
  Result<ports::HeartbeatInfo> Heartbeat(const Context&, const std::string& heartbeat_db,
                                         const std::string& ip) override {
    return Seen<ports::HeartbeatInfo>([&]() -> Result<ports::HeartbeatInfo> {
      if (world_.before_heartbeat) world_.before_heartbeat();
      if (!world_.HoldsLocked(cm_, heartbeat_db)) return MakeError(Code::kNotFound, "no table");
      if (ip != "10.0.0.1" && ip != "10.0.0.2") return ports::HeartbeatInfo{};
      base::WallTime& last = ip == "10.0.0.2" ? world_.second_beat : world_.last_beat;
      if (world_.HostRuns(ip) && !world_.heart_stands_still) {
        last = world_.clock.Wall();
        auto& base = world_.sequence.base;
        ++base.rows;
        ++base.max_id;
        ++base.auto_increment;
      }
      const auto age = std::chrono::duration_cast<base::Duration>(world_.clock.Wall() - last);
      return ports::HeartbeatInfo{true, age.count(), base::FormatMicroTime(last),
                                  world_.sequence.base.max_id};
    });
  }
  Result<ports::SequenceTables> Sequence(const Context&, const std::string& heartbeat_db) override {
    return Seen<ports::SequenceTables>([&]() -> Result<ports::SequenceTables> {
      if (!world_.HoldsLocked(cm_, heartbeat_db)) return MakeError(Code::kNotFound, "no table");
      return world_.sequence;
    });
  }
  Result<std::vector<ports::DbConnection>> ForeignConnections(
      const Context&, const std::vector<std::string>& databases) override {
    using List = std::vector<ports::DbConnection>;
    return Seen<List>([&]() -> Result<List> {
      for (const auto& database : databases) (void)world_.HoldsLocked(cm_, database);
      if (!world_.separate_cm) return world_.foreign;
      List here;
      std::copy_if(world_.foreign.begin(), world_.foreign.end(), std::back_inserter(here),
                   [&](const auto& other) {
                     return other.server == Name() && std::find(databases.begin(), databases.end(),
                                                                other.database) != databases.end();
                   });
      return here;
    });
  }
  Result<ports::DatabaseDigest> Digest(const Context&, const std::string& name) override {
    return Seen<ports::DatabaseDigest>([&]() -> Result<ports::DatabaseDigest> {
      if (!world_.HoldsLocked(cm_, name) || !world_.databases.contains(name))
        return MakeError(Code::kNotFound, "no database " + name);
      if (world_.unreadable.contains(name))
        return MakeError(Code::kTerminal, "DigestFailed", "view v refers to what is not there");
      // A component writes at any time.
      const World::Container* component = world_.Find(world_.component);
      if (name == "oms_cm_hb" && component != nullptr && component->info.running) {
        auto& beats = world_.sequence.base;
        ++beats.rows;
        ++beats.max_id;
        ++beats.auto_increment;
      }
      const std::string sum = base::Sha256Hex(world_.ContentLocked(name));
      return ports::DatabaseDigest{
          name, "utf8mb4", "utf8mb4_general_ci", {{"t", 1, sum, 0}}, {{"table", "t", "schema"}}};
    });
  }
  Status ProveFence(const Context&) override {
    return Write(cm_ ? "ProveFence of CM" : "ProveFence", false, [&]() -> Status {
      if (cm_ ? world_.cm_cannot_fence : world_.cannot_fence)
        return MakeError(Code::kTerminal, "CannotFence",
                         "the victim lives; connect to an observer");
      return base::Ok();
    });
  }
  Status ProveRights(const Context&, const std::string&) override {
    return Write(cm_ ? "ProveRights of CM" : "ProveRights", false, [&]() -> Status {
      if (cm_ ? world_.cm_no_rights : world_.no_rights)
        return MakeError(Code::kDenied, "MetaDBDenied", "CREATE is denied");
      return base::Ok();
    });
  }
  Status ProveTwoTableRename(const Context&, const std::string&) override {
    return Write(cm_ ? "ProveTwoTableRename of CM" : "ProveTwoTableRename", false, [&]() -> Status {
      if (world_.no_two_table_rename && cm_ == world_.separate_cm)
        return MakeError(Code::kTerminal, "TwoTableRenameMissing", "no such statement");
      return base::Ok();
    });
  }
  Status ProveQueryTimeout(const Context&) override {
    return Write(cm_ ? "ProveQueryTimeout of CM" : "ProveQueryTimeout", false, [&]() -> Status {
      if (cm_ ? world_.cm_no_set_global : world_.no_set_global)
        return MakeError(Code::kDenied, "MetaDBDenied", "SET GLOBAL is denied");
      return base::Ok();
    });
  }
  Status ProveRowsFit(const Context&, const std::string& name) override {
    return Write(cm_ ? "ProveRowsFit of CM" : "ProveRowsFit", false, [&]() -> Status {
      if (!world_.too_long.contains(name)) return base::Ok();
      return MakeError(Code::kTransient, "PacketTooSmall", world_.too_long[name]);
    });
  }
  Status SwapHaConfig(const Context& ctx, ports::Fence& fence, const std::string& rm,
                      const std::string& expected, const std::string& desired) override {
    return Guarded(ctx, fence, "SwapHaConfig", [&]() -> Status {
      if (!world_.HoldsLocked(cm_, rm)) return MakeError(Code::kNotFound, "no such table");
      if (world_.before_ha_swap) world_.before_ha_swap();
      OMS_TRY(ctx.Check());
      if (world_.ha != expected) return MakeError(Code::kConflict, "ha.config is another by now");
      world_.ha = desired;
      if (world_.after_ha_swap) world_.after_ha_swap();
      return base::Ok();
    });
  }
  Status Compact(const Context& ctx, ports::Fence& fence, const std::string& heartbeat_db,
                 ports::CompactionAct act) override {
    if (act == ports::CompactionAct::kNone) return base::Ok();
    return Guarded(ctx, fence, "Compact", [&]() -> Status {
      if (!world_.HoldsLocked(cm_, heartbeat_db)) return MakeError(Code::kNotFound, "no table");
      auto& [base, bak, bak2] = world_.sequence;
      if (world_.no_alter && act != ports::CompactionAct::kDropBak &&
          act != ports::CompactionAct::kDropBak2) {
        // Made, and its AUTO_INCREMENT cannot be set.
        if (act == ports::CompactionAct::kCreateBak) bak = {true, 0, 0, 1};
        return MakeError(Code::kDenied, "MetaDBDenied", "ALTER is denied");
      }
      switch (act) {
        case ports::CompactionAct::kNone: break;
        case ports::CompactionAct::kCreateBak: bak = {true, 0, 0, base.auto_increment}; break;
        case ports::CompactionAct::kFillBak:
          bak = {true, 1, base.max_id, std::max(base.auto_increment, bak.auto_increment)};
          break;
        case ports::CompactionAct::kSwap:  // As on OceanBase: two statements; we may die between
                                           // them.
          bak2 = base;
          base = {};
          break;
        case ports::CompactionAct::kFinishSwap:
          base = bak;
          bak = {};
          break;
        case ports::CompactionAct::kDropBak: bak = {}; break;
        case ports::CompactionAct::kCreateBakAhead:
          bak = {true, 0, 0, base.auto_increment + ports::kSequenceHeadroom};
          break;
        case ports::CompactionAct::kSwapAtOnce:
          if (act == ports::CompactionAct::kSwapAtOnce && world_.no_two_table_rename)
            return MakeError(Code::kTerminal, "TwoTableRenameMissing", "no such statement");
          bak2 = base;
          base = bak;
          bak = {};
          break;
        case ports::CompactionAct::kDropBak2: bak2 = {}; break;
        case ports::CompactionAct::kUndoSwap:
          base = bak2;
          bak2 = {};
          break;
        case ports::CompactionAct::kRaise:
          base.rows = std::max<uint64_t>(base.rows, 1);
          base.max_id = std::max({base.max_id, bak.max_id, bak2.max_id});
          base.auto_increment =
              std::max({base.auto_increment, bak.auto_increment, bak2.auto_increment});
          break;
      }
      return base::Ok();
    });
  }
  Status DropDatabase(const Context& ctx, ports::Fence& fence, const std::string& name) override {
    return Guarded(ctx, fence, "DropDatabase " + name, [&]() -> Status {
      if (!world_.HoldsLocked(cm_, name)) return base::Ok();  // Gone already, for this server.
      world_.promises.Drop(name);
      ++world_.drops;
      world_.databases.erase(name);
      world_.scheduled_events.erase(name);
      world_.unreadable.erase(name);
      if (name == "oms_rm") world_.ha_unreadable = false;
      return base::Ok();
    });
  }
  Status CreateDatabase(const Context& ctx, ports::Fence& fence, const std::string& name,
                        const std::string&, const std::string&) override {
    return Guarded(ctx, fence, "CreateDatabase " + name, [&]() -> Status {
      if (!world_.HoldsLocked(cm_, name)) return base::Ok();
      if (!world_.databases.emplace(name, "").second)
        return MakeError(Code::kAlreadyExists, "database exists");
      return base::Ok();
    });
  }
  Result<std::vector<ports::DbConnection>> EndConnections(
      const Context&, const std::vector<ports::DbConnection>& victims) override {
    OMS_TRY(Write("EndConnections", false, [&]() -> Status {
      if (cm_ ? world_.cm_down : world_.meta_down)
        return MakeError(Code::kTransient, "MetaDBUnreachable", "no answer");
      for (const auto& victim : victims) {
        const bool here = !world_.separate_cm || victim.server == Name();
        if (!here) world_.promises.Break("a connection was ended on another server than its own");
        if (!here) continue;
        (cm_ ? world_.cm_killed : world_.killed).insert(victim.id);
        std::erase(world_.foreign, victim);
      }
      return base::Ok();
    }));
    return std::vector<ports::DbConnection>();
  }
  Result<std::optional<uint64_t>> GlobalQueryTimeout(const Context&) override {
    return Seen<std::optional<uint64_t>>(
        [&]() -> Result<std::optional<uint64_t>> { return QueryTimeout(); });
  }
  Status SetGlobalQueryTimeout(const Context& ctx, ports::Fence& fence, uint64_t micros) override {
    OMS_TRY(ctx.Check());
    return Guarded(ctx, fence, "SetGlobalQueryTimeout", [&]() -> Status {
      if (cm_ ? world_.cm_no_set_global : world_.no_set_global)
        return MakeError(Code::kDenied, "MetaDBDenied", "SET GLOBAL is denied");
      QueryTimeout() = micros;
      return base::Ok();
    });
  }

 private:
  template <typename T>
  Result<T> Seen(const std::function<Result<T>()>& look) {
    return world_.Look<T>(life_, [&]() -> Result<T> {
      if (cm_ ? world_.cm_down : world_.meta_down)
        return MakeError(Code::kTransient, "MetaDBUnreachable", "no answer");
      if (world_.meta_flaky.Fails())
        return MakeError(Code::kTransient, "MetaDBUnreachable", "no answer");
      if (address_.password != base::Secret(cm_ ? world_.cm_password : world_.password))
        return MakeError(Code::kDenied, "MetaDBDenied",
                         "access denied for user 'oms'; correct the password");
      return look();
    });
  }
  Status Guarded(const Context& ctx, ports::Fence& fence, const std::string& name,
                 const std::function<Status()>& act) {
    const ports::DbConnection connection = world_.Locked([&] { return world_.ConnectLocked(cm_); });
    OMS_TRY(fence.Register(ctx, connection));
    const Status done = Write(name, true, [&]() -> Status {
      if (world_.IsKilledLocked(connection))
        return MakeError(Code::kTransient, "MetaDBUnreachable", "2006");
      return act();
    });
    fence.Unregister(connection);
    return done;
  }

  ports::DumpObstacles ObstaclesLocked(const std::string& name) {
    const auto found = world_.obstacles.find(name);
    return found == world_.obstacles.end() ? ports::DumpObstacles() : found->second;
  }
  std::string Name() const { return cm_ ? kCmServer : kRmServer; }
  std::optional<uint64_t>& QueryTimeout() {
    return cm_ ? world_.cm_query_timeout : world_.query_timeout;
  }

  const ports::DbServerAddress address_;
  const bool cm_;
};

class Dbs final : public ports::MetaDbProvider {
 public:
  Dbs(World& world, Life& life) : world_(world), life_(life) {}
  ports::MetaDb Open(const ports::DbServerAddress& address) override {
    world_.Locked([&] {
      world_.passwords_at.insert(address.Name() + " " + address.password.Reveal());
      world_.meta_ca = address.tls_ca;
    });
    const auto db = std::make_shared<Db>(world_, life_, address);
    return {db, db, db};
  }

 private:
  World& world_;
  Life& life_;
};

}  // namespace oms::fakes
