// zstd, a piece at a time. zstd_stream.cc is the only file that includes it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace oms::drivers::files {

// Not thread-safe. What comes out has a checksum of its own.
class ZstdCompressor {
 public:
  using Sink = std::function<base::Status(std::string_view)>;
  ZstdCompressor();
  ~ZstdCompressor();
  base::Status Feed(std::string_view bytes, const Sink& sink);
  base::Status Finish(const Sink& sink);

 private:
  base::Status Compress(std::string_view bytes, bool end, const Sink& sink);
  struct State;
  std::unique_ptr<State> state_;
};

// Not thread-safe.
class ZstdDecompressor {
 public:
  ZstdDecompressor();
  ~ZstdDecompressor();
  // More input, once Next() has given all that the last one held. Borrowed until then.
  void Take(std::string_view bytes);
  // Adds at most 128 KiB to `text`. False: there is no more without more input. Error kTransient
  // "ZstdBroken": zstd's words.
  base::Result<bool> Next(std::string& text);
  // Whether all that was taken so far ends where a frame ends.
  bool Whole() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace oms::drivers::files
