// max_allowed_packet: the longest statement that a server takes, and so the longest row that can be
// loaded again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/mysql/mysql_session.h"

namespace oms::drivers::mysql {

// The global one: it is what a new connection gets.
base::Result<uint64_t> MaxAllowedPacket(const base::Context& ctx, MysqlSession& session);

// What to do for a statement of so many bytes: the next power of two as the value to set, or that
// no server takes it. Pure.
std::string RaisePacket(uint64_t bytes);

// A column of texts or bytes; `most`: what a value may take at most.
struct LongColumn {
  std::string table, name;
  uint64_t most = 0;
};
// Of a row whose values of such columns take so many bytes together: the longest statement that a
// dump may make of it. Each byte may become two (an escape, or two digits). Pure.
uint64_t StatementOf(uint64_t row_bytes);
// The tables of which a row could make a statement that is too long. Pure.
std::vector<std::string> CouldBeTooLong(const std::vector<LongColumn>& columns, uint64_t allowed);

}  // namespace oms::drivers::mysql
