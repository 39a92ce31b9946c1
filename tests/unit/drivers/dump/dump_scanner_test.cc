#include "reconcilers/drivers/dump/dump_scanner.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace oms::drivers::dump {
namespace {

using base::Code;
using ports::DumpedTable;

// As mydumper 0.10 and mysqldump of MariaDB 10.11 begin their files.
constexpr char kMydumper[] =
    "/*!40101 SET NAMES binary*/;\n/*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n"
    "/*!40103 SET TIME_ZONE='+00:00' */;\n";
constexpr char kMysqldump[] =
    "-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)\n--\n"
    "-- Host: 127.0.0.1    Database: rm\n-- Server version\t5.7.25\n\n"
    "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n"
    "/*!40101 SET NAMES utf8mb4 */;\n"
    "/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;\n"
    "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n"
    "/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;\n\n"
    "--\n-- Table structure for table `t`\n--\n\nDROP TABLE IF EXISTS `t`;\n"
    "/*!40101 SET @saved_cs_client     = @@character_set_client */;\n"
    "CREATE TABLE `t` (\n  `id` int(11) NOT NULL COMMENT 'no; INSERT INTO `u` VALUES (1);',\n"
    "  `e` enum('a)','(b') DEFAULT 'a)'\n) ENGINE=InnoDB\n"
    "/*!50100 PARTITION BY RANGE (`id`) (PARTITION p0 VALUES LESS THAN (10)) */;\n"
    "/*!40101 SET character_set_client = @saved_cs_client */;\n\n"
    "LOCK TABLES `t` WRITE;\n/*!40000 ALTER TABLE `t` DISABLE KEYS */;\n";
constexpr char kMysqldumpEnd[] =
    "/*!40000 ALTER TABLE `t` ENABLE KEYS */;\nUNLOCK TABLES;\n"
    "/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n\n-- Dump completed on 2026-11-30 11:47:34\n";

struct Found {
  base::Status status;
  std::map<std::string, DumpedTable> tables;
  std::vector<std::string> creates;
  bool beyond_schema = false;
};
// In pieces of `piece` bytes; 0: in one.
Found Scan(const std::string& text, size_t piece = 0) {
  DumpScanner scanner;
  if (piece == 0) piece = text.size() + 1;
  for (size_t at = 0; at < text.size(); at += piece) {
    const std::string part = text.substr(at, piece);  // So that nothing outlives its piece.
    scanner.Feed(part);
  }
  Found found;
  found.status = scanner.Finish();
  found.tables = scanner.tables();
  found.creates = scanner.creates();
  found.beyond_schema = scanner.beyond_schema();
  return found;
}
DumpedTable Of(const std::string& text, const std::string& table = "t") {
  const auto found = Scan(text);
  EXPECT_TRUE(found.status.ok()) << found.status.error().message << "\n" << text;
  EXPECT_EQ(found.tables.count(table), 1U) << text;
  return found.tables.count(table) == 0 ? DumpedTable() : found.tables.at(table);
}
std::string Rows(const std::string& rows) {
  return std::string(kMydumper) + "INSERT INTO `t` VALUES\n" + rows + ";\n";
}

TEST(DumpScanner, CountsRowsAndValuesOfAFileOfMydumper) {
  const auto table = Of(Rows("(1,\"keep me\",NULL),\n(2,\"me too\",-0.5),\n(3,\"\",1e300)"));
  EXPECT_EQ(table.name, "t");
  EXPECT_EQ(table.rows, 3U);
  EXPECT_EQ(table.values, 3U);
  EXPECT_TRUE(table.columns.empty());
}

TEST(DumpScanner, CountsRowsAndValuesOfAFileOfMysqldump) {
  const std::string text = std::string(kMysqldump) +
                           "INSERT INTO `t` (`id`, `e`) VALUES (1,'a)'),\n(2,'(b');\n"
                           "INSERT INTO `t` (`id`, `e`) VALUES (3,NULL);\n" +
                           kMysqldumpEnd;
  const auto found = Scan(text);
  ASSERT_TRUE(found.status.ok()) << found.status.error().message;
  ASSERT_EQ(found.tables.size(), 1U) << "what stands in a comment of a column is no row";
  EXPECT_EQ(found.tables.at("t").rows, 3U);
  EXPECT_EQ(found.tables.at("t").values, 2U);
  EXPECT_EQ(found.tables.at("t").columns, (std::vector<std::string>{"id", "e"}));
  EXPECT_EQ(found.creates, std::vector<std::string>{"t"});
}

TEST(DumpScanner, FindsTheSameWhereverThePiecesEnd) {
  const std::string text =
      std::string(kMysqldump) +
      "INSERT INTO `t` VALUES (-1,'a\\'b\\\\'),(--2,'it''s /* no */ -- x\\n');\n"
      "INSERT INTO `a``b` VALUES (0x00FF27,_binary 'x\\0y;'),(b'101','\"');\n" +
      kMysqldumpEnd;
  const auto whole = Scan(text);
  ASSERT_TRUE(whole.status.ok()) << whole.status.error().message;
  EXPECT_EQ(whole.tables.at("t").rows, 2U);
  EXPECT_EQ(whole.tables.at("a`b").rows, 2U);
  for (size_t piece = 1; piece < 80; ++piece) {
    const auto found = Scan(text, piece);
    EXPECT_TRUE(found.status.ok()) << piece;
    EXPECT_EQ(found.tables, whole.tables) << piece;
    EXPECT_EQ(found.creates, whole.creates) << piece;
  }
}

TEST(DumpScanner, ValuesMayHoldWhatElseEndsThem) {
  const std::pair<const char*, uint64_t> rows[] = {
      {"(1)", 1},
      {"()", 0},
      {"( )", 0},
      {"('')", 1},
      {"('),(')", 1},
      {"(\"),(\",';')", 2},
      {"('a\\',b','c')", 2},
      {"('\\\\','b')", 2},
      {"('it''s','b')", 2},
      {"(\"say \"\"x\"\"\",2)", 2},
      {"(\"it's\",'\"')", 2},
      {"('-- no comment','# nor this','/* nor that')", 3},
      {"(CONVERT(\"{\\\"a\\\": [1,2]}\" USING UTF8MB4),NULL)", 2},
      {"(ST_GeomFromText('POINT(1 2)',4326),f(g(1,2),3),4)", 3},
      {"(_binary '\\0\\Z',x'00ff',X'FF',0x00,b'1')", 5},
      {"(-1,-1.5e-7,+3)", 3},
      {"(1, /* a comment, with a comma */ 2)", 2},
      {"(1 -- a comment,\n,2)", 2},
      {"('\n\r\t',1)", 2},
      {"(5-3)", 1},
      {"(4/2,3*1)", 2},
  };
  for (const auto& [row, values] : rows) {
    const std::string text = Rows(row);
    for (size_t piece : {0U, 1U, 2U, 3U}) {
      const auto found = Scan(text, piece);
      ASSERT_TRUE(found.status.ok()) << found.status.error().message << "\n" << row;
      EXPECT_EQ(found.tables.at("t").rows, 1U) << row;
      EXPECT_EQ(found.tables.at("t").values, values) << row;
    }
  }
}

TEST(DumpScanner, BytesOfEveryValueAreJustBytes) {
  std::string bytes;
  for (int c = 0; c < 256; ++c) {
    if (c == '\'' || c == '"' || c == '\\') bytes += '\\';
    bytes += static_cast<char>(c);
  }
  const auto table = Of(Rows("('" + bytes + "',\"" + bytes + "\"),('',NULL)"));
  EXPECT_EQ(table.rows, 2U);
  EXPECT_EQ(table.values, 2U);
}

TEST(DumpScanner, AnswersAsTheWriterCountedWhateverTheTexts) {
  std::mt19937 random(20261130);
  const std::string letters = "ab'\"`\\();,-#/*!M \n\t0\0z";
  const auto text_of = [&](char quote) {
    std::string text(1, quote);
    for (size_t n = random() % 12; n > 0; --n) {
      const char c = letters[random() % letters.size()];
      if (c == quote && random() % 2 == 0) {
        text += quote;
      } else if (c == quote || c == '\\') {
        text += '\\';
      }
      text += c;
    }
    return text + quote;
  };
  for (int round = 0; round < 300; ++round) {
    const size_t columns = 1 + random() % 5, rows = 1 + random() % 6;
    std::string list;
    for (size_t row = 0; row < rows; ++row) {
      list += row == 0 ? "(" : ",\n(";
      for (size_t column = 0; column < columns; ++column) {
        if (column > 0) list += ',';
        switch (random() % 4) {
          case 0: list += "NULL"; break;
          case 1: list += "-12.5"; break;
          default: list += text_of(random() % 2 == 0 ? '\'' : '"');
        }
      }
      list += ')';
    }
    const auto found = Scan(Rows(list), 1 + random() % 40);
    ASSERT_TRUE(found.status.ok()) << found.status.error().message << "\n" << list;
    EXPECT_EQ(found.tables.at("t").rows, rows) << list;
    EXPECT_EQ(found.tables.at("t").values, columns) << list;
  }
}

TEST(DumpScanner, AStatementOfManyMegabytesIsOne) {
  std::string list = "(0,'x')";
  constexpr uint64_t kRows = 200'000;
  for (uint64_t i = 1; i < kRows; ++i) list += ",(" + std::to_string(i) + ",'it\\'s, (text);')";
  const std::string text = "INSERT INTO `t` VALUES " + list + ";\n";
  const auto table = Of(text);
  EXPECT_EQ(table.rows, kRows);
  EXPECT_EQ(table.longest, text.size() - 2) << "without its end";
  EXPECT_EQ(Scan(text, 1 << 16).tables.at("t"), table);
}

TEST(DumpScanner, TheLongestStatementIsWhatAServerMustTake) {
  const std::string large = "INSERT INTO `t` VALUES ('" + std::string(5000, 'x') + "')";
  const auto table =
      Of("INSERT INTO `t` VALUES ('a');\n" + large + ";\nINSERT INTO `t` VALUES ('b');");
  EXPECT_EQ(table.rows, 3U);
  EXPECT_EQ(table.longest, large.size());
}

TEST(DumpScanner, AFileThatIsCutOffIsIncomplete) {
  const std::string text = Rows("(1,'a'),\n(2,'b')");
  const size_t begin = std::string(kMydumper).size() + 1;
  for (size_t length = begin; length < text.size() - 1; ++length) {
    const auto status = Scan(text.substr(0, length)).status;
    ASSERT_FALSE(status.ok()) << text.substr(0, length);
    EXPECT_EQ(status.error().reason, "DumpIncomplete") << text.substr(0, length);
    EXPECT_TRUE(status.error().Retryable());
  }
  EXPECT_FALSE(Scan("/*!40101 SET NAMES binary").status.ok());
  EXPECT_FALSE(Scan("/* a comment without an end").status.ok());
  EXPECT_TRUE(Scan("-- a last line without an end").status.ok());
  EXPECT_TRUE(Scan("").status.ok());
}

TEST(DumpScanner, RowsThatAreNotAlikeAreNoDump) {
  for (const std::string& text : {
           Rows("(1,2),(3)"),
           "INSERT INTO `t` VALUES (1);INSERT INTO `t` VALUES (1,2);" + std::string(),
           "INSERT INTO `t` (`a`) VALUES (1);INSERT INTO `t` (`b`) VALUES (1);" + std::string(),
           "INSERT INTO `t` (`a`) VALUES (1);INSERT INTO `t` VALUES (1);" + std::string(),
       }) {
    const auto status = Scan(text).status;
    ASSERT_FALSE(status.ok()) << text;
    EXPECT_EQ(status.error().reason, "DumpIncomplete") << text;
  }
}

TEST(DumpScanner, StatementsThatNoDumpOfATableHasAreNamedAndRefused) {
  for (const char* statement : {
           "LOAD DATA LOCAL INFILE '/etc/shadow' INTO TABLE t",
           "/*!40101 LOAD DATA LOCAL INFILE '/etc/shadow' INTO TABLE t */",
           "/*!99999 SET NAMES utf8mb4 */ LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
           "/*!40101 SET NAMES binary",
           "SET GLOBAL max_connections = 1",
           "SET PERSIST x = 1",
           "SET PASSWORD = 'x'",
           "SET @x = (SELECT 1)",
           "SET @x = f(1)",
           "CREATE USER x",
           "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @x = 1",
           "CREATETABLE `x` (a int)",
           "DROP TABLE `t`",
           "DROP DATABASE IF EXISTS `rm`",
           "DROP TABLE IF EXISTS `t` CASCADE",
           "GRANT ALL ON *.* TO x",
           "ALTER TABLE `t` ADD COLUMN x int",
           "INSERT INTO `t` SELECT * FROM `u`",
           "INSERT INTO `t` SELECT (1)",
           "INSERT IGNORE INTO `t` VALUES (1)",
           "INSERT INTO t VALUES (1)",
           "INSERT INTO `rm`.`t` VALUES (1)",
           "INSERT INTO `t` VALUES (1) ON DUPLICATE KEY UPDATE a=1",
           "INSERT INTO `t` VALUES (1) (2)",
           "INSERT INTO `t` VALUES (1), 2",
           "INSERT INTO `t` VALUES (1,`a`)",
           "INSERT INTO `t` VALUES ROW(1)",
           "source /etc/passwd",
           "\\! id",
           "'text'",
       }) {
    const auto found = Scan(std::string(kMydumper) + statement + ";\n");
    ASSERT_FALSE(found.status.ok()) << statement;
    EXPECT_EQ(found.status.error().reason, "DumpUnsupported") << statement;
    EXPECT_TRUE(found.status.Is(Code::kTerminal)) << statement;
    const std::string first = std::string(statement).substr(0, 3);
    EXPECT_NE(found.status.error().message.find(first), std::string::npos)
        << found.status.error().message;
  }
}

TEST(DumpScanner, WhatItNamesIsShortAndPlain) {
  const auto status = Scan("LOAD \x1b[2J DATA " + std::string(10'000, 'x') + ";").status;
  ASSERT_FALSE(status.ok());
  EXPECT_LT(status.error().message.size(), 200U);
  EXPECT_EQ(status.error().message.find('\x1b'), std::string::npos);
}

TEST(DumpScanner, ADefinitionIsToldFromWhatIsMore) {
  const std::string create = "CREATE TABLE `t` (\n  `id` int COMMENT 'x; y'\n)";
  EXPECT_FALSE(Scan(kMydumper + create + ";\n").beyond_schema);
  EXPECT_EQ(Scan(kMydumper + create + ";\n").creates, std::vector<std::string>{"t"});
  for (const char* more :
       {"INSERT INTO `t` VALUES (1)", "DROP TABLE IF EXISTS `t`", "UNLOCK TABLES"}) {
    EXPECT_TRUE(Scan(create + ";\n" + more + ";\n").beyond_schema) << more;
  }
  EXPECT_EQ(Scan(create + ";CREATE TABLE IF NOT EXISTS `u` (a int);").status.ok(), false);
  EXPECT_EQ(Scan(create + ";CREATE TABLE `u` (a int);").creates.size(), 2U);
}

TEST(DumpScanner, ChunksOfOneTableAddUp) {
  DumpedTable table;
  EXPECT_TRUE(AddTable({"t", 2, {"a"}, 1, 10}, table));
  EXPECT_TRUE(AddTable({"t", 3, {"a"}, 1, 30}, table));
  EXPECT_TRUE(AddTable({"t", 0, {}, 0, 0}, table)) << "a chunk may be empty";
  EXPECT_EQ(table, (DumpedTable{"t", 5, {"a"}, 1, 30}));
  EXPECT_FALSE(AddTable({"t", 1, {"b"}, 1, 1}, table));
  EXPECT_FALSE(AddTable({"t", 1, {"a"}, 2, 1}, table));
}

}  // namespace
}  // namespace oms::drivers::dump
