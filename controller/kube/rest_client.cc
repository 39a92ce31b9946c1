#include "controller/kube/rest_client.h"

// The order matters: Boost 1.74's Asio needs <utility> first under C++20.
#include <utility>
// clang-format off
#include <cpprest/containerstream.h>
#include <cpprest/http_client.h>
#include <pplx/threadpool.h>
// clang-format on
#include <fmt/format.h>

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "controller/base/json.h"
#include "controller/base/sha256.h"
#include "controller/base/tls.h"
#include "controller/kube/credentials.h"
#include "controller/kube/exec_credential.h"
#include "controller/kube/watch_decoder.h"

namespace oms::kube {
namespace {

using base::Code;
using base::MakeError;
using nlohmann::json;
namespace http = web::http;

// A wait longer than this is left to the caller's own backoff.
constexpr base::Duration kLongestRetryAfter = std::chrono::seconds(30);

boost::asio::io_service& PoolService() {
  return crossplat::threadpool::shared_instance().service();
}

// Ends a request when the context is stopped or its deadline has come. The cancel itself runs on
// the pool's only thread: from another it can crash in a TLS handshake.
class CancelScope {
 public:
  enum class Cause { kNone, kStopped, kDeadline, kNoReply, kDropped };

  // `until_reply`: the time by which Replied() must have been called; none: any.
  explicit CancelScope(const base::Context& ctx,
                       std::optional<base::Duration> until_reply = std::nullopt)
      : state_(std::make_shared<State>()),
        on_stop_(ctx.stop(), [state = state_] { Cancel(state, Cause::kStopped); }) {
    if (ctx.deadline() != base::SteadyTime::max()) StartTimer(ctx.Remaining(), Cause::kDeadline);
    if (until_reply) StartTimer(*until_reply, Cause::kNoReply);
  }
  ~CancelScope() {
    // A timer is not thread-safe; its handler runs on the pool's thread.
    for (auto& timer : timers_) PoolService().post([timer] { timer->cancel(); });
  }
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

  pplx::cancellation_token token() const { return state_->source.get_token(); }
  Cause cause() const { return state_->cause.load(); }
  void Replied() { state_->replied = true; }
  // Closes the connection of a response that will not be read to its end.
  void Drop() { Cancel(state_, Cause::kDropped); }

 private:
  struct State {
    pplx::cancellation_token_source source;
    std::atomic<Cause> cause{Cause::kNone};
    std::atomic<bool> replied{false};
  };
  void StartTimer(base::Duration wait, Cause cause) {
    auto timer = std::make_shared<boost::asio::steady_timer>(PoolService());
    timer->expires_after(wait);
    timer->async_wait([state = state_, cause](const boost::system::error_code& error) {
      if (!error && !(cause == Cause::kNoReply && state->replied)) Cancel(state, cause);
    });
    timers_.push_back(std::move(timer));
  }
  static void Cancel(const std::shared_ptr<State>& state, Cause cause) {
    Cause none = Cause::kNone;
    state->cause.compare_exchange_strong(none, cause);
    PoolService().post([state] { state->source.cancel(); });
  }

