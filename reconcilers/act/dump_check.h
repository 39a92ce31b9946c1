// A dump against the database that it was made of, before it may become the way back: whatever tool
// wrote it, and whatever that leaves out in silence. Pure.
#pragma once

#include <string>
#include <vector>

#include "reconcilers/ports/backup_tool.h"
#include "reconcilers/ports/meta_db.h"

namespace oms::act {

// What the files hold otherwise than the database: each table's rows, and its columns but for those
// that the server computes. In words, the first of them; empty: nothing. Of a table that was
// written meanwhile, only the columns.
std::string WhatDumpLacks(const ports::DatabaseDigest& digest,
                          const std::vector<ports::DumpedTable>& dumped);

}  // namespace oms::act
