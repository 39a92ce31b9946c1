#include "reconcilers/steps/plan_subject.h"

#include <algorithm>

#include "reconcilers/model/dump_choice.h"

namespace oms::steps {

std::string List(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  }
  return text;
}

std::string_view WantedTool(const crd::Spec& spec) {
  if (spec.backup.tool == crd::BackupTool::kAuto) return "Auto";
  return spec.backup.tool == crd::BackupTool::kMysqldump ? "mysqldump" : "mydumper";
}

std::string_view NameOfTool(const crd::Spec& spec, const model::Facts* facts) {
  if (spec.backup.tool != crd::BackupTool::kAuto) return WantedTool(spec);
  const auto tool = facts == nullptr || !facts->meta || facts->meta->databases.empty()
                        ? base::Result<ports::DumpTool>(base::MakeError(base::Code::kNotFound, ""))
                        : model::ChooseTool(spec, *facts);
  if (!tool.ok()) return "mydumper (or mysqldump, if mydumper would omit something)";
  return *tool == ports::DumpTool::kMysqldump ? "mysqldump (mydumper would omit something)"
                                              : "mydumper";
}

bool PlanSubject::Kept() const {
  return std::any_of(nodes.begin(), nodes.end(),
                     [](const auto& node) { return node.keeps_running; });
}

std::string PlanSubject::Components() const {
  return Nodes([](const auto& node) { return node.old_name + " on " + node.name; }, true);
}

std::string PlanSubject::OldOnes() const {
  return Nodes([](const auto& node) { return node.old_name + " on " + node.name; });
}

std::string PlanSubject::NewOnes() const {
  return Nodes([](const auto& node) { return node.new_name + " on " + node.name; });
}

std::string UpgradeSubject::NodeNames() const {
  return Nodes([](const auto& node) { return node.name; });
}

std::optional<uint64_t> UpgradeSubject::BytesOf(const std::string& database) const {
  if (!facts.meta) return std::nullopt;
  for (const auto& info : facts.meta->databases) {
    if (info.name == database) return info.bytes;
  }
  return std::nullopt;
}

}  // namespace oms::steps
