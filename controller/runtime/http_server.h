// A small HTTP/1.1 server for /healthz, /readyz and /metrics: one thread, GET and HEAD only, one
// answer for each connection. A slow or silent client holds up nobody, and is dropped after 5 s.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "controller/base/fd.h"
#include "controller/base/result.h"
#include "controller/base/task_group.h"

namespace oms::runtime {

struct HttpReply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class HttpServer {
 public:
  using Handler = std::function<HttpReply()>;

  // `on_failure`: the thread is gone, so the process must exit.
  explicit HttpServer(base::OnFailure on_failure = nullptr) : tasks_(std::move(on_failure)) {}
  ~HttpServer();  // Stop().

  // Before Start(). The handler runs on the server's thread and must not block.
  void Handle(std::string path, Handler handler);

  // `address` as "0.0.0.0:8080", "127.0.0.1:0" or "[::]:8080". Port 0: a free one is taken, see
  // port(). kTransient when it cannot be bound.
  base::Status Start(const std::string& address);
  void Stop();
  uint16_t port() const { return port_; }

 private:
  void Serve(std::stop_token stop);
  HttpReply Answer(const std::string& request) const;

  std::map<std::string, Handler> handlers_;
  base::Fd listener_;
  base::Fd wake_[2];  // A pipe that ends poll().
  uint16_t port_ = 0;
  base::TaskGroup tasks_;  // Last: its thread uses all above.
};

// Named checks behind /readyz and /healthz: 200 "ok" when all hold, else 503 with a line for each
// that does not. A check returns an empty string when it holds, else why not.
HttpServer::Handler CheckHandler(std::map<std::string, std::function<std::string()>> checks);

}  // namespace oms::runtime
