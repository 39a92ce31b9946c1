#include "tests/fakes/memory_api_client.h"

#include <fmt/format.h>

namespace oms::fakes {
namespace {

using base::Code;
using base::MakeError;
using nlohmann::json;

base::Error NotFound(const kube::ObjectKey& key) {
  return MakeError(Code::kNotFound, "NotFound", fmt::format("{} not found", key.ToString()));
}

std::string VersionOf(const json& object) {
  return object.value("/metadata/resourceVersion"_json_pointer, std::string());
}

}  // namespace

void MemoryApiClient::SetFault(Fault fault) {
  std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
}

void MemoryApiClient::SetPruning(std::function<void(json&)> prune) {
  std::lock_guard lock(mutex_);
  prune_ = std::move(prune);
}

json MemoryApiClient::Put(const kube::ResourceType& type, json object) {
  std::lock_guard lock(mutex_);
  const json& meta = object["metadata"];
  const kube::ObjectKey key = {meta.value("namespace", ""), meta.value("name", "")};
  return StoreLocked(type.ToString(), key, std::move(object));
}

void MemoryApiClient::Remove(const kube::ResourceType& type, const kube::ObjectKey& key) {
  std::lock_guard lock(mutex_);
  EraseLocked(type.ToString(), key);
}

std::optional<json> MemoryApiClient::Find(const kube::ResourceType& type,
                                          const kube::ObjectKey& key) const {
  std::lock_guard lock(mutex_);
  const auto objects = objects_.find(type.ToString());
  if (objects == objects_.end() || !objects->second.contains(key)) return std::nullopt;
  return objects->second.at(key);
}

std::vector<json> MemoryApiClient::All(const kube::ResourceType& type) const {
  std::lock_guard lock(mutex_);
  std::vector<json> all;
  const auto objects = objects_.find(type.ToString());
  if (objects == objects_.end()) return all;
  for (const auto& [key, object] : objects->second) all.push_back(object);
  return all;
}

void MemoryApiClient::EndWatches(base::Status with) {
  std::lock_guard lock(mutex_);
  ending_ = std::move(with);
  ++endings_;
  changed_.notify_all();
}

void MemoryApiClient::SendBookmarks() {
  std::lock_guard lock(mutex_);
  ++bookmarks_;
  changed_.notify_all();
}

void MemoryApiClient::Compact() {
  std::lock_guard lock(mutex_);
  ++version_;
  compacted_ = version_;
}

int MemoryApiClient::Calls(const std::string& verb) const {
  std::lock_guard lock(mutex_);
  const auto found = calls_.find(verb);
  return found == calls_.end() ? 0 : found->second;
}

int MemoryApiClient::Writes() const {
  return Calls("create") + Calls("replace") + Calls("patch") + Calls("delete");
}

int MemoryApiClient::RunningWatches() const {
  std::lock_guard lock(mutex_);
  return running_watches_;
}

bool MemoryApiClient::WaitUntil(const std::function<bool()>& done) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(45);
  while (!done()) {
    std::unique_lock lock(mutex_);
    if (std::chrono::steady_clock::now() > deadline) return false;
    // What is waited for need not be a change of ours; so look again soon in any case.
    changed_.wait_for(lock, std::chrono::milliseconds(5));
  }
  return true;
}

base::Status MemoryApiClient::Enter(const base::Context& ctx, const std::string& verb,
                                    const kube::ResourceType& type, const kube::ObjectKey& key) {
  OMS_TRY(ctx.Check());
  Fault fault;
  {
    std::lock_guard lock(mutex_);
    ++calls_[verb];
    fault = fault_;
    changed_.notify_all();
  }
  if (fault) {
    if (auto error = fault(verb, type, key)) return *error;
  }
  return base::Ok();
}

json MemoryApiClient::StoreLocked(const std::string& type, const kube::ObjectKey& key,
                                  json object) {
  auto& objects = objects_[type];
  const auto old = objects.find(key);
  json& meta = object["metadata"];
  if (old == objects.end()) {
    meta["uid"] = fmt::format("uid-{}", next_uid_++);
    meta["generation"] = 1;
    meta["creationTimestamp"] = "2026-01-02T03:04:05Z";
  } else {
    const json& before = old->second["metadata"];
    meta["uid"] = before["uid"];
    meta["creationTimestamp"] = before["creationTimestamp"];
    const bool same_spec = object.value("spec", json()) == old->second.value("spec", json());
    meta["generation"] = before["generation"].get<int64_t>() + (same_spec ? 0 : 1);
    meta["resourceVersion"] = before["resourceVersion"];
    if (object == old->second) return object;  // A write that changes nothing makes no version.
  }
  meta["resourceVersion"] = std::to_string(++version_);
  events_.push_back(
      {version_, type,
       old == objects.end() ? kube::WatchEventType::kAdded : kube::WatchEventType::kModified,
       object});
  objects[key] = object;
  changed_.notify_all();
  return object;
}

