// Any text as a version or an image's name: refused, or read so that its canonical form reads
// alike.
#include <cstddef>
#include <cstdint>
#include <string>

#include "crd/version.h"
#include "tests/fuzz/fuzz.h"

using namespace oms::crd;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const auto& version : {Version::Parse(text), VersionFromImage(text)}) {
    if (!version.ok()) continue;
    const auto again = Version::Parse(version->ToString());
    FUZZ_EXPECT(again.ok() && *again == *version);
    FUZZ_EXPECT(version->SameRelease(*again));
    FUZZ_EXPECT(VersionFromImage("repository/oms:feature_" + version->ToString()).ok());
    const std::string name =
        NewContainerName("oms_" + version->Digits(), *version, Version{9, 9, 9});
    FUZZ_EXPECT(name == "oms_999");
  }
  return 0;
}
