// A scripted Docker Engine: real HTTP on a unix socket, so that the driver under test cannot tell.
//
// Answers GET /version with API 1.41 until told otherwise. What is not scripted gets a 501, which
// no test takes for a success.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace oms::fakes {

class FakeDocker {
 public:
  struct Request {
    std::string method;
    std::string target;                          // Without "/v1.41".
    std::string version;                         // "1.41", or empty.
    std::map<std::string, std::string> headers;  // Lower-case names.
    std::string body;
  };

  // The connection, in a handler. It is closed when the handler returns.
  class Reply {
   public:
    Reply(int fd, std::string left) : fd_(fd), left_(std::move(left)) {}
    void Send(std::string_view bytes);  // As they are. An error (the client has gone) is ignored.
    void Head(int status, const std::string& headers = "");  // Each header ends in \r\n.
    void Json(int status, const std::string& body);
    void Chunk(std::string_view bytes);  // Of a chunked body; empty: its end.
    void WaitForClient();                // Until the client closes: an engine that is stuck.
    // For a handler that has not asked for the body to be read.
    std::string ReadBody(size_t length);

   private:
    int fd_;
    std::string left_;  // Read already, beyond the header.
  };
  using Handler = std::function<void(const Request&, Reply&)>;

  FakeDocker();
  ~FakeDocker();
  FakeDocker(const FakeDocker&) = delete;
  FakeDocker& operator=(const FakeDocker&) = delete;

  // The longest matching prefix of the target (without the version) answers; a later script of the
  // same prefix replaces the earlier. With `read_body` false the handler is called when the header
  // is there.
  void On(const std::string& method, const std::string& prefix, Handler handler,
          bool read_body = true);
  void OnJson(const std::string& method, const std::string& prefix, int status,
              const std::string& body);

  std::string endpoint() const { return "unix://" + socket_.string(); }
  std::vector<Request> requests() const;  // Without those for the version.

 private:
  struct Script {
    std::string method, prefix;
    Handler handler;
    bool read_body;
  };
  void Accept();
  void Serve(int fd);

  std::filesystem::path folder_, socket_;
  int listener_ = -1;
  mutable std::mutex mutex_;  // Guards the four below.
  std::vector<Script> scripts_;
  std::vector<Request> requests_;
  std::vector<int> open_;
  bool stopping_ = false;
  std::vector<std::thread> connections_;  // Touched by accepter_ only, then by the destructor.
  std::thread accepter_;
};

}  // namespace oms::fakes
