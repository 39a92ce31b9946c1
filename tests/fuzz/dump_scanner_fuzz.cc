// Any bytes as a file of a dump: what is found does not depend on where the pieces end, and what is
// whole is not whole any more without its last statement's end.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "reconcilers/drivers/dump/dump_scanner.h"
#include "tests/fuzz/fuzz.h"

using oms::drivers::dump::DumpScanner;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = 1 + data[0] % 32;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  DumpScanner whole, parts;
  whole.Feed(text);
  for (size_t at = 0; at < text.size(); at += piece) {
    const std::string part = text.substr(at, piece);
    parts.Feed(part);
  }
  const auto first = whole.Finish(), second = parts.Finish();
  FUZZ_EXPECT(first.ok() == second.ok());
  if (!first.ok()) FUZZ_EXPECT(first.error().message == second.error().message);
  FUZZ_EXPECT(whole.creates() == parts.creates());
  FUZZ_EXPECT(whole.beyond_schema() == parts.beyond_schema());
  FUZZ_EXPECT(whole.tables() == parts.tables());
  uint64_t rows = 0;
  for (const auto& [name, table] : whole.tables()) {
    rows += table.rows;
    FUZZ_EXPECT(!first.ok() || (table.rows > 0 && table.longest > 0));
  }
  FUZZ_EXPECT(rows <= static_cast<uint64_t>(std::count(text.begin(), text.end(), ')')));
  return 0;
}
