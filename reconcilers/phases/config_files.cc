// Steps 7 and 8: config.yaml is copied byte for byte, and rewritten beside itself (guide: "Modify
// the config.yaml file"; design section 4, rows 7 and 8), both before the stop, so that the old
// container's own file is not touched. With deployment.config InPlace it is that file which is
// edited, after the stop, and put back on the way back.
#include <fmt/format.h>

#include <filesystem>

#include "controller/base/sha256.h"
#include "reconcilers/helper_container.h"
#include "reconcilers/host_file.h"
#include "reconcilers/phases/phases.h"
#include "reconcilers/state.h"

namespace oms::upgrade {
namespace {

namespace fs = std::filesystem;

// config.yaml -> config-4.3.1.yaml
std::string NewFileName(const fs::path& old_file, const std::string& version) {
  return fmt::format("{}-{}{}", old_file.stem().string(), version, old_file.extension().string());
}

std::string PathBeside(const fs::path& old_file, const std::string& version) {
  return (old_file.parent_path() / NewFileName(old_file.filename(), version)).string();
}

// In the record's attempts: the file beside was begun.
std::string RewriteOf(const std::string& node) { return TaskName(Step::kRewriteConfig, node); }

HostFileRequest FileRequest(const OperationRecord& record, const FrozenNode& node,
                            const std::string& image, const FileRef& file,
                            const std::string& content) {
  const fs::path path = file.path;
  HostFileRequest request;
  request.helper = HelperFor(record, node.name, image, "config");
  request.host_folder = path.parent_path().string();
  request.file_name = path.filename().string();
  request.content = content;
  request.uid = file.uid;
  request.gid = file.gid;
  request.mode = file.mode;
  return request;
}

// The new version's, which stays on the way back; or the old one's, if somebody has removed that.
base::Result<std::string> HelperImage(const base::Context& ctx, OperationSession& op,
                                      const FrozenNode& node) {
  ContainerEngine& engine = op.engine(node.name);
  if (!node.target_image_id.empty()) {
    const auto found = engine.InspectImage(ctx, node.target_image_id);
    if (found.ok()) return node.target_image_id;
    if (!found.Is(base::Code::kNotFound)) return found.error();
  }
  return node.old_image_id;
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
  for (const auto& node : op.record().nodes) {
    const NodeFacts* facts = op.facts().Node(node.name);
    if (node.kept || facts == nullptr || !facts->config || !facts->target_image) continue;
    if (!facts->rehearsed_config && !op.record().config_rewrites.contains(node.name)) continue;
    const fs::path source = node.config_source;
    const FileContent& old = *facts->config;
    const std::string path = PathBeside(source, op.record().to);
    const std::string& content = WantedConfig(*facts);
    const FileRef beside{path, base::Sha256Hex(content), old.uid, old.gid, old.mode};
    // Written down first: it holds a password, and who turns back must know that it may be there.
    if (!op.record().attempts.contains(RewriteOf(node.name))) {
      OMS_TRY(op.Save(ctx,
                      [&](OperationRecord& record) { record.attempts[RewriteOf(node.name)] = 1; }));
    }
    OMS_TRY(ctx.Check());
    OMS_TRY(
        WriteHostFile(ctx, op.engine(node.name),
                      FileRequest(op.record(), node, facts->target_image->id, beside, content)));
    OMS_TRY(
        op.Save(ctx, [&](OperationRecord& record) { record.config_rewrites[node.name] = beside; }));
  }
  return base::Ok();
}

base::Status EditConfig(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const NodeFacts* facts = op.facts().Node(node.name);
    if (node.kept || facts == nullptr || !facts->config || !facts->rehearsed_config) continue;
    const FileContent& old = *facts->config;
    // Written down first: from here on the file may be the edited one, and is put back.
    const FileRef edited{node.config_source, base::Sha256Hex(*facts->rehearsed_config), old.uid,
                         old.gid, old.mode};
    OMS_TRY(
        op.Save(ctx, [&](OperationRecord& record) { record.config_rewrites[node.name] = edited; }));
    OMS_TRY(ctx.Check());
    OMS_TRY(WriteHostFile(
        ctx, op.engine(node.name),
        FileRequest(op.record(), node, node.target_image_id, edited, *facts->rehearsed_config)));
  }
  return base::Ok();
}

base::Status RestoreConfig(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    if (!op.record().ConfigEditedInPlace(node)) continue;
    const FileRef& kept = op.record().config_backups.at(node.name);
    const fs::path copy = fs::path(op.record().folder) / kept.path;
    OMS_ASSIGN(const std::string content, op.world()->store->ReadFile(copy));
    if (base::Sha256Hex(content) != kept.sha256) {
      return base::MakeError(base::Code::kTerminal, crd::reason::kBackupCorrupt,
                             fmt::format("the copy of config.yaml in {} is not as it was written; "
                                         "put {} back by hand as it was, and its copy too",
                                         copy.string(), node.config_source));
    }
    OMS_ASSIGN(const std::string image, HelperImage(ctx, op, node));
    ContainerEngine& engine = op.engine(node.name);
    OMS_TRY(ctx.Check());
    const HostFileRequest request =
        FileRequest(op.record(), node, image,
                    {node.config_source, kept.sha256, kept.uid, kept.gid, kept.mode}, content);
    const auto read = [&] {
      return ReadHostFile(ctx, engine, request.helper, request.host_folder, request.file_name);
    };
    // That it could not be written may be why one goes back.
    if (const auto now = read(); now.ok() && now->content == content && now->uid == kept.uid &&
                                 now->gid == kept.gid && now->mode == kept.mode) {
      continue;
    }
    OMS_TRY(WriteHostFile(ctx, engine, request));
    OMS_ASSIGN(const FileContent seen, read());
    if (seen.content != content) {
      return base::MakeError(base::Code::kTransient, "HostFile",
                             node.config_source + " reads back otherwise than it was written");
    }
  }
  const base::WallTime seen = ctx.clock().Wall();
  return op.Save(ctx, [&](OperationRecord& record) {
    record.evidence.emplace(NameOf(Step::kRestoreConfig), seen);
  });
}

base::Status RemoveRewrittenConfig(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const auto beside = op.record().config_rewrites.find(node.name);
    const bool kept = beside != op.record().config_rewrites.end();
    if (op.record().ConfigEditedInPlace(node)) continue;
    if (!kept && !op.record().attempts.contains(RewriteOf(node.name))) continue;
    OMS_ASSIGN(const std::string image, HelperImage(ctx, op, node));
    const fs::path path =
        kept ? beside->second.path : PathBeside(node.config_source, op.record().to);
    OMS_TRY(ctx.Check());
    OMS_TRY(RemoveHostFile(ctx, op.engine(node.name),
                           HelperFor(op.record(), node.name, image, "config"),
                           path.parent_path().string(), path.filename().string()));
  }
  return base::Ok();
}

}  // namespace oms::upgrade
