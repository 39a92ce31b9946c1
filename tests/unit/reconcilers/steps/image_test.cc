#include "reconcilers/steps/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

using testing::HasSubstr;
using TaskState = model::TaskView::State;

TEST(LoadImage, AnotherImageIdThanAskedForIsRefused) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  const auto loaded = std::exchange(upgrade.record.loaded_images, {});
  upgrade.spec.image.id = "sha256:asked";
  EXPECT_EQ(upgrade.of(model::Step::kLoadImage).verdict, Verdict::kPending)
      << "the archive may hold the right one";
  upgrade.spec.image.archive.clear();
  EXPECT_EQ(upgrade.of(model::Step::kLoadImage).reason, "ImageIDDiffers");
  upgrade.spec.image.archive = "/images/oms_4.3.1.tar.gz";
  upgrade.record.loaded_images = loaded;
  const auto state = upgrade.of(model::Step::kLoadImage);
  EXPECT_EQ(state.verdict, Verdict::kFailed);
  EXPECT_EQ(state.reason, "ImageIDDiffers");
  EXPECT_FALSE(state.retryable);
  EXPECT_THAT(state.message, HasSubstr("sha256:new"));
}

TEST(LoadImage, AnIdMayBeThatOfTheManifest) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  upgrade.spec.image.id = "sha256:asked";
  upgrade.node().target_image->digests = {"oms@sha256:asked"};
  EXPECT_TRUE(upgrade.of(model::Step::kLoadImage).complete());
}

TEST(LoadImage, AnImageWithoutTheScriptIsRefused) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  upgrade.node().script_in_image = false;
  EXPECT_EQ(upgrade.of(model::Step::kLoadImage).reason, "UpgradeScriptMissing");
}

TEST(LoadImage, ATaskThatRunsIsWatchedWithItsBytes) {
  fixtures::Upgrade upgrade;
  upgrade.Task(model::Step::kLoadImage, TaskState::kRunning);
  upgrade.facts.tasks["LoadImage/oms-1"].done = 5;
  upgrade.facts.tasks["LoadImage/oms-1"].total = 10;
  const auto state = upgrade.of(model::Step::kLoadImage);
  EXPECT_EQ(state.verdict, Verdict::kRunning);
  EXPECT_EQ(state.done, 5u);
  EXPECT_EQ(state.total, 10u);
}

TEST(LoadImage, AnImageThatIsThereNeedsNoTask) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  upgrade.Task(model::Step::kLoadImage, TaskState::kFailed,
               base::MakeError(base::Code::kInvalid, "x"));
  EXPECT_TRUE(upgrade.of(model::Step::kLoadImage).complete());
}

TEST(SaveOldImage, IsSkippedWhereNobodyWantsIt) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().ImageThere();
  upgrade.spec.backup.image = false;
  EXPECT_EQ(upgrade.of(model::Step::kSaveOldImage).verdict, Verdict::kSkipped);
}

}  // namespace
}  // namespace oms::steps
