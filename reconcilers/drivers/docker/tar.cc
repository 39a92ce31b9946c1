#include "reconcilers/drivers/docker/tar.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>

#include "crd/reasons.h"

namespace oms::drivers::docker {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

constexpr size_t kBlock = 512;

// Offsets and lengths of the ustar header's fields (POSIX.1-1988, pax Interchange Format).
struct Field {
  size_t offset, length;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12},
    kTime{136, 12}, kChecksum{148, 8}, kLink{157, 100}, kMagic{257, 6}, kPrefix{345, 155};
constexpr size_t kType = 156;

base::Error Malformed(std::string_view what) {
  return MakeError(Code::kInvalid, crd::inner_reason::kBadArchive,
                   fmt::format("this tar archive cannot be read: {}", what));
}

std::string Text(std::string_view header, Field field) {
  const std::string_view raw = header.substr(field.offset, field.length);
  return std::string(raw.substr(0, raw.find('\0')));
}

// Octal text, or GNU's base-256 for what does not fit.
std::optional<int64_t> Number(std::string_view header, Field field) {
  const std::string_view raw = header.substr(field.offset, field.length);
  const auto first = static_cast<unsigned char>(raw[0]);
  if (first & 0x80) {
    if (first != 0x80) return std::nullopt;  // Negative: never of a size, a mode or an id.
    uint64_t value = 0;
    for (size_t i = 1; i < raw.size(); ++i) {
      if (value >> 55) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(raw[i]);
    }
    return static_cast<int64_t>(value);
  }
  const size_t begin = raw.find_first_not_of(' ');
  if (begin == std::string_view::npos) return 0;
  const size_t end = std::min(raw.find_first_of(std::string_view(" \0", 2), begin), raw.size());
  int64_t value = 0;
  if (begin == end) return 0;
  const auto [stop, ec] = std::from_chars(raw.data() + begin, raw.data() + end, value, 8);
  if (ec != std::errc() || stop != raw.data() + end || value < 0) return std::nullopt;
  return value;
}

uint32_t Checksum(std::string_view header) {
  uint32_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const bool own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.length;
    sum += own ? ' ' : static_cast<unsigned char>(header[i]);
  }
  return sum;
}

// "27 path=some/long/name\n" records.
std::optional<std::map<std::string, std::string>> PaxRecords(std::string_view text) {
  std::map<std::string, std::string> records;
  while (!text.empty()) {
    size_t length = 0;
    const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), length);
    const size_t digits = static_cast<size_t>(stop - text.data());
    if (ec != std::errc() || length > text.size() || length < digits + 2 || *stop != ' ') {
      return std::nullopt;
    }
    const std::string_view record = text.substr(digits + 1, length - digits - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || text[length - 1] != '\n') return std::nullopt;
    records[std::string(record.substr(0, equals))] = record.substr(equals + 1);
    text.remove_prefix(length);
  }
  return records;
}

