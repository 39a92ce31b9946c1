#include "reconcilers/drivers/mysql/mysql_relay.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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
#include "controller/base/tls.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/login_packets.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/drivers/mysql/mysql_wire.h"
#include "reconcilers/drivers/mysql/own_connections.h"
#include "reconcilers/drivers/mysql/relay_stream.h"
#include "reconcilers/drivers/mysql/shared_session.h"
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

class Relay final : public MysqlRelay {
 public:
  Relay(const Context& ctx, DbServerAddress address, RelayUse use, ports::Fence& fence,
        ports::ByteProgress* progress)
      : ctx_(ctx.WithStop(group_.token())),
        address_(std::move(address)),
        use_(use),
        fence_(fence),
        progress_(progress),
        session_(address_) {}

  ~Relay() override {
    group_.RequestStop();
    try {
      group_.Join();
    } catch (const std::exception&) {
    }
  }

  Status Open(const Context& outer) {
    if (!address_.tls_ca.empty()) {
      tls_ = base::NewTlsClient({.ca = address_.tls_ca});
      if (!tls_) return RelayError("the CA of the MetaDB's certificate is not PEM");
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
    if (address_.tls_verify) tls->Expect(address_.host);
    while (true) {
      const TlsStream::Step step = tls->Shake();
      if (step == TlsStream::Step::kDone) break;
      if (step == TlsStream::Step::kFailed) {
        return MakeError(
            Code::kDenied, crd::reason::kMetaDbTlsFailed,
            fmt::format("MetaDB {}: TLS: {}", ServerName(address_), TlsStream::ErrorText()));
      }
      const auto left = std::chrono::duration_cast<base::Duration>(deadline - Now());
      if (left.count() <= 0) return RelayError("the TLS handshake took too long");
      std::vector<pollfd> fds{
          {tls->fd(), static_cast<short>(step == TlsStream::Step::kWantsRead ? POLLIN : POLLOUT),
           0}};
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

  Result<SqlRows> List(const Context& ctx, uint64_t id) {
    return session_.With<SqlRows>(ctx, [&](MysqlSession& session) {
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
          const auto done = session_.With<base::Unit>(
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
  base::TlsContext tls_;   // Null: none is asked for.
  SharedSession session_;  // The relay's own.
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
