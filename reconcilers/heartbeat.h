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

namespace oms::upgrade {

// The highest id that the table has, or has handed out.
uint64_t HighestId(const SequenceTable& table);

// kNone: nothing is to be done, or none of the three tables exists (then Compacted() is false).
CompactionAct NextCompactionAct(const SequenceTables& tables);

// Base holds at most one row, and neither _bak nor _bak2 exists.
bool Compacted(const SequenceTables& tables);

}  // namespace oms::upgrade
