// A proxy in front of a MetaDB, without TLS, by which it is not what it is.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

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
    // The server says `b` wherever it says `a`, which is as long.
    kSaysOtherwise,
    // To a statement with `a` in it the answer is a request for the client's file `b`.
    kAsksForFile,
  };
  MetaDbProxy(const ports::DbServerAddress& server, Twist twist, std::string a = {},
              std::string b = {});
  ~MetaDbProxy();    // Closes all connections.
  int port() const;  // On 127.0.0.1.

  // Of kAsksForFile: how often it asked, what it was given, and whether some client said at its
  // login that it gives files.
  int asked() const;
  std::string given() const;
  bool announced() const;

 private:
  struct Sockets;
  std::unique_ptr<Sockets> sockets_;
};

}  // namespace oms::drivers
