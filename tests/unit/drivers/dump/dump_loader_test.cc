#include "reconcilers/drivers/dump/dump_loader.h"

#include <gtest/gtest.h>

#include "reconcilers/drivers/dump/dump_objects.h"

namespace oms::drivers::dump {
namespace {

using base::Code;
using ports::DumpFile;
using ports::DumpTool;
using ports::LoadRequest;

LoadRequest Request(DumpTool tool, std::vector<DumpFile> files) {
  LoadRequest request;
  request.database = "rm";
  request.tool = tool;
  request.files = std::move(files);
  return request;
}

std::vector<std::string> Paths(const std::vector<DumpFile>& files) {
  std::vector<std::string> paths;
  for (const auto& file : files) paths.push_back(file.path);
  return paths;
}

TEST(OrderFiles, SchemasThenTheLargestRowsThenObjects) {
  const auto order =
      OrderFiles(Request(DumpTool::kMydumper, {{"rm/metadata", 70, ""},
                                               {"rm/rm-objects.sql.zst", 50, ""},
                                               {"rm/rm-schema-create.sql.zst", 30, ""},
                                               {"rm/rm.b-schema.sql.zst", 1, ""},
                                               {"rm/rm.a.sql.zst", 5, ""},
                                               {"rm/rm.b.00001.sql.zst", 500, ""},
                                               {"rm/rm.b.00000.sql.zst", 500, ""},
                                               {"rm/rm.a-schema.sql.zst", 2, ""}}));
  ASSERT_TRUE(order.ok()) << order.error().message;
  EXPECT_EQ(Paths(order->schemas),
            (std::vector<std::string>{"rm/rm.a-schema.sql.zst", "rm/rm.b-schema.sql.zst"}));
  EXPECT_EQ(Paths(order->rows),
            (std::vector<std::string>{"rm/rm.b.00000.sql.zst", "rm/rm.b.00001.sql.zst",
                                      "rm/rm.a.sql.zst"}));
  EXPECT_EQ(order->objects.path, "rm/rm-objects.sql.zst");
  EXPECT_EQ(order->bytes, 1158U);
  EXPECT_EQ(order->not_loaded, 100U);
}

TEST(OrderFiles, OfMysqldumpIsOneFileAndItsObjects) {
  const auto order =
      OrderFiles(Request(DumpTool::kMysqldump, {{"rm-objects.sql", 5, ""}, {"rm.sql", 50, ""}}));
  ASSERT_TRUE(order.ok()) << order.error().message;
  EXPECT_TRUE(order->schemas.empty());
  EXPECT_EQ(Paths(order->rows), std::vector<std::string>{"rm.sql"});
  EXPECT_EQ(order->objects.path, "rm-objects.sql");
}

TEST(OrderFiles, WhatIsMissingOrUnknownIsAnError) {
  const DumpFile objects{"rm/rm-objects.sql", 5, ""};
  for (const auto& [tool, files] : std::vector<std::pair<DumpTool, std::vector<DumpFile>>>{
           {DumpTool::kMydumper, {}},
           {DumpTool::kMydumper, {{"rm/rm.a.sql", 1, ""}}},
           {DumpTool::kMydumper, {objects, objects}},
           {DumpTool::kMydumper, {objects, {"rm/cm.a.sql", 1, ""}}},
           {DumpTool::kMydumper, {objects, {"rm/rm.a-schema-triggers.sql", 1, ""}}},
           {DumpTool::kMydumper, {objects, {"rm/rm.a-schema-view.sql", 1, ""}}},
           {DumpTool::kMydumper, {objects, {"../rm.a.sql", 1, ""}}},
           {DumpTool::kMydumper, {objects, {"/etc/rm.a.sql", 1, ""}}},
           {DumpTool::kMysqldump, {objects}},
           {DumpTool::kMysqldump, {{"rm/rm.sql", 1, ""}}},
           {DumpTool::kMysqldump, {objects, {"rm/rm.sql", 1, ""}, {"rm/metadata", 1, ""}}},
           {DumpTool::kMysqldump, {objects, {"rm/rm.sql", 1, ""}, {"rm/rm.sql.zst", 1, ""}}},
       }) {
    const auto order = OrderFiles(Request(tool, files));
    EXPECT_TRUE(order.Is(Code::kTerminal)) << (files.empty() ? "none" : files.back().path);
    if (order.ok()) continue;
    EXPECT_EQ(order.error().reason, "LoadFailed");
  }
}

TEST(OrderFiles, OnlyMydumpersRowsAreLoadedSideBySide) {
  const auto side_by_side = [](DumpTool tool, const std::string& rows, uint64_t bytes) {
    const auto order =
        OrderFiles(Request(tool, {{"rm/rm-objects.sql", 5, ""}, {"rm/" + rows, bytes, ""}}));
    EXPECT_TRUE(order.ok());
    return order.ok() && order->side_by_side;
  };
  EXPECT_TRUE(side_by_side(DumpTool::kMydumper, "rm.a.sql", 1 << 20));
  EXPECT_FALSE(side_by_side(DumpTool::kMydumper, "rm.a.sql", 1000)) << "not worth a login";
  EXPECT_FALSE(side_by_side(DumpTool::kMysqldump, "rm.sql", 1 << 20)) << "tables are among them";
}

TEST(StatementCutter, CutsBetweenStatementsAndGivesEachPieceTheHeader) {
  const std::string header = "/*!40101 SET NAMES binary*/;\n/*!40103 SET TIME_ZONE='+00:00' */;\n";
  const auto statement = [](char c) {
    return "INSERT INTO `t` VALUES\n(1,\"" + std::string(700'000, c) + ";\\nINSERT INTO `t`\");\n";
  };
  const std::string body =
      statement('a') + statement('b') + statement('c') + statement('d') + statement('e');
  StatementCutter cutter;
  std::vector<std::string> pieces;
  const std::string text = header + body;
  for (size_t at = 0; at < text.size(); at += 300'000) {
    auto piece = cutter.Feed(text.substr(at, 300'000));
    if (!piece.empty()) pieces.push_back(std::move(piece));
  }
  pieces.push_back(cutter.Rest());
  EXPECT_GE(pieces.size(), 3U);
  std::string together;
  for (const auto& piece : pieces) {
    ASSERT_TRUE(piece.starts_with(header + "INSERT INTO `t` VALUES\n")) << piece.substr(0, 200);
    EXPECT_TRUE(piece.ends_with("\");\n"));
    together += piece.substr(header.size());
  }
  EXPECT_TRUE(together == body);
  EXPECT_EQ(cutter.Rest(), "");
}

TEST(StatementCutter, GivesAShortFileAsItIs) {
  StatementCutter cutter;
  EXPECT_EQ(cutter.Feed("/*!40101 SET NAMES binary*/;\nINSERT INTO `t` VALUES\n(1);\n"), "");
  EXPECT_EQ(cutter.Rest(), "/*!40101 SET NAMES binary*/;\nINSERT INTO `t` VALUES\n(1);\n");
}

TEST(LoadOptions, HoldTheLoginAndTheSession) {
  ports::DbServerAddress server;
  server.user = "oms";
  server.password = base::Secret("a\"b");
  const auto mariadb = LoadOptions(server, "/run/s", false);
  ASSERT_TRUE(mariadb.ok());
  EXPECT_EQ(*mariadb,
            "[client]\nuser=\"oms\"\npassword=\"a\\\"b\"\nprotocol=socket\nsocket=/run/s\n"
            "[mysql]\ninit-command=\"SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO', "
            "time_zone='+00:00', foreign_key_checks=0\"\n");
  const auto oceanbase = LoadOptions(server, "/run/s", true);
  ASSERT_TRUE(oceanbase.ok());
  EXPECT_NE(oceanbase->find("foreign_key_checks=0, ob_query_timeout=86400000000, "
                            "ob_trx_timeout=86400000000\"\n"),
            std::string::npos)
      << *oceanbase;
  server.password = base::Secret("a\nb");
  EXPECT_TRUE(LoadOptions(server, "/run/s", true).Is(Code::kInvalid));
}

TEST(LoadWords, AreTheErrorWithoutTheStatement) {
  EXPECT_EQ(LoadWords("--------------\nINSERT INTO t VALUES ('ERROR in data')\n--------------\n\n"
                      "ERROR 1062 (23000) at line 12: Duplicate entry '2' for key 'PRIMARY'\n",
                      "pass"),
            "ERROR 1062 (23000): Duplicate entry '...' for key 'PRIMARY'");
  EXPECT_EQ(
      LoadWords("ERROR 1366 (22007) at line 7: Incorrect integer value: 'a-secret' for column "
                "`rm`.`t`.`id` at row 1",
                "pass"),
      "ERROR 1366 (22007): Incorrect integer value: '...' for column `rm`.`t`.`id` at row 1");
  EXPECT_EQ(LoadWords("ERROR 1064 (42000) at line 3: You have an error in your SQL syntax; check "
                      "the manual for the right syntax to use near 'a-secret' at line 1",
                      "pass"),
            "ERROR 1064 (42000): You have an error in your SQL syntax; check the manual for the "
            "right syntax to use");
  EXPECT_EQ(LoadWords("ERROR 1045 (28000): Access denied with p4ssw0rd", "p4ssw0rd"),
            "ERROR 1045 (28000): Access denied with ***");
  EXPECT_EQ(LoadWords("", "p4ssw0rd"), "no words");
  EXPECT_EQ(LoadWords("Killed\n", "p4ssw0rd"), "no words");
}

std::string Order(std::vector<std::pair<std::string, std::string>> objects) {
  std::vector<CreatedObject> list;
  for (auto& [name, text] : objects) list.push_back({name, text, ""});
  std::string order;
  for (const auto& object : InCreationOrder(std::move(list))) order += object.name + " ";
  return order;
}

TEST(InCreationOrder, AnObjectComesAfterThoseThatItNames) {
  EXPECT_EQ(Order({{"a", "CREATE VIEW `a` AS select `z`.`id` from `z`"},
                   {"m", "CREATE VIEW `m` AS select f(`a`.`id`) from `a`"},
                   {"z", "CREATE VIEW `z` AS select `t`.`id` from `t`"},
                   {"F", "CREATE FUNCTION `F`() RETURNS int RETURN 1"}}),
            "z a F m ");
  EXPECT_EQ(
      Order({{"b", "CREATE VIEW `b` AS select `t`.`ab` from `t_a`"}, {"a", "CREATE VIEW `a`"}}),
      "b a ")
      << "a piece of a word is no name";
  EXPECT_EQ(
      Order({{"x", "CREATE PROCEDURE `x`() CALL `y`()"}, {"y", "CREATE PROCEDURE `y`() CALL x()"}}),
      "y x ")
      << "two that name each other are both there";
}

}  // namespace
}  // namespace oms::drivers::dump
