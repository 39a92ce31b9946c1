#include "reconcilers/drivers/docker/docker_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/base/json.h"

namespace oms::drivers::docker {

using Json = nlohmann::json;
using ports::ContainerInfo;
using ports::ImageInfo;

const Json& At(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto it = object.find(key);
  return it == object.end() ? null : *it;
}

std::string Text(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }
int64_t Int(const Json& value) { return base::WholeNumber<int64_t>(value).value_or(0); }
int SmallInt(const Json& value) { return base::WholeNumber<int>(value).value_or(0); }
int ExitCode(const Json& value) {
  return base::WholeNumber<int>(value).value_or(value.is_number() ? -1 : 0);
}

bool Bool(const Json& value) { return value.is_boolean() && value.get<bool>(); }
std::vector<std::string> Texts(const Json& value) {
  std::vector<std::string> out;
  if (!value.is_array()) return out;
  for (const auto& item : value) out.push_back(Text(item));
  return out;
}

std::map<std::string, std::string> TextMap(const Json& value) {
  std::map<std::string, std::string> out;
  if (!value.is_object()) return out;
  for (const auto& [key, item] : value.items()) out[key] = Text(item);
  return out;
}

Json Parse(std::string_view text) {
  return base::ParseJson(text).value_or(Json(Json::value_t::discarded));
}

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ContainerInfo ParseContainer(const std::string& text, const Json& doc) {
  ContainerInfo info;
  info.id = Text(At(doc, "Id"));
  info.name = Text(At(doc, "Name"));
  if (info.name.starts_with('/')) info.name.erase(0, 1);
  const Json& config = At(doc, "Config");
  const Json& host = At(doc, "HostConfig");
  const Json& state = At(doc, "State");
  info.image = Text(At(config, "Image"));
  info.image_id = Text(At(doc, "Image"));
  info.status = Text(At(state, "Status"));
  info.running = Bool(At(state, "Running"));
  info.dead = Bool(At(state, "Dead")) || info.status == "dead";
  info.exit_code = ExitCode(At(state, "ExitCode"));
  info.created = Text(At(doc, "Created"));
  info.started_at = Text(At(state, "StartedAt"));
  info.finished_at = Text(At(state, "FinishedAt"));
  info.restart_policy = Text(At(At(host, "RestartPolicy"), "Name"));
  info.restart_max_retries = SmallInt(At(At(host, "RestartPolicy"), "MaximumRetryCount"));
  info.auto_remove = Bool(At(host, "AutoRemove"));
  info.privileged = Bool(At(host, "Privileged"));
  info.network_mode = Text(At(host, "NetworkMode"));
  info.pids_limit = Int(At(host, "PidsLimit"));
  if (const Json& ulimits = At(host, "Ulimits"); ulimits.is_array()) {
    for (const auto& limit : ulimits) {
      if (Text(At(limit, "Name")) != "nproc") continue;
      info.nproc_soft = Int(At(limit, "Soft"));
      info.nproc_hard = Int(At(limit, "Hard"));
    }
  }
  if (const Json& mounts = At(doc, "Mounts"); mounts.is_array()) {
    for (const auto& mount : mounts) {
      info.mounts.push_back({Text(At(mount, "Type")), Text(At(mount, "Source")),
                             Text(At(mount, "Destination")), Bool(At(mount, "RW"))});
    }
  }
  info.env = Texts(At(config, "Env"));
  info.labels = TextMap(At(config, "Labels"));
  info.inspect = text;
  return info;
}

ImageInfo ParseImage(const std::string& text, const Json& doc) {
  ImageInfo info;
  info.id = Text(At(doc, "Id"));
  info.tags = Texts(At(doc, "RepoTags"));
  info.digests = Texts(At(doc, "RepoDigests"));
  info.size = static_cast<uint64_t>(std::max<int64_t>(0, Int(At(doc, "Size"))));
  info.env = Texts(At(At(doc, "Config"), "Env"));
  info.labels = TextMap(At(At(doc, "Config"), "Labels"));
  info.inspect = text;
  return info;
}

}  // namespace oms::drivers::docker
