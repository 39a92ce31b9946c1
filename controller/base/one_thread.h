// OnOneThread: while one lives, a TaskGroup starts no thread from this one. Start() does the task
// itself, and returns when it has ended. For tests that must come out the same each time.
#pragma once

namespace oms::base {

class OnOneThread {
 public:
  OnOneThread();
  ~OnOneThread();
  OnOneThread(const OnOneThread&) = delete;
  OnOneThread& operator=(const OnOneThread&) = delete;
  static bool Holds();  // Of the thread that asks.
};

}  // namespace oms::base
