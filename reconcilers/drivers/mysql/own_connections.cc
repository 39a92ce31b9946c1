#include "reconcilers/drivers/mysql/own_connections.h"

#include <map>
#include <mutex>
#include <utility>

namespace oms::drivers::mysql {

namespace {

using SteadyClock = std::chrono::steady_clock;

struct Entry {
  SteadyClock::time_point until = SteadyClock::time_point::max();  // It counts.
  std::string address;                                             // Empty: whatever is shown.
};

struct Registry {
  std::mutex mutex;
  std::map<std::pair<std::string, uint64_t>, Entry> ids;  // Guarded by mutex.
};

Registry& Get() {
  static auto* registry = new Registry;  // Outlives threads that are left behind at exit.
  return *registry;
}

}  // namespace

void OwnConnections::Add(const std::string& server, uint64_t id) { AddKept(server, id, ""); }

void OwnConnections::AddKept(const std::string& server, uint64_t id, const std::string& address) {
  const std::lock_guard lock(Get().mutex);
  Get().ids[{server, id}] = {.address = address};
}

void OwnConnections::Remove(const std::string& server, uint64_t id) {
  const auto now = SteadyClock::now();
  const std::lock_guard lock(Get().mutex);
  std::erase_if(Get().ids, [&](const auto& item) { return item.second.until < now; });
  const auto found = Get().ids.find({server, id});
  if (found != Get().ids.end()) found->second.until = now + kGrace;
}

bool OwnConnections::Has(const std::string& server, uint64_t id, const std::string& address) {
  const std::lock_guard lock(Get().mutex);
  const auto found = Get().ids.find({server, id});
  if (found == Get().ids.end()) return false;
  const Entry& entry = found->second;
  return SteadyClock::now() <= entry.until && (entry.address.empty() || entry.address == address);
}

}  // namespace oms::drivers::mysql
