// ApiClient: what the controller asks of a Kubernetes API server.
//
// Every call blocks its thread, checks Context::Check() before it goes out (so a stopped or fenced
// process sends nothing more), and ends by the context's deadline or stop token. Thread-safe.
//
// Errors, by the API server's answer:
//   404 kNotFound · 409 kAlreadyExists or kConflict, by its reason · 410 kExpired · 401, 403
//   kDenied 400, 405, 406, 413, 415, 422 kInvalid · 429, 5xx kTransient (Retry-After was waited for
//   once) no answer in time kTimeout (a write may or may not have been done) · any other failure of
//   the network kTransient (the same holds) · stop token kCancelled.
// Error::reason is the Status object's reason ("AlreadyExists", "Conflict", "Expired" ...), its
// message the server's own sentence. Neither ever holds a token.
//
// A Create whose connection died may have been sent twice: kAlreadyExists may then speak of our own
// object. Look at it before taking it for another's.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/kube/meta.h"

namespace oms::kube {

struct ResourceType {
  std::string group;  // "" is the core group.
  std::string version;
  std::string plural;

  std::string ToString() const;  // "plural.version.group".
};

enum class PatchType {
  kMerge,  // RFC 7386. A list is replaced as a whole.
  kJson,   // RFC 6902.
  kApply,  // Server-side apply; needs a field manager, takes over the fields it names.
};

struct ListOptions {
  int limit = 0;               // Objects in a page; 0: all.
  std::string continue_token;  // Of the page before.
  std::string label_selector;
};

struct ListPage {
  std::vector<nlohmann::json> items;
  std::string resource_version;
  std::string continue_token;  // Empty: this was the last page.
};

struct DeleteOptions {
  std::string resource_version;  // Empty: any.
  std::string uid;               // Empty: any.
};

struct WatchOptions {
  std::string ns;                // Empty: all namespaces.
  std::string resource_version;  // Events after this one.
  std::string label_selector;
  base::Duration timeout = std::chrono::minutes(2);  // The server ends the watch after this.
  bool bookmarks = true;
};

enum class WatchEventType { kAdded, kModified, kDeleted, kBookmark };

// A bookmark's object has a metadata.resourceVersion and nothing else of use. An error returned by
// the sink ends the watch, which returns it.
using WatchSink = std::function<base::Status(WatchEventType type, const nlohmann::json& object)>;

// To look at.
class ApiReader {
 public:
  virtual ~ApiReader() = default;

  virtual base::Result<nlohmann::json> Get(const base::Context& ctx, const ResourceType& type,
                                           const ObjectKey& key) = 0;
  // `ns` empty: all namespaces.
  virtual base::Result<ListPage> List(const base::Context& ctx, const ResourceType& type,
                                      const std::string& ns, const ListOptions& options) = 0;
  // Calls `sink` on this thread for each event, in order. Returns Ok() on a clean end (the server's
  // timeout, or nothing heard for longer than that), kExpired when the resource version is too old
  // (list again), else the error of the stream: watch again from the last version that was seen.
  virtual base::Status Watch(const base::Context& ctx, const ResourceType& type,
                             const WatchOptions& options, const WatchSink& sink) = 0;
};

class ApiClient : public ApiReader {
 public:
  // Each of these answers with the object as the server has it now.
  virtual base::Result<nlohmann::json> Create(const base::Context& ctx, const ResourceType& type,
                                              const std::string& ns,
                                              const nlohmann::json& object) = 0;
  virtual base::Result<nlohmann::json> Replace(const base::Context& ctx, const ResourceType& type,
                                               const ObjectKey& key, const nlohmann::json& object,
                                               const std::string& subresource = "") = 0;
  virtual base::Result<nlohmann::json> Patch(const base::Context& ctx, const ResourceType& type,
                                             const ObjectKey& key, PatchType patch_type,
                                             const nlohmann::json& body,
                                             const std::string& subresource = "",
                                             const std::string& field_manager = "") = 0;
  virtual base::Status Delete(const base::Context& ctx, const ResourceType& type,
                              const ObjectKey& key, const DeleteOptions& options = {}) = 0;
};

}  // namespace oms::kube
