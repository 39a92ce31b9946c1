// RESTORE.md: what a person does who brings a backup back by hand, without a controller.
//
// Pure.
#pragma once

#include <string>
#include <vector>

#include "reconcilers/record/manifest.h"

namespace oms::record {

// Another node's old container, and how it is brought back.
struct RestoreNode {
  std::string name, container, restart_policy, old_image, image_archive, config_copy, config_place;
};

// A component container that was not stopped for the upgrade.
struct RestoreComponent {
  std::string name, container, restart_policy;
};

// What RESTORE.md says beyond the databases; empty: it is not said.
struct RestoreHints {
  std::string restart_policy;       // Of the old container, as it was: "always", "on-failure:3".
  std::string old_image;            // As it was named.
  std::string image_archive;        // A copy of it.
  std::string config_copy;          // Where config.yaml was edited in place: as it was, ...
  std::string config_place;         // ... and where it lies on the host.
  std::string node;                 // The name of that node; empty: there is but one.
  std::vector<RestoreNode> others;  // The nodes after the first.
  std::vector<RestoreComponent> components;
};

// For a person: how to bring this back by hand. Holds no password.
std::string RestoreText(const Manifest& manifest, const RestoreHints& hints = {});

}  // namespace oms::record
