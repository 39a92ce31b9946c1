#include "controller/runtime/informer.h"

#include <nlohmann/json.hpp>

#include "controller/runtime/wait.h"

namespace oms::runtime {
namespace {

using base::Code;
using nlohmann::json;

// A watch that ends sooner than this without a single event is taken for a failure.
constexpr base::Duration kShortWatch = std::chrono::seconds(1);

std::string MetaString(const json& object, const char* member) {
  if (!object.is_object()) return {};
  const auto meta = object.find("metadata");
  if (meta == object.end() || !meta->is_object()) return {};
  const auto found = meta->find(member);
  return found != meta->end() && found->is_string() ? found->get<std::string>() : std::string();
}

kube::ObjectKey KeyOf(const json& object) {
  return {MetaString(object, "namespace"), MetaString(object, "name")};
}

}  // namespace

InformerLoop::InformerLoop(InformerOptions options, kube::ApiClient& client, base::Random& random,
                           Parse parse)
    : options_(std::move(options)),
      client_(client),
      random_(random),
      parse_(std::move(parse)),
      tasks_(options_.on_failure) {}

InformerLoop::~InformerLoop() { Stop(); }

void InformerLoop::Start(const base::Context& ctx) {
  tasks_.Start("informer", [this, ctx](std::stop_token stop) {
    const std::stop_callback bridge(ctx.stop(), [this] { tasks_.RequestStop(); });
    const base::Context mine = ctx.WithStop(stop);
    while (!stop.stop_requested()) {
      const base::Duration wait = Step(mine);
      if (wait.count() > 0) WaitFor(stop, wait);
    }
  });
}

void InformerLoop::Stop() {
  tasks_.RequestStop();
  tasks_.Join();
}

base::Duration InformerLoop::Step(const base::Context& ctx) {
  switch (state_.load()) {
    case State::kList: return ListStep(ctx);
    case State::kWatch: return WatchStep(ctx);
  }
  return options_.first_backoff;
}

base::Duration InformerLoop::ListStep(const base::Context& ctx) {
  auto page = client_.List(ctx, options_.type, options_.ns,
                           {options_.page_size, continue_token_, options_.label_selector});
  if (!page.ok()) {
    // The pages read so far belong to a list that cannot be gone on with.
    if (page.Is(Code::kExpired)) {
      continue_token_.clear();
      listing_.clear();
    }
    return Failed(ctx, page.error());
  }
  for (json& item : page->items) {
    const kube::ObjectKey key = KeyOf(item);
    if (key.name.empty()) continue;
    listing_[key] = ParseEntry(key, item);
    item = nullptr;  // A page of trees is larger than what is parsed from it.
  }
  continue_token_ = page->continue_token;
  if (!continue_token_.empty()) return base::Duration(0);
  resource_version_ = page->resource_version;
  Swap();
  state_ = State::kWatch;
  return base::Duration(0);
}

base::Duration InformerLoop::WatchStep(const base::Context& ctx) {
  kube::WatchOptions watch;
  watch.ns = options_.ns;
  watch.resource_version = resource_version_;
  watch.label_selector = options_.label_selector;
  // Spread, so that the watches of many processes do not end together.
  watch.timeout = base::Duration(static_cast<int64_t>(
      static_cast<double>(options_.watch_timeout.count()) * (1.0 + 0.2 * random_.Fraction())));
  const base::SteadyTime begin = ctx.clock().Now();
  bool heard = false;
  const base::Status status =
      client_.Watch(ctx, options_.type, watch, [&](kube::WatchEventType type, const json& object) {
        heard = true;
        failures_ = 0;
        const kube::ObjectKey key = KeyOf(object);
        switch (type) {
          case kube::WatchEventType::kAdded:
          case kube::WatchEventType::kModified:
            if (!key.name.empty()) Put(key, ParseEntry(key, object));
            break;
          case kube::WatchEventType::kDeleted:
            if (!key.name.empty()) Erase(key);
            break;
          case kube::WatchEventType::kBookmark: break;
        }
        if (std::string version = MetaString(object, "resourceVersion"); !version.empty()) {
          resource_version_ = std::move(version);
        }
        return base::Ok();
      });
  if (status.ok()) {
    if (heard || ctx.clock().Now() - begin >= kShortWatch) {
      failures_ = 0;
      return base::Duration(0);
    }
    return Failed(ctx, base::MakeError(Code::kTransient, "the watch ended immediately"));
  }
  if (status.Is(Code::kExpired)) {
    ctx.log().Info("the watch of {} is too far behind; listing again", options_.type.ToString());
    state_ = State::kList;
    listing_.clear();
    continue_token_.clear();
    // At once the first time; slower when a list is never new enough for its watch.
    return ++failures_ == 1 ? base::Duration(0)
                            : base::Backoff(options_.first_backoff, options_.max_backoff,
                                            failures_ - 2, random_.Fraction());
  }
  return Failed(ctx, status.error());
}

base::Duration InformerLoop::Failed(const base::Context& ctx, const base::Error& error) {
  if (ctx.Stopped()) return base::Duration(0);
  const base::Duration wait =
      base::Backoff(options_.first_backoff, options_.max_backoff, failures_++, random_.Fraction());
  ctx.log().Warn("{} of {} failed, again in {}: {}",
                 state_.load() == State::kList ? "list" : "watch", options_.type.ToString(),
                 base::FormatDuration(wait), error.message);
  return wait;
}

InformerLoop::Entry InformerLoop::ParseEntry(const kube::ObjectKey& key, const json& object) {
  Entry entry;
  entry.resource_version = MetaString(object, "resourceVersion");
  {
    // A relist brings mostly what we have.
    std::shared_lock lock(mutex_);
    const auto old = entries_.find(key);
    if (old != entries_.end() && !entry.resource_version.empty() &&
        old->second.resource_version == entry.resource_version) {
      return old->second;
    }
  }
  base::Result<Object> parsed = parse_(object);
  if (parsed.ok()) {
    entry.object = std::move(*parsed);
  } else if (on_parse_error_) {
    on_parse_error_(key, parsed.error());
  }
  return entry;
}

void InformerLoop::Swap() {
  Entries old;
  {
    std::unique_lock lock(mutex_);
    old = std::exchange(entries_, std::exchange(listing_, {}));
  }
  synced_ = true;
  // Only this thread changes entries_, so it may read it without the lock.
  for (const auto& [key, entry] : old) {
    if (!entries_.contains(key)) Tell(key, entry.object, nullptr);
  }
  for (const auto& [key, entry] : entries_) {
    const auto before = old.find(key);
    if (!entry.object) continue;  // Told as a parse error.
    if (before == old.end()) {
      Tell(key, nullptr, entry.object);
    } else if (before->second.resource_version != entry.resource_version) {
      Tell(key, before->second.object, entry.object);
    }
  }
}

void InformerLoop::Put(const kube::ObjectKey& key, Entry entry) {
  Object before;
  const Object after = entry.object;
  {
    std::unique_lock lock(mutex_);
    Entry& slot = entries_[key];
    if (slot.resource_version == entry.resource_version && slot.object == after && after) return;
    before = std::move(slot.object);
    slot = std::move(entry);
  }
  if (after) Tell(key, before, after);
}

void InformerLoop::Erase(const kube::ObjectKey& key) {
  Object before;
  {
    std::unique_lock lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    before = std::move(found->second.object);
    entries_.erase(found);
  }
  Tell(key, before, nullptr);
}

void InformerLoop::Tell(const kube::ObjectKey& key, const Object& before, const Object& after) {
  // Neither: gone without ever having been parsed.
  if (on_change_ && (before || after)) on_change_(key, before, after);
}

InformerLoop::Object InformerLoop::Get(const kube::ObjectKey& key) const {
  std::shared_lock lock(mutex_);
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : found->second.object;
}

std::vector<std::pair<kube::ObjectKey, InformerLoop::Object>> InformerLoop::All() const {
  std::shared_lock lock(mutex_);
  std::vector<std::pair<kube::ObjectKey, Object>> all;
  all.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) {
    if (entry.object) all.emplace_back(key, entry.object);
  }
  return all;
}

size_t InformerLoop::Size() const {
  std::shared_lock lock(mutex_);
  return entries_.size();
}

}  // namespace oms::runtime
