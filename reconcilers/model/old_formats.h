// Records of formats 1 and 2, as what they mean in format 3. Nothing is written: what is read from
// an older record is written in the new format by the next append, and that n alone.
//
// Format 1 is of every controller before components could be kept running, format 2 of those after,
// where a component is kept running. Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace oms::model {

// What to do about a record that this controller does not understand.
inline constexpr char kRunTheWriter[] = "run the controller that wrote it";

// Throws std::exception on what no controller of those formats has written. A name of a step is not
// looked at: that is for the reader of format 3.
void ToFormat3(nlohmann::json& record);

}  // namespace oms::model
