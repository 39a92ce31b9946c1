// Reads one HTTP/1 answer off a stream. Beast's parser is in the .cc only, and is fed by hand, so that
// it does not meet the stream's type.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/drivers/http/http_stream.h"

namespace oms::drivers::http {

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // Lower-case names.
  std::string body;
  bool cut = false;  // Here, as it is longer than was asked for.
};

struct ResponseOptions {
  // Asked once the header is there; an error ends the exchange with it.
  std::function<base::Status(const HttpResponse&)> on_header;
  // Takes the body of an answer with status 200 piece by piece, instead of HttpResponse::body.
  std::function<base::Status(std::string_view)> sink;
  // Of an answer that is not taken by `sink`. What becomes of a longer one: an error; null: it is
  // cut, and no more of it is read.
  uint64_t body_limit = 4u << 20;
  std::function<base::Error()> too_long;
};

enum class BadAnswer {
  kEndsEarly,  // One with a length, or in chunks. Of another one nobody can tell.
  kNoHttp,
};

// Any status is a success here. `sent`: what became of sending: its error is the answer, where no
// other one comes. `broken`: the error of an answer that is none.
base::Result<HttpResponse> ReadResponse(
    const base::Context& ctx, HttpStream& stream, const ResponseOptions& options,
    const base::Status& sent,
    const std::function<base::Error(BadAnswer kind, std::string_view why)>& broken);

}  // namespace oms::drivers::http
