#include "controller/base/task_group.h"

#include <pthread.h>

#include <utility>

namespace oms::base {

TaskGroup::~TaskGroup() {
  RequestStop();
  JoinAll();
}

void TaskGroup::Start(std::string name, std::function<void(std::stop_token)> task) {
  std::lock_guard lock(mutex_);
  threads_.emplace_back([this, name = name.substr(0, 15), task = std::move(task)] {
    pthread_setname_np(pthread_self(), name.c_str());
    try {
      task(stop_.get_token());
    } catch (...) {
      {
        std::lock_guard inner(mutex_);
        if (!first_) first_ = std::current_exception();
      }
      stop_.request_stop();
    }
  });
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
