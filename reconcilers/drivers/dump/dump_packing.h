// What becomes of a tool's files: each is looked through (is it whole, what does it hold), brought into
// its final form, hashed and synced.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/backup_tool.h"

namespace oms::drivers::dump {

// kTransient "DumpIncomplete".
base::Error Incomplete(std::string message);
// Ok where none is missing.
base::Status Missing(const std::string& database, const std::vector<std::string>& missing);

// mydumper has the schema of a table, which is utf8mb4, loaded as binary. OceanBase then changes
// literals in it (in the expression of a generated column 'g' becomes X'67').
base::Status CorrectSchemas(const base::Context& ctx, const ports::DumpRequest& request,
                            const std::vector<std::string>& tables);

// Looks at the whole file of mysqldump while it is copied to its final form.
base::Result<ports::DumpFile> PackMysqldump(const base::Context& ctx,
                                            const ports::DumpRequest& request,
                                            const std::filesystem::path& raw,
                                            const std::vector<std::string>& tables,
                                            std::vector<ports::DumpedTable>& found);

// Compresses, hashes and syncs all that is not in the outcome yet; counts the rows of those files
// that hold rows.
base::Status PackFolder(const base::Context& ctx, const ports::DumpRequest& request,
                        const std::vector<std::string>& tables, ports::DumpOutcome& outcome);

}  // namespace oms::drivers::dump
