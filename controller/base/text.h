// Texts that go where only so much fits: conditions, events, tables. Pure.
#pragma once

#include <string>
#include <string_view>

namespace oms::base {

// The text, or the beginning of it with "..." at its end: at most `most` bytes (3 or more), cut
// between two characters of UTF-8.
std::string CutText(std::string_view text, size_t most);

}  // namespace oms::base
