// Loads what MakeDumpTool()'s Dump wrote, by the `mysql` client. See ports/backup_tool.h, and
// dump_tool.h for the files.
//
// Why not myloader: it reads no zstd, it ends a statement at each ";" before a line's end, goes on
// after errors, and leaves sql_mode as the server has it.
//
// Three stages, each after the other has ended well: table schemas (mydumper); rows, by clients
// side by side, which take some statements after the other, also of one table (mysqldump: its one
// file, tables and rows, by one client); then our `<db>-objects.sql`, so no trigger fires for a row
// that is loaded. A client's session has foreign keys off, time_zone +00:00, sql_mode
// NO_AUTO_VALUE_ON_ZERO, and on OceanBase long timeouts. The first error of a statement ends all.
//
// A file is decompressed by us on its way into the client, and its sum is taken there once more, so
// what was damaged since it was verified is noticed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reconcilers/ports/backup_tool.h"

namespace oms::drivers::dump {

base::Status LoadDump(const base::Context& ctx, ports::Fence& fence,
                      const ports::LoadRequest& request, ports::ByteProgress& progress);

// The files in the order of loading. Pure.
struct LoadOrder {
  std::vector<ports::DumpFile> schemas;  // By name. mydumper only.
  std::vector<ports::DumpFile> rows;     // The largest first.
  ports::DumpFile objects;
  bool side_by_side = false;  // The rows by several clients.
  uint64_t bytes = 0;         // Of all files.
  uint64_t not_loaded = 0;    // Of those that say nothing to the server.
};
// Error kTerminal "LoadFailed": a file that is missing, or one that no dump of this tool has:
// nothing of a backup is left out in silence.
base::Result<LoadOrder> OrderFiles(const ports::LoadRequest& request);

// Cuts a file of rows that mydumper wrote into pieces that clients may take side by side: some
// whole INSERT statements each, after the file's own first statements (character set, time zone). A
// line break within a string is written as \\n, so ";" and a line's end are a statement's end.
class StatementCutter {
 public:
  static constexpr size_t kPiece = 1 << 20;
  // The next piece of at least so many bytes; "" if there is none yet.
  std::string Feed(std::string_view text);
  // What is left at the file's end.
  std::string Rest();

 private:
  bool header_known_ = false;
  std::string header_, text_;
};

// The client's option file. Pure. Error kInvalid: see OptionFileValue().
base::Result<std::string> LoadOptions(const ports::DbServerAddress& server,
                                      const std::string& socket, bool oceanbase);

// What the client said at its end, for an error text: its ERROR line without the line number (of a
// stream of files) and without the pieces of statements and values that it quotes, which are data.
// Pure.
std::string LoadWords(const std::string& errors, const std::string& secret);

}  // namespace oms::drivers::dump
