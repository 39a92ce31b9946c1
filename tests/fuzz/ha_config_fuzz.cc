// Any text as ha.config: refused, or edited so that the switch is what was asked for.
#include <cstddef>
#include <cstdint>
#include <string>

#include "reconcilers/oms/ha_config.h"
#include "tests/fuzz/fuzz.h"

using namespace oms::product;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto state = ReadHa(text);
  if (!state.ok()) return 0;
  const auto off = DisableHa(text);
  FUZZ_EXPECT(off.ok());
  const auto is_off = ReadHa(*off);
  FUZZ_EXPECT(is_off.ok() && !is_off->enabled && is_off->perceive == state->perceive &&
              is_off->refetch_minutes == state->refetch_minutes);
  FUZZ_EXPECT(state->enabled || *off == text);
  for (const bool perceive : {true, false}) {
    const auto on = EnableHa(*off, {perceive, std::chrono::minutes(45)});
    FUZZ_EXPECT(on.ok());
    const auto is_on = ReadHa(*on);
    FUZZ_EXPECT(is_on.ok() && is_on->enabled && is_on->perceive == perceive &&
                is_on->refetch_minutes >= 45);
    FUZZ_EXPECT(EnableHa(*on, {perceive, std::chrono::minutes(45)}).value() == *on);
  }
  if (state->enabled) FUZZ_EXPECT(EnableHa(text, {state->perceive, {}}).value() == text);
  return 0;
}
