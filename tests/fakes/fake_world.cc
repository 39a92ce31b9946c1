#include "tests/fakes/fake_world.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "controller/base/sha256.h"
#include "reconcilers/act/once_script.h"
#include "reconcilers/drivers/docker/create_body.h"
#include "reconcilers/model/labels.h"

namespace oms::fakes {
namespace {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using nlohmann::json;

const kube::ResourceType kUpgrades{crd::kGroup, crd::kVersionName, crd::kPlural};
const kube::ObjectKey kKey{"ns", "oms"};
constexpr char kNever[] = "0001-01-01T00:00:00Z";

bool IsOms(const ports::ContainerInfo& info) { return World::IsOms(info); }
bool IsNew(const ports::ContainerInfo& info) { return info.image_id != "sha256:oms430"; }

// "oms:4.3.1-x86" holds the image of 4.3.1.
std::string ImageIdOf(const std::string& reference) {
  if (!reference.starts_with("oms:4.3.")) return "sha256:else";
  return "sha256:oms43" + reference.substr(8, 1);
}

// ".../<operation>/<script>/<attempt>"
std::string ScriptName(const std::string& marker) {
  return std::filesystem::path(marker).parent_path().filename().string();
}

base::Error NoContainer(const std::string& id) {
  return MakeError(Code::kNotFound, "NoSuchContainer", "no such container: " + id);
}

json OldBody(const std::string& image) {
  return {{"Image", image},
          {"Tty", true},
          {"OpenStdin", true},
          {"Env", {"OMS_HOST_IP=10.0.0.1", "HTTP_PROXY=http://proxy"}},
          {"Labels", {{"team", "data"}}},
          {"HostConfig",
           {{"Binds",
             {"/data/conf/config.yaml:/home/admin/conf/config.yaml", "/data/logs:/home/admin/logs",
              "/data/store:/home/ds/store", "/data/run:/home/ds/run"}},
            {"NetworkMode", "host"},
            {"Privileged", true},
            {"PidsLimit", -1},
            {"RestartPolicy", {{"Name", "always"}, {"MaximumRetryCount", 0}}},
            {"Ulimits", {{{"Name", "nproc"}, {"Soft", 65535}, {"Hard", 65535}}}}}}};
}

ports::ImageInfo Image(const std::string& id, const std::string& tag) {
  ports::ImageInfo image;
  image.id = id;
  image.tags = {tag};
  image.size = 1000;
  image.inspect =
      json{{"Id", id}, {"Config", {{"Env", {"PATH=/bin"}}, {"Labels", json::object()}}}}.dump();
  return image;
}

}  // namespace

// ------------------------------------------------------------------------------------------- world

bool World::IsOms(const ports::ContainerInfo& info) {
  return info.image_id.starts_with("sha256:oms") && !info.name.starts_with("oms-upgrade-");
}

World::World(const std::string& from) {
  base::InitLogging(base::LogFormat::kText, base::LogLevel::kError);
  version_of_ = {{"sha256:oms430", from}, {"sha256:oms431", "4.3.1"}, {"sha256:oms432", "4.3.2"}};
  images["oms:" + from] = Image("sha256:oms430", "oms:" + from);
  image_files["sha256:oms430"] = {"/root/docker_init.sh"};
  image_files["sha256:oms431"] = {"/root/docker_init.sh", "/root/docker_upgrade.sh",
                                  "/root/correction-1.0-SNAPSHOT-jar-with-dependencies.jar",
                                  "/opt/alibaba/java/bin/java"};
  image_files["sha256:oms432"] = image_files["sha256:oms431"];
  archives[kArchive] = "oms:4.3.1";
  files[kArchive] = "the archive of 4.3.1";
  host_files["/data/conf/config.yaml"] = {kOldConfig, 1000, 1001, 0640, true};
  databases = {{"oms_rm", "rm of " + from}, {"oms_cm", "cm of " + from}, {"oms_cm_hb", "beats"}};
  sequence.base = {true, 100'000, 100'000, 100'001};
  std::string name = "oms_" + from;
  std::erase(name, '.');
  installed_.push_back({name, OldBody("oms:" + from), kFirstEngine});
  InstallByHand();
  api.Put(
      kUpgrades,
      {{"apiVersion", crd::kApiVersion},
       {"kind", crd::kKind},
       {"metadata", {{"namespace", kKey.ns}, {"name", kKey.name}}},
       {"spec",
        {{"version", "4.3.1"},
         {"image", {{"reference", "oms:4.3.1"}, {"archive", kArchive}}},
         {"nodes",
          {{{"name", "oms-1"},
            {"engine", {{"endpoint", "unix:///var/run/docker.sock"}}},
            {"container", {{"name", name}}}}}},
         // What preflight waits for from below 4.0.1.
         {"acknowledge", *crd::Version::Parse(from) < crd::Version{4, 0, 1}
                             ? json({"NoFullImportRunning", "NoOblogproxyTasks", "TasksSettled"})
                             : json::array()}}}});
  oms_writes = writes = 0;
  log.clear();
}

void World::InstallByHand() {
  for (const auto& [name, body, engine] : installed_) {
    const std::string ip = body.at("Env").at(0).get<std::string>().substr(12);
    const bool there = std::any_of(containers.begin(), containers.end(), [&](const auto& item) {
      return IsOms(item.second.info) && item.second.info.EnvValue("OMS_HOST_IP") == ip;
    });
    if (there) continue;
    InstallImage();
    (void)StartLocked(containers.at(*CreateLocked(name, body, engine)));
  }
}

void World::InstallImage() {
  const std::string name = installed_.front().body.at("Image");
  if (!images.contains(name)) images[name] = Image("sha256:oms430", name);
}

std::string World::VersionOf(const Container& container) const {
  const auto found = version_of_.find(container.info.image_id);
  return found == version_of_.end() ? std::string() : found->second;
}

void World::HappenLate() {
  std::lock_guard lock(mutex_);
  for (const auto& act : std::exchange(late_, {})) act();
}

void World::BeginPass() {
  std::lock_guard lock(mutex_);
  for (auto& [id, container] : containers) container.unforeseen = false;
}

std::string World::NewId() { return fmt::format("{:064x}", next_id_++); }

World::~World() {
  for (const auto& what : promises.broken()) ADD_FAILURE() << "a promise was broken: " << what;
}

World::Container* World::Find(const std::string& name_or_id) {
  for (auto& [id, container] : containers) {
    if (id == name_or_id || container.info.name == name_or_id) return &container;
  }
  return nullptr;
}

bool World::OmsRuns() const {
  return std::any_of(containers.begin(), containers.end(), [](const auto& item) {
    return item.second.info.running && IsOms(item.second.info);
  });
}

bool World::ManagementRuns() const {
  return std::any_of(containers.begin(), containers.end(), [&](const auto& item) {
    return item.second.info.running && IsOms(item.second.info) &&
           item.second.info.name != component;
  });
}

void World::SeparateAndKeepTasks(bool own_engine) {
  AddSecondNode("4.3.0", own_engine);
  component = "omsb_430";
  consoles.clear();
  archives[kAssistantArchive] = "oms-tools:4.3.1";
  files[kAssistantArchive] = "the upgrade assistant";
  EditSpec([](json& spec) {
    spec["nodes"][0]["role"] = "Management";
    spec["nodes"][1]["role"] = "Component";
    spec["deployment"] = {
        {"keepTasksRunning", true},
        {"assistant", {{"reference", "oms-tools:4.3.1"}, {"archive", kAssistantArchive}}}};
  });
}

bool World::AwaitStop(const Life& life, const std::atomic<bool>& end) {
  std::unique_lock lock(mutex_);
  while (!life.stands_ && !end) changed_.wait_for(lock, std::chrono::milliseconds(2));
  return life.stands_;
}

bool World::HostRuns(const std::string& ip) const {
  return std::any_of(containers.begin(), containers.end(), [&](const auto& item) {
    const ports::ContainerInfo& info = item.second.info;
    return info.running && IsOms(info) && info.EnvValue("OMS_HOST_IP") == ip;
  });
}

void World::AddSecondNode(const std::string& from, bool own_engine) {
  std::string config = kOldConfig;
  const std::string first = "- \"10.0.0.1\"\n";
  config.replace(config.find(first), first.size(), first + "- \"10.0.0.2\"\n");
  host_files["/data/conf/config.yaml"].content = config;
  host_files["/data2/conf/config.yaml"] = {"# of the second\n" + config, 1000, 1001, 0640, true};
  hosts.push_back({"10.0.0.2", "ONLINE"});
  json body = OldBody("oms:" + from);
  body["Env"][0] = "OMS_HOST_IP=10.0.0.2";
  for (auto& bind : body["HostConfig"]["Binds"]) {
    bind = "/data2" + bind.get<std::string>().substr(std::string("/data").size());
  }
  std::string name = "omsb_" + from;
  std::erase(name, '.');
  const std::string engine = own_engine ? kSecondEngine : kFirstEngine;
  installed_.push_back({name, body, engine});
  InstallByHand();
  consoles["omsb_431"] = "STOPPED";  // As IS_UPGRADE holds it.
  EditSpec([&](json& spec) {
    spec["nodes"].push_back(
        {{"name", "oms-2"}, {"engine", {{"endpoint", engine}}}, {"container", {{"name", name}}}});
  });
  oms_writes = writes = 0;
  log.clear();
}

void World::SeparateCm() {
  separate_cm = true;
  std::string& config = host_files["/data/conf/config.yaml"].content;
  config.resize(config.find("\"oms_meta_host\""));
  config +=
      "\"oms_cm_meta_host\": \"10.0.0.4\"\n"
      "\"oms_cm_meta_password\": \"0ther-word\"\n"
      "\"oms_cm_meta_port\": \"2881\"\n"
      "\"oms_cm_meta_user\": \"oms_cm\"\n"
      "\"oms_rm_meta_host\": \"10.0.0.3\"  # the tenant\n"
      "\"oms_rm_meta_password\": \"s3cret-word\"\n"
      "\"oms_rm_meta_port\": \"2883\"\n"
      "\"oms_rm_meta_user\": \"oms\"\n";
  EditSpec([](json& spec) { spec["acknowledge"].push_back("TasksReadyForSeparateCM"); });
}

void World::Release() {
  std::unique_lock lock(mutex_);
  load_held = dump_held = script_held = restore_held = false;
  changed_.notify_all();
  changed_.wait(lock, [&] { return held_ == 0; });
}

bool World::AwaitHeld(int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(45), [&] { return held_ >= count; });
}

bool World::Held() const {
  std::lock_guard lock(mutex_);
  return held_ > 0;
}

Result<std::string> World::CreateLocked(const std::string& name, const json& body,
                                        const std::string& engine) {
  if (Find(name) != nullptr)
    return MakeError(Code::kAlreadyExists, "NameTaken", "the name " + name + " is taken");
  const std::string image = body.at("Image");
  const ports::ImageInfo* found = nullptr;
  for (const auto& [reference, info] : images) {
    if (reference == image || info.id == image) found = &info;
  }
  if (found == nullptr) return MakeError(Code::kNotFound, "NoSuchImage", "no such image: " + image);
  Container container;
  container.body = body;
  container.engine = engine;
  ports::ContainerInfo& info = container.info;
  info.id = NewId();
  info.name = name;
  info.image = image;
  info.image_id = found->id;
  info.status = "created";
  info.created = base::FormatMicroTime(clock.Wall());
  info.started_at = info.finished_at = kNever;
  const json host = body.value("HostConfig", json::object());
  info.restart_policy = host.value("/RestartPolicy/Name"_json_pointer, std::string("no"));
  info.restart_max_retries = host.value("/RestartPolicy/MaximumRetryCount"_json_pointer, 0);
  info.auto_remove = host.value("AutoRemove", false);
  info.privileged = host.value("Privileged", false);
  info.network_mode = host.value("NetworkMode", "default");
  info.pids_limit = host.value("PidsLimit", 0);
  for (const auto& limit : host.value("Ulimits", json::array())) {
    info.nproc_soft = limit.at("Soft");
    info.nproc_hard = limit.at("Hard");
  }
  for (const auto& bind : host.value("Binds", json::array())) {
    const std::string text = bind;
    const size_t colon = text.find(':');
    info.mounts.push_back({"bind", text.substr(0, colon), text.substr(colon + 1), true});
  }
  for (const auto& mount : host.value("Mounts", json::array())) {
    info.mounts.push_back(
        {"bind", mount.at("Source"), mount.at("Target"), !mount.value("ReadOnly", false)});
  }
  info.env = body.value("Env", std::vector<std::string>());
  info.labels = body.value("Labels", std::map<std::string, std::string>());
  json config = body;
  config.erase("HostConfig");
  info.inspect = json{{"Id", info.id},    {"Name", "/" + name}, {"Image", info.image_id},
                      {"Config", config}, {"HostConfig", host}, {"Mounts", json::array()}}
                     .dump();
  const std::string id = info.id;
  containers[id] = std::move(container);
  return id;
}

void World::MountCertificate(std::chrono::hours valid) {
  const auto until =
      std::chrono::duration_cast<std::chrono::seconds>((clock.Wall() + valid).time_since_epoch());
  const std::string certificate = "of k3y-word until " + std::to_string(until.count());
  host_files["/data/https_crt"] = {certificate, 0, 0, 0644, true};
  host_files["/data/https_key"] = {"k3y-word", 0, 0, 0600, true};
  ports::ContainerInfo& old = Find("oms_430")->info;
  json doc = json::parse(old.inspect);
  for (const char* suffix : {"crt", "key"}) {
    const std::string source = std::string("/data/https_") + suffix;
    const std::string destination = std::string("/etc/pki/nginx/oms_server.") + suffix;
    old.mounts.push_back({"bind", source, destination, true});
    doc["HostConfig"]["Binds"].push_back(source + ":" + destination);
  }
  old.inspect = doc.dump();
  speaks = ports::HttpsTrust{certificate, ""};
}

void World::GiveTaskApi(const std::string& secret) {
  const auto base64 = [](const std::string& text) {
    std::string out;
    for (size_t i = 0; i < text.size(); i += 3) {
      unsigned bits = 0;
      for (size_t k = i; k < i + 3; ++k)
        bits = bits << 8U | (k < text.size() ? static_cast<unsigned char>(text[k]) : 0U);
      for (size_t k = 0; k < 4; ++k) {
        out += i + k > text.size()
                   ? '='
                   : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                         [bits >> (18 - 6 * k) & 63U];
      }
    }
    return out;
  };
  api.Put({"", "v1", "secrets"},
          {{"apiVersion", "v1"},
           {"kind", "Secret"},
           {"metadata", {{"namespace", kKey.ns}, {"name", "console-user"}}},
           {"data", {{"username", base64("admin")}, {"password", base64(secret)}}}});
  if (!Resource().spec.task_api)
    EditSpec([](json& spec) { spec["taskAPI"] = {{"secretRef", {{"name", "console-user"}}}}; });
}

base::WallTime& World::BeatOf(const ports::ContainerInfo& info) {
  return info.EnvValue("OMS_HOST_IP") == "10.0.0.2" ? second_beat : last_beat;
}

Status World::StartLocked(Container& container) {
  ports::ContainerInfo& info = container.info;
  if (info.running) return base::Ok();
  info.running = container.ran = true;
  container.by_person = container.unforeseen = false;
  info.status = "running";
  info.started_at = base::FormatMicroTime(clock.Wall());
  if (IsOms(info)) BeatOf(info) = clock.Wall();
  const json argv = container.body.value("Cmd", json::array());
  if (info.name == "oms-upgrade-tool") {
    ++assistant_runs;
    if (assistant_brings_it) {
      host_files[info.mounts.at(0).source + "/support_upgrade_action.sh"] = {"#!/bin/sh\n", 0, 0,
                                                                             0755, true};
    }
    if (!assistant_stays) StopLocked(container, std::exchange(assistant_exit_code, 0));
  } else if (argv.size() == 3 && argv.at(1) == "oms-upgrade-host-file-removal") {
    host_files.erase(info.mounts.at(0).source + "/" + argv.at(2).get<std::string>());
    StopLocked(container, 0);
  } else if (container.files.contains("/oms-upgrade-content")) {
    // The helper that writes a host's file: its script's name is argv 0, then name, owner, mode.
    ports::FileContent file = container.files.at("/oms-upgrade-content");
    if (before_host_write) before_host_write();
    const std::string path = info.mounts.at(0).source + "/" + argv.at(2).get<std::string>();
    if (const auto at = host_files.find(path);
        argv.at(5) == "folder" && at != host_files.end() && !at->second.regular) {
      host_files.erase(at);
    }
    const bool there = host_files.contains(path) || host_links.contains(path);
    if (argv.at(5) != "replace" && there) {
      StopLocked(container, 17);
      return base::Ok();
    }
    if (host_files_read_only || host_links.contains(path)) {
      StopLocked(container, 1);
      return base::Ok();
    }
    const std::string owner = argv.at(3);
    file.uid = std::stoll(owner.substr(0, owner.find(':')));
    file.gid = std::stoll(owner.substr(owner.find(':') + 1));
    file.mode = static_cast<uint32_t>(std::stoul(argv.at(4).get<std::string>(), nullptr, 8));
    host_files[path] = file;
    StopLocked(container, 0);
  } else if (IsOms(info) && (IsNew(info) ? new_dies_at_start : old_dies_at_start)) {
    StopLocked(container, 1);
  }
  return base::Ok();
}

void World::StopLocked(Container& container, int exit_code) {
  ports::ContainerInfo& info = container.info;
  if (!info.running) return;
  if (IsOms(info)) BeatOf(info) = clock.Wall();
  info.running = false;
  info.status = "exited";
  info.exit_code = exit_code;
  info.finished_at = base::FormatMicroTime(clock.Wall());
  for (auto& script : scripts) {
    if (script.container == info.id) script.running = false;
  }
}

std::string World::HostPath(const Container& container, const std::string& path) const {
  for (const auto& mount : container.info.mounts) {
    if (path == mount.destination) return mount.source;
    if (path.starts_with(mount.destination + "/"))
      return mount.source + path.substr(mount.destination.size());
  }
  return {};
}

ports::FileContent* World::FileLocked(Container& container, const std::string& path) {
  std::string host = HostPath(container, path);
  if (const auto link = host_links.find(host); link != host_links.end()) host = link->second;
  auto& where = host.empty() ? container.files : host_files;
  const auto found = where.find(host.empty() ? path : host);
  if (found != where.end()) return &found->second;
  if (!host.empty() || !image_files[container.info.image_id].contains(path)) return nullptr;
  return &(container.files[path] = ports::FileContent{"#!/bin/sh\n", 0, 0, 0755, true});
}

std::string World::ArchivedIdLocked(const std::string& archive) const {
  const auto id = archive_ids.find(archive);
  return id == archive_ids.end() ? ImageIdOf(archives.at(archive)) : id->second;
}

void World::FinishScriptLocked(Script& script) {
  script.running = false;
  Container& container = containers.at(script.container);
  const std::string folder = HostPath(container, script.marker);
  const std::string name = ScriptName(script.marker);
  int code = exit_code_of.contains(name) ? exit_code_of.at(name) : script_exit_code;
  if (scripts_to_fail > 0) {
    --scripts_to_fail;
    code = 1;
  }
  const std::string half = databases["oms_rm"];
  if (!script.was.empty()) databases["oms_rm"] = script.was;
  if (code == 0 && !ActLocked(name, VersionOf(container))) code = 1;
  if (code != 0 && !script.was.empty()) databases["oms_rm"] = half;
  host_files[folder + "/output.log"] = {script_output, 0, 0, 0644, true};
  host_files[folder + "/exit_code"] = {std::to_string(code) + "\n", 0, 0, 0644, true};
}

// What the script does to the databases. False: it refuses, as they are not what it expects.
bool World::ActLocked(const std::string& script, const std::string& version) {
  std::string &rm = databases["oms_rm"], &cm = databases["oms_cm"];
  if (script == "component-upgrade") {
    component_upgraded = true;
    return true;
  }
  const bool legacy_schema = rm.starts_with("rm of 3.");
  if (script == "correction-jar") {
    if (!legacy_schema) return false;
    rm = "rm corrected";
    return true;
  }
  if (script == "add-resource") {
    if (rm != "rm corrected") return false;
    cm = "cm with groups";
    return true;
  }
  if (legacy_schema || (rm == "rm corrected" && cm != "cm with groups")) return false;
  rm = "rm of " + version;
  cm = "cm of " + version;
  return true;
}

std::optional<size_t> World::BeginScriptLocked(const std::string& id, const std::string& marker) {
  Container& container = containers.at(id);
  const bool won =
      host_files.try_emplace(HostPath(container, marker), ports::FileContent{"", 0, 0, 0755, false})
          .second;
  if (!won) return std::nullopt;
  promises.BeginScript(id, marker);
  const std::string name = ScriptName(marker);
  Script script{id, marker, !script_vanishes && vanishes != name, 2, {}};
  if (name == "correction-jar") {
    ++jar_runs;
  } else if (name == "add-resource") {
    ++resource_runs;
  } else if (name == "component-upgrade") {
    ++component_runs;
  } else {
    ++script_runs;
    if (scripts_migrate) script.was = std::exchange(databases["oms_rm"], "rm half migrated");
  }
  scripts.push_back(std::move(script));
  return scripts.size() - 1;
}

std::string World::ContentLocked(const std::string& database) const {
  json content = {{"rows", databases.at(database)}};
  if (database == "oms_rm") content["ha"] = ha ? json(*ha) : json();
  if (database == "oms_cm_hb") {
    content["maxID"] = sequence.base.max_id;
    content["beat"] = base::FormatMicroTime(last_beat);
  }
  return content.dump();
}

void World::FillLocked(const std::string& database, const std::string& text) {
  const json content = json::parse(text);
  databases[database] = content.at("rows");
  if (content.contains("ha")) {
    ha = content.at("ha").is_null() ? std::nullopt
                                    : std::optional(content.at("ha").get<std::string>());
  }
  if (content.contains("maxID")) {
    sequence = {};
    sequence.base = {true, 1, content.at("maxID"), content.at("maxID").get<uint64_t>() + 1};
    last_beat = *base::ParseTime(content.at("beat").get<std::string>());
  }
}

bool World::WaitLocked(std::unique_lock<std::mutex>& lock, const Context& ctx, const Life& life,
                       const std::function<bool()>& done) {
  ++held_;
  changed_.notify_all();
  changed_.wait(lock, ctx.stop(), [&] { return life.dead_ || done(); });
  --held_;
  changed_.notify_all();
  return !life.dead_ && done();
}

Status World::RegisterLocked(uint64_t epoch, const ports::DbConnection& connection) {
  if (!row || row->epoch != epoch) return MakeError(Code::kFenced, "the row is another's");
  row->connections.push_back(connection);
  return base::Ok();
}

void World::StartByHand(const std::string& name) {
  std::lock_guard lock(mutex_);
  Container& container = *Find(name);
  if (container.info.running) return;
  (void)StartLocked(container);
  container.by_person = container.unforeseen = true;
  if (row && !row->operation_id.empty()) promises.PersonRanOms();
}

void World::EndContainer(const std::string& name, int exit_code) {
  std::lock_guard lock(mutex_);
  StopLocked(*Find(name), exit_code);
}

crd::OmsUpgrade World::Resource() const {
  const auto found = api.Find(kUpgrades, kKey);
  if (!found) return {};
  return *crd::FromJson(*found);
}

void World::EraseStatus() {
  auto object = *api.Find(kUpgrades, kKey);
  object.erase("status");
  api.Put(kUpgrades, object);
}

void World::EditSpec(const std::function<void(json&)>& edit) {
  auto object = *api.Find(kUpgrades, kKey);
  edit(object["spec"]);
  api.Put(kUpgrades, object);
}

void World::Annotate(const std::string& key, const std::string& value) {
  auto object = *api.Find(kUpgrades, kKey);
  object["metadata"]["annotations"][key] = value;
  api.Put(kUpgrades, object);
}

void World::TakeAnnotation(const std::string& key) {
  auto object = *api.Find(kUpgrades, kKey);
  object["metadata"]["annotations"].erase(key);
  api.Put(kUpgrades, object);
}

void World::Delete() {
  base::SystemClock system;
  (void)api.Delete(Context(system, {}), kUpgrades, kKey);
}

std::optional<model::OperationRecord> World::Record() const {
  std::lock_guard lock(mutex_);
  if (!row || !records.contains(row->folder)) return std::nullopt;
  std::vector<std::string> texts;
  for (const auto& [n, text] : records.at(row->folder)) texts.push_back(text);
  auto record = model::FoldRecords(texts);
  if (!record.ok()) return std::nullopt;
  return *std::move(record);
}

// ------------------------------------------------------------------------------------------- ports

namespace {

// The part of each port that every call goes through.
class Door {
 public:
  Door(World& world, Life& life) : world_(world), life_(life) {}

