#include "reconcilers/site.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <system_error>

#include "controller/base/sha256.h"
#include "reconcilers/base64.h"
#include "reconcilers/labels.h"

namespace oms::upgrade {
namespace {

const kube::ResourceType kSecrets{"", "v1", "secrets"};

Trouble TroubleOf(const base::Error& error, const char* reason) {
  return {error.reason.empty() ? reason : error.reason, error.message, error.Retryable()};
}

class Reaching {
 public:
  Reaching(const base::Context& ctx, const Ports& ports, const crd::OmsUpgrade& resource,
           const std::string& known_folder, Site& site)
      : ctx_(ctx),
        ports_(ports),
        resource_(resource),
        spec_(resource.spec),
        known_folder_(known_folder),
        site_(site) {}

  // Each returns false when it has set site_.trouble.
  bool Engines(const std::string& owner_label);
  bool Config();
  bool HttpsCa();
  bool MetaDatabase();
  bool Row();
  bool Record();
  bool LastUpgrade();

 private:
  bool Fail(Trouble trouble) {
    site_.trouble = std::move(trouble);
    return false;
  }
  bool Node(const crd::Node& node, const std::string& owner_label);
  bool ConfigFromRecord(const std::string& node);
  bool Parse();
  bool Version();
  // The Secret's data, decoded. kNotFound names the Secret, never what it holds.
  base::Result<std::map<std::string, base::Secret>> SecretData(const std::string& name);
  base::Result<std::string> CaFile(const base::Secret& pem);

  const base::Context& ctx_;
  const Ports& ports_;
  const crd::OmsUpgrade& resource_;
  const crd::Spec& spec_;
  const std::string& known_folder_;  // Where status says that the operation lies.
  Site& site_;
};

base::Result<std::map<std::string, base::Secret>> Reaching::SecretData(const std::string& name) {
  const auto secret = ports_.api->Get(ctx_, kSecrets, {resource_.meta.ns, name});
  if (!secret.ok()) {
    return base::MakeError(
        secret.error().code, "SecretUnreadable",
        fmt::format("Secret {}/{}: {}", resource_.meta.ns, name, secret.error().message));
  }
  std::map<std::string, base::Secret> data;
  const auto found = secret->find("data");
  if (found == secret->end() || !found->is_object()) return data;
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) continue;
    if (auto plain = DecodeBase64(value.get_ref<const std::string&>()))
      data.emplace(key, base::Secret(*plain));
  }
  return data;
}

bool Reaching::Node(const crd::Node& node, const std::string& owner_label) {
  EngineAddress address;
  address.endpoint = node.engine.endpoint;
  if (node.engine.tls) {
    auto data = SecretData(node.engine.tls->secret_ref.name);
    if (!data.ok()) return Fail(TroubleOf(data.error(), "SecretUnreadable"));
    address.tls_ca = (*data)["ca.crt"];
    address.tls_cert = (*data)["tls.crt"];
    address.tls_key = (*data)["tls.key"];
  }
  SiteNode reached;
  reached.name = node.name;
  auto engine = ports_.engines->Open(address);
  if (!engine.ok())
    return Fail(TroubleOf(engine.error().Wrap("node " + node.name), "EngineUnreachable"));
  reached.engine = *std::move(engine);
  auto info = reached.engine->Info(ctx_);
  if (!info.ok())
    return Fail(TroubleOf(info.error().Wrap("node " + node.name), "EngineUnreachable"));
  reached.info = *std::move(info);
  auto named = reached.engine->Inspect(ctx_, node.container.name);
  if (named.ok()) {
    reached.named = *std::move(named);
  } else if (!named.Is(base::Code::kNotFound)) {
    return Fail(TroubleOf(named.error().Wrap("node " + node.name), "EngineUnreachable"));
  }
  auto labelled = reached.engine->ListByLabel(ctx_, labels::kOwner, owner_label);
  if (!labelled.ok())
    return Fail(TroubleOf(labelled.error().Wrap("node " + node.name), "EngineUnreachable"));
  for (auto& container : *labelled) {
    const auto role = container.labels.find(labels::kRole);
    const auto on = container.labels.find(labels::kNode);
    if (role != container.labels.end() && role->second == "oms" && on != container.labels.end() &&
        on->second == node.name) {
      reached.labelled.push_back(std::move(container));
    }
  }
  std::sort(reached.labelled.begin(), reached.labelled.end(),
            [](const ContainerInfo& a, const ContainerInfo& b) { return a.created > b.created; });
  if (reached.Current() == nullptr && !ConfigFromRecord(node.name)) {
    return Fail(
        {"ContainerNotFound", fmt::format("node {}: the engine at {} has no container '{}'; write "
                                          "the name that `docker ps -a` shows for "
                                          "the OMS container in spec.nodes[].container.name",
                                          node.name, node.engine.endpoint, node.container.name)});
  }
  site_.nodes.push_back(std::move(reached));
  return true;
}

