#include "reconcilers/drivers/mysql/mysql_relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "controller/base/fd.h"
#include "controller/base/task_group.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/drivers/mysql/mysql_wire.h"
#include "reconcilers/drivers/mysql/own_connections.h"
#include "reconcilers/drivers/os/private_folder.h"

namespace oms::drivers::mysql {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::DbConnection;
using ports::DbServerAddress;

namespace {

constexpr uint32_t kClientSsl = 1U << 11;
constexpr size_t kBuffer = 256 * 1024;
constexpr std::string_view kFolderPrefix = "oms-relay-";
constexpr size_t kMaxLoginPacket = 1 << 20;
constexpr auto kDialTimeout = std::chrono::seconds(10);
constexpr auto kLoginTimeout = std::chrono::seconds(30);
// How long a connection that has logged in may be missing in the process list.
constexpr auto kListed = std::chrono::seconds(1);
constexpr int kPollMs = 20;
// How long a server may take to close after the child has said that it is done.
constexpr auto kGoodbye = std::chrono::milliseconds(200);

base::Error RelayError(std::string message) {
  return MakeError(Code::kTransient, crd::reason::kRelayFailed, std::move(message));
}

// A byte stream that never blocks by itself. -1: not now, 0: ended, else bytes.
class Stream {
 public:
  explicit Stream(base::Fd fd) : fd_(std::move(fd)) {
    fcntl(fd_.get(), F_SETFL, fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
  }
  virtual ~Stream() = default;
  int fd() const { return fd_.get(); }
  virtual ssize_t Read(char* data, size_t size) { return Answer(recv(fd(), data, size, 0)); }
  virtual ssize_t Write(const char* data, size_t size) {
    return Answer(send(fd(), data, size, MSG_NOSIGNAL));
  }
  // Bytes that a Read would give without the socket being readable.
  virtual bool Pending() const { return false; }
  // It ended, but not by the other side: that one may not know, and go on.
  bool broken() const { return broken_; }
  // After POLLERR.
  void TakeError() {
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    NoteError(error);
  }

 protected:
  void NoteError(int error) {
    broken_ = broken_ || (error != 0 && error != ECONNRESET && error != EPIPE);
  }

 private:
  ssize_t Answer(ssize_t n) {
    if (n >= 0) return n;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return -1;
    NoteError(errno);
    return 0;
  }

  base::Fd fd_;
  bool broken_ = false;
};

class TlsStream final : public Stream {
 public:
  TlsStream(base::Fd fd, SSL_CTX* context)
      : Stream(std::move(fd)), ssl_(SSL_new(context), &SSL_free) {
    SSL_set_fd(ssl_.get(), this->fd());
    SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }
  SSL* ssl() const { return ssl_.get(); }
  ssize_t Read(char* data, size_t size) override {
    ERR_clear_error();
    errno = 0;
    return Answer(SSL_read(ssl_.get(), data, static_cast<int>(std::min<size_t>(size, 1 << 30))));
  }
  ssize_t Write(const char* data, size_t size) override {
    ERR_clear_error();
    errno = 0;
    return Answer(SSL_write(ssl_.get(), data, static_cast<int>(std::min<size_t>(size, 1 << 30))));
  }
  bool Pending() const override { return SSL_pending(ssl_.get()) > 0; }

