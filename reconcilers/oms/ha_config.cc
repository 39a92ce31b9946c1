#include "reconcilers/oms/ha_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <vector>

#include "controller/base/json.h"
#include "crd/reasons.h"

namespace oms::product {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using nlohmann::ordered_json;

constexpr char kEnable[] = "enable";
constexpr char kPerceive[] = "perceiveStoreClientCheckpoint";
constexpr char kRefetch[] = "refetchStoreIntervalMin";

base::Error Invalid(std::string message) {
  return MakeError(Code::kTerminal, crd::reason::kHaConfigInvalid,
                   "ha.config: " + std::move(message));
}

// A member of the object, by its place in the text.
struct Member {
  std::string key;
  size_t key_begin = 0;
  size_t value_begin = 0;
  size_t value_end = 0;
};

struct Document {
  bool in_string = false;  // The value in the table is a JSON string that holds `text`.
  std::string text;
  ordered_json value;  // An object.
  std::vector<Member> members;
  size_t open = 0;  // Of '{'.
};

// Walks over text that a parser has accepted already, so it need not look for errors.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
  }

  void Scan(Document& document) {
    Space();
    document.open = at_++;
    for (;;) {
      Space();
      if (Peek() == '}') return;
      if (Peek() == ',') {
        ++at_;
        continue;
      }
      Member member;
      member.key_begin = at_;
      String();
      const auto key = text_.substr(member.key_begin, at_ - member.key_begin);
      member.key = base::ParseOrderedJson(key).value_or(ordered_json("")).get<std::string>();
      Space();
      ++at_;  // ':'
      Space();
      member.value_begin = at_;
      Value();
      member.value_end = at_;
      document.members.push_back(std::move(member));
    }
  }

 private:
  char Peek() const { return at_ < text_.size() ? text_[at_] : '}'; }
  void Space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  void String() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    ++at_;
  }
  void Value() {
    if (Peek() == '"') return String();
    if (Peek() != '{' && Peek() != '[') {
      while (at_ < text_.size() &&
             std::string_view(",}] \t\r\n").find(text_[at_]) == std::string_view::npos) {
        ++at_;
      }
      return;
    }
    int depth = 0;
    do {
      if (Peek() == '"') {
        String();
        continue;
      }
      if (Peek() == '{' || Peek() == '[') ++depth;
      if (Peek() == '}' || Peek() == ']') --depth;
      ++at_;
    } while (depth > 0 && at_ < text_.size());
  }

  std::string_view text_;
  size_t at_ = 0;
};

Result<Document> Open(const std::string& raw) {
  Document document;
  document.text = raw;
  auto value = base::ParseOrderedJson(raw);
  if (value.ok() && value->is_string()) {
    document.in_string = true;
    document.text = value->get<std::string>();
    value = base::ParseOrderedJson(document.text);
  }
  if (!value.ok()) return Invalid(value.error().message + "; correct it in the console");
  document.value = *std::move(value);
  if (!document.value.is_object())
    return Invalid("is not a JSON object; correct it in the console");
  Scanner(document.text).Scan(document);
  std::set<std::string_view> keys;
  for (const auto& member : document.members) {
    if (!keys.insert(member.key).second) {
      return Invalid("a key appears twice; correct it in the console");
    }
  }
  return document;
}

// A flag may be stored as true or "true".
Result<bool> Flag(const Document& document, const char* key) {
  const auto found = document.value.find(key);
  if (found == document.value.end() || found->is_null()) return false;
  if (found->is_boolean()) return found->get<bool>();
  if (*found == "true") return true;
  if (*found == "false") return false;
  return Invalid(fmt::format("{} is neither true nor false; correct it in the console", key));
}

// Nothing of ours hangs on these two, so a value that is neither counts as the documented default.
bool OnByDefault(const Document& document, const char* key) {
  const auto found = document.value.find(key);
  return found == document.value.end() || !(*found == false || *found == "false");
}

Result<int> Minutes(const Document& document) {
  constexpr int kDefault = 30;
  const auto found = document.value.find(kRefetch);
  if (found == document.value.end() || found->is_null()) return kDefault;
  constexpr int64_t kMax = std::numeric_limits<int>::max();
  if (found->is_number_unsigned() && found->get<uint64_t>() <= uint64_t{kMax}) {
    return static_cast<int>(found->get<uint64_t>());
  }
  if (found->is_string()) {
    const auto& text = found->get_ref<const std::string&>();
    const bool digits = !text.empty() && text.size() <= 9 &&
                        text.find_first_not_of("0123456789") == std::string::npos;
    if (digits) return std::stoi(text);
  }
  return Invalid(fmt::format("{} is not a number of minutes; correct it in the console", kRefetch));
}

