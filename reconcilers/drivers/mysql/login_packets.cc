#include "reconcilers/drivers/mysql/login_packets.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconcilers/drivers/mysql/mysql_wire.h"

namespace oms::drivers::mysql {
namespace {

// Text up to the next NUL, or to the end.
std::string TextAt(const std::string& packet, size_t at) {
  if (at >= packet.size()) return {};
  return packet.substr(at, packet.find('\0', at) - at);
}

}  // namespace

uint32_t Little(const std::string& bytes, size_t at, size_t n) {
  uint32_t value = 0;
  for (size_t i = 0; i < n; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes.at(at + i))) << (8 * i);
  }
  return value;
}

std::optional<std::string> TakePacket(std::string& buffer) {
  if (buffer.size() < 4) return std::nullopt;
  const size_t size = 4 + Little(buffer, 0, 3);
  if (buffer.size() < size) return std::nullopt;
  std::string packet = buffer.substr(0, size);
  buffer.erase(0, size);
  return packet;
}

std::optional<std::string> Reveals(const std::string& plugin) {
  const std::string list = fmt::format(",{},", kScramblingPlugins);
  if (!plugin.empty() && list.find("," + plugin + ",") != std::string::npos) return std::nullopt;
  // A name of the server's own goes into a message.
  const bool word = plugin.size() <= 64 && std::all_of(plugin.begin(), plugin.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
                    });
  return plugin.empty() || !word ? "it asks for a plug-in of another kind"
                                 : "it asks for " + plugin;
}

std::optional<std::string> PacketReveals(const std::string& packet) {
  const unsigned char kind = packet.size() > 4 ? static_cast<unsigned char>(packet[4]) : 0;
  if (kind == 0xfe) return Reveals(TextAt(packet, 5));  // Another plug-in.
  // Of caching_sha2_password: 3, the scramble was right. 4 asks for the password itself; a key, and
  // what other plug-ins say here, lead to it.
  if (kind == 0x01 && packet.substr(5) != "\x03") return "it asks for the password itself";
  return std::nullopt;
}

std::optional<Greeting> ReadGreeting(std::string& packet) {
  // header 4, protocol 1, version and NUL, id 4, scramble 8, filler 1, capabilities low 2
  const size_t version_end = packet.find('\0', 5);
  if (packet.size() < 6 || packet[4] != 10 || version_end == std::string::npos) return std::nullopt;
  const size_t capabilities = version_end + 1 + 4 + 8 + 1;
  if (packet.size() < capabilities + 2) return std::nullopt;
  Greeting greeting;
  greeting.id = Little(packet, version_end + 1, 4);
  const uint32_t low = Little(packet, capabilities, 2);
  greeting.offers_tls = (low & kClientSsl) != 0;
  const uint32_t without = low & ~kClientSsl;
  // charset 1, status 2, capabilities high 2, length of the scramble 1, reserved 10, its rest (13
  // or more), plug-in
  if (packet.size() > capabilities + 8) {
    const size_t scramble = Little(packet, capabilities + 7, 1);
    const size_t rest = std::max<size_t>(13, scramble > 8 ? scramble - 8 : 0);
    greeting.plugin = TextAt(packet, capabilities + 18 + rest);
  }
  packet[capabilities] = static_cast<char>(without & 0xff);
  packet[capabilities + 1] = static_cast<char>((without >> 8) & 0xff);
  return greeting;
}

}  // namespace oms::drivers::mysql