bool Reaching::Engines(const std::string& owner_label) {
  for (const auto& node : spec_.nodes) {
    if (!Node(node, owner_label)) return false;
  }
  if (site_.nodes.empty())
    return Fail({"InvalidSpec", "spec.nodes is empty; name the host that runs OMS"});
  return Version();
}

// An operation that goes back may meet no container at all: the new one is removed, and somebody
// has removed the old one. What the operation has kept says how the MetaDB is reached.
bool Reaching::ConfigFromRecord(const std::string& node) {
  if (known_folder_.empty()) return false;
  const auto entries = ports_.store->Read(known_folder_);
  if (!entries.ok() || entries->empty()) return false;
  const auto record = OperationRecord::FromJson(entries->back().text);
  if (!record.ok() || !record->open()) return false;
  const auto kept = record->config_backups.find(node);
  if (kept == record->config_backups.end()) return false;
  auto text = ports_.store->ReadFile(std::filesystem::path(known_folder_) / kept->second.path);
  if (!text.ok()) return false;
  site_.config_file =
      FileContent{*std::move(text), kept->second.uid, kept->second.gid, kept->second.mode, true};
  return true;
}

bool Reaching::Version() {
  if (site_.nodes.front().Current() == nullptr) return true;  // ConfigFromRecord()
  auto running = RunningVersion(spec_, *site_.nodes.front().Current());
  if (!running.ok()) return Fail(TroubleOf(running.error(), "VersionUnknown"));
  site_.running = *running;
  return true;
}

bool Reaching::Config() {
  const SiteNode& node = site_.nodes.front();
  if (node.Current() == nullptr) return Parse();
  auto file = node.engine->ReadFile(ctx_, node.Current()->id, kConfigPath);
  if (!file.ok()) {
    return Fail({file.error().Retryable() ? "EngineUnreachable" : "NotAnOMSContainer",
                 fmt::format("node {}: {} cannot be read in container '{}' ({}); check that "
                             "spec.nodes[].container.name is the "
                             "OMS container",
                             node.name, kConfigPath, node.Current()->name, file.error().message),
                 file.error().Retryable()});
  }
  if (!file->regular) {
    return Fail({"ConfigUnreadable", fmt::format("node {}: {} in container '{}' is not a regular "
                                                 "file (Docker makes a folder where the source of "
                                                 "a mount does not exist); put the file back",
                                                 node.name, kConfigPath, node.Current()->name)});
  }
  site_.config_file = *std::move(file);
  return Parse();
}

bool Reaching::Parse() {
  auto config = ParseConfig(site_.config_file->content);
  if (!config.ok()) return Fail(TroubleOf(config.error().Wrap("config.yaml"), "ConfigInvalid"));
  site_.config = *std::move(config);
  return true;
}

// Made once, and anew where somebody has taken it away meanwhile.
base::Result<std::filesystem::path> FolderOfThisProcess() {
  static std::mutex mutex;
  static std::string folder;  // Guarded by mutex.
  const std::lock_guard lock(mutex);
  struct stat info {};
  if (!folder.empty() && lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
      info.st_uid == geteuid()) {
    return std::filesystem::path(folder);
  }
  std::error_code none;
  const auto place = std::filesystem::temp_directory_path(none);
  std::string made = (place / "oms-upgrade-controller-XXXXXX").string();
  if (none || mkdtemp(made.data()) == nullptr) {
    return base::MakeError(
        base::Code::kTransient, "TemporaryFolder",
        fmt::format("cannot make a folder in {}: {}", none ? "TMPDIR" : place.string(),
                    (none ? none : std::error_code(errno, std::generic_category())).message()));
  }
  folder = std::move(made);
  return std::filesystem::path(folder);
}

