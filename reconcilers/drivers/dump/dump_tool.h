// BackupTool by mydumper 0.10 or mysqldump (MariaDB 10.11's), both of Debian 12, as children that
// reach the server through MysqlRelay only. See ports/backup_tool.h.
//
// What lies in the folder afterwards (each name with .zst after it where compression is zstd):
//   mydumper:  <db>-schema-create.sql, <db>.<table>-schema.sql, <db>.<table>[.n].sql,
//              metadata (never .zst)
//   mysqldump: <db>.sql, with tables and rows
//   both:      <db>-objects.sql, which is ours: views, functions, procedures, triggers by SHOW
//              CREATE, in an order in which they can be created, for the mysql client.
// Ours, because mydumper writes a blank into a trigger's text after each ";" at a line's end, its
// -R fails now and then on OceanBase, and mysqldump --triggers exits 2 there. They come without
// DEFINER, so they belong to who restores them (another's name takes a privilege that OMS's user
// lacks). Events are left out: OceanBase has none, OMS uses none.
//
// mydumper would take the server's global sql_mode: with ANSI_QUOTES it writes names that the load
// takes for texts, with NO_BACKSLASH_ESCAPES texts that come back as others. So it is set to ''.
//
// On OceanBase ob_query_timeout cuts the read of a table at 10 s. mydumper is given a longer one
// for its session. mysqldump cannot set it: the caller raises the global one (MetaDb) or the dump
// fails (exit code 3, "DumpFailed"); it is never taken for a whole one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "reconcilers/ports/backup_tool.h"

namespace oms::drivers::dump {

// Thread-safe. InitMysql() must have been called.
std::unique_ptr<ports::BackupTool> MakeDumpTool();

// A value of an option file for the MariaDB and MySQL clients: quoted, with escapes. Error
// kInvalid: a control character. Pure.
base::Result<std::string> OptionFileValue(const std::string& value);

}  // namespace oms::drivers::dump
