// The compaction of `heatbeat_sequence` (sic; guide, step 2.2) as a table: from which of base, _bak
// and _bak2 exist, and what they hold, to the act that comes next. Pure.
//
// The guide's five statements are not safe to run again: a second INSERT meets a duplicate key, and
// between its two RENAMEs there is no base. So nothing is remembered, and each act is derived from
// what is there, whoever left it: a crash of ours, or a person half-way through the guide.
//
// Promises, over any sequence of acts until kNone: the last row is kept, and the ids that base
// hands out never go backwards, counted over all three tables, AUTO_INCREMENT included. (The table
// gives OMS its ids; OMS 4.3.0 and before let it grow without end.)
#pragma once

#include <cstdint>

#include "reconcilers/ports/meta_db.h"

namespace oms::product {

// The highest id that the table has, or has handed out.
uint64_t HighestId(const ports::SequenceTable& table);

// A component that keeps running writes the base meanwhile: two ALTERs would leave it without a
// table, the row that was copied is no longer the last one when the tables change places, and the
// compacted table fills again. So _bak is made ahead, the swap is one statement, and a table that
// is small counts as compacted.
// On the way back nothing is compacted any more, as what cannot be done may be why one goes back: a
// base that stands stays, and takes over the ids of a copy before that goes.
enum class SequenceUse { kStandsStill, kWritten, kOnTheWayBack };
inline constexpr uint64_t kMostRowsWritten = 1000;

// kNone: nothing is to be done, or none of the three tables exists (then Compacted() is false).
ports::CompactionAct NextCompactionAct(const ports::SequenceTables& tables,
                                       SequenceUse use = SequenceUse::kStandsStill);

// Base holds at most one row (while written: kMostRowsWritten), and neither _bak nor _bak2 exists.
bool Compacted(const ports::SequenceTables& tables, SequenceUse use = SequenceUse::kStandsStill);

}  // namespace oms::product
