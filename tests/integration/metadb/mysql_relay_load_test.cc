// The relay with many connections at once, and with the fence of the real row: what a dump of three
// databases side by side does on a busy machine.
#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "reconcilers/drivers/mysql/mysql_ownership.h"
#include "reconcilers/drivers/mysql/mysql_relay.h"
#include "tests/integration/metadb/servers.h"

namespace oms::drivers {
namespace {

using namespace std::chrono_literals;
using base::Code;

class MysqlRelayLoadTest : public OnServer {
 protected:
  void SetUp() override {
    OnServer::SetUp();
    ownership_ = mysql::MysqlOwnershipProvider().Open(ports::MetaDbs(meta_db_));
    oms_ = "it_" + base::RandomId().substr(0, 10);
    const auto row =
        ownership_->Claim(ctx_, oms_, std::nullopt, {"cluster", "ns/name"}, "p1", kEpoch);
    ASSERT_TRUE(row.ok()) << row.error().message;
    fence_ = ownership_->FenceFor(oms_, kEpoch);
  }
  void TearDown() override {
    const auto row = ownership_->Read(ctx_, oms_);
    if (row.ok() && *row) {
      EXPECT_TRUE(ownership_->Release(ctx_, oms_, (*row)->epoch).ok());
    }
    OnServer::TearDown();
  }
  std::vector<ports::DbConnection> Row() {
    const auto row = ownership_->Read(ctx_, oms_);
    EXPECT_TRUE(row.ok() && *row);
    return row.ok() && *row ? (*row)->connections : std::vector<ports::DbConnection>();
  }

  static constexpr uint64_t kEpoch = 1;
  std::string oms_;
  std::shared_ptr<ports::Ownership> ownership_;
  std::shared_ptr<ports::Fence> fence_;
};

INSTANTIATE_TEST_SUITE_P(Servers, MysqlRelayLoadTest,
                         ::testing::Values(ServerKind::kOceanBase, ServerKind::kMariaDb,
                                           ServerKind::kMariaDbTls),
                         KindName);

TEST_P(MysqlRelayLoadTest, ManyConnectionsAtOnceAllGetThroughAndAreInTheRow) {
  constexpr int kRelays = 3, kPerRelay = 8, kClients = kRelays * kPerRelay;
  std::vector<std::unique_ptr<mysql::MysqlRelay>> relays;
  for (int i = 0; i < kRelays; ++i) {
    auto relay =
        mysql::MysqlRelay::Start(ctx_, address_, mysql::RelayUse::kWrite, *fence_, nullptr);
    ASSERT_TRUE(relay.ok()) << relay.error().message;
    relays.push_back(std::move(*relay));
  }
  std::vector<std::unique_ptr<mysql::MysqlSession>> sessions(kClients);
  std::vector<std::string> errors(kClients);
  const auto begin = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([&, i] {
        mysql::MysqlSession::Options options;
        options.socket = relays[i % kRelays]->socket_path();
        auto session = mysql::MysqlSession::Open(ctx_, address_, options);
        if (session.ok()) {
          sessions[i] = std::move(*session);
        } else {
          errors[i] = session.error().message;
        }
      });
    }
  }
  const auto took = std::chrono::steady_clock::now() - begin;
  RecordProperty("login_ms",
                 static_cast<int>(std::chrono::duration_cast<base::Duration>(took).count()));
  for (const auto& relay : relays) {
    EXPECT_TRUE(relay->Health().ok()) << relay->Health().error().message;
  }
  std::set<uint64_t> expected;
  for (int i = 0; i < kClients; ++i) {
    ASSERT_NE(sessions[i], nullptr) << "client " << i << ": " << errors[i];
    expected.insert(sessions[i]->id());
  }
  std::set<uint64_t> found;
  for (const auto& connection : Row()) {
    EXPECT_TRUE(found.insert(connection.id).second) << connection.id << " is there twice";
    EXPECT_NE(connection.address, "") << connection.id;
  }
  EXPECT_EQ(found, expected);
  sessions.clear();
  EXPECT_TRUE(Eventually([&] { return Row().empty(); })) << Row().size() << " are left";
}

}  // namespace
}  // namespace oms::drivers
