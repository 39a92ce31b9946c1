// Reached: the world as one round of a pass has reached it. A look opens what it looks at through
// this, and gets the reading half; the writing half stays here, for who acts on it.
#pragma once

#include <memory>
#include <vector>

#include "controller/base/result.h"
#include "controller/kube/api_client.h"
#include "reconcilers/observe/site.h"
#include "reconcilers/ports/backup_tool.h"
#include "reconcilers/ports/container_engine.h"
#include "reconcilers/ports/http_probe.h"
#include "reconcilers/ports/image_archive.h"
#include "reconcilers/ports/meta_dbs.h"
#include "reconcilers/ports/ownership.h"
#include "reconcilers/ports/record_store.h"
#include "reconcilers/ports/task_api.h"
#include "reconcilers/steps/operation_session.h"

namespace oms::pass {

// Everything outside that the reconcilers use. All outlive them.
struct Ports {
  kube::ApiClient* api = nullptr;  // For Secrets.
  ports::EngineProvider* engines = nullptr;
  ports::MetaDbProvider* meta_dbs = nullptr;
  ports::OwnershipProvider* ownerships = nullptr;
  ports::RecordStore* store = nullptr;
  ports::BackupTool* backup_tool = nullptr;
  ports::ImageArchives* archives = nullptr;
  ports::HttpProbe* probe = nullptr;
  ports::TaskApi* task_api = nullptr;
};

// Not thread-safe: it belongs to one pass. What it gives away outlives it.
class Reached final : private ports::EngineViewProvider,
                      private ports::MetaDbViewProvider,
                      private ports::OwnershipViewProvider {
 public:
  explicit Reached(const Ports& ports) : ports_(ports) {}
  Reached(const Reached&) = delete;
  Reached& operator=(const Reached&) = delete;

  // What a look may use. Valid as long as this.
  observe::Views Views();
  // What was opened before is another round's.
  void Forget();

  // Of a site that was reached through Views(): what may be acted on.
  steps::World WorldOf(const observe::Site& site) const;
  // Of one with a row's owner (Site::ownership is set).
  std::shared_ptr<ports::Ownership> OwnershipOf(const observe::Site& site) const;

 private:
  base::Result<std::shared_ptr<ports::ContainerEngineView>> Open(
      const ports::EngineAddress& address) override;
  ports::MetaDbView Open(const ports::DbServerAddress& address) override;
  std::shared_ptr<ports::OwnershipView> Open(const ports::MetaDbsView& meta_dbs) override;
  ports::MetaDb Whole(const ports::MetaDbView& view) const;
  ports::MetaDbs Whole(const ports::MetaDbsView& view) const;

  const Ports& ports_;
  std::vector<std::shared_ptr<ports::ContainerEngine>> engines_;
  std::vector<ports::MetaDb> meta_dbs_;
  std::vector<std::shared_ptr<ports::Ownership>> ownerships_;
};

}  // namespace oms::pass
