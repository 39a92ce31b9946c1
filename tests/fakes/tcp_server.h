// One connection at the loopback address, for a test to speak on.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>

#include <functional>
#include <thread>
#include <utility>

#include "controller/base/fd.h"

namespace oms::fakes {

class TcpServer {
 public:
  // `speak` gets the connection's socket; the connection is closed when it returns.
  explicit TcpServer(std::function<void(int connection)> speak, int family = AF_INET)
      : listener_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage address{};
    address.ss_family = static_cast<sa_family_t>(family);
    if (family == AF_INET6) {
      reinterpret_cast<sockaddr_in6&>(address).sin6_addr = in6addr_loopback;
    } else {
      reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    socklen_t size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (!listener_.valid() || bind(listener_.get(), any, size) != 0 ||
        listen(listener_.get(), 4) != 0 || getsockname(listener_.get(), any, &size) != 0)
      return;
    port = ntohs(family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                    : reinterpret_cast<sockaddr_in&>(address).sin_port);
    thread_ = std::thread([this, speak = std::move(speak)] {
      const base::Fd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (connection.valid()) speak(connection.get());
    });
  }
  ~TcpServer() {
    shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }
  TcpServer(const TcpServer&) = delete;
  TcpServer& operator=(const TcpServer&) = delete;

  int port = 0;  // 0: this machine has no such addresses.

 private:
  base::Fd listener_;
  std::thread thread_;
};

}  // namespace oms::fakes
