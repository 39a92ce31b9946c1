#include "reconcilers/oms/config_yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <array>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "crd/reasons.h"

namespace oms::product {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Secret;

constexpr std::array<std::string_view, 4> kFields = {"host", "port", "user", "password"};
constexpr size_t kMaxConfigBytes = 1 << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string OldKey(std::string_view field) { return fmt::format("oms_meta_{}", field); }
std::string RmKey(std::string_view field) { return fmt::format("oms_rm_meta_{}", field); }
std::string CmKey(std::string_view field) { return fmt::format("oms_cm_meta_{}", field); }

base::Error Invalid(std::string message) {
  return MakeError(Code::kInvalid, crd::reason::kConfigInvalid,
                   "config.yaml: " + std::move(message));
}

// A top-level entry.
struct Entry {
  std::string key;
  int line = 0;        // Of the key, from 0.
  int value_line = 0;  // Where the value begins.
  bool scalar = false;
  bool null = false;
  std::string value;               // Of a scalar.
  std::string canonical;           // Of any value, with whether it was quoted.
  std::vector<std::string> items;  // Of a list of scalars.
};

// Collects the top-level entries from yaml-cpp's events, which, unlike its nodes, tell of anchors,
// duplicate keys and positions.
class Collector final : public YAML::EventHandler {
 public:
  explicit Collector(std::string_view text) : text_(text) {
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
    line_starts_.push_back(0);
    for (size_t at = 0; at < text_.size(); ++at) {
      if (text_[at] == '\n') line_starts_.push_back(at + 1);
    }
  }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Refuse(mark, anchor);
    Scalar(mark, "", /*quoted=*/false, /*null=*/true);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { Fail(mark, kNoAnchors); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Refuse(mark, anchor);
    if (!QuoteIsClosed(mark)) Fail(mark, "a quote is not closed");
    // "?" is a plain scalar, "!" a quoted one (or a block); all else was written as a tag.
    if (tag != "?" && tag != "!" && !tag.empty()) Fail(mark, "tags (!...) are not used here");
    Scalar(mark, value, /*quoted=*/tag == "!", /*null=*/false);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Refuse(mark, anchor);
    Open(mark, tag, '[');
  }
  void OnSequenceEnd() override { Close(']'); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Refuse(mark, anchor);
    Open(mark, tag, '{');
  }
  void OnMapEnd() override { Close('}'); }

  bool is_map() const { return is_map_; }
  const std::optional<base::Error>& error() const { return error_; }
  std::vector<Entry> entries() && { return std::move(entries_); }

 private:
  static constexpr char kNoAnchors[] =
      "anchors and aliases (&, *) are not used here; write the value out";

  struct Level {
    char kind;        // '[' or '{'
    bool expect_key;  // In a map.
    std::set<std::string> keys;
  };

  void Fail(const YAML::Mark& mark, std::string_view what) {
    if (!error_) error_ = Invalid(fmt::format("line {}: {}", mark.line + 1, what));
  }
  void Refuse(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) Fail(mark, kNoAnchors);
  }

  // yaml-cpp takes the end of the text for a closing quote; OMS's own reader does not.
  bool QuoteIsClosed(const YAML::Mark& mark) const {
    if (mark.line < 0 || static_cast<size_t>(mark.line) >= line_starts_.size()) return true;
    size_t at = line_starts_[static_cast<size_t>(mark.line)] + static_cast<size_t>(mark.column);
    if (at >= text_.size() || (text_[at] != '"' && text_[at] != '\'')) return true;
    const char quote = text_[at];
    for (++at; at < text_.size(); ++at) {
      if (quote == '"' && text_[at] == '\\') {
        ++at;
      } else if (text_[at] == quote) {
        if (quote == '"' || at + 1 >= text_.size() || text_[at + 1] != quote) return true;
        ++at;
      }
    }
    return false;
  }

