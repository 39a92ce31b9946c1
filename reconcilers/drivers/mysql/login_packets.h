// The packets of a login, as MySQL's protocol has them: what a server says first, and what would show
// it the password. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace oms::drivers::mysql {

inline constexpr uint32_t kClientSsl = 1U << 11;

// `n` bytes at `at`, the lowest first.
uint32_t Little(const std::string& bytes, size_t at, size_t n);

// The first whole packet of `buffer` (header included), taken out of it.
std::optional<std::string> TakePacket(std::string& buffer);

struct Greeting {
  uint64_t id = 0;
  bool offers_tls = false;
  std::string plugin;  // Of the login; empty: it names none.
};

// Reads protocol 10's greeting and takes the offer of TLS out of it.
std::optional<Greeting> ReadGreeting(std::string& packet);

// Why the child may not answer by this plug-in over plain TCP; nullopt: it may. The child is on a
// unix socket, which it takes for a safe way, and would answer anything.
std::optional<std::string> Reveals(const std::string& plugin);

// The same of a packet that comes from the server during the login.
std::optional<std::string> PacketReveals(const std::string& packet);

}  // namespace oms::drivers::mysql