 protected:
  Status Write(const std::string& name, bool touches_oms, const std::function<Status()>& act,
               const std::function<void()>& late = nullptr) {
    return world_.Write<base::Unit>(life_, name, touches_oms, act, late);
  }
  World& world_;
  Life& life_;
};

class Engine final : public ports::ContainerEngine, private Door {
 public:
  Engine(World& world, Life& life, std::string endpoint)
      : Door(world, life), endpoint_(std::move(endpoint)) {}

  Result<ports::EngineInfo> Info(const Context&) override {
    return Seen<ports::EngineInfo>([&]() -> Result<ports::EngineInfo> {
      return ports::EngineInfo{endpoint_ == kFirstEngine ? "engine-1" : "engine-2", "20.10",
                               "1.41"};
    });
  }
  Result<ports::ContainerInfo> Inspect(const Context&, const std::string& id) override {
    return Seen<ports::ContainerInfo>([&]() -> Result<ports::ContainerInfo> {
      auto* found = Here(id);
      if (found == nullptr) return NoContainer(id);
      return found->info;
    });
  }
  Result<std::vector<ports::ContainerInfo>> ListByLabel(const Context&, const std::string& label,
                                                        const std::string& value) override {
    using List = std::vector<ports::ContainerInfo>;
    return Seen<List>([&]() -> Result<List> {
      List list;
      for (const auto& [id, container] : world_.containers) {
        const auto at = container.info.labels.find(label);
        if (container.engine == endpoint_ && at != container.info.labels.end() &&
            at->second == value)
          list.push_back(container.info);
      }
      return list;
    });
  }
  Result<ports::ImageInfo> InspectImage(const Context&, const std::string& reference) override {
    return Seen<ports::ImageInfo>([&]() -> Result<ports::ImageInfo> {
      for (const auto& [name, image] : world_.images) {
        const auto on = world_.loaded_on.find(name);
        const bool here = on == world_.loaded_on.end() || on->second.contains(endpoint_);
        if (here && (name == reference || image.id == reference)) return image;
      }
      return MakeError(Code::kNotFound, "NoSuchImage", "no such image: " + reference);
    });
  }
  Status LoadImage(const Context& ctx, const std::filesystem::path& archive,
                   ports::ByteProgress&) override {
    if (std::unique_lock lock(world_.mutex()); world_.load_held) {
      if (!world_.WaitLocked(lock, ctx, life_, [&] { return !world_.load_held; }))
        return MakeError(Code::kCancelled, "stopping");
    }
    return Write("LoadImage", false, [&]() -> Status {
      OMS_TRY(Reached());
      if (world_.loads_of_image_to_fail > 0) {
        --world_.loads_of_image_to_fail;
        return MakeError(world_.fails_with, "ImageLoadFailed", "unexpected EOF");
      }
      const auto held = world_.archives.find(archive.string());
      if (held == world_.archives.end())
        return MakeError(Code::kNotFound, "NoSuchFile", "no archive " + archive.string());
      // The image that had the name has none any more.
      if (const auto before = world_.images.find(held->second);
          before != world_.images.end() && before->second.id != ImageIdOf(held->second))
        world_.images["<none> " + before->second.id] = before->second;
      const std::string name = world_.loads_as.empty() ? held->second : world_.loads_as;
      const std::string id = world_.listed_as + world_.ArchivedIdLocked(archive.string());
      if (const auto before = world_.images.find(name); before == world_.images.end()) {
        world_.loaded_on[name].clear();
      } else if (before->second.id != id) {
        // The image that had the name has none any more.
        world_.images["<none> " + before->second.id] = before->second;
      }
      if (world_.loaded_on.contains(name)) world_.loaded_on[name].insert(endpoint_);
      world_.images[name] = Image(id, name);
      return base::Ok();
    });
  }
  Status PullImage(const Context&, const std::string& reference) override {
    return Write("PullImage", false, [&]() -> Status {
      return MakeError(Code::kNotFound, "NoSuchImage", "no registry has " + reference);
    });
  }
  Status SaveImage(const Context&, const std::string& reference,
                   const std::filesystem::path& archive, ports::ByteProgress&) override {
    return Write("SaveImage", false, [&]() -> Status {
      world_.files[archive.string()] = "image " + reference;
      for (const auto& [name, image] : world_.images) {
        if (name != reference && image.id != reference) continue;
        world_.archives[archive.string()] = reference;
        world_.archive_ids[archive.string()] =
            world_.saved_image_differs ? image.id + "-of-another-store" : image.id;
      }
      return base::Ok();
    });
  }
  Status RemoveImage(const Context&, const std::string& reference) override {
    return Write("RemoveImage " + reference, false, [&]() -> Status {
      if (world_.images.erase(reference) == 0)
        return MakeError(Code::kNotFound, "NoSuchImage", "no such image: " + reference);
      return base::Ok();
    });
  }
  Result<std::string> Create(const Context&, const std::string& name,
                             const ports::ContainerSpec& spec) override {
    OMS_ASSIGN(const std::string body, drivers::docker::CreateBody(spec));
    return world_.Write<std::string>(
        life_, "Create " + name, !name.starts_with("oms-upgrade-"), [&]() -> Result<std::string> {
          OMS_TRY(Reached());
          const bool meant = world_.before_create_of.empty() || world_.before_create_of == name;
          if (world_.before_create && meant) world_.before_create();
          return world_.CreateLocked(name, json::parse(body), endpoint_);
        });
  }
  Status Start(const Context&, const std::string& id) override {
    return OnContainer(
        "Start", id,
        [&](World::Container& c) -> Status {
          if (c.info.dead) return Dead();
          if (IsOms(c.info) && world_.starts_to_refuse > 0) {
            --world_.starts_to_refuse;
            return MakeError(world_.refuses_with, "EngineRefused", "cannot mount /data/store");
          }
          world_.promises.Start(c.info.id);
          return world_.StartLocked(c);
        },
        [&world = world_, id] {
          World::Container* found = world.Find(id);
          if (found == nullptr || found->info.dead) return;
          // Nobody who sent it can know what a person has done since.
          for (auto& [other, each] : world.containers) each.unforeseen |= each.by_person;
          world.promises.Start(found->info.id);
          (void)world.StartLocked(*found);
        });
  }
  Status Stop(const Context&, const std::string& id, base::Duration) override {
    return OnContainer("Stop", id, [&](World::Container& c) -> Status {
      world_.StopLocked(c, 137);
      return base::Ok();
    });
  }
  Status Remove(const Context&, const std::string& id, bool) override {
    return OnContainer("Remove", id, [&](World::Container& c) -> Status {
      if (world_.unremovable.contains(c.info.name)) {
        c.info.status = "dead";
        c.info.dead = true;
        c.info.running = false;
        return MakeError(
            Code::kTransient, "EngineError",
            "refused to remove the container: driver failed to remove root filesystem");
      }
      world_.promises.Remove(c.info.id);
      world_.containers.erase(std::string(c.info.id));
      return base::Ok();
    });
  }
  Status SetRestartPolicy(const Context&, const std::string& id, const std::string& policy,
                          int retries) override {
    return OnContainer("SetRestartPolicy " + policy, id, [&](World::Container& c) -> Status {
      if (c.info.dead) return Dead();
      c.info.restart_policy = policy;
      c.info.restart_max_retries = retries;
      return base::Ok();
    });
  }
  Result<int> Wait(const Context&, const std::string& id) override {
    return Seen<int>([&]() -> Result<int> {
      auto* found = Here(id);
      if (found == nullptr) return NoContainer(id);
      return found->info.exit_code;
    });
  }
  Result<std::string> Logs(const Context&, const std::string&, int) override {
    return Seen<std::string>([&]() -> Result<std::string> { return std::string("log"); });
  }
  Result<std::vector<ports::ProcessInfo>> Processes(const Context&,
                                                    const std::string& id) override {
    using List = std::vector<ports::ProcessInfo>;
    return Seen<List>([&]() -> Result<List> {
      auto* found = Here(id);
      if (found == nullptr) return NoContainer(id);
      if (!found->info.running) return MakeError(Code::kConflict, "NotRunning", "not running");
      if (world_.top_fails) return MakeError(Code::kTransient, "EngineUnreachable", "no answer");
      List list = {{"1", "supervisord"}};
      for (auto& script : world_.scripts) {
        if (script.container != found->info.id || !script.running) continue;
        list.push_back(
            {"17", "/bin/sh -c text oms-upgrade-script " + script.marker + " /root sh x"});
        if (!world_.script_held && --script.looks_left <= 0) world_.FinishScriptLocked(script);
      }
      return list;
    });
  }
  Result<ports::FileContent> ReadFile(const Context&, const std::string& id,
                                      const std::string& path) override {
    return Seen<ports::FileContent>([&]() -> Result<ports::FileContent> {
      auto* found = Here(id);
      if (found == nullptr || found->info.dead) return NoContainer(id);
      const ports::FileContent* file = world_.FileLocked(*found, path);
      if (file == nullptr) return MakeError(Code::kNotFound, "NoSuchFile", "no such file: " + path);
      return *file;
    });
  }
  Result<ports::PathInfo> LookAtPath(const Context&, const std::string& id,
                                     const std::string& path) override {
    return Seen<ports::PathInfo>([&]() -> Result<ports::PathInfo> {
      auto* found = Here(id);
      if (found == nullptr) return NoContainer(id);
      const auto link = world_.host_links.find(world_.HostPath(*found, path));
      if (link != world_.host_links.end())
        return ports::PathInfo{ports::PathInfo::Kind::kLink, link->second};
      const ports::FileContent* file = world_.FileLocked(*found, path);
      if (file == nullptr) return MakeError(Code::kNotFound, "NoSuchFile", "no such file: " + path);
      return ports::PathInfo{
          file->regular ? ports::PathInfo::Kind::kFile : ports::PathInfo::Kind::kFolder, {}};
    });
  }
  Status WriteFile(const Context&, const std::string& id, const std::string& path,
                   const ports::FileContent& file) override {
    return OnContainer("WriteFile", id, [&](World::Container& c) -> Status {
      c.files[path] = file;
      return base::Ok();
    });
  }
  Result<ports::ExecResult> Exec(const Context& ctx, const std::string& id,
                                 const std::vector<std::string>& argv,
                                 const std::string&) override {
    if (argv == std::vector<std::string>{"supervisorctl", "status"}) {
      return Seen<ports::ExecResult>([&]() -> Result<ports::ExecResult> {
        OMS_TRY(Runs(id));
        if (world_.exec_fails) return MakeError(Code::kTransient, "EngineUnreachable", "no answer");
        if (world_.supervisor_silent)
          return ports::ExecResult{4, "unix:///tmp/supervisor.sock no such file\n"};
        const bool old = !IsNew(Here(id)->info);
        return ports::ExecResult{0, "nginx   RUNNING   pid 7, uptime 0:00:10\noms_console   " +
                                        (old ? "RUNNING" : ConsoleOf(id)) + "   pid 8\n" +
                                        "oms_drc_supervisor   RUNNING   pid 9\n"};
      });
    }
    if (argv.at(0) == "supervisorctl") {
      return world_.Write<ports::ExecResult>(
          life_, "Console " + argv.at(1), true, [&]() -> Result<ports::ExecResult> {
            OMS_TRY(Runs(id));
            const std::string wanted = argv.at(1) == "stop" ? "STOPPED" : "RUNNING";
            if (ConsoleOf(id) == wanted)
              return ports::ExecResult{1, "oms_console: ERROR (not running, or already started)\n"};
            ConsoleOf(id) = wanted;
            return ports::ExecResult{0, ""};
          });
    }
    if (argv.at(3) == "oms-upgrade-autostart") {
      return world_.Write<ports::ExecResult>(life_, "Autostart", true,
                                             [&]() -> Result<ports::ExecResult> {
                                               OMS_TRY(Runs(id));
                                               world_.autostart_set.insert(Here(id)->info.name);
                                               return ports::ExecResult{0, ""};
                                             });
    }
    const std::string &what = argv.at(3), marker = argv.at(4);
    if (what == "oms-upgrade-claim") {
      return world_.Write<ports::ExecResult>(
          life_, "Claim", true, [&]() -> Result<ports::ExecResult> {
            OMS_TRY(Runs(id));
            auto [at, won] = world_.host_files.try_emplace(
                world_.HostPath(*Here(id), marker), ports::FileContent{"", 0, 0, 0644, true});
            return ports::ExecResult{won || at->second.regular ? 0 : act::kMarkerTaken, ""};
          });
    }
    size_t mine = 0;
    const auto late = [&world = world_, id, marker] {
      if (World::Container* found = world.Find(id); found != nullptr && found->info.running)
        (void)world.BeginScriptLocked(found->info.id, marker);
    };
    OMS_ASSIGN(const ports::ExecResult begun,
               world_.Write<ports::ExecResult>(
                   life_, "RunScript", true,
                   [&]() -> Result<ports::ExecResult> {
                     OMS_TRY(Runs(id));
                     if (world_.execs_late) {
                       world_.HappenLater(late);
                       return MakeError(Code::kTransient, "EngineUnreachable", "EOF");
                     }
                     const auto begun = world_.BeginScriptLocked(Here(id)->info.id, marker);
                     if (!begun) return ports::ExecResult{act::kMarkerTaken, ""};
                     mine = *begun;
                     return ports::ExecResult{0, ""};
                   },
                   late));
    if (begun.exit_code != 0) return begun;
    std::unique_lock lock(world_.mutex());
    if (world_.script_held && world_.execs_break && world_.scripts[mine].running)
      return MakeError(Code::kTransient, "EngineUnreachable", "EOF");
    if (world_.script_held) {
      world_.WaitLocked(lock, ctx, life_,
                        [&] { return !world_.script_held || !world_.scripts[mine].running; });
      if (world_.script_held && world_.scripts[mine].running) {
        return MakeError(Code::kCancelled, "the exec's caller has gone");
      }
    }
    if (world_.scripts[mine].running) world_.FinishScriptLocked(world_.scripts[mine]);
    return ports::ExecResult{0, ""};
  }

