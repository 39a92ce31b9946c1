#include "reconcilers/model/dump_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "crd/reasons.h"

namespace oms::model {
namespace {

// The first that there is.
std::string Obstacle(const std::vector<ports::DumpObstacles>& databases,
                     std::string ports::DumpObstacles::*of) {
  const auto found = std::find_if(databases.begin(), databases.end(),
                                  [&](const auto& each) { return !(each.*of).empty(); });
  return found == databases.end() ? std::string() : (*found).*of;
}

base::Error Unsupported(std::string message) {
  return base::MakeError(base::Code::kTerminal, crd::reason::kDumpUnsupported, std::move(message));
}

}  // namespace

base::Result<ports::DumpTool> ChooseTool(crd::BackupTool wanted,
                                         const std::vector<ports::DumpObstacles>& databases) {
  const std::string no_mydumper = Obstacle(databases, &ports::DumpObstacles::no_mydumper);
  const std::string no_mysqldump = Obstacle(databases, &ports::DumpObstacles::no_mysqldump);
  if (wanted != crd::BackupTool::kMysqldump && no_mydumper.empty())
    return ports::DumpTool::kMydumper;
  if (wanted != crd::BackupTool::kMydumper && no_mysqldump.empty())
    return ports::DumpTool::kMysqldump;
  if (!no_mydumper.empty() && !no_mysqldump.empty()) {
    return Unsupported(
        fmt::format("no tool can dump these databases so that they can be restored: {}{}; change "
                    "or drop these objects",
                    no_mydumper, no_mysqldump == no_mydumper ? "" : "; " + no_mysqldump));
  }
  const bool mydumper = wanted == crd::BackupTool::kMydumper;
  return Unsupported(
      fmt::format("{}, so that dump could not be restored; set spec.backup.tool to {}, or to Auto",
                  mydumper ? no_mydumper : no_mysqldump, mydumper ? "mysqldump" : "mydumper"));
}

base::Result<ports::DumpTool> ChooseTool(const crd::Spec& spec, const Facts& facts) {
  std::vector<ports::DumpObstacles> databases;
  if (facts.meta) {
    for (const auto& database : facts.meta->databases) databases.push_back(database.obstacles);
  }
  return ChooseTool(spec.backup.tool, databases);
}

}  // namespace oms::model
