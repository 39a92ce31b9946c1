#include "reconcilers/drivers/mysql/packet_limit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "crd/reasons.h"

namespace oms::drivers::mysql {
namespace {

constexpr uint64_t kMost = 1ULL << 30;  // What MySQL, MariaDB and OceanBase take at most.
// Names, numbers, commas and what begins the statement.
constexpr uint64_t kRest = 64 << 10;

}  // namespace

base::Result<uint64_t> MaxAllowedPacket(const base::Context& ctx, MysqlSession& session) {
  OMS_ASSIGN(const auto value, session.Scalar(ctx, "SELECT @@global.max_allowed_packet"));
  const uint64_t bytes = value ? std::strtoull(value->c_str(), nullptr, 10) : 0;
  if (bytes > 0) return bytes;
  return base::MakeError(base::Code::kTransient, crd::reason::kMetaDbError,
                         "the server does not report its max_allowed_packet");
}

std::string RaisePacket(uint64_t bytes) {
  uint64_t value = 1 << 20;
  while (value < bytes + 1 && value < kMost) value *= 2;
  if (value < bytes + 1) {
    return fmt::format("no server accepts more than {}; shorten or remove the value", kMost);
  }
  return fmt::format(
      "SET GLOBAL max_allowed_packet = {}, and set it so in the server's configuration", value);
}

uint64_t StatementOf(uint64_t row_bytes) { return 2 * row_bytes + kRest; }

std::vector<std::string> CouldBeTooLong(const std::vector<LongColumn>& columns, uint64_t allowed) {
  std::map<std::string, uint64_t> most;
  for (const auto& column : columns) {
    auto& sum = most[column.table];
    sum = std::min(sum + std::min(column.most, 4 * kMost), 64 * kMost);
  }
  std::vector<std::string> tables;
  for (const auto& [table, bytes] : most) {
    if (StatementOf(bytes) + 1 > allowed) tables.push_back(table);
  }
  return tables;
}

}  // namespace oms::drivers::mysql
