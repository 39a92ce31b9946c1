// What a dump would lack, could not bring back or would bring in is found: by each tool, on each
// server.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "reconcilers/act/backup_job.h"
#include "reconcilers/act/dump_check.h"
#include "reconcilers/drivers/dump/dump_loader.h"
#include "reconcilers/drivers/dump/dump_tool.h"
#include "reconcilers/drivers/files/file_record_store.h"
#include "tests/integration/metadb/metadb_proxy.h"
#include "tests/integration/metadb/servers.h"

namespace oms::drivers {
namespace {

namespace fs = std::filesystem;
using base::Code;
using ports::Compression;
using ports::DumpTool;
using testing::HasSubstr;

class DumpWholeTest : public OnServer {
 protected:
  void SetUp() override {
    OnServer::SetUp();
    char name[] = "/tmp/oms-whole-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    tool_ = dump::MakeDumpTool();
    path_ = std::getenv("PATH");
  }
  void TearDown() override {
    setenv("PATH", path_.c_str(), 1);
    for (const auto& user : users_) RootSql("DROP USER IF EXISTS '" + user + "'@'%'");
    if (!folder_.empty()) fs::remove_all(folder_);
    OnServer::TearDown();
  }

  // A user with these rights alone ("SELECT ON `x`.*"), and the server as that user reaches it.
  ports::DbServerAddress With(const std::vector<std::string>& rights) {
    users_.push_back("it_" + base::RandomId().substr(0, 8));
    RootSql("CREATE USER '" + users_.back() + "'@'%' IDENTIFIED BY 'a-pass-w0rd'");
    for (const auto& right : rights) RootSql("GRANT " + right + " TO '" + users_.back() + "'@'%'");
    auto address = address_;
    address.user = users_.back();
    address.password = base::Secret("a-pass-w0rd");
    return address;
  }
  ports::DbInfo Look(const std::string& database, const ports::DbServerAddress& as) {
    auto info = mysql::MysqlMetaDbProvider().Open(as).server->Database(ctx_, database);
    EXPECT_TRUE(info.ok()) << info.error().message;
    return info.ok() ? *std::move(info) : ports::DbInfo();
  }
  ports::DbInfo Look(const std::string& database) { return Look(database, address_); }

  base::Result<ports::DumpOutcome> Dump(const std::string& database, DumpTool tool) {
    ports::DumpRequest request;
    request.server = address_;
    request.database = database;
    request.folder = folder_ / ("dump" + std::to_string(++dumps_));
    request.tool = tool;
    request.compression = Compression::kNone;
    last_ = request.folder;
    return tool_->Dump(ctx_, fence_, request, progress_);
  }
  // Dropped, made and loaded from the last dump.
  base::Status Restore(const std::string& database, DumpTool tool,
                       const std::vector<ports::DumpFile>& files) {
    OMS_TRY(meta_db_.server->DropDatabase(ctx_, fence_, database));
    OMS_TRY(
        meta_db_.server->CreateDatabase(ctx_, fence_, database, "utf8mb4", "utf8mb4_general_ci"));
    ports::LoadRequest request;
    request.server = address_;
    request.database = database;
    request.folder = last_;
    request.files = files;
    request.tool = tool;
    request.compression = Compression::kNone;
    return tool_->Load(ctx_, fence_, request, progress_);
  }
  // A program in place of the system's.
  void Program(const std::string& name, const std::string& text) {
    const fs::path path = folder_ / "bin" / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
    fs::permissions(path, fs::perms::owner_all);
    setenv("PATH", (path.parent_path().string() + ":" + path_).c_str(), 1);
  }
  static std::string Table(const std::string& database, const std::string& table) {
    return "`" + database + "`.`" + table + "`";
  }

