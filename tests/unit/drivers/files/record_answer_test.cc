// What a file system answers to link(2) and fsync(2) is not always what it has done: an NFS server
// whose first answer was lost says EEXIST to the same link sent again, and a folder's fsync may
// fail after the name is there. The linker puts the two functions below in the place of the
// library's.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>

#include "reconcilers/drivers/files/durable_file.h"
#include "reconcilers/drivers/files/file_record_store.h"

extern "C" {
int __real_link(const char* from, const char* to);
int __real_fsync(int fd);
int __wrap_link(const char* from, const char* to);
int __wrap_fsync(int fd);
}

namespace oms::drivers::files {
namespace {

using base::Code;
using testing::HasSubstr;
namespace fs = std::filesystem;

int link_errno = 0;    // The next link is done, and answered with this.
int folder_errno = 0;  // As long as it is set: each fsync of a folder.
int folders_synced = 0;

class RecordAnswerTest : public testing::Test {
 protected:
  RecordAnswerTest() {
    char name[] = "/tmp/record-answer-test-XXXXXX";
    volume_ = mkdtemp(name);
    operation_ = volume_ / "op";
    link_errno = folder_errno = folders_synced = 0;
    EXPECT_TRUE(store_->Append(operation_, 1, "first").ok());
  }
  ~RecordAnswerTest() override {
    link_errno = folder_errno = 0;
    fs::remove_all(volume_);
  }
  std::string Text(int n) { return store_->Read(operation_)->at(static_cast<size_t>(n) - 1).text; }
  void ExpectNothingBesideTheRecords(size_t records) {
    size_t files = 0;
    for (const auto& entry : fs::directory_iterator(operation_ / "record")) {
      EXPECT_TRUE(entry.path().filename().string().ends_with(".json")) << entry.path();
      ++files;
    }
    EXPECT_EQ(files, records);
  }

  std::unique_ptr<ports::RecordStore> store_ = MakeFileRecordStore();
  fs::path volume_, operation_;
};

TEST_F(RecordAnswerTest, ALinkThatIsDoneAndAnsweredOtherwiseIsDone) {
  int n = 1;
  for (const int error : {EEXIST, EIO, ETIMEDOUT, ESTALE}) {
    link_errno = error;
    const std::string text = "text " + std::to_string(++n);
    const auto appended = store_->Append(operation_, n, text);
    EXPECT_TRUE(appended.ok()) << error << ": " << appended.error().message;
    EXPECT_EQ(Text(n), text);
  }
  ExpectNothingBesideTheRecords(static_cast<size_t>(n));
}

// The record is there and may be gone after a loss of power: so nothing is done on it yet, and what
// comes next finds its own.
TEST_F(RecordAnswerTest, OneThatCouldNotBeSyncedIsAnErrorAndKnownAgain) {
  folder_errno = EIO;
  EXPECT_TRUE(store_->Append(operation_, 2, "second").Is(Code::kTransient));
  EXPECT_TRUE(store_->Append(operation_, 2, "second").Is(Code::kTransient)) << "still not synced";
  EXPECT_FALSE(store_->Read(operation_).ok()) << "what is read may be acted on";
  folder_errno = 0;
  EXPECT_TRUE(store_->Append(operation_, 2, "second").ok());
  EXPECT_TRUE(store_->Append(operation_, 3, "third").ok());
  EXPECT_EQ(Text(2), "second");
  ExpectNothingBesideTheRecords(3);
}

TEST_F(RecordAnswerTest, OneThatCouldNotBeSyncedIsSyncedBeforeItIsReadAgain) {
  folder_errno = EIO;
  EXPECT_FALSE(store_->Append(operation_, 2, "second").ok());
  folder_errno = 0;
  folders_synced = 0;
  EXPECT_EQ(Text(2), "second");
  EXPECT_EQ(folders_synced, 1);
  EXPECT_EQ(Text(2), "second");
  EXPECT_EQ(folders_synced, 1) << "once; a look writes nothing";
}

// By another process, or by this one with another text: whoever owns the operation is asked of the
// row. It never ends the process.
TEST_F(RecordAnswerTest, AnotherTextOfTheSameNumberIsAConflictAndNoMore) {
  for (const int n : {1, 2}) {
    EXPECT_EQ(store_->Append(operation_, 2, "second").ok(), true);
    const auto lost = store_->Append(operation_, n, "another");
    ASSERT_TRUE(lost.Is(Code::kConflict)) << ToString(lost.error().code);
    EXPECT_EQ(lost.error().reason, "OperationOwnedByAnother");
    EXPECT_THAT(lost.error().message, HasSubstr("record " + std::to_string(n)));
    EXPECT_THAT(lost.error().message, HasSubstr("read again"));
  }
  EXPECT_TRUE(store_->Append(operation_, 3, "third").ok());
  // One that is behind, with what it wrote itself: there are later ones.
  EXPECT_TRUE(store_->Append(operation_, 2, "second").Is(Code::kConflict));
  EXPECT_EQ(Text(1), "first");
}

}  // namespace
}  // namespace oms::drivers::files

int __wrap_link(const char* from, const char* to) {
  const int result = __real_link(from, to);
  if (result != 0 || oms::drivers::files::link_errno == 0) return result;
  errno = std::exchange(oms::drivers::files::link_errno, 0);
  return -1;
}

int __wrap_fsync(int fd) {
  struct stat info {};
  if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
    if (oms::drivers::files::folder_errno != 0) {
      errno = oms::drivers::files::folder_errno;
      return -1;
    }
    ++oms::drivers::files::folders_synced;
  }
  return __real_fsync(fd);
}
