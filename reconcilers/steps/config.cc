#include "reconcilers/steps/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "controller/base/sha256.h"
#include "crd/reasons.h"
#include "reconcilers/act/helper_container.h"
#include "reconcilers/act/host_file.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/steps/old_containers.h"

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
  op.Warn(crd::reason::kConfigFileKept,
          fmt::format("node {}: somebody changed {} after the upgrade; its content is kept in {}",
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

// Makes the file beside config.yaml, or a new text of it where it is ours.
base::Status WriteBeside(const base::Context& ctx, OperationSession& op,
                         const model::FrozenNode& node, const std::string& image,
                         const model::FileRef& beside, const std::string& content) {
  OMS_ASSIGN(const auto there, LookAt(ctx, op, node, image, beside.path));
  const auto taken = [&] {
    return base::MakeError(
        base::Code::kTransient, crd::reason::kConfigFileExists,
        fmt::format("node {}: {} exists and was not written by this upgrade, or was changed since; "
                    "move it away, and put its additional settings into config.yaml itself",
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
  return written.Is(base::Code::kAlreadyExists) &&
                 written.error().reason == crd::inner_reason::kHostFileExists
             ? base::Status(taken())
             : written;
}

std::string PathOf(const model::OperationRecord& record,
                   const std::map<std::string, model::FileRef>& files) {
  if (files.empty()) return {};
  const std::string& path = files.begin()->second.path;
  return path.starts_with('/') ? path : record.folder + "/" + path;
}

std::string ConfigOf(const model::FrozenNode& node) {
  return node.config_source.empty() ? "config.yaml" : node.config_source;
}

std::string PlanRewrite(const UpgradeSubject& plan) {
  if (!plan.rewrites) return "skipped, no key of config.yaml has to change";
  return fmt::format(
      "{} {}: oms_meta_* become oms_rm_meta_* and oms_cm_meta_*{}",
      plan.InPlace() ? "edit" : fmt::format("write config-{}.yaml beside", plan.to.ToString()),
      plan.Nodes([](const auto& node) { return ConfigOf(node) + " of " + node.name; }),
      plan.InPlace() ? "" : "; the file itself is not changed");
}

}  // namespace

StepState BackUpConfig::Judge(const StepInput& in) {
  if (in.Passed(model::PointKind::kStopping)) return Done();
  return EachOf(in, Which::kAll,
                [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
                  const auto kept = in.record.config_backups.find(frozen.name);
                  if (kept == in.record.config_backups.end()) return Pending();
                  // Edited since: the copy must be of what the old container reads.
                  return kept->second.sha256 == node.config_sha256
                             ? Done()
                             : Pending("config.yaml has changed since it was copied");
                });
}

base::Status BackUpConfig::Act(const base::Context& ctx, OperationSession& op) {
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
          base::Code::kTransient, crd::reason::kBackupVolume,
          fmt::format("the copy of config.yaml in {} differs from what was just written",
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

std::string BackUpConfig::Plan(const UpgradeSubject& plan) {
  return fmt::format("copy {} into {}", plan.Nodes([](const auto& node) {
    return ConfigOf(node) + " of " + node.name;
  }),
                     plan.directory);
}

std::string BackUpConfig::Summary(const model::OperationRecord& record) {
  return PathOf(record, record.config_backups);
}

StepState RewriteConfig::Judge(const StepInput& in) {
  if (in.spec.deployment.config == crd::ConfigPlace::kInPlace) {
    return Skipped(in.facts.RewritesConfig() || !in.record.config_rewrites.empty()
                       ? "config.yaml itself is edited once OMS is stopped"
                       : "no key has to change");
  }
  if (in.Passed(model::PointKind::kNewStarting))
    return in.record.config_rewrites.empty() ? Skipped("no key had to change") : Done();
  if (!in.facts.RewritesConfig() && in.record.config_rewrites.empty())
    return Skipped("no key has to change");
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    if (OldOneIsGone(in, node)) return Done();
    const auto written = in.record.config_rewrites.find(frozen.name);
    if (written == in.record.config_rewrites.end())
      return node.rehearsed_config ? Pending() : Skipped("no key has to change");
    // Edited since (a password, cm_nodes): the new OMS must not start with what was.
    if (node.config && base::Sha256Hex(WantedConfig(node)) != written->second.sha256) {
      return Pending("config.yaml has changed since it was rewritten");
    }
    if (node.new_container && !node.new_container->dead &&
        ConfigSource(node.new_container) == written->second.path &&
        node.new_config_sha256 != written->second.sha256) {
      const bool changed = !node.new_config_sha256.empty() &&
                           !in.record.MeantConfig(frozen.name, node.new_config_sha256);
      if (changed) {
        return Failed(
            crd::reason::kConfigFileExists,
            fmt::format(
                "node {0}: somebody has changed {1} since it was written; put the change into "
                "config.yaml itself and remove {1}; the controller then writes it again",
                frozen.name, written->second.path));
      }
      return Pending("the rewritten config.yaml is not what was written");
    }
    return Done();
  });
}

base::Status RewriteConfig::Act(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (node.keeps_running || facts == nullptr || !facts->config || !facts->target_image) continue;
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

std::string RewriteConfig::Plan(const UpgradeSubject& plan) {
  if (plan.InPlace() && plan.rewrites)
    return "skipped, config.yaml itself is edited after the stop";
  return PlanRewrite(plan);
}

std::string RewriteConfig::Summary(const model::OperationRecord& record) {
  return PathOf(record, record.config_rewrites);
}

StepState EditConfig::Judge(const StepInput& in) {
  if (in.spec.deployment.config != crd::ConfigPlace::kInPlace)
    return Skipped("the file beside config.yaml was written before the stop");
  if (in.Passed(model::PointKind::kNewStarting))
    return in.record.config_rewrites.empty() ? Skipped("no key had to change") : Done();
  if (!in.Passed(model::PointKind::kStopping)) return Pending();  // Not looked at before.
  return EachNode(in, [&](const model::FrozenNode& frozen, const model::NodeFacts& node) {
    if (!node.config) return Running("waiting for config.yaml of node " + frozen.name);
    const auto written = in.record.config_rewrites.find(frozen.name);
    if (node.rehearsed_config) return Pending();
    if (written != in.record.config_rewrites.end()) return Done("no more keys have to change");
    // A person did what the guide says, before us: the copy is what the old version reads.
    return in.record.config_meant.contains(frozen.name)
               ? Pending("config.yaml was edited by somebody")
               : Skipped("no key has to change");
  });
}

base::Status EditConfig::Act(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (node.keeps_running || facts == nullptr || !facts->config) continue;
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

std::string EditConfig::Plan(const UpgradeSubject& plan) {
  if (plan.InPlace() && plan.rewrites) return PlanRewrite(plan);
  return "skipped, config.yaml itself is not edited";
}

StepState RestoreConfig::Judge(const StepInput& in) {
  const auto& nodes = in.record.nodes;
  const bool edited = std::any_of(nodes.begin(), nodes.end(), [&](const model::FrozenNode& node) {
    return in.record.ConfigEditedInPlace(node);
  });
  if (!edited) return Skipped("config.yaml was not changed; the new version used a separate file");
  return in.Seen(model::Step::kRestoreConfig) ? Done() : Pending();
}

base::Status RestoreConfig::Act(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    if (!op.record().ConfigEditedInPlace(node)) continue;
    const model::FileRef& kept = op.record().config_backups.at(node.name);
    const fs::path copy = fs::path(op.record().folder) / kept.path;
    OMS_ASSIGN(const std::string content, op.world()->store->ReadFile(copy));
    if (base::Sha256Hex(content) != kept.sha256) {
      return base::MakeError(
          base::Code::kTerminal, crd::reason::kBackupCorrupt,
          fmt::format(
              "the copy of config.yaml in {} has changed; restore {} manually, and its copy too",
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
      return base::MakeError(base::Code::kTransient, crd::reason::kHostFile,
                             node.config_source + " differs from what was just written");
    }
  }
  const base::WallTime seen = ctx.clock().Wall();
  return op.Save(ctx, [&](model::OperationRecord& record) { record.NoteSeen(kStep, seen); });
}

std::string RestoreConfig::Plan(const RollbackSubject& plan) {
  if (!WroteOverConfig(plan.undone)) return "skipped, the old config.yaml was not touched";
  return fmt::format("restore {} as it was before the upgrade", plan.Nodes([](const auto& node) {
    return node.config_source + " of " + node.name;
  }));
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
      op.Warn(crd::reason::kConfigFileLeft,
              fmt::format("node {}: {} was not written by this upgrade, and is not removed",
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

const std::string& WantedConfig(const model::NodeFacts& node) {
  return node.rehearsed_config ? *node.rehearsed_config : node.config->content;
}

std::string NewConfigPath(const std::string& config_source, const crd::Version& version) {
  const size_t name = config_source.rfind('/') + 1;  // npos + 1 is 0.
  size_t end = config_source.rfind('.');
  // A name that begins with its only dot has no ending.
  if (end == std::string::npos || end <= name) end = config_source.size();
  return config_source.substr(0, end) + "-" + version.ToString() + config_source.substr(end);
}

std::string WantedConfigSource(const model::OperationRecord& record,
                               const model::FrozenNode& node) {
  const auto rewritten = record.config_rewrites.find(node.name);
  return rewritten == record.config_rewrites.end() ? node.config_source : rewritten->second.path;
}

std::string ConfigSource(const std::optional<ports::ContainerInfo>& container) {
  const ports::Mount* mount = container ? container->FindMount(product::kConfigMount) : nullptr;
  return mount == nullptr ? std::string() : mount->source;
}

bool WroteOverConfig(const model::OperationRecord& record) {
  return std::any_of(record.nodes.begin(), record.nodes.end(), [&](const model::FrozenNode& node) {
    const auto written = record.config_rewrites.find(node.name);
    return written != record.config_rewrites.end() && written->second.path == node.config_source;
  });
}

}  // namespace oms::steps
