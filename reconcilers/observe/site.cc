#include "reconcilers/observe/site.h"

#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"
#include "reconcilers/model/labels.h"

namespace oms::observe {
namespace {

bool NeverRan(const ports::ContainerInfo& container) {
  return container.started_at.empty() || container.started_at.starts_with("0001-");
}

void SetEdition(const crd::Spec& spec, crd::Version& version) {
  if (spec.deployment.edition == crd::EditionChoice::kDetect) return;
  version.edition = spec.deployment.edition == crd::EditionChoice::kCommunity
                        ? crd::Edition::kCommunity
                        : crd::Edition::kEnterprise;
}

}  // namespace

const ports::ContainerInfo* SiteNode::Current() const {
  if (named && named->running) return &*named;
  for (const auto& container : labelled) {
    if (container.running) return &container;
  }
  const ports::ContainerInfo* last = nullptr;
  base::WallTime ended;
  const auto consider = [&](const ports::ContainerInfo& container) {
    const auto finished = base::ParseTime(container.finished_at);
    if (container.dead || NeverRan(container) || !finished.ok() ||
        (last != nullptr && *finished <= ended)) {
      return;
    }
    last = &container;
    ended = *finished;
  };
  // The newest first: of two that ended at the same instant it is the newer one.
  for (const auto& container : labelled) consider(container);
  if (named) consider(*named);
  if (last != nullptr) return last;
  if (named && !named->dead) return &*named;
  const auto newest =
      std::find_if(labelled.begin(), labelled.end(),
                   [](const ports::ContainerInfo& container) { return !container.dead; });
  return newest == labelled.end() ? nullptr : &*newest;
}

std::string OwnerLabel(const std::string& object) {
  std::string label = object;
  std::replace(label.begin(), label.end(), '/', '.');
  return label;
}

base::Result<crd::Version> WantedVersion(const crd::Spec& spec) {
  OMS_ASSIGN(crd::Version wanted, crd::Version::Parse(spec.version));
  if (const auto tag = crd::VersionFromImage(spec.image.reference);
      tag.ok() && tag->edition == crd::Edition::kCommunity) {
    wanted.edition = crd::Edition::kCommunity;
  }
  SetEdition(spec, wanted);
  return wanted;
}

base::Result<crd::Version> RunningVersion(const crd::Spec& spec,
                                          const ports::ContainerInfo& container) {
  if (const auto label = container.labels.find(model::labels::kVersion);
      label != container.labels.end()) {
    return crd::Version::Parse(label->second);
  }
  auto version = spec.deployment.current_version.empty()
                     ? crd::VersionFromImage(container.image)
                     : crd::Version::Parse(spec.deployment.current_version);
  if (version.ok()) {
    SetEdition(spec, *version);
    return version;
  }
  if (!spec.deployment.current_version.empty()) return version;
  return base::MakeError(base::Code::kInvalid, crd::reason::kVersionUnknown,
                         fmt::format("the image '{}' of container '{}' does not name a version; "
                                     "write the version that runs in "
                                     "spec.deployment.currentVersion",
                                     container.image, container.name));
}

const model::UpgradedComponent* UpgradedInPlace(const Site& site, const SiteNode& node) {
  const ports::ContainerInfo* current = node.Current();
  if (!site.record || current == nullptr) return nullptr;
  const auto done = site.record->components.find(node.name);
  return done != site.record->components.end() && done->second.container_id == current->id
             ? &done->second
             : nullptr;
}

std::optional<model::Trouble> WhatDoesNotRun(const crd::Spec& spec, const Site& site) {
  constexpr std::string_view kLeft =
      "{}; the controller does not start it: start {}, or edit spec.version";
  for (const auto& node : site.nodes) {
    const ports::ContainerInfo* current = node.Current();
    if (current == nullptr || !current->running) {
      const std::string where = site.nodes.size() > 1 ? " on node " + node.name : "";
      const std::string how =
          current == nullptr ? "there is no container"
                             : fmt::format("container '{}' is {}", current->name, current->status);
      return model::Trouble{
          crd::reason::kOmsNotRunning,
          fmt::format(kLeft, fmt::format("OMS does not run{}: {}", where, how), "it")};
    }
    if (UpgradedInPlace(site, node) != nullptr) continue;
    const auto version = RunningVersion(spec, *current);
    if (!version.ok() || !site.running || *version == *site.running) continue;
    return model::Trouble{crd::reason::kNodeVersionsDiffer,
                          fmt::format(kLeft,
                                      fmt::format("node {} runs {} (container '{}')", node.name,
                                                  version->ToString(), current->name),
                                      "the container of this version there")};
  }
  return std::nullopt;
}

}  // namespace oms::observe
