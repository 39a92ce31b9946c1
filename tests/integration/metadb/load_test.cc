// Dump, drop, create, load: what comes back is what was there.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "controller/base/sha256.h"
#include "reconcilers/act/backup_job.h"
#include "reconcilers/drivers/dump/dump_tool.h"
#include "reconcilers/drivers/files/file_record_store.h"
#include "reconcilers/drivers/mysql/mysql_ownership.h"
#include "tests/integration/metadb/servers.h"

namespace oms::drivers {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using base::Code;
using ports::Compression;
using ports::DumpTool;

// Empty where it cannot be read: of a process that has just ended.
std::string ReadText(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// Lets a number of registrations through, then none.
class FewFence final : public ports::Fence {
 public:
  explicit FewFence(int few) : left_(few) {}
  base::Status Register(const base::Context&, const ports::DbConnection&) override {
    if (left_-- > 0) return base::Ok();
    return base::MakeError(Code::kFenced, "OwnedByAnother", "the epoch was raised");
  }
  void Unregister(const ports::DbConnection&) override {}

 private:
  std::atomic<int> left_;
};

class LoadTest : public OnServer {
 protected:
  void SetUp() override {
    OnServer::SetUp();
    char name[] = "/tmp/oms-load-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    tool_ = dump::MakeDumpTool();
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
    OnServer::TearDown();
  }

  static std::string AllBytes() {
    std::string hex;
    for (int i = 0; i < 256; ++i) {
      constexpr char kDigits[] = "0123456789abcdef";
      hex += kDigits[i / 16];
      hex += kDigits[i % 16];
    }
    return "x'" + hex + "'";
  }

  // Many kinds of columns, rows and objects.
  std::string Rich() {
    const auto database = NewDatabaseName();
    Sql("CREATE DATABASE `" + database + "` DEFAULT CHARACTER SET " +
        (IsOceanBase() ? "utf8mb4 COLLATE utf8mb4_bin" : "latin1 COLLATE latin1_german2_ci"));
    auto session = Session(database);
    if (!session) return database;
    const std::string bytes = AllBytes();
    std::vector<std::string> statements = {
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+03:30'",
        "CREATE TABLE kinds (id bigint AUTO_INCREMENT PRIMARY KEY, s varchar(200) CHARACTER SET "
        "utf8mb4 DEFAULT 'é€' COMMENT '注释 '';\" \\\\ x', bin varbinary(300), fix binary(16), b "
        "longblob, n decimal(30,10), z datetime, d datetime(6), ts timestamp(6) NULL, upd "
        "timestamp "
        "DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, dt date, tm time(3), y year, f "
        "float, dbl double, j json, bt bit(9), e enum('a','b;'), st set('x','y'), tx longtext "
        "CHARACTER SET utf8mb4, u bigint unsigned, "
        "KEY k_s (s(20)), UNIQUE KEY k_u (u)) CHARACTER SET utf8mb4 COMMENT='表;'",
        "INSERT INTO kinds (id, s, bin, fix, b, n, z, d, ts, upd, dt, tm, y, f, dbl, j, bt, e, st, "
        "tx, u) VALUES (0, 'zero', " +
            bytes + ", x'00ff', " + bytes +
            ", -12345678901234567890.0123456789, '0000-00-00 00:00:00', '2026-03-29 "
            "02:30:00.123456', '2026-01-02 03:04:05.678901', '2026-10-25 01:30:00', '0000-00-00', "
            "'-12:34:56.789', 2026, 1.5, 2.2250738585072014e-308, '{\"a\": \"é😀\", \"b\": "
            "[1, null]}', b'101010101', 'b;', 'x,y', REPEAT('long; 😀\\n', 20000), "
            "18446744073709551615)",
        "INSERT INTO kinds (s, tx, u) VALUES ('é😀 \\'\"\\\\ \\r\\n\\t\\0 -- # /* */ ;\\n', "
        "'DELIMITER "
        "x\\nline;\\n\\\\! ls\\n', 1)",
        "INSERT INTO kinds (s) VALUES (NULL), (''), ('NULL'), ('\\\\N'), ('  blanks  ')",
        "INSERT INTO kinds (id, s) VALUES (4990, 'gap'), (5000, 'to be gone')",
        "DELETE FROM kinds WHERE id = 5000",
        "CREATE TABLE plain (a int PRIMARY KEY, b varchar(50) NOT NULL)",
        "INSERT INTO plain VALUES (1, '" + std::string(IsOceanBase() ? "国" : "ü") + "'), (2, '')",
        "CREATE TABLE empty_one (a int, b varchar(10))",
        "CREATE TABLE `dash-ed$` (a int PRIMARY KEY)",
        "INSERT INTO `dash-ed$` VALUES (7)",
        "CREATE TABLE z_parent (id int PRIMARY KEY) CHARACTER SET utf8mb4",
        "INSERT INTO z_parent VALUES (1), (2)",
        "CREATE TABLE a_child (id int PRIMARY KEY, parent int, CONSTRAINT fk FOREIGN KEY (parent) "
        "REFERENCES z_parent (id)) CHARACTER SET utf8mb4",
        "INSERT INTO a_child VALUES (1, 2), (2, NULL)",
        "CREATE TABLE parts (id int NOT NULL, s varchar(20), PRIMARY KEY (id)) PARTITION BY HASH "
        "(id) PARTITIONS 4",
        "INSERT INTO parts VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')",
        "CREATE TABLE seen (n int)",
        "CREATE TABLE made (id int PRIMARY KEY, g varchar(100) GENERATED ALWAYS AS "
        "(CONCAT(id, 'é')) VIRTUAL) CHARACTER SET utf8mb4",
        "INSERT INTO made (id) VALUES (3), (4)",
        "CREATE FUNCTION twice(a int) RETURNS int DETERMINISTIC\nBEGIN\n  -- a comment; in it\n  "
        "RETURN a * 2;\nEND",
        "CREATE PROCEDURE p1(IN x int)\nBEGIN\n  /* another; one */\n  SELECT 1;\n  SELECT ';;\n', "
        "x;\nEND",
        "CREATE VIEW z_view AS SELECT id, s FROM kinds WHERE id > 0",
        "CREATE VIEW a_view AS SELECT z.id, p.b FROM z_view z LEFT JOIN plain p ON p.a = z.id",
        "CREATE VIEW m_view AS SELECT a.id FROM a_view a",
        "CREATE TRIGGER b_trigger BEFORE INSERT ON plain FOR EACH ROW\nBEGIN\n  -- why; so\n  SET "
        "NEW.b = CONCAT(NEW.b, ';');\n  INSERT INTO seen VALUES (NEW.a);\nEND",
        "CREATE TRIGGER c_trigger AFTER UPDATE ON kinds FOR EACH ROW SET @x = 'é'",
    };
    if (!IsOceanBase()) {
      statements.push_back(
          "CREATE TRIGGER a_trigger BEFORE INSERT ON plain FOR EACH ROW FOLLOWS b_trigger SET "
          "NEW.b = CONCAT(NEW.b, '!')");
      statements.push_back("CREATE VIEW f_view AS SELECT twice(a) AS t FROM plain");
    }
    for (const auto& statement : statements) {
      const auto done = session->Execute(ctx_, statement);
      EXPECT_TRUE(done.ok()) << statement.substr(0, 300) << ": " << done.error().message;
    }
    return database;
  }

  // OceanBase loads no rows of such a table that mysqldump wrote; see the test of it.
  void WithoutGenerated(const std::string& database) {
    if (IsOceanBase()) Sql("DROP TABLE `" + database + "`.made");
  }

  // Rows that take several statements.
  void Big(const std::string& database, int doublings, const std::string& columns = "500") {
    const std::string table = "`" + database + "`.big";
    Sql("CREATE TABLE " + table + " (id bigint AUTO_INCREMENT PRIMARY KEY, s varchar(" + columns +
        "))");
    Sql("INSERT INTO " + table + " (s) VALUES (REPEAT('x', " + columns + ")), (REPEAT('y', " +
        columns + "))");
    for (int i = 0; i < doublings; ++i) {
      Sql("INSERT INTO " + table + " (s) SELECT s FROM " + table);
    }
  }

  ports::LoadRequest Dump(const std::string& database, DumpTool tool, Compression compression) {
    ports::DumpRequest request;
    request.server = address_;
    request.database = database;
    request.folder = folder_ / std::to_string(++dumps_) / database;
    request.tool = tool;
    request.compression = compression;
    ports::ByteProgress progress;
    auto outcome = tool_->Dump(ctx_, fence_, request, progress);
    EXPECT_TRUE(outcome.ok()) << outcome.error().message;
    ports::LoadRequest load;
    load.server = address_;
    load.database = database;
    load.folder = request.folder.parent_path();
    if (outcome.ok()) load.files = outcome->files;
    for (auto& file : load.files) file.path = database + "/" + file.path;  // As the manifest does.
    load.tool = tool;
    load.compression = compression;
    return load;
  }
  ports::DatabaseDigest Digest(const std::string& database) {
    auto digest = meta_db_.server->Digest(ctx_, database);
    EXPECT_TRUE(digest.ok()) << digest.error().message;
    return digest.ok() ? *digest : ports::DatabaseDigest{};
  }
  void Remake(const ports::DatabaseDigest& digest) {
    const auto dropped = meta_db_.server->DropDatabase(ctx_, fence_, digest.name);
    ASSERT_TRUE(dropped.ok()) << dropped.error().message;
    EXPECT_TRUE(meta_db_.server->Digest(ctx_, digest.name).Is(Code::kNotFound));
    const auto made = meta_db_.server->CreateDatabase(ctx_, fence_, digest.name, digest.charset,
                                                      digest.collation);
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  base::Status Load(const ports::LoadRequest& request) {
    progress_.total = 0;
    progress_.done = 0;
    return tool_->Load(ctx_, fence_, request, progress_);
  }
  static void ExpectSame(const ports::DatabaseDigest& before, const ports::DatabaseDigest& after) {
    EXPECT_EQ(record::DescribeDifference(before, after), "");
    EXPECT_TRUE(before == after);
  }
  uint64_t Bytes(const ports::LoadRequest& request) {
    uint64_t bytes = 0;
    for (const auto& file : request.files) bytes += file.bytes;
    return bytes;
  }
  // Changes a file of a plain dump, and what the request says of it.
  void Change(ports::LoadRequest& request, const std::string& name, bool tell,
              const std::function<void(std::string&)>& change) {
    for (auto& file : request.files) {
      if (!file.path.ends_with(name)) continue;
      auto text = ReadText(request.folder / file.path);
      change(text);
      std::ofstream(request.folder / file.path, std::ios::binary) << text;
      if (!tell) return;
      file.bytes = text.size();
      file.sha256 = base::Sha256Hex(text);
      return;
    }
    ADD_FAILURE() << "no file " << name;
  }

  fs::path folder_;
  int dumps_ = 0;
  CountingFence fence_;
  ports::ByteProgress progress_;
  std::unique_ptr<ports::BackupTool> tool_;
};

INSTANTIATE_TEST_SUITE_P(Servers, LoadTest,
                         ::testing::Values(ServerKind::kOceanBase, ServerKind::kMariaDb,
                                           ServerKind::kMariaDbTls),
                         KindName);

TEST_P(LoadTest, WhatComesBackIsWhatWasDumped) {
  const auto database = Rich();
  Big(database, 14);
  auto before = Digest(database);
  for (const auto& sum : before.tables) EXPECT_EQ(sum.null_crcs, 0U) << sum.name;
  EXPECT_EQ(before.tables.size(), 10U);
  const std::string next =
      IsOceanBase()
          ? ""
          : One("SELECT auto_increment FROM information_schema.tables WHERE table_schema = '" +
                database + "' AND table_name = 'kinds'");
  const std::string fired =
      "SELECT GROUP_CONCAT(trigger_name ORDER BY event_object_table, action_order) FROM "
      "information_schema.triggers WHERE trigger_schema = '" +
      database + "'";
  const std::string order = One(fired);
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    if (IsOceanBase() && tool == DumpTool::kMysqldump) {
      WithoutGenerated(database);
      before = Digest(database);
    }
    for (const auto compression : {Compression::kZstd, Compression::kNone}) {
      SCOPED_TRACE(testing::Message() << "tool " << static_cast<int>(tool) << " compression "
                                      << static_cast<int>(compression));
      const auto request = Dump(database, tool, compression);
      const int before_load = fence_.registered();
      Remake(before);
      const int remade = fence_.registered();
      EXPECT_EQ(remade - before_load, 2) << "who drops and who creates asked the fence";
      const auto loaded = Load(request);
      ASSERT_TRUE(loaded.ok()) << loaded.error().message;
      // Each client's connection twice; the rows of mydumper by four clients.
      const int clients = tool == DumpTool::kMysqldump        ? 2
                          : compression == Compression::kNone ? 6
                                                              : 3;
      EXPECT_GE(fence_.registered() - remade, 2 * clients);
      EXPECT_TRUE(fence_.Now().empty()) << "all connections have ended";
      EXPECT_EQ(progress_.total, Bytes(request));
      EXPECT_EQ(progress_.done, progress_.total);
      ExpectSame(before, Digest(database));
      EXPECT_EQ(One(fired), order);
      if (!IsOceanBase()) {
        EXPECT_EQ(
            One("SELECT auto_increment FROM information_schema.tables WHERE table_schema = '" +
                database + "' AND table_name = 'kinds'"),
            next);
      }
      EXPECT_EQ(One("SELECT COUNT(*) FROM `" + database + "`.seen"), "0") << "no trigger fired";
    }
  }
  // It lives: what the loaded triggers, views and counters do.
  Sql("INSERT INTO `" + database + "`.plain VALUES (9, 'n')");
  EXPECT_EQ(One("SELECT b FROM `" + database + "`.plain WHERE a = 9"),
            IsOceanBase() ? "n;" : "n;!");
  Sql("INSERT INTO `" + database + "`.kinds (s) VALUES ('next')");
  EXPECT_GE(std::stoul(One("SELECT id FROM `" + database + "`.kinds WHERE s = 'next'")), 5001U)
      << "an id that was given once is not given again";
  EXPECT_EQ(One("SELECT COUNT(*) FROM `" + database + "`.m_view WHERE id > 0"),
            One("SELECT COUNT(*) FROM `" + database + "`.kinds WHERE id > 0"));
}

TEST_P(LoadTest, WhatIsDumpedUnderASqlModeOfTheServersComesBackAsItWas) {
  const auto database = Rich();
  WithoutGenerated(database);
  Sql("CREATE TABLE `" + database + "`.chars (id int PRIMARY KEY, c char(20))");
  Sql("INSERT INTO `" + database + "`.chars VALUES (1, 'short')");
  const auto before = Digest(database);
  const std::string server = One("SELECT @@global.sql_mode");
  RootSql("SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'");
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    SCOPED_TRACE(testing::Message() << "tool " << static_cast<int>(tool));
    const auto request = Dump(database, tool, Compression::kNone);
    Remake(before);
    const auto loaded = Load(request);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    ExpectSame(before, Digest(database));
  }
  RootSql("SET GLOBAL sql_mode = '" + server + "'");
}

TEST_P(LoadTest, SeveralFilesOfOneTableAreLoadedSideBySide) {
  if (IsOceanBase()) return;  // Its statistics are empty, so mydumper makes one file of a table.
  const auto database = NewDatabase();
  Big(database, 19, "8");
  Sql("ANALYZE TABLE `" + database + "`.big");
  const auto request = Dump(database, DumpTool::kMydumper, Compression::kZstd);
  int files = 0;
  for (const auto& file : request.files) files += file.path.find(".big.") != std::string::npos;
  EXPECT_GT(files, 2);
  const auto before = Digest(database);
  Remake(before);
  const auto loaded = Load(request);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  ExpectSame(before, Digest(database));
}

TEST_P(LoadTest, AStopEndsTheLoadAndWhatIsHalfLoadedIsBegunAgain) {
  const auto database = Rich();
  WithoutGenerated(database);
  Big(database, 16);
  const auto before = Digest(database);
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    const auto request = Dump(database, tool, Compression::kNone);
    Remake(before);
    std::stop_source stop;
    const auto ctx = ctx_.WithStop(stop.get_token());
    progress_.total = 0;
    progress_.done = 0;
    base::SteadyTime stopped;
    std::thread stopper([&] {
      EXPECT_TRUE(Eventually([&] { return progress_.done > 10'000'000; }));
      stopped = std::chrono::steady_clock::now();
      stop.request_stop();
    });
    const auto loaded = tool_->Load(ctx, fence_, request, progress_);
    const auto ended = std::chrono::steady_clock::now();
    stopper.join();
    EXPECT_LT(ended - stopped, 5s);
    EXPECT_TRUE(loaded.Is(Code::kCancelled)) << (loaded.ok() ? "ok" : loaded.error().message);
    EXPECT_LT(progress_.done, progress_.total);
    EXPECT_TRUE(Eventually(
        [&] { return meta_db_.connections->ForeignConnections(ctx_, {database})->empty(); }));
    const auto half = Digest(database);
    EXPECT_FALSE(half == before);
    EXPECT_GT(half.tables.size(), 0U) << "it was in the middle";

    Remake(before);
    const auto again = Load(request);
    ASSERT_TRUE(again.ok()) << again.error().message;
    ExpectSame(before, Digest(database));
  }
}

