#include "reconcilers/drivers/mysql/mysql_session.h"

#include <cppconn/driver.h>
#include <cppconn/exception.h>
#include <cppconn/prepared_statement.h>
#include <cppconn/resultset.h>
#include <cppconn/resultset_metadata.h>
#include <cppconn/statement.h>
#include <fmt/format.h>
#include <mysql_driver.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/ca_file.h"
#include "reconcilers/drivers/mysql/mysql_wire.h"
#include "reconcilers/drivers/mysql/own_connections.h"

namespace oms::drivers::mysql {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

// How long a caller waits for the KILL that ends its blocked call.
constexpr auto kKillPatience = std::chrono::milliseconds(700);
constexpr int kConnectSeconds = 10;
// A login, with all its reads; the library's own limit is for one of them.
constexpr auto kOpenFor = std::chrono::seconds(30);
// What is read is small. A server that sends more, or does not end, is not listened to any longer.
constexpr size_t kMostBytes = 64u << 20;
constexpr size_t kBytesOfField = 40;  // Beside its text, in memory.
// Of one server, how many calls that nobody waits for any more may still be in the library.
constexpr int kMostLeftBehind = 8;
// How long the server lets a session be idle. Many servers are set to minutes.
constexpr int kIdleSeconds = 7 * 24 * 3600;

// Never destroyed, as the library's own instance would be at exit: a thread that is left behind
// with a silent server may still be in it then, which ended one process of fifty by a signal.
std::once_flag driver_once;
sql::Driver* driver = nullptr;

int Seconds(base::Duration duration) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(duration).count();
  return static_cast<int>(std::clamp<int64_t>(seconds, 1, 7 * 24 * 3600));
}

std::unique_ptr<sql::Connection> Dial(const ports::DbServerAddress& address,
                                      const MysqlSession::Options& options, int connect_seconds) {
  if (!MysqlWire::InPlace()) throw std::runtime_error("the client library is not the one expected");
  sql::ConnectOptionsMap map;
  if (options.socket.empty()) {
    map["hostName"] = sql::SQLString("tcp://" + address.host);
    map["port"] = address.port;
  } else {
    map["hostName"] = sql::SQLString("unix://" + options.socket);
  }
  map["userName"] = sql::SQLString(address.user);
  map["password"] = sql::SQLString(address.password.Reveal());
  map["OPT_CHARSET_NAME"] = sql::SQLString("utf8mb4");
  map["OPT_CONNECT_TIMEOUT"] = connect_seconds;
  map["OPT_READ_TIMEOUT"] = Seconds(options.statement_timeout) + 5;
  map["OPT_WRITE_TIMEOUT"] = 30;
  map["CLIENT_FOUND_ROWS"] = true;
  map["OPT_LOCAL_INFILE"] = 0;  // A server may ask its client for any file.
  if (!address.tls_ca.empty() &&
      options.socket.empty()) {  // Through the relay, TLS is the relay's.
    const auto ca = CaFile(address.tls_ca);
    if (!ca.ok()) throw std::runtime_error(ca.error().message);
    map["sslCA"] = sql::SQLString(*ca);
    map["sslEnforce"] = true;
    if (address.tls_verify) map["sslVerify"] = true;
  }
  // Through the relay too: it has TLS where this address has.
  MysqlWire::NextLogsIn(address.tls_ca.empty() ? MysqlWire::LogIn::kWithoutShowing
                                               : MysqlWire::LogIn::kAnyhow);
  return std::unique_ptr<sql::Connection>(driver->connect(map));
}

std::unique_ptr<sql::PreparedStatement> Prepare(sql::Connection& connection, const std::string& sql,
                                                const std::vector<SqlParam>& params) {
  std::unique_ptr<sql::PreparedStatement> statement(connection.prepareStatement(sql));
  unsigned index = 0;
  for (const auto& param : params) {
    ++index;
    if (const auto* text = std::get_if<std::string>(&param)) {
      statement->setString(index, *text);
    } else if (const auto* number = std::get_if<uint64_t>(&param)) {
      statement->setUInt64(index, *number);
    } else {
      statement->setInt64(index, std::get<int64_t>(param));
    }
  }
  return statement;
}

