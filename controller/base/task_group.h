// TaskGroup: named threads that are always joined.
//
// The first exception that leaves a task is kept, stops its siblings, and is told by Join().
// Declare a TaskGroup as the last member of its owner, so that its threads end before what they
// use.
#pragma once

#include <exception>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace oms::base {

class TaskGroup {
 public:
  TaskGroup() = default;
  ~TaskGroup();  // RequestStop(), then joins; a kept exception is dropped.
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // `name` is the thread's name (cut to 15 characters). Thread-safe. After RequestStop() the task
  // still runs, with a token that is stopped already.
  void Start(std::string name, std::function<void(std::stop_token)> task);
  void RequestStop() { stop_.request_stop(); }
  std::stop_token token() const { return stop_.get_token(); }

  // Waits for all tasks; rethrows the first exception once. Not thread-safe against Start().
  void Join();

 private:
  void JoinAll();

  std::stop_source stop_;
  std::mutex mutex_;  // Guards the two below.
  std::vector<std::thread> threads_;
  std::exception_ptr first_;
};

}  // namespace oms::base