TEST_P(LoadTest, ADeadlineEndsTheLoad) {
  const auto database = NewDatabase();
  Big(database, 16);
  const auto before = Digest(database);
  const auto request = Dump(database, DumpTool::kMysqldump, Compression::kZstd);
  Remake(before);
  const auto begun = std::chrono::steady_clock::now();
  const auto loaded = tool_->Load(ctx_.WithTimeout(500ms), fence_, request, progress_);
  EXPECT_TRUE(loaded.Is(Code::kTimeout)) << (loaded.ok() ? "ok" : loaded.error().message);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
}

TEST_P(LoadTest, AFencedLoadWritesNothing) {
  const auto database = Rich();
  WithoutGenerated(database);
  const auto before = Digest(database);
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    const auto request = Dump(database, tool, Compression::kNone);
    Remake(before);
    CountingFence closed;
    closed.closed = true;
    const auto loaded = tool_->Load(ctx_, closed, request, progress_);
    EXPECT_TRUE(loaded.Is(Code::kFenced)) << (loaded.ok() ? "ok" : loaded.error().message);
    EXPECT_EQ(One("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '" +
                  database + "'"),
              "0");
    EXPECT_TRUE(meta_db_.server->DropDatabase(ctx_, closed, database).Is(Code::kFenced));
    EXPECT_TRUE(meta_db_.server->Digest(ctx_, database).ok()) << "it is still there";
    EXPECT_TRUE(
        meta_db_.server->CreateDatabase(ctx_, closed, database + "x", "utf8mb4", "utf8mb4_bin")
            .Is(Code::kFenced));
    EXPECT_TRUE(meta_db_.server->Digest(ctx_, database + "x").Is(Code::kNotFound));
    const auto again = Load(request);
    ASSERT_TRUE(again.ok()) << again.error().message;
  }
}

