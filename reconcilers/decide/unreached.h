// Unreached: what is decided where a pass has come to nothing, or a resource cannot go: the site
// is not reached, a pass has failed beside its steps, what a deletion waits for. Pure.
#pragma once

#include <optional>
#include <string>

#include "controller/base/result.h"
#include "reconcilers/decide/planner.h"
#include "reconcilers/model/facts.h"

namespace oms::decide {

struct UnreachedView {
  const model::Trouble& trouble;
  bool open = false;      // An operation, as far as record or status tell.
  bool idle = false;      // The version that was seen last is the one that is wanted.
  bool deleting = false;  // The resource.
  std::string operation;  // The id of the open one.
};

// With an operation open it stalls only where a person must act. Where nothing is wanted, what is
// not known is not called a failure.
Decision DecideUnreached(const UnreachedView& view);

// What no step of an operation is to blame for: told to a person as well, and tried again, with
// backoff where that may help (kWait), and else now and then (kStall), since a person may correct
// it without a touch of the resource.
Decision DecideAfterError(const base::Error& error, model::Step step);

// What a person can do whose resource cannot go; `operation`: the open one's id, or empty.
std::string HowToUnblock(const std::string& operation);

struct DeletionView {
  const model::Trouble* trouble = nullptr;  // Of the site; null: it was reached.
  bool orphans = false;                     // spec.deletionPolicy is Orphan.
  bool others = false;                      // The OMS is another resource's.
  std::string operation;
};

// Why a resource without a known operation cannot go yet. Nullopt: it may.
std::optional<Decision> HoldsDeletion(const DeletionView& view);

}  // namespace oms::decide
