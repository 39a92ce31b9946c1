#include "reconcilers/steps/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

TEST(BackUpConfig, AConfigThatWasEditedSinceIsCopiedAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.node().config_sha256 = "edited";
  EXPECT_EQ(upgrade.of(model::Step::kBackUpConfig).verdict, Verdict::kPending);
  upgrade = fixtures::Upgrade().Stopped();
  upgrade.node().config_sha256 = "edited";
  EXPECT_TRUE(upgrade.of(model::Step::kBackUpConfig).complete()) << "past its need";
}

TEST(RewriteConfig, IsSkippedWhereNoKeyHasToChange) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  upgrade.node().rehearsed_config.reset();
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kSkipped);
}

TEST(RewriteConfig, WhatTheNewContainerSeesMustBeWhatWasWritten) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.node().new_config_sha256 = "somebody else's";
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).reason, "ConfigFileExists");
  upgrade.record.config_meant["oms-1"] = {"of a write before", "somebody else's"};
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kPending) << "it is ours";
  upgrade.node().new_config_sha256.clear();
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kPending) << "it is gone";
}

TEST(RewriteConfig, TheNewFileLiesBesideTheOldOne) {
  EXPECT_EQ(NewConfigPath("/data/conf/config.yaml", fixtures::VersionOf("4.3.1")),
            "/data/conf/config-4.3.1.yaml");
  EXPECT_EQ(NewConfigPath("/data.d/config", fixtures::VersionOf("4.3.1")), "/data.d/config-4.3.1");
  EXPECT_EQ(NewConfigPath("/data/.config", fixtures::VersionOf("4.3.1")), "/data/.config-4.3.1");
  EXPECT_EQ(NewConfigPath("/oms.a.yml", fixtures::VersionOf("4.3.1")), "/oms.a-4.3.1.yml");
}

TEST(RewriteConfig, AConfigThatWasEditedSinceIsRewrittenAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Prepared();
  upgrade.node().rehearsed_config = "new text with another password";
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kPending);
  upgrade.node().rehearsed_config.reset();  // A person has made the change by hand.
  upgrade.node().config->content = "new text";
  EXPECT_TRUE(upgrade.of(model::Step::kRewriteConfig).complete()) << "the file says the same";
  upgrade.node().config->content = "new text by hand";
  EXPECT_EQ(upgrade.of(model::Step::kRewriteConfig).verdict, Verdict::kPending);
}

}  // namespace
}  // namespace oms::steps
