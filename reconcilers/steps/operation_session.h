// OperationSession: what a phase may use while it acts for one open operation, in one pass.
//
// It alone appends to the record. A phase passes a point before the act that the point names; the
// stop token, the Lease and the row's epoch are asked in the same breath, so a fenced process stops
// here.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/act/long_tasks.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/model/steps.h"
#include "reconcilers/oms/version_path.h"
#include "reconcilers/ports/backup_tool.h"
#include "reconcilers/ports/container_engine.h"
#include "reconcilers/ports/image_archive.h"
#include "reconcilers/ports/meta_dbs.h"
#include "reconcilers/ports/record_store.h"

namespace oms::steps {

// The world as this operation reaches it. Shared with long tasks, so it outlives a pass.
struct World {
  std::map<std::string, std::shared_ptr<ports::ContainerEngine>> engines;  // By node.
  ports::MetaDbs meta;
  std::shared_ptr<ports::Fence> fence;
  ports::RecordStore* store = nullptr;
  ports::BackupTool* backup_tool = nullptr;
  ports::ImageArchives* archives = nullptr;
};

class OperationSession {
 public:
  using Tell =
      std::function<void(bool warning, const std::string& reason, const std::string& message)>;

  OperationSession(const crd::Spec& spec, const product::PathSteps& path, const model::Facts& facts,
                   std::shared_ptr<const model::OperationRecord>& record, int& last_n,
                   std::shared_ptr<const World> world, act::LongTasks& tasks,
                   std::function<void()> wake, Tell tell)
      : spec_(spec),
        path_(path),
        facts_(facts),
        record_(record),
        last_n_(last_n),
        world_(std::move(world)),
        tasks_(tasks),
        wake_(std::move(wake)),
        tell_(std::move(tell)) {}

  const crd::Spec& spec() const { return spec_; }
  const product::PathSteps& path() const { return path_; }
  const model::Facts& facts() const { return facts_; }
  // As it is now. It stays as it is, and where it is, for as long as this session: Save() puts
  // another one in its place.
  const model::OperationRecord& record() const { return *record_; }
  const std::shared_ptr<const World>& world() const { return world_; }
  ports::ContainerEngine& engine(const std::string& node) const {
    return *world_->engines.at(node);
  }

  // Changes a copy of the record and appends it as the next n, before anything else happens; then it
  // is the record. On an error that is as it was. kConflict kRecordTaken: what is in memory is not the last one.
  base::Status Save(const base::Context& ctx,
                    const std::function<void(model::OperationRecord&)>& change);
  // Adds a point (at the time of the facts' clock) and saves.
  base::Status RecordPoint(const base::Context& ctx, model::PointKind kind,
                           const std::string& node = {},
                           std::optional<model::Step> step = std::nullopt, int attempt = 0);

  // Starts a long task of this operation; its end wakes the resource.
  void Start(const base::Context& ctx, const std::string& task, base::Duration timeout,
             act::LongTasks::Work work);
  int started() const { return started_; }  // How many, by this session.
  void Event(const std::string& reason, const std::string& message) const {
    tell_(false, reason, message);
  }
  void Warn(const std::string& reason, const std::string& message) const {
    tell_(true, reason, message);
  }

 private:
  const crd::Spec& spec_;
  const product::PathSteps& path_;
  const model::Facts& facts_;
  std::shared_ptr<const model::OperationRecord>& record_;
  std::vector<std::shared_ptr<const model::OperationRecord>> before_;  // A step may hold a part.
  int& last_n_;
  std::shared_ptr<const World> world_;
  act::LongTasks& tasks_;
  std::function<void()> wake_;
  Tell tell_;
  int started_ = 0;
};

}  // namespace oms::steps
