#include "controller/runtime/event_recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/runtime/wait.h"

namespace oms::runtime {
namespace {

using base::Code;
using nlohmann::json;

const kube::ResourceType kEvents = {"", "v1", "events"};
constexpr size_t kMaxMessage = 1024;  // The API server refuses more.
constexpr int kMaxTries = 5;
constexpr base::Duration kRequestTimeout = std::chrono::seconds(10);

// Cut at a whole UTF-8 character.
std::string Cut(const std::string& text, size_t limit) {
  if (text.size() <= limit) return text;
  size_t end = limit - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

std::string_view TypeName(EventType type) {
  return type == EventType::kWarning ? "Warning" : "Normal";
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
    if (const auto wait = WriteOne(ctx)) {
      if (wait->count() > 0) WaitFor(ctx.stop(), *wait);
      continue;
    }
    std::unique_lock lock(mutex_);
    if (draining_ && queue_.empty()) return;
    changed_.wait(lock, ctx.stop(), [&] { return !queue_.empty() || draining_; });
  }
}

void ApiEventRecorder::Stop(base::Duration grace) {
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
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
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() >= options_.max_queue) {
      queue_.pop_front();
      ++dropped_;
    }
    queue_.push_back({object, type, reason, Cut(message, kMaxMessage), annotations, clock_.Wall()});
  }
  changed_.notify_one();
}

uint64_t ApiEventRecorder::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

std::optional<base::Duration> ApiEventRecorder::WriteOne(const base::Context& ctx) {
  Item item;
  {
    std::lock_guard lock(mutex_);
    if (queue_.empty()) return std::nullopt;
    item = std::move(queue_.front());
    queue_.pop_front();
    writing_ = true;
  }
  const base::Status status = Write(ctx.WithTimeout(kRequestTimeout), item);
  base::Duration wait(0);
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!status.ok()) {
      if (status.error().Retryable() && ++item.failures < kMaxTries && !draining_) {
        wait = base::Backoff(base::Duration(500), std::chrono::seconds(10), item.failures - 1, 0.5);
        queue_.push_front(std::move(item));
      } else {
        ++dropped_;
      }
    }
  }
  changed_.notify_all();
  if (!status.ok() && !ctx.Stopped()) {
    ctx.log().Warn("an event could not be written: {}", status.error().message);
  }
  return wait;
}

base::Status ApiEventRecorder::Write(const base::Context& ctx, const Item& item) {
  const std::string ns = item.object.ns.empty() ? "default" : item.object.ns;
  const Identity identity =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}", item.object.kind, item.object.ns, item.object.name,
                  item.object.uid, TypeName(item.type), item.reason, item.message);
  const base::SteadyTime now = clock_.Now();
  const std::string when = base::FormatTime(item.when);
  if (const auto known = known_.find(identity); known != known_.end()) {
    if (now - known->second.last < options_.window) {
      const json bump = {{"count", known->second.count + 1}, {"lastTimestamp", when}};
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

  const std::string name =
      fmt::format("{}.{}", item.object.name.substr(0, 200), base::RandomId().substr(0, 16));
  json involved = {{"apiVersion", item.object.api_version},
                   {"kind", item.object.kind},
                   {"name", item.object.name}};
  if (!item.object.ns.empty()) involved["namespace"] = item.object.ns;
  if (!item.object.uid.empty()) involved["uid"] = item.object.uid;
  json metadata = {{"name", name}, {"namespace", ns}};
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
  // The name is random: if it exists, it is ours, sent twice by the HTTP library.
  if (!created.ok() && !created.Is(Code::kAlreadyExists)) return created.error();
  if (known_.size() >= options_.max_known) {
    known_.erase(std::min_element(known_.begin(), known_.end(), [](const auto& a, const auto& b) {
      return a.second.last < b.second.last;
    }));
  }
  known_[identity] = {name, 1, now};
  return base::Ok();
}

}  // namespace oms::runtime
