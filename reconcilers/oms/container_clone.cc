#include "reconcilers/oms/container_clone.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "controller/base/json.h"
#include "crd/reasons.h"

namespace oms::product {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using Json = nlohmann::json;

constexpr int64_t kGuideNproc = 65535;

const Json& At(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto it = object.find(key);
  return it == object.end() ? null : *it;
}
std::string Text(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }
bool True(const Json& value) { return value.is_boolean() && value.get<bool>(); }
bool Empty(const Json& value) { return value.is_null() || value.empty() || value == ""; }
bool Equal(const Json& a, const Json& b) { return a == b || (Empty(a) && Empty(b)); }

Result<Json> ParseObject(const std::string& text, std::string_view what) {
  auto parsed = base::ParseJson(text);
  if (!parsed.ok()) return parsed.error().Wrap(fmt::format("the inspect document of {}", what));
  if (!parsed->is_object()) {
    return MakeError(Code::kInvalid,
                     fmt::format("the inspect document of {} is not a JSON object", what));
  }
  return parsed;
}

std::string Dump(const Json& body) {
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool IsAssignmentOf(const std::string& entry, std::string_view name) {
  return entry.starts_with(name) && entry.size() > name.size() && entry[name.size()] == '=';
}

// What a person (or an earlier upgrade) set: all entries but those that the image itself has.
Json EnvOfUser(const Json& container, const Json& image) {
  std::set<std::string> of_image;
  if (image.is_array()) {
    for (const auto& entry : image) of_image.insert(Text(entry));
  }
  Json env = Json::array();
  if (!container.is_array()) return env;
  for (const auto& entry : container) {
    if (!of_image.contains(Text(entry))) env.push_back(Text(entry));
  }
  return env;
}

Json KeysOfUser(const Json& container, const Json& image) {
  Json out = Json::object();
  if (!container.is_object()) return out;
  for (const auto& [key, value] : container.items()) {
    if (At(image, key.c_str()) != value) out[key] = value;
  }
  return out;
}

// Whether the host name was the engine's own choice. With the host's network it is the host's name,
// which is the same for the new container, so that it may be written again: the node keeps the name
// that OMS knows it by, even if the host has been renamed since.
bool HostnameIsDerived(const Json& doc, const Json& host_config, const std::string& hostname) {
  const std::string id = Text(At(doc, "Id"));
  const bool no_name_of_its_own = Text(At(host_config, "UTSMode")) == "host" ||
                                  Text(At(host_config, "NetworkMode")).starts_with("container:");
  return hostname.empty() || no_name_of_its_own || id.starts_with(hostname);
}

// "source:destination[:options]"; neither source nor destination of a bind may hold a colon.
std::string BindDestination(const std::string& bind) {
  const size_t first = bind.find(':');
  if (first == std::string::npos) return bind;
  return bind.substr(first + 1, bind.find(':', first + 1) - first - 1);
}

std::set<std::string> NamedDestinations(const Json& host_config) {
  std::set<std::string> out;
  for (const char* key : {"Binds", "Mounts"}) {
    const Json& list = At(host_config, key);
    if (!list.is_array()) continue;
    for (const auto& item : list) {
      out.insert(item.is_string() ? BindDestination(Text(item)) : Text(At(item, "Target")));
    }
  }
  return out;
}

// Volumes without a name in the settings (`-v /path`) have one all the same: mounted by it, the new
// container sees the same data. Those that the image itself declares are left out where `image` is
// given: what an old image put into its volume would hide the new image's files.
void KeepAnonymousVolumes(const Json& doc, const Json& image_volumes, Json& host_config) {
  const auto named = NamedDestinations(host_config);
  const Json& mounts = At(doc, "Mounts");
  if (!mounts.is_array()) return;
  for (const auto& mount : mounts) {
    const std::string destination = Text(At(mount, "Destination"));
    const std::string name = Text(At(mount, "Name"));
    if (Text(At(mount, "Type")) != "volume" || name.empty() || named.contains(destination))
      continue;
    if (image_volumes.is_object() && image_volumes.contains(destination)) continue;
    if (!At(host_config, "Binds").is_array()) host_config["Binds"] = Json::array();
    host_config["Binds"].push_back(name + ":" + destination + (True(At(mount, "RW")) ? "" : ":ro"));
  }
}

Json HostConfigOf(const Json& doc) {
  Json host_config = At(doc, "HostConfig").is_object() ? At(doc, "HostConfig") : Json::object();
  host_config["RestartPolicy"] = {{"Name", "no"}, {"MaximumRetryCount", 0}};
  host_config["AutoRemove"] = false;
  host_config.erase("ContainerIDFile");  // A file of the client that made the old one.
  host_config.erase("ConsoleSize");
  return host_config;
}

bool ReplaceConfigSource(Json& host_config, const std::string& source) {
  if (host_config.contains("Binds") && host_config["Binds"].is_array()) {
    for (auto& item : host_config["Binds"]) {
      const std::string bind = Text(item);
      if (BindDestination(bind) != kConfigMount) continue;
      item = source + bind.substr(bind.find(':'));
      return true;
    }
  }
  if (host_config.contains("Mounts") && host_config["Mounts"].is_array()) {
    for (auto& item : host_config["Mounts"]) {
      if (Text(At(item, "Target")) != kConfigMount || Text(At(item, "Type")) != "bind") continue;
      item["Source"] = source;
      return true;
    }
  }
  return false;
}

}  // namespace

Result<std::string> CloneForUpgrade(const CloneInput& input) {
  OMS_ASSIGN(const Json doc, ParseObject(input.old_inspect, "the old container"));
  OMS_ASSIGN(const Json image_doc, ParseObject(input.old_image_inspect, "the old image"));
  if (input.new_image.empty()) return MakeError(Code::kInvalid, "the new image is not named");
  const Json& config = At(doc, "Config");
  const Json& image = At(image_doc, "Config");

  Json host_config = HostConfigOf(doc);
  KeepAnonymousVolumes(doc, At(image, "Volumes"), host_config);
  if (input.config_source && !ReplaceConfigSource(host_config, *input.config_source)) {
    return MakeError(
        Code::kInvalid, crd::reason::kConfigNotMounted,
        fmt::format("the container {} has no host file mounted at {}; start it with -v <file>:{}",
                    Text(At(doc, "Name")), kConfigMount, kConfigMount));
  }

  Json body = Json::object();
  body["Image"] = input.new_image;
  // docker run -dit: detached, with a terminal and an open standard input.
  body["Tty"] = True(At(config, "Tty"));
  body["OpenStdin"] = True(At(config, "OpenStdin"));

  const std::string hostname = Text(At(config, "Hostname"));
  if (!HostnameIsDerived(doc, host_config, hostname)) body["Hostname"] = hostname;
  if (!Empty(At(config, "Domainname"))) body["Domainname"] = At(config, "Domainname");

  for (const char* key : {"User", "WorkingDir", "StopSignal", "StopTimeout", "Healthcheck"}) {
    if (!Equal(At(config, key), At(image, key))) body[key] = At(config, key);
  }
  // An entry point of the user's own takes the image's command away, so the pair goes together.
  if (!Equal(At(config, "Entrypoint"), At(image, "Entrypoint"))) {
    body["Entrypoint"] = At(config, "Entrypoint");
    body["Cmd"] = At(config, "Cmd");
  } else if (!Equal(At(config, "Cmd"), At(image, "Cmd"))) {
    body["Cmd"] = At(config, "Cmd");
  }
  for (const char* key : {"ExposedPorts"}) {
    if (Json own = KeysOfUser(At(config, key), At(image, key)); !own.empty()) body[key] = own;
  }

  Json env = Json::array();
  for (auto& entry : EnvOfUser(At(config, "Env"), At(image, "Env"))) {
    if (!IsAssignmentOf(Text(entry), "IS_UPGRADE")) env.push_back(entry);
  }
  env.push_back("IS_UPGRADE=true");
  body["Env"] = std::move(env);

  Json labels = KeysOfUser(At(config, "Labels"), At(image, "Labels"));
  for (auto it = labels.begin(); it != labels.end();) {
    it = it.key().starts_with(kLabelPrefix) ? labels.erase(it) : std::next(it);
  }
  for (const auto& [key, value] : input.labels) labels[key] = value;
  body["Labels"] = std::move(labels);

  body["HostConfig"] = std::move(host_config);
  return Dump(body);
}

Result<std::string> RecreateFromInspect(const std::string& inspect, const std::string& image_name) {
  OMS_ASSIGN(const Json doc, ParseObject(inspect, "the old container"));
  Json body = At(doc, "Config").is_object() ? At(doc, "Config") : Json::object();
  const std::string image = Text(At(doc, "Image"));
  if (image.empty()) {
    return MakeError(Code::kInvalid, "the inspect document of the old container names no image");
  }
  body["Image"] = image_name.empty() ? image : image_name;
  Json host_config = HostConfigOf(doc);
  KeepAnonymousVolumes(doc, Json(), host_config);
  // The name stays the same even where the engine had chosen it: OMS may know the node by it.
  const bool no_name_of_its_own = Text(At(host_config, "UTSMode")) == "host" ||
                                  Text(At(host_config, "NetworkMode")).starts_with("container:");
  if (no_name_of_its_own) body.erase("Hostname");
  body["HostConfig"] = std::move(host_config);
  return Dump(body);
}

base::Status CheckGuideFlags(const ports::ContainerInfo& container) {
  std::vector<std::string> missing;
  if (container.network_mode != "host") missing.push_back("--net host");
  if (!container.privileged) missing.push_back("--privileged=true");
  if (container.pids_limit > 0) missing.push_back("--pids-limit -1");
  const auto enough = [](int64_t limit) { return limit == -1 || limit >= kGuideNproc; };
  if (!enough(container.nproc_soft) || !enough(container.nproc_hard)) {
    missing.push_back(fmt::format("--ulimit nproc={}:{}", kGuideNproc, kGuideNproc));
  }
  const ports::Mount* config = container.FindMount(kConfigMount);
  if (config == nullptr || config->type != "bind") {
    missing.push_back(fmt::format("-v <file on the host>:{}", kConfigMount));
  }
  for (const auto destination : {kLogsMount, kStoreMount, kRunMount}) {
    const ports::Mount* mount = container.FindMount(destination);
    if (mount == nullptr || !mount->writable) {
      missing.push_back(fmt::format("-v <folder on the host>:{}", destination));
    }
  }
  if (!missing.empty()) {
    return MakeError(
        Code::kInvalid, crd::reason::kGuideFlags,
        fmt::format("the container {} was not started as the upgrade guide asks: {} missing; run "
                    "it again from its image with these `docker run` flags in addition to its own",
                    container.name, fmt::join(missing, ", ")));
  }
  if (container.auto_remove) {
    return MakeError(
        Code::kInvalid, crd::reason::kGuideFlags,
        fmt::format("the container {} was started with --rm, so the engine would delete it when it "
                    "is stopped, and no rollback would be possible; run it again without --rm",
                    container.name));
  }
  return base::Ok();
}

}  // namespace oms::product
