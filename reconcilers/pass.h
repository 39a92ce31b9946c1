// One pass for one OmsUpgrade: reach the site -> { observe -> state -> decide -> act } until
// nothing is to be done now -> write status. Made by UpgradeReconciler for each call; not for
// others.
//
// pass.cc           the loop, the owner's row, what is shown
// pass_closed.cc    no operation is open: open one, or say why not
// pass_open.cc      an operation is open: the next step, evidence, failures, its ends
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "reconcilers/plan.h"
#include "reconcilers/status_view.h"
#include "reconcilers/upgrade_reconciler.h"

namespace oms::upgrade {

// What a process knows of one resource between two passes. Losing it loses time, nothing else.
struct UpgradeReconciler::KeyMemory {
  std::optional<uint64_t> epoch;  // Of the row, as we claimed it.
  Memo memo;
  std::optional<StatusWriter::Known> known;
  // The failures of the step at hand.
  FailureCount failures;
  std::string failed_what;  // Step and end of the try, so that one end is counted once.
  bool measured = false;    // Its metrics are shown.
  std::string told;         // The last reason that became an event.
  bool told_not_running = false;
  DowntimeLevel told_downtime = DowntimeLevel::kWell;  // Of the open operation.
  // Of the resource, as the open operation was last decided on.
  std::optional<int64_t> generation;
  std::string reset_token;
  // What old backups were last looked through for, and when it is worth another look.
  std::string pruned_for;
  std::optional<base::WallTime> prune_again;
};

class UpgradeReconciler::Pass {
 public:
  Pass(UpgradeReconciler& owner, KeyMemory& memory,
       std::shared_ptr<const crd::OmsUpgrade> resource);

  base::Result<runtime::Outcome> Run(const base::Context& ctx);

 private:
  enum class Next { kAgain, kRest };
  static constexpr base::Duration kLookAgainAtTrouble = std::chrono::seconds(10);

  // One round of reach, observe, decide, act. Sets what the status is made of.
  base::Result<Next> Round(const base::Context& ctx);

  // --- no operation is open
  base::Result<Next> WithoutOperation(const base::Context& ctx);
  bool RunsLastNew() const;
  void LookBeforeUpgrade(const base::Context& ctx, const crd::Version& running);
  void DescribeIdle(const crd::Version& running);
  void PruneBackups(const base::Context& ctx);
  base::Result<Next> Open(const base::Context& ctx, bool undo);
  base::Result<Next> Deleted(const base::Context& ctx);

  // --- an operation is open
  base::Result<Next> WithOperation(const base::Context& ctx);
  std::optional<Next> CheckSamePlace();
  base::Result<Next> Act(const base::Context& ctx);
  base::Result<Next> End(const base::Context& ctx, OperationSession& op);
  base::Result<Next> Abandon(const base::Context& ctx);
  void CountFailure(const base::Context& ctx);
  // True once after an edit of the spec or a new reset token: what failed is tried anew.
  bool Edited();
  base::Status ForgetFailure(const base::Context& ctx);
  base::Status TakeNewStart(const base::Context& ctx);
  base::Result<bool> TakeImage(const base::Context& ctx);  // True: another one than before.
  base::Status CountDeadlineAnew(const base::Context& ctx);
  base::Status RecordEvidence(const base::Context& ctx, OperationSession& op);
  OperationSession Session();

  // --- the row
  std::optional<Next> CheckOwner(const base::Context& ctx);
  // Makes sure that the row is ours; true if it had to be claimed, and everything must be looked at
  // anew.
  base::Result<bool> Claim(const base::Context& ctx);

  // --- what is shown
  base::Status WriteStatus(const base::Context& ctx);
  void Tell();
  void TellWhetherItRuns();
  // The level that is reached; an event when it is a new one.
  DowntimeLevel TellDowntime(base::WallTime now);
  void Event(bool warning, const std::string& reason, const std::string& message) const;

  Next Rest(Decision decision) {
    decision_ = std::move(decision);
    return Next::kRest;
  }
  Next Stall(std::string reason, std::string message,
             std::optional<base::Duration> wait = kLookAgainAtTrouble) {
    return Rest(
        {Decision::Kind::kStall, Step::kPreflight, std::move(reason), std::move(message), wait});
  }
  // Nothing is decided yet, so nothing is shown: a decision that was never made looks like Idle.
  Next LookAnew() {
    decided_ = false;
    return Next::kAgain;
  }
  bool deleting() const { return resource_->meta.deletion_timestamp.has_value(); }
  bool orphans() const { return spec_.deletion_policy == crd::DeletionPolicy::kOrphan; }
  bool operation_open() const { return site_.record && site_.record->open(); }
  std::string Annotation(const char* name) const;
  Wishes WishesNow(const base::Context& ctx) const;

  UpgradeReconciler& owner_;
  KeyMemory& memory_;
  const std::shared_ptr<const crd::OmsUpgrade> resource_;
  crd::Spec spec_;  // With an operation open: with the image that it carries.
  const kube::ObjectKey key_;
  const Owner me_;
  const std::string owner_label_;

  StatusWriter::Known known_;
  Site site_;
  PathSteps path_;
  std::optional<Facts> facts_;
  std::optional<State> state_;
  std::optional<StepState> preflight_;
  std::vector<std::string> pruned_;  // Folders of operations that hold no backup any more.
  std::optional<Plan> plan_;         // Of what is wanted and not opened yet.
  Decision decision_;
  bool decided_ = false;  // In this round: decision_ may be shown.
  bool deferred_ = false;
  bool reset_ = false;  // A new reset token was met in this round.
};

}  // namespace oms::upgrade
