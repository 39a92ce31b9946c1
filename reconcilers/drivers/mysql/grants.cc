#include "reconcilers/drivers/mysql/grants.h"

#include <algorithm>
#include <cctype>
#include <optional>

namespace oms::drivers::mysql {
namespace {

char Lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

std::string Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return std::string(text);
}

// Where `word` stands outside of quotes and brackets; npos: nowhere.
size_t Find(std::string_view text, std::string_view word, size_t from = 0) {
  char quote = 0;
  int depth = 0;
  for (size_t i = from; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (depth == 0 && text.substr(i, word.size()) == word) {
      return i;
    } else if (c == '`' || c == '\'' || c == '"') {
      quote = c;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')') {
      --depth;
    }
  }
  return std::string_view::npos;
}

// "SELECT, INSERT (`a`, `b`)": what is said of single columns is left out.
std::set<std::string> Privileges(std::string_view list) {
  std::set<std::string> names;
  while (!list.empty()) {
    const size_t comma = std::min(Find(list, ","), list.size());
    const std::string name = Trimmed(list.substr(0, comma));
    if (name.find('(') == std::string::npos) names.insert(name == "ALL" ? "ALL PRIVILEGES" : name);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return names;
}

// "`rm`.*" and "*.*"; nullopt: of a single table or routine.
std::optional<std::string> DatabaseOf(std::string_view object) {
  const size_t dot = Find(object, ".");
  if (dot == std::string_view::npos || Trimmed(object.substr(dot + 1)) != "*") return std::nullopt;
  std::string name = Trimmed(object.substr(0, dot));
  if (name.size() < 2 || name.front() != '`' || name.back() != '`') return name;
  std::string plain;
  for (size_t i = 1; i + 1 < name.size(); ++i) {
    plain += name[i];
    if (name[i] == '`') ++i;  // Doubled.
  }
  return plain;
}

bool HasWildcard(std::string_view pattern) {
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') {
      ++i;
    } else if (pattern[i] == '%' || pattern[i] == '_') {
      return true;
    }
  }
  return false;
}

}  // namespace

Grants::Grants(const std::vector<std::string>& lines, bool nearest_alone)
    : nearest_alone_(nearest_alone) {
  for (const auto& line : lines) Read(line);
}

void Grants::Read(std::string_view line) {
  constexpr std::string_view kGrant = "GRANT ";
  if (line.starts_with("SET DEFAULT ROLE")) return;
  const size_t on = Find(line, " ON ");
  if (!line.starts_with(kGrant) || on == std::string_view::npos) {
    certain_ = false;  // A role, or a REVOKE in part.
    return;
  }
  const size_t to = Find(line, " TO ", on + 4);
  const auto privileges = Privileges(line.substr(kGrant.size(), on - kGrant.size()));
  if (privileges.count("PROXY") != 0) return;
  if (to == std::string_view::npos) {
    certain_ = false;
    return;
  }
  if (auto database = DatabaseOf(line.substr(on + 4, to - on - 4)))
    grants_.push_back({*std::move(database), privileges});
}

bool Grants::Lacks(std::string_view privilege, std::string_view database) const {
  if (!certain_) return false;
  const auto gives = [&](const Grant& grant) {
    return grant.privileges.count("ALL PRIVILEGES") != 0 ||
           grant.privileges.count(std::string(privilege)) != 0;
  };
  bool nearest = false, has = false;
  for (const auto& grant : grants_) {
    if (grant.database == "*") {
      if (gives(grant)) return false;
    } else if (FitsDatabase(grant.database, database)) {
      const bool near = nearest_alone_ && !HasWildcard(grant.database);
      if (nearest && !near) continue;
      has = gives(grant) || (has && nearest == near);
      nearest = near;
    }
  }
  return !has;
}

bool FitsDatabase(std::string_view pattern, std::string_view database) {
  size_t p = 0, d = 0, star = std::string_view::npos, mark = 0;
  while (d < database.size()) {
    const bool escaped = p + 1 < pattern.size() && pattern[p] == '\\';
    const char c = p == pattern.size() ? '\0' : pattern[p + (escaped ? 1 : 0)];
    if (p < pattern.size() && !escaped && c == '%') {
      star = p++;
      mark = d;
    } else if (p < pattern.size() && ((!escaped && c == '_') || Lower(c) == Lower(database[d]))) {
      p += escaped ? 2 : 1;
      ++d;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      d = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '%') ++p;
  return p == pattern.size();
}

std::string QuotedUser(const std::string& current_user) {
  const size_t at = current_user.rfind('@');
  const auto quoted = [](std::string_view text) {
    std::string quote = "'";
    for (const char c : text)
      quote += c == '\'' || c == '\\' ? std::string{'\\', c} : std::string{c};
    return quote + "'";
  };
  if (at == std::string::npos) return quoted(current_user);
  return quoted(std::string_view(current_user).substr(0, at)) + "@" +
         quoted(std::string_view(current_user).substr(at + 1));
}

}  // namespace oms::drivers::mysql
