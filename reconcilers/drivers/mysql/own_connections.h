// The connections of this process to MetaDB servers, so that they are not taken for foreign ones.
// Thread-safe. `server` is host:port as dialled.
//
// One that was removed still counts for kGrace: a server shows a connection a little longer than
// its client has it. A reader of the former owner that the server keeps (DbConnections::EndConnections)
// counts as long as this process lives; its address tells it from a later one with its id.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace oms::drivers::mysql {

class OwnConnections {
 public:
  static constexpr std::chrono::seconds kGrace{5};

  static void Add(const std::string& server, uint64_t id);
  static void Remove(const std::string& server, uint64_t id);
  static void AddKept(const std::string& server, uint64_t id, const std::string& address);
  // `address`: the client's, as the server's process list shows it.
  static bool Has(const std::string& server, uint64_t id, const std::string& address);
};

}  // namespace oms::drivers::mysql
