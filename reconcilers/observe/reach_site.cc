#include "reconcilers/observe/reach_site.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "crd/reasons.h"
#include "reconcilers/model/labels.h"
#include "reconcilers/observe/secret_data.h"

namespace oms::observe {
namespace {

model::Trouble TroubleOf(const base::Error& error, const char* reason) {
  return {error.reason.empty() ? reason : error.reason, error.message, error.Retryable()};
}

class Reaching {
 public:
  Reaching(const base::Context& ctx, const Views& views, const crd::OmsUpgrade& resource,
           const crd::OperationStatus& shown, const RecordTrust& trust, Site& site)
      : ctx_(ctx),
        views_(views),
        resource_(resource),
        spec_(resource.spec),
        owner_label_(OwnerLabel(resource.meta.Key().ToString())),
        shown_(shown),
        trust_(trust),
        site_(site) {}

  // Each returns false when it has set site_.trouble.
  bool Engines();
  bool Config();
  bool HttpsCa();
  bool MetaDatabase();
  bool Row();
  bool Record();
  bool WayBack();
  bool OtherOwners();

 private:
  bool Fail(model::Trouble trouble) {
    site_.trouble = std::move(trouble);
    return false;
  }
  bool Node(const crd::Node& node);
  base::Status AddLabelled(SiteNode& node, const std::string& owner_label);
  bool ConfigFromRecord(const std::string& node);
  bool RecordIsShown();
  bool Parse();
  const SiteNode& Leading() const;
  bool Version();
  base::Result<std::map<std::string, base::Secret>> SecretData(const std::string& name);
  std::optional<ports::DbServerAddress> WayTo(const product::MetaAddress& config,
                                              const crd::Connect* connect,
                                              const std::string& field);
  bool OneWayForTwo(const crd::MetaDb& spec);
  bool Server(const ports::MetaDbView& meta_db, const char* of,
              std::optional<ports::DbServerInfo>& info);

