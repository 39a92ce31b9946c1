// The connections of this process to MetaDB servers, so that they are not taken for foreign ones.
// Thread-safe. `server` is host:port as dialled.
//
// One that was removed still counts for kGrace: a server shows a connection a little longer than
// its client has it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace oms::drivers {

class OwnConnections {
 public:
  static constexpr std::chrono::seconds kGrace{5};

  static void Add(const std::string& server, uint64_t id);
  static void Remove(const std::string& server, uint64_t id);
  static bool Has(const std::string& server, uint64_t id);
};

}  // namespace oms::drivers
