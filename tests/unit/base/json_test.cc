#include "controller/base/json.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

namespace oms::base {
namespace {

using nlohmann::json;

std::string Nested(int depth) {
  std::string text(static_cast<size_t>(depth), '[');
  return text.append(static_cast<size_t>(depth), ']');
}

TEST(Json, IsReadUpToItsDepth) {
  ASSERT_TRUE(ParseJson(Nested(kMaxJsonDepth)).ok());
  ASSERT_TRUE(ParseJson("{\"a\":{\"b\":[1]}}", 3).ok());
  ASSERT_TRUE(ParseJson("[[],[],[[]]]", 3).ok());
  EXPECT_EQ(ParseJson(" \"a[\\\"[[[\" ", 0)->get<std::string>(), "a[\"[[[");
}

// The library parses it; what it does with the value afterwards takes the stack.
TEST(Json, ThatIsNestedWithoutEndIsRefused) {
  for (const int depth : {kMaxJsonDepth + 1, 100'000, 1'000'000}) {
    for (const std::string& text :
         {Nested(depth), std::string(static_cast<size_t>(depth), '['),
          "{\"a[[\":" + Nested(depth) + "}", "[" + Nested(depth) + "," + Nested(depth) + "]"}) {
      const auto read = ParseJson(text);
      ASSERT_TRUE(read.Is(Code::kInvalid)) << depth;
      EXPECT_EQ(read.error().message, "is JSON that is nested more than 64 levels deep");
      EXPECT_TRUE(ParseOrderedJson(text).Is(Code::kInvalid)) << depth;
    }
  }
  EXPECT_TRUE(ParseJson("[[]]", 1).Is(Code::kInvalid));
}

TEST(Json, ThatIsNoneIsRefused) {
  for (const char* text : {"", "[", "]", "{\"a\":}", "nul", "\"a", "[1,]", "\"\xff\"", "[]]"}) {
    const auto read = ParseJson(text);
    ASSERT_TRUE(read.Is(Code::kInvalid)) << text;
    EXPECT_EQ(read.error().message, "is not JSON") << text;
  }
}

TEST(Json, KeepsTheOrderOfItsMembersWhereThatIsAskedFor) {
  EXPECT_EQ(ParseOrderedJson("{\"b\":1,\"a\":2}")->dump(), "{\"b\":1,\"a\":2}");
  EXPECT_EQ(ParseJson("{\"b\":1,\"a\":2}")->dump(), "{\"a\":2,\"b\":1}");
}

TEST(WholeNumber, IsWhatTheTypeHolds) {
  const auto of = [](const char* text) { return *ParseJson(text); };
  EXPECT_EQ(WholeNumber<int>(of("-7")), -7);
  EXPECT_EQ(WholeNumber<int>(of("2147483647")), std::numeric_limits<int>::max());
  EXPECT_EQ(WholeNumber<int64_t>(of("-9223372036854775808")), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(WholeNumber<uint64_t>(of("18446744073709551615")),
            std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(WholeNumber<uint32_t>(of("0")), 0u);
}

TEST(WholeNumber, IsNoneThatWouldBeCut) {
  const auto of = [](const char* text) { return *ParseJson(text); };
  for (const char* text : {"2147483648", "-2147483649", "2e21", "1.0", "1.5", "-2e21", "true",
                           "null", "\"1\"", "[1]", "18446744073709551616"}) {
    EXPECT_EQ(WholeNumber<int>(of(text)), std::nullopt) << text;
  }
  EXPECT_EQ(WholeNumber<int64_t>(of("9223372036854775808")), std::nullopt);
  EXPECT_EQ(WholeNumber<uint64_t>(of("-1")), std::nullopt);
  EXPECT_EQ(WholeNumber<uint32_t>(of("4294967296")), std::nullopt);
}

}  // namespace
}  // namespace oms::base