std::optional<int64_t> Decimal(std::string_view text) {
  // A pax number may carry a fraction (mtime); the ids and the size that we take do not.
  int64_t value = 0;
  const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || stop != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// Octal text; base-256 for an id that is too large for it (directory services give such ids).
void PutNumber(std::string& header, Field field, uint64_t value) {
  if (value >> (3 * (field.length - 1))) {
    for (size_t i = field.length - 1; i > 0; --i, value >>= 8) {
      header[field.offset + i] = static_cast<char>(value & 0xff);
    }
    header[field.offset] = static_cast<char>(0x80);
    return;
  }
  const std::string text = fmt::format("{:0{}o}", value, field.length - 1);
  std::memcpy(header.data() + field.offset, text.data(), field.length - 1);
}

// What headers before an entry's own say of it.
struct Extensions {
  std::map<std::string, std::string> pax;
  std::string long_name, long_link;

  // The content of one of type x, g, L or K.
  Status Add(char type, std::string_view content) {
    if (type == 'x') {
      auto records = PaxRecords(content);
      if (!records) return Malformed("a pax header that cannot be read");
      pax = std::move(*records);
    } else if (type != 'g') {
      (type == 'L' ? long_name : long_link) = content.substr(0, content.find('\0'));
    }
    return base::Ok();
  }
};

constexpr uint64_t kMostExtension = 1u << 20;

uint64_t Padded(uint64_t length) { return (length + kBlock - 1) / kBlock * kBlock; }

struct Header {
  TarEntry entry;        // Without its content, ...
  uint64_t length = 0;   // ... which is so long.
  bool extends = false;  // It speaks of the entry after it.
  bool end = false;      // A block of zeros.
};

Result<Header> ParseHeader(std::string_view header, const Extensions& extensions) {
  Header parsed;
  if (header.find_first_not_of('\0') == std::string_view::npos) {
    parsed.end = true;
    return parsed;
  }
  if (Number(header, kChecksum) != Checksum(header)) return Malformed("a wrong header checksum");
  const auto& pax = extensions.pax;
  const char type = header[kType];
  parsed.extends = type == 'x' || type == 'g' || type == 'L' || type == 'K';
  auto size = Number(header, kSize);
  if (const auto it = pax.find("size"); it != pax.end() && !parsed.extends)
    size = Decimal(it->second);
  if (!size) return Malformed("a size that is not a number");
  // Links and folders carry no content, whatever their size field says.
  const bool has_content = type != '1' && type != '2' && type != '5';
  parsed.length = has_content ? static_cast<uint64_t>(*size) : 0;
  // More than any disk holds; what it is padded to must be a number, too.
  if (parsed.length > uint64_t{1} << 60) return Malformed("an impossible size");

  TarEntry& entry = parsed.entry;
  if (parsed.extends) {
    entry.type = type;
    return parsed;
  }
  entry.type = type == '\0' || type == '7' ? '0' : type;
  entry.name = Text(header, kName);
  if (header.substr(kMagic.offset, 6) == std::string_view("ustar\0", 6)) {
    const std::string prefix = Text(header, kPrefix);
    if (!prefix.empty()) entry.name = prefix + "/" + entry.name;
  }
  if (!extensions.long_name.empty()) entry.name = extensions.long_name;
  entry.link = extensions.long_link.empty() ? Text(header, kLink) : extensions.long_link;
  auto uid = Number(header, kUid);
  auto gid = Number(header, kGid);
  if (const auto it = pax.find("path"); it != pax.end()) entry.name = it->second;
  if (const auto it = pax.find("linkpath"); it != pax.end()) entry.link = it->second;
  if (const auto it = pax.find("uid"); it != pax.end()) uid = Decimal(it->second);
  if (const auto it = pax.find("gid"); it != pax.end()) gid = Decimal(it->second);
  const auto mode = Number(header, kMode);
  if (!uid || !gid || !mode) return Malformed("an owner or a mode that is not a number");
  entry.uid = *uid;
  entry.gid = *gid;
  entry.mode = static_cast<uint32_t>(*mode) & 07777;
  return parsed;
}

}  // namespace

Result<TarEntry> FirstTarEntry(std::string_view archive) {
  Extensions extensions;
  while (true) {
    if (archive.size() < kBlock) return Malformed("it ends before the file");
    OMS_ASSIGN(auto header, ParseHeader(archive.substr(0, kBlock), extensions));
    if (header.end) return Malformed("it is empty");
    if (header.length > archive.size() - kBlock)
      return Malformed("it ends in the middle of the file");
    const std::string_view content = archive.substr(kBlock, header.length);
    if (header.extends) {
      OMS_TRY(extensions.Add(header.entry.type, content));
      archive.remove_prefix(std::min<uint64_t>(archive.size(), kBlock + Padded(header.length)));
      continue;
    }
    header.entry.content = content;
    return std::move(header.entry);
  }
}

struct TarReader::State {
  Wants wants;
  Take take;
  Extensions extensions;
  Header header;        // Of the entry at hand.
  std::string block;    // Of a header that is not whole yet.
  std::string content;  // Of what is kept.
  uint64_t keep = 0;    // So much of what follows is content, ...
  uint64_t skip = 0;    // ... and so much after it is nobody's.
  bool ended = false;   // After a block of zeros whatever follows is no part of it.

