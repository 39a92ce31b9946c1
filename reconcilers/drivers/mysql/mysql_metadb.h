// MetaDb over MysqlSession, for OceanBase, MariaDB and MySQL. See ports/meta_db.h.
//
// Each call opens a connection of its own (2 to 8 ms) and closes it. Writers describe theirs to the
// fence before the first statement. What one server does and the other does not is found out by
// trying or by version(), never configured.
#pragma once

#include <chrono>

#include "reconcilers/ports/meta_db.h"

namespace oms::drivers::mysql {

// InitMysql() must have been called.
class MysqlMetaDbProvider final : public ports::MetaDbProvider {
 public:
  // The longest that a call which only looks may take as a whole, whatever its context allows: a
  // read timeout is for one read, and a server may send byte by byte.
  explicit MysqlMetaDbProvider(base::Duration looking = std::chrono::seconds(30))
      : looking_(looking) {}
  ports::MetaDb Open(const ports::DbServerAddress& address) override;

 private:
  const base::Duration looking_;
};

}  // namespace oms::drivers::mysql
