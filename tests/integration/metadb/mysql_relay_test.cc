#include "reconcilers/drivers/mysql/mysql_relay.h"

#include <atomic>
#include <functional>
#include <optional>
#include <thread>

#include "tests/integration/metadb/servers.h"

namespace oms::drivers {
namespace {

using namespace std::chrono_literals;
using base::Code;

class MysqlRelayTest : public OnServer {
 protected:
  // As OMS logs in to a tenant of OceanBase: with more than the process list shows.
  ports::DbServerAddress WithTenant() const {
    auto address = address_;
    if (IsOceanBase()) address.user += "@sys";
    return address;
  }
  std::unique_ptr<mysql::MysqlRelay> Relay(const ports::DbServerAddress& address,
                                           ports::Fence& fence,
                                           mysql::RelayUse use = mysql::RelayUse::kWrite) {
    auto relay = mysql::MysqlRelay::Start(ctx_, address, use, fence, nullptr);
    EXPECT_TRUE(relay.ok()) << relay.error().message;
    return relay.ok() ? *std::move(relay) : nullptr;
  }
  base::Result<std::unique_ptr<mysql::MysqlSession>> Through(
      const mysql::MysqlRelay& relay, const ports::DbServerAddress& address) {
    mysql::MysqlSession::Options options;
    options.socket = relay.socket_path();
    return mysql::MysqlSession::Open(ctx_, address, options);
  }
  std::string Listed(uint64_t id, const std::string& what = "COUNT(*)",
                     const std::string& and_also = "") {
    return One("SELECT " + what +
               " FROM information_schema.processlist WHERE id = " + std::to_string(id) + and_also);
  }
};
INSTANTIATE_TEST_SUITE_P(Servers, MysqlRelayTest,
                         ::testing::Values(ServerKind::kOceanBase, ServerKind::kMariaDb,
                                           ServerKind::kMariaDbTls),
                         KindName);

TEST_P(MysqlRelayTest, RegistersTheConnectionAsTheProcessListShowsIt) {
  CountingFence fence;
  const auto relay = Relay(WithTenant(), fence);
  auto session = Through(*relay, WithTenant());
  ASSERT_TRUE(session.ok()) << session.error().message;
  ASSERT_EQ(fence.Now().size(), 1U);
  const auto id = (*session)->id();
  EXPECT_EQ(fence.Now()[0].id, id);
  EXPECT_EQ(fence.Now()[0].user, Listed(id, "user"));
  EXPECT_EQ(fence.Now()[0].address, Listed(id, "host"));
  EXPECT_EQ(fence.registered(), 2) << "before the first byte, and again after the login";
  (*session).reset();
  EXPECT_TRUE(Eventually([&] { return fence.Now().empty(); }));
}

TEST_P(MysqlRelayTest, WhatIsRegisteredIsWhatATakeOverEnds) {
  CountingFence fence;
  const auto relay = Relay(WithTenant(), fence);
  auto session = Through(*relay, WithTenant());
  ASSERT_TRUE(session.ok()) << session.error().message;
  const auto id = (*session)->id();
  const auto ended = meta_db_.connections->EndConnections(ctx_, fence.Now());
  ASSERT_TRUE(ended.ok()) << ended.error().message;
  EXPECT_EQ(Listed(id), "0");
  EXPECT_FALSE((*session)->Query(ctx_, "SELECT 1").ok());

  // A claim while it logs in knows it by the login's name alone.
  auto next = Through(*relay, WithTenant());
  ASSERT_TRUE(next.ok());
  ports::DbConnection early;
  early.server = mysql::ServerName(address_);
  early.id = (*next)->id();
  early.user = WithTenant().user;
  ASSERT_TRUE(meta_db_.connections->EndConnections(ctx_, {early}).ok());
  EXPECT_EQ(Listed((*next)->id()), "0");
}

TEST_P(MysqlRelayTest, AnIdleSessionOfItsOwnThatTheServerHasEndedIsReplaced) {
  const std::string user = "it_" + base::RandomId().substr(0, 8);
  RootSql("CREATE USER '" + user + "'@'%' IDENTIFIED BY 'a-password'");
  RootSql("GRANT ALL PRIVILEGES ON *.* TO '" + user + "'@'%'");
  auto address = address_;
  address.user = user;
  address.password = base::Secret("a-password");
  CountingFence fence;
  const auto relay = Relay(address, fence);
  const auto first = Through(*relay, address);
  ASSERT_TRUE(first.ok()) << first.error().message;
  const std::string idle = " FROM information_schema.processlist WHERE user = '" + user +
                           "' AND id <> " + std::to_string((*first)->id());
  ASSERT_EQ(One("SELECT COUNT(*)" + idle), "1");
  RootSql("KILL " + One("SELECT id" + idle));
  EXPECT_TRUE(Eventually([&] { return One("SELECT COUNT(*)" + idle) == "0"; }));
  const auto second = Through(*relay, address);
  EXPECT_TRUE(second.ok()) << second.error().message;
  EXPECT_TRUE(relay->Health().ok()) << relay->Health().error().message;
  RootSql("DROP USER '" + user + "'@'%'");
}

// Remembers whether the server still had the connection when it left the list.
class LookingFence final : public CountingFence {
 public:
  explicit LookingFence(std::function<bool(uint64_t)> listed) : listed_(std::move(listed)) {}
  void Unregister(const ports::DbConnection& connection) override {
    if (!connection.address.empty() && listed_(connection.id)) left_running = true;
    CountingFence::Unregister(connection);
  }
  base::Status Register(const base::Context& ctx, const ports::DbConnection& connection) override {
    if (!first) first = connection;
    return CountingFence::Register(ctx, connection);
  }
  std::atomic<bool> left_running = false;
  std::optional<ports::DbConnection> first;