  Status Begin() {
    OMS_ASSIGN(header, ParseHeader(block, extensions));
    block.clear();
    content.clear();
    if (header.end) {
      ended = true;
      return base::Ok();
    }
    if (header.entry.type == 'S') {
      return MakeError(Code::kInvalid, crd::inner_reason::kSparseArchive,
                       "it contains a sparse file");
    }
    if (header.extends && header.length > kMostExtension)
      return Malformed("a name that is too long");
    const bool wanted =
        header.extends || (header.entry.type == '0' && wants(header.entry.name, header.length));
    keep = wanted ? header.length : 0;
    skip = Padded(header.length) - keep;
    return keep == 0 ? Whole(wanted) : base::Ok();
  }
  // The content of the entry at hand is there.
  Status Whole(bool wanted) {
    if (header.extends) return extensions.Add(header.entry.type, content);
    extensions = {};
    if (wanted) take(std::move(header.entry.name), std::move(content));
    return base::Ok();
  }
};

TarReader::TarReader(Wants wants, Take take) : state_(std::make_unique<State>()) {
  state_->wants = std::move(wants);
  state_->take = std::move(take);
}
TarReader::~TarReader() = default;

Status TarReader::Feed(std::string_view bytes) {
  State& state = *state_;
  while (!bytes.empty() && !state.ended) {
    if (state.keep > 0) {
      const size_t part = std::min<uint64_t>(state.keep, bytes.size());
      state.content += bytes.substr(0, part);
      state.keep -= part;
      bytes.remove_prefix(part);
      if (state.keep == 0) OMS_TRY(state.Whole(true));
    } else if (state.skip > 0) {
      const size_t part = std::min<uint64_t>(state.skip, bytes.size());
      state.skip -= part;
      bytes.remove_prefix(part);
    } else {
      const size_t part = std::min(kBlock - state.block.size(), bytes.size());
      state.block += bytes.substr(0, part);
      bytes.remove_prefix(part);
      if (state.block.size() == kBlock) OMS_TRY(state.Begin());
    }
  }
  return base::Ok();
}

uint64_t TarReader::Skippable() const { return state_->keep > 0 ? 0 : state_->skip; }

void TarReader::Skip(uint64_t bytes) { state_->skip -= std::min(bytes, state_->skip); }

bool TarReader::ended() const { return state_->ended; }

bool TarReader::Whole() const {
  const State& state = *state_;
  return state.ended || (state.keep == 0 && state.skip == 0 && state.block.empty());
}

Result<std::string> MakeTar(const TarEntry& file) {
  if (file.name.empty() || file.name.size() > kName.length ||
      file.name.find('/') != std::string::npos) {
    return MakeError(
        Code::kInvalid,
        fmt::format("\"{}\" is not a file name that fits into a tar header", file.name));
  }
  if (file.uid < 0 || file.gid < 0) {
    return MakeError(Code::kInvalid, "the owner of a file is a negative number");
  }
  std::string header(kBlock, '\0');
  std::memcpy(header.data(), file.name.data(), file.name.size());
  PutNumber(header, kMode, file.mode & 07777);
  PutNumber(header, kUid, static_cast<uint64_t>(file.uid));
  PutNumber(header, kGid, static_cast<uint64_t>(file.gid));
  PutNumber(header, kSize, file.content.size());
  PutNumber(header, kTime, 0);
  header[kType] = '0';
  std::memcpy(header.data() + kMagic.offset,
              "ustar\0"
              "00",
              8);
  const std::string sum = fmt::format("{:06o}", Checksum(header));
  std::memcpy(header.data() + kChecksum.offset, sum.data(), sum.size());
  header[kChecksum.offset + 7] = ' ';

  std::string archive = std::move(header);
  archive += file.content;
  archive.append((kBlock - file.content.size() % kBlock) % kBlock, '\0');
  archive.append(2 * kBlock, '\0');
  return archive;
}

bool IsTarEnd(std::string_view last) {
  return last.size() == 2 * kBlock && last.find_first_not_of('\0') == std::string_view::npos;
}

}  // namespace oms::drivers::docker
