#include "reconcilers/drivers/mysql/mysql_metadb.h"

#include "reconcilers/drivers/mysql/mysql_ports.h"

namespace oms::drivers::mysql {

ports::MetaDb MysqlMetaDbProvider::Open(const ports::DbServerAddress& address) {
  return {MakeOmsTables(address, looking_), MakeDbServer(address, looking_),
          MakeDbConnections(address, looking_)};
}

}  // namespace oms::drivers::mysql