  fs::path folder_, last_;
  std::string path_;
  int dumps_ = 0;
  std::vector<std::string> users_;
  CountingFence fence_;
  ports::ByteProgress progress_;
  std::unique_ptr<ports::BackupTool> tool_;
};

INSTANTIATE_TEST_SUITE_P(Servers, DumpWholeTest,
                         ::testing::Values(ServerKind::kOceanBase, ServerKind::kMariaDb), KindName);

// ---------------------------------------------------------------------- what a tool leaves out

TEST_P(DumpWholeTest, AnInvisibleColumnIsDumpedByMysqldumpAloneAndComesBack) {
  const auto database = NewDatabase();
  EXPECT_EQ(Look(database).obstacles.no_mydumper, "");
  Sql("CREATE TABLE " + Table(database, "inv") +
      " (id int PRIMARY KEY, note varchar(20) INVISIBLE DEFAULT 'd')");
  Sql("INSERT INTO " + Table(database, "inv") + " (id, note) VALUES (1, 'keep me'), (2, 'me too')");
  const auto info = Look(database);
  EXPECT_THAT(info.obstacles.no_mydumper, HasSubstr(database + ".inv.note"));
  EXPECT_EQ(info.obstacles.no_mysqldump, "");
  const auto refused = Dump(database, DumpTool::kMydumper);
  ASSERT_TRUE(refused.Is(Code::kTerminal));
  EXPECT_EQ(refused.error().reason, "DumpUnsupported");
  const auto dumped = Dump(database, DumpTool::kMysqldump);
  ASSERT_TRUE(dumped.ok()) << dumped.error().message;
  ASSERT_EQ(dumped->tables.size(), 1U);
  EXPECT_EQ(dumped->tables[0].columns, (std::vector<std::string>{"id", "note"}));
  const auto restored = Restore(database, DumpTool::kMysqldump, dumped->files);
  ASSERT_TRUE(restored.ok()) << restored.error().message;
  EXPECT_EQ(One("SELECT GROUP_CONCAT(note ORDER BY id) FROM " + Table(database, "inv")),
            "keep me,me too");
}

TEST_P(DumpWholeTest, BesideAGeneratedColumnMydumperKeepsAnInvisibleOne) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE " + Table(database, "both") +
      " (id int PRIMARY KEY, note varchar(20) INVISIBLE DEFAULT 'd', twice int GENERATED ALWAYS AS "
      "(id * 2) STORED)");
  Sql("INSERT INTO " + Table(database, "both") + " (id, note) VALUES (1, 'keep me')");
  EXPECT_EQ(Look(database).obstacles.no_mydumper, "");
  const auto dumped = Dump(database, DumpTool::kMydumper);
  ASSERT_TRUE(dumped.ok()) << dumped.error().message;
  ASSERT_EQ(dumped->tables.size(), 1U);
  EXPECT_EQ(dumped->tables[0].columns, (std::vector<std::string>{"id", "note"}));
  const auto restored = Restore(database, DumpTool::kMydumper, dumped->files);
  ASSERT_TRUE(restored.ok()) << restored.error().message;
  EXPECT_EQ(One("SELECT note FROM " + Table(database, "both")), "keep me");
}

// MySQL 8 and later: mydumper takes such a column for a generated one. (Tried there by hand, with
// METADB_MARIADB_* leading to it: no package of Debian 12 has that server.)
TEST_P(DumpWholeTest, AColumnWhoseDefaultIsAnExpressionComesBackByTheToolThatIsLeft) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE " + Table(database, "stamp") +
      " (id int PRIMARY KEY, t timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE "
      "CURRENT_TIMESTAMP, u varchar(40) DEFAULT (CONCAT('a', 'b')))");
  Sql("INSERT INTO " + Table(database, "stamp") + " VALUES (1, '2020-01-02 03:04:05', 'own')");
  const auto obstacles = Look(database).obstacles;
  const auto tool = obstacles.no_mydumper.empty() ? DumpTool::kMydumper : DumpTool::kMysqldump;
  const auto dumped = Dump(database, tool);
  ASSERT_TRUE(dumped.ok()) << dumped.error().message;
  const auto digest = meta_db_.server->Digest(ctx_, database);
  ASSERT_TRUE(digest.ok()) << digest.error().message;
  EXPECT_EQ(act::WhatDumpLacks(*digest, dumped->tables), "");
  const auto restored = Restore(database, tool, dumped->files);
  ASSERT_TRUE(restored.ok()) << restored.error().message;
  EXPECT_EQ(One("SELECT CONCAT(t, u) FROM " + Table(database, "stamp")), "2020-01-02 03:04:05own");
}

TEST_P(DumpWholeTest, ATableOfAKindThatNoSumIsTakenOfIsAnObstacleToBothTools) {
  if (IsOceanBase()) return;  // It has no such kinds.
  const auto database = NewDatabase();
  Sql("CREATE SEQUENCE " + Table(database, "counter"));
  const auto found = Look(database).obstacles;
  EXPECT_THAT(found.no_mydumper, HasSubstr(database + ".counter is a SEQUENCE"));
  EXPECT_EQ(found.no_mydumper, found.no_mysqldump);
}

