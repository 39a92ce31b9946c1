// The promises of README.md, held by what is decided over random sequences of crashes,
// edits, failures and persons: never a drop without verified backups, never old and new together,
// never a script twice, always an end, HA and data as they were.
//
// Fixed seeds, no clock, no I/O. OMS_PROPERTY_SEED=n plays one sequence, with all that happened.
//
// That it can fail was tried by a bug put into steps/new_containers.cc: StopNewContainers no longer
// asked that the old container stands. Found at seed 80, shortened to four events: 17 rounds;
// spec.version 4.3.0; 4 rounds; a person starts the old container. What it writes is in the
// databases that were loaded, so they differ from their backup for ever: there is no end.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "tests/property/sequence.h"

namespace oms::property {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kOfEach = 300;
#else
constexpr uint64_t kOfEach = 12'500;
#endif

// Eight ranges of seeds, so that they run side by side: 100,000 sequences in all.
class Promises : public testing::TestWithParam<uint64_t> {};

TEST_P(Promises, HoldOverRandomSequences) {
  const uint64_t first = GetParam() * 1'000'000;
  for (uint64_t seed = first; seed < first + kOfEach; ++seed) {
    const Sequence sequence = Draw(seed);
    if (!Play(sequence).empty()) FAIL() << Report(seed, Shorten(sequence));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Promises, testing::Range<uint64_t>(0, 8));

// By --gtest_filter='OnePromise*', with OMS_PROPERTY_SEED as a failure has named it.
TEST(OnePromise, IsPlayedAgainByItsSeed) {
  const char* const seed = std::getenv("OMS_PROPERTY_SEED");
  const uint64_t number = seed == nullptr ? 7 : std::strtoull(seed, nullptr, 10);
  const Sequence sequence = Draw(number);
  const bool fails = !Play(sequence).empty();
  const std::string report = Report(number, fails ? Shorten(sequence) : sequence);
  std::cout << report;
  EXPECT_FALSE(fails) << "see above";
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// What is held above is worth nothing if the sequences do not get anywhere. Under a sanitizer there
// are too few of them to tell.
TEST(Sequences, ComeToAllThatMatters) {
  std::map<std::string, int> tally;
  for (uint64_t seed = 0; seed < 3000; ++seed) Play(Draw(seed), nullptr, &tally);
  for (const char* const what :
       {"closed Succeeded", "closed RolledBack", "undo closed RolledBack", "drop",
        "died at a write", "point NewStarting", "point RollbackStopping", "point FirstDrop",
        "point of an undo FirstDrop", "stalled ScriptFailed", "stalled ScriptOutcomeUnknown",
        "stalled NewContainerDied", "stalled OldContainerStarted", "stalled BackupCorrupt",
        "stalled RestoreDiffers", "stalled RolledBackAfterFailure", "pruned"}) {
    EXPECT_GT(tally[what], 0) << what;
  }
}
#endif

TEST(Sequences, AreTheSameForTheSameSeed) {
  const Sequence one = Draw(7), other = Draw(7);
  ASSERT_EQ(one.size(), other.size());
  for (size_t i = 0; i < one.size(); ++i) EXPECT_EQ(Describe(one[i]), Describe(other[i]));
}

TEST(Sequences, WithNothingInThemEndWell) { EXPECT_EQ(Play({}), ""); }

}  // namespace
}  // namespace oms::property