TEST_P(LoadTest, AnEpochThatIsRaisedInTheMiddleEndsTheLoadBeforeItsNextConnection) {
  const auto database = Rich();
  const auto before = Digest(database);
  const auto request = Dump(database, DumpTool::kMydumper, Compression::kZstd);
  Remake(before);
  FewFence fence(2);  // One connection registers twice: that of the schemas.
  const auto loaded = tool_->Load(ctx_, fence, request, progress_);
  EXPECT_TRUE(loaded.Is(Code::kFenced)) << (loaded.ok() ? "ok" : loaded.error().message);
  const auto half = Digest(database);
  EXPECT_EQ(half.tables.size(), before.tables.size());
  for (const auto& table : half.tables) EXPECT_EQ(table.rows, 0U) << table.name;
}

TEST_P(LoadTest, ADamagedFileFailsTheLoadWithTheClientsWordsAndNoData) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE `" + database + "`.t (id int PRIMARY KEY, s varchar(100))");
  Sql("INSERT INTO `" + database + "`.t VALUES (1, 'a-secret-of-oms'), (2, 'b')");
  const auto before = Digest(database);
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    const std::string rows = tool == DumpTool::kMydumper ? ".t.sql" : "/" + database + ".sql";
    const auto good = Dump(database, tool, Compression::kNone);
    const auto fails = [&](const std::string& words, bool tell,
                           const std::function<void(std::string&)>& change) {
      const auto whole = ReadText(
          good.folder / (database + "/" +
                         (tool == DumpTool::kMydumper ? database + ".t.sql" : database + ".sql")));
      auto request = good;
      Change(request, rows, tell, change);
      Remake(before);
      const auto loaded = Load(request);
      ASSERT_FALSE(loaded.ok()) << words;
      EXPECT_EQ(loaded.error().reason, "LoadFailed");
      EXPECT_EQ(loaded.error().code, Code::kTransient);
      EXPECT_NE(loaded.error().message.find(words), std::string::npos) << loaded.error().message;
      EXPECT_NE(loaded.error().message.find(rows), std::string::npos) << loaded.error().message;
      EXPECT_EQ(loaded.error().message.find("a-secret"), std::string::npos)
          << loaded.error().message;
      EXPECT_LE(progress_.done, progress_.total);
      Change(request, rows, false, [&](std::string& text) { text = whole; });
    };
    // Bytes that the server notices; the sum would have told too, but later.
    fails("ERROR 1064", true, [](std::string& text) {
      text.insert(text.find("INSERT INTO"), "INSRT (1, 'a-secret-of-oms');\n");
    });
    fails("ERROR 1062", true,
          [](std::string& text) { text += "INSERT INTO t VALUES (2, 'c');\n"; });
    // Cut within a string.
    fails("", true, [](std::string& text) { text.resize(text.find("a-secret")); });
    // Rows that are good SQL, but not those that were dumped.
    fails("sha256", false,
          [](std::string& text) { text.replace(text.find("a-secret"), 8, "A-SECRET"); });
    Remake(before);
    const auto loaded = Load(good);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    ExpectSame(before, Digest(database));
  }
  // A broken frame, and one that is cut.
  for (const bool cut : {false, true}) {
    auto request = Dump(database, DumpTool::kMysqldump, Compression::kZstd);
    Change(request, ".sql.zst", true, [&](std::string& text) {
      if (cut) {
        text.resize(text.size() - 5);
      } else {
        text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 0x55);
      }
    });
    Remake(before);
    const auto loaded = Load(request);
    ASSERT_FALSE(loaded.ok());
    EXPECT_EQ(loaded.error().reason, "LoadFailed") << loaded.error().message;
  }
}

