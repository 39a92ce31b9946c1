// What the three ports of a server have in common: how they open their sessions, to look and to
// write, and how they list what a database holds.
#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/ports/meta_db.h"

namespace oms::drivers::mysql {

// Looking is quick; reading all rows, or DDL on a big table, is not.
inline constexpr auto kShort = std::chrono::seconds(30);
inline constexpr auto kLong = std::chrono::hours(12);
// Of one proof as a whole: the connections and probe databases of it.
inline constexpr auto kProve = std::chrono::minutes(2);
// How long a connection that was killed may stay in the process list.
inline constexpr auto kKillDeadline = std::chrono::seconds(15);
inline constexpr auto kPoll = std::chrono::milliseconds(50);

// 0 where it is none, or none that fits.
template <typename T = uint64_t>
T Number(const std::optional<std::string>& text) {
  T number = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

// A session of one call, so what the call's deadline leaves bounds its statements on the server as
// well: what nobody waits for any more shall not run on there.
base::Result<std::unique_ptr<MysqlSession>> OpenFor(const base::Context& ctx,
                                                    const ports::DbServerAddress& address,
                                                    const std::string& database = "",
                                                    base::Duration timeout = kShort);

// A registered session. Leaves the fence's list when it ends, but not if its connection broke or
// was given up: then a statement of it may still run.
struct Writer {
  Writer() = default;
  Writer(Writer&&) = default;
  Writer& operator=(Writer&&) = delete;
  ~Writer() {
    if (!session) return;
    const bool in_doubt = session->dead();
    session.reset();
    if (fence != nullptr && !in_doubt) fence->Unregister(connection);
  }
  MysqlSession* operator->() const { return session.get(); }

  std::unique_ptr<MysqlSession> session;
  ports::Fence* fence = nullptr;
  ports::DbConnection connection;
};

base::Result<Writer> OpenWriter(const base::Context& ctx, const ports::DbServerAddress& address,
                                ports::Fence& fence, MysqlSession::Options options);

// A server that cannot rename two tables in one statement, in its own words.
base::Error NoTwoTableRename(const base::Error& refused);

struct DatabaseCharset {
  std::string charset, collation;
};
// kNotFound: no such database.
base::Result<DatabaseCharset> CharsetOf(const base::Context& ctx, MysqlSession& session,
                                        const std::string& database);

// What `sql` lists of the database that its one parameter names; sorted.
base::Result<std::vector<std::string>> Names(const base::Context& ctx, MysqlSession& session,
                                             const std::string& sql, const std::string& database);
base::Result<std::vector<std::string>> Tables(const base::Context& ctx, MysqlSession& session,
                                              const std::string& database);
base::Result<std::vector<std::string>> Views(const base::Context& ctx, MysqlSession& session,
                                             const std::string& database);
base::Result<std::vector<std::string>> Triggers(const base::Context& ctx, MysqlSession& session,
                                                const std::string& database);
// `kind`: procedure or function.
base::Result<std::vector<std::string>> Routines(const base::Context& ctx, MysqlSession& session,
                                                const std::string& database, std::string_view kind);

}  // namespace oms::drivers::mysql
