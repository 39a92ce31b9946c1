#include "reconcilers/drivers/docker/create_body.h"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "controller/base/json.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/docker/docker_json.h"

namespace oms::drivers::docker {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using Json = nlohmann::json;
using ports::ContainerSpec;
using ports::ContainerTemplate;

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
    host_config["Binds"].push_back(name + ":" + destination + (Bool(At(mount, "RW")) ? "" : ":ro"));
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

bool ReplaceSource(Json& host_config, const std::string& destination, const std::string& source) {
  if (host_config.contains("Binds") && host_config["Binds"].is_array()) {
    for (auto& item : host_config["Binds"]) {
      const std::string bind = Text(item);
      if (BindDestination(bind) != destination) continue;
      item = source + bind.substr(bind.find(':'));
      return true;
    }
  }
  if (host_config.contains("Mounts") && host_config["Mounts"].is_array()) {
    for (auto& item : host_config["Mounts"]) {
      if (Text(At(item, "Target")) != destination || Text(At(item, "Type")) != "bind") continue;
      item["Source"] = source;
      return true;
    }
  }
  return false;
}

Status ReplaceSources(const Json& doc, const ContainerTemplate& like, Json& host_config) {
  for (const auto& [destination, source] : like.sources) {
    if (ReplaceSource(host_config, destination, source)) continue;
    return MakeError(Code::kInvalid, crd::reason::kConfigNotMounted,
                     fmt::format("the container {} has no host file mounted at {}; start it "
                                 "with -v <file>:{}",
                                 Text(At(doc, "Name")), destination, destination));
  }
  return base::Ok();
}

void SetEnv(const ContainerTemplate& like, Json& env) {
  Json kept = Json::array();
  for (auto& entry : env) {
    bool set = false;
    for (const auto& [name, value] : like.env) set = set || IsAssignmentOf(Text(entry), name);
    if (!set) kept.push_back(std::move(entry));
  }
  for (const auto& [name, value] : like.env) kept.push_back(name + "=" + value);
  env = std::move(kept);
}

void SetLabels(const ContainerSpec& spec, Json& labels) {
  for (auto it = labels.begin(); it != labels.end();) {
    const bool drop =
        !spec.like->without_labels.empty() && it.key().starts_with(spec.like->without_labels);
    it = drop ? labels.erase(it) : std::next(it);
  }
  for (const auto& [key, value] : spec.labels) labels[key] = value;
}

// Of another image: what came from the old one is left to the new one.
Result<Json> OfAnotherImage(const ContainerSpec& spec, const Json& doc) {
  const ContainerTemplate& like = *spec.like;
  OMS_ASSIGN(const Json image_doc, ParseObject(*like.image_inspect, "the old image"));
  const Json& config = At(doc, "Config");
  const Json& image = At(image_doc, "Config");

  Json host_config = HostConfigOf(doc);
  KeepAnonymousVolumes(doc, At(image, "Volumes"), host_config);
  OMS_TRY(ReplaceSources(doc, like, host_config));

  Json body = Json::object();
  // docker run -dit: detached, with a terminal and an open standard input.
  body["Tty"] = Bool(At(config, "Tty"));
  body["OpenStdin"] = Bool(At(config, "OpenStdin"));

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
  if (Json own = KeysOfUser(At(config, "ExposedPorts"), At(image, "ExposedPorts")); !own.empty())
    body["ExposedPorts"] = std::move(own);

  body["Env"] = EnvOfUser(At(config, "Env"), At(image, "Env"));
  SetEnv(like, body["Env"]);
  body["Labels"] = KeysOfUser(At(config, "Labels"), At(image, "Labels"));
  SetLabels(spec, body["Labels"]);
  body["HostConfig"] = std::move(host_config);
  return body;
}

Result<Json> OfTheSameImage(const ContainerSpec& spec, const Json& doc) {
  Json body = At(doc, "Config").is_object() ? At(doc, "Config") : Json::object();
  if (Text(At(doc, "Image")).empty()) {
    return MakeError(Code::kInvalid, "the inspect document of the old container names no image");
  }
  Json host_config = HostConfigOf(doc);
  KeepAnonymousVolumes(doc, Json(), host_config);
  OMS_TRY(ReplaceSources(doc, *spec.like, host_config));
  // The name stays the same even where the engine had chosen it: OMS may know the node by it.
  const bool no_name_of_its_own = Text(At(host_config, "UTSMode")) == "host" ||
                                  Text(At(host_config, "NetworkMode")).starts_with("container:");
  if (no_name_of_its_own) body.erase("Hostname");
  if (!spec.like->env.empty()) SetEnv(*spec.like, body["Env"]);
  if (!spec.labels.empty() || !spec.like->without_labels.empty()) SetLabels(spec, body["Labels"]);
  body["HostConfig"] = std::move(host_config);
  return body;
}

Json OfItsOwn(const ContainerSpec& spec) {
  Json host_config = {{"RestartPolicy", {{"Name", "no"}}}};
  if (!spec.network) host_config["NetworkMode"] = "none";
  if (spec.hosts_users) host_config["UsernsMode"] = "host";
  for (const auto& mount : spec.mounts) {
    if (mount.make_source) {
      host_config["Binds"].push_back(mount.source + ":" + mount.destination +
                                     (mount.writable ? "" : ":ro"));
    } else {
      host_config["Mounts"].push_back({{"Type", "bind"},
                                       {"Source", mount.source},
                                       {"Target", mount.destination},
                                       {"ReadOnly", !mount.writable}});
    }
  }
  Json body = {{"Labels", spec.labels}, {"HostConfig", std::move(host_config)}};
  if (!spec.entrypoint.empty()) body["Entrypoint"] = spec.entrypoint;
  if (!spec.command.empty()) body["Cmd"] = spec.command;
  if (!spec.user.empty()) body["User"] = spec.user;
  if (!spec.health_check) body["Healthcheck"] = {{"Test", Json::array({"NONE"})}};
  return body;
}

}  // namespace

Result<std::string> CreateBody(const ContainerSpec& spec) {
  if (!spec.like) {
    if (spec.image.empty()) return MakeError(Code::kInvalid, "the new image is not named");
    Json body = OfItsOwn(spec);
    body["Image"] = spec.image;
    return Dump(body);
  }
  OMS_ASSIGN(const Json doc, ParseObject(spec.like->inspect, "the old container"));
  OMS_ASSIGN(Json body,
             spec.like->image_inspect ? OfAnotherImage(spec, doc) : OfTheSameImage(spec, doc));
  if (spec.image.empty()) return MakeError(Code::kInvalid, "the new image is not named");
  body["Image"] = spec.image;
  return Dump(body);
}

}  // namespace oms::drivers::docker
