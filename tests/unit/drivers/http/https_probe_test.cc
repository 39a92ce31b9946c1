#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <thread>

#include "controller/base/log.h"
#include "reconcilers/drivers/http/tcp_http_probe.h"
#include "tests/fakes/tcp_server.h"
#include "tests/fakes/tls_identity.h"

namespace oms::drivers::http {
namespace {

using base::Code;
using base::Secret;
using fakes::Identity;
using fakes::TcpServer;
using ports::HttpsTrust;
using testing::HasSubstr;
using testing::Not;

struct Heard {
  std::string question;
};

// `ends`: by TLS's own word; else the connection is just closed, as many a server does.
auto Https(const Identity& identity, Heard* heard, bool ends = true) {
  signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to connections that the client has closed.
  return [identity, heard, ends](int connection) {
    SSL_CTX* context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(context, identity.certificate.get());
    SSL_CTX_use_PrivateKey(context, identity.key.get());
    SSL* ssl = SSL_new(context);
    SSL_set_fd(ssl, connection);
    char buffer[1024];
    if (SSL_accept(ssl) == 1) {
      if (const int got = SSL_read(ssl, buffer, sizeof buffer); got > 0) {
        heard->question.assign(buffer, static_cast<size_t>(got));
        const std::string answer = "HTTP/1.0 200 OK\r\n\r\n{\"data\":{\"healthy\":true}}";
        SSL_write(ssl, answer.data(), static_cast<int>(answer.size()));
      }
      if (ends) SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
  };
}

base::Context Ctx(base::Duration limit) {
  static const base::SystemClock clock;
  return base::Context(clock, {}).WithTimeout(limit);
}

base::Result<ports::HttpAnswer> Ask(const TcpServer& server, const HttpsTrust& trust,
                                    base::Duration limit = std::chrono::seconds(10)) {
  TcpHttpProbe probe;
  return probe.Get(Ctx(limit), "127.0.0.1", server.port, "/oms/health", trust);
}

TEST(HttpsProbe, BelievesTheVeryCertificateThatItWasGiven) {
  const Identity oms;
  Heard heard;
  const TcpServer server(Https(oms, &heard));
  const auto answer = Ask(server, {oms.CertificatePem(), ""});
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "{\"data\":{\"healthy\":true}}");
  EXPECT_THAT(heard.question, testing::StartsWith("GET /oms/health HTTP/1.1\r\n"));
}

TEST(HttpsProbe, TakesTheAnswerOfAServerThatJustClosesTheConnection) {
  const Identity oms;
  Heard heard;
  const TcpServer server(Https(oms, &heard, false));
  const auto answer = Ask(server, {oms.CertificatePem(), ""});
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->body, "{\"data\":{\"healthy\":true}}");
}

TEST(HttpsProbe, DoesNotBelieveAnotherCertificateAndSendsNothing) {
  const Identity oms, another;
  Heard heard;
  {
    const TcpServer server(Https(another, &heard));
    const auto answer = Ask(server, {oms.CertificatePem(), ""});
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().reason, "CertificateUntrusted");
    EXPECT_THAT(answer.error().message, HasSubstr("differs from the certificate that is mounted"));
  }
  EXPECT_EQ(heard.question, "");
}

TEST(HttpsProbe, BelievesACaForTheNameOrTheAddress) {
  const Identity ca(nullptr, "a ca");
  const Identity oms(&ca);
  for (const char* name : {"127.0.0.1", "oms.example.com"}) {
    Heard heard;
    const TcpServer server(Https(oms, &heard));
    const auto answer = Ask(server, {Identity().CertificatePem() + ca.CertificatePem(), name});
    ASSERT_TRUE(answer.ok()) << name << ": " << answer.error().message;
    EXPECT_EQ(answer->status, 200);
  }
}

