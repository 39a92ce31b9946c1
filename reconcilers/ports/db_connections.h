// DbConnections: whose connections to one server there are. As MetaDb says of all its ports
// (meta_db.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"

namespace oms::ports {

// A connection to the server, exactly enough to find it again in its process list. Ids are reused,
// so all counts.
struct DbConnection {
  std::string server;  // host:port as we dialled it.
  uint64_t id = 0;     // CONNECTION_ID()
  std::string user;
  std::string
      address;  // The client's host:port as the process list shows it; empty where it shows none.
  std::string connected;  // UTC time of registration.
  std::string database;   // Of a foreign one: what it uses.
  std::string command;    // Of a foreign one; never its statement's text.
  // The server itself refuses it every write (it is READ ONLY since before its first statement), so
  // whoever takes over ends it but need not wait for that.
  bool reads = false;
  bool operator==(const DbConnection&) const = default;
};

// Whoever wants to write asks the fence first. See ownership.h.
class Fence {
 public:
  virtual ~Fence() = default;
  // Notes the connection in the row, WHERE epoch = ours. kFenced when the row is another's: nothing
  // may be written.
  virtual base::Status Register(const base::Context& ctx, const DbConnection& connection) = 0;
  // Best effort; an entry that stays behind is a dead id, which costs the successor one look.
  virtual void Unregister(const DbConnection& connection) = 0;
};

// To look at.
class DbConnectionsView {
 public:
  virtual ~DbConnectionsView() = default;
  // Connections that use one of the databases and are not of this process.
  virtual base::Result<std::vector<DbConnection>> ForeignConnections(
      const base::Context& ctx, const std::vector<std::string>& databases) = 0;
};

class DbConnections : public DbConnectionsView {
 public:
  // KILLs each that is still the same connection, then waits (15 s, and bounded by ctx) until they
  // are gone from the process list. kTransient "ConnectionsEnding" if one stays: a big load is
  // taken back for minutes. Not to be gone on from, as its statement may still run.
  // The answer: of those that only read, the ones that the server keeps (OceanBase does, where the
  // client is frozen in the middle of a result: no KILL and no time-out ends that, measured). From
  // then on they are not foreign ones.
  virtual base::Result<std::vector<DbConnection>> EndConnections(
      const base::Context& ctx, const std::vector<DbConnection>& victims) = 0;
  // Touches nothing of OMS: two connections as the operation will open them, one kills the other;
  // the victim must get 2006/2013, and be gone from the process list. Then a third as the dump tools
  // open theirs, which is found and ended by what the relay has registered of it. Else kTerminal
  // "CannotFence".
  virtual base::Status ProveFence(const base::Context& ctx) = 0;
};

}  // namespace oms::ports
