// One pass for one OmsUpgrade: { reach -> observe -> judge -> decide -> act -> show } until nothing
// is to be done now. Made by UpgradeReconciler for each call; not for others.
//
// pass.cc           the loop, and what needs no look: flags, another's row, troubles
// pass_row.cc       the owner's row, and records that are taken over
// pass_shown.cc     what is shown: status, events, metrics
// pass_closed.cc    no operation is open: open one, or say why not
// pass_open.cc      an operation is open: what is seen, judged and decided of it
// pass_acts.cc      an operation is open: the act of a step, and its ends
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "reconcilers/decide/failures.h"
#include "reconcilers/decide/idle_health.h"
#include "reconcilers/pass/backup_pruning.h"
#include "reconcilers/pass/reached.h"
#include "reconcilers/pass/secret_holds.h"
#include "reconcilers/pass/told.h"
#include "reconcilers/pass/upgrade_reconciler.h"
#include "reconcilers/show/plan.h"
#include "reconcilers/show/status_view.h"
#include "reconcilers/steps/operation_session.h"
#include "reconcilers/steps/trials.h"

namespace oms::pass {

// What a process knows of one resource between two passes. Losing it loses time, nothing else.
struct UpgradeReconciler::ResourceCache {
  std::optional<uint64_t> epoch;  // Of the row, as we claimed it.
  observe::ProofCache proofs;
  model::RecordCache records;
  steps::TrialMemory trials;
  std::optional<show::StatusWriter::Known> known;
  decide::FailureMemory failures;
  bool measured = false;  // Its metrics are shown.
  decide::IdleMemory idle;
  Told told;
  SecretHolds secrets;
  std::optional<crd::Status> crd_dropped;  // The API server has dropped fields of this one.
  std::string dropping;                    // The operation that was seen to drop databases.
  std::string gone_owner;                  // Had this OMS, with nothing open, and is deleted.
  // How the row is given free when the resource is deleted with nothing open.
  struct IdleRow {
    std::shared_ptr<ports::Ownership> ownership;
    std::string oms;
    uint64_t epoch = 0;
  };
  std::optional<IdleRow> idle_row;
  show::UndoNumbers numbers;
  std::string numbers_of;  // The operation whose undo they are for.
  BackupPruning pruning;
};

// Of what only writes down, and acts on nothing that it would have to look at.
inline const model::Facts kNothingSeen;

class UpgradeReconciler::Pass {
 public:
  Pass(UpgradeReconciler& owner, ResourceCache& memory,
       std::shared_ptr<const crd::OmsUpgrade> resource);

  base::Result<runtime::Outcome> Run(const base::Context& ctx);

 private:
  // What a round has come to. Nothing decided: nothing is shown, everything is looked at anew.
  struct Came {
    std::optional<decide::Decision> decided;
    bool again = false;  // More may be to do now.
  };
  // The deadline of a pass is for reaching the site. What follows has limits of its own, so that a
  // pass on a slow site comes to an act all the same, and what was done is written down.
  static constexpr base::Duration kRoundFor = std::chrono::minutes(5);
  static constexpr base::Duration kActFor =
      std::chrono::minutes(10);  // Without a limit of its own.
  static constexpr base::Duration kWriteFor = std::chrono::minutes(1);

  // One round of reach, observe, judge, decide, act. Sets what the status is made of.
  base::Result<Came> Round(const base::Context& ctx);
  void Forget();  // What another round has seen.
  std::optional<base::Result<Came>> CheckAllowed(const base::Context& ctx);
  void Reach(const base::Context& ctx);
  // What needs no look at OMS: a row, a person's word, a deletion, a trouble. Nullopt: none.
  base::Result<std::optional<Came>> Settle(const base::Context& ctx);
  Came InTrouble();
  base::Result<runtime::Outcome> Failed(const base::Context& ctx, const base::Error& error);
  base::Result<Came> TryTheCrdAgain(const base::Context& ctx);

  // --- no operation is open
  base::Result<Came> WithoutOperation(const base::Context& ctx);
  // What the last one has left to be done. Nullopt: nothing.
  base::Result<std::optional<Came>> TidyUp(const base::Context& ctx);
  // Observes and judges for the plan of what is wanted: plan_, preflight_. An error: there can be
  // none, and why.
  base::Status LookAhead(const base::Context& ctx, const decide::IdleInput& idle,
                         const decide::UserRequests& requests);
  base::Result<Came> Begin(const base::Context& ctx, decide::Decision decision);
  void LookBeforeUpgrade(const base::Context& ctx, const crd::Version& running);
  bool LookAtHa(const base::Context& ctx);  // True: somebody has switched it off since.
  base::Result<Came> Stand(const base::Context& ctx);
  base::Result<bool> TakeWholeness(const base::Context& ctx);
  void PruneBackups(const base::Context& ctx);
  show::UndoNumbers NumbersNow(const base::Context& ctx);
  base::Status Open(const base::Context& ctx, bool undo);
  base::Result<Came> Deleted(const base::Context& ctx);
  // Without a look at anything: the finalizer goes, and what it leaves behind is told.
  base::Result<Came> LeaveAsItIs(const base::Context& ctx, bool open);
  std::string OperationId() const;

