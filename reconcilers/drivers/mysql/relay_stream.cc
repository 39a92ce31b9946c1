#include "reconcilers/drivers/mysql/relay_stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace oms::drivers::mysql {

void DetectDeadPeer(int fd) {
  const int on = 1, idle = 30, interval = 10, count = 3, unanswered_ms = 60'000;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof unanswered_ms);
}

Stream::Stream(base::Fd fd) : fd_(std::move(fd)) {
  fcntl(fd_.get(), F_SETFL, fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
}

ssize_t Stream::Read(char* data, size_t size) { return Answer(recv(fd(), data, size, 0)); }

ssize_t Stream::Write(const char* data, size_t size) {
  return Answer(send(fd(), data, size, MSG_NOSIGNAL));
}

void Stream::TakeError() {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  NoteError(error);
}

void Stream::NoteError(int error) {
  broken_ = broken_ || (error != 0 && error != ECONNRESET && error != EPIPE);
}

ssize_t Stream::Answer(ssize_t n) {
  if (n >= 0) return n;
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return -1;
  NoteError(errno);
  return 0;
}

void TlsStream::Free::operator()(SSL* ssl) const { SSL_free(ssl); }

TlsStream::TlsStream(base::Fd fd, SSL_CTX* context)
    : Stream(std::move(fd)), ssl_(SSL_new(context)) {
  SSL_set_fd(ssl_.get(), this->fd());
  SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

TlsStream::~TlsStream() = default;

void TlsStream::Expect(const std::string& host) {
  unsigned char ip[16];
  auto* param = SSL_get0_param(ssl_.get());
  const bool is_ip =
      inet_pton(AF_INET, host.c_str(), ip) == 1 || inet_pton(AF_INET6, host.c_str(), ip) == 1;
  if (is_ip) {
    X509_VERIFY_PARAM_set1_ip_asc(param, host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl_.get(), host.c_str());
    X509_VERIFY_PARAM_set1_host(param, host.c_str(), 0);
  }
}

TlsStream::Step TlsStream::Shake() {
  ERR_clear_error();
  const int n = SSL_connect(ssl_.get());
  if (n == 1) return Step::kDone;
  switch (SSL_get_error(ssl_.get(), n)) {
    case SSL_ERROR_WANT_READ: return Step::kWantsRead;
    case SSL_ERROR_WANT_WRITE: return Step::kWantsWrite;
    default: return Step::kFailed;
  }
}

std::string TlsStream::ErrorText() {
  const unsigned long number = ERR_get_error();
  const char* reason = number != 0 ? ERR_reason_error_string(number) : nullptr;
  return reason != nullptr ? reason : "the server ended the handshake";
}

ssize_t TlsStream::Read(char* data, size_t size) {
  ERR_clear_error();
  errno = 0;
  return Answer(SSL_read(ssl_.get(), data, static_cast<int>(std::min<size_t>(size, 1 << 30))));
}

ssize_t TlsStream::Write(const char* data, size_t size) {
  ERR_clear_error();
  errno = 0;
  return Answer(SSL_write(ssl_.get(), data, static_cast<int>(std::min<size_t>(size, 1 << 30))));
}

bool TlsStream::Pending() const { return SSL_pending(ssl_.get()) > 0; }

ssize_t TlsStream::Answer(int n) {
  if (n > 0) return n;
  const int error = errno;
  const int why = SSL_get_error(ssl_.get(), n);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return -1;
  if (why == SSL_ERROR_SYSCALL) NoteError(error);
  return 0;
}

}  // namespace oms::drivers::mysql
