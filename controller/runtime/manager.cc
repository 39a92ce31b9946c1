#include "controller/runtime/manager.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <thread>
#include <utility>

namespace oms::runtime {
namespace {

sigset_t EndSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

void Raise(int event_fd) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event_fd, &one, sizeof one);
}

}  // namespace

void Manager::BlockSignals() {
  const sigset_t set = EndSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

Manager::Manager(base::Logger logger, base::Duration grace)
    : logger_(std::move(logger)), grace_(grace) {
  const sigset_t set = EndSignals();
  signals_.Reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  asked_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

Manager::~Manager() = default;

void Manager::Add(std::string name, std::function<base::Status()> start,
                  std::function<void()> stop) {
  parts_.push_back({std::move(name), std::move(start), std::move(stop)});
}

void Manager::RequestExit(int code, const std::string& why) {
  {
    std::lock_guard lock(mutex_);
    if (exit_code_ >= 0) return;
    exit_code_ = code;
    why_ = why;
  }
  Raise(asked_.get());
}

std::string Manager::Failure() const {
  std::lock_guard lock(mutex_);
  return exit_code_ > 0 ? why_ : std::string();
}

base::Status Manager::StartPart(const Part& part) const {
  if (!part.start) return base::Ok();
  try {
    return part.start();
  } catch (const std::exception& error) {  // A thread that cannot be made.
    return base::MakeError(base::Code::kInternal, error.what());
  }
}

bool Manager::StopPart(const Part& part) const {
  if (!part.stop) return true;
  logger_.Debug("stopping {}", part.name);
  try {
    part.stop();
    return true;
  } catch (const std::exception& error) {
    logger_.Error("{} did not stop cleanly: {}", part.name, error.what());
    return false;
  }
}

int Manager::Wait() {
  pollfd polled[2] = {{signals_.get(), POLLIN, 0}, {asked_.get(), POLLIN, 0}};
  while (true) {
    if (poll(polled, 2, -1) < 0) continue;
    if (polled[1].revents != 0) {
      std::lock_guard lock(mutex_);
      if (exit_code_ == 0) {
        logger_.Info("stopping: {}", why_);
      } else {
        logger_.Error("stopping with exit code {}: {}", exit_code_, why_);
      }
      return exit_code_;
    }
    signalfd_siginfo info;
    if (polled[0].revents != 0 && read(signals_.get(), &info, sizeof info) == sizeof info) {
      logger_.Info("stopping: {}", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
      return 0;
    }
  }
}

int Manager::Run() {
  int code = 0;
  size_t started = 0;
  for (; started < parts_.size(); ++started) {
    const Part& part = parts_[started];
    if (const base::Status status = StartPart(part); !status.ok()) {
      logger_.Error("{} cannot be started: {}", part.name, status.error().message);
      code = 1;
      break;
    }
  }
  if (started == parts_.size()) code = Wait();

  const base::Fd done(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  std::thread watchdog([this, &done] {
    pollfd polled[2] = {{signals_.get(), POLLIN, 0}, {done.get(), POLLIN, 0}};
    const int ready = poll(polled, 2, static_cast<int>(grace_.count()));
    if (polled[1].revents != 0) return;
    if (ready == 0) {
      logger_.Error("stopping took longer than {}; ending now", base::FormatDuration(grace_));
    } else {
      logger_.Error("a second signal: ending now");
    }
    std::_Exit(1);
  });
  while (started > 0) {
    if (!StopPart(parts_[--started])) code = 1;
  }
  Raise(done.get());
  watchdog.join();
  return code;
}

}  // namespace oms::runtime