void MemoryApiClient::EraseLocked(const std::string& type, const kube::ObjectKey& key) {
  auto& objects = objects_[type];
  const auto found = objects.find(key);
  if (found == objects.end()) return;
  json object = std::move(found->second);
  objects.erase(found);
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  events_.push_back({version_, type, kube::WatchEventType::kDeleted, std::move(object)});
  changed_.notify_all();
}

base::Result<json> MemoryApiClient::UpdateLocked(const std::string& type,
                                                 const kube::ObjectKey& key, json object,
                                                 const std::string& subresource) {
  auto& objects = objects_[type];
  const auto found = objects.find(key);
  if (found == objects.end()) return NotFound(key);
  const std::string wanted = VersionOf(object);
  if (!wanted.empty() && wanted != VersionOf(found->second)) {
    return MakeError(Code::kConflict, "Conflict",
                     fmt::format("{}: the object has been modified", key.ToString()));
  }
  // Each side of the status subresource leaves the other's part alone.
  if (subresource == "status") {
    json whole = found->second;
    whole["status"] = object.value("status", json());
    if (whole["status"].is_null()) whole.erase("status");
    object = std::move(whole);
  } else if (found->second.contains("status")) {
    object["status"] = found->second["status"];
  } else {
    object.erase("status");
  }
  const json& meta = object["metadata"];
  const bool gone =
      meta.contains("deletionTimestamp") && meta.value("finalizers", json::array()).empty();
  if (prune_) prune_(object);
  json stored = StoreLocked(type, key, std::move(object));
  if (gone) EraseLocked(type, key);
  return stored;
}

base::Result<json> MemoryApiClient::Get(const base::Context& ctx, const kube::ResourceType& type,
                                        const kube::ObjectKey& key) {
  OMS_TRY(Enter(ctx, "get", type, key));
  std::lock_guard lock(mutex_);
  const auto& objects = objects_[type.ToString()];
  const auto found = objects.find(key);
  if (found == objects.end()) return NotFound(key);
  return found->second;
}

base::Result<kube::ListPage> MemoryApiClient::List(const base::Context& ctx,
                                                   const kube::ResourceType& type,
                                                   const std::string& ns,
                                                   const kube::ListOptions& options) {
  OMS_TRY(Enter(ctx, "list", type, {ns, ""}));
  std::lock_guard lock(mutex_);
  kube::ListPage page;
  page.resource_version = std::to_string(version_);
  // A continue token is "version/ns/name of the last object of the page before".
  std::string after;
  if (!options.continue_token.empty()) {
    const size_t slash = options.continue_token.find('/');
    if (std::stoll(options.continue_token.substr(0, slash)) < compacted_) {
      return MakeError(Code::kExpired, "Expired", "the continue token is too old");
    }
    after = options.continue_token.substr(slash + 1);
    page.resource_version = options.continue_token.substr(0, slash);
  }
  for (const auto& [key, object] : objects_[type.ToString()]) {
    if (!ns.empty() && key.ns != ns) continue;
    if (!after.empty() && key.ToString() <= after) continue;
    if (options.limit > 0 && page.items.size() == static_cast<size_t>(options.limit)) {
      const json& last = page.items.back()["metadata"];
      page.continue_token = fmt::format(
          "{}/{}", page.resource_version,
          kube::ObjectKey{last.value("namespace", ""), last.value("name", "")}.ToString());
      break;
    }
    page.items.push_back(object);
  }
  return page;
}

base::Result<json> MemoryApiClient::Create(const base::Context& ctx, const kube::ResourceType& type,
                                           const std::string& ns, const json& object) {
  const kube::ObjectKey key = {ns, object.value("/metadata/name"_json_pointer, std::string())};
  OMS_TRY(Enter(ctx, "create", type, key));
  std::lock_guard lock(mutex_);
  if (objects_[type.ToString()].contains(key)) {
    return MakeError(Code::kAlreadyExists, "AlreadyExists",
                     fmt::format("{} already exists", key.ToString()));
  }
  return StoreLocked(type.ToString(), key, object);
}

