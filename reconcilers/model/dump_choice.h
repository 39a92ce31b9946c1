// Which tool dumps: what spec.backup.tool asks for, against what each tool cannot do with the
// databases as they are now. Asked before OMS is stopped, and again right before each dump, as a
// schema changes: the upgraded one is another. Pure.
#pragma once

#include <vector>

#include "controller/base/result.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/ports/backup_tool.h"
#include "reconcilers/ports/meta_db.h"

namespace oms::model {

// One tool for all of them. kTerminal "DumpUnsupported": the one that is asked for, or each of the
// two, would leave something out or write what cannot be loaded again; names the table, and what to
// write instead.
base::Result<ports::DumpTool> ChooseTool(crd::BackupTool wanted,
                                         const std::vector<ports::DumpObstacles>& databases);

// By what was last seen of the databases; nothing stands in the way of a tool before that.
base::Result<ports::DumpTool> ChooseTool(const crd::Spec& spec, const Facts& facts);

}  // namespace oms::model
