// The pure judges of what a dump needs: rights, tools, packets, definitions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/drivers/dump/dump_objects.h"
#include "reconcilers/drivers/mysql/grants.h"
#include "reconcilers/drivers/mysql/packet_limit.h"
#include "reconcilers/drivers/mysql/schema_text.h"

namespace oms::drivers::dump {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// ------------------------------------------------------------------------------------- rights

// As MariaDB 10.11 and OceanBase 4.3 write them.
const char* const kUsage = "GRANT USAGE ON *.* TO `oms`@`%` IDENTIFIED BY PASSWORD '*282FE'";
const char* const kPart =
    "GRANT SELECT, INSERT, UPDATE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE ON `cm_430`.* TO "
    "`oms`@`%`";

TEST(Grants, ARightIsMissingWhereNoLineGivesIt) {
  const mysql::Grants grants({kUsage, kPart, "GRANT ALL PRIVILEGES ON `rm_430`.* TO 'oms'"}, true);
  EXPECT_TRUE(grants.Lacks("TRIGGER", "cm_430"));
  EXPECT_FALSE(grants.Lacks("CREATE VIEW", "cm_430"));
  EXPECT_TRUE(grants.Lacks("CREATE", "cm_430")) << "which begins as CREATE VIEW does";
  EXPECT_FALSE(grants.Lacks("TRIGGER", "rm_430"));
  EXPECT_TRUE(grants.Lacks("TRIGGER", "cm_hb_430"));
}

TEST(Grants, ThoseOfTheWholeServerCountEverywhere) {
  EXPECT_FALSE(mysql::Grants({"GRANT ALL PRIVILEGES ON *.* TO 'oms' WITH GRANT OPTION"}, true)
                   .Lacks("TRIGGER", "cm_430"));
  EXPECT_FALSE(mysql::Grants({"GRANT PROCESS, TRIGGER ON *.* TO `oms`@`%`", kPart}, true)
                   .Lacks("TRIGGER", "cm_430"));
}

TEST(Grants, NamesArePatterns) {
  EXPECT_TRUE(mysql::FitsDatabase("oms\\_upgrade\\_%", "oms_upgrade_probe"));
  EXPECT_FALSE(mysql::FitsDatabase("oms\\_upgrade\\_%", "omsxupgrade_probe"));
  EXPECT_TRUE(mysql::FitsDatabase("cm_430", "cm-430")) << "a plain _ is any letter";
  EXPECT_TRUE(mysql::FitsDatabase("%_430", "cm_hb_430"));
  EXPECT_TRUE(mysql::FitsDatabase("CM_430", "cm_430"));
  EXPECT_FALSE(mysql::FitsDatabase("cm_43", "cm_430"));
  EXPECT_FALSE(mysql::FitsDatabase("", "cm"));
  EXPECT_FALSE(mysql::FitsDatabase(std::string(60, '%') + "x", std::string(64, 'a'))) << "and ends";
  const mysql::Grants grants({"GRANT ALL PRIVILEGES ON `%\\_430`.* TO `oms`@`%`"}, true);
  EXPECT_FALSE(grants.Lacks("TRIGGER", "cm_430"));
  EXPECT_TRUE(grants.Lacks("TRIGGER", "cm-430"));
}

TEST(Grants, OfTwoThatFitMariaDbTakesTheNearestAndOceanBaseBoth) {
  const std::vector<std::string> lines = {"GRANT ALL PRIVILEGES ON `cm\\_%`.* TO 'oms'",
                                          "GRANT SELECT ON `cm\\_430`.* TO 'oms'",
                                          "GRANT ALL PRIVILEGES ON `%`.* TO 'oms'"};
  EXPECT_TRUE(mysql::Grants(lines, true).Lacks("TRIGGER", "cm_430"));
  EXPECT_FALSE(mysql::Grants(lines, true).Lacks("TRIGGER", "cm_431"));
  EXPECT_FALSE(mysql::Grants(lines, false).Lacks("TRIGGER", "cm_430"));
}

TEST(Grants, WhatCannotBeToldIsNotMissing) {
  for (const char* line : {"GRANT `oms_role` TO `oms`@`%`", "GRANT `r`@`%` TO `oms`@`%`",
                           "REVOKE SELECT ON `mysql`.* FROM `oms`@`%`", "something else"}) {
    EXPECT_FALSE(mysql::Grants({kUsage, kPart, line}, true).Lacks("TRIGGER", "cm_430")) << line;
  }
  for (const char* line : {"GRANT PROXY ON ``@`%` TO `oms`@`%` WITH GRANT OPTION",
                           "SET DEFAULT ROLE NONE FOR `oms`@`%`",
                           "GRANT SELECT, TRIGGER ON `cm_430`.`host` TO `oms`@`%`",
                           "GRANT EXECUTE ON PROCEDURE `cm_430`.`p` TO `oms`@`%`",
                           "GRANT SELECT (`id`), TRIGGER (`a`, `b`) ON `cm_430`.* TO `oms`@`%`"}) {
    EXPECT_TRUE(mysql::Grants({kUsage, kPart, line}, true).Lacks("TRIGGER", "cm_430")) << line;
  }
}

TEST(Grants, AUserIsNamedAsAGrantNamesIt) {
  EXPECT_EQ(mysql::QuotedUser("oms@%"), "'oms'@'%'");
  EXPECT_EQ(mysql::QuotedUser("o@m's@10.0.0.1"), "'o@m\\'s'@'10.0.0.1'");
}

// -------------------------------------------------------------------------------------- tools

TEST(ObstaclesOf, WhatEachToolLeavesOutIsNamed) {
  const auto invisible = mysql::ObstaclesOf("rm", {{"inv", "note", "INVISIBLE", false}}, true);
  EXPECT_THAT(invisible.no_mydumper, HasSubstr("rm.inv.note is an INVISIBLE column"));
  EXPECT_EQ(invisible.no_mysqldump, "");
  const auto mysql8 = mysql::ObstaclesOf(
      "rm", {{"stamp", "t", "DEFAULT_GENERATED ON UPDATE CURRENT_TIMESTAMP", false}}, false);
  EXPECT_THAT(mysql8.no_mydumper, HasSubstr("rm.stamp.t"));
  EXPECT_EQ(mysql8.no_mysqldump, "");
  const mysql::OddColumn generated{"g", "sum", "STORED GENERATED", true};
  EXPECT_EQ(mysql::ObstaclesOf("rm", {generated}, false).no_mydumper, "");
  EXPECT_THAT(mysql::ObstaclesOf("rm", {generated}, false).no_mysqldump,
              HasSubstr("rm.g.sum is a generated column"));
  EXPECT_EQ(mysql::ObstaclesOf("rm", {generated}, true).no_mysqldump, "")
      << "MariaDB passes them over";
}

TEST(ObstaclesOf, BesideAGeneratedColumnMydumperNamesTheOthersInvisibleOnesToo) {
  const mysql::OddColumn generated{"t", "sum", "STORED GENERATED", true};
  const mysql::OddColumn invisible{"t", "note", "INVISIBLE", false};
  EXPECT_EQ(mysql::ObstaclesOf("rm", {invisible, generated}, false).no_mydumper, "");
  EXPECT_NE(
      mysql::ObstaclesOf("rm", {{"u", "note", "INVISIBLE", false}, generated}, false).no_mydumper,
      "")
      << "of another table it does not";
  EXPECT_EQ(
      mysql::ObstaclesOf("rm", {{"t", "x", "STORED GENERATED, INVISIBLE", true}}, true).no_mydumper,
      "");
}

// ------------------------------------------------------------------------------------ packets

TEST(Packets, TheValueToSetIsAPowerOfTwoThatTheStatementFitsIn) {
  EXPECT_THAT(mysql::RaisePacket(mysql::StatementOf(9 << 20)),
              HasSubstr("SET GLOBAL max_allowed_packet = 33554432"));
  EXPECT_THAT(mysql::RaisePacket((1 << 25) - 1), HasSubstr("= 33554432"));
  EXPECT_THAT(mysql::RaisePacket(1 << 25), HasSubstr("= 67108864"));
  EXPECT_THAT(mysql::RaisePacket((1ULL << 30) - 1), HasSubstr("= 1073741824"));
  EXPECT_THAT(mysql::RaisePacket(1ULL << 30), HasSubstr("no server accepts more"));
}

TEST(Packets, OnlyTablesThatCouldHoldALongRowAreRead) {
  const std::vector<mysql::LongColumn> columns = {{"small", "a", 2000},
                                                  {"many", "a", 5 << 20},
                                                  {"many", "b", 5 << 20},
                                                  {"large", "b", 4294967295},
                                                  {"large", "c", 4294967295}};
  EXPECT_THAT(mysql::CouldBeTooLong(columns, 16 << 20), ElementsAre("large", "many"));
  EXPECT_THAT(mysql::CouldBeTooLong(columns, 64 << 20), ElementsAre("large"));
}

// -------------------------------------------------------------------------------- definitions

TEST(CheckDefinition, OneThatDoesNotBeginWithCreateIsRefusedByName) {
  for (const char* good :
       {"CREATE VIEW `v` AS select 1", "create trigger x", "Create\nProcedure p"}) {
    EXPECT_TRUE(mysql::CheckDefinition("view", "rm", "v", good).ok()) << good;
  }
  for (const char* bad : {"", "CREATE", "CREATEX VIEW", " CREATE VIEW",
                          "LOAD DATA LOCAL INFILE 'x'", "/*!CREATE*/ VIEW", "-- x\nCREATE VIEW"}) {
    const auto status = mysql::CheckDefinition("trigger", "rm", "audit", bad);
    ASSERT_TRUE(status.Is(base::Code::kTerminal)) << bad;
    EXPECT_EQ(status.error().reason, "DumpUnsupported");
    EXPECT_THAT(status.error().message, HasSubstr("trigger rm.audit"));
  }
}

TEST(ObjectsText, EndsEachTextAtADelimiterThatNoneHolds) {
  const auto plain =
      ObjectsText("rm", {{"v", "CREATE VIEW v AS select 1", "SET NAMES utf8mb4;\n"}});
  EXPECT_THAT(plain, HasSubstr("SET NAMES utf8mb4;\nDELIMITER $$oms$$\nCREATE VIEW v AS select 1\n"
                               "$$oms$$\nDELIMITER ;\n"));
  EXPECT_TRUE(plain.ends_with("-- Completed: 1\n"));
  const std::vector<CreatedObject> odd = {{"a", "CREATE VIEW a AS select 1 $$oms$$ from dual"},
                                          {"b", "CREATE VIEW b AS select '$$oms1$$'"}};
  const auto text = ObjectsText("rm", odd);
  EXPECT_THAT(text, HasSubstr("DELIMITER $$oms2$$\n" + odd[0].text + "\n$$oms2$$\n"));
  EXPECT_EQ(text, ObjectsText("rm", odd)) << "the same each time";
}

}  // namespace
}  // namespace oms::drivers::dump