TEST_P(DumpWholeTest, TheRowsOfTheFilesAreThoseOfTheTables) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE " + Table(database, "odd") +
      " (id bigint AUTO_INCREMENT PRIMARY KEY, s varchar(200), b longblob, j json, x bit(9), n "
      "decimal(9,2))");
  for (const char* row : {
           "('it''s; \"x\", \\\\ (1),(2)\\n-- /* # */', x'00ff27225c3b28292c0a', '{\"a\": \"b\"}', "
           "b'101', -1.5)",
           "(NULL, NULL, NULL, NULL, NULL)",
           "('', '', '[]', b'0', 0)",
           "('INSERT INTO `odd` VALUES (1);', REPEAT(x'00', 70000), '{}', b'1', 1)",
       }) {
    Sql("INSERT INTO " + Table(database, "odd") + " (s, b, j, x, n) VALUES " + row);
  }
  Sql("CREATE TABLE " + Table(database, "empty_one") + " (id int)");
  for (int i = 0; i < 9; ++i) {
    Sql("INSERT INTO " + Table(database, "odd") + " (s, b, j, x, n) SELECT s, b, j, x, n FROM " +
        Table(database, "odd"));
  }
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    const auto dumped = Dump(database, tool);
    ASSERT_TRUE(dumped.ok()) << dumped.error().message;
    ASSERT_EQ(dumped->tables.size(), 1U) << "a table without rows has none in the files";
    EXPECT_EQ(dumped->tables[0].name, "odd");
    EXPECT_EQ(dumped->tables[0].rows, 2048U);
    EXPECT_EQ(dumped->tables[0].values, 6U);
    EXPECT_GT(dumped->tables[0].longest, 70'000U);
  }
}

TEST_P(DumpWholeTest, AMydumperThatDropsARowMakesNoBackup) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE " + Table(database, "t") + " (id int PRIMARY KEY)");
  Sql("INSERT INTO " + Table(database, "t") + " VALUES (1), (2), (3)");
  Program("mydumper",
          "#!/bin/sh\n/usr/bin/mydumper \"$@\" || exit\n"
          "for a; do case $a in --outputdir=*) d=${a#--outputdir=} ;; esac; done\n"
          "[ -e \"$d/" +
              database +
              ".t.sql\" ] || exit 0\n"
              "sed -i '$d' \"$d/" +
              database + ".t.sql\" && sed -i '$s/,$/;/' \"$d/" + database + ".t.sql\"\n");
  act::BackupPlan plan;
  plan.operation = "op";
  plan.folder = folder_ / "backup";
  plan.databases = {{"rm", database}};
  const auto store = files::MakeFileRecordStore();
  const auto manifest =
      act::RunBackup(ctx_, plan, meta_db_.View(), *tool_, fence_, *store, progress_);
  ASSERT_FALSE(manifest.ok());
  EXPECT_EQ(manifest.error().reason, "DumpIncomplete");
  EXPECT_THAT(manifest.error().message,
              HasSubstr(database + ".t: 2 rows in the files, 3 in the database"));
  EXPECT_FALSE(fs::exists(plan.folder / "manifest.json"));
}

// ------------------------------------------------------------------ what could not be brought back

