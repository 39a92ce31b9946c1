// The two kinds of connections that the relay has: plain ones and TLS. Neither blocks by itself.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>

#include "controller/base/fd.h"

// OpenSSL's own.
struct ssl_ctx_st;
struct ssl_st;

namespace oms::drivers::mysql {

// A statement may be silent for hours; a host that vanished is seen after a minute.
void DetectDeadPeer(int fd);

// -1: not now, 0: ended, else bytes.
class Stream {
 public:
  explicit Stream(base::Fd fd);
  virtual ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int fd() const { return fd_.get(); }
  virtual ssize_t Read(char* data, size_t size);
  virtual ssize_t Write(const char* data, size_t size);
  // Bytes that a Read would give without the socket being readable.
  virtual bool Pending() const { return false; }
  // It ended, but not by the other side: that one may not know, and go on.
  bool broken() const { return broken_; }
  // After POLLERR.
  void TakeError();

 protected:
  void NoteError(int error);

 private:
  ssize_t Answer(ssize_t n);

  base::Fd fd_;
  bool broken_ = false;
};

class TlsStream final : public Stream {
 public:
  TlsStream(base::Fd fd, ssl_ctx_st* context);
  ~TlsStream() override;

  // The server's certificate must be of this name or address, as well as signed by the CA.
  void Expect(const std::string& host);
  enum class Step { kDone, kWantsRead, kWantsWrite, kFailed };
  // One step of the handshake. kFailed: why is ErrorText().
  Step Shake();
  static std::string ErrorText();

  ssize_t Read(char* data, size_t size) override;
  ssize_t Write(const char* data, size_t size) override;
  bool Pending() const override;

 private:
  ssize_t Answer(int n);

  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  std::unique_ptr<ssl_st, Free> ssl_;
};

}  // namespace oms::drivers::mysql
