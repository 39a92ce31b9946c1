#include "reconcilers/drivers/dump/dump_tool.h"

#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "controller/base/sha256.h"
#include "reconcilers/act/backup_job.h"
#include "reconcilers/drivers/files/file_record_store.h"
#include "tests/integration/metadb/servers.h"

namespace oms::drivers {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using base::Code;
using ports::Compression;
using ports::DumpTool;

class DumpToolTest : public OnServer {
 protected:
  void SetUp() override {
    OnServer::SetUp();
    char name[] = "/tmp/oms-it-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    std::ofstream client(folder_ / "client.cnf");
    for (const char* group : {"client", "myloader"}) {
      client << "[" << group << "]\nhost=" << address_.host << "\nport=" << address_.port
             << "\nuser=" << address_.user << "\npassword=\"" << address_.password.Reveal()
             << "\"\n";
    }
    tool_ = dump::MakeDumpTool();
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
    OnServer::TearDown();
  }

  // Something of every kind.
  std::string Sample() {
    const auto database = NewDatabase();
    auto session = Session(database);
    for (const char* statement : {
             "CREATE TABLE t (id bigint AUTO_INCREMENT PRIMARY KEY, s varchar(50), b blob, f "
             "float, "
             "d double, n decimal(10,3), j json, x bit(9), ts timestamp(3) NULL, dt datetime, e "
             "enum('a','b'), v varbinary(9), l longtext)",
             "INSERT INTO t (s, b, f, d, n, j, x, ts, dt, e, v, l) VALUES ('é😀', x'00ff0a27', 1.1, "
             "0.1, 1.5, '{\"a\": 1}', b'101', '2026-01-02 03:04:05.678', '2026-01-02 03:04:05', "
             "'b', "
             "x'80', 'text')",
             "INSERT INTO t (s) VALUES (NULL)",
             "INSERT INTO t (s) SELECT CONCAT('row ', id) FROM t",
             "CREATE TABLE empty_one (a int, b varchar(10))",
             "CREATE TABLE `dash-ed$` (a int PRIMARY KEY)",
             "INSERT INTO `dash-ed$` VALUES (7)",
             "CREATE VIEW v1 AS SELECT id, s FROM t",
             "CREATE TRIGGER g1 BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.s = CONCAT(NEW.s, "
             "';'); "
             "SET @x = 1; END",
             "CREATE PROCEDURE p1() BEGIN SELECT 1; SELECT ';;'; END",
             "CREATE FUNCTION f1(a int) RETURNS int DETERMINISTIC RETURN a + 1",
         }) {
      const auto done = session->Execute(ctx_, statement);
      EXPECT_TRUE(done.ok()) << statement << ": " << done.error().message;
    }
    return database;
  }
  void Big(const std::string& database, int doublings) {
    Sql("CREATE TABLE `" + database +
        "`.big (id bigint AUTO_INCREMENT PRIMARY KEY, s varchar(500))");
    Sql("INSERT INTO `" + database + "`.big (s) VALUES (REPEAT('x', 500)), (REPEAT('y', 500))");
    for (int i = 0; i < doublings; ++i) {
      Sql("INSERT INTO `" + database + "`.big (s) SELECT s FROM `" + database + "`.big");
    }
  }

  base::Result<ports::DumpOutcome> Dump(const std::string& database, DumpTool tool,
                                        Compression compression,
                                        const base::Context* ctx = nullptr) {
    ports::DumpRequest request;
    request.server = address_;
    request.database = database;
    request.folder = folder_ / ("dump" + std::to_string(++dumps_));
    request.tool = tool;
    request.compression = compression;
    last_ = request.folder;
    return tool_->Dump(ctx ? *ctx : ctx_, fence_, request, progress_);
  }

