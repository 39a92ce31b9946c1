// config.yaml: copied byte for byte, and rewritten beside itself (guide: "Modify the config.yaml
// file"), both before the stop, so that the old container's own file is not touched. With
// deployment.config InPlace it is that file which is edited, after the stop, and put back on the
// way back.
#pragma once

#include <string>

#include "reconcilers/steps/step.h"

namespace oms::steps {

struct BackUpConfig {
  static constexpr model::Step kStep = model::Step::kBackUpConfig;
  static constexpr StepLimit kLimit{&crd::Timeouts::config, "config"};
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

struct RewriteConfig {
  static constexpr model::Step kStep = model::Step::kRewriteConfig;
  static constexpr StepLimit kLimit{&crd::Timeouts::config, "config"};
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
  static std::string Summary(const model::OperationRecord& record);
};

// As the guide does it, on the file that both containers mount; the old container must not meet it
// while it may start.
struct EditConfig {
  static constexpr model::Step kStep = model::Step::kEditConfig;
  static constexpr StepLimit kLimit{&crd::Timeouts::config, "config"};
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const UpgradeSubject& plan);
};

struct RestoreConfig {
  static constexpr model::Step kStep = model::Step::kRestoreConfig;
  static constexpr StepLimit kLimit{&crd::Timeouts::config, "config"};
  static StepState Judge(const StepInput& in);
  static base::Status Act(const base::Context& ctx, OperationSession& op);
  static std::string Plan(const RollbackSubject& plan);
};

// What the file beside config.yaml must hold, once there is one: the change as it was rehearsed, or
// config.yaml as it is where that needs none any more. `node.config` must be known.
const std::string& WantedConfig(const model::NodeFacts& node);

// Beside config.yaml: config-4.3.1.yaml.
std::string NewConfigPath(const std::string& config_source, const crd::Version& version);
// The host's file that the new container mounts as its config.yaml.
std::string WantedConfigSource(const model::OperationRecord& record, const model::FrozenNode& node);

// Where the container's config.yaml lies on the host; empty: there is none.
std::string ConfigSource(const std::optional<ports::ContainerInfo>& container);

// Some config.yaml was edited in place: the file itself must be put back.
bool WroteOverConfig(const model::OperationRecord& record);

// The file beside config.yaml, which nothing reads any more once OMS is back; it holds a password.
base::Status RemoveRewrittenConfig(const base::Context& ctx, OperationSession& op);

}  // namespace oms::steps
