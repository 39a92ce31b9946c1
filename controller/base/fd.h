// Fd: owns a file descriptor, and closes it at its end.
#pragma once

#include <unistd.h>

#include <utility>

namespace oms::base {

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}  // -1: none.
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Whoever calls it has to close what it gives.
  int Release() { return std::exchange(fd_, -1); }
  // Closes what it has, and owns this one.
  void Reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

}  // namespace oms::base