  int Run(const std::string& command) {
    const int status =
        std::system((command + " >>" + (folder_ / "out").string() + " 2>&1").c_str());
    if (status != 0) {
      std::ifstream out(folder_ / "out");
      ADD_FAILURE() << command << ": " << std::string((std::istreambuf_iterator<char>(out)), {});
    }
    return status;
  }
  // As a person would, with the files alone: dropped, made, loaded. (Under the same name: a view's
  // text names its database on OceanBase.)
  void Restore(const std::string& database, DumpTool tool, Compression compression) {
    Sql("DROP DATABASE `" + database + "`");
    Sql("CREATE DATABASE `" + database + "` DEFAULT CHARACTER SET utf8mb4");
    const std::string& target = database;
    const std::string cnf = " --defaults-file=" + (folder_ / "client.cnf").string();
    if (compression == Compression::kZstd) Run("zstd -q -d --rm " + last_.string() + "/*.zst");
    if (tool == DumpTool::kMydumper) {
      fs::rename(last_ / (database + "-objects.sql"), folder_ / "objects.sql");
      Run("myloader" + cnf + " --database=" + target + " --directory=" + last_.string() +
          " --host=" + address_.host + " --port=" + std::to_string(address_.port));
    } else {
      Run("mariadb" + cnf + " " + target + " < " + (last_ / (database + ".sql")).string());
      fs::rename(last_ / (database + "-objects.sql"), folder_ / "objects.sql");
    }
    Run("mariadb" + cnf + " " + target + " < " + (folder_ / "objects.sql").string());
  }
  ports::DatabaseDigest Digest(const std::string& database) {
    auto digest = meta_db_.server->Digest(ctx_, database);
    EXPECT_TRUE(digest.ok()) << digest.error().message;
    if (!digest.ok()) return {};
    digest->name.clear();
    return *digest;
  }

  fs::path folder_, last_;
  int dumps_ = 0;
  CountingFence fence_;
  ports::ByteProgress progress_;
  std::unique_ptr<ports::BackupTool> tool_;
};

INSTANTIATE_TEST_SUITE_P(Servers, DumpToolTest,
                         ::testing::Values(ServerKind::kOceanBase, ServerKind::kMariaDb,
                                           ServerKind::kMariaDbTls),
                         KindName);

TEST_P(DumpToolTest, ADumpBringsBackRowsSumsAndObjects) {
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    for (const auto compression : {Compression::kZstd, Compression::kNone}) {
      SCOPED_TRACE(testing::Message() << "tool " << static_cast<int>(tool) << " compression "
                                      << static_cast<int>(compression));
      const auto database = Sample();
      progress_.done = 0;
      const auto outcome = Dump(database, tool, compression);
      ASSERT_TRUE(outcome.ok()) << outcome.error().message;
      EXPECT_EQ(outcome->tool_version.find("mydumper") != std::string::npos,
                tool == DumpTool::kMydumper);
      EXPECT_GT(progress_.done, 0U);
      EXPECT_TRUE(fence_.Now().empty()) << "all connections have ended";
      EXPECT_GT(fence_.registered(), 0);
      size_t count = 0;
      for (const auto& entry : fs::directory_iterator(last_)) {
        ++count;
        EXPECT_EQ(fs::status(entry).permissions() & (fs::perms::group_all | fs::perms::others_all),
                  fs::perms::none);
      }
      EXPECT_EQ(count, outcome->files.size());
      for (const auto& file : outcome->files) {
        EXPECT_EQ(fs::file_size(last_ / file.path), file.bytes) << file.path;
        std::ifstream in(last_ / file.path);
        EXPECT_EQ(base::Sha256Hex(std::string((std::istreambuf_iterator<char>(in)), {})),
                  file.sha256);
      }
      const auto before = Digest(database);
      Restore(database, tool, compression);
      const auto after = Digest(database);
      EXPECT_EQ(before.tables, after.tables);
      ASSERT_EQ(before.objects.size(), after.objects.size());
      for (size_t i = 0; i < before.objects.size(); ++i) {
        EXPECT_EQ(before.objects[i], after.objects[i])
            << before.objects[i].kind << " " << before.objects[i].name << " / "
            << after.objects[i].kind << " " << after.objects[i].name;
      }
      fs::remove_all(last_);
    }
  }
}

