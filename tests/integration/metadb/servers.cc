#include "tests/integration/metadb/servers.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace oms::drivers {

namespace {

std::string Env(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

}  // namespace

ports::DbServerAddress OnServer::AddressOf(ServerKind kind) {
  const std::string prefix = kind == ServerKind::kOceanBase ? "METADB" : "METADB_MARIADB";
  EXPECT_NE(Env(prefix + "_PORT"), "")
      << prefix << "_* is not set: hack/devenv.sh up --metadb both; eval \"$(hack/devenv.sh env)\"";
  ports::DbServerAddress address;
  address.host = Env(prefix + "_HOST");
  address.port = std::atoi(Env(prefix + "_PORT").c_str());
  address.user = Env(prefix + "_USER");
  address.password = base::Secret(Env(prefix + "_PASSWORD"));
  return address;
}

void OnServer::SetUp() {
  mysql::InitMysql();
  address_ = AddressOf(GetParam());
  ASSERT_NE(address_.port, 0);
  if (GetParam() == ServerKind::kMariaDbTls) {
    address_.tls_ca = TextOf(Env("METADB_MARIADB_CA"));
    ASSERT_NE(address_.tls_ca, "") << "METADB_MARIADB_CA is not set";
  }
  meta_db_ = mysql::MysqlMetaDbProvider().Open(address_);
  session_ = Session();
  ASSERT_NE(session_, nullptr);
  ASSERT_EQ(session_->oceanbase(), IsOceanBase()) << session_->version();
}

void OnServer::TearDown() {
  if (!session_) return;
  for (const auto& database : databases_) Sql("DROP DATABASE IF EXISTS `" + database + "`");
}

std::string OnServer::NewDatabaseName() {
  databases_.push_back("it_" + base::RandomId().substr(0, 10));
  return databases_.back();
}

std::string OnServer::NewDatabase() {
  const auto name = NewDatabaseName();
  Sql("CREATE DATABASE `" + name + "` DEFAULT CHARACTER SET utf8mb4");
  return name;
}

void OnServer::Sql(const std::string& statement) {
  const auto done = session_->Execute(ctx_, statement);
  ASSERT_TRUE(done.ok()) << statement << ": " << done.error().message;
}

void OnServer::RootSql(const std::string& statement) {
  const std::filesystem::path defaults =
      Env(IsOceanBase() ? "METADB_DEFAULTS" : "METADB_MARIADB_DEFAULTS");
  std::ifstream file(defaults.parent_path() / "root-password");
  std::string password;
  ASSERT_TRUE(std::getline(file, password)) << "no root-password beside " << defaults;
  auto address = address_;
  address.user = "root";
  address.password = base::Secret(password);
  auto session = mysql::MysqlSession::Open(ctx_, address, {});
  ASSERT_TRUE(session.ok()) << session.error().message;
  const auto done = (*session)->Execute(ctx_, statement);
  ASSERT_TRUE(done.ok()) << statement << ": " << done.error().message;
}

std::string OnServer::One(const std::string& query) {
  const auto value = session_->Scalar(ctx_, query);
  if (!value.ok()) {
    ADD_FAILURE() << query << ": " << value.error().message;
    return "";
  }
  return value->value_or("NULL");
}

std::unique_ptr<mysql::MysqlSession> OnServer::Session(const std::string& database) {
  mysql::MysqlSession::Options options;
  options.database = database;
  auto session = mysql::MysqlSession::Open(ctx_, address_, options);
  if (!session.ok()) {
    ADD_FAILURE() << session.error().message;
    return nullptr;
  }
  return std::move(session).value();
}

base::Status CountingFence::Register(const base::Context&, const ports::DbConnection& connection) {
  const std::lock_guard lock(mutex_);
  if (closed) return base::MakeError(base::Code::kFenced, "OwnedByAnother", "fenced");
  ++registered_;
  now_.push_back(connection);
  return base::Ok();
}

void CountingFence::Unregister(const ports::DbConnection& connection) {
  const std::lock_guard lock(mutex_);
  now_.erase(std::remove(now_.begin(), now_.end(), connection), now_.end());
}

std::vector<ports::DbConnection> CountingFence::Now() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

int CountingFence::registered() const {
  const std::lock_guard lock(mutex_);
  return registered_;
}

UnreadClient::UnreadClient(std::vector<std::string> way, const ports::DbServerAddress& address,
                           const std::string& statement) {
  EXPECT_EQ(pipe2(unread_, O_CLOEXEC), 0);
  way.insert(way.begin(), {"mariadb", "--no-defaults"});
  way.insert(way.end(), {"--user=" + address.user, "--quick", "-Ne", statement});
  std::string password = "MYSQL_PWD=" + address.password.Reveal();
  std::vector<char*> argv;
  for (auto& argument : way) argv.push_back(argument.data());
  argv.push_back(nullptr);
  char* const environment[] = {password.data(), nullptr};
  child_ = fork();
  EXPECT_GE(child_, 0);
  if (child_ == 0) {
    dup2(unread_[1], 1);
    execve("/usr/bin/mariadb", argv.data(), environment);
    _exit(127);
  }
}

UnreadClient::~UnreadClient() {
  Kill();
  for (const int end : unread_) close(end);
}

bool UnreadClient::Waits() const {
  int bytes = 0;
  // A pipe holds 64 KiB, and the client writes less than that at once.
  return ioctl(unread_[0], FIONREAD, &bytes) == 0 && bytes > 32 << 10;
}

void UnreadClient::Kill() {
  if (child_ <= 0) return;
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
  child_ = -1;
}

std::string TextOf(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

bool Eventually(const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

std::string KindName(const ::testing::TestParamInfo<ServerKind>& info) {
  switch (info.param) {
    case ServerKind::kOceanBase: return "OceanBase";
    case ServerKind::kMariaDb: return "MariaDB";
    case ServerKind::kMariaDbTls: return "MariaDBWithTLS";
  }
  return "";
}

}  // namespace oms::drivers
