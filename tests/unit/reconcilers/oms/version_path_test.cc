#include "reconcilers/oms/version_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace oms::product {
namespace {

using crd::Version;
using testing::HasSubstr;

base::Result<PathSteps> Path(std::string_view from, std::string_view to,
                             const PathOptions& options = {}) {
  return CheckPath(*Version::Parse(from), *Version::Parse(to), options);
}

void ExpectRefused(std::string_view from, std::string_view to, std::string_view reason,
                   const std::string& says) {
  const auto path = Path(from, to);
  ASSERT_FALSE(path.ok()) << from << " -> " << to;
  EXPECT_EQ(path.error().code, base::Code::kTerminal);
  EXPECT_EQ(path.error().reason, reason);
  EXPECT_THAT(path.error().message, HasSubstr(says));
}

TEST(VersionPath, FromFourZeroOneOnIsPlain) {
  for (const char* from : {"4.0.1", "4.0.1-BP1", "4.0.2", "4.2.5", "4.3.0", "4.3.0-BP1"}) {
    const auto path = Path(from, "4.3.1");
    ASSERT_TRUE(path.ok()) << from << ": " << path.error().message;
    EXPECT_FALSE(path->legacy_steps) << from;
    EXPECT_TRUE(path->config_rewrite);
    EXPECT_EQ(path->upgrade_script, "/root/docker_upgrade.sh");
    EXPECT_EQ(path->working_directory, "/root");
    EXPECT_TRUE(path->completion_lines.empty());
  }
}

TEST(VersionPath, BeforeFourZeroOneTheSchemasAreRestructured) {
  for (const char* from : {"3.2.1", "3.2.2-BP2", "3.3.1", "3.4.0"}) {
    const auto path = Path(from, "4.3.1");
    ASSERT_TRUE(path.ok()) << from;
    EXPECT_TRUE(path->legacy_steps) << from;
  }
}

TEST(VersionPath, TheSchemasAreNotRestructuredWhereTheWayDoesNotCrossFourZeroOne) {
  const auto path = Path("3.2.1", "3.4.0");
  ASSERT_TRUE(path.ok());
  EXPECT_FALSE(path->legacy_steps) << "the guide: do not perform this operation elsewhere";
}

TEST(VersionPath, NeedsLegacyStepsExactlyWhereItCrossesFourZeroOne) {
  const auto needs = [](const char* from, const char* to) {
    return NeedsLegacySteps(*Version::Parse(from), *Version::Parse(to));
  };
  EXPECT_TRUE(needs("3.2.1", "4.0.1"));
  EXPECT_TRUE(needs("3.4.0", "4.3.1"));
  EXPECT_FALSE(needs("4.0.1", "4.3.1"));
  EXPECT_FALSE(needs("4.0.1-BP1", "4.3.1"));
  EXPECT_FALSE(needs("3.2.1", "3.4.0"));
  EXPECT_FALSE(needs("3.3.0-CE", "4.2.11-CE")) << "the community edition documents none";
}

TEST(VersionPath, BelowThreeTwoOneIsRefusedWithTheVersionToGoThrough) {
  for (const char* from : {"2.1.2", "3.1.0", "3.2.0"}) {
    ExpectRefused(from, "4.3.1", "UnsupportedPath", "upgrade to 3.2.1 first");
  }
}

TEST(VersionPath, LowerIsRefused) {
  ExpectRefused("4.3.1", "4.3.0", "DowngradeRefused", "4.3.1 runs, and 4.3.0 is lower");
  ExpectRefused("4.3.1-BP1", "4.3.1", "DowngradeRefused", "set spec.version to 4.3.1-BP1");
  ExpectRefused("4.2.6-CE", "4.2.4-CE", "DowngradeRefused", "lower");
}

TEST(VersionPath, EqualIsNoPath) {
  ExpectRefused("4.3.1", "4.3.1", "UnsupportedPath", "nothing to do");
}

TEST(VersionPath, ATargetThatIsNotListedIsTakenForAMistypedOne) {
  ExpectRefused("4.3.0", "4.31.0", "UnknownVersion", "add UnlistedVersion to spec.acknowledge");
  PathOptions accept;
  accept.accept_unlisted = true;
  const auto path = Path("4.3.0", "4.31.0", accept);
  ASSERT_TRUE(path.ok());
  EXPECT_EQ(path->upgrade_script, "/root/docker_upgrade.sh");
}

TEST(VersionPath, ABundlePatchOfAListedReleaseIsListed) {
  EXPECT_TRUE(Path("4.3.1", "4.3.1-BP1").ok());
  EXPECT_TRUE(Path("4.3.0", "4.3.2-BP3").ok());
}

TEST(VersionPath, OlderTargetsAreInitializedByDockerInit) {
  const auto path = Path("4.2.2", "4.3.0");
  ASSERT_TRUE(path.ok());
  EXPECT_EQ(path->upgrade_script, "/root/docker_init.sh");
  EXPECT_THAT(path->completion_lines,
              testing::Contains("[Completed] All initialization steps are executed"));
  EXPECT_EQ(path->completion_lines.size(), 2u);
  EXPECT_FALSE(path->config_rewrite) << "4.3.0 reads the old keys";
}

TEST(VersionPath, AnOatBeforeFourThreeTwoKeepsItsConfig) {
  EXPECT_FALSE(Path("4.3.0", "4.3.1", {true, *Version::Parse("4.3.1")})->config_rewrite);
  EXPECT_FALSE(Path("4.3.0", "4.3.1", {true, std::nullopt})->config_rewrite);
  EXPECT_TRUE(Path("4.3.0", "4.3.1", {true, *Version::Parse("4.3.2")})->config_rewrite);
}

TEST(VersionPath, TheCommunityEditionMovesByNeighbours) {
  const std::pair<const char*, const char*> steps[] = {
      {"3.2.2-CE", "3.3.0-CE"},     {"3.3.0-CE", "3.3.1-CE"},  {"4.1.1-CE", "4.2.0-CE"},
      {"4.2.0-CE", "4.2.1-CE"},     {"4.2.1-CE", "4.2.2-CE"},  {"4.2.4-CE", "4.2.6-CE"},
      {"4.2.0-CE", "4.2.0-CE-BP1"}, {"4.2.7-CE", "4.2.11-CE"}, {"4.1.1-CE", "4.2.12-CE"},
  };
  for (const auto& [from, to] : steps) {
    EXPECT_TRUE(Path(from, to).ok()) << from << " -> " << to;
    EXPECT_FALSE(Path(from, to)->legacy_steps);
  }
}

TEST(VersionPath, ACommunityJumpIsRefusedWithTheNextNeighbour) {
  ExpectRefused("3.2.2-CE", "3.3.1-CE", "UnsupportedPath", "from 3.2.2-CE the next is 3.3.0-CE:");
  ExpectRefused("4.1.1-CE", "4.2.2-CE", "UnsupportedPath", "4.2.0-CE, or 4.2.11-CE or later");
  ExpectRefused("4.2.3-CE", "4.2.6-CE", "UnsupportedPath", "4.2.11-CE or later");
  ExpectRefused("4.0.0-CE", "4.2.11-CE", "UnsupportedPath", "no documented version");
}

TEST(VersionPath, NothingLeadsToTheCommunityReleaseThatIsDeployedAfresh) {
  ExpectRefused("4.0.0-CE", "4.1.1-CE", "UnsupportedPath",
                "can only be deployed as a new installation");
  PathOptions accept;
  accept.accept_unlisted = true;
  EXPECT_FALSE(Path("4.0.0-CE", "4.1.1-CE", accept).ok());
  EXPECT_TRUE(Path("4.2.2-CE", "4.2.3-CE", accept).ok());
}

TEST(VersionPath, AnEditionDoesNotBecomeTheOther) {
  ExpectRefused("4.2.5", "4.2.11-CE", "UnsupportedPath", "Community edition");
  ExpectRefused("4.2.11-CE", "4.3.1", "UnsupportedPath", "Enterprise edition");
}

}  // namespace
}  // namespace oms::product
