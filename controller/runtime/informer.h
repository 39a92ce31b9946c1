// Informer: a store of parsed objects that follows the API server by list and watch.
//
// Its protocol is an explicit state machine: Step() does one list page or one watch, and says how
// long to wait before the next. Start() runs Step() on a thread of its own.
//
//   kList   one page of the list; after the last, the store is swapped  -> kWatch
//           a continue token that has expired (410)                     -> kList from the beginning
//   kWatch  events until the stream ends; resumes from the last version -> kWatch
//           410                                                         -> kList
//           any other error: waits with backoff, then goes on in the same state
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/base/task_group.h"
#include "controller/kube/api_client.h"

namespace oms::runtime {

struct InformerOptions {
  kube::ResourceType type;
  std::string ns;  // Empty: all namespaces.
  std::string label_selector;
  int page_size = 500;
  // Times 1 to 1.2. A peer that is dead is noticed at its end, so it is not long; to begin a watch
  // anew costs one request.
  base::Duration watch_timeout = std::chrono::minutes(2);
  base::Duration first_backoff = base::Duration(500);
  base::Duration max_backoff = std::chrono::seconds(30);
  base::OnFailure on_failure = nullptr;  // The thread is gone: the process must exit.
};

// The loop under Informer<T>, which knows objects as `const void` only.
class InformerLoop {
 public:
  using Object = std::shared_ptr<const void>;
  using Parse = std::function<base::Result<Object>(const nlohmann::json&)>;
  // Null `before`: new. Null `after`: gone.
  using OnChange =
      std::function<void(const kube::ObjectKey&, const Object& before, const Object& after)>;
  using OnParseError = std::function<void(const kube::ObjectKey&, const base::Error&)>;

  enum class State { kList, kWatch };

  InformerLoop(InformerOptions options, kube::ApiClient& client, base::Random& random, Parse parse);
  ~InformerLoop();

  // Both before Start() or the first Step().
  void SetOnChange(OnChange on_change) { on_change_ = std::move(on_change); }
  void SetOnParseError(OnParseError on_error) { on_parse_error_ = std::move(on_error); }

  void Start(const base::Context& ctx);
  void Stop();  // Waits for the thread.

  // One step of the protocol, on the caller's thread. Returns the time to wait before the next.
  base::Duration Step(const base::Context& ctx);
  State state() const { return state_.load(); }

  bool HasSynced() const { return synced_.load(); }
  Object Get(const kube::ObjectKey& key) const;
  std::vector<std::pair<kube::ObjectKey, Object>> All() const;
  size_t Size() const;

 private:
  struct Entry {
    Object object;  // Null: there is such an object, but it could not be parsed.
    std::string resource_version;
  };
  using Entries = std::unordered_map<kube::ObjectKey, Entry>;

  base::Duration ListStep(const base::Context& ctx);
  base::Duration WatchStep(const base::Context& ctx);
  base::Duration Failed(const base::Context& ctx, const base::Error& error);
  Entry ParseEntry(const kube::ObjectKey& key, const nlohmann::json& object);
  void Swap();
  void Put(const kube::ObjectKey& key, Entry entry);
  void Erase(const kube::ObjectKey& key);
  void Tell(const kube::ObjectKey& key, const Object& before, const Object& after);

  const InformerOptions options_;
  kube::ApiClient& client_;
  base::Random& random_;
  const Parse parse_;
  OnChange on_change_;
  OnParseError on_parse_error_;

  // Of the loop's thread only.
  std::atomic<State> state_{State::kList};
  Entries listing_;  // Pages read so far.
  std::string continue_token_;
  std::string resource_version_;
  int failures_ = 0;

  std::atomic<bool> synced_{false};
  mutable std::shared_mutex mutex_;  // Guards entries_; only the loop's thread writes it.
  Entries entries_;

  base::TaskGroup tasks_;  // Last: its thread uses all above.
};

// Thread-safe for readers. Objects are shared and read-only: copy what you want to change.
template <typename T>
class Informer {
 public:
  using Ptr = std::shared_ptr<const T>;
  using Parse = std::function<base::Result<T>(const nlohmann::json&)>;

  Informer(InformerOptions options, kube::ApiClient& client, base::Random& random, Parse parse)
      : loop_(std::move(options), client, random,
              [parse = std::move(parse)](
                  const nlohmann::json& json) -> base::Result<InformerLoop::Object> {
                auto parsed = parse(json);
                if (!parsed.ok()) return parsed.error();
                return InformerLoop::Object(std::make_shared<const T>(std::move(*parsed)));
              }) {}

  // Called on the informer's thread for each change, after the store has it; null `before`: new;
  // null `after`: deleted. Must not block. Set before Start().
  void SetOnChange(
      std::function<void(const kube::ObjectKey&, const Ptr& before, const Ptr& after)> on_change) {
    loop_.SetOnChange([on_change = std::move(on_change)](const kube::ObjectKey& key,
                                                         const InformerLoop::Object& before,
                                                         const InformerLoop::Object& after) {
      on_change(key, std::static_pointer_cast<const T>(before),
                std::static_pointer_cast<const T>(after));
    });
  }
  // An object that cannot be parsed: Get() gives null for it, OnChange is not called, the loop
  // goes on.
  void SetOnParseError(InformerLoop::OnParseError on_error) {
    loop_.SetOnParseError(std::move(on_error));
  }

  void Start(const base::Context& ctx) { loop_.Start(ctx); }
  void Stop() { loop_.Stop(); }
  base::Duration Step(const base::Context& ctx) { return loop_.Step(ctx); }

  // True once the first list is in the store.
  bool HasSynced() const { return loop_.HasSynced(); }
  Ptr Get(const kube::ObjectKey& key) const {
    return std::static_pointer_cast<const T>(loop_.Get(key));
  }
  std::vector<Ptr> List() const {
    std::vector<Ptr> all;
    for (auto& [key, object] : loop_.All())
      all.push_back(std::static_pointer_cast<const T>(object));
    return all;
  }
  size_t Size() const { return loop_.Size(); }
  const InformerLoop& loop() const { return loop_; }

 private:
  InformerLoop loop_;
};

}  // namespace oms::runtime
