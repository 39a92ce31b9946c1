// The limits that OMS's own pages set to an upgrade beside the procedure: what tasks there may be
// and in which state. They are in OMS's task list, which this controller does not read, so a person
// says that they hold, by a word in spec.acknowledge. The table is in overview_limits.cc, to be
// read and added to. Pure.
//
// A limit waits for its word (kWait: preflight) or is told (kTell: an event and a line of the
// plan); the table says which, and why. Only of the way there: a rollback never asks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "crd/version.h"

namespace oms::upgrade {

enum class Asks { kWait, kTell };

// What can be seen of it without the task list. Asking OMS's task API, where somebody gives its
// credentials, would add to it, and answer rows of the table.
struct SeenOfOms {
  bool connector_unguarded = false;  // HaState::connector_unguarded.
};

struct OverviewLimit {
  std::string_view word;  // For spec.acknowledge.
  std::string_view must;  // What must be so, or be seen to; one sentence with its source.
};

// Those that apply to this way and whose word is not in `acknowledged`, in the table's order.
std::vector<OverviewLimit> LimitsNotAcknowledged(const crd::Version& from, const crd::Version& to,
                                                 const SeenOfOms& seen,
                                                 const std::vector<std::string>& acknowledged,
                                                 Asks asks);

// All words that spec.acknowledge may hold, of other tables too; sorted, each once.
std::vector<std::string_view> KnownWords();

// Words of spec.acknowledge that nothing asks for, such as a misspelt one.
std::vector<std::string> UnknownWords(const std::vector<std::string>& acknowledged);

// What a person reads of limits that wait: what to write (with the words that stand there already),
// then each sentence.
std::string TextOf(const std::vector<OverviewLimit>& missing,
                   const std::vector<std::string>& acknowledged);

}  // namespace oms::upgrade
