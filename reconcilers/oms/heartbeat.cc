#include "reconcilers/oms/heartbeat.h"

#include <algorithm>

namespace oms::product {

namespace {

// Base exists, and stays in its place until the one statement that puts another there.
ports::CompactionAct NextWhileWritten(const ports::SequenceTables& tables, bool back) {
  const auto& [base, bak, bak2] = tables;
  // By its rows alone: that a _bak hands out higher ids is what it is made for.
  const bool bak_holds_more =
      bak.exists && (bak.max_id > base.max_id || (base.rows == 0 && bak.rows > 0));
  const bool bak2_ahead =
      bak2.exists && (HighestId(bak2) > HighestId(base) || (base.rows == 0 && bak2.rows > 0));
  if (bak_holds_more || bak2_ahead) return ports::CompactionAct::kRaise;
  if (bak2.exists) return ports::CompactionAct::kDropBak2;
  if (!bak.exists) {
    return !back && base.rows > kMostRowsWritten ? ports::CompactionAct::kCreateBakAhead
                                                 : ports::CompactionAct::kNone;
  }
  if (!back && bak.rows == 0) return ports::CompactionAct::kFillBak;
  if (!back && bak.rows == 1 && HighestId(bak) >= HighestId(base) + ports::kSequenceHeadroom / 2)
    return ports::CompactionAct::kSwapAtOnce;
  // Not wanted any more, or not far enough ahead (a person's, or one that was left long ago): its
  // ids are given to the base, so that it can go.
  return HighestId(bak) > HighestId(base) ? ports::CompactionAct::kRaise
                                          : ports::CompactionAct::kDropBak;
}

}  // namespace

uint64_t HighestId(const ports::SequenceTable& table) {
  if (!table.exists) return 0;
  return std::max(table.max_id, table.auto_increment > 0 ? table.auto_increment - 1 : 0);
}

ports::CompactionAct NextCompactionAct(const ports::SequenceTables& tables, SequenceUse use) {
  const auto& [base, bak, bak2] = tables;
  if (!base.exists) {
    if (bak.exists && bak2.exists) {
      // Between the two RENAMEs: _bak is the new base if it is filled. If it is not, the old table
      // goes back to its place; an empty _bak that is ahead of it is still the better base.
      const bool filled = bak.rows > 0 && bak.max_id >= bak2.max_id;
      if (filled || HighestId(bak) > HighestId(bak2)) return ports::CompactionAct::kFinishSwap;
      return ports::CompactionAct::kDropBak;
    }
    if (bak.exists) return ports::CompactionAct::kFinishSwap;
    if (bak2.exists) return ports::CompactionAct::kUndoSwap;
    return ports::CompactionAct::kNone;
  }
  if (use != SequenceUse::kStandsStill)
    return NextWhileWritten(tables, use == SequenceUse::kOnTheWayBack);
  const auto ahead_of_base = [&b = base](const ports::SequenceTable& other) {
    return other.exists && (HighestId(other) > HighestId(b) || (b.rows == 0 && other.rows > 0));
  };
  if (ahead_of_base(bak) || ahead_of_base(bak2)) return ports::CompactionAct::kRaise;
  if (bak2.exists) return ports::CompactionAct::kDropBak2;
  if (bak.exists) {
    if (base.rows <= 1) return ports::CompactionAct::kDropBak;
    if (bak.rows == 0) return ports::CompactionAct::kFillBak;
    // A copy of the last row that hands out ids from where base stands. (A row without the
    // AUTO_INCREMENT: we died inside kFillBak, or it is the guide's.)
    if (bak.rows == 1 && bak.max_id == base.max_id && HighestId(bak) >= HighestId(base)) {
      return ports::CompactionAct::kSwap;
    }
    return ports::CompactionAct::kDropBak;
  }
  return base.rows > 1 ? ports::CompactionAct::kCreateBak : ports::CompactionAct::kNone;
}

bool Compacted(const ports::SequenceTables& tables, SequenceUse use) {
  const uint64_t most = use == SequenceUse::kStandsStill ? 1 : kMostRowsWritten;
  return tables.base.exists && tables.base.rows <= most && !tables.bak.exists &&
         !tables.bak2.exists;
}

}  // namespace oms::product
