#include "reconcilers/drivers/http/http_response.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cctype>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace oms::drivers::http {
namespace {

namespace beast = boost::beast;
using base::Code;
using base::Context;
using base::Result;
using base::Status;
using beast::error_code;

constexpr size_t kBufferSize = 128u << 10;

// Beast's parser with the body handed on as it comes.
class ResponseParser final : public beast::http::basic_parser<false> {
 public:
  explicit ResponseParser(const ResponseOptions& options) : options_(options) {
    eager(true);
    // Not boost::none: Beast 1.74 compares a Content-Length with it, and finds it too long.
    body_limit(std::numeric_limits<std::uint64_t>::max());
  }

  // "100 Continue" and the like: the answer itself is still to come.
  bool interim() const { return response_.status / 100 == 1 && response_.status != 101; }
  HttpResponse& response() { return response_; }
  const std::optional<base::Error>& refused() const { return refused_; }

 private:
  void on_request_impl(beast::http::verb, beast::string_view, beast::string_view, int,
                       error_code&) override {}
  void on_response_impl(int code, beast::string_view, int, error_code&) override {
    response_.status = code;
  }
  void on_field_impl(beast::http::field, beast::string_view name, beast::string_view value,
                     error_code&) override {
    std::string key(name.data(), name.size());
    std::transform(key.begin(), key.end(), key.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    response_.headers[key].assign(value.data(), value.size());
  }
  void on_header_impl(error_code& ec) override {
    if (options_.on_header && !interim()) Refuse(options_.on_header(response_), ec);
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(beast::string_view body, error_code& ec) override {
    Take({body.data(), body.size()}, ec);
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, error_code& ec) override {
    Take({body.data(), body.size()}, ec);
    return body.size();
  }
  void on_finish_impl(error_code&) override {}

  void Take(std::string_view piece, error_code& ec) {
    if (piece.empty()) return;
    if (options_.sink && response_.status == 200) {
      Refuse(options_.sink(piece), ec);
    } else if (const uint64_t room = options_.body_limit - response_.body.size();
               piece.size() > room) {
      if (options_.too_long) return Refuse(options_.too_long(), ec);
      response_.body.append(piece.substr(0, static_cast<size_t>(room)));
      response_.cut = true;
      ec = beast::http::error::body_limit;
    } else {
      response_.body.append(piece);
    }
  }
  void Refuse(const Status& status, error_code& ec) {
    if (status.ok()) return;
    refused_ = status.error();
    ec = beast::http::error::bad_value;  // Any error makes the parser stop; refused_ says which.
  }

  const ResponseOptions& options_;
  HttpResponse response_;
  std::optional<base::Error> refused_;
};

}  // namespace

Result<HttpResponse> ReadResponse(
    const Context& ctx, HttpStream& stream, const ResponseOptions& options, const Status& sent,
    const std::function<base::Error(BadAnswer, std::string_view)>& broken) {
  std::optional<ResponseParser> parser(std::in_place, options);
  std::vector<char> buffer(kBufferSize);
  size_t filled = 0;
  bool end = false;
  while (!parser->is_done() && !end) {
    auto got = stream.Read(ctx, buffer.data() + filled, buffer.size() - filled);
    if (!got.ok()) return sent.ok() || got.Is(Code::kDenied) ? got.error() : sent.error();
    end = got.value() == 0;
    filled += got.value();
    // put() may leave bytes (a header or a chunk's head that is not complete): they stay in front.
    size_t used = 0;
    while (used < filled && !parser->is_done()) {
      error_code ec;
      const size_t n =
          parser->put(boost::asio::const_buffer(buffer.data() + used, filled - used), ec);
      if (parser->refused()) return *parser->refused();
      if (parser->response().cut) return std::move(parser->response());
      used += n;
      if (ec == beast::http::error::need_more) break;
      if (ec) return broken(BadAnswer::kNoHttp, ec.message());
      if (parser->is_done() && parser->interim()) parser.emplace(options);
      if (n == 0) break;
    }
    std::copy(buffer.begin() + static_cast<std::ptrdiff_t>(used),
              buffer.begin() + static_cast<std::ptrdiff_t>(filled), buffer.begin());
    filled -= used;
    if (filled == buffer.size()) return broken(BadAnswer::kNoHttp, "a header that does not end");
  }
  if (!parser->is_done()) {
    if (!parser->got_some())
      return sent.ok() ? broken(BadAnswer::kEndsEarly, "no answer came") : sent.error();
    error_code ec;
    parser->put_eof(ec);  // The end of a body without length is the end of the stream.
    if (ec) return broken(BadAnswer::kEndsEarly, "it ended in the middle");
  }
  return std::move(parser->response());
}

}  // namespace oms::drivers::http
