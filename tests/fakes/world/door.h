// Door: what every call of a port of the world goes through, so that a process that has ended does and
// sees nothing.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/fakes/fake_world.h"

namespace oms::fakes {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using nlohmann::json;

// The part of each port that every call goes through.
class Door {
 public:
  Door(World& world, Life& life) : world_(world), life_(life) {}

 protected:
  Status Write(const std::string& name, bool touches_oms, const std::function<Status()>& act,
               const std::function<void()>& late = nullptr) {
    return world_.Write<base::Unit>(life_, name, touches_oms, act, late);
  }
  World& world_;
  Life& life_;
};

}  // namespace oms::fakes
