// A scripted MySQL server: the real protocol on a TCP port, so that neither the library nor a tool
// can tell. It is whoever a test wants it to be; by default an honest one without TLS.
//
// It takes any login, and keeps every byte that it is sent; what is encrypted for its key (the RSA
// ways of caching_sha2_password and sha256_password) it decrypts. So whether it has seen a password
// is asked of it in one word.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace oms::fakes {

class FakeMysql {
 public:
  // One connection, in a handler.
  class Wire {
   public:
    Wire(FakeMysql& server, int fd) : server_(server), fd_(fd) {}
    // False: the client has gone, or the server stops.
    bool SendRaw(std::string_view bytes);
    bool Send(std::string_view payload);  // A packet, or as many as its length takes.
    bool Read(std::string& payload);      // One packet.
    bool Greet(const std::string& plugin);
    bool Ok();
    bool Error(int number, const std::string& message);
    // A text result: its head, one row each, its end.
    bool Columns(const std::vector<std::string>& names);
    bool Row(const std::vector<std::string>& values);
    bool End();
    // `bytes`, one by one, with a pause after each; and then the last one again, for ever.
    void Trickle(std::string_view bytes);

    std::string scramble;  // 20 bytes, of the greeting.

   private:
    FakeMysql& server_;
    int fd_;
    unsigned char sequence_ = 0;
    std::string buffer_;
  };
  // True: it was answered, or the connection is over. Else the usual answer is given.
  using OnQuery = std::function<bool(Wire&, const std::string& sql)>;
  using OnLogin = std::function<bool(Wire&)>;

  FakeMysql();
  ~FakeMysql();
  FakeMysql(const FakeMysql&) = delete;
  FakeMysql& operator=(const FakeMysql&) = delete;

  // All before port() is first asked for: from then on it listens.
  std::string plugin = "mysql_native_password";  // Of the greeting.
  std::string switch_to;                  // Asked for after the login; empty: the login is taken.
  bool full_authentication = true;        // caching_sha2_password: 01 04 and not 01 03.
  std::function<bool(Wire&)> on_connect;  // Instead of the greeting and all that follows.
  OnQuery on_query;

  void HangUp();  // Ends all connections; new ones are taken.
  void Stop();
  int port();
  // Whether these bytes came from any client, in clear or so that this server can decrypt them.
  bool HasSeen(std::string_view secret) const;
  uint64_t bytes_sent() const { return sent_; }
  int connections() const { return connections_; }

 private:
  struct Key;
  void Accept();
  void Serve(int fd);
  bool LogIn(Wire& wire);
  bool AskFor(Wire& wire, const std::string& plugin);
  void Commands(Wire& wire);
  bool Usual(Wire& wire, const std::string& sql);
  void Heard(std::string_view bytes);
  void Decrypt(std::string_view encrypted, const std::string& scramble);

  int listener_ = -1, port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> sent_{0};
  std::atomic<int> connections_{0};
  std::unique_ptr<Key> key_;
  mutable std::mutex mutex_;  // Guards the three below.
  std::string heard_;
  std::vector<int> open_;
  std::vector<std::thread> served_;
  std::thread accepter_;
};

}  // namespace oms::fakes
