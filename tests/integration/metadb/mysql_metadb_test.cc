#include "reconcilers/drivers/mysql/mysql_metadb.h"

#include "reconcilers/oms/heartbeat.h"
#include "tests/integration/metadb/metadb_proxy.h"
#include "tests/integration/metadb/servers.h"

namespace oms::drivers {
namespace {

using namespace std::chrono_literals;
using base::Code;
using ports::CompactionAct;

class MysqlMetaDbTest : public OnServer {
 protected:
  // The test drops it.
  std::string UserWithoutRights() {
    const std::string user = "it_" + base::RandomId().substr(0, 8);
    RootSql("CREATE USER '" + user + "'@'%' IDENTIFIED BY 'a-pass-w0rd'");
    return user;
  }
  ports::MetaDb OpenAs(const std::string& user) {
    auto address = address_;
    address.user = user;
    address.password = base::Secret("a-pass-w0rd");
    return mysql::MysqlMetaDbProvider().Open(address);
  }

  void MakeSequence(const std::string& database, const std::string& table, int rows,
                    int first = 1) {
    Sql("CREATE TABLE `" + database + "`.`" + table +
        "` (`id` bigint(20) NOT NULL AUTO_INCREMENT COMMENT 'PK', `gmt_created` datetime NOT NULL,"
        "`gmt_modified` datetime NOT NULL, PRIMARY KEY (`id`)) DEFAULT CHARSET=utf8 "
        "COMMENT='Heartbeat sequence table'");
    for (int id = first; id < first + rows; ++id) {
      Sql("INSERT INTO `" + database + "`.`" + table + "` VALUES (" + std::to_string(id) +
          ", NOW(), NOW())");
    }
  }
  ports::SequenceTables Look(const std::string& database) {
    const auto tables = meta_db_.tables->Sequence(ctx_, database);
    EXPECT_TRUE(tables.ok()) << tables.error().message;
    return tables.ok() ? *tables : ports::SequenceTables{};
  }
  // Until there is nothing left to do; the acts.
  std::vector<CompactionAct> CompactAll(
      const std::string& database, product::SequenceUse use = product::SequenceUse::kStandsStill) {
    CountingFence fence;
    std::vector<CompactionAct> acts;
    while (acts.size() < 12) {
      const auto act = product::NextCompactionAct(Look(database), use);
      if (act == CompactionAct::kNone) break;
      acts.push_back(act);
      const auto done = meta_db_.tables->Compact(ctx_, fence, database, act);
      EXPECT_TRUE(done.ok()) << static_cast<int>(act) << ": " << done.error().message;
      if (!done.ok()) break;
    }
    EXPECT_EQ(fence.registered(), static_cast<int>(acts.size()));
    EXPECT_TRUE(fence.Now().empty());
    return acts;
  }
  uint64_t NextId(const std::string& database) {
    Sql("INSERT INTO `" + database +
        "`.heatbeat_sequence (gmt_created, gmt_modified) VALUES (NOW(), NOW())");
    return std::stoull(One("SELECT MAX(id) FROM `" + database + "`.heatbeat_sequence"));
  }
};

INSTANTIATE_TEST_SUITE_P(Servers, MysqlMetaDbTest,
                         ::testing::Values(ServerKind::kOceanBase, ServerKind::kMariaDb,
                                           ServerKind::kMariaDbTls),
                         KindName);

TEST_P(MysqlMetaDbTest, KnowsTheServer) {
  const auto server = meta_db_.server->Server(ctx_);
  ASSERT_TRUE(server.ok()) << server.error().message;
  EXPECT_EQ(server->oceanbase, IsOceanBase());
  EXPECT_FALSE(server->identity.empty());
  EXPECT_EQ(meta_db_.server->Server(ctx_)->identity, server->identity);
}

TEST_P(MysqlMetaDbTest, EstimatesTheSizeOfADatabaseFromItsRows) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE `" + database + "`.t (a int PRIMARY KEY, b varchar(200))");
  std::string values;
  for (int i = 0; i < 5000; ++i) {
    values += (i ? ",(" : "(") + std::to_string(i) + ",REPEAT('x', 100))";
  }
  Sql("INSERT INTO `" + database + "`.t VALUES " + values);
  const auto info = meta_db_.server->Database(ctx_, database);
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->charset, "utf8mb4");
  EXPECT_GT(info->bytes, 500'000U);
  EXPECT_LT(info->bytes, 2'000'000U);
  EXPECT_TRUE(meta_db_.server->Database(ctx_, "it_none_such").Is(Code::kNotFound));
}

TEST_P(MysqlMetaDbTest, SwapsHaConfigOnlyIfItIsWhatWasRead) {
  const auto rm = NewDatabase();
  Sql("CREATE TABLE `" + rm +
      "`.oms_normal_config (id bigint AUTO_INCREMENT PRIMARY KEY, cfg_name varchar(128), cfg_value "
      "text, gmt_modified datetime)");
  EXPECT_EQ(meta_db_.tables->ReadHaConfig(ctx_, rm).value(), std::nullopt);
  Sql("INSERT INTO `" + rm +
      R"(`.oms_normal_config (cfg_name, cfg_value) VALUES ('ha.config', '{"enable": true}'))");
  CountingFence fence;
  const std::string on = R"({"enable": true})", off = R"({"enable": false})";
  EXPECT_EQ(meta_db_.tables->ReadHaConfig(ctx_, rm).value(), on);
  EXPECT_TRUE(meta_db_.tables->SwapHaConfig(ctx_, fence, rm, R"({"ENABLE": true})", off)
                  .Is(Code::kConflict))
      << "compared by bytes";
  EXPECT_TRUE(meta_db_.tables->SwapHaConfig(ctx_, fence, rm, on + " ", off).Is(Code::kConflict))
      << "blanks at the end count";
  EXPECT_TRUE(meta_db_.tables->SwapHaConfig(ctx_, fence, rm, on, off).ok());
  EXPECT_EQ(meta_db_.tables->ReadHaConfig(ctx_, rm).value(), off);
  EXPECT_TRUE(meta_db_.tables->SwapHaConfig(ctx_, fence, rm, on, off).Is(Code::kConflict));
  EXPECT_TRUE(meta_db_.tables->SwapHaConfig(ctx_, fence, rm, off, off).ok());
  EXPECT_EQ(fence.registered(), 5);
  EXPECT_TRUE(fence.Now().empty());
  fence.closed = true;
  EXPECT_TRUE(meta_db_.tables->SwapHaConfig(ctx_, fence, rm, off, on).Is(Code::kFenced));
  EXPECT_EQ(meta_db_.tables->ReadHaConfig(ctx_, rm).value(), off);
}

TEST_P(MysqlMetaDbTest, FindsWhatStandsInTheWayOfAnUpgradeFromBelowFourZeroOne) {
  const auto rm = NewDatabase(), cm = NewDatabase();
  for (const char* table : {"oms_project", "oms_sync_project"}) {
    Sql("CREATE TABLE `" + rm + "`." + table +
        " (id bigint AUTO_INCREMENT PRIMARY KEY, project_name varchar(128), project_status "
        "varchar(32)) DEFAULT CHARSET=utf8mb4");
    Sql("INSERT INTO `" + rm + "`." + table +
        " (project_name, project_status) VALUES ('one', 'RUNNING'), ('gone', 'DELETED'), ('gone', "
        "'RUNNING')");
  }
  Sql("CREATE TABLE `" + cm +
      "`.config_job (id bigint AUTO_INCREMENT PRIMARY KEY, `key` varchar(128), value varchar(64))");
  Sql("INSERT INTO `" + cm +
      "`.config_job (`key`, value) VALUES ('sourceFile.blackRegionNo', '2'), "
      "('sourceFile.blackRegionNo', '02'), ('sourceFile.blackRegionNo', NULL), ('else', '3')");
  const auto none = meta_db_.tables->LookForLegacy(ctx_, rm, cm, "2");
  ASSERT_TRUE(none.ok()) << none.error().message;
  EXPECT_TRUE(none->duplicates.empty());
  EXPECT_TRUE(none->black_regions.empty()) << "compared as a number, as the guide does";

  Sql("INSERT INTO `" + rm +
      "`.oms_project (project_name, project_status) VALUES ('it''s', 'RUNNING'), ('it''s', "
      "'INIT')");
  std::string many;
  for (int i = 0; i < 1000; ++i) many += std::string(i ? "," : "") + "('同名', 'RUNNING')";
  Sql("INSERT INTO `" + rm + "`.oms_sync_project (project_name, project_status) VALUES " + many);
  Sql("INSERT INTO `" + cm +
      "`.config_job (`key`, value) VALUES ('sourceFile.blackRegionNo', '7'), "
      "('sourceFile.blackRegionNo', '7')");
  const auto found = meta_db_.tables->LookForLegacy(ctx_, rm, cm, "2");
  ASSERT_TRUE(found.ok()) << found.error().message;
  ASSERT_EQ(found->duplicates.size(), 2u);
  EXPECT_EQ(found->duplicates[0].table, "oms_project");
  EXPECT_EQ(found->duplicates[0].name, "it's");
  EXPECT_EQ(found->duplicates[0].ids, (std::vector<std::string>{"4", "5"}));
  const auto& large = found->duplicates[1];
  EXPECT_EQ(large.table, "oms_sync_project");
  EXPECT_EQ(large.name, "同名");
  EXPECT_EQ(large.count, 1000u);
  for (size_t i = 0; i < large.ids.size(); ++i) EXPECT_EQ(large.ids[i], std::to_string(i + 4));
  EXPECT_EQ(found->black_regions, std::vector<std::string>{"7"});
  EXPECT_TRUE(meta_db_.tables->LookForLegacy(ctx_, "it_none_such", cm, "2").Is(Code::kNotFound));

  // What lies on another server has no name here.
  const auto of_rm = meta_db_.tables->LookForLegacy(ctx_, rm, "", "2");
  ASSERT_TRUE(of_rm.ok()) << of_rm.error().message;
  EXPECT_EQ(of_rm->duplicates.size(), 2u);
  EXPECT_TRUE(of_rm->black_regions.empty());
  const auto of_cm = meta_db_.tables->LookForLegacy(ctx_, "", cm, "2");
  ASSERT_TRUE(of_cm.ok()) << of_cm.error().message;
  EXPECT_TRUE(of_cm->duplicates.empty());
  EXPECT_EQ(of_cm->black_regions, found->black_regions);
}

TEST_P(MysqlMetaDbTest, TellsTheAgeOfAHeartbeatByTheServersClock) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE `" + database +
      "`.heart_beat (task_type varchar(64), task_name varchar(128), host_ip varchar(64), "
      "gmt_created datetime, gmt_modified datetime)");
  MakeSequence(database, "heatbeat_sequence", 3, 41);
  const auto none = meta_db_.tables->Heartbeat(ctx_, database, "10.0.0.1");
  ASSERT_TRUE(none.ok()) << none.error().message;
  EXPECT_FALSE(none->found);
  EXPECT_EQ(none->sequence_max, 43U);
  auto session = Session(database);
  ASSERT_TRUE(session->Execute(ctx_, "SET time_zone = @@global.time_zone").ok());
  ASSERT_TRUE(session
                  ->Execute(ctx_,
                            "INSERT INTO heart_beat VALUES ('x', 'supervisor', '10.0.0.1', NOW(), "
                            "NOW() - INTERVAL 90 SECOND)")
                  .ok());
  const auto beat = meta_db_.tables->Heartbeat(ctx_, database, "10.0.0.1");
  ASSERT_TRUE(beat.ok());
  EXPECT_TRUE(beat->found);
  EXPECT_GE(beat->age_ms, 90'000);
  EXPECT_LT(beat->age_ms, 95'000);
  EXPECT_FALSE(beat->modified.empty());
}

TEST_P(MysqlMetaDbTest, CompactsFromEveryStateThatACrashOrAPersonCanLeave) {
  struct Start {
    const char* name;
    int base, bak, bak2;  // Rows; -1: not there.
    int base_first, bak_first, bak2_first;
  };
  const Start starts[] = {
      {"fresh", 20, -1, -1, 1, 1, 1},           {"created", 20, 0, -1, 1, 1, 1},
      {"filled", 20, 1, -1, 1, 20, 1},          {"stale copy", 20, 1, -1, 1, 15, 1},
      {"between renames", -1, 1, 20, 1, 20, 1}, {"renamed, empty", -1, 0, 20, 1, 1, 1},
      {"swapped", 1, -1, 20, 20, 1, 1},         {"only bak", -1, 1, -1, 1, 20, 1},
      {"only bak2", -1, -1, 20, 1, 1, 1},       {"made anew", 3, -1, 20, 1, 1, 1},
      {"all three", 20, 3, 10, 1, 5, 1},        {"empty base", 0, -1, 20, 1, 1, 1},
      {"bak ahead", 5, 20, -1, 1, 1, 1},
  };
  for (const auto& start : starts) {
    SCOPED_TRACE(start.name);
    const auto database = NewDatabase();
    if (start.base >= 0) MakeSequence(database, "heatbeat_sequence", start.base, start.base_first);
    if (start.bak >= 0) MakeSequence(database, "heatbeat_sequence_bak", start.bak, start.bak_first);
    if (start.bak2 >= 0) {
      MakeSequence(database, "heatbeat_sequence_bak2", start.bak2, start.bak2_first);
    }
    CompactAll(database);
    const auto tables = Look(database);
    EXPECT_TRUE(product::Compacted(tables));
    EXPECT_EQ(tables.base.rows, 1U);
    EXPECT_EQ(tables.base.max_id, 20U);
    EXPECT_GT(NextId(database), 20U);
    if (HasFailure()) return;
  }
}

TEST_P(MysqlMetaDbTest, SwapsTheSequenceTablesInOneStatement) {
  const auto database = NewDatabase();
  MakeSequence(database, "heatbeat_sequence", 3);
  EXPECT_EQ(CompactAll(database),
            (std::vector<CompactionAct>{CompactionAct::kCreateBak, CompactionAct::kFillBak,
                                        CompactionAct::kSwap, CompactionAct::kDropBak2}));
  EXPECT_EQ(Look(database).base.max_id, 3U);
}

TEST_P(MysqlMetaDbTest, KeepsIdsThatWereHandedOutAndDeleted) {
  const auto database = NewDatabase();
  MakeSequence(database, "heatbeat_sequence", 5);
  Sql("ALTER TABLE `" + database + "`.heatbeat_sequence AUTO_INCREMENT = 1000");
  CompactAll(database);
  EXPECT_EQ(Look(database).base.max_id, 5U);
  EXPECT_GE(NextId(database), 1000U);
}

TEST_P(MysqlMetaDbTest, RefusesAnActThatDoesNotFitAnyMore) {
  const auto database = NewDatabase();
  MakeSequence(database, "heatbeat_sequence", 3);
  MakeSequence(database, "heatbeat_sequence_bak2", 9);
  CountingFence fence;
  EXPECT_TRUE(meta_db_.tables->Compact(ctx_, fence, database, CompactionAct::kDropBak2)
                  .Is(Code::kConflict));
  EXPECT_TRUE(Look(database).bak2.exists);
  fence.closed = true;
  EXPECT_TRUE(
      meta_db_.tables->Compact(ctx_, fence, database, CompactionAct::kRaise).Is(Code::kFenced));
}

TEST_P(MysqlMetaDbTest, SeesForeignConnectionsAndEndsThemButNotOthers) {
  const auto database = NewDatabase();
  auto own = Session(database);  // Of this process.
  EXPECT_TRUE(meta_db_.connections->ForeignConnections(ctx_, {database})->empty());

  // Another process.
  const auto defaults = [&] {
    return " --protocol=tcp -h " + address_.host + " -P " + std::to_string(address_.port) + " -u " +
           address_.user + " " + database;
  }();
  setenv("MYSQL_PWD", address_.password.Reveal().c_str(), 1);
  FILE* client = popen(("exec mariadb --no-defaults -N --unbuffered -e 'select sleep(60)'" +
                        defaults + " >/dev/null 2>&1")
                           .c_str(),
                       "r");
  ASSERT_NE(client, nullptr);
  std::vector<ports::DbConnection> foreign;
  EXPECT_TRUE(Eventually([&] {
    foreign = meta_db_.connections->ForeignConnections(ctx_, {database}).value();
    return !foreign.empty() && foreign[0].command == "Query";
  }));
  unsetenv("MYSQL_PWD");
  ASSERT_EQ(foreign.size(), 1U);
  EXPECT_EQ(foreign[0].database, database);
  EXPECT_EQ(foreign[0].user, address_.user);

  auto reused = foreign[0];
  reused.user = "somebody";
  EXPECT_TRUE(meta_db_.connections->EndConnections(ctx_, {reused}).ok());
  reused = foreign[0];
  reused.address = "10.9.9.9:1234";
  EXPECT_TRUE(meta_db_.connections->EndConnections(ctx_, {reused}).ok());
  EXPECT_EQ(meta_db_.connections->ForeignConnections(ctx_, {database})->size(), 1U)
      << "an id that is used by another now is left alone";

  EXPECT_TRUE(meta_db_.connections->EndConnections(ctx_, foreign).ok());
  EXPECT_TRUE(meta_db_.connections->ForeignConnections(ctx_, {database})->empty());
  pclose(client);
  EXPECT_TRUE(own->Query(ctx_, "SELECT 1").ok());
  EXPECT_TRUE(meta_db_.connections->EndConnections(ctx_, foreign).ok())
      << "gone already is success";
}

TEST_P(MysqlMetaDbTest, ALookThatTheServerHoldsBackEndsWithItsDeadlineThereToo) {
  if (IsOceanBase()) return;  // It has no such lock.
  const auto database = NewDatabase();
  MakeSequence(database, "heatbeat_sequence", 3);
  auto holder = Session(database);
  ASSERT_TRUE(holder->Execute(ctx_, "LOCK TABLES heatbeat_sequence WRITE").ok());
  const auto within = ctx_.WithTimeout(300ms);
  const auto begin = std::chrono::steady_clock::now();
  const auto sequence = meta_db_.tables->Sequence(within, database);
  EXPECT_TRUE(sequence.Is(Code::kTimeout)) << (sequence.ok() ? "ok" : sequence.error().message);
  const auto info = meta_db_.server->Database(ctx_.WithTimeout(300ms), database);
  EXPECT_TRUE(info.Is(Code::kTimeout)) << (info.ok() ? "ok" : info.error().message);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 6s);
  EXPECT_TRUE(Eventually([&] {
    return One("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE "
               "'%heatbeat%' AND id <> CONNECTION_ID()") == "0";
  }));
}

TEST_P(MysqlMetaDbTest, ProvesThatTheFenceWorks) {
  const auto proved = meta_db_.connections->ProveFence(ctx_);
  EXPECT_TRUE(proved.ok()) << proved.error().message;
  if (!IsOceanBase()) return;
  auto with_tenant = address_;
  with_tenant.user += "@sys";
  const auto again = mysql::MysqlMetaDbProvider().Open(with_tenant).connections->ProveFence(ctx_);
  EXPECT_TRUE(again.ok()) << again.error().message;
}

TEST_P(MysqlMetaDbTest, AFenceThroughAProxyWithIdsOfItsOwnIsNoneAndTold) {
  const MetaDbProxy proxy(address_, MetaDbProxy::Twist::kOtherIds);
  auto through = address_;
  through.port = proxy.port();
  const auto meta_db = mysql::MysqlMetaDbProvider().Open(through);
  ASSERT_TRUE(meta_db.server->Server(ctx_).ok()) << "all but the fence works";
  const auto proved = meta_db.connections->ProveFence(ctx_);
  EXPECT_TRUE(proved.Is(Code::kTerminal));
  EXPECT_EQ(proved.error().reason, "CannotFence") << proved.error().message;
  EXPECT_NE(proved.error().message.find("not to a proxy"), std::string::npos);
}

TEST_P(MysqlMetaDbTest, ProvesItsRightsAndLeavesNothing) {
  const auto suffix = base::RandomId().substr(0, 8);
  const auto proved = meta_db_.server->ProveRights(ctx_, suffix);
  EXPECT_TRUE(proved.ok()) << proved.error().message;
  EXPECT_EQ(One("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = "
                "'oms_upgrade_probe_" +
                suffix + "'"),
            "0");
}

TEST_P(MysqlMetaDbTest, WhatAProbeThatWasKilledLeftIsDroppedAndNothingElse) {
  const auto suffix = base::RandomId().substr(0, 8);
  const std::string name = "oms_upgrade_probe_" + suffix, quoted = "`" + name + "`";
  const std::string count =
      "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '" + name + "'";
  const auto left = [&](const std::vector<std::string>& statements) {
    Sql("CREATE DATABASE " + quoted);
    for (const auto& statement : statements) Sql(statement);
  };
  const std::string table = "CREATE TABLE " + quoted + ".probe (id int)";
  const std::string before = "CREATE TABLE " + quoted + ".probe_before (id int)";
  for (const auto& ours : {std::vector<std::string>{}, {table}, {table, before}}) {
    left(ours);
    const auto proved = meta_db_.server->ProveRights(ctx_, suffix);
    EXPECT_TRUE(proved.ok()) << proved.error().message;
    EXPECT_EQ(One(count), "0");
  }
  for (const auto& not_ours :
       {std::vector<std::string>{table, "INSERT INTO " + quoted + ".probe VALUES (1)"},
        {table, before, "INSERT INTO " + quoted + ".probe_before VALUES (1)"},
        {"CREATE TABLE " + quoted + ".t (id int)"}}) {
    left(not_ours);
    const auto proved = meta_db_.server->ProveRights(ctx_, suffix);
    ASSERT_TRUE(proved.Is(Code::kTerminal));
    EXPECT_EQ(proved.error().reason, "ProbeDatabaseInUse");
    EXPECT_EQ(One(count), "1");
    Sql("DROP DATABASE " + quoted);
  }
}

TEST_P(MysqlMetaDbTest, ProvesThatTwoTablesAreRenamedInOneStatementAndLeavesNothing) {
  const auto suffix = base::RandomId().substr(0, 8);
  const std::string left =
      "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = "
      "'oms_upgrade_probe_" +
      suffix + "'";
  const auto proved = meta_db_.server->ProveTwoTableRename(ctx_, suffix);
  EXPECT_TRUE(proved.ok()) << proved.error().message;
  EXPECT_EQ(One(left), "0");
  if (!address_.tls_ca.empty()) return;  // Nobody between can read it then.

  const MetaDbProxy proxy(address_, MetaDbProxy::Twist::kNoRenameTable);
  auto through = address_;
  through.port = proxy.port();
  const auto without =
      mysql::MysqlMetaDbProvider().Open(through).server->ProveTwoTableRename(ctx_, suffix);
  ASSERT_TRUE(without.Is(Code::kTerminal)) << (without.ok() ? "ok" : without.error().message);
  EXPECT_EQ(without.error().reason, "TwoTableRenameMissing");
  EXPECT_NE(without.error().message.find("keepTasksRunning to false"), std::string::npos);
  EXPECT_EQ(One(left), "0");
}

TEST_P(MysqlMetaDbTest, SwapsAtOnceOrNotAtAllWhereAComponentWrites) {
  const auto database = NewDatabase();
  MakeSequence(database, "heatbeat_sequence", 5);
  MakeSequence(database, "heatbeat_sequence_bak", 1, 5);
  Sql("ALTER TABLE `" + database + "`.heatbeat_sequence_bak AUTO_INCREMENT = 5000000");
  ASSERT_EQ(product::NextCompactionAct(Look(database), product::SequenceUse::kWritten),
            CompactionAct::kSwapAtOnce);
  CountingFence fence;
  if (address_.tls_ca.empty()) {
    const MetaDbProxy proxy(address_, MetaDbProxy::Twist::kNoRenameTable);
    auto through = address_;
    through.port = proxy.port();
    const auto refused = mysql::MysqlMetaDbProvider().Open(through).tables->Compact(
        ctx_, fence, database, CompactionAct::kSwapAtOnce);
    EXPECT_EQ(refused.ok() ? "ok" : refused.error().reason, "TwoTableRenameMissing");
    EXPECT_EQ(Look(database).base.rows, 5U);
    EXPECT_TRUE(Look(database).bak.exists);
    EXPECT_FALSE(Look(database).bak2.exists);
  }
  ASSERT_TRUE(meta_db_.tables->Compact(ctx_, fence, database, CompactionAct::kSwapAtOnce).ok());
  EXPECT_EQ(Look(database).base.rows, 1U);
  EXPECT_GE(NextId(database), 5'000'000U);
}

TEST_P(MysqlMetaDbTest, OnTheWayBackACopyIsTakenAwayAndItsIdsAreKept) {
  const auto database = NewDatabase();
  MakeSequence(database, "heatbeat_sequence", 5);
  for (const int rows : {0, 1}) {  // As it was made, and filled.
    MakeSequence(database, "heatbeat_sequence_bak", rows, 5);
    Sql("ALTER TABLE `" + database +
        "`.heatbeat_sequence_bak AUTO_INCREMENT = " + std::to_string(5'000'000 + rows * 1'000'000));
    EXPECT_EQ(CompactAll(database, product::SequenceUse::kOnTheWayBack),
              (std::vector<CompactionAct>{CompactionAct::kRaise, CompactionAct::kDropBak}));
    EXPECT_FALSE(Look(database).bak.exists);
    EXPECT_EQ(Look(database).base.rows, 5U + rows);
    EXPECT_GE(NextId(database), 5'000'000U + rows * 1'000'000U);
  }
}

TEST_P(MysqlMetaDbTest, AUserWithoutRightsIsDenied) {
  const std::string user = UserWithoutRights();
  const auto proved = OpenAs(user).server->ProveRights(ctx_, "x");
  EXPECT_TRUE(proved.Is(Code::kDenied)) << (proved.ok() ? "ok" : proved.error().message);
  RootSql("DROP USER '" + user + "'@'%'");
}

TEST_P(MysqlMetaDbTest, ReadsAndSetsTheGlobalQueryTimeoutWhereThereIsOne) {
  const auto before = meta_db_.server->GlobalQueryTimeout(ctx_);
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(before->has_value(), IsOceanBase());
  if (!IsOceanBase()) return;
  CountingFence fence;
  ASSERT_TRUE(meta_db_.server->SetGlobalQueryTimeout(ctx_, fence, **before + 1).ok());
  EXPECT_EQ(meta_db_.server->GlobalQueryTimeout(ctx_).value(), **before + 1);
  ASSERT_TRUE(meta_db_.server->SetGlobalQueryTimeout(ctx_, fence, **before).ok());
  EXPECT_EQ(meta_db_.server->GlobalQueryTimeout(ctx_).value(), *before);
}

TEST_P(MysqlMetaDbTest, WhoMayNotSetTheGlobalQueryTimeoutIsToldSoBeforehand) {
  const auto proved = meta_db_.server->ProveQueryTimeout(ctx_);
  EXPECT_TRUE(proved.ok()) << proved.error().message;
  if (!IsOceanBase()) return;
  const std::string user = UserWithoutRights();
  const auto weak = OpenAs(user);
  const auto refused = weak.server->ProveQueryTimeout(ctx_);
  EXPECT_TRUE(refused.Is(Code::kDenied)) << (refused.ok() ? "ok" : refused.error().message);
  const auto before = meta_db_.server->GlobalQueryTimeout(ctx_);
  ASSERT_TRUE(before.ok());
  CountingFence fence;
  ASSERT_TRUE(meta_db_.server->SetGlobalQueryTimeout(ctx_, fence, ports::kRaisedQueryTimeout).ok());
  const auto needless = weak.server->ProveQueryTimeout(ctx_);
  EXPECT_TRUE(needless.ok()) << needless.error().message;
  ASSERT_TRUE(meta_db_.server->SetGlobalQueryTimeout(ctx_, fence, **before).ok());
  RootSql("DROP USER '" + user + "'@'%'");
}

TEST_P(MysqlMetaDbTest, ADigestTellsEveryDifferenceAndNothingElse) {
  const auto make = [&](const std::string& database) {
    auto session = Session(database);
    for (
        const char* statement : {
            "CREATE TABLE t (id bigint AUTO_INCREMENT PRIMARY KEY, s varchar(50), b blob, f float, "
            "d double, n decimal(10,3), j json, x bit(9), ts timestamp(3) NULL, dt datetime, e "
            "enum('a','b'), v varbinary(9), l longtext)",
            "INSERT INTO t (s, b, f, d, n, j, x, ts, dt, e, v, l) VALUES ('é😀', x'00ff', 1.1, 0.1, "
            "1.5, '{\"a\": 1}', b'101', '2026-01-02 03:04:05.678', '2026-01-02 03:04:05', 'b', "
            "x'80', 'text')",
            "INSERT INTO t (s) VALUES (NULL)",
            "CREATE TABLE empty_one (a int)",
            "CREATE VIEW v1 AS SELECT id, s FROM t",
            "CREATE TRIGGER g1 BEFORE INSERT ON t FOR EACH ROW SET NEW.s = NEW.s",
            "CREATE PROCEDURE p1() SELECT 1",
            "CREATE FUNCTION f1() RETURNS int DETERMINISTIC RETURN 1",
        }) {
      const auto done = session->Execute(ctx_, statement);
      ASSERT_TRUE(done.ok()) << statement << ": " << done.error().message;
    }
  };
  const auto one = NewDatabase(), two = NewDatabase();
  make(one);
  make(two);
  const auto digest = [&](const std::string& database) {
    auto result = meta_db_.server->Digest(ctx_, database);
    EXPECT_TRUE(result.ok()) << result.error().message;
    auto value = result.ok() ? *result : ports::DatabaseDigest{};
    value.name.clear();
    return value;
  };
  const auto first = digest(one);
  EXPECT_EQ(first, digest(two)) << "the database's name is no difference";
  ASSERT_EQ(first.tables.size(), 2U);
  EXPECT_EQ(first.tables[0], (ports::TableSum{"empty_one", 0, "", 0}));
  EXPECT_EQ(first.tables[1].rows, 2U);
  EXPECT_EQ(first.tables[1].null_crcs, 0U);
  std::vector<std::string> objects;
  for (const auto& object : first.objects) objects.push_back(object.kind + " " + object.name);
  EXPECT_EQ(objects, (std::vector<std::string>{"function f1", "procedure p1", "table empty_one",
                                               "table t", "trigger g1", "view v1"}));
  Sql("ALTER TABLE `" + two + "`.t AUTO_INCREMENT = 900");
  EXPECT_EQ(first, digest(two)) << "AUTO_INCREMENT is no difference";
  for (const char* change :
       {"UPDATE t SET s = '' WHERE s IS NULL", "UPDATE t SET b = x'00fe' WHERE id = 1",
        "UPDATE t SET l = 'texT' WHERE id = 1", "DROP TRIGGER g1", "DROP PROCEDURE p1",
        "ALTER TABLE empty_one ADD COLUMN c int"}) {
    auto session = Session(two);
    const auto before = digest(two);
    ASSERT_TRUE(session->Execute(ctx_, change).ok()) << change;
    EXPECT_FALSE(before == digest(two)) << change;
  }
}

TEST_P(MysqlMetaDbTest, ATableThatTheServerCannotReadFailsTheDigestForGood) {
  if (IsOceanBase()) return;  // Nothing breaks a table there from outside.
  const auto database = NewDatabase();
  Sql("CREATE TABLE `" + database + "`.t (a int PRIMARY KEY) ENGINE=InnoDB");
  Sql("ALTER TABLE `" + database + "`.t DISCARD TABLESPACE");
  const auto digest = meta_db_.server->Digest(ctx_, database);
  ASSERT_TRUE(digest.Is(Code::kTerminal)) << (digest.ok() ? "ok" : digest.error().message);
  EXPECT_EQ(digest.error().reason, "DigestFailed");
  EXPECT_NE(digest.error().message.find(database + ".t "), std::string::npos);
}

TEST_P(MysqlMetaDbTest, AViewOfATableThatIsGoneIsDigestedAsItStands) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE `" + database + "`.t (a int)");
  Sql("CREATE VIEW `" + database + "`.v AS SELECT a FROM `" + database + "`.t");
  Sql("DROP TABLE `" + database + "`.t");
  const auto digest = meta_db_.server->Digest(ctx_, database);
  ASSERT_TRUE(digest.ok()) << digest.error().message;
  ASSERT_EQ(digest->objects.size(), 1U);
  EXPECT_EQ(digest->objects[0].name, "v");
}

