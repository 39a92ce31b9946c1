#include "reconcilers/steps/operation_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/act/threaded_tasks.h"
#include "reconcilers/model/operation.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::steps {
namespace {

using base::Code;
using base::MakeError;
using testing::ElementsAre;

// Takes records, and nothing else.
class Store final : public ports::RecordStore {
 public:
  base::Status Append(const std::filesystem::path&, int n, const std::string& text) override {
    if (refuses) return MakeError(Code::kTransient, "No space left on device");
    ns.push_back(n);
    last = text;
    return base::Ok();
  }
  base::Result<ports::VolumeInfo> Identify(const std::filesystem::path&) override { return No(); }
  base::Result<ports::VolumeInfo> Look(const std::filesystem::path&) override { return No(); }
  base::Result<uint64_t> FreeBytes(const std::filesystem::path&) override { return No(); }
  base::Result<std::vector<ports::RecordEntry>> Read(const std::filesystem::path&) override {
    return No();
  }
  base::Status WriteFile(const std::filesystem::path&, const std::string&) override { return No(); }
  base::Result<std::string> ReadFile(const std::filesystem::path&) override { return No(); }
  base::Result<std::string> Sha256(const std::filesystem::path&) override { return No(); }
  base::Result<uint64_t> Size(const std::filesystem::path&) override { return No(); }
  base::Result<std::vector<std::filesystem::path>> List(const std::filesystem::path&) override {
    return No();
  }
  base::Result<ports::RemovedPayload> RemovePayload(const std::filesystem::path&) override {
    return No();
  }

  bool refuses = false;
  std::vector<int> ns;
  std::string last;

 private:
  static base::Error No() { return MakeError(Code::kInternal, "not of this test"); }
};

class Session : public testing::Test {
 protected:
  Session() { world_->store = &store_; }

  OperationSession Make() {
    return OperationSession(
        upgrade_.spec, upgrade_.path, upgrade_.facts, record_, last_n_, world_, tasks_, [] {},
        [](bool, const std::string&, const std::string&) {});
  }

  base::SystemClock clock_;
  base::Context ctx_{clock_, base::Logger()};
  fixtures::Upgrade upgrade_;
  Store store_;
  std::shared_ptr<const model::OperationRecord> record_ =
      std::make_shared<const model::OperationRecord>(upgrade_.record);
  int last_n_ = 7;
  std::shared_ptr<World> world_ = std::make_shared<World>();
  act::ThreadedTasks tasks_;
};

TEST_F(Session, PutsTheRecordThatItHasAppendedInPlaceOfTheOneBefore) {
  OperationSession op = Make();
  ASSERT_TRUE(op.Save(ctx_, [](model::OperationRecord& next) { next.plan_hash = "new"; }).ok());
  EXPECT_EQ(op.record().plan_hash, "new");
  EXPECT_EQ(record_->plan_hash, "new");
  EXPECT_THAT(store_.ns, ElementsAre(8));
  EXPECT_EQ(store_.last, record_->ToJson());
  EXPECT_EQ(last_n_, 8);
}

TEST_F(Session, LeavesWhatAStepHoldsOfTheRecordAsItWasRead) {
  OperationSession op = Make();
  std::vector<std::string> seen;
  for (const auto& node : op.record().nodes) {
    for (int i = 0; i < 3; ++i) {
      const auto grown = [&](model::OperationRecord& next) {
        next.nodes.front().old_started_at = "later " + std::to_string(i);
        next.nodes.resize(next.nodes.size() + 50);
      };
      ASSERT_TRUE(op.Save(ctx_, grown).ok());
      seen.push_back(node.old_started_at);
    }
  }
  EXPECT_THAT(seen, testing::Each(upgrade_.record.nodes.front().old_started_at));
  EXPECT_THAT(seen, testing::SizeIs(3));
  EXPECT_EQ(op.record().nodes.front().old_started_at, "later 2");
}

TEST_F(Session, LeavesTheRecordToThoseWhoHoldIt) {
  const auto before = record_;
  {
    OperationSession op = Make();
    ASSERT_TRUE(op.Save(ctx_, [](model::OperationRecord& next) { next.plan_hash = "new"; }).ok());
  }
  EXPECT_EQ(before->plan_hash, "");
  EXPECT_EQ(record_->plan_hash, "new");
}

TEST_F(Session, HasTheRecordAsItWasWhereNothingCouldBeAppended) {
  const auto before = record_;
  OperationSession op = Make();
  store_.refuses = true;
  EXPECT_FALSE(op.Save(ctx_, [](model::OperationRecord& next) { next.plan_hash = "new"; }).ok());
  EXPECT_EQ(record_, before);
  EXPECT_EQ(last_n_, 7);
  store_.refuses = false;
  ASSERT_TRUE(op.RecordPoint(ctx_, model::PointKind::kScriptStarting, "oms-1",
                             model::Step::kRunUpgradeScript, 2)
                  .ok());
  EXPECT_EQ(op.record().LastAttempt(model::PointKind::kScriptStarting, "oms-1",
                                    model::Step::kRunUpgradeScript),
            2);
  EXPECT_THAT(store_.ns, ElementsAre(8));
}

}  // namespace
}  // namespace oms::steps
