// An API server in memory behind the ApiClient interface: resource versions, conflicts, the status
// subresource, watches with bookmarks, 410, and faults on demand. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "controller/kube/api_client.h"

namespace oms::fakes {

class MemoryApiClient final : public kube::ApiClient {
 public:
  using Json = nlohmann::json;
  // Asked before each call; an error is what the call returns. `verb`: get list create replace
  // patch delete watch. Called without the lock held.
  using Fault = std::function<std::optional<base::Error>(
      const std::string& verb, const kube::ResourceType& type, const kube::ObjectKey& key)>;

  // --- what a test does to it
  void SetFault(Fault fault);
  // What an old CRD drops of each object that is stored; nullptr: nothing.
  void SetPruning(std::function<void(Json& object)> prune);
  // As another client: creates or replaces, no checks. Returns the object as stored.
  Json Put(const kube::ResourceType& type, Json object);
  void Remove(const kube::ResourceType& type, const kube::ObjectKey& key);
  std::optional<Json> Find(const kube::ResourceType& type, const kube::ObjectKey& key) const;
  std::vector<Json> All(const kube::ResourceType& type) const;
  // Ends every running watch with this.
  void EndWatches(base::Status with);
  // Every running watch gets a bookmark of now.
  void SendBookmarks();
  // Watches from before now, and continue tokens, are answered with 410.
  void Compact();
  int Calls(const std::string& verb) const;
  int Writes() const;  // create, replace, patch, delete: also refused ones.
  int RunningWatches() const;
  // Waits until `done` holds, asked again at each change; false after 10 s.
  bool WaitUntil(const std::function<bool()>& done) const;

  // --- ApiClient
  base::Result<Json> Get(const base::Context& ctx, const kube::ResourceType& type,
                         const kube::ObjectKey& key) override;
  base::Result<kube::ListPage> List(const base::Context& ctx, const kube::ResourceType& type,
                                    const std::string& ns,
                                    const kube::ListOptions& options) override;
  base::Result<Json> Create(const base::Context& ctx, const kube::ResourceType& type,
                            const std::string& ns, const Json& object) override;
  base::Result<Json> Replace(const base::Context& ctx, const kube::ResourceType& type,
                             const kube::ObjectKey& key, const Json& object,
                             const std::string& subresource = "") override;
  base::Result<Json> Patch(const base::Context& ctx, const kube::ResourceType& type,
                           const kube::ObjectKey& key, kube::PatchType patch_type, const Json& body,
                           const std::string& subresource = "",
                           const std::string& field_manager = "") override;
  base::Status Delete(const base::Context& ctx, const kube::ResourceType& type,
                      const kube::ObjectKey& key, const kube::DeleteOptions& options = {}) override;
  base::Status Watch(const base::Context& ctx, const kube::ResourceType& type,
                     const kube::WatchOptions& options, const kube::WatchSink& sink) override;

 private:
  struct Event {
    int64_t version;
    std::string type;  // ResourceType::ToString().
    kube::WatchEventType kind;
    Json object;
  };

  base::Status Enter(const base::Context& ctx, const std::string& verb,
                     const kube::ResourceType& type, const kube::ObjectKey& key);
  Json StoreLocked(const std::string& type, const kube::ObjectKey& key, Json object);
  base::Result<Json> UpdateLocked(const std::string& type, const kube::ObjectKey& key, Json object,
                                  const std::string& subresource);
  void EraseLocked(const std::string& type, const kube::ObjectKey& key);

  mutable std::mutex mutex_;  // Guards all below.
  mutable std::condition_variable_any changed_;
  Fault fault_;
  std::function<void(Json&)> prune_;
  std::map<std::string, std::map<kube::ObjectKey, Json>> objects_;
  std::vector<Event> events_;
  std::map<std::string, int> calls_;
  int64_t version_ = 100;
  int64_t compacted_ = 0;
  int64_t next_uid_ = 1;
  int running_watches_ = 0;
  int64_t bookmarks_ = 0;
  int64_t endings_ = 0;
  base::Status ending_;
};

}  // namespace oms::fakes
