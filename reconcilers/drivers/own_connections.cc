#include "reconcilers/drivers/own_connections.h"

#include <map>
#include <mutex>
#include <utility>

namespace oms::drivers {

namespace {

using SteadyClock = std::chrono::steady_clock;

struct Registry {
  std::mutex mutex;
  // Until when each counts; guarded by mutex.
  std::map<std::pair<std::string, uint64_t>, SteadyClock::time_point> ids;
};

Registry& Get() {
  static auto* registry = new Registry;  // Outlives threads that are left behind at exit.
  return *registry;
}

}  // namespace

void OwnConnections::Add(const std::string& server, uint64_t id) {
  const std::lock_guard lock(Get().mutex);
  Get().ids[{server, id}] = SteadyClock::time_point::max();
}

void OwnConnections::Remove(const std::string& server, uint64_t id) {
  const auto now = SteadyClock::now();
  const std::lock_guard lock(Get().mutex);
  std::erase_if(Get().ids, [&](const auto& entry) { return entry.second < now; });
  const auto found = Get().ids.find({server, id});
  if (found != Get().ids.end()) found->second = now + kGrace;
}

bool OwnConnections::Has(const std::string& server, uint64_t id) {
  const std::lock_guard lock(Get().mutex);
  const auto found = Get().ids.find({server, id});
  return found != Get().ids.end() && SteadyClock::now() <= found->second;
}

}  // namespace oms::drivers
