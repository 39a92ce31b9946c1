#include "controller/kube/rest_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/fakes/fake_api_server.h"

// libcpprest is not instrumented, so ThreadSanitizer does not see the reference counts by which its
// threads and ours share an exception.
#ifdef __SANITIZE_THREAD__
extern "C" const char* __tsan_default_suppressions() {
  return "race:pplx::details::_ExceptionHolder::~_ExceptionHolder\n";
}
#endif
// A TLS handshake that is cancelled leaves a little of OpenSSL's memory behind.
#ifdef __SANITIZE_ADDRESS__
extern "C" const char* __lsan_default_suppressions() { return "leak:libcrypto\n"; }
#endif

namespace oms::kube {
namespace {

using base::Code;
using fakes::FakeApiServer;
using fakes::FakeExchange;
using nlohmann::json;
using std::chrono::milliseconds;

const ResourceType kThings{"example.com", "v1", "things"};
const ObjectKey kA{"ns", "a"};

std::string StatusBody(int code, const char* reason, const char* message) {
  return json({{"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", message}})
      .dump();
}

std::string EventLine(const char* type, const char* name, const char* version) {
  return json({{"type", type},
               {"object", {{"metadata", {{"name", name}, {"resourceVersion", version}}}}}})
             .dump() +
         "\n";
}

class RestClientTest : public testing::Test {
 protected:
  void Serve(FakeApiServer::Handler handler, bool ask_client_certificate = false) {
    server_ = std::make_unique<FakeApiServer>(std::move(handler), ask_client_certificate);
    config_.server = server_->Url();
    config_.ca.inline_pem = server_->pki().ca_pem;
    config_.token = "the-token";
  }
  RestClient& Client() {
    if (!client_) {
      options_.on_request = [this](std::string_view code, std::string_view method,
                                   std::string_view) {
        std::lock_guard lock(mutex_);
        counted_.push_back(std::string(method) + " " + std::string(code));
      };
      auto client = RestClient::Make(config_, options_);
      EXPECT_TRUE(client.ok()) << client.error().message;
      client_ = std::move(*client);
    }
    return *client_;
  }
  // Watches and keeps what came.
  base::Status Watch(const base::Context& ctx, base::Duration timeout = milliseconds(1000)) {
    WatchOptions options;
    options.ns = "ns";
    options.resource_version = "5";
    options.timeout = timeout;
    return Client().Watch(ctx, kThings, options,
                          [this](WatchEventType, const json& object) -> base::Status {
                            seen_.push_back(object["metadata"]["name"]);
                            ++events_;
                            events_.notify_all();
                            return base::Ok();
                          });
  }