  std::shared_ptr<State> state_;
  std::vector<std::shared_ptr<boost::asio::steady_timer>> timers_;
  std::stop_callback<std::function<void()>> on_stop_;
};

base::TlsClientSetup SetupOf(const std::string& ca, const ExecCredential& pair) {
  return {.ca = ca, .certificates = pair.certificate_pem, .key = pair.key_pem};
}

// Empty: none.
std::string TextOf(base::TlsFault fault) {
  switch (fault) {
    case base::TlsFault::kNone: return {};
    case base::TlsFault::kNoCa: return "the certificate authority contains no PEM certificate";
    case base::TlsFault::kCertificateUnreadable: return "the client certificate is not PEM";
    case base::TlsFault::kCertificateUnusable: return "the client certificate cannot be used";
    case base::TlsFault::kKeyUnreadable: return "the client key is not PEM, or is encrypted";
    case base::TlsFault::kKeyOfAnother:
      return "the client key does not belong to the client certificate";
  }
  return {};
}

// Without a connection: what is wrong with them; empty: nothing.
std::string TryTls(const std::string& ca, const ExecCredential& pair) {
  base::TlsFault fault = base::TlsFault::kNone;
  (void)base::NewTlsClient(SetupOf(ca, pair), &fault);
  return TextOf(fault);
}

std::string Encode(const std::string& text) { return web::uri::encode_data_string(text); }

std::string CollectionPath(const ResourceType& type, const std::string& ns) {
  std::string path = type.group.empty()
                         ? fmt::format("/api/{}", Encode(type.version))
                         : fmt::format("/apis/{}/{}", Encode(type.group), Encode(type.version));
  if (!ns.empty()) path += "/namespaces/" + Encode(ns);
  return path + "/" + Encode(type.plural);
}

std::string ObjectPath(const ResourceType& type, const ObjectKey& key,
                       const std::string& subresource = "") {
  std::string path = CollectionPath(type, key.ns) + "/" + Encode(key.name);
  if (!subresource.empty()) path += "/" + Encode(subresource);
  return path;
}

// The JSON text of `value`; bytes that are no UTF-8 are replaced rather than thrown about.
std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

struct Request {
  http::method method;
  std::string path;  // With the query; all of it encoded.
  std::string body;
  std::string content_type;
};

struct Reply {
  int status = 0;
  std::string body;
  std::optional<base::Duration> retry_after;
};

}  // namespace

class RestClient::Impl {
 public:
  Impl(KubeConfig config, RestOptions options)
      : config_(std::move(config)),
        options_(std::move(options)),
        credentials_(config_),
        uri_(config_.server),
        client_(NewClient(options_.request_timeout)) {
    host_ = uri_.host();
    if (uri_.port() > 0) host_ += fmt::format(":{}", uri_.port());
  }

  const KubeConfig& config() const { return config_; }

  base::Result<json> CallJson(const base::Context& ctx, const Request& request) {
    OMS_ASSIGN(Reply reply, Call(ctx, request));
    auto object = base::ParseJson(reply.body);
    if (object.ok()) return object;
    return MakeError(Code::kTransient, fmt::format("{} {}: the answer {}", request.method,
                                                   request.path, object.error().message));
  }

  // Sends, again once after a 401 with a new credential (a client certificate goes with a
  // connection, so that is a new one too), again once after Retry-After.
  base::Result<Reply> Call(const base::Context& ctx, const Request& request) {
    bool refreshed = false, waited = false;
    while (true) {
      OMS_TRY(ctx.Check());
      OMS_ASSIGN(const std::string token, credentials_.Token(ctx));
      const Connections connections = ConnectionsOfNow();
      OMS_ASSIGN(Reply reply, Exchange(ctx, request, token, *connections));
      if (reply.status >= 200 && reply.status < 300) return reply;
      if (reply.status == 401 && !refreshed && credentials_.Refresh(token)) {
        refreshed = true;
        Forget(connections);
        continue;
      }
      const bool busy = reply.status == 429 || reply.status >= 500;
      if (busy && reply.retry_after && !waited && *reply.retry_after <= kLongestRetryAfter &&
          *reply.retry_after < ctx.Remaining()) {
        waited = true;
        ctx.log().Debug("the API server asks to wait {}", base::FormatDuration(*reply.retry_after));
        Wait(ctx, *reply.retry_after);
        continue;
      }
      return FromStatus(request, reply.status, reply.body);
    }
  }

  base::Status Watch(const base::Context& ctx, const Request& request, base::Duration silence,
                     const WatchSink& sink) {
    bool refreshed = false;
    while (true) {
      OMS_TRY(ctx.Check());
      OMS_ASSIGN(const std::string token, credentials_.Token(ctx));
      // A client of its own: its time-out differs, and its connection ends with the watch.
      const Connections client = NewClient(silence);
      // An API server sends the headers of a watch at once. Until they are here it is a request
      // like any other, also while it connects: `silence` is for the stream after them.
      CancelScope cancel(ctx, options_.request_timeout);
      bool got_reply = false;
      try {
        http::http_response response = client->request(Build(request, token), cancel.token()).get();
        got_reply = true;
        Count(request, std::to_string(response.status_code()));
        if (response.status_code() == 200) {
          cancel.Replied();
          return ReadEvents(ctx, response, cancel, sink);
        }
        const Reply reply = ReadReply(response);
        if (reply.status == 401 && !refreshed && credentials_.Refresh(token)) {
          refreshed = true;
          continue;
        }
        return FromStatus(request, reply.status, reply.body);
      } catch (...) {
        if (!got_reply) Count(request, "<error>");
        return Translate(request, cancel);
      }
    }
  }

 private:
  using Connections = std::shared_ptr<http::client::http_client>;

