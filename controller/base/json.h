// JSON that comes from outside: the API server, an engine, a MetaDB, OMS, a file of a volume. All
// of it goes through here (hack/checks/layers.py sees to it).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "controller/base/result.h"

namespace oms::base {

// The library parses any depth, and copies, compares and writes a value by recursion: a text of
// 200 KB of '[' would end the process. Nothing that is read has a tenth of this depth.
inline constexpr int kMaxJsonDepth = 64;

// kInvalid, and a message that goes on from "the answer ...": "is not JSON", "is JSON that is
// nested more than 64 deep".
Result<nlohmann::json> ParseJson(std::string_view text, int max_depth = kMaxJsonDepth);
// The same with the members of an object in the text's own order.
Result<nlohmann::ordered_json> ParseOrderedJson(std::string_view text,
                                                int max_depth = kMaxJsonDepth);

// The value as T holds it, without a loss: nullopt for 1.5, 2e21, a text, or -1 as an unsigned.
// For int, int64_t, uint32_t and uint64_t.
template <typename T>
std::optional<T> WholeNumber(const nlohmann::json& value);

}  // namespace oms::base