 private:
  template <typename T>
  Result<T> Seen(const std::function<Result<T>()>& look) {
    return world_.Look<T>(life_, [&]() -> Result<T> {
      OMS_TRY(Reached());
      if (world_.engine_flaky.Fails())
        return MakeError(Code::kTransient, "EngineUnreachable", "the engine does not answer");
      return look();
    });
  }
  Status Reached() const {
    if (world_.engine_down || world_.engines_down.contains(endpoint_))
      return MakeError(Code::kTransient, "EngineUnreachable", "the engine does not answer");
    return base::Ok();
  }
  static Status Dead() {
    return MakeError(Code::kConflict, "EngineConflict",
                     "container is marked for removal and cannot be changed");
  }
  std::string& ConsoleOf(const std::string& id) const {
    return world_.ConsoleOf(Here(id)->info.name);
  }
  // A container of this engine.
  World::Container* Here(const std::string& id) const {
    for (auto& [key, container] : world_.containers) {
      if (container.engine == endpoint_ && (key == id || container.info.name == id))
        return &container;
    }
    return nullptr;
  }
  Status Runs(const std::string& id) const {
    OMS_TRY(Reached());
    auto* found = Here(id);
    if (found == nullptr) return NoContainer(id);
    if (!found->info.running)
      return MakeError(Code::kConflict, "NotRunning", "the container does not run");
    return base::Ok();
  }
  Status OnContainer(const std::string& verb, const std::string& id,
                     const std::function<Status(World::Container&)>& act,
                     const std::function<void()>& late = nullptr) {
    bool oms = false;
    std::string name = id;
    {
      std::lock_guard lock(world_.mutex());
      if (auto* found = Here(id); found != nullptr) {
        oms = IsOms(found->info);
        name = found->info.name;
      }
    }
    return Write(
        verb + " " + name, oms,
        [&]() -> Status {
          OMS_TRY(Reached());
          auto* found = Here(id);
          if (found == nullptr) return NoContainer(id);
          return act(*found);
        },
        late);
  }

