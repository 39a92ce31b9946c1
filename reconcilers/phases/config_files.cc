// Steps 7 and 8: config.yaml is copied byte for byte, and rewritten beside itself (guide: "Modify
// the config.yaml file"; design section 4, rows 7 and 8). Both before the stop; the old container's
// own file is not touched.
#include <fmt/format.h>

#include <filesystem>

#include "controller/base/sha256.h"
#include "reconcilers/helper_container.h"
#include "reconcilers/host_file.h"
#include "reconcilers/phases/phases.h"

namespace oms::upgrade {
namespace {

namespace fs = std::filesystem;

// config.yaml -> config-4.3.1.yaml
std::string NewFileName(const fs::path& old_file, const std::string& version) {
  return fmt::format("{}-{}{}", old_file.stem().string(), version, old_file.extension().string());
}

}  // namespace

base::Status BackUpConfig(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->config) continue;
    const std::string path = "config/" + node.name + "/config.yaml";
    const fs::path file = fs::path(op.record().folder) / path;
    OMS_TRY(ctx.Check());
    OMS_TRY(op.world()->store->WriteFile(file, facts->config->content));
    OMS_ASSIGN(const std::string sha256, op.world()->store->Sha256(file));
    if (sha256 != facts->config_sha256) {
      return base::MakeError(
          base::Code::kTransient, "BackupVolume",
          fmt::format("the copy of config.yaml in {} reads back otherwise than it was written",
                      file.string()));
    }
    OMS_TRY(op.Save(ctx, [&](OperationRecord& record) {
      record.config_backups[node.name] = {path, sha256, facts->config->uid, facts->config->gid,
                                          facts->config->mode};
    }));
  }
  return base::Ok();
}

base::Status RewriteConfig(const base::Context& ctx, OperationSession& op) {
  if (!op.facts().rehearsed_config) return base::Ok();
  for (const auto& node : op.record().nodes) {
    const NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->config || !facts->target_image) continue;
    const fs::path source = node.config_source;
    HostFileRequest request;
    request.helper = HelperFor(op.record(), node.name, facts->target_image->id, "config");
    request.host_folder = source.parent_path().string();
    request.file_name = NewFileName(source.filename(), op.record().to);
    request.content = *op.facts().rehearsed_config;
    request.uid = facts->config->uid;
    request.gid = facts->config->gid;
    request.mode = facts->config->mode;
    OMS_TRY(ctx.Check());
    OMS_TRY(WriteHostFile(ctx, op.engine(node.name), request));
    const std::string sha256 = base::Sha256Hex(request.content);
    const std::string path = (source.parent_path() / request.file_name).string();
    OMS_TRY(op.Save(ctx, [&](OperationRecord& record) {
      record.config_rewrites[node.name] = {path, sha256, request.uid, request.gid, request.mode};
    }));
  }
  return base::Ok();
}

}  // namespace oms::upgrade
