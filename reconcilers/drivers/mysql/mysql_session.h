// MysqlSession: one connection to a MySQL-compatible server. mysql_session.cc is the only file that
// includes Connector/C++.
//
// How a blocked call ends. The library blocks in its own reads, and its read timeouts end the
// connection without stopping the statement (measured: an ALTER runs on after 2013). So each
// session has a worker thread that makes the library's calls, and the caller waits for it, for the
// context's stop and for its deadline. When the context ends first, the connection is KILLed from
// a second one, the caller waits for that at most 700 ms, and goes away with kCancelled or kTimeout
// in any case; the connection's socket is shut down then, which ends what the library waits for.
// While it logs in there is none to be had: a worker that a server holds in there, silent or byte
// by byte, is left behind. Of one server at most eight are, and no call to it is begun until one of
// them has ended.
// The outcome of a write that ended so is unknown. After that, and after 2006 or 2013, the session
// is dead: every later call fails at once. It never reconnects by itself.
//
// A session is set to utf8mb4, a fixed sql_mode, time_zone +00:00 and a wait_timeout of a week, and
// on OceanBase to ob_query_timeout and ob_trx_timeout (10 s is that server's default and cuts a
// long read in its middle) and READ COMMITTED (the library asks for REPEATABLE READ, and two
// UPDATEs of one row at the same time then fail with 6235).
//
// Errors: see Classify(). No text holds the password. Not thread-safe: one caller at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/mysql/sql_words.h"
#include "reconcilers/ports/meta_db.h"

namespace oms::drivers::mysql {

// Fetches the library's driver. Once, in main(), before any thread: the library's own first call
// is not thread-safe (measured: concurrent ones crash). Later calls do nothing.
void InitMysql();

using SqlParam = std::variant<std::string, uint64_t, int64_t>;
using SqlRow = std::vector<std::optional<std::string>>;  // nullopt: NULL.
using SqlRows = std::vector<SqlRow>;

class MysqlSession {
 public:
  struct Options {
    std::string database;  // Empty: none. Validated.
    // The longest that one statement may take: read timeout, ob_query_timeout.
    base::Duration statement_timeout = std::chrono::seconds(60);
    std::string socket;  // A unix socket to dial in place of host and port (the relay's).
  };

  static base::Result<std::unique_ptr<MysqlSession>> Open(const base::Context& ctx,
                                                          const ports::DbServerAddress& address,
                                                          const Options& options);
  ~MysqlSession();
  MysqlSession(const MysqlSession&) = delete;
  MysqlSession& operator=(const MysqlSession&) = delete;

  // CONNECTION_ID(), the server's version() and whether that names OceanBase.
  uint64_t id() const;
  const std::string& version() const;
  bool oceanbase() const;
  bool dead() const;
  // This connection as the process list shows it: what the fence wants to know.
  base::Result<ports::DbConnection> Describe(const base::Context& ctx);

  // Rows in memory: for small answers. More than 64 MiB is kTerminal "MetaDBError", and the session
  // is dead then. Each '?' is a parameter.
  base::Result<SqlRows> Query(const base::Context& ctx, std::string_view sql,
                              std::vector<SqlParam> params = {});
  // Rows that the statement found (not: changed).
  base::Result<uint64_t> Execute(const base::Context& ctx, std::string_view sql,
                                 std::vector<SqlParam> params = {});
  // The first column of the first row; nullopt: no row, or NULL.
  base::Result<std::optional<std::string>> Scalar(const base::Context& ctx, std::string_view sql,
                                                  std::vector<SqlParam> params = {});
  // KILL id, right on the wire. A connection that is gone already is success.
  base::Status Kill(const base::Context& ctx, uint64_t victim);
  // Ends its statement alone, as soon as the server looks at that; does not wait.
  base::Status KillQuery(const base::Context& ctx, uint64_t victim);

 private:
  base::Status End(const base::Context& ctx, const std::string& statement);
  struct Worker;
  explicit MysqlSession(std::shared_ptr<Worker> worker);

  std::shared_ptr<Worker> worker_;
};

}  // namespace oms::drivers::mysql