TEST_P(LoadTest, AMissingFileIsNotLeftOutInSilence) {
  const auto database = Rich();
  const auto before = Digest(database);
  const auto request = Dump(database, DumpTool::kMydumper, Compression::kZstd);
  Remake(before);
  for (const auto& file : request.files) {
    if (file.path.find(".plain.sql") != std::string::npos) fs::remove(request.folder / file.path);
  }
  const auto loaded = Load(request);
  ASSERT_FALSE(loaded.ok());
  EXPECT_NE(loaded.error().message.find(".plain.sql"), std::string::npos);
}

TEST_P(LoadTest, TheClientsCommandLineAndEnvironmentHoldNoPassword) {
  const auto database = NewDatabase();
  Big(database, 14);
  const auto before = Digest(database);
  const auto request = Dump(database, DumpTool::kMydumper, Compression::kZstd);
  Remake(before);
  std::atomic<bool> done = false;
  int seen = 0;
  std::string told;
  std::thread watcher([&] {
    const std::string parent = std::to_string(getpid());
    while (!done) {
      std::error_code error;
      for (const auto& entry : fs::directory_iterator("/proc", error)) {
        if (std::isdigit(entry.path().filename().string()[0]) == 0) continue;
        const auto stat = ReadText(entry.path() / "stat");
        const size_t at = stat.rfind(')');
        if (at == std::string::npos || stat.substr(at + 4, parent.size() + 1) != parent + " ") {
          continue;
        }
        const auto line = ReadText(entry.path() / "cmdline");
        if (!line.starts_with("mysql")) continue;
        ++seen;
        for (const auto& text : {line, ReadText(entry.path() / "environ")}) {
          if (text.find(address_.password.Reveal()) != std::string::npos) told = text;
        }
      }
    }
  });
  const auto loaded = Load(request);
  done = true;
  watcher.join();
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_GT(seen, 0);
  EXPECT_EQ(told, "");
}

