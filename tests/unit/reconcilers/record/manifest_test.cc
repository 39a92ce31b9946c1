#include "reconcilers/record/manifest.h"

#include <gmock/gmock.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "controller/base/sha256.h"
#include "reconcilers/act/backup_job.h"
#include "reconcilers/record/restore_guide.h"

namespace oms::record {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;

// Files in memory.
class MemoryStore final : public ports::RecordStore {
 public:
  Result<ports::VolumeInfo> Identify(const fs::path&) override { return ports::VolumeInfo{}; }
  Result<ports::VolumeInfo> Look(const fs::path&) override { return ports::VolumeInfo{}; }
  Result<uint64_t> FreeBytes(const fs::path&) override { return uint64_t{0}; }
  Result<std::vector<ports::RecordEntry>> Read(const fs::path&) override {
    return std::vector<ports::RecordEntry>{};
  }
  Status Append(const fs::path&, int, const std::string&) override { return base::Ok(); }
  Status WriteFile(const fs::path& file, const std::string& content) override {
    order.push_back(file.filename());
    files[file] = content;
    return base::Ok();
  }
  Result<std::string> ReadFile(const fs::path& file) override {
    if (!files.contains(file)) return MakeError(Code::kNotFound, "no " + file.string());
    return files[file];
  }
  Result<std::string> Sha256(const fs::path& file) override {
    OMS_ASSIGN(auto text, ReadFile(file));
    return base::Sha256Hex(text);
  }
  Result<uint64_t> Size(const fs::path& file) override {
    OMS_ASSIGN(auto text, ReadFile(file));
    return uint64_t{text.size()};
  }
  Result<std::vector<fs::path>> List(const fs::path&) override { return std::vector<fs::path>{}; }
  Result<ports::RemovedPayload> RemovePayload(const fs::path&) override {
    return ports::RemovedPayload{};
  }

  std::map<fs::path, std::string> files;
  std::vector<std::string> order;
};

class NoFence final : public ports::Fence {
 public:
  Status Register(const Context&, const ports::DbConnection&) override { return base::Ok(); }
  void Unregister(const ports::DbConnection&) override {}
};

// What the backup asks of a MetaDB.
class FakeMetaDb final : public ports::OmsTablesView,
                         public ports::DbServerView,
                         public ports::DbConnectionsView {
 public:
  const ports::DbServerAddress& address() const override { return address_; }
  Result<ports::DbServerInfo> Server(const Context&) override {
    return ports::DbServerInfo{"5.7.25-OceanBase", true, "uuid"};
  }
  Result<ports::DbInfo> Database(const Context&, const std::string& name) override {
    return ports::DbInfo{name, "utf8mb4", "utf8mb4_general_ci", 1000};
  }
  Result<std::vector<std::string>> Events(const Context&, const std::string&) override {
    return Unused();
  }
  Status ProveRowsFit(const Context&, const std::string&) override { return Unused(); }
  Result<ports::DumpObstacles> Obstacles(const Context&, const std::string&) override {
    return Unused();
  }
  Result<ports::SequenceTables> Sequence(const Context&, const std::string&) override {
    const std::lock_guard lock(mutex);
    ports::SequenceTables tables;
    tables.base = {true, 1, heartbeat_max, heartbeat_max + 1};
    return tables;
  }
  Result<std::vector<ports::DbConnection>> ForeignConnections(
      const Context&, const std::vector<std::string>&) override {
    const std::lock_guard lock(mutex);
    return foreign;
  }
  Result<ports::DatabaseDigest> Digest(const Context&, const std::string& name) override {
    const std::lock_guard lock(mutex);
    return ports::DatabaseDigest{
        name,
        "utf8mb4",
        "utf8mb4_general_ci",
        {{"moves", heartbeat_max, std::to_string(heartbeat_max), 0},
         {"t", 2, "77", null_crcs, false, {{"id", false}, {"twice", true}}}},
        {{"table", "moves", schema}, {"table", "t", "abc"}, {"view", "v", "def"}}};
  }

  Result<std::optional<std::string>> ReadHaConfig(const Context&, const std::string&) override {
    return Unused();
  }
  Result<std::vector<ports::HostRow>> Hosts(const Context&, const std::string&) override {
    return Unused();
  }
  Result<ports::LegacyFindings> LookForLegacy(const Context&, const std::string&,
                                              const std::string&, const std::string&) override {
    return Unused();
  }
  Result<ports::HeartbeatInfo> Heartbeat(const Context&, const std::string&,
                                         const std::string&) override {
    return Unused();
  }
  Result<std::optional<uint64_t>> GlobalQueryTimeout(const Context&) override { return Unused(); }

  std::mutex mutex;  // Guards the four below.
  std::vector<ports::DbConnection> foreign;
  std::string schema = "abc";
  uint64_t heartbeat_max = 41;
  uint64_t null_crcs = 0;

 private:
  static base::Error Unused() { return MakeError(Code::kInternal, "not asked for by a backup"); }
  ports::DbServerAddress address_{"10.0.0.1", 2881, "u", base::Secret("p4ssw0rd"), "", true};
};

class FakeTool final : public ports::BackupTool {
 public:
  explicit FakeTool(MemoryStore& store) : store_(store) {}
  Result<ports::DumpOutcome> Dump(const Context& ctx, ports::Fence&,
                                  const ports::DumpRequest& request,
                                  ports::ByteProgress& progress) override {
    std::unique_lock lock(mutex_);
    ++running_;
    most = std::max(most, running_);
    changed_.notify_all();
    // Held until all three are here, or until the test says so.
    changed_.wait_for(lock, ctx.stop(), 10s, [&] { return hang ? false : running_ >= together; });
    if (during) during();
    one_transaction = request.one_transaction;
    if (!ctx.Check().ok()) return ctx.Check().error();
    if (request.database == fails) {
      return MakeError(Code::kTransient, "DumpFailed", "exit code 3");
    }
    const std::string text = "dump of " + request.database;
    store_.files[request.folder / "a.sql"] = text;
    progress.done += text.size();
    ports::DumpOutcome outcome{
        "mydumper 0.10.0", {{"a.sql", text.size(), base::Sha256Hex(text)}}, tables};
    if (spoil && request.database == "cm_430") spoil(outcome);
    return outcome;
  }