  base::SystemClock clock_;
  base::Context ctx_{clock_, {}};
  std::unique_ptr<FakeApiServer> server_;
  KubeConfig config_;
  RestOptions options_;
  std::unique_ptr<RestClient> client_;
  std::vector<std::string> seen_;
  std::atomic<int> events_{0};
  std::mutex mutex_;
  std::vector<std::string> counted_;
};

TEST_F(RestClientTest, AGetAsksForThePathWithItsToken) {
  Serve([](FakeExchange& x) {
    x.Reply(200, json({{"path", x.path}, {"auth", x.headers["authorization"]}}).dump());
  });
  const auto object = Client().Get(ctx_, kThings, kA);
  ASSERT_TRUE(object.ok()) << object.error().message;
  EXPECT_EQ((*object)["path"], "/apis/example.com/v1/namespaces/ns/things/a");
  EXPECT_EQ((*object)["auth"], "Bearer the-token");
  EXPECT_EQ((*Client().Get(ctx_, {"", "v1", "nodes"}, {"", "x/../y"}))["path"],
            "/api/v1/nodes/x%2F..%2Fy");
  EXPECT_EQ(server_->connections(), 1) << "the connection is kept";
  EXPECT_EQ(counted_, (std::vector<std::string>{"GET 200", "GET 200"}));
}

TEST_F(RestClientTest, EachKindOfWriteGoesOutAsKubernetesWantsIt) {
  Serve([](FakeExchange& x) {
    x.Reply(
        200,
        json({{"did", x.method + " " + x.path + " " + x.headers["content-type"] + " " + x.body}})
            .dump());
  });
  const json body = {{"x", 1}};
  EXPECT_EQ((*Client().Create(ctx_, kThings, "ns", body))["did"],
            "POST /apis/example.com/v1/namespaces/ns/things application/json {\"x\":1}");
  EXPECT_EQ((*Client().Replace(ctx_, kThings, kA, body, "status"))["did"],
            "PUT /apis/example.com/v1/namespaces/ns/things/a/status application/json {\"x\":1}");
  EXPECT_EQ((*Client().Patch(ctx_, kThings, kA, PatchType::kMerge, body, "status"))["did"],
            "PATCH /apis/example.com/v1/namespaces/ns/things/a/status "
            "application/merge-patch+json {\"x\":1}");
  EXPECT_EQ((*Client().Patch(ctx_, kThings, kA, PatchType::kApply, body, "", "me"))["did"],
            "PATCH /apis/example.com/v1/namespaces/ns/things/a?fieldManager=me&force=true "
            "application/apply-patch+yaml {\"x\":1}");
  EXPECT_TRUE(Client().Delete(ctx_, kThings, kA, {"7", "u"}).ok());
}

TEST_F(RestClientTest, AListHasPages) {
  Serve([](FakeExchange& x) {
    EXPECT_EQ(x.path, "/apis/example.com/v1/things?limit=2&continue=a%2Fb%3D&labelSelector=k%3Dv");
    x.Reply(200, R"({"metadata":{"resourceVersion":"9","continue":"next"},"items":[{"a":1},{}]})");
  });
  const auto page = Client().List(ctx_, kThings, "", {2, "a/b=", "k=v"});
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->items.size(), 2u);
  EXPECT_EQ(page->resource_version, "9");
  EXPECT_EQ(page->continue_token, "next");
}

TEST_F(RestClientTest, TheServersOwnWordsAreInTheError) {
  Serve([](FakeExchange& x) { x.Reply(409, StatusBody(409, "Conflict", "modified meanwhile")); });
  const auto result = Client().Replace(ctx_, kThings, kA, json::object());
  ASSERT_TRUE(result.Is(Code::kConflict));
  EXPECT_EQ(result.error().reason, "Conflict");
  EXPECT_NE(result.error().message.find("modified meanwhile"), std::string::npos);
  EXPECT_EQ(result.error().message.find("the-token"), std::string::npos);
}

TEST_F(RestClientTest, AnAnswerThatIsNoJsonIsAPassingError) {
  Serve([](FakeExchange& x) { x.Reply(x.path.ends_with("/a") ? 200 : 502, "<html>oops"); });
  EXPECT_TRUE(Client().Get(ctx_, kThings, kA).Is(Code::kTransient));
  EXPECT_TRUE(Client().Get(ctx_, kThings, {"ns", "b"}).Is(Code::kTransient));
}

TEST_F(RestClientTest, RetryAfterIsHonouredOnce) {
  std::atomic<int> busy{1};
  Serve([&](FakeExchange& x) {
    if (busy-- > 0) {
      x.Reply(429, StatusBody(429, "TooManyRequests", "busy"), {{"Retry-After", "1"}});
    } else {
      x.Reply(200, "{}");
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(Client().Get(ctx_, kThings, kA).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(1000));
  busy = 100;
  EXPECT_TRUE(Client().Get(ctx_, kThings, kA).Is(Code::kTransient));
  EXPECT_EQ(server_->requests(), 4);
}

TEST_F(RestClientTest, AWaitThatDoesNotFitTheDeadlineIsNotBegun) {
  Serve([&](FakeExchange& x) { x.Reply(503, "{}", {{"Retry-After", "20"}}); });
  EXPECT_TRUE(
      Client().Get(ctx_.WithTimeout(std::chrono::seconds(10)), kThings, kA).Is(Code::kTransient));
  EXPECT_EQ(server_->requests(), 1);
}

TEST_F(RestClientTest, A401AsksTheSourceForANewTokenOnce) {
  const auto file = std::filesystem::temp_directory_path() / ("token-" + std::to_string(getpid()));
  std::ofstream(file) << "old";
  Serve([&](FakeExchange& x) {
    const bool good = x.headers["authorization"] == "Bearer new";
    if (!good) std::ofstream(file) << "new";  // Rotated while the old one was in use.
    x.Reply(good ? 200 : 401, good ? "{}" : StatusBody(401, "Unauthorized", "Unauthorized"));
  });
  config_.token_file = file.string();
  EXPECT_TRUE(Client().Get(ctx_, kThings, kA).ok());
  EXPECT_EQ(server_->requests(), 2);
  std::filesystem::remove(file);
}

TEST_F(RestClientTest, A401WithAnInlineTokenIsDenied) {
  Serve([](FakeExchange& x) { x.Reply(401, StatusBody(401, "Unauthorized", "Unauthorized")); });
  EXPECT_TRUE(Client().Get(ctx_, kThings, kA).Is(Code::kDenied));
  EXPECT_EQ(server_->requests(), 1);
}

TEST_F(RestClientTest, AServerOfAnotherCaIsNotTalkedTo) {
  Serve([](FakeExchange& x) { x.Reply(200, "{}"); });
  config_.ca.inline_pem = server_->pki().other_ca_pem;
  const auto result = Client().Get(ctx_, kThings, kA);
  ASSERT_TRUE(result.Is(Code::kTransient));
  EXPECT_NE(result.error().message.find("certificate verify failed"), std::string::npos)
      << result.error().message;
  EXPECT_EQ(server_->requests(), 0);
}

TEST_F(RestClientTest, AServerOfAnotherNameIsNotTalkedTo) {
  Serve([](FakeExchange& x) { x.Reply(200, "{}"); });
  config_.server = "https://127.0.0.2:" + std::to_string(server_->port());
  config_.tls_server_name = "elsewhere.test";
  EXPECT_FALSE(Client().Get(ctx_, kThings, kA).ok());
  EXPECT_EQ(server_->requests(), 0);
}

TEST_F(RestClientTest, TlsServerNameIsTheNameThatIsVerified) {
  Serve([](FakeExchange& x) { x.Reply(200, json({{"host", x.headers["host"]}}).dump()); });
  config_.server = "https://127.0.0.1:" + std::to_string(server_->port());
  config_.tls_server_name = "kube.test";
  const auto result = Client().Get(ctx_, kThings, kA);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ((*result)["host"], "kube.test");
}

TEST_F(RestClientTest, AClientCertificateIsShown) {
  Serve([](FakeExchange& x) { x.Reply(200, json({{"cn", x.client_common_name}}).dump()); }, true);
  config_.client_certificate.inline_pem = server_->pki().client_cert_pem;
  config_.client_key.inline_pem = server_->pki().client_key_pem;
  const auto result = Client().Get(ctx_, kThings, kA);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ((*result)["cn"], "tester");
}

// A client certificate in files of the test's own.
class RotationTest : public RestClientTest {
 protected:
  RotationTest()
      : certificate_(std::filesystem::temp_directory_path() /
                     ("cert-" + std::to_string(getpid()) + ".pem")),
        key_(certificate_.string() + ".key") {}
  ~RotationTest() override {
    std::filesystem::remove(certificate_);
    std::filesystem::remove(key_);
  }
  void ServeWithFiles(FakeApiServer::Handler handler) {
    Serve(std::move(handler), true);
    std::ofstream(certificate_) << server_->pki().client_cert_pem;
    std::ofstream(key_) << server_->pki().client_key_pem;
    config_.token.clear();
    config_.client_certificate.file = certificate_.string();
    config_.client_key.file = key_.string();
  }
  void Rotate() const {
    std::ofstream(certificate_) << server_->pki().next_cert_pem;
    std::ofstream(key_) << server_->pki().next_key_pem;
  }
  std::string NameSeen() {
    const auto answer = Client().Get(ctx_, kThings, kA);
    return answer.ok() ? answer->value("cn", "") : answer.error().message;
  }
  static void TellName(FakeExchange& x) {
    x.Reply(200, json({{"cn", x.client_common_name}}).dump());
  }

  std::filesystem::path certificate_, key_;
};

TEST_F(RotationTest, ARotatedClientCertificateIsShownByTheNextRequest) {
  ServeWithFiles(TellName);
  EXPECT_EQ(NameSeen(), "tester");
  EXPECT_EQ(NameSeen(), "tester");
  EXPECT_EQ(server_->connections(), 1);
  Rotate();
  EXPECT_EQ(NameSeen(), "tester-next");
  EXPECT_EQ(NameSeen(), "tester-next");
  EXPECT_EQ(server_->connections(), 2);
}

TEST_F(RotationTest, A401OnAKeptConnectionIsTriedOnceOnANewOne) {
  std::atomic<int> number{0};
  ServeWithFiles([&](FakeExchange& x) {
    if (++number > 1 && x.connection == 1) {
      x.Reply(401, StatusBody(401, "Unauthorized", "the certificate has expired"));
    } else {
      TellName(x);
    }
  });
  EXPECT_EQ(NameSeen(), "tester");
  EXPECT_EQ(NameSeen(), "tester");
  EXPECT_EQ(server_->requests(), 3);
  EXPECT_EQ(server_->connections(), 2);
}

TEST_F(RotationTest, ACertificateThatIsNeverTakenIsDenied) {
  ServeWithFiles(
      [](FakeExchange& x) { x.Reply(401, StatusBody(401, "Unauthorized", "Unauthorized")); });
  EXPECT_TRUE(Client().Get(ctx_, kThings, kA).Is(Code::kDenied));
  EXPECT_EQ(server_->requests(), 2);
}

TEST_F(RotationTest, TheMiddleOfARotationLeavesTheKeptConnectionInUse) {
  ServeWithFiles(TellName);
  EXPECT_EQ(NameSeen(), "tester");
  std::filesystem::remove(certificate_);
  EXPECT_EQ(NameSeen(), "tester");
  std::ofstream(certificate_) << server_->pki().next_cert_pem;
  EXPECT_EQ(NameSeen(), "tester") << "its key is not there yet";
  EXPECT_EQ(server_->connections(), 1);
  Rotate();
  EXPECT_EQ(NameSeen(), "tester-next");
}

TEST_F(RestClientTest, WhatCannotBeUsedIsRefusedBeforeAnythingIsSent) {
  Serve([](FakeExchange& x) { x.Reply(200, "{}"); });
  const KubeConfig good = config_;
  const auto refused = [&](const KubeConfig& config) {
    auto client = RestClient::Make(config);
    return client.Is(Code::kInvalid) || client.Is(Code::kNotFound);
  };
  KubeConfig config = good;
  config.server = "http://127.0.0.1:1";
  EXPECT_TRUE(refused(config));
  config = good;
  config.ca.inline_pem = "not PEM";
  EXPECT_TRUE(refused(config));
  config = good;
  config.ca = {"/nowhere/ca.crt", ""};
  EXPECT_TRUE(refused(config));
  config = good;
  config.client_certificate.inline_pem = server_->pki().client_cert_pem;
  config.client_key.inline_pem = server_->pki().server_key_pem;
  EXPECT_TRUE(refused(config)) << "the key of another certificate";
}

TEST_F(RestClientTest, CertificateFilesThatVanishLaterAreAnErrorAndNotTheEnd) {
  const auto file = std::filesystem::temp_directory_path() / ("ca-" + std::to_string(getpid()));
  Serve([](FakeExchange& x) { x.Reply(200, "{}"); });
  std::ofstream(file) << server_->pki().ca_pem;
  config_.ca = {file.string(), ""};
  Client();
  std::filesystem::remove(file);
  EXPECT_TRUE(Client().Get(ctx_, kThings, kA).Is(Code::kTransient));
  std::ofstream(file) << server_->pki().ca_pem;
  EXPECT_TRUE(Client().Get(ctx_, kThings, kA).ok());
  std::filesystem::remove(file);
}

TEST_F(RestClientTest, NobodyListeningIsAPassingError) {
  Serve([](FakeExchange& x) { x.Reply(200, "{}"); });
  Client();
  server_.reset();
  EXPECT_TRUE(Client().Get(ctx_, kThings, kA).Is(Code::kTransient));
  EXPECT_EQ(counted_, std::vector<std::string>{"GET <error>"});
}

TEST_F(RestClientTest, SilenceIsATimeout) {
  options_.request_timeout = milliseconds(1000);
  Serve([](FakeExchange& x) { x.Hang(); });
  EXPECT_TRUE(Client().Get(ctx_, kThings, kA).Is(Code::kTimeout));
}

TEST_F(RestClientTest, TheContextsDeadlineEndsARequest) {
  Serve([](FakeExchange& x) { x.Hang(); });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(Client().Get(ctx_.WithTimeout(milliseconds(100)), kThings, kA).Is(Code::kTimeout));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(RestClientTest, AStopEndsARequest) {
  std::stop_source stop;
  Serve([&](FakeExchange& x) {
    stop.request_stop();
    x.Hang();
  });
  EXPECT_TRUE(Client().Get(ctx_.WithStop(stop.get_token()), kThings, kA).Is(Code::kCancelled));
}

TEST_F(RestClientTest, WithoutPermissionNothingIsSent) {
  Serve([](FakeExchange& x) { x.Reply(200, "{}"); });
  EXPECT_TRUE(
      Client().Get(ctx_.WithPermission([] { return false; }), kThings, kA).Is(Code::kFenced));
  EXPECT_EQ(server_->connections(), 0);
}

TEST_F(RestClientTest, AWatchDeliversEachEventAsItComesAndEndsCleanly) {
  Serve([](FakeExchange& x) {
    EXPECT_EQ(x.path,
              "/apis/example.com/v1/namespaces/ns/things?watch=true&timeoutSeconds=1"
              "&allowWatchBookmarks=true&resourceVersion=5");
    x.BeginStream();
    const std::string line = EventLine("ADDED", "a", "6");
    x.Chunk(line.substr(0, 10));
    x.Chunk(line.substr(10));
    x.Chunk(EventLine("MODIFIED", "b", "7") + EventLine("BOOKMARK", "c", "8"));
    x.EndStream();
  });
  const auto status = Watch(ctx_);
  EXPECT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(seen_, (std::vector<std::string>{"a", "b", "c"}));
}

TEST_F(RestClientTest, A410InTheStreamIsExpired) {
  Serve([](FakeExchange& x) {
    x.BeginStream();
    x.Chunk("{\"type\":\"ERROR\",\"object\":" + StatusBody(410, "Expired", "too old") + "}\n");
    x.EndStream();
  });
  EXPECT_TRUE(Watch(ctx_).Is(Code::kExpired));
}

TEST_F(RestClientTest, A410AsTheAnswerIsExpiredToo) {
  Serve([](FakeExchange& x) { x.Reply(410, StatusBody(410, "Expired", "too old")); });
  EXPECT_TRUE(Watch(ctx_).Is(Code::kExpired));
}

TEST_F(RestClientTest, HalfALineAtACleanEndIsDropped) {
  Serve([](FakeExchange& x) {
    x.BeginStream();
    x.Chunk(EventLine("ADDED", "a", "6") + R"({"type":"MOD)");
    x.EndStream();
  });
  EXPECT_TRUE(Watch(ctx_).ok());
  EXPECT_EQ(seen_, std::vector<std::string>{"a"});
}

TEST_F(RestClientTest, ADroppedStreamIsAPassingErrorAfterTheEventsBeforeIt) {
  // What arrives together with the end of the connection may be lost with it (it comes again from
  // the last version seen), so the end waits for the event.
  Serve([this](FakeExchange& x) {
    x.BeginStream();
    x.Chunk(EventLine("ADDED", "a", "6"));
    x.Chunk(R"({"type":"MOD)");
    events_.wait(0);
    x.Drop();
  });
  EXPECT_TRUE(Watch(ctx_).Is(Code::kTransient));
  EXPECT_EQ(seen_, std::vector<std::string>{"a"});
}

TEST_F(RestClientTest, AWatchThatIsNotAnsweredEndsLikeAnyRequest) {
  options_.request_timeout = milliseconds(300);
  Serve([](FakeExchange& x) { x.Hang(); });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(Watch(ctx_, std::chrono::seconds(120)).Is(Code::kTimeout));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST_F(RestClientTest, AWatchOfAPeerThatOnlyAcceptsEndsLikeAnyRequest) {
  options_.request_timeout = milliseconds(300);
  Serve([](FakeExchange& x) { x.Reply(200, "{}"); });  // For its CA.
  // A listener that nobody accepts from: the kernel connects, and no TLS handshake ever comes.
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 4), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  config_.server = "https://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(Watch(ctx_, std::chrono::seconds(120)).Is(Code::kTimeout));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  close(listener);
}

TEST_F(RestClientTest, SilenceOnAWatchIsACleanEnd) {
  options_.watch_margin = milliseconds(0);
  Serve([](FakeExchange& x) {
    x.BeginStream();
    x.Chunk(EventLine("ADDED", "a", "6"));
    x.Hang();
  });
  const auto status = Watch(ctx_);
  EXPECT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(seen_, std::vector<std::string>{"a"});
}

TEST_F(RestClientTest, AStopEndsAQuietWatchAtOnceAndClosesItsConnection) {
  std::stop_source stop;
  Serve([&](FakeExchange& x) {
    x.BeginStream();
    x.Chunk(EventLine("ADDED", "a", "6"));
    stop.request_stop();
    x.Hang();
  });
  EXPECT_TRUE(Watch(ctx_.WithStop(stop.get_token())).Is(Code::kCancelled));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(45);
  while (server_->open_connections() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(server_->open_connections(), 0);
}

TEST_F(RestClientTest, AnErrorOfTheSinkEndsTheWatchAndItsConnection) {
  Serve([&](FakeExchange& x) {
    x.BeginStream();
    x.Chunk(EventLine("ADDED", "a", "6"));
    x.Hang();
  });
  const auto status = Client().Watch(ctx_, kThings, {}, [](WatchEventType, const json&) {
    return base::Status(base::MakeError(Code::kInternal, "enough"));
  });
  EXPECT_TRUE(status.Is(Code::kInternal));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(45);
  while (server_->open_connections() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(server_->open_connections(), 0);
}

TEST_F(RestClientTest, ManyRequestsAtOnceWithManyCancelsLeaveItUsable) {
  std::atomic<int> number{0};
  Serve([&](FakeExchange& x) {
    if (number++ % 3 == 0) {
      x.Hang();
    } else {
      x.Reply(200, "{}");
    }
  });
  RestClient& client = Client();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        (void)client.Get(ctx_.WithTimeout(milliseconds(5 + (t * 7 + i) % 30)), kThings, kA);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  bool answered = false;
  for (int i = 0; i < 10 && !answered; ++i) {
    answered = client.Get(ctx_.WithTimeout(std::chrono::seconds(20)), kThings, kA).ok();
  }
  EXPECT_TRUE(answered);
}

}  // namespace
}  // namespace oms::kube
