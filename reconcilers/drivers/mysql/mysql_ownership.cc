#include "reconcilers/drivers/mysql/mysql_ownership.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stop_token>

#include "controller/base/json.h"
#include "controller/base/task_group.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/mysql_session.h"

namespace oms::drivers::mysql {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::DbConnection;
using ports::DbServerAddress;
using ports::Fence;
using ports::MetaDbs;
using ports::Owner;
using ports::Ownership;
using ports::OwnershipRow;

namespace {

constexpr char kTable[] = "`oms_upgrade_controller`.`ownership`";
constexpr auto kStatement = std::chrono::seconds(30);
// The row, and the end of all that was registered in it.
constexpr auto kClaim = std::chrono::minutes(2);

Result<std::unique_ptr<MysqlSession>> Open(const Context& ctx, const DbServerAddress& address) {
  return MysqlSession::Open(ctx, address, {"", kStatement, {}});
}

base::Error Fenced(const std::string& oms) {
  return MakeError(Code::kFenced, crd::reason::kOwnedByAnother,
                   fmt::format("another process owns {} now; this one stops writing", oms));
}

// One thread with one session writes for all: requests that come while an UPDATE is under way go
// into the next one together. A dump of three databases registers two dozen connections within the
// same moment; as sessions of their own they would queue for the row's lock.
class RowFence final : public Fence {
 public:
  RowFence(DbServerAddress address, std::string oms, uint64_t epoch)
      : address_(std::move(address)), oms_(std::move(oms)), epoch_(epoch) {}

  // Registering twice is one entry.
  Status Register(const Context& ctx, const DbConnection& connection) override {
    OMS_TRY(ctx.Check());
    return Submit(ctx, {ConnectionLine(connection), true});
  }

  void Unregister(const DbConnection& connection) override {
    const base::SystemClock clock;
    const Context ctx = Context(clock, base::Logger()).WithTimeout(std::chrono::milliseconds(900));
    const auto ignored = Submit(ctx, {ConnectionLine(connection), false});
    static_cast<void>(ignored);
  }

 private:
  struct Change {
    std::string line;
    bool add;
  };
  struct Request {
    Change change;
    std::optional<Status> answer;  // Guarded by mutex_.
  };
  using Batch = std::vector<std::shared_ptr<Request>>;

  static constexpr size_t kMostAtOnce = 64;
  // How long "not now" is tried again. Servers end a login that takes longer than ten seconds.
  static constexpr auto kPatience = std::chrono::seconds(8);
  static constexpr auto kPause = std::chrono::milliseconds(50);
  // An unused session is closed after this.
  static constexpr auto kIdle = std::chrono::seconds(10);

  // Waits for the answer as long as ctx allows. A change that nobody waits for any more may still
  // be written: a line too many is a dead id.
  Status Submit(const Context& ctx, Change change) {
    const auto request = std::make_shared<Request>(Request{std::move(change), std::nullopt});
    std::unique_lock lock(mutex_);
    if (!started_) {
      started_ = true;
      group_.Start("registrar", [this](std::stop_token stop) { Run(stop); });
    }
    queue_.push_back(request);
    changed_.notify_all();
    const auto remaining = std::min<base::Duration>(ctx.Remaining(), std::chrono::hours(1));
    changed_.wait_for(lock, ctx.stop(), remaining, [&] { return request->answer.has_value(); });
    if (request->answer) return *request->answer;
    if (request->change.add) std::erase(queue_, request);
    lock.unlock();
    OMS_TRY(ctx.Check());
    return MakeError(
        Code::kTimeout, crd::reason::kMetaDbTimeout,
        fmt::format("MetaDB {}: registering a connection took too long", ServerName(address_)));
  }

  void Run(const std::stop_token& stop) {
    std::unique_ptr<MysqlSession> session;
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      const auto work = [&] { return !queue_.empty(); };
      if (session) {
        changed_.wait_for(lock, stop, kIdle, work);
      } else {
        changed_.wait(lock, stop, work);
      }
      if (queue_.empty()) {
        lock.unlock();
        session.reset();
        lock.lock();
        continue;
      }
      const auto end =
          queue_.begin() + static_cast<ptrdiff_t>(std::min(queue_.size(), kMostAtOnce));
      const Batch batch(queue_.begin(), end);
      queue_.erase(queue_.begin(), end);
      lock.unlock();
      const Status status = WriteOrSayWhy(stop, session, batch);
      lock.lock();
      for (const auto& request : batch) request->answer = status;
      changed_.notify_all();
    }
  }