// The MySQL client library takes a path. A CA's certificate is no secret, but whoever could put a
// file in its place could pass for the MetaDB; so it lies in a folder of this process alone. The
// file is named by its sum and written once.
base::Result<std::string> Reaching::CaFile(const base::Secret& pem) {
  if (pem.empty()) {
    return base::MakeError(base::Code::kInvalid, "SecretUnreadable",
                           "the Secret of spec.metaDB.connect.tls has no key 'ca.crt'; add the "
                           "certificate of the CA that signed the MetaDB's");
  }
  OMS_ASSIGN(const auto folder, FolderOfThisProcess());
  const auto file = folder / (base::Sha256Hex(pem.Reveal()) + ".pem");
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) OMS_TRY(ports_.store->WriteFile(file, pem.Reveal()));
  return file.string();
}

bool Reaching::HttpsCa() {
  if (!spec_.https) return true;
  auto data = SecretData(spec_.https->secret_ref.name);
  if (!data.ok()) return Fail(TroubleOf(data.error(), "SecretUnreadable"));
  site_.https_ca = (*data)["ca.crt"].Reveal();
  if (!site_.https_ca.empty()) return true;
  return Fail({"SecretUnreadable",
               fmt::format("Secret {}/{} of spec.https has no key 'ca.crt'; add the certificate of "
                           "the CA that signed the one of OMS, or leave spec.https out",
                           resource_.meta.ns, spec_.https->secret_ref.name)});
}

bool Reaching::MetaDatabase() {
  DbServerAddress address{site_.config->rm.host,
                          site_.config->rm.port,
                          site_.config->rm.user,
                          site_.config->rm.password,
                          "",
                          true};
  if (spec_.meta_db && spec_.meta_db->connect) {
    const crd::Connect& connect = *spec_.meta_db->connect;
    if (!connect.host.empty()) address.host = connect.host;
    if (connect.port != 0) address.port = connect.port;
    if (!connect.user.empty()) address.user = connect.user;
    if (connect.password_secret_ref) {
      auto data = SecretData(connect.password_secret_ref->name);
      if (!data.ok()) return Fail(TroubleOf(data.error(), "SecretUnreadable"));
      const auto found = data->find(connect.password_secret_ref->key);
      if (found == data->end()) {
        return Fail({"SecretUnreadable",
                     fmt::format("Secret {}/{} has no key '{}'; add it, or name the right one in "
                                 "spec.metaDB.connect.passwordSecretRef.key",
                                 resource_.meta.ns, connect.password_secret_ref->name,
                                 connect.password_secret_ref->key)});
      }
      address.password = found->second;
    }
    if (connect.tls) {
      auto data = SecretData(connect.tls->secret_ref.name);
      if (!data.ok()) return Fail(TroubleOf(data.error(), "SecretUnreadable"));
      auto ca = CaFile((*data)["ca.crt"]);
      if (!ca.ok()) return Fail(TroubleOf(ca.error(), "SecretUnreadable"));
      address.tls_ca = *std::move(ca);
    }
  }
  if (site_.config->SeparateCm()) {
    return Fail({"SeparateCMUnsupported",
                 "config.yaml has the CM database on another server than RM's; this controller "
                 "cannot upgrade such an OMS yet"});
  }
  site_.meta = ports_.meta_dbs->Open(address);
  auto server = site_.meta->Server(ctx_);
  if (!server.ok()) return Fail(TroubleOf(server.error().Wrap("MetaDB"), "MetaDBUnreachable"));
  site_.server = *std::move(server);
  return true;
}

bool Reaching::Row() {
  site_.oms = site_.config->drc_rm_db;
  site_.ownership = ports_.ownerships->Open(site_.meta);
  auto row = site_.ownership->Read(ctx_, site_.oms);
  if (!row.ok()) return Fail(TroubleOf(row.error().Wrap("MetaDB"), "MetaDBUnreachable"));
  site_.row = *std::move(row);
  return true;
}

