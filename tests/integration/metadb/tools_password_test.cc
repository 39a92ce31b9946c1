// The real tools behind the relay, which to them is a unix socket, so a safe way: a server that
// asks for the password itself gets it from none of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <tuple>

#include "controller/base/child_process.h"
#include "reconcilers/drivers/mysql/mysql_relay.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "tests/fakes/fake_mysql.h"

namespace oms::drivers {
namespace {

using base::Code;
using fakes::FakeMysql;
using testing::HasSubstr;

constexpr char kPassword[] = "Pa55-of-config.yaml";

class OpenFence final : public ports::Fence {
 public:
  base::Status Register(const base::Context&, const ports::DbConnection&) override {
    return base::Ok();
  }
  void Unregister(const ports::DbConnection&) override {}
};

class ToolsPassword : public testing::TestWithParam<std::tuple<const char*, const char*>> {
 protected:
  ToolsPassword() { mysql::InitMysql(); }
  base::SystemClock clock_;
  base::Context ctx_ = base::Context(clock_, {}).WithTimeout(std::chrono::seconds(60));
};
INSTANTIATE_TEST_SUITE_P(Each, ToolsPassword,
                         testing::Combine(testing::Values("mysqldump", "mydumper", "mysql"),
                                          testing::Values("mysql_clear_password", "dialog",
                                                          "sha256_password",
                                                          "caching_sha2_password")),
                         [](const auto& both) {
                           return std::string(std::get<0>(both.param)) + "_" +
                                  std::get<1>(both.param);
                         });

TEST_P(ToolsPassword, GoesToNoServerThatAsksForItWithoutTls) {
  const auto [tool, plugin] = GetParam();
  for (const bool at_once : {false, true}) {
    FakeMysql server;
    server.plugin = at_once ? plugin : "mysql_native_password";
    server.switch_to = at_once ? "" : plugin;
    OpenFence fence;
    const ports::DbServerAddress address{"127.0.0.1", server.port(), "oms", base::Secret(kPassword),
                                         "",          true};
    auto relay = mysql::MysqlRelay::Start(ctx_, address, mysql::RelayUse::kWrite, fence, nullptr);
    ASSERT_TRUE(relay.ok()) << relay.error().message;
    const std::string options = (*relay)->folder() + "/options";
    std::ofstream(options) << "[client]\nuser=oms\npassword=\"" << kPassword
                           << "\"\nsocket=" << (*relay)->socket_path()
                           << "\n[mydumper]\nuser=oms\npassword=" << kPassword << "\n";
    base::ChildCommand command;
    command.argv = {tool, "--defaults-file=" + options};
    if (std::string(tool) == "mysqldump") command.argv.push_back("rm");
    if (std::string(tool) == "mysql") command.argv.insert(command.argv.end(), {"-e", "SELECT 1"});
    if (std::string(tool) == "mydumper") {
      command.argv.insert(command.argv.end(), {"-S", (*relay)->socket_path(), "-B", "rm", "-o",
                                               (*relay)->folder() + "/dump"});
    }
    const auto child = base::RunChild(ctx_, command);
    ASSERT_TRUE(child.ok()) << child.error().message;
    EXPECT_NE(child->exit_code, 0);
    EXPECT_GE(server.connections(), 1) << child->errors;
    const auto health = (*relay)->Health();
    relay->reset();
    server.Stop();
    EXPECT_FALSE(server.HasSeen("Pa55")) << "the password";
    ASSERT_TRUE(health.Is(Code::kDenied)) << (health.ok() ? "in" : health.error().message);
    EXPECT_EQ(health.error().reason, "MetaDBDenied");
    EXPECT_THAT(health.error().message, HasSubstr("set spec.metaDB.connect.tls"));
  }
}

}  // namespace
}  // namespace oms::drivers
