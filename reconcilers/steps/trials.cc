#include "reconcilers/steps/trials.h"

#include <fmt/format.h>

#include <algorithm>

#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/act/helper_container.h"
#include "reconcilers/act/host_file.h"
#include "reconcilers/model/databases.h"
#include "reconcilers/model/dump_choice.h"
#include "reconcilers/model/scripts.h"
#include "reconcilers/steps/config.h"
#include "reconcilers/steps/preflight.h"

namespace oms::steps {
namespace {

class Trials {
 public:
  Trials(const base::Context& ctx, const observe::Look& look, const World& world,
         TrialMemory& memory, model::Facts& facts)
      : ctx_(ctx),
        look_(look),
        world_(world),
        memory_(memory),
        facts_(facts),
        record_(look.site.record && look.site.record->open() ? look.site.record.get() : nullptr) {}

  void Run();

 private:
  bool Passed(model::PointKind kind) const { return record_ != nullptr && record_->Passed(kind); }
  bool GoingBack() const {
    return record_ != nullptr && record_->direction == model::Direction::kRollback;
  }
  void Trouble(const base::Error& error, const char* reason) {
    facts_.troubles.push_back(
        {error.reason.empty() ? reason : error.reason, error.message, error.Retryable()});
  }
  void LookIntoImage(const observe::SiteNode& site, model::NodeFacts& node);
  void LookAtConfigPlace(const observe::SiteNode& site, model::NodeFacts& node);
  void Prove();

