// MysqlWire: what Connector/C++ hides of a connection of the library below it (MariaDB
// Connector/C): whether its last call failed, its socket, and how it may log in.
//
// Two faults of Connector/C++ 1.1.12 ask for it, and an option that it does not have. Of results
// that are read row by row it takes an error in the middle for their end (measured: a table that
// cannot be read shows no rows and no error). And a result that is let go of is read to its end
// first, which a server may never come to.
//
// The library has no header here, and Connector/C++ gives its handle to nobody. So this file has a
// mysql_init() of its own, which the linker takes before the library's: it remembers, for its
// thread, the handle that the library's makes. Likewise it gives back what the library forgets to.
#pragma once

#include <string>

#include "controller/base/fd.h"

namespace oms::drivers::mysql {

// The plug-ins that answer a server with a scramble of the password, in the way they do without
// TLS.
inline constexpr char kScramblingPlugins[] =
    "mysql_native_password,caching_sha2_password,client_ed25519";

class MysqlWire {
 public:
  // Once, before the first connection. No packet of any connection is longer than that: a row may
  // take a gigabyte by the library's default.
  static void Init(unsigned long most_bytes);
  // This file's functions are before the library's, as they must be before a password is given to
  // it. (A linker that hides the executable's symbols undoes it without a word.)
  static bool InPlace();
  // How the next connection that this thread makes may log in. Connector/C++ throws kPluginRefused
  // where the server asks for a plug-in that is not to be used.
  enum class LogIn {
    kAnyhow,
    // By what shows the password to nobody: the server is answered with a scramble of it, or not at
    // all. (The full way of caching_sha2_password goes by a key that no server has.)
    kWithoutShowing,
  };
  static void NextLogsIn(LogIn how);
  static constexpr int kPluginRefused = 5010;
  // The connection that this thread has made last. Of none: !known(), and nothing of it is asked.
  static MysqlWire Last();
  bool known() const { return handle_ != nullptr; }

  // Of the last call; 0: it went well. On the connection's own thread.
  unsigned error() const;
  std::string error_text() const;
  // A copy of its socket, to be closed by the caller: whoever shuts it down, on any thread, ends
  // what the library waits for. -1: it has none. On the connection's own thread.
  base::Fd CopySocket() const;

 private:
  void* handle_ = nullptr;  // Lives as long as the connection of Connector/C++.
};

}  // namespace oms::drivers::mysql
