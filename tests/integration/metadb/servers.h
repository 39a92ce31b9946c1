// The real servers of `eval "$(hack/devenv.sh env)"` after `up --metadb both`, and what the tests
// of this folder share. A server that is not there is a failure, not a skip.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "reconcilers/drivers/mysql/mysql_metadb.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/ports/meta_db.h"

namespace oms::drivers {

enum class ServerKind { kOceanBase, kMariaDb, kMariaDbTls };

class OnServer : public ::testing::TestWithParam<ServerKind> {
 protected:
  void SetUp() override;
  void TearDown() override;

  bool IsOceanBase() const { return GetParam() == ServerKind::kOceanBase; }
  // A new empty database, dropped at the end of the test.
  std::string NewDatabase();
  // The name alone; dropped at the end if somebody made it.
  std::string NewDatabaseName();

  // Statements of the test itself; a failure is the test's.
  void Sql(const std::string& statement);
  // As the server's root, whose password lies beside the client's defaults file. For users: the
  // tests' own user may grant nothing.
  void RootSql(const std::string& statement);
  std::string One(const std::string& query);
  std::unique_ptr<mysql::MysqlSession> Session(const std::string& database = "");
  // A server of the other kind, for what lies on two.
  static ports::DbServerAddress AddressOf(ServerKind kind);
  ports::DbServerAddress OtherAddress() const {
    return AddressOf(IsOceanBase() ? ServerKind::kMariaDb : ServerKind::kOceanBase);
  }

  base::SystemClock clock_;
  base::Context ctx_{clock_, base::Logger()};
  ports::DbServerAddress address_;
  ports::MetaDb meta_db_;

 private:
  std::unique_ptr<mysql::MysqlSession> session_;
  std::vector<std::string> databases_;
};

// Lets everybody through; remembers.
class CountingFence : public ports::Fence {
 public:
  base::Status Register(const base::Context&, const ports::DbConnection& connection) override;
  void Unregister(const ports::DbConnection& connection) override;
  std::vector<ports::DbConnection> Now() const;
  int registered() const;
  bool closed = false;  // Then everybody is kFenced.

 private:
  mutable std::mutex mutex_;
  int registered_ = 0;
  std::vector<ports::DbConnection> now_;
};

// The command line client as a process of its own that gets rows and takes less of them than there
// are, as one whose owner is frozen does.
class UnreadClient {
 public:
  // `way`: the options that lead to the server.
  UnreadClient(std::vector<std::string> way, const ports::DbServerAddress& address,
               const std::string& statement);
  ~UnreadClient();
  UnreadClient(const UnreadClient&) = delete;
  UnreadClient& operator=(const UnreadClient&) = delete;
  // Rows came, and fill all that it takes.
  bool Waits() const;
  void Kill();

 private:
  int unread_[2] = {-1, -1};
  pid_t child_ = -1;
};

// Of a file.
std::string TextOf(const std::string& path);

// Looks every 10 ms, for at most ten seconds.
bool Eventually(const std::function<bool()>& holds);

std::string KindName(const ::testing::TestParamInfo<ServerKind>& info);

}  // namespace oms::drivers
