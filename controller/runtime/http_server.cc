#include "controller/runtime/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

namespace oms::runtime {
namespace {

using base::Code;
using base::MakeError;
using Clock = std::chrono::steady_clock;  // Of sockets; no test needs to move it.

constexpr auto kClientTimeout = std::chrono::seconds(5);
constexpr size_t kMaxRequest = 16 * 1024;
constexpr size_t kMaxClients = 64;

struct Client {
  base::Fd fd;
  Clock::time_point deadline;
  std::string in;
  std::string out;
  size_t sent = 0;
};

std::string_view Phrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 503: return "Service Unavailable";
    default: return "Internal Server Error";
  }
}

// "host:port" or "[host]:port".
bool Split(const std::string& address, std::string& host, std::string& port) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return false;
  host = address.substr(0, colon);
  port = address.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return !port.empty() &&
         std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

HttpServer::~HttpServer() { Stop(); }

void HttpServer::Handle(std::string path, Handler handler) {
  handlers_[std::move(path)] = std::move(handler);
}

base::Status HttpServer::Start(const std::string& address) {
  std::string host, port;
  if (!Split(address, host, port)) {
    return MakeError(Code::kInvalid, fmt::format("'{}' is not host:port", address));
  }
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found) != 0) {
    return MakeError(Code::kInvalid, fmt::format("'{}' is not an IP address and port", address));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> free_found(found, &freeaddrinfo);
  const auto failed = [&](const char* what) {
    const std::string why = std::strerror(errno);
    listener_.Reset();
    return MakeError(Code::kTransient, fmt::format("{} {}: {}", what, address, why));
  };
  listener_.Reset(socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener_.valid()) return failed("socket for");
  const int on = 1;
  setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener_.get(), found->ai_addr, found->ai_addrlen) != 0)
    return failed("cannot listen on");
  if (listen(listener_.get(), 64) != 0) return failed("cannot listen on");
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                            : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return failed("pipe for");
  for (int i = 0; i < 2; ++i) wake_[i].Reset(ends[i]);
  tasks_.Start("http", [this](std::stop_token stop) { Serve(std::move(stop)); });
  return base::Ok();
}

void HttpServer::Stop() {
  if (!listener_.valid()) return;
  tasks_.RequestStop();
  const char byte = 0;
  [[maybe_unused]] const ssize_t woken = write(wake_[1].get(), &byte, 1);
  tasks_.Join();
  listener_.Reset();
  for (base::Fd& end : wake_) end.Reset();
}

void HttpServer::Serve(std::stop_token stop) {
  std::vector<Client> clients;
  while (!stop.stop_requested()) {
    std::vector<pollfd> polled = {{wake_[0].get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    if (clients.size() >= kMaxClients) polled[1].events = 0;
    for (const Client& client : clients) {
      polled.push_back(
          {client.fd.get(), static_cast<short>(client.out.empty() ? POLLIN : POLLOUT), 0});
    }
    if (poll(polled.data(), polled.size(), clients.empty() ? -1 : 500) < 0) {
      if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "poll");
      continue;
    }
    const Clock::time_point now = Clock::now();
    for (size_t i = 0; i < clients.size(); ++i) {
      Client& client = clients[i];
      bool ended = now >= client.deadline;
      if (!ended && polled[i + 2].revents != 0) {
        if (client.out.empty()) {
          char buffer[4096];
          const ssize_t got = recv(client.fd.get(), buffer, sizeof buffer, 0);
          if (got > 0) {
            client.in.append(buffer, static_cast<size_t>(got));
          } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            ended = true;
          }
          if (client.in.find("\r\n\r\n") != std::string::npos || client.in.size() > kMaxRequest) {
            const HttpReply reply = Answer(client.in);
            client.out = fmt::format(
                "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
                "Connection: close\r\n\r\n",
                reply.status, Phrase(reply.status), reply.content_type, reply.body.size());
            if (!client.in.starts_with("HEAD ")) client.out += reply.body;
          }
        }
        if (!ended && !client.out.empty()) {
          const ssize_t put = send(client.fd.get(), client.out.data() + client.sent,
                                   client.out.size() - client.sent, MSG_NOSIGNAL);
          if (put > 0) client.sent += static_cast<size_t>(put);
          if (put < 0 && errno != EAGAIN && errno != EINTR) ended = true;
          if (client.sent == client.out.size()) {
            shutdown(client.fd.get(), SHUT_WR);
            ended = true;
          }
        }
      }
      if (ended) client.fd.Reset();
    }
    std::erase_if(clients, [](const Client& client) { return !client.fd.valid(); });
    if (polled[1].revents != 0) {
      base::Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd.valid()) clients.push_back({std::move(fd), now + kClientTimeout, {}, {}, 0});
    }
  }
}

HttpReply HttpServer::Answer(const std::string& request) const {
  const size_t first = request.find(' ');
  const size_t second = first == std::string::npos ? first : request.find(' ', first + 1);
  if (second == std::string::npos || second > request.find('\r')) {
    return {400, "text/plain; charset=utf-8", "bad request\n"};
  }
  const std::string method = request.substr(0, first);
  std::string path = request.substr(first + 1, second - first - 1);
  path = path.substr(0, path.find('?'));
  if (method != "GET" && method != "HEAD") {
    return {405, "text/plain; charset=utf-8", "GET and HEAD only\n"};
  }
  const auto handler = handlers_.find(path);
  if (handler == handlers_.end()) return {404, "text/plain; charset=utf-8", "not found\n"};
  try {
    return handler->second();
  } catch (...) {
    return {500, "text/plain; charset=utf-8", "the handler failed\n"};
  }
}

HttpServer::Handler CheckHandler(std::map<std::string, std::function<std::string()>> checks) {
  return [checks = std::move(checks)] {
    HttpReply reply;
    for (const auto& [name, check] : checks) {
      const std::string why = check();
      if (why.empty()) continue;
      reply.status = 503;
      reply.body += name + ": " + why + "\n";
    }
    if (reply.status == 200) reply.body = "ok\n";
    return reply;
  };
}

}  // namespace oms::runtime
