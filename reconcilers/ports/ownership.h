// Ownership: whose an OMS is. One row per OMS, in a database of our own
// (`oms_upgrade_controller`) beside OMS's own databases; where they lie on two servers, on that of
// rm. There is one row then too: connections to either server are registered in it.
//
// The row outlives processes, folders and `.status`: it says who owns this OMS, which operation is
// open, where its record lies, and which connections may write. `epoch` only ever grows; every
// write names the epoch it believes in.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/meta_db.h"
#include "reconcilers/ports/meta_dbs.h"

namespace oms::ports {

struct Owner {
  std::string cluster;  // uid of the kube-system namespace
  std::string object;   // namespace/name
  bool operator==(const Owner&) const = default;
};

struct OwnershipRow {
  Owner owner;          // Empty: free for anybody to claim.
  std::string process;  // Random per process start.
  uint64_t epoch = 0;
  std::string operation_id;     // Empty: none is open.
  std::string folder;           // Of the operation, or of the last one.
  std::string folder_identity;  // Of the backup directory.
  std::vector<DbConnection> connections;
  bool Free() const { return owner == Owner(); }
};

// To look at.
class OwnershipView {
 public:
  virtual ~OwnershipView() = default;

  // nullopt: no row (or not even the database). Never writes.
  virtual base::Result<std::optional<OwnershipRow>> Read(const base::Context& ctx,
                                                         const std::string& oms) = 0;
};

class Ownership : public OwnershipView {
 public:
  // Takes the row: INSERT where `seen` is nullopt (epoch `first_epoch`), else UPDATE ... WHERE
  // epoch = seen->epoch to epoch + 1, owner and process ours; operation, folder and identity stay.
  // Then ends every connection that was registered, on each server (MetaDbs::EndConnections), and
  // empties the list, but for those that only read and that the server keeps.
  // Makes database and tables where they are missing. kConflict: somebody was faster; read again.
  // Any error from the ending of connections on (kTransient "ConnectionsEnding"): the row is ours,
  // with its list as it was; nothing may be done before a Claim has succeeded.
  virtual base::Result<OwnershipRow> Claim(const base::Context& ctx, const std::string& oms,
                                           const std::optional<OwnershipRow>& seen,
                                           const Owner& owner, const std::string& process,
                                           uint64_t first_epoch) = 0;

  // Writes operation, folder and identity WHERE epoch = `epoch`. kFenced if the row is another's.
  virtual base::Status SetOperation(const base::Context& ctx, const std::string& oms,
                                    uint64_t epoch, const std::string& operation_id,
                                    const std::string& folder,
                                    const std::string& folder_identity) = 0;

  // Gives the row free WHERE epoch = `epoch` (the resource is deleted and nothing is open): no
  // owner and no process. The epoch and the last operation's folder stay, so that a resource that
  // is made again goes on from there.
  virtual base::Status Release(const base::Context& ctx, const std::string& oms,
                               uint64_t epoch) = 0;

  // The fence of this claim; registers with `epoch` in this row.
  virtual std::shared_ptr<Fence> FenceFor(const std::string& oms, uint64_t epoch) = 0;
};

class OwnershipProvider {
 public:
  virtual ~OwnershipProvider() = default;
  virtual std::shared_ptr<Ownership> Open(MetaDbs meta_dbs) = 0;
};

// Opens what may only be looked at.
class OwnershipViewProvider {
 public:
  virtual ~OwnershipViewProvider() = default;
  virtual std::shared_ptr<OwnershipView> Open(const MetaDbsView& meta_dbs) = 0;
};

}  // namespace oms::ports