  bool AtKey() const {
    return !levels_.empty() && levels_.back().kind == '{' && levels_.back().expect_key;
  }
  // A value of any kind has ended.
  void Done() {
    if (!levels_.empty() && levels_.back().kind == '{') levels_.back().expect_key = true;
  }

  void Scalar(const YAML::Mark& mark, const std::string& value, bool quoted, bool null) {
    if (error_ || levels_.empty()) return;  // Or a document that is no map; is_map_ stays false.
    if (AtKey()) {
      if (null || value.empty()) Fail(mark, "a key is empty");
      if (!levels_.back().keys.insert(value).second) {
        Fail(mark, fmt::format("the key {} appears twice", Shown(value)));
      }
      levels_.back().expect_key = false;
      if (levels_.size() == 1) {
        Entry& entry = entries_.emplace_back();
        entry.key = value;
        entry.line = mark.line;
      } else {
        Append(Quoted(value) + ":");
      }
      return;
    }
    const std::string canonical = (null ? "~" : (quoted ? "q" : "p") + Quoted(value)) + ",";
    if (levels_.size() == 1) {
      Entry& entry = entries_.back();
      entry.scalar = true;
      entry.null = null;
      entry.value = value;
      entry.value_line = mark.line;
      entry.canonical = canonical;
    } else {
      Append(canonical);
      if (levels_.size() == 2 && levels_.back().kind == '[') entries_.back().items.push_back(value);
    }
    Done();
  }

  void Open(const YAML::Mark& mark, const std::string& tag, char kind) {
    if (tag != "?" && tag != "!" && !tag.empty()) Fail(mark, "tags (!...) are not used here");
    if (levels_.size() > 16) Fail(mark, "nested too deeply");
    if (error_) return;
    if (levels_.empty()) {
      is_map_ = kind == '{';
      if (!is_map_) return;
    } else {
      if (AtKey()) return Fail(mark, "a key must be a plain word");
      if (levels_.size() == 1 && !entries_.empty()) entries_.back().value_line = mark.line;
      Append(std::string(1, kind));
    }
    levels_.push_back({kind, kind == '{', {}});
  }
  void Close(char kind) {
    if (error_ || levels_.empty()) return;
    levels_.pop_back();
    if (levels_.empty()) return;
    Append(std::string(1, kind) + ",");
    Done();
  }

  void Append(const std::string& text) {
    if (!entries_.empty()) entries_.back().canonical += text;
  }
  // With its length, so that no two different texts give the same form.
  static std::string Quoted(const std::string& text) {
    return fmt::format("{}\"{}\"", text.size(), text);
  }
  static std::string Shown(const std::string& key) {
    std::string shown;
    for (const char c : key.substr(0, 64)) shown += c > 0x20 && c < 0x7f ? c : '?';
    return shown;
  }

  std::string_view text_;
  std::vector<size_t> line_starts_;
  std::vector<Level> levels_;
  std::vector<Entry> entries_;
  bool is_map_ = false;
  std::optional<base::Error> error_;
};

Result<std::vector<Entry>> ReadEntries(const std::string& text) {
  if (text.size() > kMaxConfigBytes) return Invalid("is larger than 1 MiB");
  if (text.find('\0') != std::string::npos) return Invalid("contains a NUL byte; it must be UTF-8");
  Collector collector(text);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(collector)) return Invalid("is empty");
    if (collector.error()) return *collector.error();
    if (!collector.is_map()) return Invalid("must be keys and values, one 'key: value' per line");
    Collector second(text);
    if (parser.HandleNextDocument(second)) return Invalid("contains more than one document (---)");
  } catch (const YAML::Exception& e) {
    // Its text may quote the file, so only the place is told.
    return Invalid(
        fmt::format("is not YAML: see line {}, column {}", e.mark.line + 1, e.mark.column + 1));
  } catch (const std::exception&) {
    return Invalid("is not YAML");
  }
  return std::move(collector).entries();
}

