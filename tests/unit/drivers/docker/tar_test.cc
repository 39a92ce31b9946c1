#include "reconcilers/drivers/docker/tar.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>

namespace oms::drivers::docker {
namespace {

using base::Code;

// A header as GNU tar and Go write it.
std::string Header(const std::string& name, char type, size_t size, int64_t uid = 0) {
  std::string archive = MakeTar({.name = name.substr(0, 90), .uid = uid}).value().substr(0, 512);
  archive[156] = type;
  const std::string octal = fmt::format("{:011o}", size);
  std::memcpy(archive.data() + 124, octal.data(), 11);
  uint32_t sum = 0;
  for (size_t i = 0; i < 512; ++i)
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(archive[i]);
  std::memcpy(archive.data() + 148, fmt::format("{:06o}", sum).data(), 6);
  return archive;
}
std::string Padded(std::string content) {
  content.append((512 - content.size() % 512) % 512, '\0');
  return content;
}

TEST(Tar, WhatIsWrittenIsReadBack) {
  for (const size_t size : {0u, 1u, 511u, 512u, 513u, 100'000u}) {
    const TarEntry file{.name = "config.yaml",
                        .mode = 0640,
                        .uid = 500,
                        .gid = 4'000'000'000,
                        .content = std::string(size, 'x')};
    const auto archive = MakeTar(file);
    ASSERT_TRUE(archive.ok());
    EXPECT_EQ(archive->size() % 512, 0u);
    EXPECT_TRUE(IsTarEnd(std::string_view(*archive).substr(archive->size() - 1024)));
    const auto entry = FirstTarEntry(*archive);
    ASSERT_TRUE(entry.ok()) << entry.error().message;
    EXPECT_EQ(entry->name, file.name);
    EXPECT_EQ(entry->mode, 0640u);
    EXPECT_EQ(entry->uid, 500);
    EXPECT_EQ(entry->gid, 4'000'000'000);
    EXPECT_EQ(entry->content, file.content);
  }
}

TEST(Tar, LongNamesOfGnuTarAreRead) {
  const std::string name = "a/very/" + std::string(150, 'n');
  const auto entry = FirstTarEntry(Header("@LongLink", 'L', name.size() + 1) + Padded(name + '\0') +
                                   Header("short", '0', 3) + Padded("abc"));
  ASSERT_TRUE(entry.ok()) << entry.error().message;
  EXPECT_EQ(entry->name, name);
  EXPECT_EQ(entry->content, "abc");
}

TEST(Tar, PaxHeadersOverrule) {
  std::string pax;
  for (const std::string record :
       {"path=a/name/beyond/the/rest", "uid=3000000000", "mtime=1700000000.1234567"}) {
    const size_t length = record.size() + 4;  // Two digits, a blank, a newline.
    pax += fmt::format("{} {}\n", length, record);
  }
  const auto entry = FirstTarEntry(Header("pax", 'x', pax.size()) + Padded(pax) +
                                   Header("short", '0', 3) + Padded("abc"));
  ASSERT_TRUE(entry.ok()) << entry.error().message;
  EXPECT_EQ(entry->name, "a/name/beyond/the/rest");
  EXPECT_EQ(entry->uid, 3'000'000'000);
  EXPECT_EQ(entry->content, "abc");
}

TEST(Tar, FoldersAndLinksAreNoFiles) {
  EXPECT_EQ(FirstTarEntry(Header("logs", '5', 0)).value().type, '5');
  EXPECT_EQ(FirstTarEntry(Header("link", '2', 0)).value().type, '2');
}

TEST(Tar, WhatIsBrokenIsRefused) {
  const std::string good = MakeTar({.name = "f", .content = std::string(600, 'x')}).value();
  std::string changed = good;
  changed[0] = 'g';
  EXPECT_TRUE(FirstTarEntry(changed).Is(Code::kInvalid)) << "the checksum is wrong";
  EXPECT_TRUE(FirstTarEntry(good.substr(0, 1000)).Is(Code::kInvalid)) << "it is cut off";
  EXPECT_TRUE(FirstTarEntry("").Is(Code::kInvalid));
  EXPECT_TRUE(FirstTarEntry(std::string(1024, '\0')).Is(Code::kInvalid)) << "it holds nothing";
  EXPECT_TRUE(FirstTarEntry(Header("pax", 'x', 9) + Padded("99 a=b\nxx")).Is(Code::kInvalid));
  EXPECT_FALSE(IsTarEnd(std::string(1023, '\0') + "}"));
}

TEST(Tar, ANameThatDoesNotFitIsRefused) {
  EXPECT_TRUE(MakeTar({.name = ""}).Is(Code::kInvalid));
  EXPECT_TRUE(MakeTar({.name = "a/b"}).Is(Code::kInvalid));
  EXPECT_TRUE(MakeTar({.name = std::string(101, 'x')}).Is(Code::kInvalid));
}

}  // namespace
}  // namespace oms::drivers::docker
