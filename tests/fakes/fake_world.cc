#include "tests/fakes/fake_world.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "controller/base/sha256.h"
#include "reconcilers/model/labels.h"
#include "tests/fakes/world/images.h"

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

// ".../<operation>/<script>/<attempt>"
std::string ScriptName(const std::string& marker) {
  return std::filesystem::path(marker).parent_path().filename().string();
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

}  // namespace oms::fakes