const Entry* Find(const std::vector<Entry>& entries, std::string_view key) {
  for (const auto& entry : entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

bool IsDatabaseName(std::string_view name) {
  if (name.empty() || name.size() > 64) return false;
  for (const char c : name) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '$' || c == '-';
    if (!good) return false;
  }
  return true;
}

// A scalar's text; empty where the key is not there.
Result<std::string> Text(const std::vector<Entry>& entries, std::string_view key) {
  const Entry* const entry = Find(entries, key);
  if (entry == nullptr) return std::string();
  if (!entry->scalar) return Invalid(fmt::format("{} must be one value", key));
  return entry->value;
}

Result<int> Port(const std::string& text, std::string_view key) {
  int port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || port > 65535) {
      port = -1;
      break;
    }
    port = port * 10 + (c - '0');
  }
  if (port < 1 || port > 65535) {
    return Invalid(fmt::format("{} must be a port between 1 and 65535", key));
  }
  return port;
}

// One field of one database's address: the new key, else the old one.
Result<std::string> AddressField(const std::vector<Entry>& entries, const std::string& new_key,
                                 const std::string& old_key, bool may_be_empty) {
  const Entry* const fresh = Find(entries, new_key);
  const Entry* const old = Find(entries, old_key);
  if (fresh == nullptr && old == nullptr) {
    return Invalid(fmt::format("neither {} nor {} is set", old_key, new_key));
  }
  OMS_ASSIGN(const std::string new_text, Text(entries, new_key));
  OMS_ASSIGN(const std::string old_text, Text(entries, old_key));
  if (fresh != nullptr && old != nullptr && new_text != old_text) {
    return Invalid(fmt::format("{} and {} are both set and differ; keep only the correct one",
                               old_key, new_key));
  }
  const std::string& text = fresh != nullptr ? new_text : old_text;
  if (text.empty() && !may_be_empty) {
    return Invalid(fmt::format("{} is empty", fresh != nullptr ? new_key : old_key));
  }
  return text;
}

Result<MetaAddress> Address(const std::vector<Entry>& entries,
                            std::string (*new_key)(std::string_view)) {
  MetaAddress address;
  OMS_ASSIGN(address.host, AddressField(entries, new_key("host"), OldKey("host"), false));
  OMS_ASSIGN(const std::string port, AddressField(entries, new_key("port"), OldKey("port"), false));
  OMS_ASSIGN(address.port, Port(port, Find(entries, new_key("port")) != nullptr ? new_key("port")
                                                                                : OldKey("port")));
  OMS_ASSIGN(address.user, AddressField(entries, new_key("user"), OldKey("user"), false));
  OMS_ASSIGN(std::string password,
             AddressField(entries, new_key("password"), OldKey("password"), true));
  address.password = Secret(std::move(password));
  return address;
}

Result<std::string> DatabaseName(const std::vector<Entry>& entries, std::string_view key) {
  if (Find(entries, key) == nullptr) return Invalid(fmt::format("{} is missing", key));
  OMS_ASSIGN(std::string name, Text(entries, key));
  if (!IsDatabaseName(name)) {
    return Invalid(fmt::format(
        "{} must be the name of a database: 1 to 64 of letters, digits, '_', '$' and '-'", key));
  }
  return name;
}

Result<int> PortOr(const std::vector<Entry>& entries, std::string_view key, int fallback) {
  OMS_ASSIGN(const std::string text, Text(entries, key));
  if (text.empty()) return fallback;
  return Port(text, key);
}

// The line's text without its end, and the end: "\n", "\r\n" or none.
struct Line {
  std::string_view text, end;
};

std::vector<Line> SplitLines(std::string_view text) {
  std::vector<Line> lines;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    if (newline == std::string_view::npos) {
      lines.push_back({text, {}});
      break;
    }
    const size_t length = newline > 0 && text[newline - 1] == '\r' ? newline - 1 : newline;
    lines.push_back({text.substr(0, length), text.substr(length, newline + 1 - length)});
    text.remove_prefix(newline + 1);
  }
  return lines;
}

