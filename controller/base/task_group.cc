#include "controller/base/task_group.h"

#include <fmt/format.h>
#include <pthread.h>

#include <utility>

#include "controller/base/log.h"
#include "controller/base/one_thread.h"

namespace oms::base {
namespace {

// Inside a catch block.
std::string WhatWasThrown() {
  try {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "the exception is not a std::exception";
  }
}

thread_local int on_one_thread = 0;

}  // namespace

OnOneThread::OnOneThread() { ++on_one_thread; }
OnOneThread::~OnOneThread() { --on_one_thread; }
bool OnOneThread::Holds() { return on_one_thread > 0; }

TaskGroup::TaskGroup(OnFailure on_failure) : on_failure_(std::move(on_failure)) {}

TaskGroup::~TaskGroup() {
  RequestStop();
  JoinAll();
}

void TaskGroup::Start(std::string name, std::function<void(std::stop_token)> task) {
  auto run = [this, name = name.substr(0, 15), task = std::move(task)] {
    try {
      task(stop_.get_token());
    } catch (...) {
      Failed(name);
    }
  };
  if (OnOneThread::Holds()) return run();
  std::lock_guard lock(mutex_);
  threads_.emplace_back([name = name.substr(0, 15), run = std::move(run)] {
    pthread_setname_np(pthread_self(), name.c_str());
    run();
  });
}

void TaskGroup::Failed(const std::string& name) {
  if (on_failure_) {
    const std::string what =
        fmt::format("thread '{}' ended with an exception: {}", name, WhatWasThrown());
    Logger().Error("{}", what);
    if (*on_failure_) (*on_failure_)(what);
  } else {
    std::lock_guard lock(mutex_);
    if (!first_) first_ = std::current_exception();
  }
  stop_.request_stop();
}

void TaskGroup::Join() {
  JoinAll();
  std::exception_ptr first;
  {
    std::lock_guard lock(mutex_);
    first = std::exchange(first_, nullptr);
  }
  if (first) std::rethrow_exception(first);
}

void TaskGroup::JoinAll() {
  while (true) {
    std::vector<std::thread> threads;
    {
      std::lock_guard lock(mutex_);
      threads.swap(threads_);
    }
    if (threads.empty()) return;
    for (auto& thread : threads) thread.join();
  }
}

}  // namespace oms::base
