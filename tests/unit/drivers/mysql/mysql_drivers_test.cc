#include <gtest/gtest.h>

#include "reconcilers/drivers/dump/dump_files.h"
#include "reconcilers/drivers/dump/dump_tool.h"
#include "reconcilers/drivers/mysql/mysql_ownership.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/drivers/mysql/own_connections.h"
#include "reconcilers/drivers/mysql/schema_text.h"

namespace oms::drivers::mysql {
namespace {

using base::Code;

TEST(MysqlNames, OnlyPlainOnesAreAccepted) {
  for (const char* good : {"rm_430", "a", "cm-hb$1", "X"}) EXPECT_TRUE(CheckIdentifier(good).ok());
  for (const char* bad : {"", "a b", "a`b", "a;b", "a.b", "é", "a\nb", "a'b"}) {
    EXPECT_TRUE(CheckIdentifier(bad).Is(Code::kInvalid)) << bad;
  }
  EXPECT_TRUE(CheckIdentifier(std::string(64, 'a')).ok());
  EXPECT_FALSE(CheckIdentifier(std::string(65, 'a')).ok());
  EXPECT_EQ(Quote("a`b"), "`a``b`");
}

TEST(MysqlErrors, SayWhatToDo) {
  const std::pair<int, Code> cases[] = {
      {1045, Code::kDenied},    {1142, Code::kDenied},        {1146, Code::kNotFound},
      {1049, Code::kNotFound},  {1062, Code::kAlreadyExists}, {2013, Code::kTransient},
      {2006, Code::kTransient}, {2002, Code::kTransient},     {4012, Code::kTimeout},
      {1969, Code::kTimeout},   {2026, Code::kDenied},        {1064, Code::kTerminal},
      {4038, Code::kTransient}, {1021, Code::kTransient},     {1041, Code::kTransient},
      {1047, Code::kTransient}, {1203, Code::kTransient},     {1226, Code::kTransient},
      {1290, Code::kTransient}, {1836, Code::kTransient},     {4031, Code::kTransient}};
  for (const auto& [number, code] : cases) {
    EXPECT_EQ(Classify(number, "words", "h:1").code, code) << number;
  }
  for (const int number : {2006, 2013, 1927, 4031}) {
    EXPECT_EQ(Classify(number, "words", "h:1").reason, "MetaDBUnreachable") << "ends the session";
  }
  EXPECT_EQ(Classify(2013, "Lost", "h:1").message, "MetaDB h:1: Lost (error 2013)");
}

TEST(NormalizeCreate, TakesOutWhatDiffersBetweenEqualTables) {
  const std::string mariadb =
      "CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  PRIMARY KEY (`id`)\n) "
      "ENGINE=InnoDB AUTO_INCREMENT=4 DEFAULT CHARSET=utf8mb4 COMMENT='AUTO_INCREMENT=9'";
  const std::string oceanbase =
      "CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  PRIMARY KEY (`id`)\n) "
      "ORGANIZATION INDEX AUTO_INCREMENT = 1000001 DEFAULT CHARSET = utf8mb4";
  EXPECT_EQ(NormalizeCreate(mariadb, "d"),
            "CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  PRIMARY KEY (`id`)\n) "
            "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='AUTO_INCREMENT=9'");
  EXPECT_EQ(NormalizeCreate(oceanbase, "d"),
            "CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  PRIMARY KEY (`id`)\n) "
            "ORGANIZATION INDEX DEFAULT CHARSET = utf8mb4");
  EXPECT_EQ(AutoIncrementOf(mariadb), 4U);
  EXPECT_EQ(AutoIncrementOf(oceanbase), 1000001U);
  EXPECT_EQ(AutoIncrementOf("CREATE TABLE `t` (\n  `a` int\n) ENGINE=InnoDB"), 0U);
}

TEST(NormalizeCreate, TakesOutDefinersAndTheOwnDatabase) {
  EXPECT_EQ(
      NormalizeCreate("CREATE ALGORITHM=UNDEFINED DEFINER=`oms meta`@`%` SQL SECURITY DEFINER "
                      "VIEW `v` AS select `d`.`t`.`a` AS `a` from `d`.`t`",
                      "d"),
      "CREATE VIEW `v` AS select `t`.`a` AS `a` from `t`");
  EXPECT_EQ(NormalizeCreate("CREATE DEFINER = oms_meta@% trigger g before insert on t for each row "
                            "set @a=1",
                            "d"),
            "CREATE trigger g before insert on t for each row set @a=1");
  EXPECT_EQ(NormalizeCreate("CREATE DEFINER = `a`@`%` PROCEDURE `p`()\nselect 'DEFINER=x'", "d"),
            "CREATE PROCEDURE `p`()\nselect 'DEFINER=x'");
  EXPECT_EQ(NormalizeCreate("CREATE VIEW `v` AS select `other`.`t`.`a` from `other`.`t`", "d"),
            "CREATE VIEW `v` AS select `other`.`t`.`a` from `other`.`t`")
      << "another database is a difference";
}

TEST(SumExpression, TellsNullFromEmptyAndSuitsEachType) {
  EXPECT_EQ(SumExpression({{"a", "bigint"}, {"s`x", "varchar"}, {"b", "longblob"}, {"j", "json"}}),
            "ISNULL(`a`),ISNULL(`s``x`),ISNULL(`b`),ISNULL(`j`),`a`,HEX(`s``x`),LENGTH(`b`),"
            "CRC32(`b`),LENGTH(CAST(`j` AS CHAR)),CRC32(CAST(`j` AS CHAR))");
}

TEST(ConnectionLines, GoAndComeBack) {
  const ports::DbConnection one{"h:1", 7, "u\"\n", "10.0.0.1:5", "2026-01-01T00:00:00Z", "", ""};
  const ports::DbConnection two{"h:1", 18446744073709551615U, "é", "", "x", "", ""};
  ports::DbConnection reader = one;
  reader.reads = true;
  const auto text = ConnectionLine(one) + "not ours\n" + ConnectionLine(two) + "{\"id\":\"x\"}\n" +
                    ConnectionLine(reader);
  EXPECT_EQ(ParseConnections(text), (std::vector{one, two, reader}));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5);
  EXPECT_TRUE(ParseConnections("").empty());
}

TEST(OptionFiles, QuoteWhatHasAMeaningThere) {
  EXPECT_EQ(dump::OptionFileValue("plain").value(), "\"plain\"");
  EXPECT_EQ(dump::OptionFileValue("a\"b\\c#d'e").value(), "\"a\\\"b\\\\c#d'e\"");
  EXPECT_TRUE(dump::OptionFileValue("a\nuser=root").Is(Code::kInvalid));
}

TEST(Words, HoldNoSecretWhateverItIs) {
  EXPECT_EQ(WithoutSecret("user u, password p4ss and p4ssp4ss", "p4ss"),
            "user u, password *** and ******");
  EXPECT_EQ(WithoutSecret("no secret is in ***", "***"), "no secret is in ***");
  EXPECT_EQ(WithoutSecret("a****b", "****"), "a***b");
  EXPECT_EQ(WithoutSecret("it is", "is"), "it is") << "too short to tell from a word";
  EXPECT_EQ(dump::ToolWords("the password is ***\n", "***"), "the password is ***");
}

TEST(Words, OfMydumperAreTheSameAtEachTry) {
  const std::string first =
      "\n** (mydumper:7153): CRITICAL **: 14:23:32.720: Could not read data from rm.d: gone\n"
      "\n** (mydumper:7153): WARNING **: 14:23:32.721: x (7) ** y\n";
  const std::string second =
      "\n** (mydumper:99): CRITICAL **: 09:00:00.001: Could not read data from rm.d: gone\n"
      "\n** (mydumper:99): WARNING **: 09:00:00.002: x (7) ** y\n";
  EXPECT_EQ(dump::ToolWords(first, ""), dump::ToolWords(second, ""));
  EXPECT_EQ(dump::ToolWords(first, ""), "Could not read data from rm.d: gone  x (7) ** y");
  EXPECT_EQ(dump::ToolWords("** (no head of a message", ""), "** (no head of a message");
}

TEST(OptionFiles, ThatCannotBeWrittenAreToldWithTheirPath) {
  const auto written = dump::WriteOptionFile("/nonexistent/oms-relay-abcdef", "x");
  ASSERT_TRUE(written.Is(Code::kTransient));
  EXPECT_NE(written.error().message.find("/nonexistent/oms-relay-abcdef/client.cnf"),
            std::string::npos)
      << written.error().message;
}

TEST(OwnConnections, CountALittleLongerThanTheyLast) {
  OwnConnections::Add("h:1", 7);
  EXPECT_TRUE(OwnConnections::Has("h:1", 7, "a:1"));
  EXPECT_FALSE(OwnConnections::Has("h:2", 7, "a:1"));
  OwnConnections::Remove("h:1", 7);
  EXPECT_TRUE(OwnConnections::Has("h:1", 7, "a:1")) << "the server may still show it";
  EXPECT_FALSE(OwnConnections::Has("h:1", 8, "a:1"));
  OwnConnections::AddKept("h:1", 9, "a:1");
  EXPECT_TRUE(OwnConnections::Has("h:1", 9, "a:1"));
  EXPECT_FALSE(OwnConnections::Has("h:1", 9, "a:2")) << "the id is another's by now";
}

}  // namespace
}  // namespace oms::drivers::mysql