  // --- an operation is open
  base::Result<Came> WithOperation(const base::Context& ctx);
  // The row, the records, the finalizer, the Secrets and the image. Nullopt: all are as they must.
  base::Result<std::optional<Came>> MakeReady(const base::Context& ctx);
  base::Status HoldReferencedSecrets(const base::Context& ctx);
  void Observe(const base::Context& ctx);
  decide::Decision Decide(const base::Context& ctx);
  base::Result<Came> Act(const base::Context& ctx, decide::Decision decision);
  base::Result<Came> ActOnStep(const base::Context& act, steps::OperationSession& op,
                               decide::Decision decision);
  base::Result<Came> StepFailed(const base::Context& act, steps::OperationSession& op,
                                model::Step step, const base::Error& error);
  base::Result<Came> End(const base::Context& ctx, steps::OperationSession& op,
                         const decide::Decision& decision);
  void RemoveLeftConfig(const base::Context& ctx, steps::OperationSession& op);
  base::Result<Came> Turn(const base::Context& ctx, steps::OperationSession& op,
                          const decide::Decision& decision);
  base::Result<Came> CallOff(const base::Context& ctx, steps::OperationSession& op,
                             const decide::Decision& decision);
  std::string PlanAnew(const crd::Version& from, const crd::Version& to);
  bool WantsAbandon() const;
  base::Result<Came> Abandon(const base::Context& ctx);
  // `why`: it cannot be looked at.
  base::Result<Came> AbandonUnseen(const base::Context& ctx, const std::string& why);
  // What is within is why the record is not this resource's to close.
  base::Result<base::Status> AbandonUnreached(const base::Context& ctx);
  void TellAbandoned(const model::OperationRecord& record);
  base::Status CountFailures(const base::Context& ctx);
  // An edit of the spec, or a new reset token, that was not acted on yet: what failed is tried
  // anew, and time is counted anew.
  bool Edited() const;
  base::Result<Came> TakeEdit(const base::Context& ctx);
  crd::Spec SpecNow() const;  // With an operation open: with the image that it carries.
  base::Result<bool> TakeImage(const base::Context& ctx);  // True: another one than before.
  base::Status RecordEvidence(const base::Context& ctx, steps::OperationSession& op);
  steps::OperationSession Session() { return Session(*facts_); }
  steps::OperationSession Session(const model::Facts& facts);
  ports::Ownership& Row() const { return *reached_.OwnershipOf(site_); }

  // --- the row
  std::optional<decide::Decision> CheckOwner(const base::Context& ctx);
  bool IsLeftBehind(const base::Context& ctx);
  bool IsGone(const base::Context& ctx, const ports::Owner& owner) const;
  // By whom the records are believed that row and status name.
  observe::RecordTrust Trust() const;
  // Of an OMS that was another's: a person's word is acted on once, and row and records say from
  // then on whose they are. True if something was written, and must be looked at anew.
  base::Result<bool> TakeRecordsOver(const base::Context& ctx);
  // Makes sure that the row is ours; true if it had to be claimed, and everything must be looked at
  // anew.
  base::Result<bool> Claim(const base::Context& ctx);

  // --- what is shown
  crd::Status ShownStatus(const base::Context& ctx, const decide::Decision& decision) const;
  base::Status Show(const base::Context& ctx, const decide::Decision& decision);
  base::Status ShowCrdTooOld(const base::Context& ctx, const base::Error& error);
  void Tell(const decide::Decision& decision);
  // The level that is reached; an event when it is a new one.
  show::DowntimeLevel TellDowntime(base::WallTime now);
  void Event(bool warning, const std::string& reason, const std::string& message) const;

  static Came Rest(decide::Decision decision) { return {std::move(decision), false}; }
  static Came GoOn(decide::Decision decision) { return {std::move(decision), true}; }
  static Came LookAnew() { return {std::nullopt, true}; }
  static Came Stall(std::string reason, std::string message,
                    std::optional<base::Duration> wait = decide::kLookAgainAtTrouble) {
    return Rest({decide::Decision::Kind::kStall, model::Step::kPreflight, std::move(reason),
                 std::move(message), wait});
  }
  bool deleting() const { return resource_->meta.deletion_timestamp.has_value(); }
  bool orphans() const { return spec_.deletion_policy == crd::DeletionPolicy::kOrphan; }
  bool operation_open() const { return site_.record && site_.record->open(); }
  // What cannot be looked at is not closed: the status tells what was seen last.
  bool unseen_open() const { return !site_.record && ShownOpen(); }
  bool ShownOpen() const;
  // Databases are being dropped and loaded, or may be, as far as can be seen. That goes to its end.
  bool MayRestore() const;
  bool others_row() const { return site_.row && !site_.row->Free() && site_.row->owner != me_; }
  model::ResourceMark Mark() const;
  model::ResourceMark MarkAfter(const model::OperationRecord* last) const;  // Null: none is known.
  std::string Annotation(const char* name) const;
  decide::UserRequests UserRequestsNow(const base::Context& ctx) const;

  UpgradeReconciler& owner_;
  ResourceCache& memory_;
  const std::shared_ptr<const crd::OmsUpgrade> resource_;
  crd::Spec spec_;                           // SpecNow(), of this round.
  const base::Result<crd::Version> wanted_;  // spec.version.
  const kube::ObjectKey key_;
  const ports::Owner me_;

  show::StatusWriter::Known known_;
  Reached reached_;
  observe::Site site_;
  product::PathSteps path_;
  std::optional<model::Facts> facts_;
  std::optional<steps::State> state_;
  std::optional<steps::StepState> preflight_;
  std::vector<std::string> pruned_;  // Folders of operations that hold no backup any more.
  std::optional<show::Plan> plan_;   // Of what is wanted and not opened yet.
  model::Step step_ = model::Step::kPreflight;  // What was decided last is about it.
  bool deferred_ = false;
  bool acted_ = false;  // In this pass: a request to look now has had its look.
};

}  // namespace oms::pass
