// Observation: one look, as it is made. For the files of observer.h only:
//
// observer.cc       what is looked at when, the backup folder, the tasks of OMS
// observe_node.cc   containers, images, files, scripts and services of a node
// observe_meta.cc   what OMS keeps in its databases
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/observe/health.h"
#include "reconcilers/observe/observer.h"
#include "reconcilers/observe/site.h"

namespace oms::observe {

// Of each question about health.
inline constexpr base::Duration kMetaTimeout = std::chrono::seconds(10);

class Observation {
 public:
  Observation(const base::Context& ctx, const Views& views, const Look& look, ProofCache& proofs)
      : ctx_(ctx),
        views_(views),
        look_(look),
        proofs_(proofs),
        record_(look.site.record && look.site.record->open() ? look.site.record.get() : nullptr) {}

  model::Facts Run(std::map<std::string, model::TaskView> tasks);
  model::Facts RunIdle();

 private:
  bool Passed(model::PointKind kind) const { return record_ != nullptr && record_->Passed(kind); }
  bool GoingBack() const {
    return record_ != nullptr && record_->direction == model::Direction::kRollback;
  }
  // Which of the two stands for OMS now: the new one from its start on, the old one on the way
  // back.
  bool NewOne() const { return Passed(model::PointKind::kNewStarting) && !GoingBack(); }
  void Trouble(const base::Error& error, const char* reason) {
    facts_.troubles.push_back(
        {error.reason.empty() ? reason : error.reason, error.message, error.Retryable()});
  }

  void LookAtNode(const SiteNode& site);
  crd::NodeRole RoleOf(const std::string& node) const;
  bool KeepsRunning(const model::NodeFacts& node) const;
  void LookAtContainers(const SiteNode& site, model::NodeFacts& node);
  void LookForSecond(const SiteNode& site, model::NodeFacts& node);
  void LookForHelpers(const SiteNode& site, model::NodeFacts& node);
  void LookForOldAgain(const SiteNode& site, const model::FrozenNode& frozen,
                       model::NodeFacts& node);
  void LookAtImage(const SiteNode& site, model::NodeFacts& node);
  void LookAtConfig(const SiteNode& site, model::NodeFacts& node);
  void LookAtComponent(const SiteNode& site, model::NodeFacts& node);
  void LookAtScript(const SiteNode& site, model::NodeFacts& node);
  void LookAtServices(const SiteNode& site, model::NodeFacts& node);
  void LookAtCertificate(const SiteNode& site, model::NodeFacts& node);
  base::Result<std::string> ReadText(const SiteNode& site, const std::string& container,
                                     std::string_view path);
  base::Result<std::optional<ports::HttpsTrust>> TrustIn(const SiteNode& site,
                                                         const ports::ContainerInfo& container);
  void LookAtMeta();
  void LookAtMetaGoingBack();
  void LookAtHeartbeats(model::MetaFacts& meta);
  model::MetaFacts Servers() const;
  base::Result<ports::LegacyFindings> LookForLegacy(const product::OmsConfig& config);
  void LookAtDatabases(model::MetaFacts& meta);
  void JoinHealth(const model::MetaFacts& meta);
  void LookAtVolume();
  base::Result<HealthQuery> QueryOf(const SiteNode& site, const ports::ContainerInfo& container);
  base::Result<std::vector<ports::OmsTask>> AskOmsTasks();
  void LookAtOmsTasks();
  std::optional<uint64_t> SizeOf(const crd::Image& image, const char* field);
  void Rehearse(model::NodeFacts& node);
  void ForgetAnothers();

  const base::Context& ctx_;
  const Views& views_;
  const Look& look_;
  ProofCache& proofs_;
  const model::OperationRecord* record_;
  model::Facts facts_;
};

}  // namespace oms::observe
