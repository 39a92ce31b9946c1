#include "reconcilers/drivers/mysql/mysql_ownership.h"

#include <algorithm>
#include <optional>
#include <thread>

#include "tests/integration/metadb/servers.h"

namespace oms::drivers {
namespace {

using base::Code;
using ports::Owner;
using ports::OwnershipRow;

class MysqlOwnershipTest : public OnServer {
 protected:
  void SetUp() override {
    OnServer::SetUp();
    ownership_ = mysql::MysqlOwnershipProvider().Open(ports::MetaDbs(meta_db_));
    oms_ = "it_" + base::RandomId().substr(0, 10);
  }
  void TearDown() override {
    // The table is shared with whatever else runs here; the row is this test's own.
    if (ownership_) {
      const auto row = ownership_->Read(ctx_, oms_);
      if (row.ok() && *row) {
        EXPECT_TRUE(ownership_->Release(ctx_, oms_, (*row)->epoch).ok());
      }
    }
    OnServer::TearDown();
  }
  OwnershipRow Claim(const std::optional<OwnershipRow>& seen, const std::string& process,
                     const Owner& owner = {"cluster", "ns/name"}) {
    const auto row = ownership_->Claim(ctx_, oms_, seen, owner, process, 1);
    EXPECT_TRUE(row.ok()) << row.error().message;
    return row.ok() ? *row : OwnershipRow{};
  }
  OwnershipRow Read() { return ownership_->Read(ctx_, oms_).value().value_or(OwnershipRow{}); }

  std::shared_ptr<ports::Ownership> ownership_;
  std::string oms_;
};

INSTANTIATE_TEST_SUITE_P(Servers, MysqlOwnershipTest,
                         ::testing::Values(ServerKind::kOceanBase, ServerKind::kMariaDb,
                                           ServerKind::kMariaDbTls),
                         KindName);

TEST_P(MysqlOwnershipTest, AClaimIsReadBackAndKeepsTheOperation) {
  EXPECT_EQ(ownership_->Read(ctx_, oms_).value().has_value(), false);
  const auto first = Claim(std::nullopt, "p1");
  EXPECT_EQ(first.epoch, 1U);
  ASSERT_TRUE(ownership_->SetOperation(ctx_, oms_, 1, "op", "/b/op", "volume").ok());
  const auto second = Claim(Read(), "p2", {"cluster", "ns/other"});
  EXPECT_EQ(second.epoch, 2U);
  EXPECT_EQ(second.operation_id, "op");
  EXPECT_EQ(second.folder, "/b/op");
  EXPECT_EQ(second.folder_identity, "volume");
  EXPECT_EQ(second.owner, (Owner{"cluster", "ns/other"}));
  EXPECT_EQ(second.process, "p2");
}

TEST_P(MysqlOwnershipTest, OfTwoClaimantsOneWins) {
  const auto seen = Claim(std::nullopt, "p1");
  EXPECT_TRUE(ownership_->Claim(ctx_, oms_, std::nullopt, seen.owner, "p2", 1).Is(Code::kConflict));
  Claim(seen, "p2");
  EXPECT_TRUE(ownership_->Claim(ctx_, oms_, seen, seen.owner, "p3", 1).Is(Code::kConflict));
  EXPECT_EQ(Read().process, "p2");
}

TEST_P(MysqlOwnershipTest, AStaleWriterIsFencedAndItsOpenConnectionIsDead) {
  const auto first = Claim(std::nullopt, "p1");
  auto fence = ownership_->FenceFor(oms_, first.epoch);
  auto writer = Session();
  const auto connection = writer->Describe(ctx_).value();
  ASSERT_TRUE(fence->Register(ctx_, connection).ok());
  EXPECT_EQ(Read().connections, std::vector{connection});

  const auto second = Claim(Read(), "p2");
  EXPECT_TRUE(second.connections.empty());
  EXPECT_TRUE(Read().connections.empty());
  const auto late = writer->Query(ctx_, "SELECT 1");
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().reason, "MetaDBUnreachable");