  // What is thrown (no memory, no thread for a session) is an answer too: without one, whoever
  // waits would wait until his deadline, and without this thread all later ones as well.
  Status WriteOrSayWhy(const std::stop_token& stop, std::unique_ptr<MysqlSession>& session,
                       const Batch& batch) {
    try {
      return Write(stop, session, batch);
    } catch (const std::exception& e) {
      session.reset();
      return MakeError(Code::kTransient, crd::reason::kMetaDbError,
                       fmt::format("MetaDB {}: a connection could not be registered: {}",
                                   ServerName(address_), e.what()));
    }
  }

  // "Not now" is tried again: each change may be made twice.
  Status Write(const std::stop_token& stop, std::unique_ptr<MysqlSession>& session,
               const Batch& batch) {
    const base::SystemClock clock;
    const Context ctx =
        Context(clock, base::Logger()).WithStop(stop).WithTimeout(base::Duration(kPatience));
    while (true) {
      const Status status = WriteOnce(ctx, session, batch);
      if (!status.Is(Code::kTransient) || ctx.Remaining() <= base::Duration(kPause)) return status;
      std::mutex mutex;
      std::condition_variable_any never;
      std::unique_lock lock(mutex);
      never.wait_for(lock, stop, kPause, [] { return false; });
      if (stop.stop_requested()) return status;
    }
  }

  Status WriteOnce(const Context& ctx, std::unique_ptr<MysqlSession>& session, const Batch& batch) {
    if (session && session->dead()) session.reset();
    if (!session) {
      OMS_ASSIGN(session, Open(ctx, address_));
    }
    // Of several changes of one line the last one holds. So each line stands here once, and the
    // order of the terms does not matter.
    std::map<std::string, bool> changes;
    for (const auto& request : batch) changes[request->change.line] = request->change.add;
    std::string value = "connections", added;
    std::vector<SqlParam> params, added_params;
    for (const auto& [line, add] : changes) {
      if (add) {
        added += ", IF(INSTR(connections, ?) > 0, '', ?)";
        added_params.insert(added_params.end(), {line, line});
      } else {
        value = fmt::format("REPLACE({}, ?, '')", value);
        params.emplace_back(line);
      }
    }
    value = fmt::format("CONCAT({}{})", value, added);
    params.insert(params.end(), added_params.begin(), added_params.end());
    params.emplace_back(oms_);
    params.emplace_back(epoch_);
    const auto found = session->Execute(
        ctx,
        fmt::format("UPDATE {} SET connections = {} WHERE oms = ? AND epoch = ?", kTable, value),
        std::move(params));
    if (found.Is(Code::kNotFound)) return Fenced(oms_);  // The row's database is gone.
    if (!found.ok()) return found.error();
    return *found == 0 ? Status(Fenced(oms_)) : base::Ok();
  }

  const DbServerAddress address_;
  const std::string oms_;
  const uint64_t epoch_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::shared_ptr<Request>> queue_;  // Guarded by mutex_.
  bool started_ = false;                        // Guarded by mutex_.
  base::TaskGroup group_;
};

class MysqlOwnership final : public Ownership {
 public:
  MysqlOwnership(MetaDbs meta_dbs, base::Duration one_call)
      : meta_dbs_(std::move(meta_dbs)), one_call_(one_call) {}

  Result<std::optional<OwnershipRow>> Read(const Context& outer, const std::string& oms) override {
    const Context ctx = outer.WithTimeout(one_call_);
    OMS_ASSIGN(auto session, Open(ctx, meta_dbs_.rm().server->address()));
    return ReadRow(ctx, *session, oms);
  }