  const std::string endpoint_;
};

class Archives final : public ports::ImageArchives, private Door {
 public:
  using Door::Door;
  Result<std::optional<std::vector<ports::ArchivedImage>>> Look(
      const Context&, const std::filesystem::path& archive, ports::ByteProgress&) const override {
    using Held = std::optional<std::vector<ports::ArchivedImage>>;
    return world_.Look<Held>(life_, [&]() -> Result<Held> {
      ++world_.archive_looks;
      const auto held = world_.archives.find(archive.string());
      if (held == world_.archives.end())
        return MakeError(Code::kInvalid, "ImageArchive", "no archive " + archive.string());
      return Held(std::vector<ports::ArchivedImage>{
          {{held->second}, {world_.ArchivedIdLocked(archive.string())}}});
    });
  }
};

class Engines final : public ports::EngineProvider {
 public:
  Engines(World& world, Life& life)
      : first_(std::make_shared<Engine>(world, life, kFirstEngine)),
        second_(std::make_shared<Engine>(world, life, kSecondEngine)) {}
  Result<std::shared_ptr<ports::ContainerEngine>> Open(
      const ports::EngineAddress& address) override {
    return std::shared_ptr<ports::ContainerEngine>(address.endpoint == kSecondEngine ? second_
                                                                                     : first_);
  }