  auto next = Session();
  EXPECT_TRUE(fence->Register(ctx_, next->Describe(ctx_).value()).Is(Code::kFenced));
  EXPECT_TRUE(ownership_->SetOperation(ctx_, oms_, first.epoch, "x", "x", "x").Is(Code::kFenced));
  EXPECT_TRUE(ownership_->Release(ctx_, oms_, first.epoch).Is(Code::kFenced));
  EXPECT_TRUE(Read().connections.empty());
  EXPECT_EQ(Read().epoch, second.epoch);
}

// A session that the server sends rows to which nobody takes; more of them than lie between the
// two, whatever the kernel makes of its buffers.
class FrozenReaderTest : public MysqlOwnershipTest {
 protected:
  void SetUp() override {
    MysqlOwnershipTest::SetUp();
    database_ = NewDatabase();
    const auto table = "`" + database_ + "`.wide";
    Sql("CREATE TABLE " + table + " (t longtext)");
    Sql("INSERT INTO " + table + " VALUES (REPEAT('x', 1000000))");
    for (int i = 0; i < 6; ++i) Sql("INSERT INTO " + table + " SELECT t FROM " + table);
    client_.emplace(std::vector<std::string>{"--protocol=tcp", "--host=" + address_.host,
                                             "--port=" + std::to_string(address_.port),
                                             "--database=" + database_},
                    address_, "SET SESSION TRANSACTION READ ONLY; SELECT * FROM wide");
    ASSERT_TRUE(Eventually([&] { return client_->Waits(); }));
    const auto foreign = meta_db_.connections->ForeignConnections(ctx_, {database_}).value();
    ASSERT_EQ(foreign.size(), 1U);
    reader_ = foreign[0];
    reader_.database = reader_.command = "";
    reader_.reads = true;
    // OceanBase keeps it, whoever KILLs it, until the client goes.
    if (IsOceanBase()) kept_ = {reader_};
  }
  std::string Listed(uint64_t id) {
    return One("SELECT COUNT(*) FROM information_schema.processlist WHERE id = " +
               std::to_string(id));
  }

