#include "reconcilers/drivers/dump/dump_objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <utility>

#include "crd/reasons.h"
#include "reconcilers/drivers/dump/dump_files.h"
#include "reconcilers/drivers/mysql/schema_text.h"

namespace oms::drivers::dump {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;
using ports::DumpRequest;

namespace {

constexpr char kModeLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_, ";

Result<CreatedObject> Object(const Context& ctx, mysql::MysqlSession& session,
                             const std::string& database, std::string_view kind,
                             const std::string& name) {
  OMS_ASSIGN(auto rows,
             session.Query(ctx, fmt::format("SHOW CREATE {} {}.{}", kind, mysql::Quote(database),
                                            mysql::Quote(name))));
  // view: name, text, charset, collation. The others: name, sql_mode, text, charset, collation.
  const size_t column = kind == "view" ? 1 : 2;
  if (rows.empty() || rows[0].size() <= column || !rows[0][column]) {
    return MakeError(
        Code::kDenied, crd::reason::kMetaDbDenied,
        fmt::format(
            "no permission to read the definition of {} {}; it would be missing from the backup",
            kind, name));
  }
  const auto& row = rows[0];
  std::string mode = kind == "view" ? "" : row[1].value_or("");
  std::erase(mode, '\'');
  if (mode.find_first_not_of(kModeLetters) != std::string::npos) {
    return MakeError(Code::kTerminal, crd::reason::kDumpUnsupported,
                     fmt::format("{} {}.{} has an invalid sql_mode", kind, database, name));
  }
  // What a comparison of two literals in it means. (OceanBase says "utf8mb4" of triggers.)
  const std::string collation = row.size() > column + 2 ? row[column + 2].value_or("") : "";
  const bool known = collation.starts_with("utf8mb4_") && mysql::CheckIdentifier(collation).ok();
  std::string text = mysql::NormalizeCreate(*row[column], database);
  OMS_TRY(mysql::CheckDefinition(kind, database, name, text));
  return CreatedObject{name, std::move(text),
                       fmt::format("SET NAMES utf8mb4{};\nSET sql_mode = '{}';\n",
                                   known ? " COLLATE " + collation : "", mode)};
}

}  // namespace

Result<std::vector<std::string>> Names(const Context& ctx, mysql::MysqlSession& session,
                                       std::string_view view, std::string_view schema,
                                       std::string_view name, std::string_view and_also,
                                       const std::string& database) {
  OMS_ASSIGN(auto rows,
             session.Query(ctx,
                           fmt::format("SELECT {} FROM information_schema.{} WHERE {} = ? {}", name,
                                       view, schema, and_also),
                           {database}));
  std::vector<std::string> names;
  for (const auto& row : rows) names.push_back(row.at(0).value_or(""));
  std::sort(names.begin(), names.end());
  return names;
}

Status WriteObjects(const Context& ctx, mysql::MysqlSession& session, const DumpRequest& request,
                    const std::vector<std::string>& views) {
  const auto routines = [&](std::string_view kind) {
    return Names(ctx, session, "routines", "routine_schema", "routine_name",
                 fmt::format("AND LOWER(routine_type) = '{}'", kind), request.database);
  };
  OMS_ASSIGN(const auto functions, routines("function"));
  OMS_ASSIGN(const auto procedures, routines("procedure"));
  std::vector<CreatedObject> objects;
  const auto add = [&](std::string_view kind, const std::vector<std::string>& names) -> Status {
    for (const auto& name : names) {
      OMS_ASSIGN(auto object, Object(ctx, session, request.database, kind, name));
      objects.push_back(std::move(object));
    }
    return base::Ok();
  };
  OMS_TRY(add("view", views));
  OMS_TRY(add("function", functions));
  OMS_TRY(add("procedure", procedures));
  objects = InCreationOrder(std::move(objects));
  // Last, and several of one table and event in the order in which they fire.
  OMS_ASSIGN(auto rows,
             session.Query(ctx,
                           "SELECT trigger_name FROM information_schema.triggers WHERE "
                           "trigger_schema = ? ORDER BY event_object_table, action_timing, "
                           "event_manipulation, action_order, trigger_name",
                           {request.database}));
  std::vector<std::string> triggers;
  for (const auto& row : rows) triggers.push_back(row.at(0).value_or(""));
  OMS_TRY(add("trigger", triggers));

  OMS_ASSIGN(auto file, NewFile::Create(request.folder / (request.database + "-objects.sql")));
  OMS_TRY(file->Write(ObjectsText(request.database, objects)));
  return file->Close();
}

std::string ObjectsText(const std::string& database, const std::vector<CreatedObject>& objects) {
  std::string delimiter = "$$oms$$";
  const auto in_a_text = [&](const CreatedObject& object) {
    return object.text.find(delimiter) != std::string::npos;
  };
  for (int n = 1; std::any_of(objects.begin(), objects.end(), in_a_text); ++n) {
    delimiter = fmt::format("$$oms{}$$", n);
  }
  std::string text = fmt::format(
      "-- Views, routines and triggers of `{}`, for the mysql client.\nSET NAMES utf8mb4;\n",
      database);
  for (const auto& object : objects) {
    text += fmt::format("{0}DELIMITER {1}\n{2}\n{1}\nDELIMITER ;\n", object.settings, delimiter,
                        object.text);
  }
  return text + fmt::format("-- Completed: {}\n", objects.size());
}

std::vector<CreatedObject> InCreationOrder(std::vector<CreatedObject> objects) {
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  };
  const auto in_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || (c & 0x80) != 0;
  };
  const auto names = [&](const std::string& text, const std::string& name) {
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
      const size_t end = at + name.size();
      if ((at == 0 || !in_word(text[at - 1])) && (end == text.size() || !in_word(text[end]))) {
        return true;
      }
    }
    return false;
  };
  std::vector<std::string> texts, own;
  for (const auto& object : objects) {
    texts.push_back(lower(object.text));
    own.push_back(lower(object.name));
  }
  std::vector<CreatedObject> ordered;
  std::vector<bool> seen(objects.size());
  const std::function<void(size_t)> visit = [&](size_t i) {
    if (seen[i]) return;
    seen[i] = true;
    for (size_t j = 0; j < objects.size(); ++j) {
      if (j != i && names(texts[i], own[j])) visit(j);
    }
    ordered.push_back(std::move(objects[i]));
  };
  for (size_t i = 0; i < objects.size(); ++i) visit(i);
  return ordered;
}

}  // namespace oms::drivers::dump
