#include "reconcilers/drivers/dump/dump_scanner.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cstdint>
#include <cstring>

#include "crd/reasons.h"

namespace oms::drivers::dump {

using base::Code;
using base::MakeError;
using base::Status;
using ports::DumpedTable;

namespace {

// An INSERT names all columns of its table; of other statements the beginning is enough.
constexpr size_t kMostHead = 512 << 10;
constexpr std::string_view kInsert = "INSERT ";

bool Blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

bool InWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper;
}

// Reads a head: words in capitals, signs, and names in backticks.
class HeadReader {
 public:
  explicit HeadReader(std::string_view head) : rest_(head) {}

  bool Take(std::string_view word) {
    SkipBlanks();
    if (rest_.size() < word.size() || Upper(rest_.substr(0, word.size())) != word) return false;
    const char next = rest_.size() > word.size() ? rest_[word.size()] : ' ';
    if (InWord(word.back()) && InWord(next)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  // False: no name stands here, or one without an end.
  bool TakeName(std::string& name) {
    SkipBlanks();
    if (!rest_.starts_with('`')) return false;
    name.clear();
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] != '`') {
        name += rest_[i];
      } else if (i + 1 < rest_.size() && rest_[i + 1] == '`') {
        name += rest_[i++];
      } else {
        rest_.remove_prefix(i + 1);
        return true;
      }
    }
    return false;
  }
  bool AtEnd() {
    SkipBlanks();
    return rest_.empty();
  }
  std::string_view rest() const { return rest_; }

 private:
  void SkipBlanks() {
    while (!rest_.empty() && Blank(rest_.front())) rest_.remove_prefix(1);
  }
  std::string_view rest_;
};

// "/*!40101 SET NAMES binary*/" is what the server runs of it. False: a comment without an end.
bool Unwrap(std::string_view& head) {
  for (const std::string_view mark : {"/*!", "/*M!"}) {
    if (!head.starts_with(mark)) continue;
    head.remove_prefix(mark.size());
    while (!head.empty() && std::isdigit(static_cast<unsigned char>(head.front())) != 0)
      head.remove_prefix(1);
    while (!head.empty() && Blank(head.back())) head.remove_suffix(1);
    if (!head.ends_with("*/")) return false;
    head.remove_suffix(2);
    break;
  }
  return true;
}

// The head of an INSERT, before the bracket of its first row.
bool EndsInValues(std::string_view head) {
  constexpr std::string_view kValues = "VALUES";
  if (head.ends_with(' ')) head.remove_suffix(1);
  return head.size() > kValues.size() &&
         Upper(head.substr(head.size() - kValues.size())) == kValues &&
         !InWord(head[head.size() - kValues.size() - 1]);
}

// Of the session, and no more than constants and variables.
bool MereSet(std::string_view text) {
  constexpr std::array<std::string_view, 5> kMore = {"(", "GLOBAL", "PERSIST", "PASSWORD", ":="};
  const std::string upper = Upper(text);
  return std::none_of(kMore.begin(), kMore.end(),
                      [&](std::string_view word) { return upper.find(word) != std::string::npos; });
}

// Bytes that mean something between the brackets of a row.
constexpr std::array<bool, 256> Marks(std::string_view bytes) {
  std::array<bool, 256> marks{};
  for (const char c : bytes) marks[static_cast<unsigned char>(c)] = true;
  return marks;
}
constexpr auto kInRow = Marks("'\"`(),;-/#*");

// Where the first of two bytes stands; `end`: nowhere. Eight at a time: most bytes of a dump are
// looked at here.
const char* FirstOf(const char* at, const char* end, char a, char b) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHighs = 0x8080808080808080;
  const uint64_t all_a = kOnes * static_cast<unsigned char>(a);
  const uint64_t all_b = kOnes * static_cast<unsigned char>(b);
  // The high bit of each byte that is 0; of those after the first one it may be wrong.
  const auto zeros = [](uint64_t word) { return (word - kOnes) & ~word & kHighs; };
  if constexpr (std::endian::native == std::endian::little) {
    for (; end - at >= 8; at += 8) {
      uint64_t word;
      std::memcpy(&word, at, sizeof word);
      const uint64_t found = zeros(word ^ all_a) | zeros(word ^ all_b);
      if (found != 0) return at + std::countr_zero(found) / 8;
    }
  }
  while (at != end && *at != a && *at != b) ++at;
  return at;
}

}  // namespace