 private:
  std::shared_ptr<Engine> first_, second_;
};

class Db final : public ports::OmsTables,
                 public ports::DbServer,
                 public ports::DbConnections,
                 private Door {
 public:
  Db(World& world, Life& life, ports::DbServerAddress address)
      : Door(world, life), address_(std::move(address)), cm_(world.IsCm(address_)) {}

  const ports::DbServerAddress& address() const override { return address_; }

  Result<ports::DbServerInfo> Server(const Context&) override {
    return Seen<ports::DbServerInfo>([&]() -> Result<ports::DbServerInfo> {
      return ports::DbServerInfo{"8.0", true, cm_ ? world_.cm_identity : world_.server_identity};
    });
  }
  Result<ports::DbInfo> Database(const Context&, const std::string& name) override {
    return Seen<ports::DbInfo>([&]() -> Result<ports::DbInfo> {
      if (!world_.HoldsLocked(cm_, name) || !world_.databases.contains(name))
        return MakeError(Code::kNotFound, "no database " + name);
      ports::DbInfo info{name, "utf8mb4", "utf8mb4_general_ci", 1 << 20, ObstaclesLocked(name)};
      info.denied = world_.denied[name];
      info.events = world_.scheduled_events[name];
      return info;
    });
  }
  Result<std::vector<std::string>> Events(const Context&, const std::string& name) override {
    using List = std::vector<std::string>;
    return Seen<List>([&]() -> Result<List> { return world_.scheduled_events[name]; });
  }
  Result<ports::DumpObstacles> Obstacles(const Context&, const std::string& name) override {
    return Seen<ports::DumpObstacles>(
        [&]() -> Result<ports::DumpObstacles> { return ObstaclesLocked(name); });
  }
  Result<std::optional<std::string>> ReadHaConfig(const Context&, const std::string& rm) override {
    using Row = std::optional<std::string>;
    return Seen<Row>([&]() -> Result<Row> {
      if (!world_.HoldsLocked(cm_, rm) || !world_.databases.contains("oms_rm"))
        return MakeError(Code::kNotFound, "no such table");
      if (world_.ha_unreadable)
        return MakeError(Code::kTerminal, "MetaDBError", "unknown column 'cfg_value'");
      return world_.ha;
    });
  }
  Result<std::vector<ports::HostRow>> Hosts(const Context&, const std::string& cm) override {
    using List = std::vector<ports::HostRow>;
    return Seen<List>([&]() -> Result<List> {
      if (!world_.HoldsLocked(cm_, cm)) return MakeError(Code::kNotFound, "no such table");
      return world_.hosts;
    });
  }
  Result<ports::LegacyFindings> LookForLegacy(const Context&, const std::string& rm,
                                              const std::string& cm, const std::string&) override {
    return Seen<ports::LegacyFindings>([&]() -> Result<ports::LegacyFindings> {
      ports::LegacyFindings found;
      if (!rm.empty() && world_.HoldsLocked(cm_, rm)) found.duplicates = world_.legacy.duplicates;
      if (!cm.empty() && world_.HoldsLocked(cm_, cm))
        found.black_regions = world_.legacy.black_regions;
      return found;
    });
  }
  Result<ports::HeartbeatInfo> Heartbeat(const Context&, const std::string& heartbeat_db,
                                         const std::string& ip) override {
    return Seen<ports::HeartbeatInfo>([&]() -> Result<ports::HeartbeatInfo> {
      if (world_.before_heartbeat) world_.before_heartbeat();
      if (!world_.HoldsLocked(cm_, heartbeat_db)) return MakeError(Code::kNotFound, "no table");
      if (ip != "10.0.0.1" && ip != "10.0.0.2") return ports::HeartbeatInfo{};
      base::WallTime& last = ip == "10.0.0.2" ? world_.second_beat : world_.last_beat;
      if (world_.HostRuns(ip) && !world_.heart_stands_still) {
        last = world_.clock.Wall();
        auto& base = world_.sequence.base;
        ++base.rows;
        ++base.max_id;
        ++base.auto_increment;
      }
      const auto age = std::chrono::duration_cast<base::Duration>(world_.clock.Wall() - last);
      return ports::HeartbeatInfo{true, age.count(), base::FormatMicroTime(last),
                                  world_.sequence.base.max_id};
    });
  }
  Result<ports::SequenceTables> Sequence(const Context&, const std::string& heartbeat_db) override {
    return Seen<ports::SequenceTables>([&]() -> Result<ports::SequenceTables> {
      if (!world_.HoldsLocked(cm_, heartbeat_db)) return MakeError(Code::kNotFound, "no table");
      return world_.sequence;
    });
  }
  Result<std::vector<ports::DbConnection>> ForeignConnections(
      const Context&, const std::vector<std::string>& databases) override {
    using List = std::vector<ports::DbConnection>;
    return Seen<List>([&]() -> Result<List> {
      for (const auto& database : databases) (void)world_.HoldsLocked(cm_, database);
      if (!world_.separate_cm) return world_.foreign;
      List here;
      std::copy_if(world_.foreign.begin(), world_.foreign.end(), std::back_inserter(here),
                   [&](const auto& other) {
                     return other.server == Name() && std::find(databases.begin(), databases.end(),
                                                                other.database) != databases.end();
                   });
      return here;
    });
  }
  Result<ports::DatabaseDigest> Digest(const Context&, const std::string& name) override {
    return Seen<ports::DatabaseDigest>([&]() -> Result<ports::DatabaseDigest> {
      if (!world_.HoldsLocked(cm_, name) || !world_.databases.contains(name))
        return MakeError(Code::kNotFound, "no database " + name);
      if (world_.unreadable.contains(name))
        return MakeError(Code::kTerminal, "DigestFailed", "view v refers to what is not there");
      // A component writes at any time.
      const World::Container* component = world_.Find(world_.component);
      if (name == "oms_cm_hb" && component != nullptr && component->info.running) {
        auto& beats = world_.sequence.base;
        ++beats.rows;
        ++beats.max_id;
        ++beats.auto_increment;
      }
      const std::string sum = base::Sha256Hex(world_.ContentLocked(name));
      return ports::DatabaseDigest{
          name, "utf8mb4", "utf8mb4_general_ci", {{"t", 1, sum, 0}}, {{"table", "t", "schema"}}};
    });
  }
  Status ProveFence(const Context&) override {
    return Write(cm_ ? "ProveFence of CM" : "ProveFence", false, [&]() -> Status {
      if (cm_ ? world_.cm_cannot_fence : world_.cannot_fence)
        return MakeError(Code::kTerminal, "CannotFence",
                         "the victim lives; connect to an observer");
      return base::Ok();
    });
  }
  Status ProveRights(const Context&, const std::string&) override {
    return Write(cm_ ? "ProveRights of CM" : "ProveRights", false, [&]() -> Status {
      if (cm_ ? world_.cm_no_rights : world_.no_rights)
        return MakeError(Code::kDenied, "MetaDBDenied", "CREATE is denied");
      return base::Ok();
    });
  }
  Status ProveTwoTableRename(const Context&, const std::string&) override {
    return Write(cm_ ? "ProveTwoTableRename of CM" : "ProveTwoTableRename", false, [&]() -> Status {
      if (world_.no_two_table_rename && cm_ == world_.separate_cm)
        return MakeError(Code::kTerminal, "TwoTableRenameMissing", "no such statement");
      return base::Ok();
    });
  }
  Status ProveQueryTimeout(const Context&) override {
    return Write(cm_ ? "ProveQueryTimeout of CM" : "ProveQueryTimeout", false, [&]() -> Status {
      if (cm_ ? world_.cm_no_set_global : world_.no_set_global)
        return MakeError(Code::kDenied, "MetaDBDenied", "SET GLOBAL is denied");
      return base::Ok();
    });
  }
  Status ProveRowsFit(const Context&, const std::string& name) override {
    return Write(cm_ ? "ProveRowsFit of CM" : "ProveRowsFit", false, [&]() -> Status {
      if (!world_.too_long.contains(name)) return base::Ok();
      return MakeError(Code::kTransient, "PacketTooSmall", world_.too_long[name]);
    });
  }
  Status SwapHaConfig(const Context& ctx, ports::Fence& fence, const std::string& rm,
                      const std::string& expected, const std::string& desired) override {
    return Guarded(ctx, fence, "SwapHaConfig", [&]() -> Status {
      if (!world_.HoldsLocked(cm_, rm)) return MakeError(Code::kNotFound, "no such table");
      if (world_.before_ha_swap) world_.before_ha_swap();
      OMS_TRY(ctx.Check());
      if (world_.ha != expected) return MakeError(Code::kConflict, "ha.config is another by now");
      world_.ha = desired;
      if (world_.after_ha_swap) world_.after_ha_swap();
      return base::Ok();
    });
  }
  Status Compact(const Context& ctx, ports::Fence& fence, const std::string& heartbeat_db,
                 ports::CompactionAct act) override {
    if (act == ports::CompactionAct::kNone) return base::Ok();
    return Guarded(ctx, fence, "Compact", [&]() -> Status {
      if (!world_.HoldsLocked(cm_, heartbeat_db)) return MakeError(Code::kNotFound, "no table");
      auto& [base, bak, bak2] = world_.sequence;
      if (world_.no_alter && act != ports::CompactionAct::kDropBak &&
          act != ports::CompactionAct::kDropBak2) {
        // Made, and its AUTO_INCREMENT cannot be set.
        if (act == ports::CompactionAct::kCreateBak) bak = {true, 0, 0, 1};
        return MakeError(Code::kDenied, "MetaDBDenied", "ALTER is denied");
      }
      switch (act) {
        case ports::CompactionAct::kNone: break;
        case ports::CompactionAct::kCreateBak: bak = {true, 0, 0, base.auto_increment}; break;
        case ports::CompactionAct::kFillBak:
          bak = {true, 1, base.max_id, std::max(base.auto_increment, bak.auto_increment)};
          break;
        case ports::CompactionAct::kSwap:  // As on OceanBase: two statements; we may die between
                                           // them.
          bak2 = base;
          base = {};
          break;
        case ports::CompactionAct::kFinishSwap:
          base = bak;
          bak = {};
          break;
        case ports::CompactionAct::kDropBak: bak = {}; break;
        case ports::CompactionAct::kCreateBakAhead:
          bak = {true, 0, 0, base.auto_increment + ports::kSequenceHeadroom};
          break;
        case ports::CompactionAct::kSwapAtOnce:
          if (act == ports::CompactionAct::kSwapAtOnce && world_.no_two_table_rename)
            return MakeError(Code::kTerminal, "TwoTableRenameMissing", "no such statement");
          bak2 = base;
          base = bak;
          bak = {};
          break;
        case ports::CompactionAct::kDropBak2: bak2 = {}; break;
        case ports::CompactionAct::kUndoSwap:
          base = bak2;
          bak2 = {};
          break;
        case ports::CompactionAct::kRaise:
          base.rows = std::max<uint64_t>(base.rows, 1);
          base.max_id = std::max({base.max_id, bak.max_id, bak2.max_id});
          base.auto_increment =
              std::max({base.auto_increment, bak.auto_increment, bak2.auto_increment});
          break;
      }
      return base::Ok();
    });
  }
  Status DropDatabase(const Context& ctx, ports::Fence& fence, const std::string& name) override {
    return Guarded(ctx, fence, "DropDatabase " + name, [&]() -> Status {
      if (!world_.HoldsLocked(cm_, name)) return base::Ok();  // Gone already, for this server.
      world_.promises.Drop(name);
      ++world_.drops;
      world_.databases.erase(name);
      world_.scheduled_events.erase(name);
      world_.unreadable.erase(name);
      if (name == "oms_rm") world_.ha_unreadable = false;
      return base::Ok();
    });
  }
  Status CreateDatabase(const Context& ctx, ports::Fence& fence, const std::string& name,
                        const std::string&, const std::string&) override {
    return Guarded(ctx, fence, "CreateDatabase " + name, [&]() -> Status {
      if (!world_.HoldsLocked(cm_, name)) return base::Ok();
      if (!world_.databases.emplace(name, "").second)
        return MakeError(Code::kAlreadyExists, "database exists");
      return base::Ok();
    });
  }
  Result<std::vector<ports::DbConnection>> EndConnections(
      const Context&, const std::vector<ports::DbConnection>& victims) override {
    OMS_TRY(Write("EndConnections", false, [&]() -> Status {
      if (cm_ ? world_.cm_down : world_.meta_down)
        return MakeError(Code::kTransient, "MetaDBUnreachable", "no answer");
      for (const auto& victim : victims) {
        const bool here = !world_.separate_cm || victim.server == Name();
        if (!here) world_.promises.Break("a connection was ended on another server than its own");
        if (!here) continue;
        (cm_ ? world_.cm_killed : world_.killed).insert(victim.id);
        std::erase(world_.foreign, victim);
      }
      return base::Ok();
    }));
    return std::vector<ports::DbConnection>();
  }
  Result<std::optional<uint64_t>> GlobalQueryTimeout(const Context&) override {
    return Seen<std::optional<uint64_t>>(
        [&]() -> Result<std::optional<uint64_t>> { return QueryTimeout(); });
  }
  Status SetGlobalQueryTimeout(const Context& ctx, ports::Fence& fence, uint64_t micros) override {
    OMS_TRY(ctx.Check());
    return Guarded(ctx, fence, "SetGlobalQueryTimeout", [&]() -> Status {
      if (cm_ ? world_.cm_no_set_global : world_.no_set_global)
        return MakeError(Code::kDenied, "MetaDBDenied", "SET GLOBAL is denied");
      QueryTimeout() = micros;
      return base::Ok();
    });
  }

 private:
  template <typename T>
  Result<T> Seen(const std::function<Result<T>()>& look) {
    return world_.Look<T>(life_, [&]() -> Result<T> {
      if (cm_ ? world_.cm_down : world_.meta_down)
        return MakeError(Code::kTransient, "MetaDBUnreachable", "no answer");
      if (world_.meta_flaky.Fails())
        return MakeError(Code::kTransient, "MetaDBUnreachable", "no answer");
      if (address_.password != base::Secret(cm_ ? world_.cm_password : world_.password))
        return MakeError(Code::kDenied, "MetaDBDenied",
                         "access denied for user 'oms'; correct the password");
      return look();
    });
  }
  Status Guarded(const Context& ctx, ports::Fence& fence, const std::string& name,
                 const std::function<Status()>& act) {
    const ports::DbConnection connection = world_.Locked([&] { return world_.ConnectLocked(cm_); });
    OMS_TRY(fence.Register(ctx, connection));
    const Status done = Write(name, true, [&]() -> Status {
      if (world_.IsKilledLocked(connection))
        return MakeError(Code::kTransient, "MetaDBUnreachable", "2006");
      return act();
    });
    fence.Unregister(connection);
    return done;
  }

  ports::DumpObstacles ObstaclesLocked(const std::string& name) {
    const auto found = world_.obstacles.find(name);
    return found == world_.obstacles.end() ? ports::DumpObstacles() : found->second;
  }
  std::string Name() const { return cm_ ? kCmServer : kRmServer; }
  std::optional<uint64_t>& QueryTimeout() {
    return cm_ ? world_.cm_query_timeout : world_.query_timeout;
  }

  const ports::DbServerAddress address_;
  const bool cm_;
};

class Dbs final : public ports::MetaDbProvider {
 public:
  Dbs(World& world, Life& life) : world_(world), life_(life) {}
  ports::MetaDb Open(const ports::DbServerAddress& address) override {
    world_.Locked([&] {
      world_.passwords_at.insert(address.Name() + " " + address.password.Reveal());
      world_.meta_ca = address.tls_ca;
    });
    const auto db = std::make_shared<Db>(world_, life_, address);
    return {db, db, db};
  }