struct TooMuch final : std::runtime_error {
  TooMuch() : std::runtime_error(fmt::format("more than {} MiB", kMostBytes >> 20)) {}
};

// The results are read row by row: the library would store all of them first.
SqlRows Fetch(const MysqlWire& wire, sql::ResultSet& results) {
  SqlRows rows;
  const unsigned columns = results.getMetaData()->getColumnCount();
  size_t bytes = 0;
  while (results.next()) {
    auto& row = rows.emplace_back();
    row.reserve(columns);
    bytes += kBytesOfField;
    for (unsigned i = 1; i <= columns; ++i) {
      if (results.isNull(i)) {
        row.emplace_back(std::nullopt);
      } else {
        const auto value = results.getString(i);
        row.emplace_back(std::string(value.c_str(), value.length()));
        bytes += value.length();
      }
      bytes += kBytesOfField;
    }
    if (bytes > kMostBytes) {
      // What is still to come would be read to its end before it is let go.
      if (const base::Fd socket = wire.CopySocket(); socket.valid())
        shutdown(socket.get(), SHUT_RDWR);
      throw TooMuch();
    }
  }
  // Connector/C++ takes an error for the end of them.
  if (const unsigned number = wire.error(); number != 0) {
    throw sql::SQLException(wire.error_text(), "HY000", static_cast<int>(number));
  }
  return rows;
}

// As a text that means the same under any sql_mode; a number as it is.
std::string Literal(const SqlParam& param) {
  if (const auto* number = std::get_if<uint64_t>(&param)) return fmt::format("{}", *number);
  if (const auto* number = std::get_if<int64_t>(&param)) return fmt::format("{}", *number);
  std::string literal = "_utf8mb4 x'";
  for (const char c : std::get<std::string>(param)) {
    literal += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return literal + "'";
}

// Each '?' outside of a quoted text is the next of them. Of a prepared statement the library stores
// all rows before it gives the first one.
std::string WithParams(const std::string& sql, const std::vector<SqlParam>& params) {
  std::string text;
  char quote = 0;
  size_t next = 0;
  for (const char c : sql) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"' || c == '`') {
      quote = c;
    } else if (c == '?') {
      text += Literal(params.at(next++));
      continue;
    }
    text += c;
  }
  return text;
}

SqlRows RunQuery(sql::Connection& connection, const MysqlWire& wire, const std::string& sql,
                 const std::vector<SqlParam>& params) {
  const std::unique_ptr<sql::Statement> statement(connection.createStatement());
  statement->setResultSetType(sql::ResultSet::TYPE_FORWARD_ONLY);
  const std::unique_ptr<sql::ResultSet> results(
      statement->executeQuery(params.empty() ? sql : WithParams(sql, params)));
  return Fetch(wire, *results);
}

uint64_t RunUpdate(sql::Connection& connection, const MysqlWire& wire, const std::string& sql,
                   const std::vector<SqlParam>& params) {
  if (params.empty()) {
    const std::unique_ptr<sql::Statement> statement(connection.createStatement());
    statement->setResultSetType(sql::ResultSet::TYPE_FORWARD_ONLY);
    if (statement->execute(sql)) {  // It has rows; they must be taken off the wire.
      const std::unique_ptr<sql::ResultSet> results(statement->getResultSet());
      (void)Fetch(wire, *results);
      return 0;
    }
    return statement->getUpdateCount();
  }
  auto statement = Prepare(connection, sql, params);
  const int found = statement->executeUpdate();
  return found < 0 ? 0 : static_cast<uint64_t>(found);
}

// The calls to each server that are in the library still, and that nobody waits for. A server that
// sends a byte now and then keeps them for as long as it likes; it shall not keep any number.
class LeftBehind {
 public:
  static int Count(const std::string& server) {
    const std::lock_guard lock(Mutex());
    const auto found = Counts().find(server);
    return found == Counts().end() ? 0 : found->second;
  }
  static void Add(const std::string& server) {
    const std::lock_guard lock(Mutex());
    ++Counts()[server];
  }
  static void Remove(const std::string& server) {
    const std::lock_guard lock(Mutex());
    if (--Counts()[server] <= 0) Counts().erase(server);
  }

