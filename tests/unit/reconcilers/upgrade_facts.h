// Records and facts of one upgrade 4.3.0 -> 4.3.1 of one node, at each place that it passes; for
// tests of the pure part.
#pragma once

#include <optional>
#include <string>

#include "controller/base/sha256.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/decide/planner.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/steps/old_containers.h"
#include "reconcilers/steps/table.h"

namespace oms::fixtures {

inline constexpr char kHaOn[] = R"({"enable":true,"own":7,"perceiveStoreClientCheckpoint":false})";
inline constexpr char kHaOff[] =
    R"({"enable":false,"own":7,"perceiveStoreClientCheckpoint":false})";

inline base::WallTime At(int seconds) {
  return base::WallTime(std::chrono::seconds(1'767'323'045 + seconds));
}

inline crd::Version VersionOf(const std::string& text) { return *crd::Version::Parse(text); }

crd::Spec SpecOf(const std::string& version = "4.3.1");

ports::ContainerInfo OldContainer();

model::HealthFacts Well();

// One upgrade, carried to a place by the verbs below. Record and facts always belong together.
struct Upgrade {
  crd::Spec spec = SpecOf();
  product::PathSteps path = product::StepsForTarget(*crd::Version::Parse("4.3.1"));
  model::OperationRecord record;
  model::Facts facts;
  decide::UserRequests requests;

  Upgrade();

  model::NodeFacts& node() { return facts.nodes.front(); }
  model::MetaFacts& meta() { return *facts.meta; }
  void Pass(model::PointKind kind, const std::string& node = {},
            std::optional<model::Step> step = std::nullopt, int attempt = 0,
            base::WallTime at = At(50));
  void Seen(model::Step step) { record.NoteSeen(step, At(60)); }
  void Task(model::Step step, model::TaskView::State state, base::Error error = {});

  // --- places, each after the one before
  Upgrade& ImageThere();
  Upgrade& Prepared();
  Upgrade& HaOff();
  Upgrade& Stopped();
  Upgrade& Compact();
  Upgrade& Dumped();
  Upgrade& Started();
  Upgrade& ScriptBegun();
  Upgrade& ScriptEnded();
  Upgrade& Healthy();
  Upgrade& Accepted();

  steps::State state() const { return steps::JudgeSteps({spec, path, record, facts}); }
  steps::StepState of(model::Step step) const { return At(state(), step); }
  decide::Decision Decide(decide::FailureCount failures = {}) const;

 private:
  static const steps::StepState& At(const steps::State& state, model::Step step);
  static base::WallTime At(int seconds) { return fixtures::At(seconds); }
};

// The second node is where the first one is.
Upgrade WithSecond(Upgrade upgrade);
inline model::NodeFacts& Second(Upgrade& upgrade) { return upgrade.facts.nodes.at(1); }

}  // namespace oms::fixtures