TEST_P(DumpWholeTest, ARowThatCouldNotBeLoadedAgainIsFoundWithTheFigureToSet) {
  const auto database = NewDatabase();
  const std::string before = One("SELECT @@global.max_allowed_packet");
  RootSql("SET GLOBAL max_allowed_packet = 16777216");
  Sql("CREATE TABLE " + Table(database, "fat") + " (id int PRIMARY KEY, a text, b longblob)");
  Sql("INSERT INTO " + Table(database, "fat") + " VALUES (1, 'x', REPEAT(CHAR(0), 1048576))");
  EXPECT_TRUE(meta_db_.server->ProveRowsFit(ctx_, database).ok());
  auto session = Session(database);  // A new one, by the value of now.
  const auto grown =
      session->Execute(ctx_, "UPDATE fat SET b = REPEAT(CHAR(0), 9437184) WHERE id = 1");
  ASSERT_TRUE(grown.ok()) << grown.error().message;
  const auto found = meta_db_.server->ProveRowsFit(ctx_, database);
  // What the next one says, were it not looked for: the dump is whole, and cannot be loaded.
  const auto dumped = Dump(database, DumpTool::kMydumper);
  RootSql("SET GLOBAL max_allowed_packet = 33554432");
  const auto mended = meta_db_.server->ProveRowsFit(ctx_, database);
  const auto again = Dump(database, DumpTool::kMydumper);
  base::Status restored = base::MakeError(Code::kInternal, "not tried");
  if (again.ok()) restored = Restore(database, DumpTool::kMydumper, again->files);
  RootSql("SET GLOBAL max_allowed_packet = " + before);

  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().reason, "PacketTooSmall");
  EXPECT_TRUE(found.error().Retryable()) << "looked at again by itself";
  EXPECT_THAT(found.error().message, HasSubstr(database + ".fat"));
  EXPECT_THAT(found.error().message, HasSubstr("9437184 of them in column b"));
  EXPECT_THAT(found.error().message, HasSubstr("SET GLOBAL max_allowed_packet = 33554432"));
  ASSERT_FALSE(dumped.ok());
  EXPECT_EQ(dumped.error().reason, "PacketTooSmall") << dumped.error().message;
  EXPECT_TRUE(mended.ok()) << mended.error().message;
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_TRUE(restored.ok()) << restored.error().message;
}

