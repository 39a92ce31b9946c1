#include "controller/base/base64.h"

#include <gtest/gtest.h>

namespace oms::base {
namespace {

TEST(DecodeBase64, ReadsWhatASecretHolds) {
  EXPECT_EQ(DecodeBase64(""), "");
  EXPECT_EQ(DecodeBase64("YQ=="), "a");
  EXPECT_EQ(DecodeBase64("YWI="), "ab");
  EXPECT_EQ(DecodeBase64("cEBzcycvIQ=="), "p@ss'/!");
  EXPECT_EQ(DecodeBase64("/+8A"), std::string("\xff\xef\0", 3));
}

TEST(EncodeBase64, WritesWhatDecodesToTheSame) {
  EXPECT_EQ(EncodeBase64(""), "");
  EXPECT_EQ(EncodeBase64("a"), "YQ==");
  EXPECT_EQ(EncodeBase64("user:p@ss'/!"), "dXNlcjpwQHNzJy8h");
  const std::string bytes("\xff\xef\0", 3);
  EXPECT_EQ(EncodeBase64(bytes), "/+8A");
  EXPECT_EQ(DecodeBase64(EncodeBase64(bytes)), bytes);
}

TEST(DecodeBase64, RefusesWhatIsNone) {
  for (const char* text : {"YQ", "YQ=", "Y===", "====", "Y Q=", "YQ==YQ==", "YQ-_", "=YQ="}) {
    EXPECT_FALSE(DecodeBase64(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace oms::base