bool Reaching::Record() {
  auto volume = ports_.store->Look(spec_.backup.directory);
  if (volume.ok()) {
    site_.volume = *std::move(volume);
  } else if (!volume.Is(base::Code::kNotFound)) {
    return Fail(TroubleOf(volume.error(), "BackupVolume"));
  }
  const std::string folder =
      site_.row && !site_.row->folder.empty() ? site_.row->folder : known_folder_;
  if (folder.empty()) return true;
  const std::string identity = site_.row ? site_.row->folder_identity : std::string();
  // Never "no backup": another volume, or none, must not look like a fresh start.
  if (!site_.volume || (!identity.empty() && site_.volume->identity != identity)) {
    return Fail(
        {crd::reason::kWrongBackupVolume,
         fmt::format("the operation's folder is {}, but {} {}; mount the volume that holds it",
                     folder, spec_.backup.directory,
                     site_.volume ? "carries the identity of another volume"
                                  : "carries no identity file")});
  }
  auto entries = ports_.store->Read(folder);
  if (!entries.ok() || entries->empty()) {
    if (!entries.ok() && !entries.Is(base::Code::kNotFound))
      return Fail(TroubleOf(entries.error(), "BackupVolume"));
    // A crash between the row and the first record leaves this: the operation never began.
    if (site_.row && site_.row->operation_id.empty()) return true;
    return Fail({crd::reason::kWrongBackupVolume,
                 fmt::format("the row in the MetaDB says that operation {} lies in {}, but there "
                             "is no record; mount the volume "
                             "that holds it",
                             site_.row ? site_.row->operation_id : "?", folder)});
  }
  std::vector<std::string> texts;
  for (auto& entry : *entries) texts.push_back(std::move(entry.text));
  auto record = FoldRecords(texts);
  if (!record.ok()) return Fail(TroubleOf(record.error().Wrap(folder), "RecordFormat"));
  site_.record = *std::move(record);
  site_.last_n = entries->back().n;
  return true;
}

// After an upgrade the old container is only the way back: when OMS is stopped, the new one is
// still what it runs as.
bool Reaching::LastUpgrade() {
  if (!site_.record || site_.record->outcome != OperationOutcome::kSucceeded) return true;
  for (auto& node : site_.nodes) {
    for (const auto& container : node.labelled) {
      const auto operation = container.labels.find(labels::kOperation);
      if (operation != container.labels.end() && operation->second == site_.record->id)
        node.last_upgraded = container.id;
    }
  }
  return Version();
}

}  // namespace

const ContainerInfo* SiteNode::Current() const {
  if (named && named->running) return &*named;
  for (const auto& container : labelled) {
    if (container.running) return &container;
  }
  for (const auto& container : labelled) {
    if (container.id == last_upgraded) return &container;
  }
  if (named) return &*named;
  return labelled.empty() ? nullptr : &labelled.front();
}

namespace {

void SetEdition(const crd::Spec& spec, crd::Version& version) {
  if (spec.deployment.edition == crd::EditionChoice::kDetect) return;
  version.edition = spec.deployment.edition == crd::EditionChoice::kCommunity
                        ? crd::Edition::kCommunity
                        : crd::Edition::kEnterprise;
}

}  // namespace

std::string WantedVersion(const crd::Spec& spec) {
  auto wanted = crd::Version::Parse(spec.version);
  if (!wanted.ok()) return spec.version;
  if (const auto tag = crd::VersionFromImage(spec.image.reference);
      tag.ok() && tag->edition == crd::Edition::kCommunity) {
    wanted->edition = crd::Edition::kCommunity;
  }
  SetEdition(spec, *wanted);
  return wanted->ToString();
}

base::Result<crd::Version> RunningVersion(const crd::Spec& spec, const ContainerInfo& container) {
  if (const auto label = container.labels.find(labels::kVersion); label != container.labels.end()) {
    return crd::Version::Parse(label->second);
  }
  auto version = spec.deployment.current_version.empty()
                     ? crd::VersionFromImage(container.image)
                     : crd::Version::Parse(spec.deployment.current_version);
  if (version.ok()) {
    SetEdition(spec, *version);
    return version;
  }
  if (!spec.deployment.current_version.empty()) return version;
  return base::MakeError(base::Code::kInvalid, "VersionUnknown",
                         fmt::format("the image '{}' of container '{}' does not name a version; "
                                     "write the version that runs in "
                                     "spec.deployment.currentVersion",
                                     container.image, container.name));
}

Site ReachSite(const base::Context& ctx, const Ports& ports, const crd::OmsUpgrade& resource,
               const std::string& owner_label, const std::string& known_folder) {
  Site site;
  Reaching reaching(ctx, ports, resource, known_folder, site);
  (void)(reaching.Engines(owner_label) && reaching.Config() && reaching.HttpsCa() &&
         reaching.MetaDatabase() && reaching.Row() && reaching.Record() && reaching.LastUpgrade());
  return site;
}

}  // namespace oms::upgrade
