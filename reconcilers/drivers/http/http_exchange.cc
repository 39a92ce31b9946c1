#include "reconcilers/drivers/http/http_exchange.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "controller/base/fd.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/http/tls_client.h"

namespace oms::drivers::http {
namespace {

using base::Code;
using base::MakeError;

constexpr base::Duration kSlice(100);  // How soon a stop is noticed.

base::Status WaitFor(const base::Context& ctx, int fd, short events) {
  while (true) {
    OMS_TRY(ctx.Check());
    pollfd entry{fd, events, 0};
    const auto slice = std::min(kSlice, ctx.Remaining());
    const int ready = poll(&entry, 1, static_cast<int>(slice.count()) + 1);
    if (ready > 0) return base::Ok();
    if (ready < 0 && errno != EINTR)
      return MakeError(Code::kTransient, fmt::format("poll: {}", std::strerror(errno)));
  }
}

base::Error Refused(const std::string& host, int port, int number) {
  return MakeError(Code::kTransient, crd::inner_reason::kRefused,
                   fmt::format("nothing answers at {}:{} ({})", host, port, std::strerror(number)));
}

base::Status Connect(const base::Context& ctx, const base::Fd& socket, const addrinfo& address,
                     const std::string& host, int port) {
  if (connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return base::Ok();
  if (errno != EINPROGRESS) return Refused(host, port, errno);
  OMS_TRY(WaitFor(ctx, socket.get(), POLLOUT));
  int problem = 0;
  socklen_t size = sizeof problem;
  getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
  if (problem != 0) return Refused(host, port, problem);
  return base::Ok();
}

base::Status SendAll(const base::Context& ctx, const base::Fd& socket, std::string_view data) {
  while (!data.empty()) {
    OMS_TRY(WaitFor(ctx, socket.get(), POLLOUT));
    const ssize_t sent = send(socket.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      return MakeError(Code::kTransient, fmt::format("send: {}", std::strerror(errno)));
    }
    if (sent > 0) data.remove_prefix(static_cast<size_t>(sent));
  }
  return base::Ok();
}

base::Result<std::string> ReceiveAll(const base::Context& ctx, const base::Fd& socket,
                                     size_t most) {
  std::string answer;
  char buffer[4096];
  while (answer.size() < most) {
    OMS_TRY(WaitFor(ctx, socket.get(), POLLIN));
    const ssize_t got = recv(socket.get(), buffer, sizeof buffer, 0);
    if (got == 0) break;
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
      return MakeError(Code::kTransient, fmt::format("receive: {}", std::strerror(errno)));
    }
    if (got > 0) answer.append(buffer, static_cast<size_t>(got));
  }
  return answer;
}

base::Result<std::string> AskByTls(const base::Context& ctx, const base::Fd& socket,
                                   std::string_view question, const ports::HttpsTrust& trust,
                                   size_t most) {
  const auto wait = [&](short events) { return WaitFor(ctx, socket.get(), events); };
  OMS_ASSIGN(const auto client, TlsClient::Open(socket.get(), trust, wait));
  OMS_TRY(client->Write(question, wait));
  std::string answer;
  char buffer[4096];
  while (answer.size() < most) {
    OMS_ASSIGN(const size_t got, client->Read(buffer, sizeof buffer, wait));
    if (got == 0) break;
    answer.append(buffer, got);
  }
  return answer;
}

base::Result<ports::HttpAnswer> Parse(const std::string& text) {
  ports::HttpAnswer answer;
  const size_t head = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.") || head == std::string::npos ||
      std::sscanf(text.c_str(), "HTTP/1.%*1d %3d", &answer.status) != 1) {
    return MakeError(Code::kTransient, "the server there does not speak HTTP");
  }
  answer.body = text.substr(head + 4);
  return answer;
}

}  // namespace

base::Result<ports::HttpAnswer> HttpExchange(const base::Context& ctx, const HttpQuestion& ask) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int problem =
          getaddrinfo(ask.host.c_str(), std::to_string(ask.port).c_str(), &hints, &found);
      problem != 0) {
    return MakeError(Code::kTransient, crd::inner_reason::kRefused,
                     fmt::format("{}: {}", ask.host, gai_strerror(problem)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
  const base::Fd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.get() < 0)
    return MakeError(Code::kTransient, fmt::format("socket: {}", std::strerror(errno)));
  OMS_TRY(Connect(ctx, socket, *addresses, ask.host, ask.port));
  const bool v6 = ask.host.find(':') != std::string::npos;
  const std::string question = fmt::format(
      "{} {} HTTP/1.0\r\nHost: {}{}{}:{}\r\nUser-Agent: oms-upgrade-controller\r\n{}\r\n{}",
      ask.method, ask.path, v6 ? "[" : "", ask.host, v6 ? "]" : "", ask.port, ask.headers,
      ask.body);
  if (ask.https) {
    OMS_ASSIGN(const std::string answer,
               AskByTls(ctx, socket, question, *ask.https, ask.most_bytes));
    return Parse(answer);
  }
  OMS_TRY(SendAll(ctx, socket, question));
  OMS_ASSIGN(const std::string answer, ReceiveAll(ctx, socket, ask.most_bytes));
  return Parse(answer);
}

}  // namespace oms::drivers::http