  std::string database_;
  std::optional<UnreadClient> client_;
  ports::DbConnection reader_;
  std::vector<ports::DbConnection> kept_;
};

INSTANTIATE_TEST_SUITE_P(Servers, FrozenReaderTest,
                         ::testing::Values(ServerKind::kOceanBase, ServerKind::kMariaDb), KindName);

TEST_P(FrozenReaderTest, ATakeOverDoesNotWaitForIt) {
  const auto first = Claim(std::nullopt, "p1");
  ASSERT_TRUE(ownership_->FenceFor(oms_, first.epoch)->Register(ctx_, reader_).ok());
  EXPECT_TRUE(Claim(Read(), "p2").connections.empty());
  EXPECT_EQ(Listed(reader_.id), std::to_string(kept_.size()));
  EXPECT_EQ(Read().connections, kept_) << "the next owner has to know";
  EXPECT_TRUE(meta_db_.connections->ForeignConnections(ctx_, {database_}).value().empty())
      << "it does not keep a dump waiting either";
  client_->Kill();
  EXPECT_TRUE(Eventually([&] { return Listed(reader_.id) == "0"; }));
  Claim(Read(), "p3");
  EXPECT_TRUE(Read().connections.empty());
}

TEST_P(FrozenReaderTest, OnTheServerOfCmAloneItStaysInTheRowOfTheOther) {
  ownership_ = mysql::MysqlOwnershipProvider().Open(
      ports::MetaDbs(mysql::MysqlMetaDbProvider().Open(OtherAddress()), meta_db_));
  const auto first = Claim(std::nullopt, "p1");
  ASSERT_TRUE(ownership_->FenceFor(oms_, first.epoch)->Register(ctx_, reader_).ok());
  Claim(Read(), "p2");
  EXPECT_EQ(Read().connections, kept_);
}

TEST_P(MysqlOwnershipTest, AReaderThatIsAtWorkIsEnded) {
  auto session = Session();
  auto reader = session->Describe(ctx_).value();
  reader.reads = true;
  const auto list = " FROM information_schema.processlist WHERE id = " + std::to_string(reader.id);
  std::thread query([&] { EXPECT_FALSE(session->Query(ctx_, "SELECT SLEEP(60)").ok()); });
  EXPECT_TRUE(Eventually(
      [&] { return One("SELECT COUNT(*)" + list + " AND info LIKE '%SLEEP%'") == "1"; }));
  const auto kept = meta_db_.connections->EndConnections(ctx_, {reader});
  query.join();
  ASSERT_TRUE(kept.ok()) << kept.error().message;
  EXPECT_TRUE(kept->empty());
  EXPECT_EQ(One("SELECT COUNT(*)" + list), "0");
}

TEST_P(MysqlOwnershipTest, AStaleWriterDoesNotChangeTheMetaDb) {
  const auto rm = NewDatabase();
  Sql("CREATE TABLE `" + rm + "`.oms_normal_config (cfg_name varchar(64), cfg_value text)");
  Sql("INSERT INTO `" + rm + "`.oms_normal_config VALUES ('ha.config', 'old')");
  const auto first = Claim(std::nullopt, "p1");
  auto fence = ownership_->FenceFor(oms_, first.epoch);
  Claim(Read(), "p2");
  EXPECT_TRUE(meta_db_.tables->SwapHaConfig(ctx_, *fence, rm, "old", "new").Is(Code::kFenced));
  EXPECT_EQ(meta_db_.tables->ReadHaConfig(ctx_, rm).value(), "old");
}

TEST_P(MysqlOwnershipTest, ConnectionsThatHaveClosedOrWhoseIdIsAnothersNowCostNothing) {
  const auto first = Claim(std::nullopt, "p1");
  auto fence = ownership_->FenceFor(oms_, first.epoch);
  auto gone = Session();
  ASSERT_TRUE(fence->Register(ctx_, gone->Describe(ctx_).value()).ok());
  gone.reset();
  auto bystander = Session();
  auto reused = bystander->Describe(ctx_).value();
  reused.user = "another_user";
  ASSERT_TRUE(fence->Register(ctx_, reused).ok());
  reused = bystander->Describe(ctx_).value();
  reused.address = "10.1.2.3:4567";
  ASSERT_TRUE(fence->Register(ctx_, reused).ok());
  EXPECT_EQ(Read().connections.size(), 3U);
  EXPECT_TRUE(Claim(Read(), "p2").connections.empty());
  EXPECT_TRUE(bystander->Query(ctx_, "SELECT 1").ok()) << "it was not killed";
}

TEST_P(MysqlOwnershipTest, RegisteringTwiceIsOneEntryAndUnregisteringTakesItOut) {
  const auto first = Claim(std::nullopt, "p1");
  auto fence = ownership_->FenceFor(oms_, first.epoch);
  auto one = Session(), two = Session();
  const auto a = one->Describe(ctx_).value(), b = two->Describe(ctx_).value();
  for (const auto& connection : {a, b, a}) ASSERT_TRUE(fence->Register(ctx_, connection).ok());
  EXPECT_EQ(Read().connections, (std::vector{a, b}));
  fence->Unregister(a);
  EXPECT_EQ(Read().connections, std::vector{b});
}

TEST_P(MysqlOwnershipTest, AnEntryOfAnotherServerStaysForTheCaller) {
  const auto first = Claim(std::nullopt, "p1");
  auto fence = ownership_->FenceFor(oms_, first.epoch);
  ports::DbConnection far{"10.0.0.9:2883", 7, "u", "10.0.0.1:5", "2026-01-01T00:00:00Z", "", ""};
  ASSERT_TRUE(fence->Register(ctx_, far).ok());
  const auto second = Claim(Read(), "p2");
  EXPECT_EQ(second.connections, std::vector{far});
  ownership_->FenceFor(oms_, second.epoch)->Unregister(far);
  EXPECT_TRUE(Read().connections.empty());
}

// cm on a server of its own: its writers are registered in the one row, beside those of rm.
TEST_P(MysqlOwnershipTest, ATakeoverEndsWhatIsOpenOnEitherOfTwoServers) {
  const auto cm = mysql::MysqlMetaDbProvider().Open(OtherAddress());
  const ports::MetaDbs both(meta_db_, cm);
  const auto ownership = mysql::MysqlOwnershipProvider().Open(both);
  const auto first = Claim(std::nullopt, "p1");
  auto fence = ownership->FenceFor(oms_, first.epoch);
  auto on_rm = Session();
  auto on_cm = mysql::MysqlSession::Open(ctx_, OtherAddress(), {}).value();
  auto bystander = mysql::MysqlSession::Open(ctx_, OtherAddress(), {}).value();
  ASSERT_TRUE(fence->Register(ctx_, on_rm->Describe(ctx_).value()).ok());
  ASSERT_TRUE(fence->Register(ctx_, on_cm->Describe(ctx_).value()).ok());
  // By its server's name, one whose number is in use on the other server.
  auto dead = bystander->Describe(ctx_).value();
  dead.server = address_.Name();
  ASSERT_TRUE(fence->Register(ctx_, dead).ok());
  ports::DbConnection far{"10.0.0.9:2883", 7, "u", "10.0.0.1:5", "2026-01-01T00:00:00Z", "", ""};
  ASSERT_TRUE(fence->Register(ctx_, far).ok());

  const auto second = ownership->Claim(ctx_, oms_, Read(), first.owner, "p2", 1);
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ(second->connections, std::vector{far});
  EXPECT_FALSE(on_rm->Query(ctx_, "SELECT 1").ok());
  EXPECT_FALSE(on_cm->Query(ctx_, "SELECT 1").ok());
  EXPECT_TRUE(bystander->Query(ctx_, "SELECT 1").ok()) << "it was not killed";
}

TEST_P(MysqlOwnershipTest, ATakeoverIsNoneWhileTheSecondServerDoesNotAnswer) {
  ports::DbServerAddress away = OtherAddress();
  away.port = 1;
  const ports::MetaDbs both(meta_db_, mysql::MysqlMetaDbProvider().Open(away));
  const auto ownership = mysql::MysqlOwnershipProvider().Open(both);
  const auto first = Claim(std::nullopt, "p1");
  ports::DbConnection there{away.Name(), 7, "u", "10.0.0.1:5", "2026-01-01T00:00:00Z", "", ""};
  ASSERT_TRUE(ownership->FenceFor(oms_, first.epoch)->Register(ctx_, there).ok());
  const auto second = ownership->Claim(ctx_, oms_, Read(), first.owner, "p2", 1);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().reason, "MetaDBUnreachable");
  EXPECT_EQ(Read().connections, std::vector{there}) << "somebody has to end it yet";
}