void DumpScanner::Feed(std::string_view bytes) {
  piece_ = bytes.data();
  const char* at = piece_;
  const char* const end = at + bytes.size();
  while (at != end) {
    now_ = at;
    // What was only the beginning of something else is text after all, and `at` stays.
    const auto text = [&](std::string_view chars) {
      lex_ = Lex::kText;
      for (const char c : chars) Char(c);
    };
    switch (lex_) {
      case Lex::kText: at = Text(at, end); break;
      case Lex::kEscaped:
        lex_ = Lex::kQuoted;
        if (at_ == At::kHead) Word({at, 1});
        ++at;
        break;
      case Lex::kQuoted: at = Quoted(at, end); break;
      case Lex::kLine: {
        const void* line = std::memchr(at, '\n', static_cast<size_t>(end - at));
        at = line == nullptr ? end : static_cast<const char*>(line);
        if (line != nullptr) lex_ = Lex::kText;
        break;
      }
      case Lex::kBlock:
        if (*at++ == '*') lex_ = Lex::kBlockStar;
        break;
      case Lex::kBlockStar:
        if (*at != '*') lex_ = *at == '/' ? Lex::kText : Lex::kBlock;
        ++at;
        break;
      case Lex::kDash:
        if (*at == '-') {
          lex_ = Lex::kDashDash;
          ++at;
        } else {
          text("-");
        }
        break;
      case Lex::kDashDash:
        if (Blank(*at)) {
          lex_ = Lex::kLine;
        } else {
          text("--");
        }
        break;
      case Lex::kSlash:
        if (*at == '*') {
          lex_ = Lex::kSlashStar;
          ++at;
        } else {
          text("/");
        }
        break;
      case Lex::kSlashStar:
        if (*at == '!') {
          text("/*!");
          conditional_ = true;
          ++at;
        } else if (*at == 'M') {
          lex_ = Lex::kSlashStarM;
          ++at;
        } else {
          lex_ = Lex::kBlock;
        }
        break;
      case Lex::kSlashStarM:
        if (*at == '!') {
          text("/*M!");
          conditional_ = true;
          ++at;
        } else {
          lex_ = Lex::kBlock;
        }
        break;
      case Lex::kStar:
        if (*at == '/' && conditional_) {
          conditional_ = false;
          text("*/");
          ++at;
        } else {
          text("*");
        }
        break;
    }
  }
  passed_ += bytes.size();
}

// To the next byte that is no text, or that ends the piece.
const char* DumpScanner::Text(const char* at, const char* end) {
  while (at != end) {
    if (at_ == At::kRow) {
      const char* const from = at;
      while (at != end && !kInRow[static_cast<unsigned char>(*at)]) ++at;
      if (at != from) {
        empty_row_ = empty_row_ && std::all_of(from, at, Blank);
        if (at == end) return at;
      }
    }
    now_ = at;
    const char c = *at++;
    switch (c) {
      case '\'':
      case '"':
      case '`':
        quote_ = c;
        lex_ = Lex::kQuoted;
        Char(c);
        return at;
      case '-': lex_ = Lex::kDash; return at;
      case '#': lex_ = Lex::kLine; return at;
      case '/': lex_ = Lex::kSlash; return at;
      case '*': lex_ = Lex::kStar; return at;
      default: Char(c);
    }
  }
  return at;
}

// To the closing quote. Two quotes in a row are an end and a beginning: the same text, to us.
const char* DumpScanner::Quoted(const char* at, const char* end) {
  const char* const from = at;
  const char escape = quote_ == '`' ? quote_ : '\\';
  while (true) {
    at = FirstOf(at, end, quote_, escape);
    if (at == end) break;
    if (*at++ == quote_) {
      lex_ = Lex::kText;
      break;
    }
    if (at == end) {
      lex_ = Lex::kEscaped;
      break;
    }
    ++at;
  }
  if (at_ == At::kHead) Word({from, static_cast<size_t>(at - from)});
  return at;
}

void DumpScanner::Char(char c) {
  switch (at_) {
    case At::kGround:
      if (Blank(c) || c == ';') return;
      BeginStatement();
      [[fallthrough]];
    case At::kHead:
      if (c == ';') return EndStatement();
      if (c == '(' && insert_ && EndsInValues(head_)) return BeginRows();
      if (!Blank(c)) {
        Word({&c, 1});
      } else if (!head_.ends_with(' ')) {
        Word(" ");
        if (head_.size() == kInsert.size()) insert_ = Upper(head_) == kInsert;
      }
      return;
    case At::kRow:
      if (c == '(') {
        ++depth_;
      } else if (c == ')' && --depth_ == 0) {
        return EndRow();
      } else if (c == ',' && depth_ == 1) {
        ++commas_;
      } else if (c == ';' || c == '`') {
        return NotUnderstood();
      }
      empty_row_ = false;
      return;
    case At::kBetween:
      if (c == ';') return EndStatement();
      if (c == ',') {
        at_ = At::kNext;
      } else if (!Blank(c)) {
        NotUnderstood();
      }
      return;
    case At::kNext:
      if (c == '(') {
        at_ = At::kRow;
        depth_ = 1;
        commas_ = 0;
        empty_row_ = true;
      } else if (!Blank(c)) {
        NotUnderstood();
      }
      return;
  }
}

void DumpScanner::Word(std::string_view text) {
  const size_t room = kMostHead - std::min(kMostHead, head_.size());
  cut_ = cut_ || text.size() > room;
  head_.append(text.substr(0, room));
}

