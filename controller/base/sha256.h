// SHA-256 of texts and streams, as 64 lower-case hex digits. OpenSSL is in sha256.cc only.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace oms::base {

std::string Sha256Hex(std::string_view text);

// For what is too large for memory. Not thread-safe.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(const Sha256Stream&) = delete;
  Sha256Stream& operator=(const Sha256Stream&) = delete;

  void Update(std::string_view bytes);
  std::string Hex();  // Once; the stream is at its end then.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace oms::base
