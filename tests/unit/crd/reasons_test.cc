#include "crd/reasons.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace oms::crd {
namespace {

// That each name of the header has its row, and crd/README.md the same rows: hack/checks/reasons.py.
TEST(Reasons, AreCamelCaseWordsThatTheApiServerTakesAndEachIsExplainedOnce) {
  std::set<std::string_view> seen;
  for (const ReasonGroup& group : ReasonTable()) {
    EXPECT_FALSE(group.title.empty());
    for (const ReasonRow& row : group.rows) {
      EXPECT_FALSE(row.means.empty());
      for (const std::string_view name : row.names) {
        EXPECT_THAT(std::string(name), testing::MatchesRegex("[A-Z][A-Za-z]+"));
        EXPECT_LE(name.size(), 128U);  // As the schema of .status.conditions has it.
        EXPECT_TRUE(seen.insert(name).second) << name << " has two rows";
      }
    }
  }
  EXPECT_TRUE(seen.contains(reason::kScriptFailed));
}

}  // namespace
}  // namespace oms::crd
