// Sizes for people. Pure.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace oms::base {

// "0.0 KiB", "12.0 MiB", "1.5 GiB", "2.0 TiB": one digit behind the point, powers of 1024.
inline std::string Human(uint64_t bytes) {
  double size = static_cast<double>(bytes) / 1024;
  const char* unit = "KiB";
  for (const char* larger : {"MiB", "GiB", "TiB"}) {
    // What would be shown as 1024.0 is 1.0 of the next.
    if (size < 1023.95) break;
    size /= 1024;
    unit = larger;
  }
  return fmt::format("{:.1f} {}", size, unit);
}

}  // namespace oms::base