base::Result<json> MemoryApiClient::Replace(const base::Context& ctx,
                                            const kube::ResourceType& type,
                                            const kube::ObjectKey& key, const json& object,
                                            const std::string& subresource) {
  OMS_TRY(Enter(ctx, "replace", type, key));
  std::lock_guard lock(mutex_);
  return UpdateLocked(type.ToString(), key, object, subresource);
}

base::Result<json> MemoryApiClient::Patch(const base::Context& ctx, const kube::ResourceType& type,
                                          const kube::ObjectKey& key, kube::PatchType patch_type,
                                          const json& body, const std::string& subresource,
                                          const std::string&) {
  OMS_TRY(Enter(ctx, "patch", type, key));
  std::lock_guard lock(mutex_);
  auto& objects = objects_[type.ToString()];
  const auto found = objects.find(key);
  if (found == objects.end()) {
    if (patch_type != kube::PatchType::kApply) return NotFound(key);
    return StoreLocked(type.ToString(), key, body);
  }
  json object = found->second;
  if (patch_type == kube::PatchType::kJson) {
    try {
      object.patch_inplace(body);
    } catch (const json::exception& error) {
      return MakeError(Code::kInvalid, "Invalid", error.what());
    }
  } else {
    object.merge_patch(body);
  }
  return UpdateLocked(type.ToString(), key, std::move(object), subresource);
}

base::Status MemoryApiClient::Delete(const base::Context& ctx, const kube::ResourceType& type,
                                     const kube::ObjectKey& key,
                                     const kube::DeleteOptions& options) {
  OMS_TRY(Enter(ctx, "delete", type, key));
  std::lock_guard lock(mutex_);
  auto& objects = objects_[type.ToString()];
  const auto found = objects.find(key);
  if (found == objects.end()) return NotFound(key);
  const json& meta = found->second["metadata"];
  if ((!options.resource_version.empty() && options.resource_version != VersionOf(found->second)) ||
      (!options.uid.empty() && options.uid != meta.value("uid", ""))) {
    return MakeError(Code::kConflict, "Conflict", "the precondition does not hold");
  }
  if (!meta.value("finalizers", json::array()).empty()) {
    json object = found->second;
    object["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:06Z";
    StoreLocked(type.ToString(), key, std::move(object));
  } else {
    EraseLocked(type.ToString(), key);
  }
  return base::Ok();
}

base::Status MemoryApiClient::Watch(const base::Context& ctx, const kube::ResourceType& type,
                                    const kube::WatchOptions& options,
                                    const kube::WatchSink& sink) {
  OMS_TRY(Enter(ctx, "watch", type, {options.ns, ""}));
  std::unique_lock lock(mutex_);
  int64_t at = options.resource_version.empty() ? version_ : std::stoll(options.resource_version);
  if (at < compacted_) {
    return MakeError(Code::kExpired, "Expired", "too old resource version");
  }
  ++running_watches_;
  changed_.notify_all();
  const int64_t endings = endings_;
  int64_t bookmarks = bookmarks_;
  size_t next = 0;
  base::Status result = base::Ok();
  const std::string type_name = type.ToString();
  while (true) {
    if (next < events_.size()) {
      const Event event = events_[next++];
      if (event.version <= at || event.type != type_name) continue;
      const std::string ns = event.object.value("/metadata/namespace"_json_pointer, std::string());
      if (!options.ns.empty() && ns != options.ns) continue;
      at = event.version;
      lock.unlock();
      result = sink(event.kind, event.object);
      lock.lock();
      if (!result.ok()) break;
      continue;
    }
    if (options.bookmarks && bookmarks != bookmarks_) {
      bookmarks = bookmarks_;
      const json mark = {{"metadata", {{"resourceVersion", std::to_string(version_)}}}};
      lock.unlock();
      result = sink(kube::WatchEventType::kBookmark, mark);
      lock.lock();
      if (!result.ok()) break;
      continue;
    }
    if (endings != endings_) {
      result = ending_;
      break;
    }
    if (ctx.Stopped()) {
      result = MakeError(Code::kCancelled, "stopping");
      break;
    }
    changed_.wait(lock, ctx.stop(), [&] {
      return next < events_.size() || bookmarks != bookmarks_ || endings != endings_;
    });
  }
  --running_watches_;
  changed_.notify_all();
  return result;
}

}  // namespace oms::fakes
