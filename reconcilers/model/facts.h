// Facts: what one look at the world found. Plain values; gathered by the observer, judged by
// preflight.h and state.h.
//
// What could not be looked at is a Trouble, never a guess. What was not looked at, because nobody
// needs it now, is absent.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/model/script_state.h"
#include "reconcilers/model/steps.h"
#include "reconcilers/model/task_view.h"
#include "reconcilers/oms/config_yaml.h"
#include "reconcilers/ports/container_engine.h"
#include "reconcilers/ports/http_probe.h"
#include "reconcilers/ports/meta_db.h"
#include "reconcilers/ports/ownership.h"
#include "reconcilers/ports/record_store.h"
#include "reconcilers/ports/task_api.h"

namespace oms::model {

// One thing that stands in the way, in the words that a condition shows.
struct Trouble {
  std::string reason;
  std::string message;
  bool passing =
      false;  // The world may mend it by itself (no answer, a slow start): look again soon.
};

struct SupervisorProgram {
  std::string name;
  std::string state;  // RUNNING, STARTING, STOPPED, FATAL, ...
};

// How OMS itself feels, in the container that runs.
struct HealthFacts {
  bool supervisor_answers = false;
  std::vector<SupervisorProgram> programs;
  // Its state in supervisord's words; empty: it knows no such program.
  std::string Program(std::string_view name) const;
  std::string health_problem;        // Of /oms/health; empty: healthy, or not offered (a 404).
  bool says_unhealthy = false;       // It is OMS's own word.
  bool host_online = false;          // cm.host
  std::string host_problem;          // Why it is not, in words.
  bool heartbeat_fresh = false;      // heart_beat is newer than this container's start.
  std::optional<base::Error> error;  // What could not be looked at.
  // What is still missing, in words; empty: all well.
  std::string Missing() const;
};

// The guide's two certificate mounts (step 5), as the old container has them.
struct HttpsFacts {
  bool certificate_mounted = false, key_mounted = false;
  std::optional<ports::CertificateInfo> certificate;  // That the key belongs to.
  std::optional<base::Error> error;                   // Why it is absent, if both are mounted.
};

// Of a component that keeps running: what the upgrade assistant needs and does.
struct ComponentFacts {
  std::optional<ports::ImageInfo> image;          // The assistant's.
  std::optional<ports::ContainerInfo> assistant;  // Its container, where it is this node's.
  bool name_taken = false;                        // By a container that is not of this operation.
  bool script_there = false;  // support_upgrade_action.sh, in the component's run folder.
  bool begun = false;         // It may not be well for a while: its upgrade was begun.
};

struct NodeFacts {
  // In the source file: each file that includes this would make them anew.
  NodeFacts();
  NodeFacts(const NodeFacts&);
  NodeFacts(NodeFacts&&) noexcept;
  NodeFacts& operator=(const NodeFacts&);
  NodeFacts& operator=(NodeFacts&&) noexcept;
  ~NodeFacts();