  Status Load(const Context&, ports::Fence&, const ports::LoadRequest&,
              ports::ByteProgress&) override {
    return MakeError(Code::kInternal, "not asked for by a backup");
  }

  int together = 3, most = 0;
  bool hang = false, one_transaction = false;
  std::string fails;
  std::function<void()> during;
  std::vector<ports::DumpedTable> tables = {{"moves", 41, {}, 1, 9}, {"t", 2, {"id"}, 1, 9}};
  std::function<void(ports::DumpOutcome&)> spoil;  // Of the second database.

 private:
  MemoryStore& store_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  int running_ = 0;
};

class BackupJobTest : public ::testing::Test {
 protected:
  BackupJobTest() {
    plan_.folder = "/b/op/dump/1";
    plan_.operation = "op";
    plan_.from = "4.3.0";
    plan_.databases = {{"rm", "rm_430"}, {"cm", "cm_430"}, {"cm_hb", "hb_430"}};
    plan_.container_id = "c1";
    plan_.container_name = "oms_430";
    plan_.started_at = "2026-01-01T00:00:00Z";
    plan_.heartbeat_max = 41;
    plan_.watch_interval = 5ms;
  }
  Result<Manifest> Run() {
    return act::RunBackup(ctx_, plan_, {meta_db_, meta_db_, meta_db_}, tool_, fence_, store_,
                          progress_);
  }
  bool HasManifest() const { return store_.files.contains(plan_.folder / kManifestName); }

