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

// What a client gave of itself; shared by all connections.
struct Gifts {
  std::mutex mutex;
  int asked = 0;
  std::string given;
  bool announced = false;
};

// One packet of the protocol, without its header; false: the connection has ended.
bool ReadPacket(int from, std::string& packet, unsigned char& number) {
  const auto exactly = [from](char* into, size_t size) {
    for (size_t done = 0; done < size;) {
      const ssize_t n = recv(from, into + done, size - done, 0);
      if (n <= 0) return false;
      done += static_cast<size_t>(n);
    }
    return true;
  };
  std::array<unsigned char, 4> header{};
  if (!exactly(reinterpret_cast<char*>(header.data()), header.size())) return false;
  packet.resize(header[0] | header[1] << 8 | header[2] << 16);
  number = header[3];
  return exactly(packet.data(), packet.size());
}
bool SendPacket(int to, std::string_view body, unsigned char number) {
  std::string packet;
  for (int shift : {0, 8, 16}) packet += static_cast<char>(body.size() >> shift & 0xff);
  packet += static_cast<char>(number);
  return SendAll(to, packet.append(body));
}

// From a client that was asked for a file: its pieces, until the empty one that ends it.
bool TakeFile(int client, Gifts& gifts) {
  std::string piece;
  for (unsigned char number = 0; ReadPacket(client, piece, number);) {
    if (piece.empty()) return SendPacket(client, std::string("\0\0\0\2\0\0\0", 7), number + 1);
    const std::lock_guard lock(gifts.mutex);
    gifts.given += piece;
  }
  return false;
}

struct Twisting {
  std::string misspelt;          // What the client says and the server does not know.
  std::string said, instead;     // By the server.
  std::string asks_after, file;  // kAsksForFile.
  Gifts* gifts = nullptr;
};

void PassOn(int client, int server, const Twisting& twisting) {
  std::array<char, 16384> buffer{};
  bool first = true;
  for (std::array<pollfd, 2> fds{{{client, POLLIN, 0}, {server, POLLIN, 0}}};
       poll(fds.data(), fds.size(), -1) > 0;) {
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents == 0) continue;
      const ssize_t n = recv(fds[i].fd, buffer.data(), buffer.size(), 0);
      if (n <= 0) return;
      std::string bytes(buffer.data(), static_cast<size_t>(n));
      if (i == 0 && !twisting.misspelt.empty()) {
        const size_t at = bytes.find(twisting.misspelt);
        if (at != std::string::npos) bytes[at] = '?';
      }
      if (i == 1 && !twisting.said.empty()) {
        for (size_t at = bytes.find(twisting.said); at != std::string::npos;
             at = bytes.find(twisting.said, at)) {
          bytes.replace(at, twisting.said.size(), twisting.instead);
        }
      }
      if (i == 0 && twisting.gifts != nullptr) {
        {
          const std::lock_guard lock(twisting.gifts->mutex);
          // CLIENT_LOCAL_FILES, in the first byte after the header.
          if (first && bytes.size() > 4) twisting.gifts->announced |= (bytes[4] & 0x80) != 0;
          if (bytes.find(twisting.asks_after) == std::string::npos) {
            first = false;
          } else {
            ++twisting.gifts->asked;
          }
        }
        if (bytes.find(twisting.asks_after) != std::string::npos) {
          if (!SendPacket(client, "\xfb" + twisting.file, 1)) return;
          if (!TakeFile(client, *twisting.gifts)) return;
          continue;
        }
      }
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
  Gifts gifts;
  Twisting twisting;
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
      PassOn(client, server, twisting);
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

MetaDbProxy::MetaDbProxy(const ports::DbServerAddress& server, Twist twist, std::string a,
                         std::string b)
    : sockets_(std::make_unique<Sockets>()) {
  sockets_->twist = twist;
  auto& twisting = sockets_->twisting;
  if (twist == Twist::kNoRenameTable) twisting.misspelt = "RENAME TABLE";
  if (twist == Twist::kSaysOtherwise) {
    EXPECT_EQ(a.size(), b.size());
    twisting.said = std::move(a);
    twisting.instead = std::move(b);
  } else if (twist == Twist::kAsksForFile) {
    twisting.asks_after = std::move(a);
    twisting.file = std::move(b);
    twisting.gifts = &sockets_->gifts;
  }
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

int MetaDbProxy::asked() const {
  const std::lock_guard lock(sockets_->gifts.mutex);
  return sockets_->gifts.asked;
}
std::string MetaDbProxy::given() const {
  const std::lock_guard lock(sockets_->gifts.mutex);
  return sockets_->gifts.given;
}
bool MetaDbProxy::announced() const {
  const std::lock_guard lock(sockets_->gifts.mutex);
  return sockets_->gifts.announced;
}

}  // namespace oms::drivers
