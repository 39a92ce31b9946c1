#include "reconcilers/model/databases.h"

namespace oms::model {

std::vector<FrozenDatabase> DatabasesOf(const product::OmsConfig& config, const MetaFacts& meta) {
  return {{"rm", config.drc_rm_db, meta.ServerOf("rm").identity},
          {"cm", config.drc_cm_db, meta.ServerOf("cm").identity},
          {"cm_hb", config.drc_cm_heartbeat_db, meta.ServerOf("cm_hb").identity}};
}

}  // namespace oms::model