TEST_P(LoadTest, ADatabaseIsMadeWithItsCharacterSetAndDroppedOnlyOnce) {
  const auto name = NewDatabaseName();
  EXPECT_TRUE(meta_db_.server->Digest(ctx_, name).Is(Code::kNotFound));
  EXPECT_TRUE(meta_db_.server->DropDatabase(ctx_, fence_, name).ok()) << "gone already is success";
  ASSERT_TRUE(meta_db_.server->CreateDatabase(ctx_, fence_, name, "utf8mb4", "utf8mb4_bin").ok());
  const auto info = meta_db_.server->Database(ctx_, name);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->charset, "utf8mb4");
  EXPECT_EQ(info->collation, "utf8mb4_bin");
  EXPECT_TRUE(meta_db_.server->CreateDatabase(ctx_, fence_, name, "utf8mb4", "utf8mb4_bin")
                  .Is(Code::kAlreadyExists));
  for (const char* bad : {"a b", "utf8mb4;", "", "x`"}) {
    EXPECT_TRUE(meta_db_.server->CreateDatabase(ctx_, fence_, name + "y", bad, "utf8mb4_bin")
                    .Is(Code::kInvalid));
    EXPECT_TRUE(meta_db_.server->CreateDatabase(ctx_, fence_, name + "y", "utf8mb4", bad)
                    .Is(Code::kInvalid));
    EXPECT_TRUE(meta_db_.server->DropDatabase(ctx_, fence_, bad).Is(Code::kInvalid));
  }
  EXPECT_TRUE(meta_db_.server->DropDatabase(ctx_, fence_, name).ok());
  EXPECT_TRUE(meta_db_.server->Digest(ctx_, name).Is(Code::kNotFound));
  EXPECT_TRUE(fence_.Now().empty());
}

