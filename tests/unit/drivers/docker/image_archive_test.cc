#include "reconcilers/drivers/docker/image_archive.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "controller/base/clock.h"
#include "reconcilers/drivers/docker/tar.h"
#include "reconcilers/drivers/files/gzip_stream.h"
#include "reconcilers/drivers/files/zstd_stream.h"

namespace oms::drivers::docker {
namespace {

using base::Code;
using ports::ArchivedImage;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Images = std::vector<ArchivedImage>;

const std::string kConfig(64, 'c'), kOther(64, 'd'), kListed(64, 'e');
const std::string kEnd(1024, '\0');

std::string File(const std::string& name, const std::string& content) {
  std::string tar = MakeTar({.name = name, .mode = 0644, .content = content}).value();
  return tar.substr(0, tar.size() - kEnd.size());
}
// A layer that is larger than what is read at once.
std::string Layer() { return File(std::string(64, 'a') + ".tar", std::string(3u << 20, 'x')); }

std::string Manifest(const std::string& tag = "oms:4.3.1") {
  return fmt::format(R"([{{"Config":"{}.json","RepoTags":["{}"],"Layers":["a/layer.tar"]}}])",
                     kConfig, tag);
}
// As an engine with a containerd image store saves it.
std::string Index() {
  return fmt::format(
      R"({{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"sha256:{}","size":1,"annotations":{{)"
      R"("io.containerd.image.name":"docker.io/library/oms:4.3.1","org.opencontainers.image.ref.name":"4.3.1"}}}}]}})",
      kListed);
}

std::string Gzip(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string in = text, out(deflateBound(&stream, text.size()) + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& text) {
  files::ZstdCompressor packer;
  std::string packed;
  const auto sink = [&](std::string_view bytes) {
    packed += bytes;
    return base::Ok();
  };
  EXPECT_TRUE(packer.Feed(text, sink).ok() && packer.Finish(sink).ok());
  return packed;
}

class ImageArchive : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(testing::TempDir()) /
              fmt::format("image_archive.{}.{}", test->name(), getpid());
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "oms.tar";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  base::Result<std::optional<Images>> Look() {
    base::SystemClock clock;
    return FileImageArchives().Look(base::Context(clock, {}), path_, progress_);
  }
  base::Result<std::optional<Images>> LookInto(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return Look();
  }
  void ExpectRefused(const std::string& bytes, const std::string& why) {
    const auto images = LookInto(bytes);
    ASSERT_FALSE(images.ok()) << why;
    EXPECT_EQ(images.error().reason, "ImageArchive");
    EXPECT_EQ(images.error().code, Code::kInvalid);
    EXPECT_THAT(images.error().message, HasSubstr(why));
    EXPECT_THAT(images.error().message, HasSubstr("oms.tar"));
  }

  std::filesystem::path folder_, path_;
  ports::ByteProgress progress_;
};

TEST_F(ImageArchive, TellsNamesAndDigestsWhateverPacksIt) {
  const std::string tar =
      File("index.json", Index()) + Layer() + File("manifest.json", Manifest()) + kEnd;
  for (const std::string& packed : {tar, Gzip(tar), Zstd(tar)}) {
    const auto images = LookInto(packed);
    ASSERT_TRUE(images.ok()) << images.error().message;
    ASSERT_TRUE(images->has_value());
    ASSERT_EQ((*images)->size(), 2u);
    EXPECT_THAT((**images)[0].names, ElementsAre("oms:4.3.1"));
    EXPECT_THAT((**images)[0].digests, ElementsAre("sha256:" + kConfig));
    EXPECT_THAT((**images)[1].names, ElementsAre("docker.io/library/oms:4.3.1"));
    EXPECT_THAT((**images)[1].digests, ElementsAre("sha256:" + kListed));
    EXPECT_EQ(progress_.total, packed.size());
    EXPECT_EQ(progress_.done, packed.size());
  }
}

TEST_F(ImageArchive, OfSeveralGzipMembersIsOneArchive) {
  const auto images = LookInto(Gzip(Layer()) + Gzip(File("manifest.json", Manifest()) + kEnd));
  ASSERT_TRUE(images.ok()) << images.error().message;
  ASSERT_EQ((**images).size(), 1u);
  EXPECT_THAT((**images)[0].names, ElementsAre("oms:4.3.1"));
}

TEST_F(ImageArchive, ThatSomebodyPackedAgainIsReadAsItIsUnpacked) {
  // By `tar -c .`, and then with a newer one added.
  std::string first = File("__manifest.json", Manifest("oms:4.3.0"));
  first.replace(0, 2, "./");
  const int sum = std::stoi(first.substr(148, 6), nullptr, 8) + '.' + '/' - 2 * '_';
  first.replace(148, 6, fmt::format("{:06o}", sum));
  const auto images = LookInto(first + File("manifest.json", Manifest()) + kEnd);
  ASSERT_TRUE(images.ok()) << images.error().message;
  ASSERT_EQ((**images).size(), 1u) << "the last of a name is the one that stays";
  EXPECT_THAT((**images)[0].names, ElementsAre("oms:4.3.1"));
}

TEST_F(ImageArchive, ThatIsPackedByWhatIsNotReadHereIsLeftToTheEngine) {
  for (const std::string& magic : {std::string("BZh91AY"), std::string("\xfd"
                                                                       "7zXZ\0\0",
                                                                       7)}) {
    const auto images = LookInto(magic + std::string(2000, 'z'));
    ASSERT_TRUE(images.ok()) << images.error().message;
    EXPECT_FALSE(images->has_value());
  }
}

TEST_F(ImageArchive, ThatIsCutOffOrBrokenIsRefused) {
  const std::string tar = Layer() + File("manifest.json", Manifest()) + kEnd;
  for (const std::string& packed : {tar, Gzip(tar), Zstd(tar)})
    ExpectRefused(packed.substr(0, packed.size() / 2), "it is cut off");
  ExpectRefused(std::string(4000, 'x'), "a wrong header checksum");
  std::string broken = Gzip(tar);
  broken[broken.size() - 6] = static_cast<char>(broken[broken.size() - 6] + 1);
  ExpectRefused(broken, "incorrect data check");
}

TEST_F(ImageArchive, OfOtherFilesIsRefused) {
  ExpectRefused(File("etc", "a root file system") + kEnd,
                "neither a manifest.json nor an index.json");
}

TEST_F(ImageArchive, ThatIsNoFileIsRefusedAndNotWaitedFor) {
  const auto missing = Look();
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().reason, "ImageArchive");
  EXPECT_THAT(missing.error().message, HasSubstr("No such file"));
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  const auto pipe = Look();
  ASSERT_FALSE(pipe.ok());
  EXPECT_THAT(pipe.error().message, HasSubstr("not a regular file"));
  std::filesystem::remove(path_);
  ExpectRefused("", "is empty");
}

TEST_F(ImageArchive, WhoseJsonIsNotSoundIsRefused) {
  const auto manifest = [](const std::string& text) { return File("manifest.json", text) + kEnd; };
  ExpectRefused(manifest("[{]"), "its manifest.json is not JSON");
  ExpectRefused(manifest("{}"), "its manifest.json is not a list");
  ExpectRefused(manifest(std::string(200'000, '[')), "nested more than 64 levels deep");
  ExpectRefused(manifest("[" + std::string(5u << 20, ' ') + "]"), "its manifest.json is too large");
}

TEST_F(ImageArchive, ANameThatIsNoneIsNotTold) {
  const auto images = ImagesOf(
      R"([{"Config":"../../etc/passwd","RepoTags":["a\nb","; rm -rf /","",7,"oms:4.3.1"]},)"
      R"({"Config":7,"RepoTags":"oms:4.3.2"},7])",
      R"({"manifests":[{"digest":"md5:1"},{"digest":7,"annotations":[]}]})");
  ASSERT_TRUE(images.ok()) << images.error().message;
  for (const auto& image : *images) EXPECT_THAT(image.digests, IsEmpty());
  EXPECT_THAT(images->at(0).names, ElementsAre("oms:4.3.1"));
}

TEST(TarReader, TakesPiecesOfAnyLengthAndPassesOverWhatNobodyWants) {
  const std::string tar = File("a", "one") + Layer() + File("b", std::string(1000, 'b')) +
                          File("empty", "") + kEnd + "what follows is not looked at";
  for (const size_t step : {size_t{1}, size_t{511}, size_t{513}, size_t{1} << 20}) {
    std::string got;
    TarReader reader([](const std::string& name, uint64_t) { return name.size() < 10; },
                     [&](const std::string& name, const std::string& content) {
                       got += fmt::format("{}:{} ", name, content.size());
                     });
    for (size_t at = 0; at < tar.size(); at += step) {
      const uint64_t over = reader.Skippable();
      if (over > step) {
        reader.Skip(over - over % step);
        at += over - over % step;
      }
      ASSERT_TRUE(reader.Feed(std::string_view(tar).substr(at, step)).ok()) << step;
    }
    EXPECT_EQ(got, "a:3 b:1000 empty:0 ") << step;
    EXPECT_TRUE(reader.ended());
  }
}

TEST(GzipStream, BringsBackWhatWentInWhateverThePieces) {
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{128} << 10, (size_t{128} << 10) + 1, size_t{1'000'000}}) {
    const std::string text(size, 'x');
    const std::string packed = Gzip(text) + Gzip("and more") + std::string(100, '\0');
    for (const size_t step : {size_t{1}, size_t{1000}, size_t{1} << 20}) {
      files::GzipDecompressor unpacker;
      std::string out;
      for (size_t at = 0; at < packed.size(); at += step) {
        unpacker.Take(std::string_view(packed).substr(at, step));
        while (true) {
          const auto more = unpacker.Next(out);
          ASSERT_TRUE(more.ok()) << more.error().message;
          if (!*more) break;
        }
      }
      EXPECT_TRUE(out == text + "and more") << size << " " << step;
      EXPECT_TRUE(unpacker.Whole());
    }
  }
}

}  // namespace
}  // namespace oms::drivers::docker
