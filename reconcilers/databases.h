// The three databases of an OMS, and the server of each.
#pragma once

#include <vector>

#include "reconcilers/config_yaml.h"
#include "reconcilers/facts.h"
#include "reconcilers/operation.h"

namespace oms::upgrade {

// Which database lies where, as it is frozen and as a plan shows it.
std::vector<FrozenDatabase> DatabasesOf(const OmsConfig& config, const MetaFacts& meta);

}  // namespace oms::upgrade
