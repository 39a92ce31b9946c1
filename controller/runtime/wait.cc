#include "controller/runtime/wait.h"

#include <condition_variable>
#include <mutex>

namespace oms::runtime {

bool WaitFor(std::stop_token stop, base::Duration wait) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, wait, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace oms::runtime