  base::SystemClock clock_;
  Context ctx_{clock_, base::Logger()};
  MemoryStore store_;
  std::shared_ptr<FakeMetaDb> meta_db_ = std::make_shared<FakeMetaDb>();
  FakeTool tool_{store_};
  NoFence fence_;
  ports::ByteProgress progress_;
  act::BackupPlan plan_;
};

TEST_F(BackupJobTest, TheThreeDatabasesAreDumpedSideBySide) {
  const auto manifest = Run();
  ASSERT_TRUE(manifest.ok()) << manifest.error().message;
  EXPECT_EQ(tool_.most, 3);
  EXPECT_EQ(progress_.total, 3000U);
  EXPECT_EQ(progress_.done, manifest->TotalBytes());
  EXPECT_EQ(store_.order.back(), kManifestName) << "written last";
  EXPECT_EQ(manifest->container_id, "c1");
  EXPECT_EQ(manifest->heartbeat_max, 41U);
  EXPECT_EQ(manifest->databases[1].files[0].path, "cm_430/a.sql");
  const auto verified = VerifyManifest(store_, plan_.folder);
  ASSERT_TRUE(verified.ok()) << verified.error().message;
  EXPECT_EQ(verified->ToJson(), manifest->ToJson());
}

TEST_F(BackupJobTest, AForeignConnectionMeanwhileDisturbs) {
  tool_.hang = true;  // Until the watch sees it and stops the dumps.
  tool_.during = [] {};
  std::thread intruder([&] {
    const std::lock_guard lock(meta_db_->mutex);
    meta_db_->foreign = {{"s", 7, "somebody", "10.9.9.9:1", "", "rm_430", "Query"}};
  });
  const auto manifest = Run();
  intruder.join();
  ASSERT_FALSE(manifest.ok());
  EXPECT_EQ(manifest.error().reason, "BackupDisturbed");
  EXPECT_TRUE(manifest.Is(Code::kTransient));
  EXPECT_NE(manifest.error().message.find("somebody at 10.9.9.9:1"), std::string::npos);
  EXPECT_FALSE(HasManifest());
}

TEST_F(BackupJobTest, AHeartbeatThatMovesDisturbs) {
  tool_.during = [&] {
    const std::lock_guard lock(meta_db_->mutex);
    meta_db_->heartbeat_max = 42;
  };
  const auto manifest = Run();
  ASSERT_FALSE(manifest.ok());
  EXPECT_EQ(manifest.error().reason, "BackupDisturbed");
  EXPECT_FALSE(HasManifest());
}

TEST_F(BackupJobTest, WhileAComponentWritesOnlyTheTablesThatStoodStillKeepTheirSums) {
  plan_.written_meanwhile = true;
  meta_db_->foreign = {{"s", 7, "oms", "10.0.0.2:1", "", "rm_430", "Query"}};
  tool_.during = [&] {
    const std::lock_guard lock(meta_db_->mutex);
    ++meta_db_->heartbeat_max;
  };
  const auto manifest = Run();
  ASSERT_TRUE(manifest.ok()) << manifest.error().message;
  EXPECT_TRUE(tool_.one_transaction);
  EXPECT_TRUE(manifest->written_meanwhile);
  const ports::DatabaseDigest& kept = manifest->databases[0].digest;
  EXPECT_TRUE(kept.tables[0].moving);
  EXPECT_FALSE(kept.tables[1].moving);
  ports::DatabaseDigest now = *meta_db_->Digest(ctx_, "rm_430");
  EXPECT_EQ(DescribeDifference(kept, now), "table moves was written while it was dumped");
  EXPECT_EQ(DescribeDifference(kept, now, Comparing::kLoaded), "");
  now.tables[1].crc_sum = "78";
  EXPECT_EQ(DescribeDifference(kept, now, Comparing::kLoaded), "table t has other contents");
}

TEST_F(BackupJobTest, WhileAComponentWritesAChangeOfTheSchemaDisturbs) {
  plan_.written_meanwhile = true;
  tool_.during = [&] {
    const std::lock_guard lock(meta_db_->mutex);
    meta_db_->schema = "altered";
  };
  EXPECT_EQ(Run().error().reason, "BackupDisturbed");
  EXPECT_FALSE(HasManifest());
}

TEST_F(BackupJobTest, AHeartbeatOtherThanPlannedDisturbsBeforeAnythingIsDumped) {
  plan_.heartbeat_max = 40;
  EXPECT_EQ(Run().error().reason, "BackupDisturbed");
  EXPECT_EQ(tool_.most, 0);
}

TEST_F(BackupJobTest, OneDumpThatFailsEndsAllAndIsTheErrorTold) {
  tool_.fails = "cm_430";
  const auto manifest = Run();
  ASSERT_FALSE(manifest.ok());
  EXPECT_EQ(manifest.error().reason, "DumpFailed");
  EXPECT_FALSE(HasManifest());
}

TEST_F(BackupJobTest, RowsThatCannotBeSummedAreRefused) {
  meta_db_->null_crcs = 3;
  const auto manifest = Run();
  ASSERT_FALSE(manifest.ok());
  EXPECT_EQ(manifest.error().reason, "SumsImpossible");
  EXPECT_FALSE(HasManifest());
}

TEST_F(BackupJobTest, ADumpThatIsNotWhatItWasMadeOfIsNoBackup) {
  const std::pair<const char*, std::function<void(ports::DumpOutcome&)>> rows[] = {
      {"cm_430.t: 1 rows in the files, 2 in the database",
       [](ports::DumpOutcome& outcome) { outcome.tables[1].rows = 1; }},
      {"cm_430.t: 3 rows in the files, 2 in the database",
       [](ports::DumpOutcome& outcome) { outcome.tables[1].rows = 3; }},
      {"cm_430.t: 0 rows in the files, 2 in the database",
       [](ports::DumpOutcome& outcome) { outcome.tables.pop_back(); }},
      {"cm_430.t: the files lack column id",
       [](ports::DumpOutcome& outcome) { outcome.tables[1].columns = {"twice"}; }},
      {"cm_430.t: the files have a column other",
       [](ports::DumpOutcome& outcome) {
         outcome.tables[1].columns = {"id", "other"};
         outcome.tables[1].values = 2;
       }},
      {"cm_430.t: each row in the files has 2 values for 1 columns",
       [](ports::DumpOutcome& outcome) { outcome.tables[1].values = 2; }},
      {"cm_430.t: each row in the files has 1 values, but the table has 2 columns",
       [](ports::DumpOutcome& outcome) { outcome.tables[1].columns.clear(); }},
      {"the files contain 7 rows of a table u, which cm_430 does not have",
       [](ports::DumpOutcome& outcome) {
         outcome.tables.push_back({"u", 7, {}, 1, 9});
       }},
  };
  for (const auto& [words, spoil] : rows) {
    tool_.spoil = spoil;
    const auto manifest = Run();
    ASSERT_FALSE(manifest.ok()) << words;
    EXPECT_EQ(manifest.error().reason, "DumpIncomplete");
    EXPECT_TRUE(manifest.error().Retryable()) << "another try may be whole";
    EXPECT_NE(manifest.error().message.find(words), std::string::npos) << manifest.error().message;
    EXPECT_FALSE(HasManifest());
  }
  // What a tool may do: name every column, in any order, or none.
  for (const auto& columns : {std::vector<std::string>{"twice", "id"}, {}}) {
    tool_.spoil = [&](ports::DumpOutcome& outcome) {
      outcome.tables[1].columns = columns;
      outcome.tables[1].values = 2;
    };
    const auto manifest = Run();
    EXPECT_TRUE(manifest.ok()) << manifest.error().message;
  }
}

TEST_F(BackupJobTest, OfATableThatMovesOnlyTheColumnsAreHeldAgainstTheFiles) {
  plan_.written_meanwhile = true;
  tool_.during = [&] {
    const std::lock_guard lock(meta_db_->mutex);
    ++meta_db_->heartbeat_max;
  };
  tool_.tables[0].rows = 17;
  ASSERT_TRUE(Run().ok());
  tool_.tables[1].columns = {"twice"};
  EXPECT_EQ(Run().error().reason, "DumpIncomplete");
}

TEST_F(BackupJobTest, AStopEndsItAsCancelled) {
  tool_.hang = true;
  std::stop_source stop;
  const auto ctx = ctx_.WithStop(stop.get_token());
  std::thread stopper([&] { stop.request_stop(); });
  const auto manifest =
      act::RunBackup(ctx, plan_, {meta_db_, meta_db_, meta_db_}, tool_, fence_, store_, progress_);
  stopper.join();
  EXPECT_TRUE(manifest.Is(Code::kCancelled));
  EXPECT_FALSE(HasManifest());
}

TEST_F(BackupJobTest, AFileThatChangedOrWentIsABrokenBackup) {
  ASSERT_TRUE(Run().ok());
  const auto good = store_.files;
  const fs::path file = plan_.folder / "rm_430" / "a.sql";
  store_.files[file].back() = 'X';
  EXPECT_EQ(VerifyManifest(store_, plan_.folder).error().reason, "BackupBroken");
  store_.files = good;
  store_.files[file] += "more";
  EXPECT_EQ(VerifyManifest(store_, plan_.folder).error().reason, "BackupBroken");
  store_.files = good;
  store_.files.erase(file);
  EXPECT_EQ(VerifyManifest(store_, plan_.folder).error().reason, "BackupBroken");
  EXPECT_TRUE(ReadManifest(store_, plan_.folder).ok()) << "reading looks at the manifest only";
  store_.files = good;
  EXPECT_TRUE(VerifyManifest(store_, plan_.folder).ok());
  store_.files.erase(plan_.folder / kManifestName);
  EXPECT_TRUE(VerifyManifest(store_, plan_.folder).Is(Code::kNotFound));
}

TEST_F(BackupJobTest, ANewerOrBrokenManifestIsRefused) {
  const auto manifest = Run();
  ASSERT_TRUE(manifest.ok());
  const auto with = [&](const std::string& from, const std::string& to) {
    auto text = manifest->ToJson();
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return Manifest::FromJson(text.replace(at, from.size(), to));
  };
  EXPECT_EQ(with("\"format\": 1", "\"format\": 3").error().reason, "ManifestFormat");
  EXPECT_EQ(with("rm_430/a.sql", "../x/a.sql").error().reason, "ManifestInvalid");
  EXPECT_EQ(with("rm_430/a.sql", "/etc/passwd").error().reason, "ManifestInvalid");
  EXPECT_EQ(with("\"heartbeatMax\": 41,", "").error().reason, "ManifestInvalid");
  EXPECT_EQ(with("mydumper", "tar").error().reason, "ManifestInvalid");
  EXPECT_EQ(Manifest::FromJson("").error().reason, "ManifestInvalid");
  EXPECT_EQ(Manifest::FromJson("[]").error().reason, "ManifestInvalid");
}

TEST_F(BackupJobTest, ANumberThatDoesNotFitIsABrokenManifest) {
  const auto manifest = Run();
  ASSERT_TRUE(manifest.ok());
  for (const char* path : {"/format", "/heartbeatMax", "/databases/0/files/0/bytes",
                           "/databases/0/digest/tables/0/rows"}) {
    for (const char* value : {"2e21", "-2e21", "1.5", "-1", "true", "18446744073709551616"}) {
      auto broken = nlohmann::json::parse(manifest->ToJson());
      broken[nlohmann::json::json_pointer(path)] = nlohmann::json::parse(value);
      const auto read = Manifest::FromJson(broken.dump());
      ASSERT_FALSE(read.ok()) << path << " = " << value;
      EXPECT_THAT(read.error().reason, testing::StartsWith("Manifest")) << path << " = " << value;
    }
  }
}

TEST_F(BackupJobTest, TheRestoreTextNamesEachDatabaseAndNoPassword) {
  const auto manifest = Run();
  ASSERT_TRUE(manifest.ok());
  const auto& text = store_.files[plan_.folder / kRestoreName];
  for (const char* part : {"rm_430", "cm_430", "hb_430", "zstd -dcq", "docker restart oms_430",
                           "sha256sum -c SHA256SUMS", "CHARACTER SET utf8mb4"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(text.find("p4ssw0rd"), std::string::npos);
  // What is loaded is text of the server's, which may ask its client for any file of this host.
  const std::string client = "mysql --defaults-file=", shut = "client.cnf --local-infile=0 ";
  size_t lines = 0;
  for (size_t at = text.find(client); at != std::string::npos; at = text.find(client, at + 1)) {
    EXPECT_EQ(text.substr(at + client.size(), shut.size()), shut) << text.substr(at, 100);
    ++lines;
  }
  EXPECT_EQ(lines, 3 * 4U);
  EXPECT_EQ(manifest->ToJson().find("p4ssw0rd"), std::string::npos);
  EXPECT_NE(store_.files[plan_.folder / kSumsName].find(base::Sha256Hex("dump of rm_430") +
                                                        "  rm_430/a.sql\n"),
            std::string::npos);
}

TEST(DescribeDifference, NamesWhatDiffers) {
  const ports::DatabaseDigest good{"d",
                                   "utf8mb4",
                                   "utf8mb4_bin",
                                   {{"a", 1, "5", 0}, {"b", 2, "6", 0}},
                                   {{"table", "a", "x"}, {"table", "b", "y"}, {"view", "v", "z"}}};
  EXPECT_EQ(DescribeDifference(good, good), "");
  auto other = good;
  other.tables[0].rows = 3;
  other.tables[1].crc_sum = "7";
  other.objects.pop_back();
  other.charset = "gbk";
  other.tables.push_back({"c", 0, "", 0});
  EXPECT_EQ(DescribeDifference(good, other),
            "character set gbk/utf8mb4_bin in place of utf8mb4/utf8mb4_bin, table a has 3 rows in "
            "place of 1, table b has other contents, table c is new, view v is missing");
  other = good;
  other.objects[0].sha256 = "changed";
  EXPECT_EQ(DescribeDifference(good, other), "table a has another definition");
}

}  // namespace
}  // namespace oms::record