TEST_P(MysqlMetaDbTest, WhatThisUserMayNotReadIsDeniedAndNoDifference) {
  if (IsOceanBase()) return;  // It shows a view's text to whoever sees the view.
  const auto database = NewDatabase();
  Sql("CREATE TABLE `" + database + "`.t (a int)");
  Sql("CREATE VIEW `" + database + "`.v AS SELECT a FROM `" + database + "`.t");
  const std::string user = UserWithoutRights();
  RootSql("GRANT SELECT ON `" + database + "`.* TO '" + user + "'@'%'");
  const auto digest = OpenAs(user).server->Digest(ctx_, database);
  EXPECT_TRUE(digest.Is(Code::kDenied)) << (digest.ok() ? "ok" : digest.error().message);
  RootSql("DROP USER '" + user + "'@'%'");
}

TEST_P(MysqlMetaDbTest, ADigestReadsLargeValues) {
  const auto database = NewDatabase();
  Sql("CREATE TABLE `" + database + "`.t (a int PRIMARY KEY, b longtext, c longblob)");
  Sql("INSERT INTO `" + database + "`.t VALUES (1, REPEAT('x', 5000000), REPEAT(x'80', 3000000))");
  const auto digest = meta_db_.server->Digest(ctx_, database);
  ASSERT_TRUE(digest.ok()) << digest.error().message;
  EXPECT_EQ(digest->tables.at(0).null_crcs, 0U);
  EXPECT_NE(digest->tables.at(0).crc_sum, "");
}

}  // namespace
}  // namespace oms::drivers
