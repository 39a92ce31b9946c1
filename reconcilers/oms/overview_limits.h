// The limits that OMS's own pages set to an upgrade beside the procedure: what tasks there may be
// and in which state. They are in OMS's task list, so a person says that they hold, by a word in
// spec.acknowledge; or, where spec.taskAPI lets this controller ask OMS, the tasks answer
// (task_limits.h), and what they show counts, not the word. The table is in overview_limits.cc, to
// be read and added to. Pure.
//
// A limit waits for its word (kWait: preflight) or is told (kTell: an event and a line of the
// plan); the table says which, and why, and with spec.strategy.limits: Enforce each waits. Only of
// the way there: a rollback never asks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "crd/oms_upgrade.h"
#include "crd/version.h"
#include "reconcilers/ports/task_api.h"

namespace oms::product {

enum class Asks { kWait, kTell };

struct TaskEvidence {
  bool connector_unguarded = false;  // HaState::connector_unguarded.
  bool separate_cm = false;          // cm and cm_hb lie on another server than rm.
  const std::vector<ports::OmsTask>* tasks = nullptr;  // Nullptr: not asked.
};

struct OverviewLimit {
  std::string_view word;  // For spec.acknowledge.
  std::string_view must;  // What must be so, or be seen to; one sentence with its source.
  std::string tasks;      // Those that are seen to break it; empty: nobody has looked.
};

// Those that apply to this way and are not known to hold, in the table's order: the word is not in
// spec.acknowledge, or the tasks break it.
std::vector<OverviewLimit> LimitsNotAcknowledged(const crd::Version& from, const crd::Version& to,
                                                 const TaskEvidence& seen, const crd::Spec& spec,
                                                 Asks asks);

// All words that spec.acknowledge may hold, of other tables too; sorted, each once.
std::vector<std::string_view> KnownWords();

// Words of spec.acknowledge that nothing asks for, such as a misspelt one.
std::vector<std::string> UnknownWords(const std::vector<std::string>& acknowledged);

// What a person reads of limits that wait for a word: what to write (with the words that stand
// there already), then each sentence.
std::string TextOf(const std::vector<OverviewLimit>& missing,
                   const std::vector<std::string>& acknowledged);

// What a person reads of limits that tasks are seen to break.
std::string TextOfBroken(const std::vector<OverviewLimit>& broken);

}  // namespace oms::product