void DumpScanner::BeginStatement() {
  at_ = At::kHead;
  head_.clear();
  cut_ = insert_ = false;
  table_ = nullptr;
  begun_ = passed_ + static_cast<uint64_t>(now_ - piece_);
}

// "INSERT INTO `t` (`a`,`b`) VALUES" has been read, and a bracket opens.
void DumpScanner::BeginRows() {
  HeadReader head(head_);
  std::string name;
  std::vector<std::string> columns;
  bool understood =
      !cut_ && head.Take("INSERT") && head.Take("INTO") && head.TakeName(name) && !name.empty();
  if (understood && head.Take("(")) {
    std::string column;
    do {
      understood = head.TakeName(column);
      columns.push_back(column);
    } while (understood && head.Take(","));
    understood = understood && head.Take(")");
  }
  if (!understood || !head.Take("VALUES") || !head.AtEnd()) return NotUnderstood();
  const auto [found, fresh] = tables_.try_emplace(name);
  table_ = &found->second;
  if (fresh) {
    table_->name = name;
    table_->columns = std::move(columns);
  } else if (table_->columns != columns && uneven_.empty()) {
    uneven_ = name;
  }
  beyond_schema_ = true;
  at_ = At::kRow;
  depth_ = 1;
  commas_ = 0;
  empty_row_ = true;
}

void DumpScanner::EndRow() {
  const uint64_t values = empty_row_ ? 0 : commas_ + 1;
  if (table_->rows == 0) {
    table_->values = values;
  } else if (table_->values != values && uneven_.empty()) {
    uneven_ = table_->name;
  }
  ++table_->rows;
  at_ = At::kBetween;
}

void DumpScanner::EndStatement() {
  const bool rows = at_ == At::kBetween;
  at_ = At::kGround;
  if (rows) {
    const uint64_t bytes = passed_ + static_cast<uint64_t>(now_ - piece_) - begun_;
    table_->longest = std::max(table_->longest, bytes);
    return;
  }
  std::string_view text = head_;
  if (!Unwrap(text)) return Foreign(head_);
  HeadReader head(text);
  std::string name;
  if (head.Take("CREATE")) {
    if (!head.Take("TABLE") || !head.TakeName(name)) return Foreign(head_);
    creates_.push_back(name);
    return;
  }
  if (head.Take("SET")) {
    if (cut_ || !MereSet(head.rest())) Foreign(head_);
    return;
  }
  beyond_schema_ = true;
  bool known = false;
  if (head.Take("DROP")) {
    known = head.Take("TABLE") && head.Take("IF") && head.Take("EXISTS") && head.TakeName(name);
  } else if (head.Take("LOCK")) {
    known = head.Take("TABLES") && head.TakeName(name) && head.Take("WRITE");
  } else if (head.Take("UNLOCK")) {
    known = head.Take("TABLES");
  } else if (head.Take("ALTER")) {
    known = head.Take("TABLE") && head.TakeName(name) &&
            (head.Take("DISABLE") || head.Take("ENABLE")) && head.Take("KEYS");
  }
  if (!known || !head.AtEnd()) Foreign(head_);
}

// An INSERT that goes on otherwise than the tools write one.
void DumpScanner::NotUnderstood() {
  Foreign(head_);
  at_ = At::kHead;  // To the end of the statement, wherever that is.
  head_ = "?";
  insert_ = false;
}

void DumpScanner::Foreign(std::string_view head) {
  if (!foreign_.empty()) return;
  constexpr size_t kShown = 80;
  foreign_ = head.substr(0, kShown);
  for (char& c : foreign_) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
  }
  if (head.size() > kShown) foreign_ += "...";
  if (foreign_.empty()) foreign_ = "?";
}

Status DumpScanner::Finish() {
  if (!foreign_.empty()) {
    return MakeError(
        Code::kTerminal, crd::reason::kDumpUnsupported,
        fmt::format("it contains \"{}\", which a dump of a table never has", foreign_));
  }
  // A last line without its end may be a comment, or "--" that was to begin one.
  const bool whole = at_ == At::kGround && !conditional_ &&
                     (lex_ == Lex::kText || lex_ == Lex::kLine || lex_ == Lex::kDashDash);
  if (!whole) {
    return MakeError(Code::kTransient, crd::reason::kDumpIncomplete,
                     "it ends in the middle of a statement");
  }
  if (!uneven_.empty()) {
    return MakeError(Code::kTransient, crd::reason::kDumpIncomplete,
                     fmt::format("its rows of {} do not all have the same columns", uneven_));
  }
  return base::Ok();
}

bool AddTable(const DumpedTable& more, DumpedTable& into) {
  if (into.rows == 0) {
    into = more;
    return true;
  }
  if (more.rows != 0 && (more.columns != into.columns || more.values != into.values)) return false;
  into.rows += more.rows;
  into.longest = std::max(into.longest, more.longest);
  return true;
}

}  // namespace oms::drivers::dump
