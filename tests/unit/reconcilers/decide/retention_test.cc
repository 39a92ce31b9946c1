#include "reconcilers/decide/retention.h"

#include <gmock/gmock.h>

#include <functional>
#include <nlohmann/json.hpp>

namespace oms::decide {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Outcome = model::OperationOutcome;

constexpr char kDirectory[] = "/backups/";

base::WallTime Hour(int hour) { return base::WallTime{} + std::chrono::hours(hour); }

// A succeeded upgrade "a", "b", ... that ended at this hour.
OperationFolder Ended(const std::string& id, int hour, Outcome outcome = Outcome::kSucceeded) {
  model::OperationRecord record;
  record.id = id;
  record.folder = kDirectory + id;
  record.owner_cluster = "cluster-1";
  record.owner_object = "default/oms";
  record.from = *crd::Version::Parse("4.3.0");
  record.to = *crd::Version::Parse("4.3.1");
  record.databases = {{"rm", "oms_rm", "tenant-1"}};
  record.outcome = outcome;
  record.ended = Hour(hour);
  record.backup = model::BackupRef{.folder = "dump/1"};
  record.image_backups["oms-1"] = {"images/oms-1.tar"};
  return {record.folder, record};
}
OperationFolder Changed(OperationFolder folder,
                        const std::function<void(model::OperationRecord&)>& change) {
  change(*folder.record);
  return folder;
}
// An operation that takes `undone` back, and restores from where that one's backup lies.
OperationFolder Undo(const std::string& id, int hour, const OperationFolder& undone) {
  return Changed(Ended(id, hour, Outcome::kRolledBack), [&](model::OperationRecord& record) {
    record.undoes = model::OperationRef{undone.record->id, undone.path};
    record.backup->folder = undone.path + "/dump/1";
    record.image_backups["oms-1"].path = undone.path + "/images/oms-1.tar";
  });
}
OperationFolder Open(OperationFolder folder) {
  return Changed(std::move(folder), [](model::OperationRecord& record) {
    record.outcome = Outcome::kOpen;
    record.ended.reset();
  });
}

struct Row {
  const char* name;
  std::vector<OperationFolder> folders;  // The last is the current one.
  std::vector<std::string> removed;
  int retain = 2;
  int now = 10'000;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

std::vector<Row> Rows() {
  const auto a = Ended("a", 1), b = Ended("b", 2), c = Ended("c", 3), d = Ended("d", 4);
  const auto other_oms = [](model::OperationRecord& record) {
    record.databases[0].server = "tenant-2";
  };
  return {
      {"WhatRetainDoesNotCoverGoesOldestFirst", {a, b, c, d}, {"a", "b"}},
      {"TheOrderIsThatOfTheEndsNotOfTheFolders", {d, b, a, c}, {"a", "b"}},
      {"NoMoreThanRetainRemovesNothing", {a, b}, {}},
      {"RetainOfThreeKeepsThree", {a, b, c, d}, {"a"}, 3},
      {"TheCurrentOneStaysEvenIfItIsTheOldest", {b, c, d, a}, {"b"}},
      {"WhatTheCurrentOneUndoesIsItsWayBack", {a, b, c, Undo("u", 5, a)}, {"b"}},
      {"ABackupThatIsNamedByItsPathAloneIsAWayBack",
       {a, b, c, Changed(Undo("u", 5, a), [](auto& record) { record.undoes.reset(); })},
       {"b"}},
      {"AFolderWhoseNameOnlyBeginsAlikeIsNoWayBack",
       {a, b, c, Changed(Ended("u", 5), [](auto& r) { r.backup->folder = "/backups/abc/dump/1"; })},
       {"a", "b"}},
      {"AnOpenOneThatNoRowNamesStays", {Open(a), b, c, d}, {"b"}},
      {"WhatAnOpenOneUndoesStays", {a, b, Open(Undo("u", 0, a)), c, d}, {"b"}},
      {"TheUpgradeBeforeOneThatDidNotSucceedIsTheWayBack",
       {a, b, c, d,
        Changed(Ended("e", 5, Outcome::kRolledBack),
                [&](auto& record) {
                  record.previous = model::OperationRef{"a", a.path};
                })},
       {"b", "c"}},
      {"AnUndoOfLongAgoGoesOnceALaterOneSucceeded", {a, Undo("u", 2, a), c, d}, {"a", "u"}},
      {"AFailedOneStaysWhileNothingLaterSucceeded",
       {Ended("a", 1, Outcome::kAbandoned), Ended("b", 2, Outcome::kRolledBack),
        Ended("c", 3, Outcome::kRolledBack), Ended("d", 4, Outcome::kAbandoned)},
       {}},
      {"AFailedOneGoesOnceALaterOneSucceeded",
       {Ended("a", 1, Outcome::kAbandoned), Ended("b", 2, Outcome::kRolledBack), c, d},
       {"a", "b"}},
      {"AFailedOneAfterTheLastSuccessStaysAndTheSuccessBeforeItGoes",
       {a, Ended("b", 2, Outcome::kAbandoned), Ended("c", 3, Outcome::kAbandoned),
        Ended("d", 4, Outcome::kAbandoned)},
       {"a"}},
      {"WhatSucceededWithinTheRollbackWindowStays", {a, b, c, d}, {"a"}, 2, 73 + 1},
      {"WhatDidNotSucceedHasNoWindow", {Ended("a", 1, Outcome::kRolledBack), b, c, d}, {"a"}, 2, 5},
      {"WhatCannotBeReadStaysAndIsNotCounted", {{"/backups/x", std::nullopt}, a, b, c}, {"a"}},
      {"AnothersStaysAndIsNotCounted",
       {Changed(b, [](auto& record) { record.owner_object = "default/other"; }), a, c, d},
       {"a"}},
      {"AnotherClustersStays",
       {Changed(a, [](auto& record) { record.owner_cluster = "cluster-2"; }), b, c, d},
       {"b"}},
      {"AnotherOmsOfTheSameNameStays", {Changed(a, other_oms), b, c, d}, {"b"}},
      {"ARecordThatSaysThatItLiesElsewhereStays",
       {Changed(a, [](auto& record) { record.folder = "/old-mount/a"; }), b, c, d},
       {"b"}},
      {"AClosedOneWithoutAnEndStays",
       {Changed(a, [](auto& record) { record.ended.reset(); }), b, c, d},
       {"b"}},
  };
}

class PrunableFoldersTest : public testing::TestWithParam<Row> {};

TEST_P(PrunableFoldersTest, AreThese) {
  const Row& row = GetParam();
  const RetentionRule rule{{"cluster-1", "default/oms"}, row.retain, 72h};
  const auto retention =
      PrunableFolders(row.folders, *row.folders.back().record, rule, Hour(row.now));
  std::vector<std::string> removed;
  for (const auto& folder : retention.remove) {
    removed.push_back(folder.path.substr(std::string(kDirectory).size()));
  }
  EXPECT_EQ(removed, row.removed);
}
INSTANTIATE_TEST_SUITE_P(Table, PrunableFoldersTest, testing::ValuesIn(Rows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Retention, SaysWhyAndWhenTheNextOneFallsDue) {
  const std::vector<OperationFolder> folders = {Ended("a", 1), Ended("b", 2), Ended("c", 3),
                                                Ended("d", 4), Ended("e", 5)};
  const RetentionRule rule{{"cluster-1", "default/oms"}, 2, 72h};
  const auto now = PrunableFolders(folders, *folders.back().record, rule, Hour(74));
  ASSERT_EQ(now.remove.size(), 1u);
  EXPECT_THAT(now.remove[0].why,
              HasSubstr("upgrade from 4.3.0 to 4.3.1, Succeeded 1970-01-01T01:00:00Z"));
  EXPECT_THAT(now.remove[0].why, HasSubstr("2 newest"));
  EXPECT_EQ(now.next_due, Hour(74)) << "b's window; c's comes later";
  const auto later = PrunableFolders(folders, *folders.back().record, rule, Hour(80));
  EXPECT_EQ(later.remove.size(), 3u);
  EXPECT_FALSE(later.next_due.has_value());
}

// What a person writes who wants to keep a backup for ever. As a number it came out as none.
TEST(Retention, AWindowOfCenturiesKeepsEveryBackup) {
  const std::vector<OperationFolder> folders = {Ended("a", 1), Ended("b", 2), Ended("c", 3),
                                                Ended("d", 4), Ended("e", 5)};
  for (const char* window : {"87600h", "2000000h", "3000000h", "9999999h", "999999999h"}) {
    const auto spec =
        crd::SpecFromJson({{"version", "4.3.1"},
                           {"image", {{"reference", "oms:4.3.1"}}},
                           {"nodes",
                            {{{"name", "oms-1"},
                              {"engine", {{"endpoint", "unix:///var/run/docker.sock"}}},
                              {"container", {{"name", "oms_430"}}}}}},
                           {"strategy", {{"rollbackWindow", window}}}});
    ASSERT_TRUE(spec.ok()) << spec.error().message;
    const RetentionRule rule{{"cluster-1", "default/oms"}, 2, spec->strategy.rollback_window};
    const auto now = PrunableFolders(folders, *folders.back().record, rule, Hour(10'000));
    EXPECT_TRUE(now.remove.empty()) << window << ": " << now.remove.size() << " removed";
    EXPECT_TRUE(now.next_due.has_value()) << window;
  }
}

}  // namespace
}  // namespace oms::decide
