#include "reconcilers/steps/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

using TaskState = model::TaskView::State;

TEST(BackUpDatabases, ABackupIsOfOneRunOfOneContainerAndOneHeartbeat) {
  const auto pending = [](void (*change)(fixtures::Upgrade&)) {
    fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
    EXPECT_TRUE(upgrade.of(model::Step::kBackUpDatabases).complete());
    change(upgrade);
    return !upgrade.of(model::Step::kBackUpDatabases).complete();
  };
  EXPECT_TRUE(pending([](fixtures::Upgrade& u) { u.record.backup->container_id = "another"; }));
  EXPECT_TRUE(pending([](fixtures::Upgrade& u) { u.record.backup->started_at = "another"; }));
  EXPECT_TRUE(pending([](fixtures::Upgrade& u) { u.meta().sequence.base.max_id = 100'001; }));
  EXPECT_TRUE(pending([](fixtures::Upgrade& u) { u.facts.meta.reset(); }));
  // Somebody started the new one, before a heartbeat of it or after.
  for (const char* status : {"exited", "paused", "restarting"}) {
    fixtures::Upgrade upgrade = fixtures::Upgrade().Dumped();
    upgrade.node().new_container->status = status;
    EXPECT_FALSE(upgrade.of(model::Step::kBackUpDatabases).complete()) << status;
  }
}

TEST(BackUpDatabases, FromNewStartingOnItIsNeverTakenAgain) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Started();
  upgrade.meta().sequence.base = {true, 500, 200'000, 200'001};  // The new OMS writes.
  upgrade.node().old_container.reset();
  EXPECT_TRUE(upgrade.of(model::Step::kBackUpDatabases).complete());
  EXPECT_TRUE(upgrade.of(model::Step::kCompactHeartbeat).complete());
}

TEST(BackUpDatabases, ADisturbedDumpMayBeTriedAgainADeniedOneNot) {
  fixtures::Upgrade upgrade = fixtures::Upgrade().Compact();
  upgrade.Task(model::Step::kBackUpDatabases, TaskState::kFailed,
               base::MakeError(base::Code::kTransient, "BackupDisturbed", "x"));
  EXPECT_TRUE(upgrade.of(model::Step::kBackUpDatabases).retryable);
  upgrade.Task(model::Step::kBackUpDatabases, TaskState::kFailed,
               base::MakeError(base::Code::kDenied, "MetaDBDenied", "x"));
  EXPECT_EQ(upgrade.of(model::Step::kBackUpDatabases).verdict, Verdict::kFailed);
  EXPECT_FALSE(upgrade.of(model::Step::kBackUpDatabases).retryable);
}

}  // namespace
}  // namespace oms::steps
