// What a file of a dump holds, found while its bytes pass by in pieces of any size: the rows and
// columns of each table, and that there is nothing in it but what mydumper and mysqldump write of
// tables (a server's definitions are in it, and a restore runs it). Pure; a third to a half
// of what zstd and sha256 of the same bytes take.
//
// Texts are read as the mysql client reads them in a restore: quoted by ', " or `, with backslashes
// (sql_mode is ours while a tool dumps, and while a dump is loaded); "-- ", "#" and "/*" begin
// comments, and what stands in "/*!" is no comment.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "reconcilers/ports/backup_tool.h"

namespace oms::drivers::dump {

class DumpScanner {
 public:
  void Feed(std::string_view bytes);
  // After the last piece. kTransient "DumpIncomplete": the file ends in the middle of a statement,
  // or a table's INSERTs are not alike. kTerminal "DumpUnsupported": it holds a statement that no
  // dump of tables has; the first of them, shortened, is in the text.
  base::Status Finish();

  // By name, the rows of all INSERTs.
  const std::map<std::string, ports::DumpedTable>& tables() const { return tables_; }
  // The tables that it creates, in order.
  const std::vector<std::string>& creates() const { return creates_; }
  // Statements that are neither CREATE TABLE nor SET.
  bool beyond_schema() const { return beyond_schema_; }

 private:
  // Where in the text a byte is.
  enum class Lex {
    kText,
    kQuoted,
    kEscaped,  // Within quotes, after a backslash.
    kLine,     // A comment to the end of the line.
    kBlock,    // A comment to "*/".
    kBlockStar,
    // Beginnings that may be something else.
    kDash,
    kDashDash,
    kSlash,
    kSlashStar,
    kSlashStarM,
    kStar,
  };
  // Where in a statement.
  enum class At {
    kGround,   // Before it.
    kHead,     // All of it but the rows of an INSERT.
    kRow,      // Within the brackets of a row.
    kBetween,  // After a row.
    kNext,     // After the comma between two.
  };

  const char* Text(const char* at, const char* end);
  const char* Quoted(const char* at, const char* end);
  void Char(char c);
  void Word(std::string_view text);  // Into the head.
  void BeginStatement();
  void EndStatement();
  void BeginRows();
  void EndRow();
  void NotUnderstood();
  void Foreign(std::string_view head);

  Lex lex_ = Lex::kText;
  At at_ = At::kGround;
  char quote_ = 0;
  bool conditional_ = false;  // Within "/*!".
  std::string head_;          // As it is written, blanks made one; at most kMostHead bytes.
  bool cut_ = false;          // The head is longer.
  bool insert_ = false;       // The head begins an INSERT.
  uint64_t passed_ = 0;       // Bytes before the piece at hand, ...
  const char* piece_ = nullptr;
  const char* now_ = nullptr;  // ... and the byte of it that is looked at.
  uint64_t begun_ = 0;         // Where the statement at hand began.
  int depth_ = 0;
  uint64_t commas_ = 0;  // Of the row at hand, between its values.
  bool empty_row_ = true;
  ports::DumpedTable* table_ = nullptr;  // Of the INSERT at hand.
  std::map<std::string, ports::DumpedTable> tables_;
  std::vector<std::string> creates_;
  bool beyond_schema_ = false;
  std::string foreign_, uneven_;
};

// The same table in another file of the dump. False: its INSERTs are not alike.
bool AddTable(const ports::DumpedTable& more, ports::DumpedTable& into);

}  // namespace oms::drivers::dump
