// The little of tar that the engine's archive calls need: one file in, one file out.
//
// Read: ustar with GNU long names and base-256 numbers, and pax headers (what Docker's Go code
// emits). Pure; no I/O.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace oms::drivers {

struct TarEntry {
  std::string name{};
  char type = '0';  // '0' regular, '1' hard link, '2' symbolic link, '5' folder, ...
  std::string link{};
  uint32_t mode = 0;  // Permission bits.
  int64_t uid = 0;
  int64_t gid = 0;
  std::string content{};
};

// The first entry of an archive. kInvalid if the archive is not one, or is cut off.
base::Result<TarEntry> FirstTarEntry(std::string_view archive);

// An archive with one regular file. `name` has no folder and at most 100 bytes, else kInvalid.
base::Result<std::string> MakeTar(const TarEntry& file);

// Whether these bytes are how a complete archive ends: two blocks of zeros.
bool IsTarEnd(std::string_view last_1024_bytes);

}  // namespace oms::drivers