 private:
  ssize_t Answer(int n) {
    if (n > 0) return n;
    const int error = errno;
    const int why = SSL_get_error(ssl_.get(), n);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return -1;
    if (why == SSL_ERROR_SYSCALL) NoteError(error);
    return 0;
  }
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
};

uint32_t Little(const std::string& bytes, size_t at, size_t n) {
  uint32_t value = 0;
  for (size_t i = 0; i < n; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes.at(at + i))) << (8 * i);
  }
  return value;
}

// The first whole packet of `buffer` (header included), taken out of it.
std::optional<std::string> TakePacket(std::string& buffer) {
  if (buffer.size() < 4) return std::nullopt;
  const size_t size = 4 + Little(buffer, 0, 3);
  if (buffer.size() < size) return std::nullopt;
  std::string packet = buffer.substr(0, size);
  buffer.erase(0, size);
  return packet;
}

struct Greeting {
  uint64_t id = 0;
  bool offers_tls = false;
  std::string plugin;  // Of the login; empty: it names none.
};

// Text up to the next NUL, or to the end.
std::string TextAt(const std::string& packet, size_t at) {
  if (at >= packet.size()) return {};
  return packet.substr(at, packet.find('\0', at) - at);
}

// Why the child may not answer by this plug-in over plain TCP; nullopt: it may. The child is on a
// unix socket, which it takes for a safe way, and would answer anything.
std::optional<std::string> Reveals(const std::string& plugin) {
  const std::string list = fmt::format(",{},", kScramblingPlugins);
  if (!plugin.empty() && list.find("," + plugin + ",") != std::string::npos) return std::nullopt;
  // A name of the server's own goes into a message.
  const bool word = plugin.size() <= 64 && std::all_of(plugin.begin(), plugin.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
                    });
  return plugin.empty() || !word ? "it asks for a plug-in of another kind"
                                 : "it asks for " + plugin;
}

// The same of a packet that comes from the server during the login.
std::optional<std::string> PacketReveals(const std::string& packet) {
  const unsigned char kind = packet.size() > 4 ? static_cast<unsigned char>(packet[4]) : 0;
  if (kind == 0xfe) return Reveals(TextAt(packet, 5));  // Another plug-in.
  // Of caching_sha2_password: 3, the scramble was right. 4 asks for the password itself; a key, and
  // what other plug-ins say here, lead to it.
  if (kind == 0x01 && packet.substr(5) != "\x03") return "it asks for the password itself";
  return std::nullopt;
}

// Reads protocol 10's greeting and takes the offer of TLS out of it.
std::optional<Greeting> ReadGreeting(std::string& packet) {
  // header 4, protocol 1, version and NUL, id 4, scramble 8, filler 1, capabilities low 2
  const size_t version_end = packet.find('\0', 5);
  if (packet.size() < 6 || packet[4] != 10 || version_end == std::string::npos) return std::nullopt;
  const size_t capabilities = version_end + 1 + 4 + 8 + 1;
  if (packet.size() < capabilities + 2) return std::nullopt;
  Greeting greeting;
  greeting.id = Little(packet, version_end + 1, 4);
  const uint32_t low = Little(packet, capabilities, 2);
  greeting.offers_tls = (low & kClientSsl) != 0;
  const uint32_t without = low & ~kClientSsl;
  // charset 1, status 2, capabilities high 2, length of the scramble 1, reserved 10, its rest (13
  // or more), plug-in
  if (packet.size() > capabilities + 8) {
    const size_t scramble = Little(packet, capabilities + 7, 1);
    const size_t rest = std::max<size_t>(13, scramble > 8 ? scramble - 8 : 0);
    greeting.plugin = TextAt(packet, capabilities + 18 + rest);
  }
  packet[capabilities] = static_cast<char>(without & 0xff);
  packet[capabilities + 1] = static_cast<char>((without >> 8) & 0xff);
  return greeting;
}

std::string TlsErrorText() {
  const unsigned long number = ERR_get_error();
  const char* reason = number != 0 ? ERR_reason_error_string(number) : nullptr;
  return reason != nullptr ? reason : "the server ended the handshake";
}

// For one caller at a time, and none waits longer than it wants to. (Not std::timed_mutex: the lock
// that it takes by the steady clock is one that ThreadSanitizer of g++ 12 does not see.)
class Turn {
 public:
  struct Give {
    void operator()(Turn* turn) const {
      const std::lock_guard lock(turn->mutex_);
      turn->taken_ = false;
      turn->free_.notify_one();
    }
  };
  using Taken = std::unique_ptr<Turn, Give>;  // Null: not within that time.
  Taken Take(base::Duration patience) {
    std::unique_lock lock(mutex_);
    if (!free_.wait_for(lock, patience, [this] { return !taken_; })) return nullptr;
    taken_ = true;
    return Taken(this);
  }

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  bool taken_ = false;  // Guarded by mutex_.
};

