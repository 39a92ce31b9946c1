// What the lines of a plan are made of (show/plan.h): what will be touched. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crd/oms_upgrade.h"
#include "crd/version.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/oms/version_path.h"

namespace oms::steps {

// "a", "a and b", "a, b and c"
std::string List(const std::vector<std::string>& names);

// spec.backup.tool as the spec has it: which of the two Auto comes to may change with each look.
std::string_view WantedTool(const crd::Spec& spec);
// In words; `facts`: where the databases have been looked at.
std::string_view NameOfTool(const crd::Spec& spec, const model::Facts* facts);

struct PlanSubject {
  const crd::Spec& spec;
  std::vector<model::FrozenNode> nodes;
  std::vector<std::string> databases;  // Their names.

  // Each node whose container is replaced by `say`, joined; or each component that keeps running.
  template <typename F>
  std::string Nodes(F say, bool kept = false) const {
    std::vector<std::string> texts;
    for (const auto& node : nodes) {
      if (node.keeps_running == kept) texts.push_back(say(node));
    }
    return List(texts);
  }
  bool Kept() const;  // Some component keeps running.
  std::string Components() const;
  std::string OldOnes() const;
  std::string NewOnes() const;
  bool Manual() const { return spec.ha.control == crd::HaControl::kManual; }
};

// From the open operation's record where there is one, else from the facts.
struct UpgradeSubject : PlanSubject {
  const crd::Version& to;
  const product::PathSteps& path;
  const model::Facts& facts;
  std::string directory;           // Of backups.
  std::string heartbeat_database;  // By its name.
  bool ha_on = false;
  bool rewrites = false;  // Some config.yaml.
  // Components that operations before this one, or it itself, have upgraded in place; by node.
  std::map<std::string, model::UpgradedComponent> components = {};

  bool InPlace() const { return spec.deployment.config == crd::ConfigPlace::kInPlace; }
  std::string NodeNames() const;
  std::optional<uint64_t> BytesOf(const std::string& database) const;
};

// Of the upgrade that is taken back.
struct RollbackSubject : PlanSubject {
  const model::OperationRecord& undone;
  std::string folder;                      // Of its backup.
  std::optional<uint64_t> database_bytes;  // What the databases hold now, where that is known.
};

}  // namespace oms::steps
