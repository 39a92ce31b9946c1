// Names as SQL has them, and a server's errors in our words. Pure.
#pragma once

#include <string>
#include <string_view>

#include "controller/base/result.h"
#include "reconcilers/ports/db_server.h"

namespace oms::drivers::mysql {

// [A-Za-z0-9_$-]{1,64}: what we agree to call a database or a table. kInvalid otherwise.
base::Status CheckIdentifier(std::string_view name);
// The name in backquotes, a backquote in it doubled. For names that the server itself told us.
std::string Quote(std::string_view name);

// Of a login without TLS that would show the password. `how`: what the server asked for.
base::Error WouldShowPassword(std::string_view server, std::string_view how);

// A server's error number in our words.
base::Error Classify(int number, std::string_view message, std::string_view server);

// The text with "***" for the secret. One of less than three characters stays: it cannot be told
// from ordinary text.
std::string WithoutSecret(std::string text, const std::string& secret);

// host:port, as DbConnection::server says it.
std::string ServerName(const ports::DbServerAddress& address);

}  // namespace oms::drivers::mysql