 private:
  // Never destroyed: a thread that is left behind outlives what static objects do.
  static std::mutex& Mutex() {
    static auto* mutex = new std::mutex;
    return *mutex;
  }
  static std::map<std::string, int>& Counts() {
    static auto* counts = new std::map<std::string, int>;
    return *counts;
  }
};

// Ends a connection whose caller has gone away. Its own thread, because the server may be silent.
void KillInBackground(const ports::DbServerAddress& address, uint64_t id) {
  const std::string server = ServerName(address);
  if (LeftBehind::Count(server) >= kMostLeftBehind) return;
  LeftBehind::Add(server);
  std::thread([address, id, server] {
    driver->threadInit();
    try {
      MysqlSession::Options options;
      options.statement_timeout = std::chrono::seconds(1);
      auto connection = Dial(address, options, 2);
      std::unique_ptr<sql::Statement> statement(connection->createStatement());
      statement->execute(fmt::format("KILL {}", id));
    } catch (const std::exception&) {
      // The server is away, or the connection is: either way there is nobody to tell.
    }
    driver->threadEnd();
    LeftBehind::Remove(server);
  }).detach();
}

}  // namespace

void InitMysql() {
  std::call_once(driver_once, [] {
    MysqlWire::Init(kMostBytes);
    driver = new sql::mysql::MySQL_Driver;
  });
}

// Shared by the session and its thread, which may outlive the session.
struct MysqlSession::Worker {
  ports::DbServerAddress address;
  Options options;

  std::mutex mutex;  // Guards the seven below.
  std::condition_variable_any changed;
  std::function<void()> job;
  bool busy = false;
  bool quit = false;
  bool dead = false;
  bool left_behind = false;  // Counted; nobody waits for the job any more.
  base::Fd socket;           // A copy of the connection's, to end what the library waits for.

  std::thread thread;
  // The worker thread's alone.
  std::unique_ptr<sql::Connection> connection;
  MysqlWire wire;

  // Written by the opening job, read by the caller after it.
  uint64_t id = 0;
  std::string version;
  bool oceanbase = false;

  static void Loop(const std::shared_ptr<Worker>& self) {
    pthread_setname_np(pthread_self(), "mysql");
    driver->threadInit();
    std::unique_lock lock(self->mutex);
    while (true) {
      self->changed.wait(lock, [&] { return self->quit || self->job; });
      if (!self->job) break;
      auto job = std::exchange(self->job, nullptr);
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
      self->busy = false;
      self->changed.notify_all();
    }
    const base::Fd socket = std::move(self->socket);
    lock.unlock();
    try {
      self->connection.reset();
    } catch (const std::exception&) {
    }
    if (self->id != 0) OwnConnections::Remove(ServerName(self->address), self->id);
    driver->threadEnd();
    if (self->left_behind) LeftBehind::Remove(ServerName(self->address));
  }

  base::Error ErrorOf(int number, const std::string& words) const {
    const std::string server = ServerName(address);
    const bool logs_in = id == 0, plainly = address.tls_ca.empty();
    if (logs_in && plainly && number == MysqlWire::kPluginRefused) {
      return WouldShowPassword(
          server, fmt::format("it asks for a plug-in other than {}", kScramblingPlugins));
    }
    auto error = Classify(number, WithoutSecret(words, address.password.Reveal()), server);
    if (logs_in && plainly && number == 1045) {
      error.message +=
          ". Without TLS the password itself is never sent: if this server asks for it, as MySQL "
          "does with caching_sha2_password, set spec.metaDB.connect.tls";
    }
    return error;
  }

