// The three ports of one server, as this driver makes them. `looking`: see mysql_metadb.h.
#pragma once

#include <memory>

#include "controller/base/clock.h"
#include "reconcilers/ports/meta_db.h"

namespace oms::drivers::mysql {

std::shared_ptr<ports::OmsTables> MakeOmsTables(const ports::DbServerAddress& address,
                                                base::Duration looking);
std::shared_ptr<ports::DbServer> MakeDbServer(const ports::DbServerAddress& address,
                                              base::Duration looking);
std::shared_ptr<ports::DbConnections> MakeDbConnections(const ports::DbServerAddress& address,
                                                        base::Duration looking);

}  // namespace oms::drivers::mysql
