#include "reconcilers/drivers/mysql/schema_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <set>

#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/mysql_session.h"

namespace oms::drivers::mysql {

using base::Code;
using base::MakeError;
using base::Status;

bool ColumnTypeIn(const std::string& type, std::initializer_list<const char*> types) {
  return std::any_of(types.begin(), types.end(), [&](const char* t) { return type == t; });
}

ports::DumpObstacles ObstaclesOf(const std::string& database, const std::vector<OddColumn>& columns,
                                 bool mariadb) {
  const auto named = [&](const OddColumn& column) {
    return fmt::format("{}.{}.{}", database, column.table, column.name);
  };
  const auto says_generated = [](const OddColumn& column) {
    return column.extra.find("GENERATED") != std::string::npos;
  };
  std::set<std::string> listed;  // Tables whose columns mydumper names one by one.
  for (const auto& column : columns) {
    if (says_generated(column)) listed.insert(column.table);
  }
  ports::DumpObstacles found;
  for (const auto& column : columns) {
    if (column.generated) {
      if (!mariadb && found.no_mysqldump.empty()) {
        found.no_mysqldump = fmt::format(
            "{} is a generated column, and a mysqldump backup of it could not be restored on this "
            "server",
            named(column));
      }
    } else if (found.no_mydumper.empty() && says_generated(column)) {
      found.no_mydumper = fmt::format(
          "the default of {} is an expression, so mydumper treats it as a generated column and "
          "omits it",
          named(column));
    } else if (found.no_mydumper.empty() && listed.count(column.table) == 0) {
      found.no_mydumper =
          fmt::format("{} is an INVISIBLE column, which mydumper omits", named(column));
    }
  }
  return found;
}

Status CheckDefinition(std::string_view kind, const std::string& database, const std::string& name,
                       const std::string& text) {
  constexpr std::string_view kCreate = "CREATE";
  bool begins = text.size() > kCreate.size();
  for (size_t i = 0; begins && i < kCreate.size(); ++i) {
    begins = std::toupper(static_cast<unsigned char>(text[i])) == kCreate[i];
  }
  if (begins && std::isspace(static_cast<unsigned char>(text[kCreate.size()])) != 0)
    return base::Ok();
  return MakeError(Code::kTerminal, crd::reason::kDumpUnsupported,
                   fmt::format("the definition that the server returns for {} {}.{} does not begin "
                               "with CREATE, but a restore would run it",
                               kind, database, name));
}

std::string SumExpression(const std::vector<SumColumn>& columns) {
  std::string nulls, values;
  for (const auto& column : columns) {
    const std::string name = Quote(column.name);
    nulls += (nulls.empty() ? "" : ",") + fmt::format("ISNULL({})", name);
    if (ColumnTypeIn(column.type, {"char", "varchar", "binary", "varbinary", "enum", "set", "bit",
                                   "uuid", "inet4", "inet6"})) {
      values += fmt::format(",HEX({})", name);
    } else if (ColumnTypeIn(column.type, {"tinyblob", "blob", "mediumblob", "longblob", "tinytext",
                                          "text", "mediumtext", "longtext"})) {
      values += fmt::format(",LENGTH({0}),CRC32({0})", name);
    } else if (column.type == "json") {
      values += fmt::format(",LENGTH(CAST({0} AS CHAR)),CRC32(CAST({0} AS CHAR))", name);
    } else if (ColumnTypeIn(column.type,
                            {"geometry", "point", "linestring", "polygon", "multipoint",
                             "multilinestring", "multipolygon", "geometrycollection"})) {
      values += fmt::format(",HEX({})", name);
    } else {
      values += "," + name;
    }
  }
  return nulls + values;
}

uint64_t AutoIncrementOf(const std::string& create) {
  // The table's options come after the last bracket that closes the columns; a comment may follow.
  const size_t options = create.rfind("\n)");
  size_t at = create.find("AUTO_INCREMENT", options == std::string::npos ? 0 : options);
  if (at == std::string::npos) return 0;
  at += std::string("AUTO_INCREMENT").size();
  while (at < create.size() && (create[at] == ' ' || create[at] == '=')) ++at;
  uint64_t value = 0;
  for (; at < create.size() && create[at] >= '0' && create[at] <= '9'; ++at) {
    value = value * 10 + static_cast<uint64_t>(create[at] - '0');
  }
  return value;
}

namespace {

// Cuts `word`, blanks, '=', blanks and what `skip` takes, once, if it stands before `limit`.
void Cut(std::string& text, const std::string& word, size_t from,
         const std::function<size_t(const std::string&, size_t)>& skip) {
  const size_t at = text.find(word, from);
  if (at == std::string::npos) return;
  size_t end = at + word.size();
  while (end < text.size() && (text[end] == ' ' || text[end] == '=')) ++end;
  end = skip(text, end);
  while (end < text.size() && text[end] == ' ') ++end;
  text.erase(at, end - at);
}

}  // namespace

std::string NormalizeCreate(const std::string& create, const std::string& database) {
  std::string text = create;
  const bool table = text.starts_with("CREATE TABLE");
  if (table) {
    const size_t options = text.rfind("\n)");
    if (options != std::string::npos) {
      Cut(text, "AUTO_INCREMENT", options, [](const std::string& t, size_t at) {
        while (at < t.size() && t[at] >= '0' && t[at] <= '9') ++at;
        return at;
      });
    }
  } else {
    // Only in the head, which is before the object's own word.
    if (text.find("DEFINER") < 80) {
      Cut(text, "DEFINER", 0, [](const std::string& t, size_t at) {
        // `user`@`host`, or user@host without quotes (OceanBase, triggers).
        bool quoted = false;
        for (; at < t.size(); ++at) {
          if (t[at] == '`') quoted = !quoted;
          if (t[at] == ' ' && !quoted) break;
        }
        return at;
      });
    }
    for (const char* word : {"ALGORITHM=UNDEFINED ", "SQL SECURITY DEFINER "}) {
      const size_t at = text.find(word);
      if (at < 80) text.erase(at, std::string(word).size());
    }
    const std::string own = Quote(database) + ".";
    for (size_t at = text.find(own); at != std::string::npos; at = text.find(own, at)) {
      text.erase(at, own.size());
    }
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n' || text.back() == ';')) {
    text.pop_back();
  }
  return text;
}

}  // namespace oms::drivers::mysql