TEST_P(MysqlOwnershipTest, ReleaseGivesTheRowFreeAndKeepsWhatItNames) {
  const auto first = Claim(std::nullopt, "p1");
  EXPECT_TRUE(ownership_->SetOperation(ctx_, oms_, first.epoch, "", "/backups/a", "volume").ok());
  EXPECT_TRUE(ownership_->Release(ctx_, oms_, first.epoch).ok());
  const auto row = Read();
  EXPECT_TRUE(row.Free());
  EXPECT_EQ(row.folder, "/backups/a");
  EXPECT_EQ(row.epoch, first.epoch);
  EXPECT_TRUE(ownership_->Release(ctx_, oms_, first.epoch).ok()) << "again";
  const auto next = Claim(row, "p2");
  EXPECT_GT(next.epoch, first.epoch);
  EXPECT_EQ(next.folder, "/backups/a");
  EXPECT_TRUE(ownership_->Release(ctx_, oms_, first.epoch).Is(Code::kFenced));
}

TEST_P(MysqlOwnershipTest, WhoeverRegistersBesideOthersIsInTheRowWhenToldSo) {
  Claim(std::nullopt, "p1");
  auto fence = ownership_->FenceFor(oms_, 1);
  constexpr int kThreads = 24;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        ports::DbConnection connection;
        connection.server = "127.0.0.1:1";  // Not this one: nothing here is ever killed.
        connection.id = static_cast<uint64_t>(1000 + i);
        connection.user = "u";
        ASSERT_TRUE(fence->Register(ctx_, connection).ok());
        const auto row = ownership_->Read(ctx_, oms_);
        ASSERT_TRUE(row.ok() && *row);
        const auto& now = (*row)->connections;
        EXPECT_EQ(std::count(now.begin(), now.end(), connection), 1);
        auto exact = connection;
        exact.address = "10.0.0.1:" + std::to_string(i);
        EXPECT_TRUE(fence->Register(ctx_, exact).ok());
        fence->Unregister(connection);
        if (i % 2 == 0) fence->Unregister(exact);
      });
    }
  }
  EXPECT_EQ(Read().connections.size(), kThreads / 2U);
}

TEST_P(MysqlOwnershipTest, AFenceThatLosesItsSessionRegistersByANewOne) {
  const std::string user = "it_" + base::RandomId().substr(0, 8);
  RootSql("CREATE USER '" + user + "'@'%' IDENTIFIED BY 'a-password'");
  RootSql("GRANT ALL PRIVILEGES ON *.* TO '" + user + "'@'%'");
  auto address = address_;
  address.user = user;
  address.password = base::Secret("a-password");
  Claim(std::nullopt, "p1");
  auto fence = mysql::MysqlOwnershipProvider()
                   .Open(ports::MetaDbs(mysql::MysqlMetaDbProvider().Open(address)))
                   ->FenceFor(oms_, 1);
  ports::DbConnection connection;
  connection.server = "127.0.0.1:1";
  connection.id = 1;
  ASSERT_TRUE(fence->Register(ctx_, connection).ok());
  const std::string of_user = " FROM information_schema.processlist WHERE user = '" + user + "'";
  ASSERT_EQ(One("SELECT COUNT(*)" + of_user), "1") << "one session for all";
  RootSql("KILL " + One("SELECT id" + of_user));
  EXPECT_TRUE(Eventually([&] { return One("SELECT COUNT(*)" + of_user) == "0"; }));
  connection.id = 2;
  const auto registered = fence->Register(ctx_, connection);
  EXPECT_TRUE(registered.ok()) << registered.error().message;
  EXPECT_EQ(Read().connections.size(), 2U);
  RootSql("DROP USER '" + user + "'@'%'");
}

}  // namespace
}  // namespace oms::drivers
