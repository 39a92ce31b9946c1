#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "tests/integration/metadb/servers.h"

namespace oms::drivers {
namespace {

using namespace std::chrono_literals;
using base::Code;

class MysqlSessionTest : public OnServer {};

INSTANTIATE_TEST_SUITE_P(Servers, MysqlSessionTest,
                         ::testing::Values(ServerKind::kOceanBase, ServerKind::kMariaDb,
                                           ServerKind::kMariaDbTls),
                         KindName);

std::string Sleep() { return "SELECT SLEEP(30)"; }

TEST_P(MysqlSessionTest, RoundTripsTextsBlobsAndNulls) {
  const auto database = NewDatabase();
  auto session = Session(database);
  ASSERT_TRUE(session->Execute(ctx_, "CREATE TABLE t (a bigint unsigned, b text, c blob)").ok());
  const std::string text = "中文 é 😀 ' \" \\";
  const std::string blob("\x00\xff#\x80", 4);
  ASSERT_EQ(session
                ->Execute(ctx_, "INSERT INTO t VALUES (?, ?, ?)",
                          {uint64_t{18446744073709551615U}, text, blob})
                .value(),
            1U);
  ASSERT_TRUE(session->Execute(ctx_, "INSERT INTO t VALUES (1, NULL, NULL)").ok());
  const auto rows = session->Query(ctx_, "SELECT a, b, c FROM t ORDER BY a DESC");
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ((*rows)[0], (mysql::SqlRow{"18446744073709551615", text, blob}));
  EXPECT_EQ((*rows)[1], (mysql::SqlRow{"1", std::nullopt, std::nullopt}));
}

TEST_P(MysqlSessionTest, CountsRowsFoundNotRowsChanged) {
  const auto database = NewDatabase();
  auto session = Session(database);
  ASSERT_TRUE(session->Execute(ctx_, "CREATE TABLE t (a int)").ok());
  ASSERT_TRUE(session->Execute(ctx_, "INSERT INTO t VALUES (1)").ok());
  EXPECT_EQ(session->Execute(ctx_, "UPDATE t SET a = 1 WHERE a = 1").value(), 1U);
  EXPECT_EQ(session->Execute(ctx_, "UPDATE t SET a = 1 WHERE a = ?", {int64_t{1}}).value(), 1U);
  EXPECT_EQ(session->Execute(ctx_, "UPDATE t SET a = 1 WHERE a = ?", {int64_t{2}}).value(), 0U);
}

TEST_P(MysqlSessionTest, AStopEndsABlockedStatementAtOnceAndOnTheServerToo) {
  auto session = Session();
  const auto id = session->id();
  std::stop_source stop;
  const auto ctx = ctx_.WithStop(stop.get_token());
  std::thread stopper([&] {
    EXPECT_TRUE(Eventually([&] {
      return One("SELECT COUNT(*) FROM information_schema.processlist WHERE id = " +
                 std::to_string(id) + " AND info LIKE '%SLEEP%'") == "1";
    }));
    stop.request_stop();
  });
  const auto answer = session->Query(ctx, Sleep());
  const auto ended = std::chrono::steady_clock::now();
  stopper.join();
  EXPECT_TRUE(answer.Is(Code::kCancelled));
  EXPECT_LT(std::chrono::steady_clock::now() - ended, 5s);
  EXPECT_TRUE(session->dead());
  EXPECT_FALSE(session->Query(ctx_, "SELECT 1").ok());
  EXPECT_TRUE(Eventually([&] {
    return One("SELECT COUNT(*) FROM information_schema.processlist WHERE id = " +
               std::to_string(id)) == "0";
  }));
}

TEST_P(MysqlSessionTest, ADeadlineEndsABlockedStatement) {
  auto session = Session();
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = session->Query(ctx_.WithTimeout(200ms), Sleep());
  EXPECT_TRUE(answer.Is(Code::kTimeout)) << answer.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST_P(MysqlSessionTest, AKilledSessionIsUnreachableAndDead) {
  auto session = Session();
  auto other = Session();
  ASSERT_TRUE(other->Kill(ctx_, session->id()).ok());
  const auto answer = session->Query(ctx_, "SELECT 1");
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().reason, "MetaDBUnreachable") << answer.error().message;
  EXPECT_TRUE(session->dead());
  EXPECT_TRUE(other->Kill(ctx_, session->id()).ok()) << "gone already is success";
}

TEST_P(MysqlSessionTest, AStatementThatIsKilledEndsItsSession) {
  auto session = Session();
  auto other = Session();
  std::thread killer([&, id = session->id()] {
    EXPECT_TRUE(Eventually([&] {
      return One("SELECT COUNT(*) FROM information_schema.processlist WHERE id = " +
                 std::to_string(id) + " AND info LIKE '%SLEEP%'") == "1";
    }));
    EXPECT_TRUE(other->Kill(ctx_, id).ok());
  });
  const auto answer = session->Query(ctx_, Sleep());
  killer.join();
  const auto next = session->Query(ctx_, "SELECT 1");
  ASSERT_FALSE(next.ok());
  EXPECT_EQ(next.error().reason, "MetaDBUnreachable") << next.error().message;
}

TEST_P(MysqlSessionTest, AWrongPasswordIsDeniedAndNotTold) {
  auto address = address_;
  address.password = base::Secret("wr0ng-pass-phrase");
  const auto session = mysql::MysqlSession::Open(ctx_, address, {});
  ASSERT_TRUE(session.Is(Code::kDenied));
  EXPECT_EQ(session.error().reason, "MetaDBDenied");
  EXPECT_EQ(session.error().message.find("wr0ng-pass-phrase"), std::string::npos);
}

TEST_P(MysqlSessionTest, AMissingTableOrDatabaseIsNotFound) {
  auto session = Session();
  EXPECT_TRUE(session->Query(ctx_, "SELECT * FROM it_none_such.t").Is(Code::kNotFound));
  EXPECT_TRUE(
      mysql::MysqlSession::Open(ctx_, address_, {"it_none_such", 5s, {}}).Is(Code::kNotFound));
}

TEST_P(MysqlSessionTest, DescribesItselfAsTheProcessListShowsIt) {
  auto session = Session();
  const auto connection = session->Describe(ctx_);
  ASSERT_TRUE(connection.ok());
  EXPECT_EQ(connection->id, session->id());
  EXPECT_EQ(connection->user, address_.user);
  EXPECT_EQ(connection->address, One("SELECT host FROM information_schema.processlist WHERE id = " +
                                     std::to_string(session->id())));
}

TEST_P(MysqlSessionTest, AStatementTimeoutBoundsAQueryOnOceanBase) {
  if (!IsOceanBase()) return;
  const auto session = mysql::MysqlSession::Open(ctx_, address_, {"", 300ms, {}});
  ASSERT_TRUE(session.ok());
  const auto answer = (*session)->Query(ctx_, Sleep());
  EXPECT_TRUE(answer.Is(Code::kTimeout)) << answer.error().message;
}

TEST_P(MysqlSessionTest, AnotherCaIsRefused) {
  if (GetParam() != ServerKind::kMariaDbTls) return;
  auto address = address_;
  address.tls_ca = TextOf("/etc/ssl/certs/ca-certificates.crt");
  const auto session = mysql::MysqlSession::Open(ctx_, address, {});
  ASSERT_FALSE(session.ok());
  EXPECT_EQ(session.error().reason, "MetaDBTLSFailed") << session.error().message;
}

TEST_P(MysqlSessionTest, TlsIsInUseWhereItWasAskedFor) {
  if (IsOceanBase()) return;
  auto session = Session();
  const auto rows = session->Query(ctx_, "SHOW STATUS LIKE 'Ssl_version'");
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ((*rows)[0][1].value_or("") != "", GetParam() == ServerKind::kMariaDbTls);
}

TEST(MysqlSession, ASilentServerDoesNotHoldAStopBack) {
  mysql::InitMysql();
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr name{};
  name.sa_family = AF_INET;
  ASSERT_EQ(bind(listener, &name, sizeof(name)), 0);
  ASSERT_EQ(listen(listener, 5), 0);
  unsigned char raw[16];
  socklen_t size = sizeof(raw);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(raw), &size), 0);
  ports::DbServerAddress address;
  address.host = "127.0.0.1";
  address.port = raw[2] * 256 + raw[3];
  address.user = "x";
  const base::SystemClock clock;
  const auto begin = std::chrono::steady_clock::now();
  const auto session = mysql::MysqlSession::Open(
      base::Context(clock, base::Logger()).WithTimeout(100ms), address, {});
  EXPECT_TRUE(session.Is(Code::kTimeout));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  close(listener);
}

// OceanBase refuses such writes (6235) under REPEATABLE READ, which is what the library asks for.
TEST_P(MysqlSessionTest, SessionsThatWriteOneRowAtTheSameTimeWaitForEachOther) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE `" + database + "`.t (id int PRIMARY KEY, n int, s mediumtext)");
  Sql("INSERT INTO `" + database + "`.t VALUES (1, 0, '')");
  constexpr int kWriters = 8, kEach = 10;
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < kWriters; ++i) {
      writers.emplace_back([&] {
        auto session = Session(database);
        ASSERT_NE(session, nullptr);
        for (int j = 0; j < kEach; ++j) {
          const auto done = session->Execute(
              ctx_, "UPDATE t SET n = n + 1, s = CONCAT(s, ?) WHERE id = ?", {"x", uint64_t{1}});
          EXPECT_TRUE(done.ok()) << done.error().message;
        }
      });
    }
  }
  EXPECT_EQ(One("SELECT CONCAT(n, ' ', LENGTH(s)) FROM `" + database + "`.t"), "80 80");
}

}  // namespace
}  // namespace oms::drivers
