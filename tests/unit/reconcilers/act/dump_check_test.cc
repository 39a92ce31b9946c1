// Whether a dump's files hold what the database holds, and which tool can make such a dump.
#include "reconcilers/act/dump_check.h"

#include <gmock/gmock.h>

#include "reconcilers/model/dump_choice.h"

namespace oms::act {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ports::DatabaseDigest Digest() {
  ports::TableSum table;
  table.name = "t";
  table.rows = 2;
  table.columns = {{"id", false}, {"note", false}, {"sum", true}};
  ports::DatabaseDigest digest;
  digest.name = "rm";
  digest.tables = {table};
  return digest;
}

ports::DumpedTable Files(uint64_t rows, std::vector<std::string> columns) {
  ports::DumpedTable dumped{"t", rows, std::move(columns)};
  dumped.values = dumped.columns.size();
  return dumped;
}

TEST(WhatDumpLacks, IsNothingWhereRowsAndColumnsAreThere) {
  EXPECT_EQ(WhatDumpLacks(Digest(), {Files(2, {"id", "note"})}), "") << "sum is computed";
  EXPECT_EQ(WhatDumpLacks(Digest(), {Files(2, {"id", "note", "sum"})}), "");
  ports::DumpedTable unnamed = Files(2, {});
  unnamed.values = 3;
  EXPECT_EQ(WhatDumpLacks(Digest(), {unnamed}), "");
}

TEST(WhatDumpLacks, IsARowTooFewOrTooMany) {
  EXPECT_EQ(WhatDumpLacks(Digest(), {Files(1, {"id", "note"})}),
            "table rm.t: 1 rows in the files, 2 in the database");
  EXPECT_EQ(WhatDumpLacks(Digest(), {Files(3, {"id", "note"})}),
            "table rm.t: 3 rows in the files, 2 in the database");
  EXPECT_EQ(WhatDumpLacks(Digest(), {}), "table rm.t: 0 rows in the files, 2 in the database");
}

TEST(WhatDumpLacks, IsAColumnThatTheServerDoesNotCompute) {
  EXPECT_EQ(WhatDumpLacks(Digest(), {Files(2, {"id", "sum"})}),
            "table rm.t: the files lack column note");
  EXPECT_THAT(WhatDumpLacks(Digest(), {Files(2, {"id", "note", "more"})}), HasSubstr("more"));
  ports::DumpedTable unnamed = Files(2, {});
  unnamed.values = 2;
  EXPECT_THAT(WhatDumpLacks(Digest(), {unnamed}),
              HasSubstr("2 values, but the table has 3 columns"));
  ports::DumpedTable uneven = Files(2, {"id", "note"});
  uneven.values = 1;
  EXPECT_THAT(WhatDumpLacks(Digest(), {uneven}), HasSubstr("1 values for 2 columns"));
}

TEST(WhatDumpLacks, IsTheTableThatTheFilesHaveInItsPlace) {
  ports::DumpedTable other = Files(1, {"id"});
  other.name = "other";
  EXPECT_THAT(WhatDumpLacks(Digest(), {Files(2, {"id", "note"}), other}), HasSubstr("other"));
}

TEST(WhatDumpLacks, OfATableThatWasWrittenMeanwhileIsItsColumnsAlone) {
  ports::DatabaseDigest digest = Digest();
  digest.tables[0].moving = true;
  EXPECT_EQ(WhatDumpLacks(digest, {Files(5, {"id", "note"})}), "");
  EXPECT_EQ(WhatDumpLacks(digest, {Files(5, {"id"})}), "table rm.t: the files lack column note");
}

// ------------------------------------------------------------------------------------- the tool

const ports::DumpObstacles kNone, kNoMydumper{"mydumper leaves out rm.t.note", ""},
    kNoMysqldump{"", "mysqldump cannot dump rm.u"};

TEST(ChooseTool, TakesMydumperWhereNothingStandsInItsWayAndTheOtherElse) {
  EXPECT_EQ(*model::ChooseTool(crd::BackupTool::kAuto, {}), ports::DumpTool::kMydumper);
  EXPECT_EQ(*model::ChooseTool(crd::BackupTool::kAuto, {kNone, kNoMysqldump}),
            ports::DumpTool::kMydumper);
  EXPECT_EQ(*model::ChooseTool(crd::BackupTool::kAuto, {kNone, kNoMydumper}),
            ports::DumpTool::kMysqldump);
}

TEST(ChooseTool, ThatIsAskedForByNameIsTakenOrRefusedWithWhatToWrite) {
  EXPECT_EQ(*model::ChooseTool(crd::BackupTool::kMysqldump, {kNoMydumper}),
            ports::DumpTool::kMysqldump);
  EXPECT_EQ(*model::ChooseTool(crd::BackupTool::kMydumper, {kNoMysqldump}),
            ports::DumpTool::kMydumper);
  const auto refused = model::ChooseTool(crd::BackupTool::kMydumper, {kNoMydumper});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, "DumpUnsupported");
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("rm.t.note"), HasSubstr("spec.backup.tool to mysqldump")));
  EXPECT_THAT(model::ChooseTool(crd::BackupTool::kMysqldump, {kNoMysqldump}).error().message,
              AllOf(HasSubstr("rm.u"), HasSubstr("spec.backup.tool to mydumper")));
}

TEST(ChooseTool, IsRefusedWhereNeitherCanAndNamesBothObstacles) {
  const auto refused = model::ChooseTool(crd::BackupTool::kAuto, {kNoMydumper, kNoMysqldump});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("rm.t.note"), HasSubstr("rm.u")));
}

}  // namespace
}  // namespace oms::act
