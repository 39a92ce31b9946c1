#include "reconcilers/oms/heartbeat.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace oms::product {
namespace {

ports::SequenceTable Table(uint64_t rows, uint64_t max_id, uint64_t auto_increment) {
  return {true, rows, max_id, auto_increment};
}

// What each act does to the three tables: the statements of the MetaDB driver, on numbers. Fails
// the test where the driver would refuse.
void Apply(ports::CompactionAct act, ports::SequenceTables& t) {
  const auto bump = [](ports::SequenceTable& table, uint64_t highest) {
    table.auto_increment = std::max(table.auto_increment, highest + 1);
  };
  switch (act) {
    case ports::CompactionAct::kNone: return;
    case ports::CompactionAct::kCreateBak:
      ASSERT_TRUE(t.base.exists && !t.bak.exists);
      t.bak = Table(0, 0, HighestId(t.base) + 1);
      return;
    case ports::CompactionAct::kFillBak:
      ASSERT_TRUE(t.base.exists && t.bak.exists && t.bak.rows == 0);
      t.bak.rows = std::min<uint64_t>(1, t.base.rows);
      t.bak.max_id = t.base.max_id;
      bump(t.bak, HighestId(t.base));
      return;
    case ports::CompactionAct::kSwap:
      ASSERT_TRUE(t.base.exists && t.bak.exists && !t.bak2.exists && t.bak.rows > 0);
      ASSERT_GE(HighestId(t.bak), HighestId(t.base));
      t.bak2 = t.base;
      t.base = t.bak;
      t.bak = {};
      return;
    case ports::CompactionAct::kCreateBakAhead:
      ASSERT_TRUE(t.base.exists && !t.bak.exists);
      t.bak = Table(0, 0, HighestId(t.base) + 1 + ports::kSequenceHeadroom);
      return;
    case ports::CompactionAct::kSwapAtOnce:
      ASSERT_TRUE(t.base.exists && t.bak.exists && !t.bak2.exists && t.bak.rows > 0);
      ASSERT_GE(HighestId(t.bak), HighestId(t.base));
      t.bak2 = t.base;
      t.base = t.bak;
      t.bak = {};
      return;
    case ports::CompactionAct::kFinishSwap:
      ASSERT_TRUE(!t.base.exists && t.bak.exists);
      t.base = t.bak;
      t.bak = {};
      return;
    case ports::CompactionAct::kDropBak:
      ASSERT_TRUE(t.bak.exists && (t.base.exists || t.bak2.exists));
      ASSERT_LE(HighestId(t.bak), std::max(HighestId(t.base), HighestId(t.bak2)));
      t.bak = {};
      return;
    case ports::CompactionAct::kDropBak2:
      ASSERT_TRUE(t.base.exists && t.bak2.exists);
      ASSERT_GE(HighestId(t.base), HighestId(t.bak2));
      t.bak2 = {};
      return;
    case ports::CompactionAct::kUndoSwap:
      ASSERT_TRUE(!t.base.exists && !t.bak.exists && t.bak2.exists);
      t.base = t.bak2;
      t.bak2 = {};
      return;
    case ports::CompactionAct::kRaise: {
      ASSERT_TRUE(t.base.exists);
      const auto& source = t.bak.max_id >= t.bak2.max_id ? t.bak : t.bak2;
      if (source.rows > 0 && source.max_id > t.base.max_id) {
        ++t.base.rows;
        t.base.max_id = source.max_id;
      }
      bump(t.base, std::max({HighestId(t.base), HighestId(t.bak), HighestId(t.bak2)}));
      return;
    }
  }
}

// Every table that can be told from the others by what the decision looks at: missing; empty with
// and without a known AUTO_INCREMENT; one row; many rows; each low or high.
std::vector<ports::SequenceTable> EveryTable() {
  std::vector<ports::SequenceTable> all{{}, Table(0, 0, 0), Table(0, 0, 11), Table(0, 0, 31)};
  for (const uint64_t rows : {1, 2, 1000}) {
    for (const uint64_t max_id : {1000, 1010, 1020}) {
      for (const uint64_t auto_increment : {uint64_t{0}, max_id + 1, uint64_t{5000}}) {
        all.push_back(Table(rows, max_id, auto_increment));
      }
    }
  }
  return all;
}

TEST(Compaction, FromEveryStateEndsCompactedWithTheLastRowAndNoIdTwice) {
  const auto every = EveryTable();
  for (const auto& base : every) {
    for (const auto& bak : every) {
      for (const auto& bak2 : every) {
        const ports::SequenceTables start{base, bak, bak2};
        ports::SequenceTables now = start;
        int acts = 0;
        for (; NextCompactionAct(now) != ports::CompactionAct::kNone; ++acts) {
          ASSERT_LT(acts, 12) << "the acts never end";
          Apply(NextCompactionAct(now), now);
          if (HasFatalFailure()) return;
        }
        if (!base.exists && !bak.exists && !bak2.exists) {
          ASSERT_FALSE(Compacted(now)) << "no table at all is not a compacted one";
          continue;
        }
        ASSERT_TRUE(Compacted(now));
        ASSERT_GE(HighestId(now.base),
                  std::max({HighestId(base), HighestId(bak), HighestId(bak2)}));
        if (base.rows + bak.rows + bak2.rows > 0) {
          ASSERT_EQ(now.base.rows, 1U) << "the last row is kept";
        }
      }
    }
  }
}

// An id is taken from the base between any two acts, and none is ever handed out twice.
TEST(CompactionWhileWritten, FromEveryStateEndsSmallAndNoIdIsHandedOutTwice) {
  const auto every = EveryTable();
  for (auto base : every) {
    if (base.rows == 1000) base.rows = 5000;
    for (const auto& bak : every) {
      for (const auto& bak2 : every) {
        ports::SequenceTables now{base, bak, bak2};
        uint64_t highest = std::max({HighestId(base), HighestId(bak), HighestId(bak2)});
        int acts = 0;
        while (true) {
          const auto act = NextCompactionAct(now, SequenceUse::kWritten);
          if (act == ports::CompactionAct::kNone) break;
          ASSERT_LT(++acts, 20) << "the acts never end";
          ASSERT_NE(act, ports::CompactionAct::kSwap)
              << "between its two statements there is no base";
          const bool had_base = now.base.exists;
          Apply(act, now);
          if (HasFatalFailure()) return;
          ASSERT_TRUE(now.base.exists || !had_base);
          if (!now.base.exists || act == ports::CompactionAct::kUndoSwap) continue;
          // What a component takes; a base that a person left behind the others is raised first.
          if (act != ports::CompactionAct::kSwapAtOnce && act != ports::CompactionAct::kFillBak)
            continue;
          const uint64_t taken = HighestId(now.base) + 1;
          if (act == ports::CompactionAct::kSwapAtOnce) {
            ASSERT_GT(taken, highest);
          }
          now.base.max_id = taken;
          now.base.auto_increment = taken + 1;
          ++now.base.rows;
          highest = std::max(highest, taken);
        }
        ASSERT_EQ(Compacted(now, SequenceUse::kWritten), base.exists || bak.exists || bak2.exists);
        ASSERT_GE(HighestId(now.base), highest);
      }
    }
  }
}

TEST(CompactionWhileWritten, GoesByATableThatIsAheadAndOneStatement) {
  ports::SequenceTables tables{Table(100000, 100000, 100001), {}, {}};
  std::vector<ports::CompactionAct> acts;
  while (NextCompactionAct(tables, SequenceUse::kWritten) != ports::CompactionAct::kNone) {
    acts.push_back(NextCompactionAct(tables, SequenceUse::kWritten));
    Apply(acts.back(), tables);
  }
  EXPECT_EQ(acts, (std::vector<ports::CompactionAct>{
                      ports::CompactionAct::kCreateBakAhead, ports::CompactionAct::kFillBak,
                      ports::CompactionAct::kSwapAtOnce, ports::CompactionAct::kDropBak2}));
}

// Whoever goes back from a server that has no such statement must not need it.
TEST(CompactionWhileWritten, OnTheWayBackTakesTheCopiesAwayAndRenamesNothing) {
  const auto every = EveryTable();
  for (const auto& base : every) {
    if (!base.exists) continue;  // It stands while a component writes it.
    for (const auto& bak : every) {
      for (const auto& bak2 : every) {
        ports::SequenceTables now{base, bak, bak2};
        const uint64_t highest = std::max({HighestId(base), HighestId(bak), HighestId(bak2)});
        for (int acts = 0;; ++acts) {
          const auto act = NextCompactionAct(now, SequenceUse::kOnTheWayBack);
          if (act == ports::CompactionAct::kNone) break;
          ASSERT_LT(acts, 12) << "the acts never end";
          ASSERT_TRUE(act == ports::CompactionAct::kRaise ||
                      act == ports::CompactionAct::kDropBak ||
                      act == ports::CompactionAct::kDropBak2);
          Apply(act, now);
          if (HasFatalFailure()) return;
          now.base.max_id = HighestId(now.base) + 1;  // A component takes one meanwhile.
          now.base.auto_increment = now.base.max_id + 1;
          ++now.base.rows;
        }
        ASSERT_TRUE(now.base.exists);
        ASSERT_FALSE(now.bak.exists || now.bak2.exists);
        ASSERT_GE(now.base.rows, base.rows) << "the rows that were there are there";
        ASSERT_GE(HighestId(now.base), std::max(highest, HighestId(base)));
      }
    }
  }
}

TEST(CompactionWhileWritten, ACopyThatTheBaseHasCaughtUpWithIsMadeAnew) {
  const ports::SequenceTables tables{Table(5000, 900'000, 900'001), Table(1, 100, 1'000'101), {}};
  EXPECT_EQ(NextCompactionAct(tables, SequenceUse::kWritten), ports::CompactionAct::kRaise)
      << "its ids are given to the base, and it is dropped";
}

TEST(CompactionWhileWritten, ATableThatFillsAgainIsStillCompacted) {
  EXPECT_TRUE(Compacted({Table(40, 77, 78), {}, {}}, SequenceUse::kWritten));
  EXPECT_FALSE(Compacted({Table(40, 77, 78), {}, {}}));
  EXPECT_FALSE(Compacted({Table(40'000, 77'000, 78'000), {}, {}}, SequenceUse::kWritten));
}

TEST(Compaction, ACompactedTableIsLeftAlone) {
  const ports::SequenceTables tables{Table(1, 77, 78), {}, {}};
  EXPECT_TRUE(Compacted(tables));
  EXPECT_EQ(NextCompactionAct(tables), ports::CompactionAct::kNone);
}

TEST(Compaction, GoesTheGuidesWay) {
  ports::SequenceTables tables{Table(100000, 100000, 100001), {}, {}};
  std::vector<ports::CompactionAct> acts;
  while (NextCompactionAct(tables) != ports::CompactionAct::kNone) {
    acts.push_back(NextCompactionAct(tables));
    Apply(acts.back(), tables);
  }
  EXPECT_EQ(acts, (std::vector<ports::CompactionAct>{
                      ports::CompactionAct::kCreateBak, ports::CompactionAct::kFillBak,
                      ports::CompactionAct::kSwap, ports::CompactionAct::kDropBak2}));
}

TEST(Compaction, BetweenTheTwoRenamesTheFilledTableBecomesTheBase) {
  const ports::SequenceTables tables{{}, Table(1, 500, 501), Table(300, 500, 501)};
  EXPECT_EQ(NextCompactionAct(tables), ports::CompactionAct::kFinishSwap);
}

TEST(Compaction, AnEmptyNewTableNeverReplacesTheOldOne) {
  const ports::SequenceTables tables{{}, Table(0, 0, 0), Table(300, 500, 501)};
  EXPECT_EQ(NextCompactionAct(tables), ports::CompactionAct::kDropBak);
}

TEST(Compaction, TheOldTableIsNotDroppedWhileTheNewOneIsBehindIt) {
  const ports::SequenceTables tables{Table(1, 10, 11), {}, Table(300, 500, 501)};
  EXPECT_EQ(NextCompactionAct(tables), ports::CompactionAct::kRaise);
}

TEST(Compaction, AStaleCopyOfTheLastRowIsMadeAnew) {
  const ports::SequenceTables tables{Table(300, 500, 501), Table(1, 480, 501), {}};
  EXPECT_EQ(NextCompactionAct(tables), ports::CompactionAct::kDropBak);
}

}  // namespace
}  // namespace oms::product
