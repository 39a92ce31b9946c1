// Steps 7 and 8: config.yaml is copied byte for byte, and rewritten beside itself (guide: "Modify
// the config.yaml file"; design section 4, rows 7 and 8), both before the stop, so that the old
// container's own file is not touched. With deployment.config InPlace it is that file which is
// edited, after the stop, and put back on the way back.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "controller/base/sha256.h"
#include "reconcilers/act/helper_container.h"
#include "reconcilers/act/host_file.h"
#include "reconcilers/steps/phases.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {
namespace {

namespace fs = std::filesystem;

constexpr char kHelperPurpose[] = "config";

// Noted before each write: by its sum a file of ours is told from somebody else's, also after a
// crash in between.
base::Status MeanConfig(const base::Context& ctx, OperationSession& op, const std::string& node,
                        const std::string& sha256) {
  const auto& all = op.record().config_meant;
  const auto meant = all.find(node);
  if (meant != all.end() &&
      std::find(meant->second.begin(), meant->second.end(), sha256) != meant->second.end()) {
    return base::Ok();
  }
  return op.Save(
      ctx, [&](model::OperationRecord& record) { record.config_meant[node].push_back(sha256); });
}

act::HostFileRequest FileRequest(const model::OperationRecord& record,
                                 const model::FrozenNode& node, const std::string& image,
                                 const model::FileRef& file, const std::string& content) {
  const fs::path path = file.path;
  act::HostFileRequest request;
  request.helper = act::HelperFor(record, node.name, image, kHelperPurpose);
  request.host_folder = path.parent_path().string();
  request.file_name = path.filename().string();
  request.content = content;
  request.uid = file.uid;
  request.gid = file.gid;
  request.mode = file.mode;
  return request;
}

// What is there; nullopt: nothing.
base::Result<std::optional<act::HostFileLook>> LookAt(const base::Context& ctx,
                                                      OperationSession& op,
                                                      const model::FrozenNode& node,
                                                      const std::string& image,
                                                      const fs::path& path) {
  auto there = act::LookAtHostFile(ctx, op.engine(node.name),
                                   act::HelperFor(op.record(), node.name, image, kHelperPurpose),
                                   path.parent_path().string(), path.filename().string());
  if (there.Is(base::Code::kNotFound)) return std::optional<act::HostFileLook>();
  if (!there.ok()) return there.error();
  return std::optional(*std::move(there));
}

// What somebody has put into a file of ours, or into the one that was edited, since.
base::Status KeepEdited(OperationSession& op, const model::FrozenNode& node, const fs::path& path,
                        const std::string& content) {
  const fs::path copy = fs::path(op.record().folder) / "rollback" / node.name / path.filename();
  OMS_TRY(op.world()->store->WriteFile(copy, content));
  op.Warn("ConfigFileKept",
          fmt::format("node {}: somebody had changed {} since the upgrade; what it held is kept in "
                      "{}",
                      node.name, path.string(), copy.string()));
  return base::Ok();
}

// The new version's, which stays on the way back; or the old one's, if somebody has removed that.
base::Result<std::string> HelperImage(const base::Context& ctx, OperationSession& op,
                                      const model::FrozenNode& node) {
  ports::ContainerEngine& engine = op.engine(node.name);
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
    const model::NodeFacts* facts = op.facts().Node(node.name);
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
    OMS_TRY(op.Save(ctx, [&](model::OperationRecord& record) {
      record.config_backups[node.name] = {path, sha256, facts->config->uid, facts->config->gid,
                                          facts->config->mode};
      // Edited in place, it is known from here on that it has to be; whoever does it.
      if (op.spec().deployment.config == crd::ConfigPlace::kInPlace && facts->rehearsed_config)
        record.config_meant[node.name] = {base::Sha256Hex(*facts->rehearsed_config)};
    }));
  }
  return base::Ok();
}

namespace {

// Makes the file beside config.yaml, or a new text of it where it is ours.
base::Status WriteBeside(const base::Context& ctx, OperationSession& op,
                         const model::FrozenNode& node, const std::string& image,
                         const model::FileRef& beside, const std::string& content) {
  OMS_ASSIGN(const auto there, LookAt(ctx, op, node, image, beside.path));
  const auto taken = [&] {
    return base::MakeError(
        base::Code::kTransient, "ConfigFileExists",
        fmt::format("node {}: {} is there and was not written by this upgrade, or was changed "
                    "since; move it away, and put what it says beyond config.yaml into config.yaml "
                    "itself",
                    node.name, beside.path));
  };
  // Where ours is gone, the engine that looks through the new container makes a folder.
  const bool engines_own = there && there->path.kind == ports::PathInfo::Kind::kFolder &&
                           op.record().config_rewrites.contains(node.name);
  if (there && !engines_own) {
    const bool ours =
        there->file && op.record().MeantConfig(node.name, base::Sha256Hex(there->file->content));
    if (!ours) return taken();
    const ports::FileContent& file = *there->file;
    if (file.content == content && file.uid == beside.uid && file.gid == beside.gid &&
        file.mode == beside.mode) {
      return base::Ok();  // Written by a process that died, and not noted.
    }
  }
  OMS_TRY(MeanConfig(ctx, op, node.name, beside.sha256));
  act::HostFileRequest request = FileRequest(op.record(), node, image, beside, content);
  using Over = act::HostFileRequest::Over;
  request.over = !there ? Over::kNothing : engines_own ? Over::kEmptyFolder : Over::kOurs;
  OMS_TRY(ctx.Check());
  const auto written = act::WriteHostFile(ctx, op.engine(node.name), request);
  return written.Is(base::Code::kAlreadyExists) && written.error().reason == "HostFileExists"
             ? base::Status(taken())
             : written;
}

}  // namespace

