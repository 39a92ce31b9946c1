// gzip, a piece at a time. gzip_stream.cc is the only file that includes zlib.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace oms::drivers::files {

// Members that follow each other are one text, as gzip has it. Not thread-safe.
class GzipDecompressor {
 public:
  GzipDecompressor();
  ~GzipDecompressor();
  // More input, once Next() has given all that the last one held. Borrowed until then.
  void Take(std::string_view bytes);
  // Adds at most 128 KiB to `text`. False: there is no more without more input. Error kInvalid
  // "GzipBroken": zlib's words.
  base::Result<bool> Next(std::string& text);
  // Whether all that was taken so far ends where a member ends.
  bool Whole() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace oms::drivers::files
