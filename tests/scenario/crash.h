// Processes that die, or stand still, at a write, and those that come after them: what each loop
// over the places where that can happen plays. What the world is then, its test says.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {

inline std::string LastWrite(fakes::World& world) {
  return world.Locked([&] { return world.log.empty() ? std::string() : world.log.back(); });
}

// One that upgrades dies at its nth write. Returned is what a SCOPED_TRACE says of it.
inline std::string DiesUpgrading(fakes::World& world, int n, fakes::Life::End end) {
  {
    fakes::Process first(world, "first");
    first.life.DieAt(n, end);
    (void)first.RunToReady();
  }
  return "died at write " + std::to_string(n) + ", the last that was done: " + LastWrite(world);
}

inline void TheNextUpgrades(fakes::World& world) {
  fakes::Process second(world, "second");
  EXPECT_TRUE(second.RunToReady()) << Why(world) << " " << second.LastError();
}

// The next one, which goes back, dies as well, at its nth write; the one after it comes to where
// `is_back` holds.
template <typename IsBack>
void TheNextDiesAndAnotherGoesBack(fakes::World& world, int n, IsBack is_back) {
  {
    fakes::Process second(world, "second");
    second.life.DieAt(n, fakes::Life::End::kAfter);
    (void)second.RunUntil(is_back);
  }
  fakes::Process third(world, "third");
  EXPECT_TRUE(third.RunUntil(is_back)) << Why(world) << " " << third.LastError();
}

// SIGSTOP right before the nth write, and SIGCONT after another process has upgraded and
// `meanwhile` was called. False: it had come to its end before, and never stood.
template <typename Meanwhile>
bool GoesOnLate(fakes::World& world, int n, Meanwhile meanwhile) {
  fakes::Process first(world, "first");
  first.life.StopAt(n);
  std::atomic<bool> end = false;
  std::thread stopped([&] {
    (void)first.RunUntil([&] { return !first.LastError().empty(); }, 60);
    end = true;
  });
  const bool stands = world.AwaitStop(first.life, end);
  TheNextUpgrades(world);
  meanwhile();
  world.Continue(first.life);
  stopped.join();
  return stands;
}

}  // namespace oms
