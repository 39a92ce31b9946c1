// A proxy in front of a MetaDB, without TLS, by which it is not what it is.
#pragma once

#include <cstdint>
#include <memory>

#include "reconcilers/ports/meta_db.h"

namespace oms::drivers {

class MetaDbProxy {
 public:
  enum class Twist {
    // Gives its clients connection ids of its own, as OBProxy may: the id in the greeting is none
    // that KILL or the process list of the server knows.
    kOtherIds,
    // RENAME TABLE is no statement that the server knows: it answers 1064.
    kNoRenameTable,
  };
  MetaDbProxy(const upgrade::DbServerAddress& server, Twist twist);
  ~MetaDbProxy();    // Closes all connections.
  int port() const;  // On 127.0.0.1.

 private:
  struct Sockets;
  std::unique_ptr<Sockets> sockets_;
};

}  // namespace oms::drivers
