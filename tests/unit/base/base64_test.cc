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

TEST(DecodeBase64, RefusesWhatIsNone) {
  for (const char* text : {"YQ", "YQ=", "Y===", "====", "Y Q=", "YQ==YQ==", "YQ-_", "=YQ="}) {
    EXPECT_FALSE(DecodeBase64(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace oms::base