  Result<OwnershipRow> Claim(const Context& outer, const std::string& oms,
                             const std::optional<OwnershipRow>& seen, const Owner& owner,
                             const std::string& process, uint64_t first_epoch) override {
    const Context ctx = outer.WithTimeout(kClaim);
    OMS_ASSIGN(auto session, Open(ctx, meta_dbs_.rm().server->address()));
    const auto lost = [&] {
      return MakeError(Code::kConflict, crd::reason::kOwnershipChanged,
                       fmt::format("somebody else took {} at the same time", oms));
    };
    OMS_TRY(ctx.Check());
    if (seen) {
      OMS_ASSIGN(const uint64_t found,
                 session->Execute(ctx,
                                  fmt::format("UPDATE {} SET epoch = epoch + 1, owner_cluster = ?, "
                                              "owner_object = ?, process = ? "
                                              "WHERE oms = ? AND epoch = ?",
                                              kTable),
                                  {owner.cluster, owner.object, process, oms, seen->epoch}));
      if (found == 0) return lost();
    } else {
      OMS_TRY(MakeTable(ctx, *session));
      const auto inserted = session->Execute(
          ctx,
          fmt::format("INSERT INTO {} (oms, owner_cluster, owner_object, process, epoch, "
                      "operation_id, folder, folder_identity, connections) "
                      "VALUES (?, ?, ?, ?, ?, '', '', '', '')",
                      kTable),
          {oms, owner.cluster, owner.object, process, first_epoch});
      if (inserted.Is(Code::kAlreadyExists)) return lost();
      if (!inserted.ok()) return inserted.error();
    }
    // From here on nobody registers any more with an older epoch. Each statement is committed.
    OMS_ASSIGN(auto row, ReadRow(ctx, *session, oms));
    const uint64_t ours = seen ? seen->epoch + 1 : first_epoch;
    if (!row || row->epoch != ours || row->process != process) return lost();
    if (row->connections.empty()) return std::move(*row);

    // All are looked for, whatever name their server was dialled by: id, user and the client's
    // address tell them. What was dialled by a name that is none of ours may also be on yet another
    // server, so its entry stays.
    OMS_ASSIGN(const auto kept, meta_dbs_.EndConnections(ctx, row->connections));
    std::vector<DbConnection> elsewhere;
    std::string rest;
    // Whoever claims next must know them, too.
    for (const auto& reader : kept) {
      if (meta_dbs_.Knows(reader.server)) rest += ConnectionLine(reader);
    }
    for (const auto& connection : row->connections) {
      if (meta_dbs_.Knows(connection.server)) continue;
      elsewhere.push_back(connection);
      rest += ConnectionLine(connection);
    }
    OMS_ASSIGN(
        const uint64_t emptied,
        session->Execute(
            ctx, fmt::format("UPDATE {} SET connections = ? WHERE oms = ? AND epoch = ?", kTable),
            {rest, oms, ours}));
    if (emptied == 0) return lost();
    row->connections = std::move(elsewhere);
    return std::move(*row);
  }

  Status SetOperation(const Context& outer, const std::string& oms, uint64_t epoch,
                      const std::string& operation_id, const std::string& folder,
                      const std::string& folder_identity) override {
    const Context ctx = outer.WithTimeout(one_call_);
    OMS_ASSIGN(auto session, Open(ctx, meta_dbs_.rm().server->address()));
    OMS_TRY(ctx.Check());
    const auto found =
        session->Execute(ctx,
                         fmt::format("UPDATE {} SET operation_id = ?, folder = ?, "
                                     "folder_identity = ? WHERE oms = ? AND epoch = ?",
                                     kTable),
                         {operation_id, folder, folder_identity, oms, epoch});
    if (found.Is(Code::kNotFound)) return Fenced(oms);
    if (!found.ok()) return found.error();
    return *found == 0 ? Status(Fenced(oms)) : base::Ok();
  }

  Status Release(const Context& outer, const std::string& oms, uint64_t epoch) override {
    const Context ctx = outer.WithTimeout(one_call_);
    OMS_ASSIGN(auto session, Open(ctx, meta_dbs_.rm().server->address()));
    OMS_TRY(ctx.Check());
    const auto found = session->Execute(
        ctx,
        fmt::format("UPDATE {} SET owner_cluster = '', owner_object = '', process = '' "
                    "WHERE oms = ? AND epoch = ?",
                    kTable),
        {oms, epoch});
    if (found.Is(Code::kNotFound)) return base::Ok();
    if (!found.ok()) return found.error();
    if (*found > 0) return base::Ok();
    // Nothing was changed: free already, gone, or another's.
    OMS_ASSIGN(auto row, ReadRow(ctx, *session, oms));
    return row && (row->epoch != epoch || !row->Free()) ? Status(Fenced(oms)) : base::Ok();
  }