TEST(HttpsProbe, DoesNotBelieveAnotherCaOrAnotherName) {
  const Identity ca(nullptr, "a ca"), stranger(nullptr, "another ca");
  const Identity oms(&ca);
  const std::pair<HttpsTrust, const char*> rows[] = {
      {{stranger.CertificatePem(), "127.0.0.1"}, "local issuer"},
      {{ca.CertificatePem(), "10.9.8.7"}, "IP address mismatch"},
      {{ca.CertificatePem(), "else.example.com"}, "ostname mismatch"},
      {{"", "127.0.0.1"}, "no certificate to compare"},
      // An address to Asio, none to OpenSSL: without a name to ask for, any would do.
      {{ca.CertificatePem(), "fe80::1%1"}, "no certificate can carry this name"},
  };
  for (const auto& [trust, why] : rows) {
    Heard heard;
    const TcpServer server(Https(oms, &heard));
    const auto answer = Ask(server, trust);
    ASSERT_FALSE(answer.ok()) << why;
    EXPECT_EQ(answer.error().reason, "CertificateUntrusted");
    EXPECT_THAT(answer.error().message, HasSubstr(why));
  }
}

TEST(HttpsProbe, TellsAServerThatSpeaksNoHttps) {
  const TcpServer server([](int connection) {
    char buffer[1024];
    (void)!read(connection, buffer, sizeof buffer);
    const std::string_view answer = "HTTP/1.0 400 Bad Request\r\n\r\n";
    (void)!write(connection, answer.data(), answer.size());
  });
  const auto answer = Ask(server, {Identity().CertificatePem(), ""});
  ASSERT_FALSE(answer.ok());
  EXPECT_THAT(answer.error().message, HasSubstr("does not speak HTTPS"));
}

TEST(HttpsProbe, TellsAHandshakeThatIsNotFinished) {
  const TcpServer server([](int connection) {
    char buffer[4096];
    (void)!read(connection, buffer, sizeof buffer);
  });
  const auto answer = Ask(server, {Identity().CertificatePem(), ""});
  ASSERT_TRUE(answer.Is(Code::kTransient));
  EXPECT_EQ(answer.error().reason, "Refused");
  EXPECT_THAT(answer.error().message, HasSubstr("does not speak HTTPS (the connection ended)"));
}

TEST(HttpsProbe, WaitsForASilentServerNoLongerThanItsContext) {
  const TcpServer server([](int connection) {
    char buffer[4096];
    while (read(connection, buffer, sizeof buffer) > 0) {
    }
  });
  const auto answer =
      Ask(server, {Identity().CertificatePem(), ""}, std::chrono::milliseconds(150));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, Code::kTimeout);
}

TEST(ReadKeyPair, OfAKeyAndItsCertificateTellsItsDates) {
  const Identity oms;
  const auto pair = TcpHttpProbe().ReadKeyPair(oms.CertificatePem(), oms.KeyPem());
  ASSERT_TRUE(pair.ok()) << pair.error().message;
  EXPECT_EQ(pair->not_after - pair->not_before, std::chrono::seconds(3660));
}

TEST(ReadKeyPair, RefusesWhatDoesNotBelongTogetherAndTellsNoKey) {
  const Identity oms, another;
  const std::string certificate = oms.CertificatePem();
  const auto refused = [&](const std::string& text, const Secret& key, const char* reason) {
    const auto pair = TcpHttpProbe().ReadKeyPair(text, key);
    ASSERT_FALSE(pair.ok()) << reason;
    EXPECT_EQ(pair.error().code, Code::kInvalid);
    EXPECT_EQ(pair.error().reason, reason);
    EXPECT_THAT(pair.error().message, Not(HasSubstr("BEGIN")));
  };
  refused(certificate, another.KeyPem(), "KeyOfAnotherCertificate");
  refused(certificate, oms.KeyPem("a password"), "KeyUnreadable");
  refused(certificate, Secret(""), "KeyUnreadable");
  refused(certificate, Secret(certificate), "KeyUnreadable");
  refused("", oms.KeyPem(), "CertificateUnreadable");
  refused(oms.KeyPem().Reveal(), oms.KeyPem(), "CertificateUnreadable");
}

}  // namespace
}  // namespace oms::drivers::http