  std::string name;
  crd::NodeRole role = crd::NodeRole::kAll;
  bool keeps_running = false;               // As FrozenNode's.
  std::optional<ComponentFacts> component;  // Of a kept one, until its upgrade is done.
  std::optional<ports::EngineInfo> engine;
  std::optional<ports::ContainerInfo> old_container;
  bool old_gone = false;                              // Looked for, and removed by somebody.
  std::optional<ports::ContainerInfo> new_container;  // Known by our labels.
  std::string second_running;        // Another container of this OMS that runs; empty: none.
  bool planned_name_taken = false;   // By a container that is not this operation's, ...
  bool planned_name_runs = false;    // ... and runs.
  std::vector<std::string> helpers;  // Of this operation, left behind; looked at on the way back.
  bool old_image_gone = false;       // Looked at where the old container is gone.
  bool old_name_taken = false;       // The same; by a container of another image.
  uint64_t old_image_size = 0;       // Looked at before the stop, where it is to be saved.
  std::optional<ports::ImageInfo> target_image;
  std::optional<bool> script_in_image;       // nullopt: not looked at.
  std::string missing_in_image;              // The file, where it is false.
  bool old_image_saved = false;              // By the open operation.
  std::optional<ports::FileContent> config;  // config.yaml as the old container sees it.
  std::string config_sha256;
  std::optional<product::OmsConfig> parsed_config;  // Of several nodes: what its own file says.
  std::optional<std::string> rehearsed_config;  // What it becomes; nullopt: no change is needed.
  // On the host, before the first write: a file where the new version's config.yaml is to lie, or,
  // with deployment.config InPlace, where the symbolic link leads that config.yaml is.
  std::string config_in_the_way, config_link;
  std::optional<std::string> running_version;  // Before an operation is open.
  std::string new_config_sha256;             // As the new container sees it; empty: not looked at.
  std::optional<ScriptState> script;         // Of the last attempt that was begun, ...
  Step script_of = Step::kRunUpgradeScript;  // ... of this one.
  std::optional<HealthFacts> health;
  std::optional<HttpsFacts> https;  // Looked at before the stop.
};

struct MetaFacts {
  // As above.
  MetaFacts();
  MetaFacts(const MetaFacts&);
  MetaFacts(MetaFacts&&) noexcept;
  MetaFacts& operator=(const MetaFacts&);
  MetaFacts& operator=(MetaFacts&&) noexcept;
  ~MetaFacts();

  ports::DbServerInfo server;  // Of rm, ...
  std::optional<ports::DbServerInfo>
      cm_server;                         // ... and of cm and cm_hb, where that is another one.
  std::vector<ports::DbInfo> databases;  // rm, cm, cm_hb
  std::optional<std::string> ha_raw;     // nullopt: no such row.
  std::string ha_unreadable;             // On the way back: why the server cannot read that row.
  std::vector<ports::HostRow> hosts;
  std::map<std::string, ports::HeartbeatInfo> heartbeats;  // By node.
  std::optional<bool> heartbeat_moves;  // nullopt: not known yet, still watching.
  ports::SequenceTables sequence;
  std::vector<ports::DbConnection> foreign;     // Looked at once OMS is stopped.
  std::optional<ports::LegacyFindings> legacy;  // From below 4.0.1, before the stop.

  // Of a database's role: rm, cm, cm_hb.
  const ports::DbServerInfo& ServerOf(std::string_view role) const {
    return role != "rm" && cm_server ? *cm_server : server;
  }
};

struct Facts {
  // As above.
  Facts();
  Facts(const Facts&);
  Facts(Facts&&) noexcept;
  Facts& operator=(const Facts&);
  Facts& operator=(Facts&&) noexcept;
  ~Facts();

  base::WallTime now;
  base::SteadyTime steady_now;
  std::vector<NodeFacts> nodes;
  std::optional<product::OmsConfig> config;  // Of the first node.
  std::optional<MetaFacts> meta;
  std::optional<ports::VolumeInfo> volume;
  std::optional<uint64_t> archive_bytes;
  std::optional<std::vector<ports::OmsTask>>
      oms_tasks;                             // Looked at before the stop, by spec.taskAPI.
  std::optional<Trouble> oms_tasks_trouble;  // Why they are absent, if they were asked for.
  bool keeps_tasks() const {
    for (const auto& node : nodes) {
      if (node.keeps_running) return true;
    }
    return false;
  }
  std::map<std::string, TaskView>
      tasks;                      // Of this operation; by the name without the operation's id.
  std::vector<Trouble> troubles;  // In the order of looking.
  std::string accept;  // The annotation's text: what a person accepts (state of rollback).

  const NodeFacts* Node(std::string_view name) const {
    for (const auto& node : nodes) {
      if (node.name == name) return &node;
    }
    return nullptr;
  }
  // Some node's config.yaml has to change.
  bool RewritesConfig() const {
    for (const auto& node : nodes) {
      if (node.rehearsed_config) return true;
    }
    return false;
  }
  const TaskView* Task(const std::string& name) const {
    const auto found = tasks.find(name);
    return found == tasks.end() ? nullptr : &found->second;
  }
};

}  // namespace oms::model