TEST_P(DumpToolTest, TheSandboxLineOfMysqldumpIsCutOff) {
  const auto outcome = Dump(Sample(), DumpTool::kMysqldump, Compression::kNone);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  for (const auto& file : outcome->files) {
    std::ifstream in(last_ / file.path);
    std::string line;
    std::getline(in, line);
    EXPECT_EQ(line.find("sandbox"), std::string::npos) << file.path;
  }
}

TEST_P(DumpToolTest, AFolderThatExistsIsNotTouched) {
  const auto database = Sample();
  ASSERT_TRUE(Dump(database, DumpTool::kMydumper, Compression::kNone).ok());
  --dumps_;
  EXPECT_TRUE(Dump(database, DumpTool::kMydumper, Compression::kNone).Is(Code::kAlreadyExists));
}

TEST_P(DumpToolTest, EachFolderOnTheWayIsPrivateWhateverTheUmask) {
  const auto before = umask(0);
  ports::DumpRequest request;
  request.server = address_;
  request.database = NewDatabase();
  request.folder = folder_ / "dump" / "1" / request.database;
  const auto outcome = tool_->Dump(ctx_, fence_, request, progress_);
  umask(before);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  for (auto folder = request.folder; folder != folder_; folder = folder.parent_path()) {
    EXPECT_EQ(fs::status(folder).permissions(), fs::perms::owner_all) << folder;
  }
}

TEST_P(DumpToolTest, AFencedDumpReadsNothing) {
  fence_.closed = true;
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    const auto outcome = Dump(Sample(), tool, Compression::kNone);
    EXPECT_TRUE(outcome.Is(Code::kFenced)) << (outcome.ok() ? "ok" : outcome.error().message);
  }
}

