#include "controller/runtime/event_recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "controller/base/text.h"

namespace oms::runtime {
namespace {

using base::Code;
using nlohmann::json;

const kube::ResourceType kEvents = {"", "v1", "events"};
constexpr size_t kMaxMessage = 1024;  // The API server refuses more.
// As client-go: 12 tries over about two minutes. Not evenly, so that a short trouble costs little.
constexpr int kMaxTries = 12;
constexpr base::Duration kFirstPause = base::Duration(500);
constexpr base::Duration kMaxPause = std::chrono::seconds(15);
constexpr base::Duration kRequestTimeout = std::chrono::seconds(10);

std::string_view TypeName(EventType type) {
  return type == EventType::kWarning ? "Warning" : "Normal";
}

// Of object, type, reason and message: what makes two events the same.
std::string IdentityOf(const ObjectRef& object, EventType type, const std::string& reason,
                       const std::string& message) {
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}", object.kind, object.ns, object.name, object.uid,
                     TypeName(type), reason, message);
}

}  // namespace

ApiEventRecorder::ApiEventRecorder(Options options, kube::ApiClient& client,
                                   const base::Clock& clock)
    : options_(std::move(options)), client_(client), clock_(clock), tasks_(options_.on_failure) {}

ApiEventRecorder::~ApiEventRecorder() {
  tasks_.RequestStop();
  tasks_.Join();
}

void ApiEventRecorder::Start(const base::Context& ctx) {
  tasks_.Start("events", [this, ctx](std::stop_token stop) { Run(ctx.WithStop(std::move(stop))); });
}

void ApiEventRecorder::Run(const base::Context& ctx) {
  while (!ctx.Stopped()) {
    (void)WriteOne(ctx);
    std::unique_lock lock(mutex_);
    if (draining_ && queue_.empty()) return;
    const uint64_t seen = changes_;
    const auto changed = [&] { return changes_ != seen; };
    if (const auto wait = WaitLocked()) {
      changed_.wait_for(lock, ctx.stop(), *wait, changed);
    } else {
      changed_.wait(lock, ctx.stop(), changed);
    }
  }
}

void ApiEventRecorder::Stop(base::Duration grace) {
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
    ++changes_;
  }
  changed_.notify_all();
  const auto deadline = std::chrono::steady_clock::now() + grace;
  {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, deadline, [&] { return queue_.empty() && !writing_; });
  }
  tasks_.RequestStop();
  tasks_.Join();
}

void ApiEventRecorder::Event(const ObjectRef& object, EventType type, const std::string& reason,
                             const std::string& message,
                             const std::map<std::string, std::string>& annotations) {
  Item item{object, type, reason, base::CutText(message, kMaxMessage), annotations, clock_.Wall()};
  item.identity = IdentityOf(object, type, reason, item.message);
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() >= options_.max_queue) {
      queue_.pop_front();
      ++dropped_;
    }
    item.number = next_number_++;
    item.due = clock_.Now();
    queue_.push_back(std::move(item));
    ++changes_;
  }
  changed_.notify_all();
}

uint64_t ApiEventRecorder::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

ApiEventRecorder::Queue::iterator ApiEventRecorder::NextLocked() {
  const base::SteadyTime now = clock_.Now();
  std::unordered_set<std::string_view> older;
  auto first = queue_.end();
  for (auto item = queue_.begin(); item != queue_.end(); ++item) {
    if (!older.insert(item->identity).second) continue;
    if (item->due <= now || draining_) return item;
    if (first == queue_.end() || item->due < first->due) first = item;
  }
  return first;
}

std::optional<base::Duration> ApiEventRecorder::WaitLocked() {
  const auto next = NextLocked();
  if (next == queue_.end()) return std::nullopt;
  if (draining_) return base::Duration(0);
  return std::max(base::Duration(0), std::chrono::ceil<base::Duration>(next->due - clock_.Now()));
}

