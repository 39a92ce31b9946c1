// The three databases of an OMS, and the server of each.
#pragma once

#include <vector>

#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/oms/config_yaml.h"

namespace oms::model {

// Which database lies where, as it is frozen and as a plan shows it.
std::vector<FrozenDatabase> DatabasesOf(const product::OmsConfig& config, const MetaFacts& meta);

}  // namespace oms::model
