// TaskGroup: named threads that are always joined.
//
// An exception that leaves a task stops its siblings. Where somebody waits for the work, Join()
// rethrows the first one. Threads that live as long as their owner are waited for by nobody until
// the end, so they are given an OnFailure, which is told at once.
//
// Declare a TaskGroup as the last member of its owner, so that its threads end before what they
// use.
#pragma once

#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace oms::base {

// Called on the thread that failed, with its name and what was thrown. Must not throw or block.
using OnFailure = std::function<void(const std::string& what)>;

class TaskGroup {
 public:
  TaskGroup() = default;
  // Each exception is logged and told to `on_failure` (which may be empty) when it happens, and
  // Join() never throws.
  explicit TaskGroup(OnFailure on_failure);
  ~TaskGroup();  // RequestStop(), then joins; a kept exception is dropped.
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // `name` is the thread's name (cut to 15 characters). Thread-safe. After RequestStop() the task
  // still runs, with a token that is stopped already.
  void Start(std::string name, std::function<void(std::stop_token)> task);
  void RequestStop() { stop_.request_stop(); }
  std::stop_token token() const { return stop_.get_token(); }

  // Waits for all tasks; rethrows the first exception once, unless there is an OnFailure. Not
  // thread-safe against Start().
  void Join();

 private:
  void JoinAll();
  void Failed(const std::string& name);  // Inside a catch block.

  const std::optional<OnFailure> on_failure_;
  std::stop_source stop_;
  std::mutex mutex_;  // Guards the two below.
  std::vector<std::thread> threads_;
  std::exception_ptr first_;
};

}  // namespace oms::base