 private:
  World& world_;
  Life& life_;
};

class RowFence final : public ports::Fence, private Door {
 public:
  RowFence(World& world, Life& life, uint64_t epoch) : Door(world, life), epoch_(epoch) {}
  Status Register(const Context&, const ports::DbConnection& connection) override {
    return Write("Register", false, [&] { return world_.RegisterLocked(epoch_, connection); });
  }
  void Unregister(const ports::DbConnection& connection) override {
    (void)world_.Look<base::Unit>(life_, [&]() -> Status {
      if (world_.row && world_.row->epoch == epoch_)
        std::erase(world_.row->connections, connection);
      return base::Ok();
    });
  }

 private:
  const uint64_t epoch_;
};

class Row final : public ports::Ownership, public ports::OwnershipProvider, private Door {
 public:
  using Door::Door;
  std::shared_ptr<ports::Ownership> Open(ports::MetaDbs meta_dbs) override {
    const std::lock_guard lock(mutex_);
    meta_dbs_ = std::move(meta_dbs);
    return std::shared_ptr<ports::Ownership>(this, [](ports::Ownership*) {});
  }
  Result<std::optional<ports::OwnershipRow>> Read(const Context&, const std::string&) override {
    using Answer = std::optional<ports::OwnershipRow>;
    return world_.Look<Answer>(life_, [&]() -> Result<Answer> { return world_.row; });
  }
  // On two servers as the driver does it: the row first, then what is registered is ended on each.
  Result<ports::OwnershipRow> Claim(const Context& ctx, const std::string&,
                                    const std::optional<ports::OwnershipRow>& seen,
                                    const ports::Owner& owner, const std::string& process,
                                    uint64_t first_epoch) override {
    OMS_ASSIGN(ports::OwnershipRow row, Raise(seen, owner, process, first_epoch));
    if (row.connections.empty()) return row;
    ports::MetaDbs meta_dbs;
    {
      const std::lock_guard lock(mutex_);
      meta_dbs = meta_dbs_;
    }
    OMS_TRY(meta_dbs.EndConnections(ctx, row.connections));
    row.connections.clear();
    OMS_TRY(Write("Empty row", false, [&]() -> Status {
      if (world_.row->epoch != row.epoch) return MakeError(Code::kConflict, "somebody was faster");
      world_.row->connections.clear();
      return base::Ok();
    }));
    return row;
  }
  Result<ports::OwnershipRow> Raise(const std::optional<ports::OwnershipRow>& seen,
                                    const ports::Owner& owner, const std::string& process,
                                    uint64_t first_epoch) {
    return world_.Write<ports::OwnershipRow>(
        life_, "Claim row", false, [&]() -> Result<ports::OwnershipRow> {
          if (seen.has_value() != world_.row.has_value() ||
              (seen && seen->epoch != world_.row->epoch))
            return MakeError(Code::kConflict, "somebody was faster");
          if (!world_.row) {
            world_.row = ports::OwnershipRow{};
            world_.row->epoch = first_epoch;
          } else {
            ++world_.row->epoch;
          }
          world_.row->owner = owner;
          world_.row->process = process;
          if (world_.separate_cm) return *world_.row;
          for (const auto& connection : world_.row->connections)
            world_.killed.insert(connection.id);
          world_.row->connections.clear();
          return *world_.row;
        });
  }
  Status SetOperation(const Context&, const std::string&, uint64_t epoch,
                      const std::string& operation, const std::string& folder,
                      const std::string& identity) override {
    return Write("SetOperation", false, [&]() -> Status {
      if (!world_.row || world_.row->epoch != epoch)
        return MakeError(Code::kFenced, "the row is another's");
      world_.row->operation_id = operation;
      world_.row->folder = folder;
      world_.row->folder_identity = identity;
      return base::Ok();
    });
  }
  Status Release(const Context&, const std::string&, uint64_t epoch) override {
    return Write("Release", false, [&]() -> Status {
      if (!world_.row || world_.row->epoch != epoch)
        return MakeError(Code::kFenced, "the row is another's");
      world_.row->owner = {};
      world_.row->process.clear();
      return base::Ok();
    });
  }
  std::shared_ptr<ports::Fence> FenceFor(const std::string&, uint64_t epoch) override {
    return std::make_shared<RowFence>(world_, life_, epoch);
  }