TEST_P(DumpWholeTest, ATableWithAKeyBeyondTheSignedNumbersIsNotCutIntoPieces) {
  if (IsOceanBase()) return;  // It tells mydumper no number of rows, so nothing is cut there.
  const auto database = NewDatabase();
  Sql("CREATE TABLE " + Table(database, "u") + " (id bigint unsigned PRIMARY KEY)");
  {
    auto session = Session(database);  // Sequences of MariaDB want a database to be in use.
    const auto filled = session->Execute(ctx_, "INSERT INTO u SELECT seq FROM seq_1_to_600000");
    ASSERT_TRUE(filled.ok()) << filled.error().message;
  }
  Sql("ANALYZE TABLE " + Table(database, "u"));
  const auto files_with = [&](const ports::DumpOutcome& outcome) {
    return std::count_if(outcome.files.begin(), outcome.files.end(),
                         [&](const auto& file) { return file.path.starts_with(database + ".u."); });
  };
  const auto cut = Dump(database, DumpTool::kMydumper);
  ASSERT_TRUE(cut.ok()) << cut.error().message;
  EXPECT_GT(files_with(*cut), 1) << "as it is otherwise, for a quick load";
  ASSERT_EQ(cut->tables.size(), 1U);
  EXPECT_EQ(cut->tables[0].rows, 600'000U);

  Sql("INSERT INTO " + Table(database, "u") + " VALUES (18446744073709551615)");
  // That it ends at all is what is tested: within these the real one takes all memory.
  Program("mydumper", "#!/bin/sh\nulimit -v 4000000\nexec /usr/bin/mydumper \"$@\"\n");
  const auto whole = Dump(database, DumpTool::kMydumper);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  EXPECT_EQ(files_with(*whole), 1);
  ASSERT_EQ(whole->tables.size(), 1U);
  EXPECT_EQ(whole->tables[0].rows, 600'001U);

  Sql("CREATE TABLE " + Table(database, "below") + " (id bigint PRIMARY KEY)");
  Sql("DELETE FROM " + Table(database, "u") + " WHERE id > 600000");
  Sql("INSERT INTO " + Table(database, "below") + " SELECT -CAST(id AS SIGNED) FROM " +
      Table(database, "u"));
  Sql("ANALYZE TABLE " + Table(database, "below"));
  const auto below = Dump(database, DumpTool::kMydumper);
  ASSERT_TRUE(below.ok()) << below.error().message;
  ASSERT_EQ(below->tables.size(), 2U);
  EXPECT_EQ(below->tables[0].name, "below");
  EXPECT_EQ(below->tables[0].rows, 600'000U);
}

// ------------------------------------------------------------------------------------- rights

TEST_P(DumpWholeTest, AUserWithAllOnItsDatabasesIsToldOfNothing) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE " + Table(database, "t") + " (id int PRIMARY KEY)");
  Sql("CREATE VIEW " + Table(database, "v") + " AS SELECT id FROM " + Table(database, "t"));
  const auto narrow =
      With({"PROCESS ON *.*", "ALL ON `" + database + "`.*", "ALL ON `oms\\_upgrade\\_%`.*"});
  EXPECT_EQ(Look(database, narrow).denied, "");
  EXPECT_EQ(Look(database).denied, "");
}

TEST_P(DumpWholeTest, ARightThatShowsOrMakesWhatADumpHoldsIsNamedWhereItIsMissing) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE " + Table(database, "t") + " (id int PRIMARY KEY)");
  Sql("CREATE VIEW " + Table(database, "v") + " AS SELECT id FROM " + Table(database, "t"));
  {
    auto session = Session(database);
    const auto made =
        session->Execute(ctx_, "CREATE TRIGGER audit AFTER UPDATE ON t FOR EACH ROW SET @dba = 1");
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  const std::vector<std::string> all = {
      "SELECT",        "INSERT",  "UPDATE",      "DELETE",      "CREATE",    "DROP",
      "ALTER",         "INDEX",   "REFERENCES",  "CREATE VIEW", "SHOW VIEW", "CREATE ROUTINE",
      "ALTER ROUTINE", "EXECUTE", "LOCK TABLES", "TRIGGER"};
  const auto without = [&](const std::string& one) {
    std::string rights;
    for (const auto& right : all) {
      if (right != one) rights += (rights.empty() ? "" : ", ") + right;
    }
    return With({rights + " ON `" + database + "`.*"});
  };
  EXPECT_EQ(Look(database, without("none of them")).denied, "");
  for (const char* right : {"TRIGGER", "CREATE ROUTINE", "CREATE VIEW", "SHOW VIEW"}) {
    const auto as = without(right);
    const std::string denied = Look(database, as).denied;
    EXPECT_THAT(denied, HasSubstr("user '" + as.user + "' lacks " + right + " on " + database));
    EXPECT_THAT(denied, HasSubstr(std::string("GRANT ") + right + " ON " + database + ".* TO '" +
                                  as.user + "'@'%'"));
    RootSql(std::string("GRANT ") + right + " ON " + database + ".* TO '" + as.user + "'@'%'");
    EXPECT_EQ(Look(database, as).denied, "") << "what it says to do mends it";
  }
}

TEST_P(DumpWholeTest, ARightThatIsGivenByARoleIsNotTakenForMissing) {
  const auto database = NewDatabase();
  const std::string role = "it_role_" + base::RandomId().substr(0, 8);
  RootSql("CREATE ROLE " + role);
  RootSql("GRANT ALL ON `" + database + "`.* TO " + role);
  const auto as = With({"SELECT ON `" + database + "`.*"});
  RootSql("GRANT " + role + " TO '" + as.user + "'@'%'");
  EXPECT_EQ(Look(database, as).denied, "");
  RootSql("DROP ROLE " + role);
}

TEST_P(DumpWholeTest, ARoutineWhoseTextIsNotShownIsNamed) {
  const auto database = NewDatabase();
  RootSql("CREATE PROCEDURE " + Table(database, "dba_report") + "() SELECT 1");
  const auto narrow = With({"ALL ON `" + database + "`.*"});
  const std::string denied = Look(database, narrow).denied;
  EXPECT_THAT(denied, HasSubstr("procedure " + database + ".dba_report"));
  const std::string right = IsOceanBase() ? "SELECT ON *.*" : "SELECT ON mysql.proc";
  EXPECT_THAT(denied, HasSubstr("grant " + right + " to that user"));
  RootSql("GRANT " + right + " TO '" + narrow.user + "'@'%'");
  EXPECT_EQ(Look(database, narrow).denied, "") << "what it says to do mends it";
}

TEST_P(DumpWholeTest, ScheduledEventsAreNamed) {
  const auto database = NewDatabase();
  EXPECT_TRUE(Look(database).events.empty());
  if (IsOceanBase()) return;  // It has none.
  Sql("CREATE EVENT " + Table(database, "purge") + " ON SCHEDULE EVERY 1 DAY DO SELECT 1");
  EXPECT_EQ(Look(database).events, std::vector<std::string>{"purge"});
  EXPECT_EQ(meta_db_.server->Events(ctx_, database).value(), std::vector<std::string>{"purge"});
  const auto blind = With({"SELECT ON `" + database + "`.*"});
  EXPECT_TRUE(Look(database, blind).events.empty()) << "who may not see them is told nothing";
}

// ------------------------------------------------------------------------ what a server may want

TEST_P(DumpWholeTest, AServerThatAsksForAFileGetsNothing) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE " + Table(database, "t") + " (id int PRIMARY KEY)");
  Sql("INSERT INTO " + Table(database, "t") + " VALUES (1)");
  const fs::path secret = folder_ / "secret";
  std::ofstream(secret) << "of this host\n";
  MetaDbProxy asks(address_, MetaDbProxy::Twist::kAsksForFile, "plain text", secret.string());
  const auto real = address_;
  address_.host = "127.0.0.1";
  address_.port = asks.port();
  auto session = Session();
  ASSERT_NE(session, nullptr);
  EXPECT_FALSE(asks.announced()) << "a session does not say that it gives files";
  (void)session->Query(ctx_, "SELECT 'plain text'");
  EXPECT_EQ(asks.asked(), 1);
  EXPECT_EQ(asks.given(), "");

  // The client that loads: the server may name a file after any statement, also LOAD DATA.
  address_ = real;
  auto dumped = Dump(database, DumpTool::kMydumper);
  ASSERT_TRUE(dumped.ok()) << dumped.error().message;
  for (auto& file : dumped->files) {
    if (!file.path.ends_with("-objects.sql")) continue;
    std::ofstream(last_ / file.path)
        << "LOAD DATA LOCAL INFILE 'plain text' INTO TABLE t;\n-- Completed: 0\n";
    file.bytes = fs::file_size(last_ / file.path);
    const auto sum = files::MakeFileRecordStore()->Sha256(last_ / file.path);
    ASSERT_TRUE(sum.ok());
    file.sha256 = *sum;
  }
  const int before = asks.asked();
  address_.host = "127.0.0.1";
  address_.port = asks.port();
  (void)Restore(database, DumpTool::kMydumper, dumped->files);
  EXPECT_GT(asks.asked(), before);
  EXPECT_EQ(asks.given(), "");
  address_ = real;
}

TEST_P(DumpWholeTest, TheToolsGiveAServerNoFileEither) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE " + Table(database, "t") + " (id int PRIMARY KEY)");
  Sql("INSERT INTO " + Table(database, "t") + " VALUES (1)");
  const fs::path secret = folder_ / "secret";
  std::ofstream(secret) << "of this host\n";
  const auto real = address_;
  for (const auto& [tool, statement] : {std::pair{DumpTool::kMydumper, "SHOW TABLE STATUS"},
                                        {DumpTool::kMysqldump, "SQL_NO_CACHE"}}) {
    MetaDbProxy asks(real, MetaDbProxy::Twist::kAsksForFile, statement, secret.string());
    address_.host = "127.0.0.1";
    address_.port = asks.port();
    const auto dumped = Dump(database, tool);
    EXPECT_FALSE(dumped.ok());
    EXPECT_GE(asks.asked(), 1) << statement;
    EXPECT_EQ(asks.given(), "") << statement;
  }
  address_ = real;
}

