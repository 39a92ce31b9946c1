// A server that asks for the password itself, by each plug-in that there is for it: without TLS it
// gets nothing that it could read, from a session or through the relay.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "reconcilers/drivers/mysql/mysql_relay.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "tests/fakes/fake_mysql.h"

namespace oms::drivers::mysql {
namespace {

using base::Code;
using fakes::FakeMysql;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kPassword[] = "Pa55-of-config.yaml";

class OpenFence final : public ports::Fence {
 public:
  base::Status Register(const base::Context&, const ports::DbConnection&) override {
    return base::Ok();
  }
  void Unregister(const ports::DbConnection&) override {}
};

class PasswordTest : public testing::Test {
 protected:
  PasswordTest() { InitMysql(); }
  ports::DbServerAddress Address(FakeMysql& server) const {
    return {"127.0.0.1", server.port(), "oms", base::Secret(kPassword), "", true};
  }
  base::Status LogIn(FakeMysql& server) {
    auto session = MysqlSession::Open(ctx_, Address(server), {});
    return session.ok() ? base::Ok() : base::Status(session.error());
  }
  // A client on the relay's socket, as a tool is one: it takes the way for a safe one. Its own
  // answer, and then the relay's.
  std::pair<base::Status, base::Status> LogInByRelay(FakeMysql& server) {
    OpenFence fence;
    auto relay = MysqlRelay::Start(ctx_, Address(server), RelayUse::kWrite, fence, nullptr);
    if (!relay.ok()) return {relay.error(), relay.error()};
    auto address = Address(server);
    address.tls_ca = "any";  // So that this client itself is not restricted.
    MysqlSession::Options options;
    options.socket = (*relay)->socket_path();
    auto session = MysqlSession::Open(ctx_, address, options);
    return {session.ok() ? base::Ok() : base::Status(session.error()), (*relay)->Health()};
  }
  base::SystemClock clock_;
  base::Context ctx_ = base::Context(clock_, {}).WithTimeout(std::chrono::minutes(5));
};

struct Asks {
  const char* name;
  const char* greeting;
  const char* switch_to;
};
void PrintTo(const Asks& asks, std::ostream* out) { *out << asks.name; }
const Asks kRevealing[] = {
    {"ClearText", "mysql_native_password", "mysql_clear_password"},
    {"ClearTextAtOnce", "mysql_clear_password", ""},
    {"Dialog", "mysql_native_password", "dialog"},
    {"DialogAtOnce", "dialog", ""},
    {"Sha256", "mysql_native_password", "sha256_password"},
    {"Sha256AtOnce", "sha256_password", ""},
    {"CachingSha2WithItsOwnKey", "mysql_native_password", "caching_sha2_password"},
    {"CachingSha2WithItsOwnKeyAtOnce", "caching_sha2_password", ""},
    {"OldPassword", "mysql_native_password", "mysql_old_password"},
    {"Unknown", "mysql_native_password", "auth_gssapi_client"},
};
class RevealingPlugin : public PasswordTest, public testing::WithParamInterface<Asks> {};
INSTANTIATE_TEST_SUITE_P(Each, RevealingPlugin, testing::ValuesIn(kRevealing),
                         [](const auto& asks) { return std::string(asks.param.name); });

TEST_P(RevealingPlugin, GetsNothingFromASession) {
  FakeMysql server;
  server.plugin = GetParam().greeting;
  server.switch_to = GetParam().switch_to;
  const auto in = LogIn(server);
  server.Stop();
  EXPECT_FALSE(server.HasSeen(kPassword)) << "the password";
  EXPECT_FALSE(server.HasSeen("Pa55"));
  const bool key = std::string(GetParam().name).starts_with("CachingSha2");
  if (key) return;  // What it was sent nobody can read: it cannot know that it is right.
  ASSERT_TRUE(in.Is(Code::kDenied)) << (in.ok() ? "in" : in.error().message);
  EXPECT_EQ(in.error().reason, "MetaDBDenied");
  EXPECT_THAT(in.error().message,
              AllOf(HasSubstr("would expose the password"), HasSubstr("spec.metaDB.connect.tls"),
                    Not(HasSubstr(kPassword))));
}

TEST_P(RevealingPlugin, GetsNothingThroughTheRelay) {
  FakeMysql server;
  server.plugin = GetParam().greeting;
  server.switch_to = GetParam().switch_to;
  const auto [in, health] = LogInByRelay(server);
  server.Stop();
  EXPECT_FALSE(server.HasSeen("Pa55")) << "the password";
  EXPECT_FALSE(in.ok());
  ASSERT_TRUE(health.Is(Code::kDenied)) << (health.ok() ? "in" : health.error().message);
  EXPECT_EQ(health.error().reason, "MetaDBDenied");
  EXPECT_THAT(health.error().message,
              AllOf(HasSubstr("would expose the password"), HasSubstr("spec.metaDB.connect.tls"),
                    Not(HasSubstr(kPassword))));
}

class ScramblingPlugin : public PasswordTest, public testing::WithParamInterface<Asks> {};
INSTANTIATE_TEST_SUITE_P(
    Each, ScramblingPlugin,
    testing::Values(Asks{"Native", "mysql_native_password", ""},
                    Asks{"NativeAfterAll", "caching_sha2_password", "mysql_native_password"},
                    Asks{"CachingSha2FromItsCache", "caching_sha2_password", ""},
                    Asks{"CachingSha2AfterAll", "mysql_native_password", "caching_sha2_password"},
                    Asks{"Ed25519", "mysql_native_password", "client_ed25519"}),
    [](const auto& asks) { return std::string(asks.param.name); });

TEST_P(ScramblingPlugin, LogsInAsBefore) {
  FakeMysql server;
  server.plugin = GetParam().greeting;
  server.switch_to = GetParam().switch_to;
  server.full_authentication = false;
  const auto in = LogIn(server);
  EXPECT_TRUE(in.ok()) << in.error().message;
  const auto [by_relay, health] = LogInByRelay(server);
  EXPECT_TRUE(by_relay.ok()) << by_relay.error().message;
  EXPECT_TRUE(health.ok()) << health.error().message;
  server.Stop();
  EXPECT_FALSE(server.HasSeen("Pa55"));
}

// What one connection was allowed to load, by TLS, another one finds loaded: it is the connection
// that is restricted, and not what is there.
TEST_F(PasswordTest, WhatOneConnectionMayLoadNoOtherUses) {
  {
    FakeMysql server;
    server.switch_to = "mysql_clear_password";
    OpenFence fence;
    auto address = Address(server);
    address.tls_ca = "any";
    MysqlSession::Options options;
    auto session = MysqlSession::Open(ctx_, address, options);  // Fails: there is no TLS.
    server.Stop();
    EXPECT_FALSE(session.ok());
    EXPECT_FALSE(server.HasSeen("Pa55"));
  }
  FakeMysql through;
  through.switch_to = "mysql_clear_password";
  (void)LogInByRelay(through);  // Its client is not restricted, and loads it.
  through.Stop();
  EXPECT_FALSE(through.HasSeen("Pa55"));
  FakeMysql server;
  server.switch_to = "mysql_clear_password";
  EXPECT_FALSE(LogIn(server).ok());
  server.Stop();
  EXPECT_FALSE(server.HasSeen("Pa55"));
}

}  // namespace
}  // namespace oms::drivers::mysql