class Relay final : public MysqlRelay {
 public:
  Relay(const Context& ctx, DbServerAddress address, RelayUse use, ports::Fence& fence,
        ports::ByteProgress* progress)
      : ctx_(ctx.WithStop(group_.token())),
        address_(std::move(address)),
        use_(use),
        fence_(fence),
        progress_(progress),
        tls_(nullptr, &SSL_CTX_free) {}

  ~Relay() override {
    group_.RequestStop();
    try {
      group_.Join();
    } catch (const std::exception&) {
    }
  }

  Status Open(const Context& outer) {
    if (!address_.tls_ca.empty()) {
      tls_.reset(SSL_CTX_new(TLS_client_method()));
      SSL_CTX_set_min_proto_version(tls_.get(), TLS1_2_VERSION);
      if (SSL_CTX_load_verify_locations(tls_.get(), address_.tls_ca.c_str(), nullptr) != 1) {
        return RelayError(fmt::format("cannot read the CA file {}", address_.tls_ca));
      }
      SSL_CTX_set_verify(tls_.get(), SSL_VERIFY_PEER, nullptr);
    }
    auto folder = os::PrivateFolder::Make(kFolderPrefix);
    if (!folder.ok()) return RelayError(folder.error().message);
    folder_ = *std::move(folder);
    socket_path_ = folder_.path() + "/s";
    const auto directory = std::filesystem::path(folder_.path()).parent_path().string();
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (socket_path_.size() >= sizeof(name.sun_path)) {
      return RelayError(fmt::format("{} is too long for a socket; set TMPDIR", directory));
    }
    std::memcpy(name.sun_path, socket_path_.c_str(), socket_path_.size() + 1);
    listener_ = base::Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener_.valid() ||
        bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0 ||
        listen(listener_.get(), 128) != 0) {
      return RelayError(fmt::format("cannot listen in {}: {}", directory, std::strerror(errno)));
    }
    // Readable from the stop on, and never read: so it wakes every thread.
    stopped_ = base::Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stopped_.valid()) return RelayError("no eventfd");
    wake_.emplace(group_.token(), [this] {
      const uint64_t one = 1;
      [[maybe_unused]] const auto n = write(stopped_.get(), &one, sizeof(one));
    });
    outer_.emplace(outer.stop(), [this] { group_.RequestStop(); });
    group_.Start("relay", [this](std::stop_token) { Accept(); });
    return base::Ok();
  }

  const std::string& socket_path() const override { return socket_path_; }
  const std::string& folder() const override { return folder_.path(); }
  Status Health() const override {
    const std::lock_guard lock(mutex_);
    return health_ ? Status(*health_) : base::Ok();
  }

 private:
  // --- waiting
  // True: one of the two is ready, or the time is over. False: stopped.
  bool Wait(std::vector<pollfd>& fds, int timeout_ms) {
    fds.push_back({stopped_.get(), POLLIN, 0});
    while (true) {
      const int n = poll(fds.data(), fds.size(), timeout_ms);
      if (n >= 0 || errno != EINTR) break;
    }
    const bool stop = fds.back().revents != 0;
    fds.pop_back();
    return !stop;
  }

  void Fail(base::Error error, uint64_t id) {
    const std::lock_guard lock(mutex_);
    ctx_.log().Warn("the relay to MetaDB {} closed connection {}: {}", ServerName(address_), id,
                    error.message);
    // kFenced is what the caller must hear of, whatever came before it.
    if (!health_ || error.code == Code::kFenced) health_ = std::move(error);
  }

  void Accept() {
    while (true) {
      std::vector<pollfd> fds{{listener_.get(), POLLIN, 0}};
      if (!Wait(fds, -1)) return;
      base::Fd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client.valid()) continue;
      auto shared = std::make_shared<base::Fd>(std::move(client));
      group_.Start("relay", [this, shared](std::stop_token) {
        Stream child(std::move(*shared));
        Progress progress;
        const auto served = Serve(child, progress);
        // Before the child is let go: whoever waits for it asks for the health next.
        if (!served.ok() && !served.Is(Code::kCancelled)) {
          auto error = served.error();
          error.message = fmt::format("{} ({})", error.message, progress.step);
          Fail(std::move(error), progress.id);
        }
      });
    }
  }

  // A statement may be silent for hours; a host that vanished is seen after a minute.
  static void DetectDeadPeer(int fd) {
    const int on = 1, idle = 30, interval = 10, count = 3, unanswered_ms = 60'000;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof unanswered_ms);
  }

  Result<base::Fd> Dial() {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const auto port = std::to_string(address_.port);
    if (const int why = getaddrinfo(address_.host.c_str(), port.c_str(), &hints, &found)) {
      return RelayError(fmt::format("{}: {}", address_.host, gai_strerror(why)));
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
    std::string last = "no address";
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
      base::Fd fd(socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!fd.valid()) continue;
      DetectDeadPeer(fd.get());
      int error = 0;
      if (connect(fd.get(), a->ai_addr, a->ai_addrlen) != 0) {
        if (errno != EINPROGRESS) {
          last = std::strerror(errno);
          continue;
        }
        std::vector<pollfd> fds{{fd.get(), POLLOUT, 0}};
        if (!Wait(fds, static_cast<int>(base::Duration(kDialTimeout).count()))) {
          return MakeError(Code::kCancelled, "stopped");
        }
        socklen_t size = sizeof(error);
        getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (fds[0].revents == 0) error = ETIMEDOUT;
      }
      if (error == 0) return fd;
      last = std::strerror(error);
    }
    return MakeError(Code::kTransient, crd::reason::kMetaDbUnreachable,
                     fmt::format("MetaDB {}: {}", ServerName(address_), last));
  }

  // Reads until a whole packet is there.
  Result<std::string> Packet(Stream& from, std::string& buffer, base::SteadyTime deadline) {
    char chunk[16 * 1024];
    while (true) {
      if (auto packet = TakePacket(buffer)) return std::move(*packet);
      if (buffer.size() > kMaxLoginPacket) return RelayError("a login packet is too long");
      const ssize_t n = from.Read(chunk, sizeof(chunk));
      if (n > 0) {
        buffer.append(chunk, static_cast<size_t>(n));
        continue;
      }
      if (n == 0) return RelayError("the connection ended during the login");
      const auto left = std::chrono::duration_cast<base::Duration>(deadline - Now());
      if (left.count() <= 0) return RelayError("the login took too long");
      std::vector<pollfd> fds{{from.fd(), POLLIN, 0}};
      if (!Wait(fds, static_cast<int>(left.count()))) return MakeError(Code::kCancelled, "stopped");
    }
  }

  Status Send(Stream& to, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = to.Write(bytes.data(), bytes.size());
      if (n == 0) return RelayError("the connection ended during the login");
      if (n > 0) {
        bytes.remove_prefix(static_cast<size_t>(n));
        continue;
      }
      std::vector<pollfd> fds{{to.fd(), POLLOUT, 0}};
      if (!Wait(fds, -1)) return MakeError(Code::kCancelled, "stopped");
    }
    return base::Ok();
  }

  static base::SteadyTime Now() { return std::chrono::steady_clock::now(); }

  // Asks for TLS with the client's own flags, and shakes hands.
  Status StartTls(std::unique_ptr<Stream>& server, base::Fd plain, const std::string& response,
                  base::SteadyTime deadline) {
    // SSLRequest: the first 32 bytes of the response, with CLIENT_SSL.
    std::string request = response.substr(0, 4 + 32);
    request[0] = 32;
    request[1] = request[2] = 0;
    request[3] = 1;
    request[5] = static_cast<char>(static_cast<unsigned char>(request[5]) | (kClientSsl >> 8));
    auto tls = std::make_unique<TlsStream>(std::move(plain), tls_.get());
    {
      std::string_view rest = request;
      while (!rest.empty()) {
        const ssize_t n = send(tls->fd(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return RelayError("the server went away");
        if (n > 0) rest.remove_prefix(static_cast<size_t>(n));
      }
    }
    if (address_.tls_verify) {
      unsigned char ip[16];
      auto* param = SSL_get0_param(tls->ssl());
      const bool is_ip = inet_pton(AF_INET, address_.host.c_str(), ip) == 1 ||
                         inet_pton(AF_INET6, address_.host.c_str(), ip) == 1;
      if (is_ip) {
        X509_VERIFY_PARAM_set1_ip_asc(param, address_.host.c_str());
      } else {
        SSL_set_tlsext_host_name(tls->ssl(), address_.host.c_str());
        X509_VERIFY_PARAM_set1_host(param, address_.host.c_str(), 0);
      }
    }
    while (true) {
      ERR_clear_error();
      const int n = SSL_connect(tls->ssl());
      if (n == 1) break;
      const int why = SSL_get_error(tls->ssl(), n);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
        return MakeError(Code::kDenied, crd::reason::kMetaDbTlsFailed,
                         fmt::format("MetaDB {}: TLS: {}", ServerName(address_), TlsErrorText()));
      }
      const auto left = std::chrono::duration_cast<base::Duration>(deadline - Now());
      if (left.count() <= 0) return RelayError("the TLS handshake took too long");
      std::vector<pollfd> fds{
          {tls->fd(), static_cast<short>(why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT), 0}};
      if (!Wait(fds, static_cast<int>(left.count()))) return MakeError(Code::kCancelled, "stopped");
    }
    server = std::move(tls);
    return base::Ok();
  }

  // How far a connection came.
  struct Progress {
    std::string_view step = "dialling";
    uint64_t id = 0;
  };
  Status Serve(Stream& client, Progress& progress) {
    const auto deadline = Now() + kLoginTimeout;
    OMS_ASSIGN(base::Fd plain, Dial());
    // For TLS the descriptor changes its stream; until then this one borrows a copy.
    base::Fd copy;
    if (tls_) copy = base::Fd(fcntl(plain.get(), F_DUPFD_CLOEXEC, 3));
    std::unique_ptr<Stream> server = std::make_unique<Stream>(std::move(plain));
    std::string from_server, from_client;
    progress.step = "waiting for the server's greeting";
    OMS_ASSIGN(std::string hello, Packet(*server, from_server, deadline));
    if (hello.size() > 4 && static_cast<unsigned char>(hello[4]) == 0xff) {
      OMS_TRY(Send(client, hello));  // For instance: too many connections.
      return RelayError("the server refused the connection: " + hello.substr(7));
    }
    const auto greeting = ReadGreeting(hello);
    if (!greeting) return RelayError("the server's greeting is not MySQL's protocol 10");
    if (tls_ && !greeting->offers_tls) {
      return MakeError(Code::kDenied, crd::reason::kMetaDbTlsFailed,
                       fmt::format("MetaDB {} offers no TLS", ServerName(address_)));
    }
    // The child's first answer goes by the plug-in that the greeting names.
    if (const auto how = Reveals(greeting->plugin); !tls_ && how) {
      return WouldShowPassword(ServerName(address_), *how);
    }
    DbConnection connection;
    connection.server = ServerName(address_);
    connection.id = greeting->id;
    connection.user = address_.user;
    connection.connected = base::FormatTime(ctx_.clock().Wall());
    progress = {"registering it", connection.id};
    OMS_TRY(fence_.Register(ctx_, connection));
    OwnConnections::Add(connection.server, connection.id);
    bool server_closed = false;
    const Status served = [&]() -> Status {
      progress.step = "logging in";
      OMS_TRY(Send(client, hello));
      OMS_ASSIGN(std::string response, Packet(client, from_client, deadline));
      if (response.size() < 4 + 32) return RelayError("the child's login is too short");
      int shift = 0;  // TLS costs one packet, so the server counts one further than the child.
      if (tls_) {
        OMS_TRY(StartTls(server, std::move(copy), response, deadline));
        response[5] =
            static_cast<char>(static_cast<unsigned char>(response[5]) | (kClientSsl >> 8));
        shift = 1;
      }
      response[3] = static_cast<char>(response[3] + shift);
      OMS_TRY(Send(*server, response));
      OMS_TRY(Login(client, *server, from_client, from_server, shift, deadline));
      if (use_ == RelayUse::kRead) {
        progress.step = "making it read only";
        OMS_TRY(MakeReadOnly(*server, deadline));
      }
      progress.step = "registering it with its address";
      OMS_TRY(RegisterAgain(connection));
      progress.step = "passing bytes on";
      return Pump(client, *server, from_client, from_server, server_closed);
    }();
    server_closed = server_closed && !server->broken();
    server.reset();
    Forget(connection, server_closed);
    return served;
  }

  // Passes packets until the server says OK, which is left in `from_server` (as the child is to see
  // it).
  Status Login(Stream& client, Stream& server, std::string& from_client, std::string& from_server,
               int shift, base::SteadyTime deadline) {
    char chunk[16 * 1024];
    while (true) {
      while (auto packet = TakePacket(from_server)) {
        (*packet)[3] = static_cast<char>((*packet)[3] - shift);
        const unsigned char kind =
            packet->size() > 4 ? static_cast<unsigned char>((*packet)[4]) : 0;
        if (kind == 0x00) {
          from_server.insert(0, *packet);
          return base::Ok();
        }
        if (const auto how = PacketReveals(*packet); !tls_ && how) {
          return WouldShowPassword(ServerName(address_), *how);
        }
        OMS_TRY(Send(client, *packet));
        if (kind == 0xff) {
          return RelayError("the server refused the login: " +
                            (packet->size() > 7 ? packet->substr(7) : ""));
        }
      }
      while (auto packet = TakePacket(from_client)) {
        (*packet)[3] = static_cast<char>((*packet)[3] + shift);
        OMS_TRY(Send(server, *packet));
      }
      bool progress = false;
      for (auto [stream, buffer] : {std::pair{&server, &from_server}, {&client, &from_client}}) {
        const ssize_t n = stream->Read(chunk, sizeof(chunk));
        if (n == 0) return RelayError("the connection ended during the login");
        if (n > 0) {
          buffer->append(chunk, static_cast<size_t>(n));
          progress = true;
        }
        if (buffer->size() > kMaxLoginPacket) return RelayError("a login packet is too long");
      }
      if (progress) continue;
      const auto left = std::chrono::duration_cast<base::Duration>(deadline - Now());
      if (left.count() <= 0) return RelayError("the login took too long");
      std::vector<pollfd> fds{{client.fd(), POLLIN, 0}, {server.fd(), POLLIN, 0}};
      if (!Wait(fds, static_cast<int>(left.count()))) return MakeError(Code::kCancelled, "stopped");
    }
  }

  // The relay's own statement, between the server's OK, which the child has not seen yet, and the
  // child's first one.
  Status MakeReadOnly(Stream& server, base::SteadyTime deadline) {
    constexpr std::string_view kStatement = "SET SESSION TRANSACTION READ ONLY";
    // A packet of up to 255 bytes, the first of a command; COM_QUERY.
    const std::string head{static_cast<char>(kStatement.size() + 1), 0, 0, 0, 3};
    OMS_TRY(Send(server, head + std::string(kStatement)));
    std::string buffer;
    OMS_ASSIGN(const std::string answer, Packet(server, buffer, deadline));
    if (answer.size() > 4 && answer[4] == 0 && buffer.empty()) return base::Ok();
    return RelayError("the server does not make a session read only: " +
                      (answer.size() > 7 ? answer.substr(7) : ""));
  }

  // Bytes in both directions until one side ends.
  Status Pump(Stream& client, Stream& server, std::string& up, std::string& down,
              bool& server_closed) {
    up.reserve(kBuffer);
    down.reserve(kBuffer);
    bool client_closed = false;
    while (true) {
      for (bool moved = true; moved && !client_closed;) {
        if (group_.token().stop_requested()) return MakeError(Code::kCancelled, "stopped");
        moved = Move(client, client_closed, server, server_closed, up);
        moved |= Move(server, server_closed, client, client_closed, down);
      }
      if (client_closed) {
        if (!server_closed) server_closed = SayGoodbye(server, up);
        return base::Ok();
      }
      if (server_closed && down.empty()) return base::Ok();
      std::vector<pollfd> fds{{client.fd(), 0, 0}, {server_closed ? -1 : server.fd(), 0, 0}};
      if (up.empty() && !server_closed) fds[0].events |= POLLIN;
      if (!down.empty()) fds[0].events |= POLLOUT;
      if (down.empty()) fds[1].events |= POLLIN;
      if (!up.empty()) fds[1].events |= POLLOUT;
      if (!Wait(fds, server.Pending() && down.empty() ? 0 : -1)) {
        return MakeError(Code::kCancelled, "stopped");
      }
      // A side that hangs up while we only wait to write to the other one.
      if ((fds[0].revents & (POLLERR | POLLNVAL)) != 0) client_closed = true, up.clear();
      if ((fds[0].revents & POLLHUP) != 0 && (fds[0].events & POLLIN) == 0) client_closed = true;
      if ((fds[1].revents & (POLLERR | POLLNVAL)) != 0) {
        server.TakeError();
        server_closed = true;
        down.clear();
      }
    }
  }

  // The child has gone: passes on what it said last (COM_QUIT), and looks whether the server closes
  // then. It does not where it is in the middle of an answer.
  bool SayGoodbye(Stream& server, std::string& up) {
    char chunk[4096];
    bool said = false;
    for (const auto give_up = Now() + kGoodbye; Now() < give_up;) {
      if (!up.empty()) {
        const ssize_t n = server.Write(up.data(), up.size());
        if (n == 0) return true;
        if (n > 0) up.erase(0, static_cast<size_t>(n));
      }
      if (up.empty() && !said) said = shutdown(server.fd(), SHUT_WR) == 0;
      const ssize_t n = server.Read(chunk, sizeof(chunk));
      if (n == 0) return true;
      if (n > 0) continue;
      const auto left = std::chrono::duration_cast<base::Duration>(give_up - Now());
      std::vector<pollfd> fds{
          {server.fd(), static_cast<short>(up.empty() ? POLLIN : POLLIN | POLLOUT), 0}};
      if (!Wait(fds, std::max<int>(0, static_cast<int>(left.count())))) return false;
    }
    return false;
  }

  // One read and one write. True if bytes went. What cannot be written any more is dropped.
  bool Move(Stream& from, bool& from_closed, Stream& to, bool& to_closed, std::string& buffer) {
    bool moved = false;
    if (buffer.empty() && !from_closed && !to_closed) {
      buffer.resize(kBuffer);
      const ssize_t n = from.Read(buffer.data(), buffer.size());
      buffer.resize(n > 0 ? static_cast<size_t>(n) : 0);
      if (n == 0) from_closed = true;
      if (n > 0) moved = true;
      if (n > 0 && progress_ != nullptr) progress_->done += static_cast<uint64_t>(n);
    }
    if (!buffer.empty()) {
      const ssize_t n = to.Write(buffer.data(), buffer.size());
      if (n == 0) {
        to_closed = true;
        buffer.clear();
      }
      if (n > 0) {
        buffer.erase(0, static_cast<size_t>(n));
        moved = true;
      }
    }
    return moved;
  }

  Status RegisterAgain(DbConnection& connection) {
    SqlRows rows;
    for (const auto give_up = Now() + kListed; rows.empty();) {
      OMS_ASSIGN(rows, List(ctx_, connection.id));
      if (!rows.empty() || Now() > give_up) break;
      std::vector<pollfd> none;
      if (!Wait(none, kPollMs)) return MakeError(Code::kCancelled, "stopped");
    }
    DbConnection exact = connection;
    if (rows.empty()) {
      return MakeError(Code::kTerminal, crd::reason::kCannotFence,
                       fmt::format("MetaDB {} does not list a connection that has logged in; it "
                                   "could not be ended",
                                   ServerName(address_)));
    }
    // OceanBase logs in "user@tenant" and lists "user"; whoever is to end it compares with the
    // list.
    exact.user = rows[0].at(0).value_or(connection.user);
    exact.address = rows[0].at(1).value_or("");
    exact.reads = use_ == RelayUse::kRead;
    OMS_TRY(fence_.Register(ctx_, exact));
    if (exact != connection) fence_.Unregister(connection);
    connection = exact;
    return base::Ok();
  }

  static MysqlSession::Options SessionOptions() {
    MysqlSession::Options options;
    options.statement_timeout = std::chrono::seconds(10);
    return options;
  }
  Status OpenSession(const Context& ctx) {
    session_.reset();
    OMS_ASSIGN(session_, MysqlSession::Open(ctx, address_, SessionOptions()));
    return base::Ok();
  }
  // The relay's own session, for one caller at a time: dialling costs ten times the question.
  // Opened when first needed, and anew when it has ended.
  template <typename T>
  Result<T> WithSession(const Context& ctx, const std::function<Result<T>(MysqlSession&)>& act) {
    const auto patience = std::min<base::Duration>(ctx.Remaining(), kLoginTimeout);
    const Turn::Taken turn = session_turn_.Take(patience);
    if (!turn) {
      return MakeError(Code::kTimeout, crd::reason::kMetaDbTimeout,
                       "the process list could not be asked");
    }
    const bool reused = session_ && !session_->dead();
    if (!reused) OMS_TRY(OpenSession(ctx));
    auto answer = act(*session_);
    // The server, or what lies between, may end an idle one without a word.
    if (reused && answer.Is(Code::kTransient)) {
      OMS_TRY(OpenSession(ctx));
      answer = act(*session_);
    }
    return answer;
  }

  Result<SqlRows> List(const Context& ctx, uint64_t id) {
    return WithSession<SqlRows>(ctx, [&](MysqlSession& session) {
      return session.Query(
          ctx,
          fmt::format("SELECT user, host FROM information_schema.processlist WHERE id = {}", id));
    });
  }

  // Takes the connection out of the fence's list if nothing of it can still run.
  void Forget(const DbConnection& connection, bool server_closed) {
    bool gone = server_closed;
    if (!gone) {
      // When the time for the work is used up, or the right to it lost, this is still to be done.
      const Context ctx = ctx_.WithStop({})
                              .WithPermission([] { return true; })
                              .WithNewDeadline(std::chrono::milliseconds(900));
      for (bool killed = false; !gone; killed = true) {
        const auto rows = List(ctx, connection.id);
        if (!rows.ok()) break;
        gone = rows->empty() || (!connection.address.empty() &&
                                 rows->at(0).at(1).value_or("") != connection.address);
        if (!gone && !killed) {
          const auto done = WithSession<base::Unit>(
              ctx, [&](MysqlSession& session) { return session.Kill(ctx, connection.id); });
          if (!done.ok()) break;
        }
        if (!gone) poll(nullptr, 0, kPollMs);
      }
    }
    if (gone) fence_.Unregister(connection);
    OwnConnections::Remove(connection.server, connection.id);
  }

  mutable std::mutex mutex_;
  std::optional<base::Error> health_;  // Guarded by mutex_.
  base::TaskGroup group_;
  Context ctx_;
  const DbServerAddress address_;
  const RelayUse use_;
  ports::Fence& fence_;
  ports::ByteProgress* const progress_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls_;
  Turn session_turn_;
  std::unique_ptr<MysqlSession> session_;  // Of who has the turn.
  os::PrivateFolder folder_;
  std::string socket_path_;
  base::Fd listener_, stopped_;
  std::optional<std::stop_callback<std::function<void()>>> wake_, outer_;
};

}  // namespace

Result<std::unique_ptr<MysqlRelay>> MysqlRelay::Start(const Context& ctx,
                                                      const DbServerAddress& address, RelayUse use,
                                                      ports::Fence& fence,
                                                      ports::ByteProgress* progress) {
  OMS_TRY(ctx.Check());
  auto relay = std::make_unique<Relay>(ctx, address, use, fence, progress);
  OMS_TRY(relay->Open(ctx));
  return std::unique_ptr<MysqlRelay>(std::move(relay));
}

}  // namespace oms::drivers::mysql
