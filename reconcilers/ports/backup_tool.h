// BackupTool: dumps a database with mydumper or mysqldump, and loads such a dump, through a relay
// that registers each connection with the fence before a byte of the tool reaches the server.
//
// Blocks in the caller's thread (a long task); the context's stop token ends the child within a
// second. The child gets its password by a 0600 defaults file in a private folder; nothing secret
// is in argv or environment.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/container_engine.h"
#include "reconcilers/ports/meta_db.h"

namespace oms::ports {

enum class DumpTool { kMydumper, kMysqldump };
enum class Compression { kNone, kZstd };

struct DumpRequest {
  DbServerAddress server;
  std::string database;
  std::filesystem::path
      folder;  // Made by the tool; must not exist (an attempt has a folder of its own).
  DumpTool tool = DumpTool::kMydumper;
  Compression compression = Compression::kZstd;
  // Somebody writes meanwhile: all of it is read in one transaction, over one connection.
  bool one_transaction = false;
};

struct DumpFile {
  std::string path;  // Relative to the attempt's folder.
  uint64_t bytes = 0;
  std::string sha256;
};

// What the files of a dump hold of one table.
struct DumpedTable {
  std::string name;
  uint64_t rows = 0;
  std::vector<std::string> columns;  // As each INSERT names them; empty: none does.
  uint64_t values = 0;               // Of each row.
  uint64_t longest = 0;              // Bytes of its longest statement.
  bool operator==(const DumpedTable&) const = default;
};

struct DumpOutcome {
  std::string tool_version;
  std::vector<DumpFile> files;      // Every file, fsynced, none empty, completion mark seen.
  std::vector<DumpedTable> tables;  // Those with rows, as they were read back from the files.
};

// A dump to be brought back.
struct LoadRequest {
  DbServerAddress server;
  std::string database;  // Exists, and is empty.
  std::filesystem::path
      folder;                   // The attempt's folder, to which the paths of `files` are relative.
  std::vector<DumpFile> files;  // Of this database, as the manifest lists them.
  DumpTool tool = DumpTool::kMydumper;
  Compression compression = Compression::kZstd;
};

class BackupTool {
 public:
  virtual ~BackupTool() = default;
  // Error "DumpFailed" (kTransient): exit code, and the tool's last words with nothing secret in
  // them. "DumpIncomplete": exit code 0, but no completion mark, an empty file, or a file that ends
  // within a statement. kTransient "PacketTooSmall": it holds a statement that the server would not
  // take back. kTerminal "DumpUnsupported": the tool would leave something out, or the server gave
  // a definition that is none.
  virtual base::Result<DumpOutcome> Dump(const base::Context& ctx, Fence& fence,
                                         const DumpRequest& request, ByteProgress& progress) = 0;
  // Tables, rows, views, triggers and routines, side by side where that is safe. Adds to
  // progress.total the bytes of the files at once, and to progress.done what is loaded. Not to be
  // repeated into what it has left behind: drop and create the database first. Error "LoadFailed"
  // (kTransient): the client's last words, with nothing secret in them.
  virtual base::Status Load(const base::Context& ctx, Fence& fence, const LoadRequest& request,
                            ByteProgress& progress) = 0;
};

}  // namespace oms::ports
