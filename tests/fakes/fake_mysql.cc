#include "tests/fakes/fake_mysql.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace oms::fakes {
namespace {

constexpr uint32_t kCapabilities = 0x1 | 0x2 | 0x4 | 0x8 | 0x80 | 0x200 | 0x2000 | 0x8000 |
                                   0x10000 | 0x20000 | 0x40000 | 0x80000 | 0x200000;
constexpr size_t kWholePacket = 0xffffff;

std::string Little(uint64_t value, size_t bytes) {
  std::string text;
  for (size_t i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}
std::string WithLength(std::string_view text) {
  std::string out;
  if (text.size() < 251) {
    out = Little(text.size(), 1);
  } else if (text.size() < 0x10000) {
    out = "\xfc" + Little(text.size(), 2);
  } else if (text.size() < 0x1000000) {
    out = "\xfd" + Little(text.size(), 3);
  } else {
    out = "\xfe" + Little(text.size(), 8);
  }
  return out.append(text);
}

}  // namespace

struct FakeMysql::Key {
  EVP_PKEY* key = EVP_RSA_gen(2048);
  ~Key() { EVP_PKEY_free(key); }
  std::string Pem() const {
    BIO* out = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(out, key);
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    std::string pem(data, static_cast<size_t>(size));
    BIO_free(out);
    return pem;
  }
};

bool FakeMysql::Wire::SendRaw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0 || server_.stopping_) return false;
    server_.sent_ += static_cast<uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool FakeMysql::Wire::Send(std::string_view payload) {
  while (true) {
    const auto piece = payload.substr(0, kWholePacket);
    payload.remove_prefix(piece.size());
    if (!SendRaw(Little(piece.size(), 3) + Little(sequence_++, 1)) || !SendRaw(piece)) return false;
    if (piece.size() < kWholePacket) return true;
  }
}

bool FakeMysql::Wire::Read(std::string& payload) {
  const auto fill = [&](size_t size) {
    char chunk[16384];
    while (buffer_.size() < size) {
      const ssize_t n = recv(fd_, chunk, sizeof chunk, 0);
      if (n <= 0) return false;
      buffer_.append(chunk, static_cast<size_t>(n));
      server_.Heard({chunk, static_cast<size_t>(n)});
    }
    return true;
  };
  if (!fill(4)) return false;
  size_t size = 0;
  for (size_t i = 0; i < 3; ++i)
    size |= static_cast<size_t>(static_cast<unsigned char>(buffer_[i])) << (8 * i);
  sequence_ = static_cast<unsigned char>(static_cast<unsigned char>(buffer_[3]) + 1);
  if (!fill(4 + size)) return false;
  payload = buffer_.substr(4, size);
  buffer_.erase(0, 4 + size);
  return true;
}

bool FakeMysql::Wire::Greet(const std::string& plugin) {
  scramble.clear();
  for (int i = 0; i < 20; ++i) scramble += static_cast<char>('A' + (i * 7) % 26);
  sequence_ = 0;
  return Send(std::string("\x0a") + "8.0.36" + '\0' + Little(7, 4) + scramble.substr(0, 8) + '\0' +
              Little(kCapabilities & 0xffff, 2) + '\x2d' + Little(2, 2) +
              Little(kCapabilities >> 16, 2) + Little(21, 1) + std::string(10, '\0') +
              scramble.substr(8) + '\0' + plugin + '\0');
}

bool FakeMysql::Wire::Ok() { return Send(std::string("\0\0\0\x02\0\0\0", 7)); }
bool FakeMysql::Wire::Error(int number, const std::string& message) {
  return Send("\xff" + Little(static_cast<uint64_t>(number), 2) + "#HY000" + message);
}
bool FakeMysql::Wire::Columns(const std::vector<std::string>& names) {
  if (!Send(Little(names.size(), 1))) return false;
  for (const auto& name : names) {
    if (!Send(WithLength("def") + WithLength("") + WithLength("") + WithLength("") +
              WithLength(name) + WithLength(name) + "\x0c" + Little(45, 2) + Little(1024, 4) +
              "\xfd" + Little(0, 2) + Little(0, 1) + Little(0, 2))) {
      return false;
    }
  }
  return End();
}
bool FakeMysql::Wire::Row(const std::vector<std::string>& values) {
  std::string row;
  for (const auto& value : values) row += WithLength(value);
  return Send(row);
}
bool FakeMysql::Wire::End() { return Send(std::string("\xfe\0\0\x02\0", 5)); }

void FakeMysql::Wire::Trickle(std::string_view bytes) {
  for (size_t i = 0; SendRaw(bytes.substr(std::min(i, bytes.size() - 1), 1)); ++i) {
    pollfd gone{fd_, POLLRDHUP, 0};
    if (poll(&gone, 1, 20) > 0) return;
  }
}

FakeMysql::FakeMysql() : key_(std::make_unique<Key>()) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
}