  http::client::http_client_config ClientConfig(base::Duration silence) {
    http::client::http_client_config config;
    config.set_timeout(silence);  // Of inactivity; zero would mean at once.
    config.set_validate_certificates(true);
    // Once for each new connection, so that rotated files are picked up.
    config.set_ssl_context_callback([this](boost::asio::ssl::context& context) {
      const auto ca = config_.ca.Read();
      const auto pair = credentials_.Certificate();
      std::string wrong;
      if (!ca.ok()) {
        wrong = ca.error().message;
      } else if (!pair.ok()) {
        wrong = pair.error().message;
      } else {
        wrong = TextOf(base::SetUpTlsClient(context.native_handle(), SetupOf(*ca, *pair)));
      }
      if (!wrong.empty()) {
        throw boost::system::system_error(
            boost::system::errc::make_error_code(boost::system::errc::invalid_argument), wrong);
      }
    });
    return config;
  }

  http::http_request Build(const Request& request, const std::string& token) const {
    http::http_request message(request.method);
    message.set_request_uri(web::uri(request.path));
    message.headers().add("Accept", "application/json");
    message.headers().add("User-Agent", options_.user_agent);
    if (!token.empty()) message.headers().add("Authorization", "Bearer " + token);
    // cpprestsdk verifies, and asks by SNI for, the name in this header.
    if (!config_.tls_server_name.empty()) message.headers().add("Host", config_.tls_server_name);
    if (!request.body.empty()) message.set_body(request.body, request.content_type);
    return message;
  }

  Connections NewClient(base::Duration silence) {
    return std::make_shared<http::client::http_client>(uri_, ClientConfig(silence));
  }

  // Kept connections show the client certificate that they began with, so where another one is
  // there now they are left. The server may go on taking the old one, but only until it ends.
  Connections ConnectionsOfNow() {
    const auto pair = credentials_.Certificate();
    std::lock_guard lock(mutex_);
    // In the middle of a rotation a file may be away for an instant, or not fit the other one: the
    // old connections still do.
    if (!pair.ok()) return client_;
    std::string shown = base::Sha256Hex(pair->certificate_pem + pair->key_pem);
    if (shown == shown_) return client_;
    if (const auto ca = config_.ca.Read(); !ca.ok() || !TryTls(*ca, *pair).empty()) return client_;
    client_ = NewClient(options_.request_timeout);
    shown_ = std::move(shown);
    return client_;
  }

  // For the requests to come; those that are under way keep theirs.
  void Forget(const Connections& refused) {
    std::lock_guard lock(mutex_);
    if (client_ == refused) client_ = NewClient(options_.request_timeout);
  }

  base::Result<Reply> Exchange(const base::Context& ctx, const Request& request,
                               const std::string& token, http::client::http_client& client) {
    CancelScope cancel(ctx);
    bool got_reply = false;
    try {
      http::http_response response = client.request(Build(request, token), cancel.token()).get();
      got_reply = true;
      Count(request, std::to_string(response.status_code()));
      return ReadReply(response);
    } catch (...) {
      if (!got_reply) Count(request, "<error>");
      return Translate(request, cancel);
    }
  }

  static Reply ReadReply(http::http_response& response) {
    Reply reply;
    reply.status = response.status_code();
    const auto retry_after = response.headers().find("Retry-After");
    if (retry_after != response.headers().end()) {
      char* end = nullptr;
      const long seconds = std::strtol(retry_after->second.c_str(), &end, 10);
      if (end != retry_after->second.c_str() && *end == '\0' && seconds >= 0) {
        reply.retry_after = std::chrono::seconds(std::min(seconds, 24L * 3600));
      }
    }
    reply.body = response.extract_string(true).get();
    return reply;
  }

  base::Status ReadEvents(const base::Context& ctx, http::http_response& response,
                          CancelScope& cancel, const WatchSink& sink) const {
    // Whatever ends the reading, the connection must not live on.
    struct DropAtEnd {
      CancelScope& scope;
      ~DropAtEnd() { scope.Drop(); }
    } drop_at_end{cancel};
    WatchDecoder decoder;
    // Not read_line(): it waits inside a continuation, on the pool's only thread, for a task that
    // needs that thread, and now and then stands still for ever.
    auto buffer = response.body().streambuf();
    using Traits = std::char_traits<char>;
    while (true) {
      std::string chunk;
      try {
        const auto first = buffer.bumpc().get();
        if (first == Traits::eof()) return base::Ok();
        chunk.push_back(static_cast<char>(first));
        if (const size_t more = buffer.in_avail(); more > 0) {
          chunk.resize(1 + more);
          const size_t got = buffer.getn(reinterpret_cast<uint8_t*>(chunk.data()) + 1, more).get();
          chunk.resize(1 + got);
        }
      } catch (const http::http_exception& error) {
        if (cancel.cause() == CancelScope::Cause::kNone && IsTimeout(error)) {
          ctx.log().Debug("the watch received nothing for too long");
          return base::Ok();
        }
        throw;
      }
      OMS_TRY(decoder.Feed(chunk, sink));
      OMS_TRY(ctx.Check());
    }
  }

