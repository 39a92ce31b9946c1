// A MetaDB that is not honest, or in trouble: it answers byte by byte, or without an end. Each call
// to it ends, holds nobody for longer than it may, and takes no more memory than it should.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "reconcilers/drivers/mysql/mysql_metadb.h"
#include "reconcilers/drivers/mysql/mysql_ownership.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "tests/fakes/fake_mysql.h"

namespace oms::drivers::mysql {
namespace {

using base::Code;
using fakes::FakeMysql;
using testing::AllOf;
using testing::HasSubstr;
using Wire = FakeMysql::Wire;

constexpr auto kLooking = std::chrono::milliseconds(300);
constexpr uint64_t kFew = 256u << 20;  // Bytes that a server may have sent before it is left.

class SlowServerTest : public testing::Test {
 protected:
  SlowServerTest() { InitMysql(); }
  ports::DbServerAddress Address() {
    return {"127.0.0.1", server_.port(), "oms", base::Secret("Pa55-word"), "", true};
  }
  ports::MetaDb MetaDb() { return MysqlMetaDbProvider(kLooking).Open(Address()); }
  // Without a deadline, as a pass had none.
  base::SystemClock clock_;
  base::Context ctx_{clock_, {}};
  FakeMysql server_;
};

// A read timeout counts anew with each byte.
TEST_F(SlowServerTest, AGreetingByteByByteEndsTheCallAndNotTheWorker) {
  server_.on_connect = [](Wire& wire) {
    wire.Trickle(std::string("\xff\xff\0\0\x0a", 5) + "8");
    return false;
  };
  const auto server = MetaDb().server->Server(ctx_);
  ASSERT_TRUE(server.Is(Code::kTimeout)) << server.error().message;
  EXPECT_EQ(server.error().reason, "MetaDBTimeout");
}

TEST_F(SlowServerTest, AnAnswerByteByByteEndsEachCallThatLooks) {
  server_.on_query = [](Wire& wire, const std::string& sql) {
    if (sql.find("CONNECTION_ID(), VERSION()") != std::string::npos || sql.starts_with("SET") ||
        sql.starts_with("USE")) {
      return false;
    }
    wire.Trickle(std::string("\xff\xff\0\x01\x01", 5));
    return true;
  };
  const auto meta_db = MetaDb();
  const auto look = [&](const char* name, const base::Status& status) {
    EXPECT_TRUE(status.Is(Code::kTimeout)) << name << ": " << status.error().message;
  };
  const auto error = [](const auto& result) {
    return result.ok() ? base::Status() : base::Status(result.error());
  };
  look("Server", error(meta_db.server->Server(ctx_)));
  look("ReadHaConfig", error(meta_db.tables->ReadHaConfig(ctx_, "oms_rm")));
  look("Hosts", error(meta_db.tables->Hosts(ctx_, "oms_cm")));
}

// Threads that nobody can end: so many, and no more.
TEST_F(SlowServerTest, OnlySoManyCallsAreLeftBehindAndTheyEndWithTheServer) {
  server_.on_connect = [](Wire& wire) {
    wire.Trickle(std::string("\xff\xff\0\0\x0a", 5) + "8");
    return false;
  };
  const auto meta_db = MysqlMetaDbProvider(std::chrono::milliseconds(50)).Open(Address());
  base::Error last;
  for (int i = 0; i < 20; ++i) last = meta_db.server->Server(ctx_).error();
  EXPECT_EQ(last.reason, "MetaDBUnreachable");
  EXPECT_THAT(last.message, HasSubstr("8 earlier calls to it have not finished yet"));
  EXPECT_LE(server_.connections(), 8);
  server_.Stop();
  // What was left behind is told by the error alone; it goes once its threads have seen it. Where
  // one never does, this does not end.
  while (last.message.find("earlier calls") != std::string::npos) {
    std::this_thread::yield();
    last = meta_db.server->Server(ctx_).error();
  }
}

// Once it has logged in, its socket is known, and shut down with the call.
TEST_F(SlowServerTest, ACallOfASessionThatStandsLeavesNothingBehind) {
  server_.on_query = [](Wire& wire, const std::string& sql) {
    if (sql.find("oms_normal_config") == std::string::npos) return false;
    wire.Trickle(std::string("\xff\xff\0\x01\x01", 5));
    return true;
  };
  const auto meta_db = MysqlMetaDbProvider(kLooking).Open(Address());
  for (int i = 0; i < 9; ++i) {
    const auto read = meta_db.tables->ReadHaConfig(ctx_, "oms_rm");
    EXPECT_TRUE(read.Is(Code::kTimeout)) << i << ": " << read.error().message;
  }
}

// Connector/C++ takes it for the end of the rows: what is listed would look whole.
TEST_F(SlowServerTest, AnErrorAfterSomeRowsIsAnErrorAndNotTheirEnd) {
  std::atomic<bool> gone{false};
  server_.on_query = [&](Wire& wire, const std::string& sql) {
    if (sql.find("FROM t") == std::string::npos) return false;
    if (!wire.Columns({"name"}) || !wire.Row({"one"}) || !wire.Row({"two"})) return true;
    if (!gone) return wire.Error(4012, "Timeout, query has reached the maximum query timeout");
    server_.HangUp();
    return true;
  };
  auto session = MysqlSession::Open(ctx_, Address(), {});
  ASSERT_TRUE(session.ok()) << session.error().message;
  const auto timeout = (*session)->Query(ctx_, "SELECT name FROM t");
  ASSERT_TRUE(timeout.Is(Code::kTimeout)) << (timeout.ok() ? "ok" : timeout.error().message);
  EXPECT_THAT(timeout.error().message, HasSubstr("maximum query timeout"));
  EXPECT_TRUE((*session)->Query(ctx_, "SELECT 1").ok()) << "the session goes on";
  gone = true;
  const auto lost = (*session)->Query(ctx_, "SELECT name FROM t");
  ASSERT_TRUE(lost.Is(Code::kTransient)) << (lost.ok() ? "ok" : lost.error().message);
  EXPECT_EQ(lost.error().reason, "MetaDBUnreachable");
}

void RowsWithoutEnd(Wire& wire) {
  const std::string megabyte(1u << 20, 'x');
  if (!wire.Columns({"x"})) return;
  while (wire.Row({megabyte})) {
  }
}

TEST_F(SlowServerTest, RowsWithoutAnEndAreAnErrorOfTheQuestionThatGotThem) {
  server_.on_query = [](Wire& wire, const std::string& sql) {
    if (sql.find("server_uuid") == std::string::npos) return false;
    RowsWithoutEnd(wire);
    return true;
  };
  auto session = MysqlSession::Open(ctx_, Address(), {});
  ASSERT_TRUE(session.ok()) << session.error().message;
  const auto rows = (*session)->Query(ctx_, "SELECT @@global.server_uuid");
  ASSERT_TRUE(rows.Is(Code::kTerminal));
  EXPECT_EQ(rows.error().reason, "MetaDBError");
  EXPECT_THAT(rows.error().message, HasSubstr("more than 64 MiB"));
  EXPECT_LT(server_.bytes_sent(), kFew) << "not all of it first";
  EXPECT_TRUE((*session)->dead());
  session->reset();
  server_.Stop();
}

TEST_F(SlowServerTest, RowsWithoutAnEndOfAQuestionWithParametersAreToo) {
  std::string asked;
  server_.on_query = [&](Wire& wire, const std::string& sql) {
    if (sql.find("schemata") == std::string::npos) return false;
    asked = sql;
    RowsWithoutEnd(wire);
    return true;
  };
  {
    auto session = MysqlSession::Open(ctx_, Address(), {});
    ASSERT_TRUE(session.ok()) << session.error().message;
    const auto rows = (*session)->Query(
        ctx_, "SELECT '?' FROM information_schema.schemata WHERE schema_name = ? AND n > ?",
        {std::string("it's\\"), uint64_t{7}});
    ASSERT_TRUE(rows.Is(Code::kTerminal));
    EXPECT_THAT(rows.error().message, HasSubstr("more than 64 MiB"));
    EXPECT_LT(server_.bytes_sent(), kFew);
  }
  server_.Stop();
  EXPECT_EQ(asked,
            "SELECT '?' FROM information_schema.schemata WHERE schema_name = _utf8mb4 "
            "x'697427735c' AND n > 7");
}

TEST_F(SlowServerTest, OneRowWithoutAnEndIsAnError) {
  server_.on_query = [](Wire& wire, const std::string& sql) {
    if (sql.find("server_uuid") == std::string::npos) return false;
    if (!wire.Columns({"x"})) return true;
    // Packets of the greatest length go on in the next one.
    const std::string whole = std::string("\xff\xff\xff\0", 4) + std::string(0xffffff, 'x');
    while (wire.SendRaw(whole)) {
    }
    return true;
  };
  {
    auto session = MysqlSession::Open(ctx_, Address(), {});
    ASSERT_TRUE(session.ok()) << session.error().message;
    const auto rows = (*session)->Query(ctx_, "SELECT @@global.server_uuid");
    ASSERT_FALSE(rows.ok());
    EXPECT_LT(server_.bytes_sent(), kFew);
  }
  server_.Stop();
}

TEST_F(SlowServerTest, TheRowIsLookedAtWithinItsTimeAsWell) {
  server_.on_query = [](Wire& wire, const std::string& sql) {
    if (sql.find("ownership") == std::string::npos) return false;
    wire.Trickle(std::string("\xff\xff\0\x01\x01", 5));
    return true;
  };
  const auto ownership = MysqlOwnershipProvider(kLooking).Open(ports::MetaDbs(MetaDb()));
  const auto row = ownership->Read(ctx_, "oms_rm");
  EXPECT_TRUE(row.Is(Code::kTimeout)) << (row.ok() ? "ok" : row.error().message);
}

}  // namespace
}  // namespace oms::drivers::mysql