base::Status RewriteConfig(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (node.kept || facts == nullptr || !facts->config || !facts->target_image) continue;
    if (!facts->rehearsed_config && !op.record().config_rewrites.contains(node.name)) continue;
    const ports::FileContent& old = *facts->config;
    const std::string& content = WantedConfig(*facts);
    const model::FileRef beside{NewConfigPath(node.config_source, op.record().to),
                                base::Sha256Hex(content), old.uid, old.gid, old.mode};
    OMS_TRY(WriteBeside(ctx, op, node, facts->target_image->id, beside, content));
    const auto known = op.record().config_rewrites.find(node.name);
    if (known != op.record().config_rewrites.end() && known->second == beside) continue;
    OMS_TRY(op.Save(
        ctx, [&](model::OperationRecord& record) { record.config_rewrites[node.name] = beside; }));
  }
  return base::Ok();
}

base::Status EditConfig(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (node.kept || facts == nullptr || !facts->config) continue;
    const bool written = op.record().config_rewrites.contains(node.name);
    const bool by_hand =
        !facts->rehearsed_config && !written && op.record().config_meant.contains(node.name);
    if (!facts->rehearsed_config && !by_hand) continue;
    const ports::FileContent& old = *facts->config;
    const std::string& content = WantedConfig(*facts);
    // Written down first: from here on the file may be the edited one, and is put back.
    const model::FileRef edited{node.config_source, base::Sha256Hex(content), old.uid, old.gid,
                                old.mode};
    OMS_TRY(op.Save(
        ctx, [&](model::OperationRecord& record) { record.config_rewrites[node.name] = edited; }));
    if (by_hand) continue;
    OMS_TRY(MeanConfig(ctx, op, node.name, edited.sha256));
    OMS_TRY(ctx.Check());
    OMS_TRY(
        act::WriteHostFile(ctx, op.engine(node.name),
                           FileRequest(op.record(), node, node.target_image_id, edited, content)));
  }
  return base::Ok();
}

base::Status RestoreConfig(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    if (!op.record().ConfigEditedInPlace(node)) continue;
    const model::FileRef& kept = op.record().config_backups.at(node.name);
    const fs::path copy = fs::path(op.record().folder) / kept.path;
    OMS_ASSIGN(const std::string content, op.world()->store->ReadFile(copy));
    if (base::Sha256Hex(content) != kept.sha256) {
      return base::MakeError(base::Code::kTerminal, crd::reason::kBackupCorrupt,
                             fmt::format("the copy of config.yaml in {} is not as it was written; "
                                         "put {} back by hand as it was, and its copy too",
                                         copy.string(), node.config_source));
    }
    OMS_ASSIGN(const std::string image, HelperImage(ctx, op, node));
    ports::ContainerEngine& engine = op.engine(node.name);
    OMS_TRY(ctx.Check());
    const act::HostFileRequest request =
        FileRequest(op.record(), node, image,
                    {node.config_source, kept.sha256, kept.uid, kept.gid, kept.mode}, content);
    // That it could not be written may be why one goes back.
    const auto now = LookAt(ctx, op, node, image, node.config_source);
    if (now.ok() && *now && (*now)->file) {
      const ports::FileContent& file = *(*now)->file;
      if (file.content == content && file.uid == kept.uid && file.gid == kept.gid &&
          file.mode == kept.mode) {
        continue;
      }
      const std::string sum = base::Sha256Hex(file.content);
      if (sum != kept.sha256 && !op.record().MeantConfig(node.name, sum))
        OMS_TRY(KeepEdited(op, node, node.config_source, file.content));
    }
    OMS_TRY(act::WriteHostFile(ctx, engine, request));
    OMS_ASSIGN(const auto seen, LookAt(ctx, op, node, image, node.config_source));
    if (!seen || !seen->file || seen->file->content != content) {
      return base::MakeError(base::Code::kTransient, "HostFile",
                             node.config_source + " reads back otherwise than it was written");
    }
  }
  const base::WallTime seen = ctx.clock().Wall();
  return op.Save(ctx, [&](model::OperationRecord& record) {
    record.evidence.emplace(model::NameOf(model::Step::kRestoreConfig), seen);
  });
}

base::Status RemoveRewrittenConfig(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const auto written = op.record().config_rewrites.find(node.name);
    const bool kept = written != op.record().config_rewrites.end();
    if (op.record().ConfigEditedInPlace(node)) continue;
    if (!kept && !op.record().config_meant.contains(node.name)) continue;
    const fs::path path =
        kept ? written->second.path : NewConfigPath(node.config_source, op.record().to);
    // With deployment.config InPlace, and turned back before the edit.
    if (!kept && op.spec().deployment.config == crd::ConfigPlace::kInPlace) continue;
    OMS_ASSIGN(const std::string image, HelperImage(ctx, op, node));
    OMS_ASSIGN(const auto there, LookAt(ctx, op, node, image, path));
    if (!there) continue;
    const bool ours =
        there->file && op.record().MeantConfig(node.name, base::Sha256Hex(there->file->content));
    if (!ours && kept && there->file) {
      OMS_TRY(KeepEdited(op, node, path, there->file->content));
    } else if (!ours) {
      op.Warn("ConfigFileLeft",
              fmt::format("node {}: {} was not written by this upgrade, and is left as it is",
                          node.name, path.string()));
      continue;
    }
    OMS_TRY(ctx.Check());
    OMS_TRY(act::RemoveHostFile(ctx, op.engine(node.name),
                                act::HelperFor(op.record(), node.name, image, kHelperPurpose),
                                path.parent_path().string(), path.filename().string()));
  }
  return base::Ok();
}

}  // namespace oms::steps
