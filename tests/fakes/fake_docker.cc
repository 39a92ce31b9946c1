#include "tests/fakes/fake_docker.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

namespace oms::fakes {

void FakeDocker::Reply::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void FakeDocker::Reply::Head(int status, const std::string& headers) {
  Send(fmt::format("HTTP/1.1 {} Said\r\nConnection: close\r\n{}\r\n", status, headers));
}

void FakeDocker::Reply::Json(int status, const std::string& body) {
  if (status == 204 || status == 304) return Head(status);
  Head(status,
       fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size()));
  Send(body);
}

void FakeDocker::Reply::Chunk(std::string_view bytes) {
  Send(fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes));
}

void FakeDocker::Reply::WaitForClient() {
  char buffer[4096];
  while (recv(fd_, buffer, sizeof buffer, 0) > 0) {
  }
}

std::string FakeDocker::Reply::ReadBody(size_t length) {
  std::string body = std::exchange(left_, {});
  char buffer[16384];
  while (body.size() < length) {
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) break;
    body.append(buffer, static_cast<size_t>(n));
  }
  return body;
}

FakeDocker::FakeDocker() {
  char name[] = "/tmp/fake-docker-XXXXXX";
  if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
  folder_ = name;
  socket_ = folder_ / "docker.sock";
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_.c_str(), sizeof address.sun_path - 1);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener_, 16) != 0) {
    throw std::runtime_error("cannot listen on " + socket_.string());
  }
  OnJson("GET", "/version", 200, R"({"ApiVersion":"1.41","MinAPIVersion":"1.12"})");
  accepter_ = std::thread([this] { Accept(); });
}

FakeDocker::~FakeDocker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
  }
  shutdown(listener_, SHUT_RDWR);
  accepter_.join();
  for (auto& connection : connections_) connection.join();
  close(listener_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void FakeDocker::On(const std::string& method, const std::string& prefix, Handler handler,
                    bool read_body) {
  const std::lock_guard lock(mutex_);
  std::erase_if(scripts_, [&](const Script& script) {
    return script.method == method && script.prefix == prefix;
  });
  scripts_.push_back({method, prefix, std::move(handler), read_body});
}

void FakeDocker::OnJson(const std::string& method, const std::string& prefix, int status,
                        const std::string& body) {
  On(method, prefix, [status, body](const Request&, Reply& reply) { reply.Json(status, body); });
}

std::vector<FakeDocker::Request> FakeDocker::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void FakeDocker::Accept() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) {
        close(fd);
        return;
      }
      open_.push_back(fd);
    }
    connections_.emplace_back([this, fd] {
      Serve(fd);
      const std::lock_guard lock(mutex_);
      std::erase(open_, fd);
      close(fd);
    });
  }
}

void FakeDocker::Serve(int fd) {
  std::string text;
  size_t end = std::string::npos;
  char buffer[16384];
  while ((end = text.find("\r\n\r\n")) == std::string::npos) {
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) return;
    text.append(buffer, static_cast<size_t>(n));
  }
  Request request;
  std::string_view head(text.data(), end);
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const size_t first = line.find(' '), second = line.rfind(' ');
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, second - first - 1);
  if (request.target.starts_with("/v1.")) {
    const size_t slash = request.target.find('/', 1);
    request.version = request.target.substr(2, slash - 2);
    request.target.erase(0, slash);
  }
  while (!head.empty()) {
    const size_t newline = head.find("\r\n");
    const std::string_view field = head.substr(0, newline);
    if (const size_t colon = field.find(": "); colon != std::string_view::npos) {
      std::string key(field.substr(0, colon));
      std::transform(key.begin(), key.end(), key.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request.headers[key] = field.substr(colon + 2);
    }
    head = newline == std::string_view::npos ? "" : head.substr(newline + 2);
  }
  Reply reply(fd, text.substr(end + 4));

  std::optional<Script> script;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& candidate : scripts_) {
      if (candidate.method != request.method || !request.target.starts_with(candidate.prefix)) {
        continue;
      }
      if (!script || candidate.prefix.size() > script->prefix.size()) script = candidate;
    }
  }
  if (!script || script->read_body) {
    if (const auto it = request.headers.find("content-length"); it != request.headers.end()) {
      request.body = reply.ReadBody(std::stoul(it->second));
    }
  }
  if (request.target != "/version") {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  if (script) {
    script->handler(request, reply);
  } else {
    reply.Json(501, R"({"message":"this was not scripted"})");
  }
}

}  // namespace oms::fakes
