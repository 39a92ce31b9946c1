#include "reconcilers/pass/reached.h"

namespace oms::pass {
namespace {

// The one of `opened` that a look has the reading half of; null: it was opened elsewhere.
template <typename Whole, typename View>
std::shared_ptr<Whole> WholeOf(const std::vector<std::shared_ptr<Whole>>& opened,
                               const std::shared_ptr<View>& view) {
  for (const auto& each : opened) {
    if (static_cast<View*>(each.get()) == view.get()) return each;
  }
  return nullptr;
}

}  // namespace

observe::Views Reached::Views() {
  return {.api = ports_.api,
          .engines = this,
          .meta_dbs = this,
          .ownerships = this,
          .store = ports_.store,
          .probe = ports_.probe,
          .task_api = ports_.task_api};
}

void Reached::Forget() {
  engines_.clear();
  meta_dbs_.clear();
  ownerships_.clear();
}

steps::World Reached::WorldOf(const observe::Site& site) const {
  steps::World world;
  for (const auto& node : site.nodes) world.engines[node.name] = WholeOf(engines_, node.engine);
  world.meta = Whole(site.meta);
  world.store = ports_.store;
  world.backup_tool = ports_.backup_tool;
  world.archives = ports_.archives;
  return world;
}

std::shared_ptr<ports::Ownership> Reached::OwnershipOf(const observe::Site& site) const {
  return WholeOf(ownerships_, site.ownership);
}

base::Result<std::shared_ptr<ports::ContainerEngineView>> Reached::Open(
    const ports::EngineAddress& address) {
  OMS_ASSIGN(auto engine, ports_.engines->Open(address));
  engines_.push_back(engine);
  return std::shared_ptr<ports::ContainerEngineView>(std::move(engine));
}

ports::MetaDbView Reached::Open(const ports::DbServerAddress& address) {
  return meta_dbs_.emplace_back(ports_.meta_dbs->Open(address)).View();
}

std::shared_ptr<ports::OwnershipView> Reached::Open(const ports::MetaDbsView& meta_dbs) {
  return ownerships_.emplace_back(ports_.ownerships->Open(Whole(meta_dbs)));
}

ports::MetaDb Reached::Whole(const ports::MetaDbView& view) const {
  for (const auto& each : meta_dbs_) {
    if (each.View().server == view.server) return each;
  }
  return {};
}

ports::MetaDbs Reached::Whole(const ports::MetaDbsView& view) const {
  if (!view.known()) return {};
  return view.separate() ? ports::MetaDbs(Whole(view.rm()), Whole(view.cm()))
                         : ports::MetaDbs(Whole(view.rm()));
}

}  // namespace oms::pass