  const base::Context& ctx_;
  const Views& views_;
  const crd::OmsUpgrade& resource_;
  const crd::Spec& spec_;
  const std::string owner_label_;
  const crd::OperationStatus& shown_;  // What status says of the operation.
  const RecordTrust& trust_;
  Site& site_;
};

base::Result<std::map<std::string, base::Secret>> Reaching::SecretData(const std::string& name) {
  return ReadSecretData(ctx_, *views_.api, resource_.meta.ns, name);
}

// Our containers of OMS on this node, newest first.
base::Status Reaching::AddLabelled(SiteNode& node, const std::string& owner_label) {
  OMS_ASSIGN(auto labelled, node.engine->ListByLabel(ctx_, model::labels::kOwner, owner_label));
  for (auto& container : labelled) {
    const auto role = container.labels.find(model::labels::kRole);
    const auto on = container.labels.find(model::labels::kNode);
    if (role != container.labels.end() && role->second == "oms" && on != container.labels.end() &&
        on->second == node.name) {
      node.labelled.push_back(std::move(container));
    }
  }
  std::sort(node.labelled.begin(), node.labelled.end(),
            [](const ports::ContainerInfo& a, const ports::ContainerInfo& b) {
              return a.created > b.created;
            });
  return base::Ok();
}

bool Reaching::Node(const crd::Node& node) {
  ports::EngineAddress address;
  address.endpoint = node.engine.endpoint;
  if (node.engine.tls) {
    auto data = SecretData(node.engine.tls->secret_ref.name);
    if (!data.ok()) return Fail(TroubleOf(data.error(), crd::reason::kSecretUnreadable));
    address.tls_ca = (*data)["ca.crt"];
    address.tls_cert = (*data)["tls.crt"];
    address.tls_key = (*data)["tls.key"];
  }
  SiteNode reached;
  reached.name = node.name;
  auto engine = views_.engines->Open(address);
  if (!engine.ok())
    return Fail(
        TroubleOf(engine.error().Wrap("node " + node.name), crd::reason::kEngineUnreachable));
  reached.engine = *std::move(engine);
  auto info = reached.engine->Info(ctx_);
  if (!info.ok())
    return Fail(TroubleOf(info.error().Wrap("node " + node.name), crd::reason::kEngineUnreachable));
  reached.info = *std::move(info);
  auto named = reached.engine->Inspect(ctx_, node.container.name);
  if (named.ok()) {
    reached.named = *std::move(named);
  } else if (!named.Is(base::Code::kNotFound)) {
    return Fail(
        TroubleOf(named.error().Wrap("node " + node.name), crd::reason::kEngineUnreachable));
  }
  if (const auto added = AddLabelled(reached, owner_label_); !added.ok())

    return Fail(
        TroubleOf(added.error().Wrap("node " + node.name), crd::reason::kEngineUnreachable));
  if (reached.Current() == nullptr && !ConfigFromRecord(node.name)) {
    return Fail({crd::reason::kContainerNotFound,
                 fmt::format("node {}: the engine at {} has no container '{}'; write "
                             "the name that `docker ps -a` shows for "
                             "the OMS container in spec.nodes[].container.name",
                             node.name, node.engine.endpoint, node.container.name)});
  }
  site_.nodes.push_back(std::move(reached));
  return true;
}

bool Reaching::Engines() {
  for (const auto& node : spec_.nodes) {
    if (!Node(node)) return false;
  }
  if (site_.nodes.empty())
    return Fail({crd::reason::kInvalidSpec, "spec.nodes is empty; name the host that runs OMS"});
  return Version();
}

// An operation that goes back may meet no container at all: the new one is removed, and somebody
// has removed the old one. What the operation has kept says how the MetaDB is reached.
bool Reaching::ConfigFromRecord(const std::string& node) {
  if (shown_.folder.empty()) return false;
  const auto found = ReadTrusted(*views_.store, shown_.folder, trust_);
  if (!found.ok() || !found->record.open()) return false;
  const auto kept = found->record.config_backups.find(node);
  if (kept == found->record.config_backups.end()) return false;
  auto text = views_.store->ReadFile(std::filesystem::path(shown_.folder) / kept->second.path);
  if (!text.ok()) return false;
  site_.config_file = ports::FileContent{*std::move(text), kept->second.uid, kept->second.gid,
                                         kept->second.mode, true};
  return true;
}

// A component may be of an older image than what it runs, and its config.yaml is not rewritten.
const SiteNode& Reaching::Leading() const {
  for (size_t i = 0; i < site_.nodes.size(); ++i) {
    if (spec_.nodes[i].role != crd::NodeRole::kComponent) return site_.nodes[i];
  }
  return site_.nodes.front();
}

bool Reaching::Version() {
  if (Leading().Current() == nullptr) return true;  // ConfigFromRecord()
  auto running = RunningVersion(spec_, *Leading().Current());
  if (!running.ok()) return Fail(TroubleOf(running.error(), crd::reason::kVersionUnknown));
  site_.running = *running;
  return true;
}

bool Reaching::Config() {
  const SiteNode& node = Leading();
  if (node.Current() == nullptr) return Parse();
  auto file = node.engine->ReadFile(ctx_, node.Current()->id, kConfigPath);
  if (!file.ok()) {
    // The new container while a rollback removes it: the engine still shows it, and its files no
    // more. It was OMS when the operation began.
    const bool passing =
        file.error().Retryable() || (!shown_.folder.empty() && !node.Current()->running &&
                                     file.error().code == base::Code::kNotFound);
    return Fail({file.error().Retryable() ? crd::reason::kEngineUnreachable
                                          : crd::reason::kNotAnOmsContainer,
                 fmt::format("node {}: {} cannot be read in container '{}' ({}); check that "
                             "spec.nodes[].container.name is the "
                             "OMS container",
                             node.name, kConfigPath, node.Current()->name, file.error().message),
                 passing});
  }
  if (!file->regular) {
    return Fail({crd::reason::kConfigUnreadable,
                 fmt::format("node {}: {} in container '{}' is not a regular file (Docker creates "
                             "a folder if the source of a mount does not exist); restore the file",
                             node.name, kConfigPath, node.Current()->name)});
  }
  site_.config_file = *std::move(file);
  return Parse();
}

bool Reaching::Parse() {
  auto config = product::ParseConfig(site_.config_file->content);
  if (!config.ok())
    return Fail(TroubleOf(config.error().Wrap("config.yaml"), crd::reason::kConfigInvalid));
  site_.config = *std::move(config);
  return true;
}

bool Reaching::HttpsCa() {
  if (!spec_.https) return true;
  auto data = SecretData(spec_.https->secret_ref.name);
  // Of use for the health of OMS alone: the mounted certificate itself is believed then.
  if (data.Is(base::Code::kNotFound) && resource_.meta.deletion_timestamp) return true;
  if (!data.ok()) return Fail(TroubleOf(data.error(), crd::reason::kSecretUnreadable));
  site_.https_ca = (*data)["ca.crt"].Reveal();
  if (!site_.https_ca.empty()) return true;
  return Fail({crd::reason::kSecretUnreadable,
               fmt::format("Secret {}/{} of spec.https has no key 'ca.crt'; add the certificate of "
                           "the CA that signed the one of OMS, or leave spec.https out",
                           resource_.meta.ns, spec_.https->secret_ref.name)});
}

// config.yaml's way to a database, and over it what the spec says of the way from here. Nullopt:
// trouble was set.
std::optional<ports::DbServerAddress> Reaching::WayTo(const product::MetaAddress& config,
                                                      const crd::Connect* connect,
                                                      const std::string& field) {
  ports::DbServerAddress address{config.host, config.port, config.user, config.password, "", true};
  if (connect == nullptr) return address;
  const auto fail = [&](model::Trouble trouble) {
    Fail(std::move(trouble));
    return std::nullopt;
  };
  if (!connect->host.empty()) address.host = connect->host;
  if (connect->port != 0) address.port = connect->port;
  if (!connect->user.empty()) address.user = connect->user;
  // Whoever may write a resource may name any host, and is not to be sent the password of OMS
  // there.
  const bool elsewhere = address.host != config.host || address.port != config.port;
  if (elsewhere && !connect->password_secret_ref) {
    return fail(
        {crd::reason::kInvalidSpec,
         fmt::format(
             "{0} leads to another host or port ({1}) than config.yaml ({2}), and the password in "
             "config.yaml is not sent there: set the password in {0}.passwordSecretRef",
             field, address.Name(),
             ports::DbServerAddress{config.host, config.port, "", {}, "", true}.Name())});
  }
  if (connect->password_secret_ref) {
    auto data = SecretData(connect->password_secret_ref->name);
    // The way back of a resource that is being deleted does not end with its Secret: config.yaml
    // has a password too, maybe that of another user, and the server will say so.
    const bool gone =
        data.Is(base::Code::kNotFound) && resource_.meta.deletion_timestamp && !elsewhere;
    if (!data.ok() && !gone) return fail(TroubleOf(data.error(), crd::reason::kSecretUnreadable));
    std::map<std::string, base::Secret> none;
    if (gone) none[connect->password_secret_ref->key] = config.password;
    const auto& texts = gone ? none : *data;
    const auto found = texts.find(connect->password_secret_ref->key);
    if (found == texts.end()) {
      return fail({crd::reason::kSecretUnreadable,
                   fmt::format("Secret {}/{} has no key '{}'; add it, or name the right one in "
                               "{}.passwordSecretRef.key",
                               resource_.meta.ns, connect->password_secret_ref->name,
                               connect->password_secret_ref->key, field)});
    }
    address.password = found->second;
  }
  if (connect->tls) {
    auto data = SecretData(connect->tls->secret_ref.name);
    if (!data.ok()) return fail(TroubleOf(data.error(), crd::reason::kSecretUnreadable));
    address.tls_ca = (*data)["ca.crt"].Reveal();
    if (address.tls_ca.empty()) {
      return fail({crd::reason::kSecretUnreadable,
                   fmt::format("the Secret of {}.tls has no key 'ca.crt'; add the certificate of "
                               "the CA that signed the MetaDB's",
                               field)});
    }
  }
  return address;
}

bool Reaching::Server(const ports::MetaDbView& meta_db, const char* of,
                      std::optional<ports::DbServerInfo>& info) {
  auto server = meta_db.server->Server(ctx_);
  if (!server.ok())
    return Fail(TroubleOf(server.error().Wrap(of), crd::reason::kMetaDbUnreachable));
  info = *std::move(server);
  return true;
}

// One way for all would lead to one server, where what config.yaml has on the other one may be left
// from the day before cm was moved.
bool Reaching::OneWayForTwo(const crd::MetaDb& spec) {
  const product::OmsConfig& config = *site_.config;
  const bool two = config.rm.host != config.cm.host || config.rm.port != config.cm.port;
  if (!two || !spec.connect || (spec.rm && spec.cm)) return false;
  if (spec.connect->host.empty() && spec.connect->port == 0) return false;
  Fail(
      {crd::reason::kInvalidSpec,
       "config.yaml has the CM database on another server than RM's, but spec.metaDB.connect gives "
       "one address for both; write spec.metaDB.rm.connect and spec.metaDB.cm.connect instead"});
  return true;
}

bool Reaching::MetaDatabase() {
  const crd::MetaDb spec = spec_.meta_db.value_or(crd::MetaDb());
  const product::OmsConfig& config = *site_.config;
  if (OneWayForTwo(spec)) return false;
  const crd::Connect* all = spec.connect ? &*spec.connect : nullptr;
  const auto rm = WayTo(config.rm, spec.rm ? &spec.rm->connect : all,
                        spec.rm ? "spec.metaDB.rm.connect" : "spec.metaDB.connect");
  if (!rm) return false;
  if (!config.SeparateCm() && !spec.rm && !spec.cm) {
    site_.meta = ports::MetaDbsView(views_.meta_dbs->Open(*rm));
    if (!Server(site_.meta.rm(), "MetaDB", site_.server)) return false;
    site_.cm_server = site_.server;
    return true;
  }
  const auto cm = WayTo(config.cm, spec.cm ? &spec.cm->connect : all,
                        spec.cm ? "spec.metaDB.cm.connect" : "spec.metaDB.connect");
  if (!cm) return false;
  site_.meta = ports::MetaDbsView(views_.meta_dbs->Open(*rm), views_.meta_dbs->Open(*cm));
  if (!Server(site_.meta.rm(), "MetaDB of RM", site_.server) ||
      !Server(site_.meta.cm(), "MetaDB of CM", site_.cm_server)) {
    return false;
  }
  if (!config.SeparateCm() && site_.server->identity != site_.cm_server->identity) {
    return Fail({crd::reason::kNotThisOms,
                 fmt::format("config.yaml has RM and CM on one server, but spec.metaDB names two "
                             "({} and {}); correct spec.metaDB.rm and spec.metaDB.cm",
                             site_.server->identity, site_.cm_server->identity)});
  }
  return true;
}

bool Reaching::Row() {
  site_.oms = site_.config->drc_rm_db;
  site_.ownership = views_.ownerships->Open(site_.meta);
  auto row = site_.ownership->Read(ctx_, site_.oms);
  if (!row.ok())
    return Fail(TroubleOf(row.error().Wrap("MetaDB"), crd::reason::kMetaDbUnreachable));
  site_.row = *std::move(row);
  return true;
}

bool Reaching::Record() {
  auto volume = views_.store->Look(spec_.backup.directory);
  if (volume.ok()) {
    site_.volume = *std::move(volume);
  } else if (!volume.Is(base::Code::kNotFound)) {
    return Fail(TroubleOf(volume.error(), crd::reason::kBackupVolume));
  }
  const std::string folder =
      site_.row && !site_.row->folder.empty() ? site_.row->folder : shown_.folder;
  if (folder.empty()) return true;
  const bool free = site_.row && site_.row->Free();
  // What another owner has is none of this one's to read.
  if (site_.row && !free && site_.row->owner != trust_.me &&
      site_.row->owner.object != trust_.take_over) {
    return true;
  }
  if (const auto place = trust_.CheckPlace(folder); !place.ok()) {
    return free || Fail(TroubleOf(place.error(), crd::reason::kBackupDirectoryNotAllowed));
  }
  // Where the operation lies, whatever spec.backup.directory has come to say since.
  const std::string directory = std::filesystem::path(folder).parent_path();
  const auto holds = views_.store->Look(directory);
  if (!holds.ok() && !holds.Is(base::Code::kNotFound))
    return Fail(TroubleOf(holds.error(), crd::reason::kBackupVolume));
  // Without a row it is the record's own word of the volume that counts.
  const bool same = holds.ok() && (!site_.row || (!site_.row->folder_identity.empty() &&
                                                  site_.row->folder_identity == holds->identity));
  // Given free by its owner, and the new one may be elsewhere: there is nothing to go on with.
  if (!same && free) return true;
  // Never "no backup": another volume, or none, must not look like a fresh start.
  if (!same) {
    return Fail(
        {crd::reason::kWrongBackupVolume,
         fmt::format(
             "the operation's folder is {}, but {} {}; mount the volume that contains it", folder,
             directory,
             holds.ok() ? "carries the identity of another volume" : "carries no identity file")});
  }
  auto found = ReadTrusted(*views_.store, folder, trust_, &site_.others_record);
  if (found.Is(base::Code::kNotFound)) {
    // A crash between the row and the first record leaves this: the operation never began.
    if (site_.row && site_.row->operation_id.empty()) return true;
    return Fail({crd::reason::kWrongBackupVolume,
                 fmt::format("the row in the MetaDB says that operation {} is in {}, but there is "
                             "no record; mount the volume that contains it",
                             site_.row ? site_.row->operation_id : "?", folder)});
  }
  if (!found.ok()) return Fail(TroubleOf(found.error(), crd::reason::kRecordFormat));
  site_.record = std::make_shared<const model::OperationRecord>(std::move(found->record));
  site_.last_n = found->last_n;
  return RecordIsShown();
}

// Row, record and status must agree. A MetaDB that was brought back to an
// earlier state has an earlier row: what it names is not the last operation.
bool Reaching::RecordIsShown() {
  if (shown_.folder.empty() || shown_.id == site_.record->id) return true;
  const auto shown = ReadTrusted(*views_.store, shown_.folder, trust_);
  if (!shown.ok() || !shown->record.open() || shown->record.started < site_.record->started) {
    return true;
  }
  const auto named = std::move(site_.record);  // Not the last one; what is shown stays.
  return Fail(
      {crd::reason::kOperationsDiffer,
       fmt::format("status names the open operation {} in {}, but the row in the MetaDB names the "
                   "earlier {} in {}: was the MetaDB restored to an earlier state? If so, abandon "
                   "the open operation with {}={}; otherwise restore the ownership row",
                   shown_.id, shown_.folder, named->id, named->folder, crd::kAbandon, shown_.id)});
}

// What went before it is kept in its record. One that cannot be read any more, or is not to be
// believed, is no way back.
bool Reaching::WayBack() {
  if (!site_.record || site_.record->open()) return true;
  const auto way = site_.record->WayBack();
  if (!way) return true;
  if (way->id == site_.record->id) {
    site_.way_back = site_.record;
  } else if (auto found = ReadTrusted(*views_.store, way->folder, trust_); found.ok()) {
    site_.way_back = std::make_shared<const model::OperationRecord>(std::move(found->record));
  }
  return true;
}

// An OMS that was taken over has containers that carry the label of the owner before.
bool Reaching::OtherOwners() {
  std::set<std::string> others;
  for (const auto* record : {&site_.record, &site_.way_back}) {
    if (!*record) continue;
    others.insert(OwnerLabel((*record)->owner_object));
    for (const auto& former : (*record)->former_owners) others.insert(OwnerLabel(former.object));
  }
  others.erase(owner_label_);
  if (others.empty()) return true;
  for (auto& node : site_.nodes) {
    for (const auto& owner : others) {
      if (const auto added = AddLabelled(node, owner); !added.ok())
        return Fail(
            TroubleOf(added.error().Wrap("node " + node.name), crd::reason::kEngineUnreachable));
    }
  }
  return Version();
}

}  // namespace

Site ReachSite(const base::Context& ctx, const Views& views, const crd::OmsUpgrade& resource,
               const crd::OperationStatus& shown, const RecordTrust& trust) {
  Site site;
  site.ns = resource.meta.ns;
  Reaching reaching(ctx, views, resource, shown, trust, site);
  (void)(reaching.Engines() && reaching.Config() && reaching.HttpsCa() && reaching.MetaDatabase() &&
         reaching.Row() && reaching.Record() && reaching.WayBack() && reaching.OtherOwners());
  return site;
}

}  // namespace oms::observe
