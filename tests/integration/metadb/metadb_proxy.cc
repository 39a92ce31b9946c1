#include "tests/integration/metadb/metadb_proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace oms::drivers {
namespace {

constexpr unsigned char kIdShift = 0x40;  // Added to the highest byte of the id.

sockaddr_in Local(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool SendAll(int to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// Header (4 bytes), protocol (1), version and its NUL, id (4, the lowest first).
bool SendGreetingWithOtherId(int from, int to) {
  std::string packet;
  std::array<char, 512> buffer{};
  while (packet.size() < 4 || packet.size() < 4U + static_cast<unsigned char>(packet[0])) {
    const ssize_t n = recv(from, buffer.data(), buffer.size(), 0);
    if (n <= 0) return false;
    packet.append(buffer.data(), static_cast<size_t>(n));
  }
  const size_t end = packet.find('\0', 5);
  if (end == std::string::npos || end + 4 >= packet.size()) return false;
  packet[end + 4] = static_cast<char>(static_cast<unsigned char>(packet[end + 4]) + kIdShift);
  return SendAll(to, packet);
}

void PassOn(int client, int server, std::string_view misspelt) {
  std::array<char, 16384> buffer{};
  for (std::array<pollfd, 2> fds{{{client, POLLIN, 0}, {server, POLLIN, 0}}};
       poll(fds.data(), fds.size(), -1) > 0;) {
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents == 0) continue;
      const ssize_t n = recv(fds[i].fd, buffer.data(), buffer.size(), 0);
      if (n <= 0) return;
      std::string bytes(buffer.data(), static_cast<size_t>(n));
      const size_t at = misspelt.empty() || i != 0 ? std::string::npos : bytes.find(misspelt);
      if (at != std::string::npos) bytes[at] = '?';
      if (!SendAll(fds[1 - i].fd, bytes)) return;
    }
  }
}

}  // namespace

struct MetaDbProxy::Sockets {
  int listener = -1;
  int port = 0;
  int server_port = 0;
  Twist twist = Twist::kOtherIds;
  std::mutex mutex;
  std::set<int> open;  // Guarded by mutex, as `threads`.
  std::vector<std::jthread> threads;
  std::jthread acceptor;

  void Serve(int client) {
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    {
      const std::lock_guard lock(mutex);
      open.insert(server);
    }
    const sockaddr_in address = Local(server_port);
    if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        (twist != Twist::kOtherIds || SendGreetingWithOtherId(server, client))) {
      PassOn(client, server, twist == Twist::kNoRenameTable ? "RENAME TABLE" : "");
    }
    const std::lock_guard lock(mutex);
    for (const int fd : {client, server}) {
      open.erase(fd);
      close(fd);
    }
  }

  void Accept() {
    for (int client = 0; (client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      const std::lock_guard lock(mutex);
      open.insert(client);
      threads.emplace_back([this, client] { Serve(client); });
    }
  }
};

MetaDbProxy::MetaDbProxy(const upgrade::DbServerAddress& server, Twist twist)
    : sockets_(std::make_unique<Sockets>()) {
  sockets_->twist = twist;
  sockets_->server_port = server.port;
  sockets_->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Local(0);
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  if (bind(sockets_->listener, raw, size) != 0 || listen(sockets_->listener, 16) != 0 ||
      getsockname(sockets_->listener, raw, &size) != 0) {
    ADD_FAILURE() << "no port on 127.0.0.1";
    return;
  }
  sockets_->port = ntohs(address.sin_port);
  sockets_->acceptor = std::jthread([sockets = sockets_.get()] { sockets->Accept(); });
}

MetaDbProxy::~MetaDbProxy() {
  shutdown(sockets_->listener, SHUT_RDWR);
  if (sockets_->acceptor.joinable()) sockets_->acceptor.join();
  close(sockets_->listener);
  {
    const std::lock_guard lock(sockets_->mutex);
    for (const int fd : sockets_->open) shutdown(fd, SHUT_RDWR);
  }
  sockets_->threads.clear();  // Joined.
}

int MetaDbProxy::port() const { return sockets_->port; }

}  // namespace oms::drivers