// Where in `line` the key's own characters begin, after an optional BOM, indentation and quote.
std::optional<size_t> KeyPosition(std::string_view line, std::string_view key) {
  size_t at = 0;
  if (line.starts_with(kByteOrderMark)) at = 3;
  while (at < line.size() && line[at] == ' ') ++at;
  char quote = 0;
  if (at < line.size() && (line[at] == '"' || line[at] == '\'')) quote = line[at++];
  const size_t begin = at;
  if (line.substr(at, key.size()) != key) return std::nullopt;
  at += key.size();
  if (quote != 0 && (at >= line.size() || line[at++] != quote)) return std::nullopt;
  while (at < line.size() && (line[at] == ' ' || line[at] == '\t')) ++at;
  if (at >= line.size() || line[at] != ':') return std::nullopt;
  return begin;
}

std::string CanonicalOf(const std::vector<Entry>& entries) {
  std::map<std::string, std::string> sorted;
  for (const auto& entry : entries) sorted[entry.key] = entry.canonical;
  std::string form;
  for (const auto& [key, canonical] : sorted) {
    form += fmt::format("{}\"{}\":{}\n", key.size(), key, canonical);
  }
  return form;
}

// The entries as they must be after the rewrite.
std::vector<Entry> Expected(const std::vector<Entry>& before) {
  std::vector<Entry> after;
  for (const auto& entry : before) {
    bool old = false;
    for (const std::string_view field : kFields) {
      if (entry.key != OldKey(field)) continue;
      old = true;
      for (const auto& key : {RmKey(field), CmKey(field)}) {
        if (Find(before, key) != nullptr) continue;
        Entry& made = after.emplace_back(entry);
        made.key = key;
      }
    }
    if (!old) after.push_back(entry);
  }
  return after;
}

}  // namespace

Result<OmsConfig> ParseConfig(const std::string& text) {
  OMS_ASSIGN(const std::vector<Entry> entries, ReadEntries(text));
  OmsConfig config;
  for (const std::string_view field : kFields) {
    config.old_keys |= Find(entries, OldKey(field)) != nullptr;
    config.new_keys |= Find(entries, RmKey(field)) != nullptr;
    config.new_keys |= Find(entries, CmKey(field)) != nullptr;
  }
  OMS_ASSIGN(config.rm, Address(entries, RmKey));
  OMS_ASSIGN(config.cm, Address(entries, CmKey));
  OMS_ASSIGN(config.drc_rm_db, DatabaseName(entries, "drc_rm_db"));
  OMS_ASSIGN(config.drc_cm_db, DatabaseName(entries, "drc_cm_db"));
  OMS_ASSIGN(config.drc_cm_heartbeat_db, DatabaseName(entries, "drc_cm_heartbeat_db"));
  if (config.drc_cm_db == config.drc_cm_heartbeat_db) {
    return Invalid("drc_cm_db and drc_cm_heartbeat_db name the same database");
  }
  if (config.drc_rm_db == config.drc_cm_db) {
    return Invalid("drc_rm_db and drc_cm_db name the same database");
  }
  if (config.drc_rm_db == config.drc_cm_heartbeat_db) {
    return Invalid("drc_rm_db and drc_cm_heartbeat_db name the same database");
  }
  OMS_ASSIGN(config.cm_url, Text(entries, "cm_url"));
  OMS_ASSIGN(config.cm_location, Text(entries, "cm_location"));
  OMS_ASSIGN(config.cm_region, Text(entries, "cm_region"));
  if (const Entry* const nodes = Find(entries, "cm_nodes")) {
    config.cm_nodes = nodes->items;
    if (nodes->scalar && !nodes->value.empty()) config.cm_nodes = {nodes->value};
  }
  OMS_ASSIGN(config.ports.nginx, PortOr(entries, "nginx_server_port", config.ports.nginx));
  OMS_ASSIGN(config.ports.ghana, PortOr(entries, "ghana_server_port", config.ports.ghana));
  OMS_ASSIGN(config.ports.cm, PortOr(entries, "cm_server_port", config.ports.cm));
  OMS_ASSIGN(config.ports.supervisor,
             PortOr(entries, "supervisor_server_port", config.ports.supervisor));
  OMS_ASSIGN(config.ports.sshd, PortOr(entries, "sshd_server_port", config.ports.sshd));
  for (const auto& entry : entries) {
    config.all[entry.key] = Secret(entry.scalar ? entry.value : entry.canonical);
  }
  return config;
}