  const base::Context& ctx_;
  const observe::Look& look_;
  const World& world_;
  TrialMemory& memory_;
  model::Facts& facts_;
  const model::OperationRecord* record_;
};

// Whether it has all the files of the way, by a helper that is created and not started.
void Trials::LookIntoImage(const observe::SiteNode& site, model::NodeFacts& node) {
  if (Passed(model::PointKind::kNewStarting) || node.keeps_running || !node.target_image) return;
  for (const auto& file : model::FilesNeeded(look_.path)) {
    const std::string key = node.target_image->id + " " + file;
    if (!memory_.script_in_image.contains(key)) {
      const auto there = act::ImageHasFile(
          ctx_, *world_.engines.at(site.name),
          act::HelperFor(*record_, site.name, node.target_image->id, "look"), file);
      if (!there.ok())
        return Trouble(there.error().Wrap("node " + site.name), crd::reason::kEngineUnreachable);
      memory_.script_in_image[key] = *there;
    }
    node.script_in_image = memory_.script_in_image[key];
    if (node.script_in_image == true) continue;
    node.missing_in_image = file;
    return;
  }
}

// Whether the host's file is free to be written, before anything is: by a helper that is created
// and not started, until it is once seen to be free.
void Trials::LookAtConfigPlace(const observe::SiteNode& site, model::NodeFacts& node) {
  const model::FrozenNode* frozen = record_->Node(site.name);
  if (frozen == nullptr || frozen->keeps_running || Passed(model::PointKind::kStopping) ||
      !node.old_container || !node.rehearsed_config) {
    return;
  }
  const bool in_place = look_.spec.deployment.config == crd::ConfigPlace::kInPlace;
  const std::string path =
      in_place ? frozen->config_source : NewConfigPath(frozen->config_source, record_->to);
  // From the first write on it may be ours.
  const bool begun =
      record_->config_rewrites.contains(site.name) || record_->config_meant.contains(site.name);
  const std::string key = fmt::format("{} {} {}", record_->id, site.name, path);
  if ((!in_place && begun) || memory_.config_places.contains(key)) return;
  const size_t name = path.rfind('/') + 1;
  const auto there =
      act::LookAtHostFile(ctx_, *world_.engines.at(site.name),
                          act::HelperFor(*record_, site.name, node.old_container->image_id, "look"),
                          path.substr(0, std::max<size_t>(name, 2) - 1), path.substr(name));
  if (!there.ok() && !there.Is(base::Code::kNotFound))
    return Trouble(there.error().Wrap("node " + site.name), crd::reason::kEngineUnreachable);
  if (in_place && there.ok() && there->path.kind == ports::PathInfo::Kind::kLink) {
    node.config_link = there->path.link;
  } else if (!in_place && there.ok()) {
    node.config_in_the_way = path;
  } else {
    memory_.config_places.insert(key);
  }
}

// Last, and only if all else holds: the proofs that make something of ours in the MetaDB. Not
// while a person has said that nothing is to be touched.
void Trials::Prove() {
  if (look_.spec.mode == crd::Mode::kPlan || look_.spec.suspend) return;
  if (!facts_.meta || facts_.meta->heartbeat_moves != true) return;
  if (!CheckPreflight(look_.spec, look_.from, look_.to, facts_).empty()) return;
  const ports::MetaDbs& servers = world_.meta;
  const auto name = [&](const ports::MetaDb& meta_db) {
    return servers.separate() ? "MetaDB " + meta_db.server->address().Name()
                              : std::string("MetaDB");
  };
  if (!memory_.fence_proved) {
    for (const ports::MetaDb& meta_db : servers.Each()) {
      if (const auto proof = meta_db.connections->ProveFence(ctx_); !proof.ok())
        return Trouble(proof.error().Wrap(name(meta_db)), crd::reason::kCannotFence);
    }
    memory_.fence_proved = true;
  }
  const std::string suffix = base::Sha256Hex(look_.site.oms).substr(0, 12);
  if (!memory_.rights_proved) {
    for (const ports::MetaDb& meta_db : servers.Each()) {
      const auto proof = meta_db.server->ProveRights(ctx_, suffix);
      if (!proof.ok())
        return Trouble(proof.error().Wrap(name(meta_db)), crd::reason::kMetaDbDenied);
    }
    memory_.rights_proved = true;
  }
  // Where heatbeat_sequence lies, if it is to be compacted while a component writes it.
  if (facts_.keeps_tasks() && !memory_.rename_proved) {
    const auto proof = servers.cm().server->ProveTwoTableRename(ctx_, suffix);
    if (!proof.ok())
      return Trouble(proof.error().Wrap(name(servers.cm())), crd::reason::kMetaDbDenied);
    memory_.rename_proved = true;
  }
  const auto tool = model::ChooseTool(look_.spec, facts_);
  if (tool.ok() && *tool == ports::DumpTool::kMysqldump && !memory_.query_timeout_proved) {
    for (const ports::MetaDb& meta_db : servers.Each()) {
      const auto proof = meta_db.server->ProveQueryTimeout(ctx_);
      if (!proof.ok())
        return Trouble(proof.error().Wrap(name(meta_db)), crd::reason::kMetaDbDenied);
    }
    memory_.query_timeout_proved = true;
  }
  // Last, as it reads the most.
  if (!memory_.rows_fit_proved) {
    for (const auto& frozen : model::DatabasesOf(*look_.site.config, *facts_.meta)) {
      const ports::MetaDb& meta_db = servers.For(frozen.role);
      const auto proof = meta_db.server->ProveRowsFit(ctx_, frozen.name);
      if (!proof.ok())
        return Trouble(proof.error().Wrap(name(meta_db)), crd::reason::kMetaDbUnreachable);
    }
    memory_.rows_fit_proved = true;
  }
}

void Trials::Run() {
  if (GoingBack()) return;
  if (std::string of = observe::WorldOf(look_.site); memory_.of != of) {
    memory_ = {};
    memory_.of = std::move(of);
  }
  // A helper belongs to an operation: one that a dead process left is found by it.
  if (record_ != nullptr) {
    for (auto& node : facts_.nodes) {
      const auto site =
          std::find_if(look_.site.nodes.begin(), look_.site.nodes.end(),
                       [&](const observe::SiteNode& each) { return each.name == node.name; });
      if (site == look_.site.nodes.end()) continue;
      LookIntoImage(*site, node);
      LookAtConfigPlace(*site, node);
    }
  }
  if (!Passed(model::PointKind::kStopping)) Prove();
}

}  // namespace

void TryOut(const base::Context& ctx, const observe::Look& look, const World& world,
            TrialMemory& memory, model::Facts& facts) {
  Trials(ctx, look, world, memory, facts).Run();
}

}  // namespace oms::steps
