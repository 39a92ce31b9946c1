// Limits: what this controller may touch at all, whatever a resource asks for. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/oms_upgrade.h"

namespace oms::model {

// What this controller may touch at all; set by flags, not by the resource.
struct Limits {
  std::vector<std::string>
      engines;  // Patterns with '*': "unix:///var/run/docker.sock", "tcp://10.0.0.*:2376"
  std::vector<std::string> backup_dirs;  // The folder itself or one below.
  std::vector<std::string> archive_dirs;
};

// Of the spec alone; asked before anything is dialled. `reason` and words for a person.
base::Status CheckLimits(const crd::Spec& spec, const Limits& limits);

// True if `path` is one of the folders, or lies below one.
bool IsBelow(const std::string& path, const std::vector<std::string>& folders);

// Matches a pattern in which '*' stands for any run of characters.
bool MatchesPattern(std::string_view pattern, std::string_view text);

}  // namespace oms::model