TEST_P(LoadTest, ADumpThatCouldNotBeLoadedIsRefused) {
  const auto database = Rich();
  ports::DumpRequest request;
  request.server = address_;
  request.database = database;
  request.folder = folder_ / "refused";
  request.tool = DumpTool::kMysqldump;
  const auto outcome = tool_->Dump(ctx_, fence_, request, progress_);
  ASSERT_EQ(outcome.ok(), !IsOceanBase());
  const auto info = meta_db_.server->Database(ctx_, database);
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->obstacles.no_mysqldump.empty(), !IsOceanBase()) << "told before the dump as well";
  if (!IsOceanBase()) return;  // MariaDB passes over the values, as its own mysqldump expects.
  EXPECT_TRUE(outcome.Is(Code::kTerminal));
  EXPECT_EQ(outcome.error().reason, "DumpUnsupported");
  EXPECT_NE(outcome.error().message.find("generated"), std::string::npos);
  EXPECT_NE(outcome.error().message.find("mydumper"), std::string::npos);
}

TEST_P(LoadTest, AViewOverATableThatIsGoneIsToldBeforeTheDump) {
  const auto database = Rich();
  auto info = meta_db_.server->Database(ctx_, database);
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->broken_view, "");
  Sql("CREATE TABLE `" + database + "`.base_of_view (id INT PRIMARY KEY)");
  Sql("CREATE VIEW `" + database + "`.left_behind AS SELECT id FROM `" + database +
      "`.base_of_view");
  Sql("DROP TABLE `" + database + "`.base_of_view");
  info = meta_db_.server->Database(ctx_, database);
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_NE(info->broken_view.find(database + ".left_behind: "), std::string::npos)
      << info->broken_view;
}