TEST_P(DumpToolTest, AStopEndsTheDumpAtOnceAndItsConnections) {
  const auto database = NewDatabase();
  Big(database, 17);
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    std::stop_source stop;
    const auto ctx = ctx_.WithStop(stop.get_token());
    progress_.done = 0;
    base::SteadyTime stopped;
    std::thread stopper([&] {
      EXPECT_TRUE(Eventually([&] { return progress_.done > 100'000; }));
      stopped = std::chrono::steady_clock::now();
      stop.request_stop();
    });
    const auto outcome = Dump(database, tool, Compression::kNone, &ctx);
    stopper.join();
    EXPECT_LT(std::chrono::steady_clock::now() - stopped, 5s);
    EXPECT_TRUE(outcome.Is(Code::kCancelled)) << (outcome.ok() ? "ok" : outcome.error().message);
    EXPECT_TRUE(Eventually(
        [&] { return meta_db_.connections->ForeignConnections(ctx_, {database})->empty(); }));
  }
}

TEST_P(DumpToolTest, AWrongPasswordFailsAndIsNotTold) {
  const auto database = Sample();
  address_.password = base::Secret("wr0ng-pass-phrase");
  const auto outcome = Dump(database, DumpTool::kMydumper, Compression::kNone);
  ASSERT_TRUE(outcome.Is(Code::kDenied));
  EXPECT_EQ(outcome.error().message.find("wr0ng-pass-phrase"), std::string::npos);
}

TEST_P(DumpToolTest, APasswordWithEveryOddCharacterReachesTheTools) {
  const auto database = Sample();
  const std::string user = "it_" + base::RandomId().substr(0, 8);
  const std::string password = "a\"b\\c#d e$f%g=h;[i]";
  auto quoted = password;
  quoted.replace(quoted.find('\\'), 1, "\\\\");
  RootSql("CREATE USER '" + user + "'@'%' IDENTIFIED BY '" + quoted + "'");
  RootSql("GRANT ALL PRIVILEGES ON *.* TO '" + user + "'@'%'");
  address_.user = user;
  address_.password = base::Secret(password);
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    const auto outcome = Dump(database, tool, Compression::kZstd);
    EXPECT_TRUE(outcome.ok()) << outcome.error().message;
  }
  RootSql("DROP USER '" + user + "'@'%'");
}

TEST_P(DumpToolTest, ThreeDatabasesAreBackedUpWithAManifestThatVerifies) {
  act::BackupPlan plan;
  plan.operation = "op";
  plan.from = "4.3.0";
  plan.databases = {{"rm", Sample()}, {"cm", Sample()}, {"cm_hb", NewDatabase()}};
  Big(plan.databases[0].name, 12);
  Sql("CREATE TABLE `" + plan.databases[2].name +
      "`.heatbeat_sequence (id bigint AUTO_INCREMENT PRIMARY KEY, gmt_created datetime)");
  Sql("INSERT INTO `" + plan.databases[2].name + "`.heatbeat_sequence VALUES (41, NOW())");
  plan.heartbeat_max = 41;
  plan.container_name = "oms_430";
  plan.watch_interval = 20ms;
  const auto store = files::MakeFileRecordStore();
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    plan.folder = folder_ / ("backup" + std::to_string(static_cast<int>(tool)));
    plan.tool = tool;
    const auto manifest =
        act::RunBackup(ctx_, plan, meta_db_.View(), *tool_, fence_, *store, progress_);
    ASSERT_TRUE(manifest.ok()) << manifest.error().message;
    EXPECT_TRUE(record::VerifyManifest(*store, plan.folder).ok());
    EXPECT_EQ(Run("cd " + plan.folder.string() + " && sha256sum --quiet -c SHA256SUMS"), 0);
    for (const auto& database : manifest->databases) {
      EXPECT_EQ(record::DescribeDifference(database.digest,
                                           meta_db_.server->Digest(ctx_, database.name).value()),
                "");
    }
    EXPECT_GT(progress_.done, 1'000'000U);
    // The estimate is never waited for: 0 where the dump was faster than it.
    EXPECT_TRUE(progress_.total == 0 || progress_.total > 1'000'000U) << progress_.total;
    EXPECT_TRUE(fence_.Now().empty());
  }
}

TEST_P(DumpToolTest, ADumpThatTheQueryTimeoutWouldCutIsPreventedOrNoticed) {
  if (!IsOceanBase()) return;  // Others have no such limit.
  const auto database = NewDatabase();
  Big(database, 18);
  const auto before = meta_db_.server->GlobalQueryTimeout(ctx_).value().value();
  base::Result<ports::DumpOutcome> mysqldump = base::MakeError(Code::kInternal, "not run");
  bool left_something = false;
  // On a busy machine the first limit may cut what comes before the rows.
  for (uint64_t limit = 300'000; !left_something && limit < 3'000'000; limit *= 2) {
    ASSERT_TRUE(meta_db_.server->SetGlobalQueryTimeout(ctx_, fence_, limit).ok());
    mysqldump = Dump(database, DumpTool::kMysqldump, Compression::kNone);
    const fs::path part = last_ / (database + ".sql.part");
    left_something = mysqldump.ok() || (fs::exists(part) && fs::file_size(part) > 0);
  }
  const auto mydumper = Dump(database, DumpTool::kMydumper, Compression::kZstd);
  const auto put_back = meta_db_.server->SetGlobalQueryTimeout(ctx_, fence_, before);
  ASSERT_TRUE(put_back.ok()) << put_back.error().message;

  ASSERT_FALSE(mysqldump.ok()) << "noticed";
  EXPECT_EQ(mysqldump.error().reason, "DumpFailed") << mysqldump.error().message;
  EXPECT_TRUE(left_something) << "the guide's check, a size that is not 0, would have passed it";
  ASSERT_TRUE(mydumper.ok()) << "prevented: " << mydumper.error().message;
  Restore(database, DumpTool::kMydumper, Compression::kZstd);
}

}  // namespace
}  // namespace oms::drivers
