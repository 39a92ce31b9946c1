#include "controller/kube/watch_decoder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace oms::kube {
namespace {

using base::Code;
using nlohmann::json;

std::string Line(const std::string& type, const std::string& name, const std::string& version) {
  return json({{"type", type},
               {"object", {{"metadata", {{"name", name}, {"resourceVersion", version}}}}}})
             .dump() +
         "\n";
}

class WatchDecoderTest : public testing::Test {
 protected:
  base::Status Feed(std::string_view bytes) {
    return decoder_.Feed(bytes, [this](WatchEventType type, const json& object) -> base::Status {
      if (refuse_) return base::MakeError(Code::kInternal, "refused");
      seen_.push_back(std::to_string(static_cast<int>(type)) + ":" +
                      object["metadata"].value("name", ""));
      return base::Ok();
    });
  }
  WatchDecoder decoder_;
  std::vector<std::string> seen_;
  bool refuse_ = false;
};

TEST_F(WatchDecoderTest, EventsComeInOrderWhereverTheBytesAreCut) {
  const std::string all = Line("ADDED", "a", "1") + Line("MODIFIED", "b", "2") +
                          Line("DELETED", "c", "3") + Line("BOOKMARK", "", "9");
  for (size_t step = 1; step < all.size(); ++step) {
    decoder_ = {};
    seen_.clear();
    for (size_t at = 0; at < all.size(); at += step) {
      ASSERT_TRUE(Feed(std::string_view(all).substr(at, step)).ok());
    }
    ASSERT_EQ(seen_, (std::vector<std::string>{"0:a", "1:b", "2:c", "3:"})) << step;
    EXPECT_EQ(decoder_.resource_version(), "9");
    EXPECT_EQ(decoder_.pending(), 0u);
  }
}

TEST_F(WatchDecoderTest, HalfALineAtTheEndIsNoEvent) {
  const std::string half = Line("MODIFIED", "b", "2");
  ASSERT_TRUE(Feed(Line("ADDED", "a", "1") + half.substr(0, half.size() / 2)).ok());
  EXPECT_EQ(seen_, std::vector<std::string>{"0:a"});
  EXPECT_EQ(decoder_.resource_version(), "1");
  EXPECT_GT(decoder_.pending(), 0u);
}

TEST_F(WatchDecoderTest, EmptyLinesAndCarriageReturnsAreNothing) {
  std::string line = Line("ADDED", "a", "1");
  line.insert(line.size() - 1, "\r");
  EXPECT_TRUE(Feed("\n\r\n" + line).ok());
  EXPECT_EQ(seen_, std::vector<std::string>{"0:a"});
}

TEST_F(WatchDecoderTest, A410InTheStreamIsExpired) {
  const auto status = Feed(
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}})"
      "\n");
  EXPECT_TRUE(status.Is(Code::kExpired));
  EXPECT_EQ(status.error().message, "too old");
}

TEST_F(WatchDecoderTest, AnyOtherErrorInTheStreamIsMappedByItsCode) {
  EXPECT_TRUE(Feed(R"({"type":"ERROR","object":{"code":500,"message":"x"}})"
                   "\n")
                  .Is(Code::kTransient));
  decoder_ = {};
  EXPECT_TRUE(Feed(R"({"type":"ERROR","object":{}})"
                   "\n")
                  .Is(Code::kTransient));
}

TEST_F(WatchDecoderTest, WhatIsNoEventIsABrokenStream) {
  for (const char* line :
       {"nonsense\n", "7\n", "{}\n", "{\"type\":\"ADDED\"}\n", "{\"type\":\"NEW\",\"object\":{}}\n",
        "{\"type\":7,\"object\":{}}\n", "\xff\xfe\n"}) {
    decoder_ = {};
    EXPECT_TRUE(Feed(line).Is(Code::kTransient)) << line;
  }
}

TEST_F(WatchDecoderTest, AnEventThatTheSinkRefusedIsNotCountedAsSeen) {
  refuse_ = true;
  EXPECT_TRUE(Feed(Line("ADDED", "a", "5")).Is(Code::kInternal));
  EXPECT_EQ(decoder_.resource_version(), "");
}

TEST(ErrorFromStatus, MapsEveryStatusToWhatToDo) {
  const struct {
    int http;
    const char* reason;
    Code want;
  } table[] = {
      {400, "BadRequest", Code::kInvalid},
      {401, "Unauthorized", Code::kDenied},
      {403, "Forbidden", Code::kDenied},
      {404, "NotFound", Code::kNotFound},
      {409, "AlreadyExists", Code::kAlreadyExists},
      {409, "Conflict", Code::kConflict},
      {409, "", Code::kConflict},
      {410, "Gone", Code::kExpired},
      {415, "UnsupportedMediaType", Code::kInvalid},
      {422, "Invalid", Code::kInvalid},
      {429, "TooManyRequests", Code::kTransient},
      {500, "InternalError", Code::kTransient},
      {503, "ServiceUnavailable", Code::kTransient},
      {504, "Timeout", Code::kTransient},
      {302, "", Code::kInternal},
  };
  for (const auto& row : table) {
    const auto error = ErrorFromStatus(row.http, {{"reason", row.reason}, {"message", "m"}});
    EXPECT_EQ(error.code, row.want) << row.http << row.reason;
    EXPECT_EQ(error.reason, row.reason);
    EXPECT_EQ(error.message, "m");
  }
  EXPECT_EQ(ErrorFromStatus(502, json::parse("<html>", nullptr, false)).message,
            "the API server answered HTTP 502");
}

}  // namespace
}  // namespace oms::kube
