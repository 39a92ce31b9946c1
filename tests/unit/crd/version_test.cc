#include "crd/version.h"

#include <gtest/gtest.h>

#include <string>

namespace oms::crd {
namespace {

Version V(std::string_view text) {
  auto version = Version::Parse(text);
  EXPECT_TRUE(version.ok()) << text;
  return version.ok() ? *version : Version{};
}

TEST(Version, ReadsEverySpellingThatIsInUse) {
  EXPECT_EQ(V("4.3.1").ToString(), "4.3.1");
  EXPECT_EQ(V("V4.3.1").ToString(), "4.3.1");
  EXPECT_EQ(V("v4.3.1").ToString(), "4.3.1");
  EXPECT_EQ(V("4.2.11-CE").ToString(), "4.2.11-CE");
  EXPECT_EQ(V("feature_4.0.0-ce_bp1").ToString(), "4.0.0-CE-BP1");
  EXPECT_EQ(V("4.3.1 BP1").ToString(), "4.3.1-BP1");
  EXPECT_EQ(V("feature_4.2.7_ce").ToString(), "4.2.7-CE");
  EXPECT_EQ(V("3.2.2bp2").ToString(), "3.2.2-BP2");
  EXPECT_EQ(V("feature_3.3.0-bp1").ToString(), "3.3.0-BP1");
  EXPECT_EQ(V("FEATURE_3.4.0").ToString(), "3.4.0");
}

TEST(Version, ReadsItsOwnCanonicalForm) {
  for (const char* text : {"4.3.1", "4.2.11-CE", "4.0.1-BP1", "4.0.0-CE-BP12"}) {
    EXPECT_EQ(V(text).ToString(), text);
  }
}

TEST(Version, IsOrderedByNumbersNotByText) {
  EXPECT_LT(V("4.2.9-CE"), V("4.2.11-CE"));
  EXPECT_LT(V("4.3.1"), V("4.10.0"));
  EXPECT_LT(V("4.3.1"), V("4.3.1-BP1"));
  EXPECT_LT(V("4.3.1-BP2"), V("4.3.1-BP10"));
  EXPECT_LT(V("4.3.1-BP9"), V("4.3.2"));
  EXPECT_EQ(V("V4.3.1"), V("feature_4.3.1"));
}

TEST(Version, TellsTheEdition) {
  EXPECT_EQ(V("4.2.11-CE").edition, Edition::kCommunity);
  EXPECT_EQ(V("4.3.1").edition, Edition::kEnterprise);
  EXPECT_NE(V("4.2.2"), V("4.2.2-CE"));
}

TEST(Version, RefusesWhatIsNoneAndSaysWhatToWrite) {
  for (const char* text : {"",
                           "4",
                           "4.3",
                           "4.3.",
                           "4.3.1.2",
                           "latest",
                           "4.3.x",
                           "-4.3.1",
                           "4.3.1-",
                           "4.3.1-bp",
                           "4.3.1-bp0",
                           "4.3.1-EE",
                           "4.3.1 ",
                           " 4.3.1",
                           "4..3.1",
                           "99999.1.1",
                           "4.3.1ce",
                           "feature_feature_4.3.1",
                           "4.3.1-bp1-ce",
                           "vfeature_4.3.1",
                           "4.3.1\n"}) {
    const auto version = Version::Parse(text);
    ASSERT_FALSE(version.ok()) << text;
    EXPECT_EQ(version.error().reason, "InvalidVersion");
    EXPECT_NE(version.error().message.find("4.3.1, 4.2.11-CE or 4.3.1-BP1"), std::string::npos);
  }
}

TEST(Version, AnErrorShowsNoControlCharactersAndStaysShort) {
  const auto version = Version::Parse(std::string(10000, '\x1b'));
  ASSERT_FALSE(version.ok());
  EXPECT_LT(version.error().message.size(), 200u);
  EXPECT_EQ(version.error().message.find('\x1b'), std::string::npos);
}

TEST(Version, IsFoundInTheTagOfAnImage) {
  EXPECT_EQ(VersionFromImage("oms:4.3.1")->ToString(), "4.3.1");
  EXPECT_EQ(
      VersionFromImage("work.oceanbase-dev.com/obartifact-store/oms:feature_3.4.0")->ToString(),
      "3.4.0");
  EXPECT_EQ(VersionFromImage("host:5000/oms:feature_4.2.11_ce@sha256:0123")->ToString(),
            "4.2.11-CE");
}

TEST(Version, IsNotInventedWhereTheTagNamesNone) {
  for (const char* image : {"oms", "oms:latest", "host:5000/oms", "sha256:0123", "oms@sha256:01",
                            "host:4.3.1/oms", ""}) {
    const auto version = VersionFromImage(image);
    ASSERT_FALSE(version.ok()) << image;
    EXPECT_EQ(version.error().reason, "NoVersionInTag");
  }
}

TEST(NewContainerName, FollowsTheGuideWhereTheNameEndsInTheVersionsDigits) {
  EXPECT_EQ(NewContainerName("oms_430", V("4.3.0"), V("4.3.1")), "oms_431");
  EXPECT_EQ(NewContainerName("oms_340", V("3.4.0"), V("4.3.1")), "oms_431");
  EXPECT_EQ(NewContainerName("oms_431", V("4.3.1"), V("4.3.1-BP1")), "oms_431bp1");
  EXPECT_EQ(NewContainerName("oms_431bp1", V("4.3.1-BP1"), V("4.3.2")), "oms_432");
  EXPECT_EQ(NewContainerName("oms_429", V("4.2.9-CE"), V("4.2.11-CE")), "oms_4211");
}

TEST(NewContainerName, IsSuffixedElsewhereAndDoesNotGrow) {
  EXPECT_EQ(NewContainerName("oms", V("4.3.0"), V("4.3.1")), "oms-4.3.1");
  EXPECT_EQ(NewContainerName("oms-4.3.1", V("4.3.1"), V("4.3.2")), "oms-4.3.2");
  EXPECT_EQ(NewContainerName("430", V("4.3.0"), V("4.3.1")), "430-4.3.1");
  EXPECT_EQ(NewContainerName("oms_1430", V("4.3.0"), V("4.3.1")), "oms_1430-4.3.1");
}

}  // namespace
}  // namespace oms::crd