  static bool IsTimeout(const http::http_exception& error) {
    return error.error_code().value() == ETIMEDOUT;
  }

  base::Error FromStatus(const Request& request, int status, const std::string& body) const {
    base::Error error = ErrorFromStatus(status, base::ParseJson(body).value_or(json()));
    if (status == 401) error.message += "; check the credentials of the kubeconfig";
    return error.Wrap(fmt::format("{} {}", request.method, PathOnly(request.path)));
  }

  // Inside a catch block: what was thrown, as an Error.
  base::Error Translate(const Request& request, const CancelScope& cancel) const {
    const std::string what =
        fmt::format("{} https://{}{}", request.method, host_, PathOnly(request.path));
    switch (cancel.cause()) {
      case CancelScope::Cause::kStopped: return MakeError(Code::kCancelled, what + ": stopping");
      case CancelScope::Cause::kDeadline:
        return MakeError(Code::kTimeout, what + ": no answer before the deadline");
      case CancelScope::Cause::kNoReply:
        return MakeError(Code::kTimeout, what + ": no answer in time");
      case CancelScope::Cause::kDropped:
      case CancelScope::Cause::kNone: break;
    }
    try {
      throw;
    } catch (const http::http_exception& error) {
      if (IsTimeout(error)) return MakeError(Code::kTimeout, what + ": no answer in time");
      // cpprestsdk loses the category of its codes: an OpenSSL code shows as a large number.
      const int code = error.error_code().value();
      const char* tls =
          code > 0xffff ? ERR_reason_error_string(static_cast<unsigned long>(code)) : nullptr;
      return MakeError(Code::kTransient, tls != nullptr
                                             ? fmt::format("{}: {} ({})", what, error.what(), tls)
                                             : fmt::format("{}: {}", what, error.what()));
    } catch (const std::exception& error) {
      return MakeError(Code::kTransient, fmt::format("{}: {}", what, error.what()));
    } catch (...) {
      return MakeError(Code::kInternal, what + ": an unknown exception");
    }
  }

  static std::string PathOnly(const std::string& path) { return path.substr(0, path.find('?')); }

  void Count(const Request& request, const std::string& code) const {
    if (options_.on_request) options_.on_request(code, request.method, host_);
  }

  static void Wait(const base::Context& ctx, base::Duration wait) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, ctx.stop(), wait, [] { return false; });
  }

  const KubeConfig config_;
  const RestOptions options_;
  Credentials credentials_;
  const web::uri uri_;
  std::string host_;

  std::mutex mutex_;  // Guards the two below.
  Connections client_;
  std::string shown_;  // A hash of the certificate and key that its connections show.

  friend class RestClient;
};

void InitRestLibrary() {
  static std::once_flag once;
  std::call_once(once, [] {
    HidePublicCas();
    try {
      crossplat::threadpool::initialize_with_threads(1);
    } catch (const std::exception&) {
      // Somebody used the library before; it works with more threads too, if less safely.
    }
  });
}

base::Result<std::unique_ptr<RestClient>> RestClient::Make(KubeConfig config, RestOptions options) {
  InitRestLibrary();
  const auto invalid = [](std::string why) { return MakeError(Code::kInvalid, std::move(why)); };
  if (!config.server.starts_with("https://") || !web::uri::validate(config.server)) {
    return invalid(fmt::format("the server '{}' is not an https:// address", config.server));
  }
  ExecCredential pair;
  OMS_ASSIGN(const std::string ca, config.ca.Read());
  OMS_ASSIGN(pair.certificate_pem, config.client_certificate.Read());
  OMS_ASSIGN(pair.key_pem, config.client_key.Read());
  if (std::string wrong = TryTls(ca, pair); !wrong.empty()) return invalid(wrong);
  try {
    return std::unique_ptr<RestClient>(
        new RestClient(std::make_unique<Impl>(std::move(config), std::move(options))));
  } catch (const std::exception& error) {
    return invalid(fmt::format("the server's address cannot be used: {}", error.what()));
  }
}