TEST_P(DumpWholeTest, ADefinitionThatIsNoneIsNoPartOfADump) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE " + Table(database, "t") + " (id int PRIMARY KEY COMMENT 'plain text')");
  {
    auto session = Session(database);
    const auto made =
        session->Execute(ctx_, "CREATE TRIGGER audit AFTER UPDATE ON t FOR EACH ROW SET @dba = 1");
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  const auto real = address_;
  const auto refused_as = [&](DumpTool tool, const char* said, const char* instead,
                              const std::string& names) {
    MetaDbProxy lies(real, MetaDbProxy::Twist::kSaysOtherwise, said, instead);
    address_.host = "127.0.0.1";
    address_.port = lies.port();
    const auto dumped = Dump(database, tool);
    address_ = real;
    ASSERT_FALSE(dumped.ok()) << instead;
    EXPECT_EQ(dumped.error().reason, "DumpUnsupported") << dumped.error().message;
    EXPECT_THAT(dumped.error().message, HasSubstr(names));
  };
  for (const auto tool : {DumpTool::kMydumper, DumpTool::kMysqldump}) {
    refused_as(tool, "CREATE DEFINER", "REVOKE DEFINER", "trigger " + database + ".audit");
    refused_as(tool, "plain text'", "';LOAD DATA", "LOAD");
  }
}

}  // namespace
}  // namespace oms::drivers
