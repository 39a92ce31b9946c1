// MysqlWire: what Connector/C++ hides of a connection of the library below it (MariaDB
// Connector/C): whether its last call failed, and its socket.
//
// Two faults of Connector/C++ 1.1.12 ask for it. Of results that are read row by row it takes an
// error in the middle for their end (measured: a table that cannot be read shows no rows and no
// error). And a result that is let go of is read to its end first, which a server may never come
// to.
//
// The library has no header here, and Connector/C++ gives its handle to nobody. So this file has a
// mysql_init() of its own, which the linker takes before the library's: it remembers, for its
// thread, the handle that the library's makes.
#pragma once

#include <cstddef>
#include <string>

namespace oms::drivers {

class MysqlWire {
 public:
  // Once, before the first connection. No packet of any connection is longer than that: a row may
  // take a gigabyte by the library's default.
  static void Init(unsigned long most_bytes);
  // The connection that this thread has made last. Of none: !known(), and nothing of it is asked.
  static MysqlWire Last();
  bool known() const { return handle_ != nullptr; }

  // Of the last call; 0: it went well. On the connection's own thread.
  unsigned error() const;
  std::string error_text() const;
  // A copy of its socket, to be closed by the caller: whoever shuts it down, on any thread, ends
  // what the library waits for. -1: it has none. On the connection's own thread.
  int CopySocket() const;

 private:
  void* handle_ = nullptr;  // Lives as long as the connection of Connector/C++.
};

}  // namespace oms::drivers
