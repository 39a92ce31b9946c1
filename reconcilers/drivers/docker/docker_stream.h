// The texts that an engine streams: exec output and JSON progress lines. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace oms::drivers::docker {

// Keeps the last `limit` bytes of what it is given.
class Tail {
 public:
  explicit Tail(size_t limit) : limit_(limit) {}
  void Add(std::string_view text);
  // Valid UTF-8: other bytes have become '?', so that it can go into JSON. Lines are cut at the
  // front rather than characters where something was dropped.
  std::string Text() const;

 private:
  size_t limit_;
  bool cut_ = false;
  std::string text_;
};

// Takes the frames of a stream apart (8 bytes of head: 1 the stream, 4..7 the big-endian length),
// however they are split over packets. stdout and stderr are joined in the order they came.
class FrameDemux {
 public:
  explicit FrameDemux(Tail& out) : out_(out) {}
  // False: this is no framed stream.
  bool Add(std::string_view bytes);
  // Whether the stream may end here.
  bool AtFrameEnd() const { return head_.empty() && left_ == 0; }

 private:
  Tail& out_;
  std::string head_;  // Of the next frame, while it is not complete.
  size_t left_ = 0;   // Of the frame's content.
};

// Bytes that are not UTF-8 become '?'.
std::string ToUtf8(std::string_view bytes);

}  // namespace oms::drivers::docker
