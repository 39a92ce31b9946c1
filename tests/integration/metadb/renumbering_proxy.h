// A proxy in front of a MetaDB that gives its clients connection ids of its own, as OBProxy may:
// the id in the greeting is none that KILL or the process list of the server knows.
#pragma once

#include <cstdint>
#include <memory>

#include "reconcilers/ports/meta_db.h"

namespace oms::drivers {

class RenumberingProxy {
 public:
  explicit RenumberingProxy(const upgrade::DbServerAddress& server);
  ~RenumberingProxy();  // Closes all connections.
  int port() const;     // On 127.0.0.1.

 private:
  struct Sockets;
  std::unique_ptr<Sockets> sockets_;
};

}  // namespace oms::drivers