  // Runs `work` on the thread; its answer, or why nobody waited for it.
  template <typename T>
  Result<T> Run(const std::shared_ptr<Worker>& self, const Context& ctx, std::function<T()> work) {
    OMS_TRY(ctx.Check());
    const auto answer = std::make_shared<std::optional<Result<T>>>();
    std::unique_lock lock(mutex);
    if (dead) {
      return MakeError(Code::kTransient, crd::reason::kMetaDbUnreachable,
                       fmt::format("MetaDB {}: this connection has ended", ServerName(address)));
    }
    busy = true;
    job = [self, answer, work = std::move(work)] {
      try {
        answer->emplace(work());
      } catch (const sql::SQLException& e) {
        // Over TLS a KILL shows as 2026, "unexpected eof" (measured), once the session stands.
        int number = e.getErrorCode();
        if (number == 2026 && self->id != 0) number = 2013;
        auto error = self->ErrorOf(number, e.what());
        if (error.reason == crd::reason::kMetaDbUnreachable || !self->connection) {
          const std::lock_guard guard(self->mutex);
          self->dead = true;
        }
        answer->emplace(std::move(error));
      } catch (const TooMuch& e) {
        if (self->id != 0) KillInBackground(self->address, self->id);
        const std::lock_guard guard(self->mutex);
        self->dead = true;
        answer->emplace(MakeError(Code::kTerminal, crd::reason::kMetaDbError,
                                  fmt::format("MetaDB {}: the result of one query is {}",
                                              ServerName(self->address), e.what())));
      } catch (const std::exception& e) {
        const std::lock_guard guard(self->mutex);
        self->dead = true;
        answer->emplace(MakeError(Code::kTransient, crd::reason::kMetaDbError,
                                  WithoutSecret(e.what(), self->address.password.Reveal())));
      }
    };
    changed.notify_all();
    const auto finished = [&] { return !busy; };
    const auto remaining = std::min<base::Duration>(ctx.Remaining(), std::chrono::hours(24 * 7));
    changed.wait_for(lock, ctx.stop(), remaining, finished);
    if (busy) {
      dead = true;
      if (id != 0) {
        KillInBackground(address, id);
        changed.wait_for(lock, kKillPatience, finished);
      }
      if (busy && socket.valid()) {
        shutdown(socket.get(), SHUT_RDWR);
        changed.wait_for(lock, kKillPatience, finished);
      }
      if (busy && !left_behind) {
        left_behind = true;
        LeftBehind::Add(ServerName(address));
      }
      const std::string what =
          fmt::format("MetaDB {}: the call was still running", ServerName(address));
      // The statement may have ended in that instant. Whoever asked has gone away all the same.
      if (ctx.Stopped()) return MakeError(Code::kCancelled, crd::inner_reason::kCancelled, what);
      return MakeError(Code::kTimeout, crd::reason::kMetaDbTimeout, what);
    }
    return std::move(**answer);
  }
};

MysqlSession::MysqlSession(std::shared_ptr<Worker> worker) : worker_(std::move(worker)) {}

MysqlSession::~MysqlSession() {
  std::unique_lock lock(worker_->mutex);
  worker_->quit = true;
  const bool left_behind = worker_->busy;
  worker_->changed.notify_all();
  lock.unlock();
  if (left_behind) {
    worker_->thread.detach();
  } else {
    worker_->thread.join();
  }
}

Result<std::unique_ptr<MysqlSession>> MysqlSession::Open(const Context& outer,
                                                         const ports::DbServerAddress& address,
                                                         const Options& options) {
  const Context ctx = outer.WithTimeout(kOpenFor);
  OMS_TRY(ctx.Check());
  if (driver == nullptr) {
    return MakeError(Code::kInternal, "InitMysql() was not called");
  }
  if (!options.database.empty()) OMS_TRY(CheckIdentifier(options.database));
  // The library takes a path, and asks for it once more when it dials.
  if (!address.tls_ca.empty() && options.socket.empty()) OMS_TRY(CaFile(address.tls_ca));
  if (LeftBehind::Count(ServerName(address)) >= kMostLeftBehind) {
    return MakeError(
        Code::kTransient, crd::reason::kMetaDbUnreachable,
        fmt::format(
            "MetaDB {}: {} earlier calls to it have not finished yet; it answers too slowly",
            ServerName(address), kMostLeftBehind));
  }
  const auto worker = std::make_shared<Worker>();
  worker->address = address;
  worker->options = options;
  try {
    worker->thread = std::thread([worker] { Worker::Loop(worker); });
  } catch (const std::system_error& e) {
    return MakeError(
        Code::kTransient, crd::reason::kMetaDbError,
        fmt::format("MetaDB {}: no thread for a connection: {}", ServerName(address), e.what()));
  }
  std::unique_ptr<MysqlSession> session(new MysqlSession(worker));
  const int connect_seconds = std::min(kConnectSeconds, Seconds(ctx.Remaining()));
  OMS_TRY(worker->Run<base::Unit>(worker, ctx, [worker, connect_seconds] {
    worker->connection = Dial(worker->address, worker->options, connect_seconds);
    auto& connection = *worker->connection;
    auto& wire = worker->wire = MysqlWire::Last();
    if (!wire.known()) throw std::runtime_error("the client library is not the one expected");
    {
      const std::lock_guard lock(worker->mutex);
      worker->socket = wire.CopySocket();
    }
    const auto rows = RunQuery(connection, wire, "SELECT CONNECTION_ID(), VERSION()", {});
    worker->id = std::stoull(rows.at(0).at(0).value_or("0"));
    OwnConnections::Add(ServerName(worker->address), worker->id);
    worker->version = rows.at(0).at(1).value_or("");
    worker->oceanbase = worker->version.find("OceanBase") != std::string::npos;
    std::string set = fmt::format(
        "SET sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00', autocommit = 1, "
        "wait_timeout = {}",
        kIdleSeconds);
    if (worker->oceanbase) {
      const auto micros =
          std::chrono::duration_cast<std::chrono::microseconds>(worker->options.statement_timeout)
              .count();
      // The library sets REPEATABLE READ, under which a write that meets another one of the same
      // row is refused here (6235, measured) where every other server waits.
      set += fmt::format(
          ", ob_query_timeout = {0}, ob_trx_timeout = {0}, tx_isolation = 'READ-COMMITTED'",
          micros);
    }
    RunUpdate(connection, wire, set, {});
    // Only now: whoever looks for foreign users of the database meanwhile knows this one already.
    if (!worker->options.database.empty()) {
      RunUpdate(connection, wire, "USE " + Quote(worker->options.database), {});
    }
    return base::Unit{};
  }));
  return session;
}