 private:
  const std::function<bool(uint64_t)> listed_;
};

TEST_P(MysqlRelayTest, AChildThatDiesWhileRowsFlowToItLeavesNothingRunning) {
  if (IsOceanBase()) return;  // It sends no row of a UNION before it has all of them.
  LookingFence fence([&](uint64_t id) { return Listed(id) != "0"; });
  const auto relay = Relay(address_, fence);
  // More than the child takes, less than what lies between it and the server; then the server is
  // busy for long, without a look at the connection.
  const std::string statement =
      "SELECT REPEAT('x', 1000000) UNION ALL SELECT REPEAT('y', 500000) UNION ALL SELECT SLEEP(60)";
  UnreadClient child({"--protocol=socket", "--socket=" + relay->socket_path()}, address_,
                     statement);
  EXPECT_TRUE(Eventually([&] {
    const auto now = fence.Now();
    return now.size() == 1 && Listed(now[0].id, "state") == "User sleep";
  }));
  child.Kill();
  EXPECT_TRUE(Eventually([&] { return fence.Now().empty(); }));
  EXPECT_FALSE(fence.left_running);
}

TEST_P(MysqlRelayTest, TheServerItselfRefusesAReaderEveryWrite) {
  LookingFence fence([](uint64_t) { return false; });
  const auto relay = Relay(WithTenant(), fence, mysql::RelayUse::kRead);
  auto session = Through(*relay, WithTenant());
  ASSERT_TRUE(session.ok()) << session.error().message;
  ASSERT_EQ(fence.Now().size(), 1U);
  EXPECT_TRUE(fence.Now()[0].reads);
  EXPECT_FALSE(fence.first->reads) << "it was no reader before the server knew of it";
  const std::string database = NewDatabaseName();
  EXPECT_FALSE((*session)->Execute(ctx_, "CREATE DATABASE " + database).ok());
  EXPECT_EQ(One("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '" +
                database + "'"),
            "0");
  EXPECT_EQ((*session)->Scalar(ctx_, "SELECT 7").value(), "7");
}

TEST_P(MysqlRelayTest, AnEndOfTheRelayEndsItsConnectionsOnTheServer) {
  CountingFence fence;
  auto relay = mysql::MysqlRelay::Start(ctx_, address_, mysql::RelayUse::kWrite, fence, nullptr);
  ASSERT_TRUE(relay.ok());
  mysql::MysqlSession::Options options;
  options.socket = (*relay)->socket_path();
  auto session = mysql::MysqlSession::Open(ctx_, address_, options);
  ASSERT_TRUE(session.ok());
  const auto id = std::to_string((*session)->id());
  std::thread query([&] { EXPECT_FALSE((*session)->Query(ctx_, "SELECT SLEEP(30)").ok()); });
  EXPECT_TRUE(Eventually([&] {
    return One("SELECT COUNT(*) FROM information_schema.processlist WHERE id = " + id +
               " AND info LIKE '%SLEEP%'") == "1";
  }));
  const auto begin = std::chrono::steady_clock::now();
  (*relay).reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  query.join();
  EXPECT_EQ(One("SELECT COUNT(*) FROM information_schema.processlist WHERE id = " + id), "0");
  EXPECT_TRUE(fence.Now().empty());
}

// Closes between the two registrations: another claimed while the child was logging in.
class ClosingFence final : public CountingFence {
 public:
  base::Status Register(const base::Context& ctx, const ports::DbConnection& connection) override {
    auto status = CountingFence::Register(ctx, connection);
    closed = true;
    return status;
  }
};

TEST_P(MysqlRelayTest, AClaimDuringTheLoginKeepsTheChildOut) {
  ClosingFence fence;
  auto relay = mysql::MysqlRelay::Start(ctx_, address_, mysql::RelayUse::kWrite, fence, nullptr);
  ASSERT_TRUE(relay.ok());
  mysql::MysqlSession::Options options;
  options.socket = (*relay)->socket_path();
  EXPECT_FALSE(mysql::MysqlSession::Open(ctx_, address_, options).ok());
  EXPECT_TRUE(Eventually([&] { return (*relay)->Health().Is(Code::kFenced); }));
}

TEST_P(MysqlRelayTest, VerifiesTheServersCertificate) {
  if (GetParam() != ServerKind::kMariaDbTls) return;
  CountingFence fence;
  auto address = address_;
  address.tls_ca = TextOf("/etc/ssl/certs/ca-certificates.crt");
  auto relay = mysql::MysqlRelay::Start(ctx_, address, mysql::RelayUse::kWrite, fence, nullptr);
  ASSERT_TRUE(relay.ok());
  mysql::MysqlSession::Options options;
  options.socket = (*relay)->socket_path();
  EXPECT_FALSE(mysql::MysqlSession::Open(ctx_, address_, options).ok());
  EXPECT_TRUE(Eventually([&] { return !(*relay)->Health().ok(); }));
  EXPECT_EQ((*relay)->Health().error().reason, "MetaDBTLSFailed")
      << (*relay)->Health().error().message;
}

}  // namespace
}  // namespace oms::drivers
