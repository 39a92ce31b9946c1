// The row of the world's MetaDB that says who may act, and its fence.
#pragma once

#include <mutex>
#include <utility>

#include "tests/fakes/world/door.h"

namespace oms::fakes {

class RowFence final : public ports::Fence, private Door {
 public:
  RowFence(World& world, Life& life, uint64_t epoch) : Door(world, life), epoch_(epoch) {}
  Status Register(const Context&, const ports::DbConnection& connection) override {
    return Write("Register", false, [&] { return world_.RegisterLocked(epoch_, connection); });
  }
  void Unregister(const ports::DbConnection& connection) override {
    (void)world_.Look<base::Unit>(life_, [&]() -> Status {
      if (world_.row && world_.row->epoch == epoch_)
        std::erase(world_.row->connections, connection);
      return base::Ok();
    });
  }

 private:
  const uint64_t epoch_;
};

class Row final : public ports::Ownership, public ports::OwnershipProvider, private Door {
 public:
  using Door::Door;
  std::shared_ptr<ports::Ownership> Open(ports::MetaDbs meta_dbs) override {
    const std::lock_guard lock(mutex_);
    meta_dbs_ = std::move(meta_dbs);
    return std::shared_ptr<ports::Ownership>(this, [](ports::Ownership*) {});
  }
  Result<std::optional<ports::OwnershipRow>> Read(const Context&, const std::string&) override {
    using Answer = std::optional<ports::OwnershipRow>;
    return world_.Look<Answer>(life_, [&]() -> Result<Answer> { return world_.row; });
  }
  // On two servers as the driver does it: the row first, then what is registered is ended on each.
  Result<ports::OwnershipRow> Claim(const Context& ctx, const std::string&,
                                    const std::optional<ports::OwnershipRow>& seen,
                                    const ports::Owner& owner, const std::string& process,
                                    uint64_t first_epoch) override {
    OMS_ASSIGN(ports::OwnershipRow row, Raise(seen, owner, process, first_epoch));
    if (row.connections.empty()) return row;
    ports::MetaDbs meta_dbs;
    {
      const std::lock_guard lock(mutex_);
      meta_dbs = meta_dbs_;
    }
    OMS_TRY(meta_dbs.EndConnections(ctx, row.connections));
    row.connections.clear();
    OMS_TRY(Write("Empty row", false, [&]() -> Status {
      if (world_.row->epoch != row.epoch) return MakeError(Code::kConflict, "somebody was faster");
      world_.row->connections.clear();
      return base::Ok();
    }));
    return row;
  }
  Result<ports::OwnershipRow> Raise(const std::optional<ports::OwnershipRow>& seen,
                                    const ports::Owner& owner, const std::string& process,
                                    uint64_t first_epoch) {
    return world_.Write<ports::OwnershipRow>(
        life_, "Claim row", false, [&]() -> Result<ports::OwnershipRow> {
          if (seen.has_value() != world_.row.has_value() ||
              (seen && seen->epoch != world_.row->epoch))
            return MakeError(Code::kConflict, "somebody was faster");
          if (!world_.row) {
            world_.row = ports::OwnershipRow{};
            world_.row->epoch = first_epoch;
          } else {
            ++world_.row->epoch;
          }
          world_.row->owner = owner;
          world_.row->process = process;
          if (world_.separate_cm) return *world_.row;
          for (const auto& connection : world_.row->connections)
            world_.killed.insert(connection.id);
          world_.row->connections.clear();
          return *world_.row;
        });
  }
  Status SetOperation(const Context&, const std::string&, uint64_t epoch,
                      const std::string& operation, const std::string& folder,
                      const std::string& identity) override {
    return Write("SetOperation", false, [&]() -> Status {
      if (!world_.row || world_.row->epoch != epoch)
        return MakeError(Code::kFenced, "the row is another's");
      world_.row->operation_id = operation;
      world_.row->folder = folder;
      world_.row->folder_identity = identity;
      return base::Ok();
    });
  }
  Status Release(const Context&, const std::string&, uint64_t epoch) override {
    return Write("Release", false, [&]() -> Status {
      if (!world_.row || world_.row->epoch != epoch)
        return MakeError(Code::kFenced, "the row is another's");
      world_.row->owner = {};
      world_.row->process.clear();
      return base::Ok();
    });
  }
  std::shared_ptr<ports::Fence> FenceFor(const std::string&, uint64_t epoch) override {
    return std::make_shared<RowFence>(world_, life_, epoch);
  }

 private:
  std::mutex mutex_;
  ports::MetaDbs meta_dbs_;  // Guarded by mutex_.
};

}  // namespace oms::fakes
