// The promises of reconcilers/README.md, held over random sequences of crashes, edits, failures and
// persons by the controller that is shipped: never a drop without verified backups, never old and
// new together, never a script twice, always an end, HA and data as they were.
//
// Fixed seeds, no clock, one thread. OMS_PROPERTY_SEED=n plays one sequence, with all that happened.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "tests/property/player.h"

namespace oms::property {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kOfEach = 15;
#else
constexpr uint64_t kOfEach = 200;
#endif

bool Fails(const Sequence& sequence) { return !Play(sequence).broken.empty(); }

// Eight ranges of seeds, so that they run side by side.
class Promises : public testing::TestWithParam<uint64_t> {};

TEST_P(Promises, HoldOverRandomSequences) {
  const uint64_t first = GetParam() * 1'000'000;
  const auto begun = std::chrono::steady_clock::now();
  for (uint64_t seed = first; seed < first + kOfEach; ++seed) {
    const Sequence sequence = Draw(seed);
    if (Fails(sequence)) FAIL() << Report(Shorten(sequence, Fails));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  std::cout << kOfEach << " sequences, " << static_cast<int>(kOfEach / took.count())
            << " a second\n";
}

INSTANTIATE_TEST_SUITE_P(Seeds, Promises, testing::Range<uint64_t>(0, 8));

// By --gtest_filter='OnePromise*', with OMS_PROPERTY_SEED as a failure has named it.
TEST(OnePromise, IsPlayedAgainByItsSeed) {
  const char* const seed = std::getenv("OMS_PROPERTY_SEED");
  const Sequence sequence = Draw(seed == nullptr ? 7 : std::strtoull(seed, nullptr, 10));
  const bool fails = Fails(sequence);
  std::cout << Report(fails ? Shorten(sequence, Fails) : sequence);
  EXPECT_FALSE(fails) << "see above";
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// What is held above is worth nothing if the sequences do not get anywhere. Under a sanitizer there
// are too few of them to tell.
TEST(Sequences, ComeToAllThatMatters) {
  std::map<std::string, int> came;
  for (uint64_t seed = 0; seed < kOfEach; ++seed) {
    for (const auto& [what, times] : Play(Draw(seed), false, true).came) came[what] += times;
  }
  if (std::getenv("OMS_PROPERTY_TALLY") != nullptr) {
    for (const auto& [what, times] : came) std::cout << times << "\t" << what << "\n";
  }
  for (int shape = 0; shape < kShapes; ++shape)
    EXPECT_GT(came[NameOf(static_cast<Shape>(shape))], 0);
  for (const char* const what : {"closed Succeeded",
                                 "closed RolledBack",
                                 "undo closed RolledBack",
                                 "drop",
                                 "died at a write",
                                 "point NewStarting",
                                 "point RollbackStopping",
                                 "point FirstDrop",
                                 "undo point FirstDrop",
                                 "Warning ScriptFailed",
                                 "Warning ScriptOutcomeUnknown",
                                 "Warning NewContainerDied",
                                 "Warning OldContainerStarted",
                                 "Warning BackupCorrupt",
                                 "Warning RestoreDiffers",
                                 "Warning RolledBackAfterFailure",
                                 "Normal BackupsPruned",
                                 "done CorrectSchema",
                                 "done InitializeMetadata",
                                 "done UpgradeComponents",
                                 "done EditConfig",
                                 "done RestoreConfig",
                                 "done LoadAssistant"}) {
    EXPECT_GT(came[what], 0) << what;
  }
}
#endif

TEST(Sequences, AreTheSameForTheSameSeed) {
  for (const uint64_t seed : {7, 8, 9}) {
    const Sequence sequence = Draw(seed);
    EXPECT_EQ(Play(sequence, true).trace, Play(Draw(seed), true).trace);
  }
}

TEST(Sequences, WithNothingInThemEndWellInEachShape) {
  for (int shape = 0; shape < kShapes; ++shape) {
    const Sequence nothing{static_cast<Shape>(shape), 1, {}};
    if (Fails(nothing)) FAIL() << Report(nothing);
  }
}

}  // namespace
}  // namespace oms::property
