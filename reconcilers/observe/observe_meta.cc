#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"
#include "reconcilers/model/databases.h"
#include "reconcilers/observe/observation.h"

namespace oms::observe {
namespace {

constexpr base::Duration kHeartbeatPatience = std::chrono::seconds(60);
// Of each health question.
constexpr int64_t kFreshHeartbeatMs = 60'000;

}  // namespace

void Observation::LookAtHeartbeats(model::MetaFacts& meta) {
  bool all_moved = true, waited_out = false, any = false;
  for (const auto& node : facts_.nodes) {
    const auto& container = node.old_container ? node.old_container : node.new_container;
    if (!container) continue;
    const std::string ip = container->EnvValue("OMS_HOST_IP");
    auto beat = look_.site.meta.cm().tables->Heartbeat(ctx_.WithTimeout(kMetaTimeout),
                                                       look_.site.config->drc_cm_heartbeat_db, ip);
    if (!beat.ok()) {
      Trouble(beat.error().Wrap("MetaDB"), crd::reason::kMetaDbUnreachable);
      all_moved = false;
      continue;
    }
    if (!beat->found && !NeedsOf(node.role).host) continue;
    // Its upgrade may stop it for a while: that it moved was seen before.
    if (node.component && node.component->begun) {
      any = true;
      meta.heartbeats[node.name] = *std::move(beat);
      continue;
    }
    any = true;
    ProofCache::Beat& proofs = proofs_.beats[node.name];
    if (proofs.since == base::SteadyTime{}) {
      proofs = {beat->modified, beat->sequence_max, facts_.steady_now, false};
    } else if (beat->found && beat->modified != proofs.modified) {
      proofs.moved = true;
    }
    // It did move, and stands still now (its age by the server's own clock): watched anew.
    if (proofs.moved && beat->age_ms > kFreshHeartbeatMs) {
      proofs = {beat->modified, beat->sequence_max, facts_.steady_now, false};
    }
    all_moved = all_moved && proofs.moved;
    waited_out =
        waited_out || (!proofs.moved && facts_.steady_now - proofs.since > kHeartbeatPatience);
    meta.heartbeats[node.name] = *std::move(beat);
  }
  if (all_moved && any) {
    meta.heartbeat_moves = true;
  } else if (waited_out) {
    meta.heartbeat_moves = false;
  }
}

model::MetaFacts Observation::Servers() const {
  model::MetaFacts meta;
  meta.server = *look_.site.server;
  if (look_.site.cm_server->identity != meta.server.identity) meta.cm_server = look_.site.cm_server;
  return meta;
}

base::Result<ports::LegacyFindings> Observation::LookForLegacy(const product::OmsConfig& config) {
  const ports::MetaDbsView& servers = look_.site.meta;
  const std::string &rm = config.drc_rm_db, &cm = config.drc_cm_db;
  if (!servers.separate())
    return servers.rm().tables->LookForLegacy(ctx_, rm, cm, config.cm_location);
  OMS_ASSIGN(auto found, servers.rm().tables->LookForLegacy(ctx_, rm, "", config.cm_location));
  OMS_ASSIGN(auto of_cm, servers.cm().tables->LookForLegacy(ctx_, "", cm, config.cm_location));
  found.black_regions = std::move(of_cm.black_regions);
  return found;
}

void Observation::LookAtDatabases(model::MetaFacts& meta) {
  const product::OmsConfig& config = *look_.site.config;
  for (const auto& frozen : model::DatabasesOf(config, meta)) {
    const std::string& name = frozen.name;
    auto database = look_.site.meta.For(frozen.role).server->Database(ctx_, name);
    if (!database.ok()) {
      Trouble(database.error().Wrap("MetaDB, database " + name),
              database.Is(base::Code::kNotFound) ? crd::reason::kDatabaseNotFound
                                                 : crd::reason::kMetaDbUnreachable);
      continue;
    }
    meta.databases.push_back(*std::move(database));
  }
}

// On the way back a database may be gone for a moment: what is not there is absent, and only what
// could not be asked is a trouble.
void Observation::LookAtMetaGoingBack() {
  const product::OmsConfig& config = *look_.site.config;
  const ports::MetaDbsView& servers = look_.site.meta;
  model::MetaFacts meta = Servers();
  bool whole = true;
  const auto keep = [&](auto result, auto& into) {
    if (result.ok()) {
      into = *std::move(result);
    } else if (!result.Is(base::Code::kNotFound)) {
      Trouble(result.error().Wrap("MetaDB"), crd::reason::kMetaDbUnreachable);
      whole = false;
    }
  };
  auto ha = servers.rm().tables->ReadHaConfig(ctx_, record_->Database("rm"));
  if (ha.Is(base::Code::kTerminal)) {
    // The server answers: what the upgrade has made of that table is no reason to wait.
    meta.ha_unreadable = ha.error().message;
  } else {
    keep(std::move(ha), meta.ha_raw);
  }
  const bool awaits =
      std::any_of(facts_.nodes.begin(), facts_.nodes.end(),
                  [](const model::NodeFacts& node) { return node.health.has_value(); });
  if (awaits) {
    LookAtHeartbeats(meta);
    keep(servers.cm().tables->Hosts(ctx_.WithTimeout(kMetaTimeout), record_->Database("cm")),
         meta.hosts);
  } else if (Passed(model::PointKind::kStopping)) {
    keep(servers.cm().tables->Sequence(ctx_, record_->Database("cm_hb")), meta.sequence);
    keep(servers.ForeignConnections(ctx_, config.drc_rm_db, config.drc_cm_db,
                                    config.drc_cm_heartbeat_db),
         meta.foreign);
  }
  JoinHealth(meta);
  if (whole) facts_.meta = std::move(meta);
}

void Observation::LookAtMeta() {
  if (GoingBack()) return LookAtMetaGoingBack();
  const Site& site = look_.site;
  const product::OmsConfig& config = *site.config;
  model::MetaFacts meta = Servers();
  const auto keep = [&](auto result, auto& into) {
    const bool seen = result.ok();
    if (seen) {
      into = *std::move(result);
    } else {
      Trouble(result.error().Wrap("MetaDB"), crd::reason::kMetaDbUnreachable);
    }
    return seen;
  };
  bool whole = keep(site.meta.rm().tables->ReadHaConfig(ctx_, config.drc_rm_db), meta.ha_raw);
  if (!Passed(model::PointKind::kStopping)) {
    LookAtDatabases(meta);
    LookAtHeartbeats(meta);
    if (look_.path.legacy_steps) {
      keep(LookForLegacy(config), meta.legacy);
    }
  } else if (!Passed(model::PointKind::kNewStarting)) {
    LookAtHeartbeats(meta);
    whole =
        keep(site.meta.cm().tables->Sequence(ctx_, config.drc_cm_heartbeat_db), meta.sequence) &&
        whole;
    whole = keep(site.meta.ForeignConnections(ctx_, config.drc_rm_db, config.drc_cm_db,
                                              config.drc_cm_heartbeat_db),
                 meta.foreign) &&
            whole;
  } else {
    LookAtHeartbeats(meta);
  }
  whole = keep(site.meta.cm().tables->Hosts(ctx_.WithTimeout(kMetaTimeout), config.drc_cm_db),
               meta.hosts) &&
          whole;
  JoinHealth(meta);
  // After the stop a fact that could not be read must not look like an empty one.
  if (whole || !Passed(model::PointKind::kStopping)) facts_.meta = std::move(meta);
}

void Observation::JoinHealth(const model::MetaFacts& meta) {
  for (auto& node : facts_.nodes) {
    if (!node.health) continue;
    const bool fresh = NewOne() && !node.keeps_running;
    const auto& container = fresh ? node.new_container : node.old_container;
    const std::string ip = container->EnvValue("OMS_HOST_IP");
    const auto row = std::find_if(meta.hosts.begin(), meta.hosts.end(),
                                  [&](const ports::HostRow& host) { return host.ip == ip; });
    node.health->host_online = row != meta.hosts.end() && row->status == "ONLINE";
    const auto beat = meta.heartbeats.find(node.name);
    const bool beats = beat != meta.heartbeats.end() && beat->second.found;
    if (!NeedsOf(node.role).host) {
      if (row == meta.hosts.end()) node.health->host_online = true;
      if (!beats) node.health->heartbeat_fresh = true;
    }
    if (row == meta.hosts.end()) {
      node.health->host_problem =
          fmt::format("the table host of the CM database has no row for {}", ip);
    } else if (!node.health->host_online) {
      node.health->host_problem = fmt::format(
          "host {} is {} in the table host of the CM database, not ONLINE", ip, row->status);
    }
    if (!beats) continue;
    int64_t limit = kFreshHeartbeatMs;
    if (fresh || GoingBack()) {
      // Newer than this container's start, as two ages: one by the server's clock, one by ours;
      // never clock against clock.
      const auto started = record_->PassedAt(
          fresh ? model::PointKind::kNewStarting : model::PointKind::kOldStarting, node.name);
      // Where our clock was set back since, the age of the start is not known.
      if (started && facts_.now >= *started) {
        limit = std::min(limit,
                         std::chrono::duration_cast<base::Duration>(facts_.now - *started).count());
      }
    }
    node.health->heartbeat_fresh = beat->second.age_ms <= limit;
  }
}

}  // namespace oms::observe
