// Manager: starts the parts of the process in order, waits for the end, stops them in reverse.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/fd.h"
#include "controller/base/log.h"
#include "controller/base/result.h"

namespace oms::runtime {

class Manager {
 public:
  // Blocks SIGTERM and SIGINT for this thread and all that it starts, so that Run() alone takes
  // them, and ignores SIGPIPE. First thing in main(), before any thread. A child process inherits
  // both: whoever starts one sets its mask and dispositions back (posix_spawnattr_setsigmask,
  // posix_spawnattr_setsigdefault).
  static void BlockSignals();

  // `grace`: when stopping has taken longer than this the process ends at once, with exit code 1.
  // So does a second signal.
  explicit Manager(base::Logger logger, base::Duration grace = std::chrono::seconds(25));
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  // `start` must return soon (it starts threads); its error ends Run(). `stop` waits until its part
  // has ended; it is called only if `start` succeeded. Either may be empty.
  void Add(std::string name, std::function<base::Status()> start, std::function<void()> stop);

  // Ends Run() with this exit code; the first call counts. Thread-safe, does not block.
  void RequestExit(int code, const std::string& why);
  // Why the process ends with an exit code other than 0; empty while it does not. For /healthz.
  std::string Failure() const;

  // Starts all, waits for SIGTERM, SIGINT (exit code 0) or RequestExit(), stops what was started.
  // Returns the exit code; 1 when a part did not start, or threw when it was stopped (the others
  // are stopped all the same).
  int Run();

 private:
  struct Part {
    std::string name;
    std::function<base::Status()> start;
    std::function<void()> stop;
  };

  base::Status StartPart(const Part& part) const;
  bool StopPart(const Part& part) const;  // False: it threw.
  int Wait();

  const base::Logger logger_;
  const base::Duration grace_;
  std::vector<Part> parts_;

  base::Fd signals_;  // signalfd
  base::Fd asked_;    // eventfd, readable once RequestExit() was called.

  mutable std::mutex mutex_;  // Guards the two below.
  int exit_code_ = -1;        // -1: not asked to exit.
  std::string why_;
};

}  // namespace oms::runtime