Result<bool> NeedsRewrite(const std::string& text) {
  OMS_ASSIGN(const std::vector<Entry> entries, ReadEntries(text));
  for (const std::string_view field : kFields) {
    if (Find(entries, OldKey(field)) != nullptr) return true;
  }
  return false;
}

Result<std::string> RewriteMetaKeys(const std::string& text) {
  OMS_ASSIGN(const std::vector<Entry> before, ReadEntries(text));
  for (const std::string_view field : kFields) {
    if (Find(before, OldKey(field)) == nullptr) continue;
    // Refuses old and new keys that differ.
    OMS_TRY(AddressField(before, RmKey(field), OldKey(field), /*may_be_empty=*/true));
    OMS_TRY(AddressField(before, CmKey(field), OldKey(field), /*may_be_empty=*/true));
  }

  const std::vector<Line> lines = SplitLines(text);
  std::string_view newline = "\n";
  for (const auto& line : lines) {
    if (!line.end.empty()) {
      newline = line.end;
      break;
    }
  }
  std::map<int, std::string_view> old_lines;  // line -> field
  for (const std::string_view field : kFields) {
    if (const Entry* const entry = Find(before, OldKey(field))) old_lines[entry->line] = field;
  }
  if (old_lines.empty()) return text;

  std::string after;
  for (size_t i = 0; i < lines.size(); ++i) {
    const Line& line = lines[i];
    const auto found = old_lines.find(static_cast<int>(i));
    if (found == old_lines.end()) {
      after += line.text;
      after += line.end;
      continue;
    }
    const std::string_view field = found->second;
    const std::string old_key = OldKey(field);
    const Entry* const entry = Find(before, old_key);
    const auto at = KeyPosition(line.text, old_key);
    // The mark of an empty value is where the parser noticed it, on a later line.
    if (!at || (!entry->null && entry->value_line != entry->line)) {
      return Invalid(
          fmt::format("line {}: write {} and its value on one line of their own, as 'key: value'",
                      i + 1, old_key));
    }
    std::vector<std::string> keys;
    for (const auto& key : {RmKey(field), CmKey(field)}) {
      if (Find(before, key) == nullptr) keys.push_back(key);
    }
    // A byte order mark stays at the front of the file only.
    const std::string_view mark =
        line.text.starts_with(kByteOrderMark) ? kByteOrderMark : std::string_view();
    after += mark;
    const std::string_view head = line.text.substr(mark.size(), *at - mark.size());
    const std::string_view tail = line.text.substr(*at + old_key.size());
    for (size_t k = 0; k < keys.size(); ++k) {
      after += head;
      after += keys[k];
      after += tail;
      after += k + 1 < keys.size() && line.end.empty() ? newline : line.end;
    }
  }

  const auto proof = ReadEntries(after);
  if (!proof.ok() || CanonicalOf(*proof) != CanonicalOf(Expected(before))) {
    return Invalid(
        "the oms_meta_* keys cannot be changed by an edit that keeps the rest; write each of them "
        "and its value on one line of their own, as 'key: value'");
  }
  return after;
}

}  // namespace oms::product