// What a key shall be. A value that was stored as a string stays one.
struct Change {
  const char* key;
  ordered_json value;
};

std::string Literal(const Document& document, const Change& change) {
  const std::string plain = change.value.dump();
  const auto found = document.value.find(change.key);
  return found != document.value.end() && found->is_string() ? '"' + plain + '"' : plain;
}

// Puts the changes into the text, and proves that nothing else changed.
Result<std::string> Edit(const Document& document, const std::vector<Change>& changes) {
  std::string text = document.text;
  ordered_json expected = document.value;
  std::vector<Change> added;
  std::vector<std::pair<const Member*, std::string>> replaced;
  for (const auto& change : changes) {
    const std::string literal = Literal(document, change);
    OMS_ASSIGN(expected[change.key], base::ParseOrderedJson(literal));
    const auto member = std::find_if(document.members.begin(), document.members.end(),
                                     [&](const Member& m) { return m.key == change.key; });
    if (member == document.members.end()) {
      added.push_back(change);
    } else {
      replaced.emplace_back(&*member, literal);
    }
  }
  // From the end to the front, so that places stay true.
  if (!added.empty()) {
    std::string insertion;
    const auto& members = document.members;
    // As the text's own members are written: the space after a comma (or a brace) and a colon.
    std::string after_comma, after_colon;
    if (!members.empty()) {
      const auto comma = members.size() > 1 ? text.find(',', members[0].value_end) : document.open;
      const size_t next = members.size() > 1 ? members[1].key_begin : members[0].key_begin;
      after_comma = text.substr(comma + 1, next - comma - 1);
      const size_t colon = text.rfind(':', members[0].value_begin);
      after_colon = text.substr(colon + 1, members[0].value_begin - colon - 1);
    }
    bool first = members.empty();
    for (const auto& change : added) {
      if (!first) insertion += "," + after_comma;
      first = false;
      insertion += fmt::format("\"{}\":{}{}", change.key, after_colon, change.value.dump());
    }
    text.insert(members.empty() ? document.open + 1 : members.back().value_end, insertion);
  }
  std::sort(replaced.begin(), replaced.end(), [](const auto& a, const auto& b) {
    return a.first->value_begin > b.first->value_begin;
  });
  for (const auto& [member, literal] : replaced) {
    text.replace(member->value_begin, member->value_end - member->value_begin, literal);
  }

  if (const auto edited = base::ParseOrderedJson(text); !edited.ok() || *edited != expected) {
    return MakeError(Code::kInternal, crd::reason::kHaConfigInvalid,
                     "ha.config: the edit did not have the expected result");
  }
  if (!document.in_string) return text;
  return ordered_json(text).dump();
}

// Leaves out what is so already, so that nothing to do changes no byte.
Result<std::string> Apply(const std::string& raw, const Document& document,
                          std::vector<Change> changes) {
  if (changes.empty()) return raw;
  return Edit(document, changes);
}

}  // namespace

Result<HaState> ReadHa(const std::string& raw) {
  OMS_ASSIGN(const Document document, Open(raw));
  HaState state;
  OMS_ASSIGN(state.enabled, Flag(document, kEnable));
  OMS_ASSIGN(state.perceive, Flag(document, kPerceive));
  OMS_ASSIGN(state.refetch_minutes, Minutes(document));
  state.connector_unguarded =
      OnByDefault(document, "enableJdbcWriter") && !OnByDefault(document, "enableConnector");
  return state;
}

Result<std::string> DisableHa(const std::string& raw) {
  OMS_ASSIGN(const Document document, Open(raw));
  OMS_ASSIGN(const bool enabled, Flag(document, kEnable));
  std::vector<Change> changes;
  if (enabled) changes.push_back({kEnable, false});
  return Apply(raw, document, std::move(changes));
}

Result<std::string> EnableHa(const std::string& raw_original, const HaPolicy& policy) {
  OMS_ASSIGN(const Document document, Open(raw_original));
  OMS_ASSIGN(const bool enabled, Flag(document, kEnable));
  OMS_ASSIGN(const bool perceive, Flag(document, kPerceive));
  OMS_ASSIGN(const int minutes, Minutes(document));
  std::vector<Change> changes;
  if (!enabled) changes.push_back({kEnable, true});
  if (perceive != policy.perceive) changes.push_back({kPerceive, policy.perceive});
  if (policy.refetch_at_least && minutes < policy.refetch_at_least->count()) {
    changes.push_back({kRefetch, policy.refetch_at_least->count()});
  }
  return Apply(raw_original, document, std::move(changes));
}

}  // namespace oms::product