void ApiEventRecorder::PutBackLocked(Item item) {
  item.due = clock_.Now() + base::Backoff(kFirstPause, kMaxPause, item.failures - 1, 0.5);
  const auto younger = std::find_if(queue_.begin(), queue_.end(),
                                    [&](const Item& other) { return other.number > item.number; });
  queue_.insert(younger, std::move(item));
  if (queue_.size() > options_.max_queue) {
    queue_.pop_front();
    ++dropped_;
  }
}

std::optional<base::Duration> ApiEventRecorder::WriteOne(const base::Context& ctx) {
  Item item;
  {
    std::lock_guard lock(mutex_);
    if (const auto wait = WaitLocked(); !wait || wait->count() > 0) return wait;
    const auto next = NextLocked();
    item = std::move(*next);
    queue_.erase(next);
    writing_ = true;
  }
  const base::Status status = Write(ctx.WithTimeout(kRequestTimeout), item);
  std::optional<base::Duration> wait;
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!status.ok()) {
      if (status.error().Retryable() && ++item.failures < kMaxTries && !draining_) {
        PutBackLocked(std::move(item));
      } else {
        ++dropped_;
      }
    }
    wait = WaitLocked();
  }
  changed_.notify_all();
  if (!status.ok() && !ctx.Stopped()) {
    ctx.log().Warn("an event could not be written: {}", status.error().message);
  }
  return wait;
}

base::Status ApiEventRecorder::Write(const base::Context& ctx, Item& item) {
  const std::string ns = item.object.ns.empty() ? "default" : item.object.ns;
  const base::SteadyTime now = clock_.Now();
  const auto known = known_.find(item.identity);
  // With a name of its own it may be there already, and is not counted on another.
  if (known != known_.end() && item.event_name.empty()) {
    if (now - known->second.last < options_.window) {
      const json bump = {{"count", known->second.count + 1},
                         {"lastTimestamp", base::FormatTime(item.when)}};
      auto patched = client_.Patch(ctx, kEvents, {ns, known->second.event_name},
                                   kube::PatchType::kMerge, bump);
      if (patched.ok()) {
        ++known->second.count;
        known->second.last = now;
        return base::Ok();
      }
      // The API server forgets events after an hour or so.
      if (!patched.Is(Code::kNotFound)) return patched.error();
    }
    known_.erase(known);
  }
  if (item.event_name.empty()) {
    item.event_name =
        fmt::format("{}.{}", item.object.name.substr(0, 200), base::RandomId().substr(0, 16));
  }
  OMS_TRY(Create(ctx, ns, item));
  if (known_.size() >= options_.max_known) {
    known_.erase(std::min_element(known_.begin(), known_.end(), [](const auto& a, const auto& b) {
      return a.second.last < b.second.last;
    }));
  }
  known_[item.identity] = {item.event_name, 1, now};
  return base::Ok();
}

base::Status ApiEventRecorder::Create(const base::Context& ctx, const std::string& ns,
                                      const Item& item) {
  const std::string when = base::FormatTime(item.when);
  json involved = {{"apiVersion", item.object.api_version},
                   {"kind", item.object.kind},
                   {"name", item.object.name}};
  if (!item.object.ns.empty()) involved["namespace"] = item.object.ns;
  if (!item.object.uid.empty()) involved["uid"] = item.object.uid;
  json metadata = {{"name", item.event_name}, {"namespace", ns}};
  if (!item.annotations.empty()) metadata["annotations"] = item.annotations;
  auto created = client_.Create(ctx, kEvents, ns,
                                {{"apiVersion", "v1"},
                                 {"kind", "Event"},
                                 {"metadata", std::move(metadata)},
                                 {"involvedObject", std::move(involved)},
                                 {"type", TypeName(item.type)},
                                 {"reason", item.reason},
                                 {"message", item.message},
                                 {"firstTimestamp", when},
                                 {"lastTimestamp", when},
                                 {"count", 1},
                                 {"source", {{"component", options_.component}}},
                                 {"reportingComponent", options_.component},
                                 {"reportingInstance", options_.instance}});
  // The name is random: if it exists, it is ours, by an earlier try or sent twice by the HTTP
  // library.
  if (!created.ok() && !created.Is(Code::kAlreadyExists)) return created.error();
  return base::Ok();
}

}  // namespace oms::runtime
