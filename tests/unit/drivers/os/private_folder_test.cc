#include "reconcilers/drivers/os/private_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace oms::drivers::os {
namespace {

namespace fs = std::filesystem;
using base::Code;

class PrivateFolderTest : public ::testing::Test {
 protected:
  PrivateFolderTest() {
    char name[] = "/tmp/oms-private-XXXXXX";
    place_ = mkdtemp(name);
    const char* before = std::getenv("TMPDIR");
    before_ = before == nullptr ? "" : before;
    setenv("TMPDIR", place_.c_str(), 1);
  }
  ~PrivateFolderTest() override {
    if (before_.empty()) {
      unsetenv("TMPDIR");
    } else {
      setenv("TMPDIR", before_.c_str(), 1);
    }
    fs::remove_all(place_);
  }
  static PrivateFolder Make() {
    auto folder = PrivateFolder::Make("oms-it-");
    EXPECT_TRUE(folder.ok()) << folder.error().message;
    return folder.ok() ? *std::move(folder) : PrivateFolder();
  }
  static void PutPassword(const PrivateFolder& folder) {
    std::ofstream(folder.path() + "/client.cnf") << "password=x\n";
  }
  size_t Count() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(place_), {}));
  }

  fs::path place_;
  std::string before_;
};

TEST_F(PrivateFolderTest, IsPrivateAndGoesWithAllThatIsInIt) {
  {
    const auto folder = Make();
    PutPassword(folder);
    struct stat info {};
    ASSERT_EQ(stat(folder.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700U);
    EXPECT_EQ(fs::path(folder.path()).parent_path(), place_);
  }
  EXPECT_EQ(Count(), 0U);
}

TEST_F(PrivateFolderTest, WhatAKilledProcessLeftIsRemovedByTheNextOne) {
  const auto own = Make();
  PutPassword(own);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t other = fork();
  ASSERT_GE(other, 0);
  if (other == 0) {
    const auto folder = Make();
    PutPassword(folder);
    [[maybe_unused]] const auto told = write(ready[1], "x", 1);
    pause();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  { const auto third = Make(); }
  EXPECT_EQ(Count(), 2U) << "of those that live nothing is touched";
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
  EXPECT_EQ(Count(), 2U);
  const auto next = Make();
  EXPECT_EQ(Count(), 2U) << "its own and the first one's";
  EXPECT_TRUE(fs::exists(own.path() + "/client.cnf"));
  for (const int end : ready) close(end);
}

TEST_F(PrivateFolderTest, AFolderThatNobodyHoldsGoesWhateverProcessIdItsNameHas) {
  const auto left = place_ / ("oms-it-" + std::to_string(getpid()) + "-abcdef");
  fs::create_directory(left);
  std::ofstream(left / "client.cnf") << "password=x\n";
  const auto others = place_ / "somebodys-folder";
  fs::create_directory(others);
  fs::create_directory_symlink(others, place_ / "oms-it-link");
  const auto folder = Make();
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(others));
  EXPECT_TRUE(fs::is_symlink(place_ / "oms-it-link"));
}

TEST_F(PrivateFolderTest, ManyAtOnceTakeNothingFromEachOther) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([] {
      for (int j = 0; j < 50; ++j) {
        const auto folder = Make();
        PutPassword(folder);
        EXPECT_TRUE(fs::exists(folder.path() + "/client.cnf"));
      }
    });
  }
  threads.clear();
  EXPECT_EQ(Count(), 0U);
}

TEST_F(PrivateFolderTest, WhereNoneCanBeMadeTheSameIsSaidEachTime) {
  setenv("TMPDIR", "/proc/self", 1);
  const auto first = PrivateFolder::Make("oms-it-"), second = PrivateFolder::Make("oms-it-");
  ASSERT_TRUE(first.Is(Code::kTransient));
  ASSERT_TRUE(second.Is(Code::kTransient));
  EXPECT_EQ(first.error().message, second.error().message);
}

}  // namespace
}  // namespace oms::drivers::os
