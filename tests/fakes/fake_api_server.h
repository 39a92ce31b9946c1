// An HTTPS server on loopback that answers as a test tells it to, byte for byte: for what a real
// API server does too rarely to wait for (dropped streams, half lines, 410 in the stream, silence).
//
// Its certificates are made anew for each server: a CA, a server certificate for 127.0.0.1,
// localhost and kube.test, and two client certificates.
#pragma once

#include <openssl/types.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace oms::fakes {

struct TestPki {
  std::string ca_pem;
  std::string server_cert_pem, server_key_pem;
  std::string client_cert_pem, client_key_pem;  // CN=tester.
  std::string next_cert_pem, next_key_pem;      // CN=tester-next, to rotate to.
  std::string other_ca_pem;                     // Signed nothing here.

  static TestPki Make();
};

// One request, and the way to answer it. Used on one thread.
class FakeExchange {
 public:
  std::string method;
  std::string path;                            // With the query.
  std::map<std::string, std::string> headers;  // Names in lower case.
  std::string body;
  std::string client_common_name;  // Of its certificate, empty without one.
  int connection = 0;              // Counted from 1.

  void Reply(int status, const std::string& text,
             const std::map<std::string, std::string>& extra_headers = {});
  // A chunked 200 whose chunks are sent as they come.
  void BeginStream();
  void Chunk(const std::string& text);
  void EndStream();  // The clean end.
  void Drop();       // Closes the connection, whatever was begun.
  // Waits until the client has gone or the server stops.
  void Hang();

 private:
  friend class FakeApiServer;
  void Write(const std::string& bytes);

  SSL* ssl_ = nullptr;
  int fd_ = -1;
  std::stop_token stop_;
  bool dropped_ = false;
};

class FakeApiServer {
 public:
  using Handler = std::function<void(FakeExchange&)>;

  explicit FakeApiServer(Handler handler, bool ask_client_certificate = false);
  ~FakeApiServer();

  std::string Url() const;  // https://127.0.0.1:port
  int port() const { return port_; }
  const TestPki& pki() const { return pki_; }
  int connections() const { return connections_; }
  int requests() const { return requests_; }
  int open_connections() const { return open_; }

 private:
  void Serve();
  void Talk(int fd, int number);

  const Handler handler_;
  const TestPki pki_;
  SSL_CTX* tls_ = nullptr;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0}, requests_{0}, open_{0};
  std::stop_source stop_;
  std::mutex mutex_;  // Guards threads_.
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace oms::fakes