uint64_t MysqlSession::id() const { return worker_->id; }
const std::string& MysqlSession::version() const { return worker_->version; }
bool MysqlSession::oceanbase() const { return worker_->oceanbase; }

bool MysqlSession::dead() const {
  const std::lock_guard lock(worker_->mutex);
  return worker_->dead;
}

Result<SqlRows> MysqlSession::Query(const Context& ctx, std::string_view sql,
                                    std::vector<SqlParam> params) {
  return worker_->Run<SqlRows>(
      worker_, ctx, [worker = worker_, sql = std::string(sql), params = std::move(params)] {
        return RunQuery(*worker->connection, worker->wire, sql, params);
      });
}

Result<uint64_t> MysqlSession::Execute(const Context& ctx, std::string_view sql,
                                       std::vector<SqlParam> params) {
  return worker_->Run<uint64_t>(
      worker_, ctx, [worker = worker_, sql = std::string(sql), params = std::move(params)] {
        return RunUpdate(*worker->connection, worker->wire, sql, params);
      });
}

Result<std::optional<std::string>> MysqlSession::Scalar(const Context& ctx, std::string_view sql,
                                                        std::vector<SqlParam> params) {
  OMS_ASSIGN(auto rows, Query(ctx, sql, std::move(params)));
  if (rows.empty() || rows[0].empty()) return std::optional<std::string>();
  return std::move(rows[0][0]);
}

Result<ports::DbConnection> MysqlSession::Describe(const Context& ctx) {
  ports::DbConnection connection;
  connection.server = ServerName(worker_->address);
  connection.id = id();
  connection.connected = base::FormatTime(ctx.clock().Wall());
  OMS_ASSIGN(auto rows, Query(ctx,
                              "SELECT user, host FROM information_schema.processlist "
                              "WHERE id = CONNECTION_ID()"));
  connection.user = worker_->address.user;
  if (!rows.empty()) {
    connection.user = rows[0][0].value_or(connection.user);
    connection.address = rows[0][1].value_or("");
  }
  return connection;
}

Status MysqlSession::Kill(const Context& ctx, uint64_t victim) {
  return End(ctx, fmt::format("KILL {}", victim));
}

Status MysqlSession::KillQuery(const Context& ctx, uint64_t victim) {
  return End(ctx, fmt::format("KILL QUERY {}", victim));
}

Status MysqlSession::End(const Context& ctx, const std::string& statement) {
  const auto killed = Execute(ctx, statement);
  if (!killed.ok() && !killed.Is(Code::kNotFound)) return killed.error();
  return base::Ok();
}

}  // namespace oms::drivers::mysql