RestClient::RestClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RestClient::~RestClient() = default;

const std::string& RestClient::default_namespace() const {
  return impl_->config().default_namespace;
}

base::Result<json> RestClient::Get(const base::Context& ctx, const ResourceType& type,
                                   const ObjectKey& key) {
  return impl_->CallJson(ctx, {http::methods::GET, ObjectPath(type, key), {}, {}});
}

base::Result<ListPage> RestClient::List(const base::Context& ctx, const ResourceType& type,
                                        const std::string& ns, const ListOptions& options) {
  std::string path = CollectionPath(type, ns) + "?";
  if (options.limit > 0) path += fmt::format("limit={}&", options.limit);
  if (!options.continue_token.empty()) path += "continue=" + Encode(options.continue_token) + "&";
  if (!options.label_selector.empty()) {
    path += "labelSelector=" + Encode(options.label_selector) + "&";
  }
  path.pop_back();
  OMS_ASSIGN(json list, impl_->CallJson(ctx, {http::methods::GET, path, {}, {}}));
  ListPage page;
  if (!list.is_object() || !list.contains("metadata") || !list["metadata"].is_object()) {
    return MakeError(Code::kTransient, "the answer to a list is not a list");
  }
  const json& meta = list["metadata"];
  const auto text = [&](const char* member) {
    const auto found = meta.find(member);
    return found != meta.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  page.resource_version = text("resourceVersion");
  page.continue_token = text("continue");
  if (const auto items = list.find("items"); items != list.end() && items->is_array()) {
    page.items = std::move(items->get_ref<json::array_t&>());
  }
  return page;
}

base::Result<json> RestClient::Create(const base::Context& ctx, const ResourceType& type,
                                      const std::string& ns, const json& object) {
  return impl_->CallJson(
      ctx, {http::methods::POST, CollectionPath(type, ns), Dump(object), "application/json"});
}

base::Result<json> RestClient::Replace(const base::Context& ctx, const ResourceType& type,
                                       const ObjectKey& key, const json& object,
                                       const std::string& subresource) {
  return impl_->CallJson(ctx, {http::methods::PUT, ObjectPath(type, key, subresource), Dump(object),
                               "application/json"});
}

base::Result<json> RestClient::Patch(const base::Context& ctx, const ResourceType& type,
                                     const ObjectKey& key, PatchType patch_type, const json& body,
                                     const std::string& subresource,
                                     const std::string& field_manager) {
  std::string path = ObjectPath(type, key, subresource);
  std::string separator = "?";
  if (!field_manager.empty()) {
    path += "?fieldManager=" + Encode(field_manager);
    separator = "&";
  }
  std::string content_type;
  switch (patch_type) {
    case PatchType::kMerge: content_type = "application/merge-patch+json"; break;
    case PatchType::kJson: content_type = "application/json-patch+json"; break;
    case PatchType::kApply:
      content_type = "application/apply-patch+yaml";
      path += separator + "force=true";
      break;
  }
  return impl_->CallJson(ctx, {http::methods::PATCH, path, Dump(body), content_type});
}

base::Status RestClient::Delete(const base::Context& ctx, const ResourceType& type,
                                const ObjectKey& key, const DeleteOptions& options) {
  json body = {{"apiVersion", "v1"}, {"kind", "DeleteOptions"}};
  if (!options.resource_version.empty()) {
    body["preconditions"]["resourceVersion"] = options.resource_version;
  }
  if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
  OMS_TRY(impl_->Call(ctx,
                      {http::methods::DEL, ObjectPath(type, key), Dump(body), "application/json"}));
  return base::Ok();
}

base::Status RestClient::Watch(const base::Context& ctx, const ResourceType& type,
                               const WatchOptions& options, const WatchSink& sink) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options.timeout);
  std::string path = CollectionPath(type, options.ns) +
                     fmt::format("?watch=true&timeoutSeconds={}", seconds.count());
  if (options.bookmarks) path += "&allowWatchBookmarks=true";
  if (!options.resource_version.empty()) {
    path += "&resourceVersion=" + Encode(options.resource_version);
  }
  if (!options.label_selector.empty()) path += "&labelSelector=" + Encode(options.label_selector);
  return impl_->Watch(ctx, {http::methods::GET, path, {}, {}},
                      options.timeout + impl_->options_.watch_margin, sink);
}

}  // namespace oms::kube
