// Site: the world of one resource, reached anew in each pass: engines, the container that runs, its
// config.yaml, the MetaDB, the row, and the record; and what can be read off it. How it is reached:
// reach_site.h.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/kube/api_client.h"
#include "crd/oms_upgrade.h"
#include "crd/version.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/observe/record_trust.h"
#include "reconcilers/oms/config_yaml.h"
#include "reconcilers/ports/container_engine.h"
#include "reconcilers/ports/http_probe.h"
#include "reconcilers/ports/meta_dbs.h"
#include "reconcilers/ports/ownership.h"
#include "reconcilers/ports/record_store.h"
#include "reconcilers/ports/task_api.h"

namespace oms::observe {

// What a look may use of the world: reading halves alone, so whatever it does, it changes nothing.
// All outlive it.
struct Views {
  kube::ApiReader* api = nullptr;  // For Secrets.
  ports::EngineViewProvider* engines = nullptr;
  ports::MetaDbViewProvider* meta_dbs = nullptr;
  ports::OwnershipViewProvider* ownerships = nullptr;
  ports::RecordStoreView* store = nullptr;
  ports::HttpProbe* probe = nullptr;
  ports::TaskApi* task_api = nullptr;
};

struct SiteNode {
  std::string name;
  std::shared_ptr<ports::ContainerEngineView> engine;
  ports::EngineInfo info;
  std::optional<ports::ContainerInfo>
      named;  // The container that spec.nodes[].container.name adopts.
  std::vector<ports::ContainerInfo> labelled;  // Ours, by the owner's label; newest first.
  // The one that stands for OMS on this node: the one that runs, else the one that ran last, by the
  // engine's own clock. (A created one has never run; the old one of an upgrade before the last has
  // stopped long ago.) Where none ever ran: the named one, else our newest. Never a dead one.
  const ports::ContainerInfo* Current() const;
};

struct Site {
  std::string ns;  // Of the resource, and of the Secrets that it names.
  std::vector<SiteNode> nodes;
  // Of the current container of the first node that is no mere component.
  std::optional<ports::FileContent> config_file;
  std::optional<product::OmsConfig> config;
  std::string https_ca;  // PEM, of spec.https; empty: none is given.
  ports::MetaDbsView meta;
  std::optional<ports::DbServerInfo> server,
      cm_server;  // Of rm; of cm and cm_hb: mostly the same one.
  std::shared_ptr<ports::OwnershipView> ownership;
  std::string oms;  // The key of the row: the rm database's name.
  std::optional<ports::OwnershipRow> row;
  std::optional<ports::VolumeInfo>
      volume;  // Of spec.backup.directory, where the next one will lie.
  // The open operation, or the last one; null: none is known. What is written puts another in its
  // place, so whoever holds this one goes on with what it has read.
  std::shared_ptr<const model::OperationRecord> record;
  int last_n = 0;
  // Whose the last operation is, where it is closed and not believed for that alone.
  std::optional<ports::Owner> others_record;
  // The upgrade that can be taken back, if what it led to still runs; none while one is open.
  std::shared_ptr<const model::OperationRecord> way_back;
  std::optional<crd::Version> running;  // What runs on the node of config_file.
  // The first thing that could not be reached; what comes after it in this struct is absent then.
  std::optional<model::Trouble> trouble;
};

// Of a resource "namespace/name": "namespace.name", the value of our owner's label.
std::string OwnerLabel(const std::string& object);

// spec.version as what it means: with the edition that spec.deployment.edition names, or that the
// tag of spec.image does where the version itself says none. kInvalid "InvalidVersion".
base::Result<crd::Version> WantedVersion(const crd::Spec& spec);

// The version that a container runs: our label, the image's tag, or spec.deployment.currentVersion.
base::Result<crd::Version> RunningVersion(const crd::Spec& spec,
                                          const ports::ContainerInfo& container);

// The container of this node is a component that was upgraded in place, so that neither its image
// nor its label tells what it runs; null: it is not.
const model::UpgradedComponent* UpgradedInPlace(const Site& site, const SiteNode& node);

// The first container of an OMS with nothing open that does not run ("OMSNotRunning"), or runs
// another version than the others ("NodeVersionsDiffer"). Nullopt: all are as they should be.
std::optional<model::Trouble> WhatDoesNotRun(const crd::Spec& spec, const Site& site);

inline constexpr char kConfigPath[] = "/home/admin/conf/config.yaml";

}  // namespace oms::observe
