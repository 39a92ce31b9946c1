#include "reconcilers/drivers/mysql/sql_words.h"

#include <fmt/format.h>

#include <algorithm>

#include "crd/reasons.h"

namespace oms::drivers::mysql {

using base::Code;
using base::MakeError;
using base::Status;

Status CheckIdentifier(std::string_view name) {
  const bool good =
      !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '$' || c == '-';
      });
  if (good) return base::Ok();
  return MakeError(Code::kInvalid, crd::inner_reason::kInvalidName,
                   fmt::format("\"{}\" is not an accepted name of a database or table (letters, "
                               "digits, _ $ -, at most 64)",
                               name));
}

std::string Quote(std::string_view name) {
  std::string quoted = "`";
  for (const char c : name) {
    quoted += c;
    if (c == '`') quoted += c;
  }
  return quoted + "`";
}

std::string ServerName(const ports::DbServerAddress& address) { return address.Name(); }

std::string WithoutSecret(std::string text, const std::string& secret) {
  constexpr std::string_view kInstead = "***";
  if (secret.size() < 3) return text;
  for (size_t at = text.find(secret); at != std::string::npos;
       at = text.find(secret, at + kInstead.size())) {
    text.replace(at, secret.size(), kInstead);
  }
  return text;
}

base::Error WouldShowPassword(std::string_view server, std::string_view how) {
  return MakeError(Code::kDenied, crd::reason::kMetaDbDenied,
                   fmt::format("MetaDB {}: this login would expose the password to the server and "
                               "to anyone on the network path: {}; set spec.metaDB.connect.tls",
                               server, how));
}

base::Error Classify(int number, std::string_view message, std::string_view server) {
  const auto error = [&](Code code, std::string reason) {
    return MakeError(code, std::move(reason),
                     fmt::format("MetaDB {}: {} (error {})", server, message, number));
  };
  switch (number) {
    case 1044:  // access to a database
    case 1045:  // wrong password
    case 1142:  // command on a table
    case 1143:  // on a column
    case 1095:  // not the owner of a thread
    case 1227:  // a missing privilege
    case 1370:  // on a routine
    case 1410:  // may not grant
    case 1698:  // no password
      return error(Code::kDenied, crd::reason::kMetaDbDenied);
    case 2026: return error(Code::kDenied, crd::reason::kMetaDbTlsFailed);
    case 1046:  // no database selected
    case 1049:  // unknown database
    case 1051:  // unknown table in DROP
    case 1094:  // unknown thread
    case 1146:  // no such table
    case 1008:  // no such database in DROP
    case 1305:  // no such routine
    case 1360:  // no such trigger
      return error(Code::kNotFound, crd::reason::kMetaDbNotFound);
    case 1007:
    case 1050:
    case 1062: return error(Code::kAlreadyExists, "MetaDBAlreadyExists");
    case 1040:  // too many connections
    case 1053:  // shutdown
    case 1080:  // forced close
    case 1129:  // host blocked
    case 1152:
    case 1158:
    case 1159:
    case 1160:
    case 1161:
    case 1927:  // MariaDB: connection was killed
    case 4031:  // MySQL 8: ended, as it was idle for wait_timeout
    case 2001:
    case 2002:
    case 2003:
    case 2005:
    case 2006:
    case 2012:
    case 2013:
    case 2055: return error(Code::kTransient, crd::reason::kMetaDbUnreachable);
    case 1205:
    case 1213:
    case 1317:
    case 6001:  // OceanBase: two writes of one row
    case 6005:  // OceanBase: the row is locked
    case 6235:  // OceanBase: the same as 6001, under REPEATABLE READ
      return error(Code::kTransient, crd::reason::kMetaDbBusy);
    case 1021:  // disk full
    case 1041:  // out of memory
    case 1047:  // Galera: not ready for this command
    case 1203:  // too many connections of this user
    case 1226:  // more than this user may, in this hour
    case 1290:  // --read-only: while its role changes
    case 1836:  // the same, of MySQL
      return error(Code::kTransient, crd::reason::kMetaDbError);
    case 1969:  // MariaDB: max_statement_time
    case 3024:  // MySQL: the same
    case 4012:  // OceanBase: ob_query_timeout
    case 6210:  // OceanBase: ob_trx_timeout
    case 6212: return error(Code::kTimeout, crd::reason::kMetaDbTimeout);
    default:
      // OceanBase's own errors are mostly of the kind "not now": not master, schema being
      // refreshed, memory.
      if (number >= 4000 && number < 10000)
        return error(Code::kTransient, crd::reason::kMetaDbError);
      return error(Code::kTerminal, crd::reason::kMetaDbError);
  }
}

}  // namespace oms::drivers::mysql