int FakeMysql::port() {
  if (!accepter_.joinable() && !stopping_) accepter_ = std::thread([this] { Accept(); });
  return port_;
}

FakeMysql::~FakeMysql() { Stop(); }

void FakeMysql::HangUp() {
  const std::lock_guard lock(mutex_);
  for (const int fd : open_) shutdown(fd, SHUT_RDWR);
}

void FakeMysql::Stop() {
  if (stopping_.exchange(true)) return;
  shutdown(listener_, SHUT_RDWR);
  if (accepter_.joinable()) accepter_.join();
  close(listener_);
  std::vector<std::thread> served;
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    served = std::move(served_);
  }
  for (auto& thread : served) thread.join();
}

bool FakeMysql::HasSeen(std::string_view secret) const {
  const std::lock_guard lock(mutex_);
  return heard_.find(secret) != std::string::npos;
}

void FakeMysql::Heard(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  heard_.append(bytes);
}

void FakeMysql::Accept() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    ++connections_;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::lock_guard lock(mutex_);
    open_.push_back(fd);
    served_.emplace_back([this, fd] { Serve(fd); });
  }
}

void FakeMysql::Serve(int fd) {
  Wire wire(*this, fd);
  if (on_connect ? on_connect(wire) : wire.Greet(plugin) && LogIn(wire)) Commands(wire);
  const std::lock_guard lock(mutex_);
  std::erase(open_, fd);
  close(fd);
}

bool FakeMysql::LogIn(Wire& wire) {
  std::string login;
  if (!wire.Read(login)) return false;
  if (!switch_to.empty()) {
    // ed25519 takes 32 bytes, and no more.
    const std::string more =
        switch_to == "client_ed25519" ? std::string(12, 'e') : std::string(1, 0);
    if (!wire.Send("\xfe" + switch_to + '\0' + wire.scramble + more)) return false;
    std::string answer;
    if (!wire.Read(answer)) return false;
  }
  return AskFor(wire, switch_to.empty() ? plugin : switch_to);
}

// What the plug-in says after the client's first answer.
bool FakeMysql::AskFor(Wire& wire, const std::string& name) {
  std::string answer;
  if (name == "caching_sha2_password") {
    if (!full_authentication) return wire.Send(std::string("\x01\x03", 2)) && wire.Ok();
    if (!wire.Send(std::string("\x01\x04", 2)) || !wire.Read(answer)) return false;
  } else if (name == "dialog") {
    // It asks for more than one word.
    if (!wire.Send("\x01\x04password:") || !wire.Read(answer)) return false;
  } else if (name != "sha256_password") {
    return wire.Ok();
  }
  const bool asks = answer == std::string("\x02") || answer == std::string("\x01");
  if (name == "sha256_password" || asks) {
    if (!wire.Send("\x01" + key_->Pem()) || !wire.Read(answer)) return false;
  }
  Decrypt(answer, wire.scramble);
  return wire.Ok();
}

void FakeMysql::Decrypt(std::string_view encrypted, const std::string& scramble) {
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(key_->key, nullptr);
  std::string plain(encrypted.size() + 256, '\0');
  size_t size = plain.size();
  const bool done = EVP_PKEY_decrypt_init(context) == 1 &&
                    EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
                    EVP_PKEY_decrypt(context, reinterpret_cast<unsigned char*>(plain.data()), &size,
                                     reinterpret_cast<const unsigned char*>(encrypted.data()),
                                     encrypted.size()) == 1;
  EVP_PKEY_CTX_free(context);
  if (!done) return;
  plain.resize(size);
  for (size_t i = 0; i < plain.size(); ++i)
    plain[i] = static_cast<char>(plain[i] ^ scramble[i % scramble.size()]);
  Heard(plain);
}

void FakeMysql::Commands(Wire& wire) {
  std::string command;
  while (wire.Read(command) && !command.empty() && command[0] != 1) {  // COM_QUIT
    const bool query = command[0] == 3;
    const std::string sql = command.substr(1);
    if (query && on_query && on_query(wire, sql)) continue;
    if (!(query ? Usual(wire, sql) : wire.Ok())) return;
  }
}

bool FakeMysql::Usual(Wire& wire, const std::string& sql) {
  if (sql.find("CONNECTION_ID(), VERSION()") != std::string::npos) {
    return wire.Columns({"id", "version"}) && wire.Row({"7", "8.0.36"}) && wire.End();
  }
  // The relay, of the connection that has logged in.
  if (sql.find("information_schema.processlist") != std::string::npos) {
    return wire.Columns({"user", "host"}) && wire.Row({"oms", "127.0.0.1:1"}) && wire.End();
  }
  if (sql.starts_with("SELECT") || sql.starts_with("SHOW")) {
    return wire.Columns({"x"}) && wire.End();
  }
  return wire.Ok();
}

}  // namespace oms::fakes
