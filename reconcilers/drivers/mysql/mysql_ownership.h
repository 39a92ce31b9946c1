// Ownership in a table of our own: `oms_upgrade_controller`.`ownership`, one row per OMS. See
// ports/ownership.h.
//
// `connections` is text, one connection as JSON on each line, so that adding and removing one are
// single UPDATEs that append and REPLACE, WHERE epoch = mine; no reader has to take part. A fence
// has one session for them, and puts changes that come at the same time into one UPDATE; each
// caller still waits until its own is committed. "Not now" is tried again for some seconds.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "reconcilers/ports/ownership.h"

namespace oms::drivers::mysql {

class MysqlOwnershipProvider final : public ports::OwnershipProvider {
 public:
  // The longest that a look at the row, or one write of it, may take as a whole.
  explicit MysqlOwnershipProvider(base::Duration one_call = std::chrono::seconds(30))
      : one_call_(one_call) {}
  std::shared_ptr<ports::Ownership> Open(ports::MetaDbs meta_dbs) override;

 private:
  const base::Duration one_call_;
};

// The line of a connection (with its newline), and the connections of a text. Lines that are not
// ours are skipped. Pure.
std::string ConnectionLine(const ports::DbConnection& connection);
std::vector<ports::DbConnection> ParseConnections(const std::string& text);

}  // namespace oms::drivers::mysql
