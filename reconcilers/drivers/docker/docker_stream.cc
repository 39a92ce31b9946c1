#include "reconcilers/drivers/docker/docker_stream.h"

#include <algorithm>

namespace oms::drivers::docker {
namespace {

// The length of the UTF-8 character at the front, 0 if there is none (RFC 3629 section 4).
size_t CharacterLength(std::string_view s) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto follows = [&](size_t n) {
    if (s.size() < n) return false;
    for (size_t i = 1; i < n; ++i) {
      if ((at(i) & 0xC0) != 0x80) return false;
    }
    return true;
  };
  const unsigned char c = at(0);
  if (c < 0x80) return 1;
  if (c >= 0xC2 && c <= 0xDF) return follows(2) ? 2 : 0;
  if (c >= 0xE0 && c <= 0xEF && follows(3)) {
    const bool overlong = c == 0xE0 && at(1) < 0xA0;
    const bool surrogate = c == 0xED && at(1) > 0x9F;
    return overlong || surrogate ? 0 : 3;
  }
  if (c >= 0xF0 && c <= 0xF4 && follows(4)) {
    const bool overlong = c == 0xF0 && at(1) < 0x90;
    const bool beyond = c == 0xF4 && at(1) > 0x8F;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

}  // namespace

std::string ToUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t n = CharacterLength(bytes);
    if (n == 0) {
      out += '?';
    } else {
      out += bytes.substr(0, n);
    }
    bytes.remove_prefix(std::max<size_t>(n, 1));
  }
  return out;
}

void Tail::Add(std::string_view text) {
  text_ += text;
  // Cut now and then only: twice the limit is kept in between.
  if (text_.size() > 2 * limit_) {
    text_.erase(0, text_.size() - limit_);
    cut_ = true;
  }
}

std::string Tail::Text() const {
  std::string_view text = text_;
  bool cut = cut_;
  if (text.size() > limit_) {
    text.remove_prefix(text.size() - limit_);
    cut = true;
  }
  if (cut) {
    // A half line says little, and half a character is none; a single huge line is kept.
    const size_t newline = text.find('\n');
    if (newline != std::string_view::npos && newline + 1 < text.size()) {
      text.remove_prefix(newline + 1);
    }
  }
  return ToUtf8(text);
}

bool FrameDemux::Add(std::string_view bytes) {
  while (!bytes.empty()) {
    if (left_ > 0) {
      const size_t n = std::min(left_, bytes.size());
      out_.Add(bytes.substr(0, n));
      left_ -= n;
      bytes.remove_prefix(n);
      continue;
    }
    const size_t n = std::min(8 - head_.size(), bytes.size());
    head_ += bytes.substr(0, n);
    bytes.remove_prefix(n);
    if (head_.size() < 8) continue;
    const auto at = [&](size_t i) -> size_t { return static_cast<unsigned char>(head_[i]); };
    // 0 stdin, 1 stdout, 2 stderr, 3 an error of the engine itself; then three zeros.
    if (at(0) > 3 || at(1) != 0 || at(2) != 0 || at(3) != 0) return false;
    left_ = at(4) << 24 | at(5) << 16 | at(6) << 8 | at(7);
    head_.clear();
  }
  return true;
}

}  // namespace oms::drivers::docker
