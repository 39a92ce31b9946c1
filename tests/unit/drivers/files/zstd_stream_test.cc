#include "reconcilers/drivers/files/zstd_stream.h"

#include <gtest/gtest.h>

namespace oms::drivers::files {
namespace {

std::string Pack(const std::string& text, size_t step) {
  ZstdCompressor packer;
  std::string packed;
  const auto sink = [&](std::string_view bytes) {
    packed += bytes;
    return base::Ok();
  };
  for (size_t at = 0; at < text.size(); at += step) {
    EXPECT_TRUE(packer.Feed(std::string_view(text).substr(at, step), sink).ok());
  }
  EXPECT_TRUE(packer.Finish(sink).ok());
  return packed;
}

// In pieces of `step` bytes; "broken" if zstd says so.
std::string Unpack(const std::string& packed, size_t step, bool& whole) {
  ZstdDecompressor unpacker;
  std::string text;
  for (size_t at = 0; at < packed.size(); at += step) {
    unpacker.Take(std::string_view(packed).substr(at, step));
    while (true) {
      const auto more = unpacker.Next(text);
      if (!more.ok()) return "broken";
      if (!*more) break;
    }
  }
  whole = unpacker.Whole();
  return text;
}

TEST(ZstdStream, BringsBackWhatWentInWhateverThePieces) {
  // Also what fills the library's own pieces of 128 KiB to the last byte.
  for (const size_t size : {size_t{0}, size_t{1}, size_t{128 << 10}, size_t{512 << 10},
                            size_t{(512 << 10) + 1}, size_t{5'000'000}}) {
    for (const int kind : {0, 1}) {
      std::string text(size, 'x');
      uint32_t random = 7;
      for (size_t i = 0; kind == 1 && i < size; ++i) {
        random = random * 1664525 + 1013904223;
        text[i] = static_cast<char>(random >> 24);
      }
      const auto packed = Pack(text, 100'000);
      for (const size_t step : {size_t{1000}, size_t{1 << 20}}) {
        bool whole = false;
        EXPECT_TRUE(Unpack(packed, step, whole) == text) << size << " " << step;
        EXPECT_TRUE(whole) << size << " " << step;
      }
    }
  }
}

TEST(ZstdStream, NoticesWhatIsCutOrBroken) {
  const std::string text(1'000'000, 'y');
  auto packed = Pack(text, 100'000);
  bool whole = true;
  Unpack(packed.substr(0, packed.size() - 1), 1000, whole);
  EXPECT_FALSE(whole);
  packed[packed.size() - 1] = static_cast<char>(packed[packed.size() - 1] ^ 1);
  EXPECT_EQ(Unpack(packed, 1000, whole), "broken");
}

}  // namespace
}  // namespace oms::drivers::files