  std::shared_ptr<Fence> FenceFor(const std::string& oms, uint64_t epoch) override {
    return std::make_shared<RowFence>(meta_dbs_.rm().server->address(), oms, epoch);
  }

 private:
  static Status MakeTable(const Context& ctx, MysqlSession& session) {
    OMS_TRY(session.Execute(
        ctx,
        "CREATE DATABASE IF NOT EXISTS `oms_upgrade_controller` DEFAULT CHARACTER SET "
        "utf8mb4"));
    // `oms` is compared by its bytes; 190 characters fit every server's key.
    OMS_TRY(session.Execute(
        ctx, fmt::format("CREATE TABLE IF NOT EXISTS {} ("
                         "oms varchar(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, "
                         "owner_cluster varchar(128) NOT NULL, "
                         "owner_object varchar(512) NOT NULL, "
                         "process varchar(64) NOT NULL, "
                         "epoch bigint unsigned NOT NULL, "
                         "operation_id varchar(64) NOT NULL, "
                         "folder varchar(2048) NOT NULL, "
                         "folder_identity varchar(128) NOT NULL, "
                         "connections mediumtext NOT NULL, "
                         "PRIMARY KEY (oms)) DEFAULT CHARSET = utf8mb4",
                         kTable)));
    return base::Ok();
  }

  static Result<std::optional<OwnershipRow>> ReadRow(const Context& ctx, MysqlSession& session,
                                                     const std::string& oms) {
    auto rows = session.Query(ctx,
                              fmt::format("SELECT owner_cluster, owner_object, process, epoch, "
                                          "operation_id, folder, folder_identity, connections "
                                          "FROM {} WHERE oms = ?",
                                          kTable),
                              {oms});
    if (rows.Is(Code::kNotFound)) return std::optional<OwnershipRow>();
    if (!rows.ok()) return rows.error();
    if (rows->empty()) return std::optional<OwnershipRow>();
    const auto& columns = rows->at(0);
    const auto text = [&](size_t i) { return columns.at(i).value_or(""); };
    OwnershipRow row;
    row.owner = {text(0), text(1)};
    row.process = text(2);
    const std::string epoch = text(3);
    const auto [end, problem] =
        std::from_chars(epoch.data(), epoch.data() + epoch.size(), row.epoch);
    if (problem != std::errc() || end != epoch.data() + epoch.size()) {
      return MakeError(Code::kTransient, crd::reason::kMetaDbError,
                       fmt::format("the row of OMS '{}' has an epoch that is not a number", oms));
    }
    row.operation_id = text(4);
    row.folder = text(5);
    row.folder_identity = text(6);
    row.connections = ParseConnections(text(7));
    return std::optional<OwnershipRow>(std::move(row));
  }

  const MetaDbs meta_dbs_;
  const base::Duration one_call_;
};

}  // namespace

std::string ConnectionLine(const DbConnection& connection) {
  nlohmann::ordered_json json = {{"server", connection.server},
                                 {"id", connection.id},
                                 {"user", connection.user},
                                 {"address", connection.address},
                                 {"connected", connection.connected}};
  if (connection.reads) json["reads"] = true;
  return json.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::vector<DbConnection> ParseConnections(const std::string& text) {
  std::vector<DbConnection> connections;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto parsed = base::ParseJson(line);
    if (!parsed.ok() || !parsed->is_object()) continue;
    const auto& json = *parsed;
    const auto word = [&](const char* key) {
      const auto found = json.find(key);
      return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    const auto id = json.find("id");
    if (id == json.end() || !id->is_number_unsigned()) continue;
    DbConnection connection;
    connection.server = word("server");
    connection.id = id->get<uint64_t>();
    connection.user = word("user");
    connection.address = word("address");
    connection.connected = word("connected");
    const auto reads = json.find("reads");
    connection.reads = reads != json.end() && reads->is_boolean() && reads->get<bool>();
    connections.push_back(std::move(connection));
  }
  return connections;
}

std::shared_ptr<Ownership> MysqlOwnershipProvider::Open(MetaDbs meta_dbs) {
  return std::make_shared<MysqlOwnership>(std::move(meta_dbs), one_call_);
}

}  // namespace oms::drivers::mysql