TEST_P(LoadTest, ALoadIntoADatabaseThatIsNotThereSaysSo) {
  const auto database = Rich();
  const auto request = Dump(database, DumpTool::kMydumper, Compression::kZstd);
  ASSERT_TRUE(meta_db_.server->DropDatabase(ctx_, fence_, database).ok());
  EXPECT_TRUE(Load(request).Is(Code::kNotFound));
}

// RESTORE.md is for a person with nothing but the files: its commands are run as they stand.
TEST_P(LoadTest, RestoreMdBringsEverythingBackWhenItIsFollowedByHand) {
  if (GetParam() == ServerKind::kMariaDbTls) return;  // How it is reached is client.cnf's matter.
  act::BackupPlan plan;
  plan.operation = "op";
  plan.from = "4.3.0";
  plan.databases = {{"rm", Rich()}, {"cm", Rich()}, {"cm_hb", NewDatabase()}};
  for (int i : {0, 1}) WithoutGenerated(plan.databases[i].name);
  Big(plan.databases[0].name, 12);
  Sql("CREATE TABLE `" + plan.databases[2].name +
      "`.heatbeat_sequence (id bigint AUTO_INCREMENT PRIMARY KEY, gmt_created datetime)");
  Sql("INSERT INTO `" + plan.databases[2].name + "`.heatbeat_sequence VALUES (41, NOW())");
  plan.heartbeat_max = 41;
  plan.container_name = "oms_430";
  plan.watch_interval = 20ms;
  const auto store = files::MakeFileRecordStore();
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    for (const auto compression : {Compression::kZstd, Compression::kNone}) {
      plan.folder = folder_ / ("backup" + std::to_string(++dumps_));
      plan.tool = tool;
      plan.compression = compression;
      const auto manifest =
          act::RunBackup(ctx_, plan, meta_db_.View(), *tool_, fence_, *store, progress_);
      ASSERT_TRUE(manifest.ok()) << manifest.error().message;
      // What the upgrade does to them in the meantime.
      Sql("DROP VIEW `" + plan.databases[0].name + "`.m_view");
      Sql("CREATE TABLE `" + plan.databases[1].name + "`.of_the_new_version (a int)");
      Sql("DROP DATABASE `" + plan.databases[2].name + "`");

      std::istringstream text(ReadText(plan.folder / "RESTORE.md"));
      std::string script = "set -eu -o pipefail\n";
      int commands = 0, docker = 0;
      for (std::string line; std::getline(text, line);) {
        if (!line.starts_with("        ")) continue;
        line.erase(0, 8);
        if (line.starts_with("docker ")) {
          ++docker;
          continue;
        }
        ++commands;
        script += line + "\n";
      }
      EXPECT_EQ(docker, 4);
      EXPECT_EQ(commands, 1 + 3 * (tool == DumpTool::kMydumper ? 4 : 3));
      std::ofstream(folder_ / "script") << script;
      std::ofstream(plan.folder / "client.cnf")
          << "[client]\nuser=" << address_.user << "\npassword=\"" << address_.password.Reveal()
          << "\"\n";
      const auto out = folder_ / "out";
      const int status =
          std::system(("cd '" + plan.folder.string() + "' && bash '" +
                       (folder_ / "script").string() + "' >'" + out.string() + "' 2>&1")
                          .c_str());
      ASSERT_EQ(status, 0) << ReadText(out) << script;
      for (const auto& database : manifest->databases) {
        ExpectSame(database.digest, Digest(database.name));
      }
      EXPECT_TRUE(record::VerifyManifest(*store, plan.folder).ok()) << "the files are untouched";
    }
  }
}

}  // namespace
}  // namespace oms::drivers
