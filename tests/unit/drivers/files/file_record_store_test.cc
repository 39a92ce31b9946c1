#include "reconcilers/drivers/files/file_record_store.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <fstream>
#include <thread>

#include "reconcilers/drivers/files/durable_file.h"

namespace oms::drivers::files {
namespace {

using base::Code;
using testing::HasSubstr;
namespace fs = std::filesystem;

class FileRecordStoreTest : public testing::Test {
 protected:
  FileRecordStoreTest() {
    char name[] = "/tmp/record-store-test-XXXXXX";
    volume_ = mkdtemp(name);
    operation_ = volume_ / "default" / "oms" / "0123abcd";
    old_umask_ = umask(0);  // The files must be private all the same.
  }
  ~FileRecordStoreTest() override {
    umask(old_umask_);
    fs::remove_all(volume_);
  }
  static unsigned ModeOf(const fs::path& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }

  std::unique_ptr<ports::RecordStore> store_ = MakeFileRecordStore();
  fs::path volume_, operation_;
  mode_t old_umask_;
};

TEST_F(FileRecordStoreTest, RecordsComeBackInOrder) {
  for (int n = 1; n <= 12; ++n)
    ASSERT_TRUE(store_->Append(operation_, n, "text " + std::to_string(n)).ok());
  const auto records = store_->Read(operation_);
  ASSERT_TRUE(records.ok());
  ASSERT_EQ(records->size(), 12u);
  EXPECT_EQ(records->at(11).n, 12);
  EXPECT_EQ(records->at(11).text, "text 12");
}

TEST_F(FileRecordStoreTest, FilesAndFoldersArePrivateWhateverTheUmask) {
  for (const mode_t mask : {0u, 0777u}) {
    umask(mask);
    const fs::path folder = operation_ / std::to_string(mask);
    ASSERT_TRUE(store_->Append(folder, 1, "x").ok());
    EXPECT_EQ(ModeOf(folder), 0700u);
    EXPECT_EQ(ModeOf(folder / "record"), 0700u);
    EXPECT_EQ(ModeOf(folder / "record" / "1.json"), 0600u);
    ASSERT_TRUE(store_->WriteFile(folder / "config.yaml", "x").ok());
    EXPECT_EQ(ModeOf(folder / "config.yaml"), 0600u);
  }
}

TEST_F(FileRecordStoreTest, ANumberThatIsTakenIsNotReplaced) {
  ASSERT_TRUE(store_->Append(operation_, 1, "first").ok());
  EXPECT_TRUE(store_->Append(operation_, 1, "second").Is(Code::kConflict));
  EXPECT_EQ(store_->Read(operation_)->at(0).text, "first");
}

TEST_F(FileRecordStoreTest, OfTwoWritersOfTheSameNumberOneWins) {
  for (int n = 1; n <= 30; ++n) {
    std::barrier start(2);
    std::atomic<int> won{0}, lost{0};
    const auto write = [&](const std::string& who) {
      start.arrive_and_wait();
      const auto status = store_->Append(operation_, n, who);
      if (status.ok()) ++won;
      if (status.Is(Code::kConflict)) ++lost;
    };
    std::thread a(write, "a"), b(write, "b");
    a.join();
    b.join();
    EXPECT_EQ(won, 1);
    EXPECT_EQ(lost, 1);
  }
  for (const auto& entry : fs::directory_iterator(operation_ / "record")) {
    EXPECT_TRUE(entry.path().filename().string().ends_with(".json")) << entry.path();
  }
}

TEST_F(FileRecordStoreTest, AGapIsRefused) {
  ASSERT_TRUE(store_->Append(operation_, 1, "x").ok());
  EXPECT_TRUE(store_->Append(operation_, 3, "x").Is(Code::kTerminal));
  EXPECT_EQ(store_->Read(operation_)->size(), 1u);
}

TEST_F(FileRecordStoreTest, WhatAWriterThatDiedLeftIsNoRecord) {
  ASSERT_TRUE(store_->Append(operation_, 1, "x").ok());
  std::ofstream(operation_ / "record" / ".2.json.0123456789abcdef0123456789abcdef.tmp")
      << "{half a rec";
  std::ofstream(operation_ / "record" / "02.json") << "not a name of ours";
  std::ofstream(operation_ / "record" / "2.json~") << "an editor's";
  EXPECT_EQ(store_->Read(operation_)->size(), 1u);
  EXPECT_TRUE(store_->Append(operation_, 2, "y").ok());
}

TEST_F(FileRecordStoreTest, AnOperationWithoutAFolderIsNotFound) {
  EXPECT_TRUE(store_->Read(operation_).Is(Code::kNotFound));
  fs::create_directories(operation_);
  EXPECT_TRUE(store_->Read(operation_).ok());
}

TEST_F(FileRecordStoreTest, AVolumeGetsItsIdentityOnce) {
  EXPECT_TRUE(store_->Look(volume_).Is(Code::kNotFound)) << "to look makes none";
  EXPECT_FALSE(fs::exists(volume_ / ".oms-upgrade-identity"));
  const auto first = store_->Identify(volume_);
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(first->identity.size(), 32u);
  EXPECT_GT(first->free_bytes, 0u);
  EXPECT_EQ(store_->Identify(volume_)->identity, first->identity);
  EXPECT_EQ(store_->Look(volume_)->identity, first->identity);
}

TEST_F(FileRecordStoreTest, TellsTheFreeSpaceWhereNothingHasBeenMadeYet) {
  const auto space = fs::space(volume_).available;
  for (const fs::path& place : {volume_, volume_ / "not" / "made" / "yet", fs::path("not/here")}) {
    const auto free = store_->FreeBytes(place);
    ASSERT_TRUE(free.ok()) << free.error().message;
    EXPECT_GT(*free, 0u) << place;
  }
  const auto near = store_->FreeBytes(volume_ / "not" / "made").value();
  EXPECT_LT(std::max<uint64_t>(near, space) - std::min<uint64_t>(near, space), 1u << 30);
  EXPECT_TRUE(fs::is_empty(volume_)) << "and makes nothing";
  std::ofstream(volume_ / "file") << "x";
  EXPECT_TRUE(store_->FreeBytes(volume_ / "file" / "below").Is(Code::kTerminal));
}

TEST_F(FileRecordStoreTest, AFullVolumeIsTriedAgainAndAPersonIsToldWhatToDo) {
  for (const int error : {ENOSPC, EDQUOT}) {
    const auto full = FileError("writing the file", "/b/manifest.json", error);
    EXPECT_EQ(full.code, Code::kTransient);
    EXPECT_THAT(full.message, HasSubstr("/b/manifest.json"));
    EXPECT_THAT(full.message, HasSubstr("free some space on that volume"));
  }
}

TEST_F(FileRecordStoreTest, AnErrorNamesTheFileThatWasMeantAndNotATemporaryOne) {
  const auto meant = volume_ / "none" / "manifest.json";
  const auto first = DurableFile::Create(meant), second = DurableFile::Create(meant);
  ASSERT_TRUE(first.Is(Code::kNotFound) && second.Is(Code::kNotFound));
  EXPECT_EQ(first.error().message, second.error().message);
  EXPECT_THAT(first.error().message, HasSubstr(meant.string() + " failed"));
}

TEST_F(FileRecordStoreTest, TwoThatIdentifyAVolumeAtOnceAgree) {
  std::barrier start(2);
  std::string a, b;
  const auto identify = [&](std::string& identity) {
    start.arrive_and_wait();
    identity = store_->Identify(volume_)->identity;
  };
  std::thread one(identify, std::ref(a)), two(identify, std::ref(b));
  one.join();
  two.join();
  EXPECT_EQ(a, b);
}

TEST_F(FileRecordStoreTest, AVolumeThatHoldsOperationsGetsNoNewIdentity) {
  ASSERT_TRUE(store_->Identify(volume_).ok());
  ASSERT_TRUE(store_->Append(operation_, 1, "x").ok());
  fs::remove(volume_ / ".oms-upgrade-identity");
  EXPECT_TRUE(store_->Look(volume_).Is(Code::kNotFound));
  EXPECT_TRUE(store_->Identify(volume_).Is(Code::kTerminal));
  EXPECT_FALSE(fs::exists(volume_ / ".oms-upgrade-identity"));
}

TEST_F(FileRecordStoreTest, AFileIsReplacedWhole) {
  ASSERT_TRUE(store_->WriteFile(operation_ / "manifest.json", std::string(100'000, 'a')).ok());
  ASSERT_TRUE(store_->WriteFile(operation_ / "manifest.json", "b").ok());
  EXPECT_EQ(store_->ReadFile(operation_ / "manifest.json").value(), "b");
  EXPECT_EQ(store_->Size(operation_ / "manifest.json").value(), 1u);
  EXPECT_TRUE(store_->ReadFile(operation_ / "none").Is(Code::kNotFound));
  EXPECT_TRUE(store_->Size(operation_ / "none").Is(Code::kNotFound));
}

TEST_F(FileRecordStoreTest, SumsAreThoseOfSha256sum) {
  ASSERT_TRUE(store_->WriteFile(volume_ / "abc", "abc").ok());
  ASSERT_TRUE(store_->WriteFile(volume_ / "empty", "").ok());
  ASSERT_TRUE(store_->WriteFile(volume_ / "million", std::string(1'000'000, 'a')).ok());
  EXPECT_EQ(store_->Sha256(volume_ / "abc").value(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(store_->Sha256(volume_ / "empty").value(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(store_->Sha256(volume_ / "million").value(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_TRUE(store_->Sha256(volume_ / "none").Is(Code::kNotFound));
}

TEST_F(FileRecordStoreTest, AFileInTheWayIsAPersonsMatter) {
  fs::create_directories(operation_);
  std::ofstream(operation_ / "record") << "a file where a folder should be";
  const auto status = store_->Append(operation_, 1, "x");
  ASSERT_TRUE(status.Is(Code::kTerminal));
  EXPECT_EQ(status.error().reason, "BackupVolume");
  EXPECT_THAT(status.error().message, HasSubstr("record"));
}

// ------------------------------------------------------------------------------------- pruning

class PayloadTest : public FileRecordStoreTest {
 protected:
  PayloadTest() {
    EXPECT_TRUE(store_->Identify(volume_).ok());
    EXPECT_TRUE(store_->Append(folder_, 1, "record").ok());
    for (const char* file : {"dump/1/manifest.json", "dump/1/oms_rm/data.sql", "dump/2/half.sql",
                             "upgraded/1/oms_rm/data.sql", "images/oms-1.tar",
                             "rollback/oms-1/container.log", "config/oms-1/config.yaml", "notes"}) {
      Put(folder_ / file);
    }
  }
  void Put(const fs::path& file) const {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << "12345";
  }
  // All below the operation's folder, but for folders.
  std::vector<std::string> Left() const {
    std::vector<std::string> left;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.is_symlink() || !entry.is_directory()) {
        left.push_back(entry.path().lexically_relative(folder_).string());
      }
    }
    std::sort(left.begin(), left.end());
    return left;
  }
  void ExpectRefused(const fs::path& path, const std::string& why) {
    const auto before = Left();
    const auto refused = store_->RemovePayload(path);
    ASSERT_TRUE(refused.Is(Code::kTerminal)) << path;
    EXPECT_EQ(refused.error().reason, "BackupVolume");
    EXPECT_THAT(refused.error().message, HasSubstr(why));
    EXPECT_EQ(Left(), before);
  }

  const std::vector<std::string> kStays = {"config/oms-1/config.yaml", "notes", "record/1.json"};
  fs::path folder_ = volume_ / "default-oms-4.3.0-to-4.3.1-0123abcd";
};

TEST_F(PayloadTest, GoesAndTheRecordsTheConfigAndWhatIsNotOursStay) {
  const auto removed = store_->RemovePayload(folder_);
  ASSERT_TRUE(removed.ok()) << removed.error().message;
  EXPECT_EQ(removed->files, 6);
  EXPECT_EQ(removed->bytes, 30u);
  EXPECT_EQ(Left(), kStays);
  EXPECT_FALSE(fs::exists(folder_ / "dump"));
  EXPECT_FALSE(fs::exists(folder_ / ".removing-dump"));
  EXPECT_EQ(store_->Read(folder_)->at(0).text, "record");
}

TEST_F(PayloadTest, WhereNothingIsLeftNothingIsWritten) {
  ASSERT_TRUE(store_->RemovePayload(folder_).ok());
  const auto before = fs::last_write_time(folder_);
  const auto again = store_->RemovePayload(folder_);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->files, 0);
  EXPECT_EQ(fs::last_write_time(folder_), before);
}

TEST_F(PayloadTest, WhatACrashLeftOfARemovalIsCarriedOn) {
  fs::rename(folder_ / "dump", folder_ / ".removing-dump");
  fs::remove(folder_ / ".removing-dump/1/manifest.json");
  Put(folder_ / ".removing-images/oms-1.tar");  // And the folder of its name is there as well.
  const auto removed = store_->RemovePayload(folder_);
  ASSERT_TRUE(removed.ok()) << removed.error().message;
  EXPECT_EQ(removed->files, 6);
  EXPECT_EQ(Left(), kStays);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".removing")) << entry.path();
  }
}

TEST_F(PayloadTest, ALinkIsTakenAwayAndNeverFollowed) {
  Put(volume_ / "elsewhere" / "precious");
  fs::create_directory_symlink(volume_ / "elsewhere", folder_ / "dump/1/link");
  fs::create_symlink(volume_ / "elsewhere/precious", folder_ / "dump/1/file-link");
  fs::rename(folder_ / "images", volume_ / "moved");
  fs::create_directory_symlink(volume_ / "moved", folder_ / "images");
  ASSERT_TRUE(store_->RemovePayload(folder_).ok());
  EXPECT_EQ(Left(), kStays);
  EXPECT_TRUE(fs::exists(volume_ / "elsewhere/precious"));
  EXPECT_TRUE(fs::exists(volume_ / "moved/oms-1.tar"));
}

TEST_F(PayloadTest, OfAFolderThatIsNotAnOperationsInAVolumeOfOursIsRefused) {
  ExpectRefused(folder_ / "dump", "is not in a directory that carries .oms-upgrade-identity");
  ExpectRefused(volume_, "is not in a directory that carries");
  ExpectRefused(folder_ / ".." / folder_.filename(), "plain absolute path");
  ExpectRefused("relative", "plain absolute path");
  ExpectRefused(folder_ / "", "plain absolute path");
  ExpectRefused(volume_ / "never-made", "is not a folder");
  fs::create_directory_symlink(folder_, volume_ / "link");
  ExpectRefused(volume_ / "link", "is not a folder");
  fs::create_directories(volume_ / "a-persons" / "dump");
  ExpectRefused(volume_ / "a-persons", "contains no operation record");
  fs::remove(volume_ / ".oms-upgrade-identity");
  ExpectRefused(folder_, "is not in a directory that carries");
}

TEST_F(PayloadTest, TheListHoldsTheFoldersOfOperationsAlone) {
  const fs::path second = volume_ / "another";
  ASSERT_TRUE(store_->Append(second, 1, "x").ok());
  fs::create_directories(volume_ / "a-persons");
  fs::create_directory_symlink(folder_, volume_ / "link");
  EXPECT_EQ(*store_->List(volume_), (std::vector<fs::path>{second, folder_}));
  EXPECT_TRUE(store_->List(volume_ / "never-made")->empty());
}

}  // namespace
}  // namespace oms::drivers::files