 private:
  std::mutex mutex_;
  ports::MetaDbs meta_dbs_;  // Guarded by mutex_.
};

class Store final : public ports::RecordStore, private Door {
 public:
  using Door::Door;
  Result<ports::VolumeInfo> Identify(const std::filesystem::path&) override {
    if (auto seen = Look({}); !seen.Is(Code::kNotFound)) return seen;
    OMS_TRY(Write("Identify", false, [&]() -> Status {
      world_.volume_identity = "volume-1";
      return base::Ok();
    }));
    return Look({});
  }
  Result<ports::VolumeInfo> Look(const std::filesystem::path& directory) override {
    return world_.Look<ports::VolumeInfo>(life_, [&]() -> Result<ports::VolumeInfo> {
      world_.looked_into.insert(directory.string());
      if (!world_.volume_identity)
        return MakeError(Code::kNotFound, "BackupVolume", "no identity file");
      return ports::VolumeInfo{*world_.volume_identity, world_.free_bytes};
    });
  }
  Result<uint64_t> FreeBytes(const std::filesystem::path&) override {
    return world_.Look<uint64_t>(life_, [&]() -> Result<uint64_t> { return world_.free_bytes; });
  }
  Result<std::vector<ports::RecordEntry>> Read(const std::filesystem::path& folder) override {
    using List = std::vector<ports::RecordEntry>;
    return world_.Look<List>(life_, [&]() -> Result<List> {
      world_.looked_into.insert(folder.string());
      const auto found = world_.records.find(folder.string());
      if (found == world_.records.end())
        return MakeError(Code::kNotFound, "no folder " + folder.string());
      List list;
      const int from = world_.short_reads ? world_.promises.EnoughFrom(folder.string()) : 0;
      for (auto at = found->second.lower_bound(from); at != found->second.end(); ++at)
        list.push_back({at->first, at->second});
      return list;
    });
  }
  Status Append(const std::filesystem::path& folder, int n, const std::string& text) override {
    return Write(fmt::format("Append {}", n), false, [&]() -> Status {
      auto& texts = world_.records[folder.string()];
      if (const auto there = texts.find(n); there == texts.end()) {
        world_.promises.Append(folder.string(), n, text);
        texts.emplace(n, text);
      } else if (there->second != text) {
        return MakeError(Code::kConflict, ports::kRecordTaken, "another text is there");
      }
      if (++world_.appends == world_.answer_to_lose)
        return MakeError(Code::kTransient, "BackupVolume", "Input/output error");
      return base::Ok();
    });
  }
  Status WriteFile(const std::filesystem::path& file, const std::string& content) override {
    return Write("WriteFile " + file.filename().string(), false, [&]() -> Status {
      world_.files[file.string()] = content;
      return base::Ok();
    });
  }
  Result<std::string> ReadFile(const std::filesystem::path& file) override {
    return world_.Look<std::string>(life_, [&]() -> Result<std::string> {
      const auto found = world_.files.find(file.string());
      if (found == world_.files.end())
        return MakeError(Code::kNotFound, "no file " + file.string());
      world_.promises.ReadFile(file.string());
      return found->second;
    });
  }
  Result<std::string> Sha256(const std::filesystem::path& file) override {
    OMS_ASSIGN(const std::string text, ReadFile(file));
    return base::Sha256Hex(text);
  }
  Result<uint64_t> Size(const std::filesystem::path& file) override {
    OMS_ASSIGN(const std::string text, ReadFile(file));
    return uint64_t{text.size()};
  }
  Result<std::vector<std::filesystem::path>> List(const std::filesystem::path& directory) override {
    using List = std::vector<std::filesystem::path>;
    return world_.Look<List>(life_, [&]() -> Result<List> {
      List list;
      for (const auto& [folder, texts] : world_.records) {
        if (std::filesystem::path(folder).parent_path() == directory) list.push_back(folder);
      }
      return list;
    });
  }
  // In two writes, so that a process can die between them.
  Result<ports::RemovedPayload> RemovePayload(const std::filesystem::path& folder) override {
    ports::RemovedPayload removed;
    for (const std::string name : {"dump", "upgraded", "images", "rollback"}) {
      const std::string whole = (folder / name).string() + "/";
      const std::string dying = (folder / (".removing-" + name)).string() + "/";
      const auto below = [&](const std::string& path) {
        return world_.Look<bool>(life_, [&]() -> Result<bool> {
          const auto first = world_.files.lower_bound(path);
          return first != world_.files.end() && first->first.starts_with(path);
        });
      };
      OMS_ASSIGN(const bool is_whole, below(whole));
      if (is_whole) {
        OMS_TRY(Write("HidePayload " + name, false, [&]() -> Status {
          world_.promises.RemovePayload(folder.string());
          for (auto it = world_.files.lower_bound(whole);
               it != world_.files.end() && it->first.starts_with(whole);) {
            world_.files[dying + it->first.substr(whole.size())] = it->second;
            it = world_.files.erase(it);
          }
          return base::Ok();
        }));
      }
      OMS_ASSIGN(const bool is_dying, below(dying));
      if (!is_dying) continue;
      OMS_TRY(Write("RemovePayload " + name, false, [&]() -> Status {
        std::erase_if(world_.files, [&](const auto& file) {
          if (!file.first.starts_with(dying)) return false;
          ++removed.files;
          removed.bytes += file.second.size();
          return true;
        });
        return base::Ok();
      }));
    }
    return removed;
  }
};

class Dumper final : public ports::BackupTool, private Door {
 public:
  using Door::Door;
  Result<ports::DumpOutcome> Dump(const Context& ctx, ports::Fence& fence,
                                  const ports::DumpRequest& request,
                                  ports::ByteProgress& progress) override {
    const bool cm = world_.IsCm(request.server);
    const ports::DbConnection connection = world_.Locked([&] { return world_.ConnectLocked(cm); });
    OMS_TRY(fence.Register(ctx, connection));
    const std::string name = request.folder.string() + "/data.sql";
    std::string content;
    OMS_TRY(Write("Dump begins", false, [&]() -> Status {
      if (world_.IsKilledLocked(connection))
        return MakeError(Code::kTransient, "DumpFailed", "lost connection");
      if (!world_.HoldsLocked(cm, request.database))
        return MakeError(Code::kTransient, "DumpFailed", "unknown database");
      if (world_.files.contains(name))
        return MakeError(Code::kAlreadyExists, "the folder is there");
      world_.promises.BeginDump(request.database);
      world_.dumped_with = request.tool;
      content = world_.ContentLocked(request.database);
      world_.files[name] = content.substr(0, 2);
      return base::Ok();
    }));
    {
      std::unique_lock lock(world_.mutex());
      const auto gone = [&] { return world_.IsKilledLocked(connection); };
      if (world_.dump_held &&
          !world_.WaitLocked(lock, ctx, life_, [&] { return !world_.dump_held || gone(); }))
        return MakeError(Code::kCancelled, "stopping");
      if (gone()) return MakeError(Code::kTransient, "DumpFailed", "lost connection to the server");
      if (world_.dumps_to_fail > 0) {
        --world_.dumps_to_fail;
        return MakeError(world_.fails_with, "DumpFailed", "exit code 1");
      }
    }
    OMS_TRY(ctx.Check());
    OMS_TRY(Write("Dump ends", false, [&]() -> Status {
      if (world_.IsKilledLocked(connection))
        return MakeError(Code::kTransient, "DumpFailed", "lost connection");
      world_.files[name] = content;
      return base::Ok();
    }));
    progress.done += content.size();
    fence.Unregister(connection);
    const uint64_t rows = world_.Locked([&] { return world_.rows_in_dump; });
    ports::DumpOutcome outcome{
        "fake 1", {{"data.sql", content.size(), base::Sha256Hex(content)}}, {}};
    if (rows > 0) outcome.tables.push_back({"t", rows, {}, 1, 10});
    return outcome;
  }

