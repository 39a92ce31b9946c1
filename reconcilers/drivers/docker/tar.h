// The little of tar that is needed: of the engine's archive calls one file in, one file out; of an
// image archive its few small files.
//
// Read: ustar with GNU long names and base-256 numbers, and pax headers (what Docker's Go code
// emits). Pure; no I/O.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace oms::drivers::docker {

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

// A whole archive, in pieces of any length. kInvalid "BadArchive" if it is none; kInvalid
// "SparseArchive" where it holds a sparse file, which is not read.
class TarReader {
 public:
  using Wants = std::function<bool(const std::string& name, uint64_t size)>;
  using Take = std::function<void(std::string name, std::string content)>;
  // `wants` is asked for each regular file; the content of one that is wanted is kept and given to
  // `take`.
  TarReader(Wants wants, Take take);
  ~TarReader();
  base::Status Feed(std::string_view bytes);
  // So many of the bytes that come next are of no use; Skip() says that they will not be fed.
  uint64_t Skippable() const;
  void Skip(uint64_t bytes);
  // Its end mark was read; nothing after it is looked at.
  bool ended() const;
  // Whether all that was fed so far ends where an entry ends.
  bool Whole() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Whether these bytes are how a complete archive ends: two blocks of zeros.
bool IsTarEnd(std::string_view last_1024_bytes);

}  // namespace oms::drivers::docker
