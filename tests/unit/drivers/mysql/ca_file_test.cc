#include "reconcilers/drivers/mysql/ca_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace oms::drivers::mysql {
namespace {

namespace fs = std::filesystem;

std::string TextOf(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(CaFile, LiesInAFolderOfThisProcessAlone) {
  const fs::path path = CaFile("the CA").value();
  EXPECT_EQ(TextOf(path), "the CA");
  EXPECT_EQ(fs::status(path.parent_path()).permissions(), fs::perms::owner_all);
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST(CaFile, IsOneForEachCa) {
  const std::string path = CaFile("the CA").value();
  EXPECT_EQ(CaFile("the CA").value(), path);
  const std::string other = CaFile("another CA").value();
  EXPECT_NE(other, path);
  EXPECT_EQ(TextOf(other), "another CA");
}

TEST(CaFile, IsWrittenAgainWhereSomebodyHasTakenItAway) {
  fs::remove(CaFile("the CA").value());
  EXPECT_EQ(TextOf(CaFile("the CA").value()), "the CA");
  fs::remove_all(fs::path(CaFile("the CA").value()).parent_path());
  EXPECT_EQ(TextOf(CaFile("the CA").value()), "the CA");
}

TEST(CaFile, WithoutAPlaceForTemporaryFilesIsATroubleThatPasses) {
  fs::remove_all(fs::path(CaFile("the CA").value()).parent_path());
  const char* before = std::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  setenv("TMPDIR", "/nowhere", 1);
  const auto refused = CaFile("the CA");
  kept.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", kept.c_str(), 1);
  ASSERT_TRUE(refused.Is(base::Code::kTransient));
  EXPECT_EQ(refused.error().reason, "TemporaryFolder");
}

}  // namespace
}  // namespace oms::drivers::mysql
