// Any text as config.yaml: refused, or rewritten so that both read the same.
#include <cstddef>
#include <cstdint>
#include <string>

#include "reconcilers/oms/config_yaml.h"
#include "tests/fuzz/fuzz.h"

using namespace oms::product;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto before = ParseConfig(text);
  const auto rewritten = RewriteMetaKeys(text);
  if (!rewritten.ok()) return 0;
  const auto needs = NeedsRewrite(*rewritten);
  FUZZ_EXPECT(needs.ok() && !*needs);
  const auto again = RewriteMetaKeys(*rewritten);
  FUZZ_EXPECT(again.ok() && *again == *rewritten);
  if (!before.ok()) return 0;
  const auto after = ParseConfig(*rewritten);
  FUZZ_EXPECT(after.ok());
  FUZZ_EXPECT(after->rm == before->rm && after->cm == before->cm);
  FUZZ_EXPECT(!after->old_keys);
  FUZZ_EXPECT(after->drc_rm_db == before->drc_rm_db && after->drc_cm_db == before->drc_cm_db);
  for (const auto& [key, value] : before->all) {
    const bool old = key == "oms_meta_host" || key == "oms_meta_port" || key == "oms_meta_user" ||
                     key == "oms_meta_password";
    const auto kept = after->all.find(key);
    FUZZ_EXPECT(old ? kept == after->all.end() : kept != after->all.end() && kept->second == value);
  }
  return 0;
}
