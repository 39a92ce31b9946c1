// MysqlRelay: the only way of a child process (dump, load) to the MetaDB. Listens on a unix socket
// in a private folder (0700), and passes each connection on to the server.
//
// Why: leadership is no fence, and a child outlives a stopped parent. Through the relay a parent
// that is stopped or dead stops its children, each of their connections is known to the fence
// before a byte of the child's reaches the server, and bytes can be counted.
//
// Order, per connection: dial; read the id from the server's greeting; Fence::Register (with no
// address yet); pass the login on, packet by packet; when the server accepts it, look up the
// connection in the process list, Register once more as that shows it (address, and the user
// without OceanBase's tenant), and only then tell the child that it is in. The second look is what
// makes it safe: OceanBase shows and kills no connection that has not logged in yet (measured:
// 1094), so a claim before the login is found out by the second Register, and one after it by KILL.
// kFenced: closed without another byte.
//
// TLS is the relay's: the child is told that the server has none and speaks plainly over the
// socket; the relay verifies chain and host name as the address asks (a client on a unix socket
// could not check the name).
//
// A connection that ended leaves the fence's list only when the server has closed it or it is gone
// from the process list (after a KILL, where the child went first); until then a statement of it
// may still run.
#pragma once

#include <memory>
#include <string>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/container_engine.h"
#include "reconcilers/ports/meta_db.h"

namespace oms::drivers::mysql {

// What the connections through a relay are for. Of kRead the server itself is told, before the
// child is in, that it shall refuse every write (SET SESSION TRANSACTION READ ONLY), and the second
// Register says so (DbConnection::reads).
enum class RelayUse { kRead, kWrite };

class MysqlRelay {
 public:
  // `fence` and `progress` outlive the relay; `progress` may be null. When ctx is stopped, all
  // connections are closed within a second. Error kTransient "RelayFailed".
  static base::Result<std::unique_ptr<MysqlRelay>> Start(const base::Context& ctx,
                                                         const ports::DbServerAddress& address,
                                                         RelayUse use, ports::Fence& fence,
                                                         ports::ByteProgress* progress);
  // Closes all connections, waits for their threads, removes the socket.
  virtual ~MysqlRelay() = default;

  virtual const std::string& socket_path() const = 0;
  // The private folder of the socket; the place for a child's defaults file. Removed with all that
  // is in it.
  virtual const std::string& folder() const = 0;
  // Why a connection was refused, if one was: kFenced, or what the server or the fence said.
  virtual base::Status Health() const = 0;
};

}  // namespace oms::drivers::mysql