  Status Load(const Context& ctx, ports::Fence& fence, const ports::LoadRequest& request,
              ports::ByteProgress& progress) override {
    const bool cm = world_.IsCm(request.server);
    const ports::DbConnection connection = world_.Locked([&] { return world_.ConnectLocked(cm); });
    OMS_TRY(fence.Register(ctx, connection));
    const auto gone = [&] { return world_.IsKilledLocked(connection); };
    const auto failed = [](const char* why) {
      return MakeError(Code::kTransient, "LoadFailed", why);
    };
    std::string content;
    OMS_TRY(Write("Load begins " + request.database, false, [&]() -> Status {
      if (gone()) return failed("lost connection");
      if (!world_.HoldsLocked(cm, request.database)) return failed("unknown database");
      const auto database = world_.databases.find(request.database);
      if (database == world_.databases.end()) return failed("unknown database");
      if (!database->second.empty()) return failed("table already exists");
      content = world_.files.at((request.folder / request.files.at(0).path).string());
      database->second = "half loaded";
      return base::Ok();
    }));
    {
      std::unique_lock lock(world_.mutex());
      if (world_.restore_held &&
          !world_.WaitLocked(lock, ctx, life_, [&] { return !world_.restore_held || gone(); }))
        return MakeError(Code::kCancelled, "stopping");
      if (world_.loads_to_fail > 0) {
        --world_.loads_to_fail;
        return MakeError(world_.fails_with, "LoadFailed", "exit code 1");
      }
    }
    OMS_TRY(ctx.Check());
    OMS_TRY(Write("Load ends " + request.database, false, [&]() -> Status {
      if (gone()) return failed("lost connection");
      world_.FillLocked(request.database, content);
      if (world_.loads_to_spoil > 0) {
        --world_.loads_to_spoil;
        world_.databases[request.database] += world_.spoils_with;
      }
      return base::Ok();
    }));
    progress.done += content.size();
    fence.Unregister(connection);
    return base::Ok();
  }
};

class Probe final : public ports::HttpProbe, private Door {
 public:
  using Door::Door;
  Result<ports::HttpAnswer> Get(const Context&, const std::string&, int, const std::string&,
                                const std::optional<ports::HttpsTrust>& https) override {
    return world_.Look<ports::HttpAnswer>(life_, [&]() -> Result<ports::HttpAnswer> {
      if (!world_.OmsRuns()) return MakeError(Code::kTransient, "Refused", "nothing listens");
      if (https != world_.speaks) {
        return MakeError(Code::kTransient, "CertificateUntrusted", "asked in another way");
      }
      return ports::HttpAnswer{200, R"({"data":{"healthy":true}})"};
    });
  }
  // A certificate of this world is "of <key> until <seconds since 1970>".
  Result<ports::CertificateInfo> ReadKeyPair(const std::string& certificate,
                                             const base::Secret& key) const override {
    const size_t until = certificate.find(" until ");
    if (until == std::string::npos) {
      return MakeError(Code::kInvalid, "CertificateUnreadable", "there is no certificate in it");
    }
    if (certificate.substr(0, until) != "of " + key.Reveal()) {
      return MakeError(Code::kInvalid, "KeyOfAnotherCertificate", "the key does not belong to it");
    }
    return ports::CertificateInfo{
        base::WallTime(),
        base::WallTime(std::chrono::seconds(std::stoll(certificate.substr(until + 7))))};
  }
};

class TaskDoor final : public ports::TaskApi, private Door {
 public:
  using Door::Door;
  Result<std::vector<ports::OmsTask>> Tasks(const Context&,
                                            const ports::TaskApiAddress& address) override {
    return world_.Look<std::vector<ports::OmsTask>>(
        life_, [&]() -> Result<std::vector<ports::OmsTask>> {
          ++world_.task_questions;
          if (!world_.OmsRuns() || address.host != "10.0.0.1" || address.https != world_.speaks)
            return MakeError(Code::kTransient, "TaskAPIUnreachable", "nothing listens");
          if (world_.tasks_error) return *world_.tasks_error;
          if (address.user != "admin" || address.password.Reveal() != world_.api_password)
            return MakeError(Code::kDenied, "TaskAPIDenied", "OMS does not let this user ask");
          return world_.tasks;
        });
  }
};

class Api final : public kube::ApiClient, private Door {
 public:
  using Door::Door;
  Result<json> Get(const Context& ctx, const kube::ResourceType& type,
                   const kube::ObjectKey& key) override {
    return world_.Look<json>(life_, [&] { return world_.api.Get(ctx, type, key); });
  }
  Result<kube::ListPage> List(const Context& ctx, const kube::ResourceType& type,
                              const std::string& ns, const kube::ListOptions& options) override {
    return world_.Look<kube::ListPage>(life_,
                                       [&] { return world_.api.List(ctx, type, ns, options); });
  }
  Result<json> Create(const Context& ctx, const kube::ResourceType& type, const std::string& ns,
                      const json& object) override {
    return world_.Write<json>(life_, "kube create", false,
                              [&] { return world_.api.Create(ctx, type, ns, object); });
  }
  Result<json> Replace(const Context& ctx, const kube::ResourceType& type,
                       const kube::ObjectKey& key, const json& object,
                       const std::string& sub) override {
    return world_.Write<json>(life_, "kube replace", false,
                              [&] { return world_.api.Replace(ctx, type, key, object, sub); });
  }
  Result<json> Patch(const Context& ctx, const kube::ResourceType& type, const kube::ObjectKey& key,
                     kube::PatchType patch_type, const json& body, const std::string& sub,
                     const std::string& manager) override {
    return world_.Write<json>(life_, "kube patch " + sub, false, [&] {
      return world_.api.Patch(ctx, type, key, patch_type, body, sub, manager);
    });
  }
  Status Delete(const Context& ctx, const kube::ResourceType& type, const kube::ObjectKey& key,
                const kube::DeleteOptions& options) override {
    return Write("kube delete", false, [&] { return world_.api.Delete(ctx, type, key, options); });
  }
  Status Watch(const Context&, const kube::ResourceType&, const kube::WatchOptions&,
               const kube::WatchSink&) override {
    return MakeError(Code::kInternal, "nobody watches here");
  }
};

}  // namespace

// ----------------------------------------------------------------------------------------- process

struct Process::Doors {
  Doors(World& world, Life& life)
      : engines(world, life),
        dbs(world, life),
        row(world, life),
        store(world, life),
        archives(world, life),
        dumper(world, life),
        probe(world, life),
        tasks(world, life),
        api(world, life) {}
  Engines engines;
  Dbs dbs;
  Row row;
  Store store;
  Archives archives;
  Dumper dumper;
  Probe probe;
  TaskDoor tasks;
  Api api;
};

Process::Process(World& world, std::string name, std::string cluster)
    : world_(world),
      doors_(std::make_unique<Doors>(world, life)),
      random_(base::MakeSystemRandom()),
      tasks_(std::make_shared<act::ThreadedTasks>()),
      one_thread_(false) {
  pass::UpgradeReconciler::Options options;
  options.cluster = std::move(cluster);
  options.process = std::move(name);
  Assemble(std::move(options));
}

Process::Process(World& world, Determined parts)
    : world_(world),
      doors_(std::make_unique<Doors>(world, life)),
      random_(std::move(parts.random)),
      tasks_(std::move(parts.tasks)),
      one_thread_(true) {
  pass::UpgradeReconciler::Options options;
  options.cluster = "cluster-1";
  options.process = std::move(parts.name);
  options.new_id = std::move(parts.new_id);
  Assemble(std::move(options));
}

void Process::Assemble(pass::UpgradeReconciler::Options options) {
  world_.Locked([&] { world_.promises.BeginProcess(); });
  options.limits = {{kFirstEngine, kSecondEngine}, {"/var/lib/oms-upgrade"}, {"/images"}};
  pass::Ports ports{.api = &doors_->api,
                    .engines = &doors_->engines,
                    .meta_dbs = &doors_->dbs,
                    .ownerships = &doors_->row,
                    .store = &doors_->store,
                    .backup_tool = &doors_->dumper,
                    .archives = &doors_->archives,
                    .probe = &doors_->probe,
                    .task_api = &doors_->tasks};
  reconciler_ = std::make_unique<pass::UpgradeReconciler>(
      std::move(options), ports,
      [this](const kube::ObjectKey& key) -> std::shared_ptr<const crd::OmsUpgrade> {
        if (frozen_) return frozen_;
        const auto found = world_.api.Find(kUpgrades, key);
        if (!found) return nullptr;
        return std::make_shared<crd::OmsUpgrade>(*crd::FromJson(*found));
      },
      *this, *random_, *tasks_,
      [this](const kube::ObjectKey&) {
        std::lock_guard lock(mutex_);
        woken_.notify_all();
      });
}

// A process that ends takes its tasks with it; what it began in containers goes on.
Process::~Process() {
  world_.Kill(life);
  if (!one_thread_) tasks_->Stop("");
}

Result<runtime::Outcome> Process::Pass() {
  world_.BeginPass();
  Context ctx(world_.clock, {});
  if (pass_timeout) ctx = ctx.WithTimeout(*pass_timeout);
  auto outcome = reconciler_->Reconcile(ctx, {kKey});
  after_ = outcome.ok() ? outcome->after : std::nullopt;
  last_error_ = outcome.ok() ? ""
                             : fmt::format("{}: {}", base::ToString(outcome.error().code),
                                           outcome.error().message);
  return outcome;
}

bool Process::SomethingRuns() const {
  for (const auto& [name, view] : tasks_->LookAll("")) {
    if (view.state == model::TaskView::State::kRunning) return true;
  }
  return false;
}

void Process::AwaitTasks() {
  std::unique_lock lock(mutex_);
  // A held task is not waited for; the deadline only keeps a broken test from hanging.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(45);
  while (SomethingRuns() && !world_.Held() && std::chrono::steady_clock::now() < deadline) {
    woken_.wait_for(lock, std::chrono::milliseconds(5));
  }
}

bool Process::RunUntil(const std::function<bool()>& done, int limit) {
  for (int i = 0; i < limit; ++i) {
    (void)Pass();
    AwaitTasks();
    if (world_.IsDead(life)) return false;
    if (done()) return true;
    world_.clock.Advance(std::clamp<base::Duration>(after_.value_or(std::chrono::seconds(1)),
                                                    std::chrono::milliseconds(100),
                                                    std::chrono::seconds(60)));
  }
  return false;
}

bool Process::RunToReady() {
  return RunUntil([&] { return ConditionOf(world_.Resource(), "Ready").starts_with("True"); });
}

void Process::FreezeCache() { frozen_ = std::make_shared<crd::OmsUpgrade>(world_.Resource()); }

void Process::Settle(int limit) {
  int quiet = 0;
  RunUntil(
      [&] {
        const bool far = !after_ || *after_ >= std::chrono::seconds(10);
        quiet = far && !SomethingRuns() ? quiet + 1 : 0;
        return quiet >= 2;
      },
      limit);
}

void Process::Event(const runtime::ObjectRef&, runtime::EventType type, const std::string& reason,
                    const std::string& message, const std::map<std::string, std::string>&) {
  std::lock_guard lock(world_.mutex());
  world_.events.push_back(fmt::format(
      "{} {}: {}", type == runtime::EventType::kWarning ? "Warning" : "Normal", reason, message));
}

std::string ConditionOf(const crd::OmsUpgrade& resource, std::string_view type) {
  const auto* found = crd::FindCondition(resource.status.conditions, type);
  if (found == nullptr) return "absent";
  return fmt::format("{}/{}", kube::ToString(found->status), found->reason);
}

}  // namespace oms::fakes
