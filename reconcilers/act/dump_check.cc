#include "reconcilers/act/dump_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace oms::act {
namespace {

// Of a table of which the files hold rows.
std::string ColumnsLacking(const ports::TableSum& table, const ports::DumpedTable& dumped) {
  if (table.columns.empty()) return {};
  if (dumped.columns.empty()) {
    // Then a load fills all that are there to be seen, one after the other.
    if (dumped.values == table.columns.size()) return {};
    return fmt::format("each row in the files has {} values, but the table has {} columns",
                       dumped.values, table.columns.size());
  }
  if (dumped.values != dumped.columns.size()) {
    return fmt::format("each row in the files has {} values for {} columns", dumped.values,
                       dumped.columns.size());
  }
  const auto& names = dumped.columns;
  for (const auto& column : table.columns) {
    if (column.generated || std::find(names.begin(), names.end(), column.name) != names.end())
      continue;
    return fmt::format("the files lack column {}", column.name);
  }
  for (const auto& name : names) {
    const bool known =
        std::any_of(table.columns.begin(), table.columns.end(),
                    [&](const ports::TableColumn& column) { return column.name == name; });
    if (!known) return fmt::format("the files have a column {} that the table does not have", name);
  }
  return {};
}

}  // namespace

std::string WhatDumpLacks(const ports::DatabaseDigest& digest,
                          const std::vector<ports::DumpedTable>& dumped) {
  std::map<std::string, const ports::DumpedTable*> files;
  for (const auto& table : dumped) files[table.name] = &table;
  for (const auto& table : digest.tables) {
    const std::string name = digest.name + "." + table.name;
    const auto found = files.find(table.name);
    const uint64_t rows = found == files.end() ? 0 : found->second->rows;
    if (!table.moving && rows != table.rows) {
      return fmt::format("table {}: {} rows in the files, {} in the database", name, rows,
                         table.rows);
    }
    if (rows > 0) {
      const std::string lacking = ColumnsLacking(table, *found->second);
      if (!lacking.empty()) return fmt::format("table {}: {}", name, lacking);
    }
    if (found != files.end()) files.erase(found);
  }
  if (files.empty()) return {};
  return fmt::format("the files contain {} rows of a table {}, which {} does not have",
                     files.begin()->second->rows, files.begin()->first, digest.name);
}

}  // namespace oms::act
