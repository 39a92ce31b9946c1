#include "reconcilers/drivers/http/http_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <sys/socket.h>

#include <string>
#include <utility>

#include "controller/base/log.h"
#include "tests/fakes/tcp_server.h"

namespace oms::drivers::http {
namespace {

using base::Code;
using fakes::TcpServer;
using testing::HasSubstr;

// Gives the same answer, whatever is asked.
auto Answering(std::string answer) {
  return [answer = std::move(answer)](int connection) {
    char buffer[4096];
    std::string question;
    while (question.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = recv(connection, buffer, sizeof buffer, 0);
      if (got <= 0) return;
      question.append(buffer, static_cast<size_t>(got));
    }
    (void)!send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
  };
}

base::Result<ports::HttpAnswer> Ask(const std::string& host, int port, size_t most = 1024) {
  static const base::SystemClock clock;
  HttpQuestion ask;
  ask.host = host;
  ask.port = port;
  ask.path = "/";
  ask.most_bytes = most;
  return HttpExchange(base::Context(clock, {}).WithTimeout(std::chrono::seconds(10)), ask);
}

base::Result<ports::HttpAnswer> AskFor(const std::string& answer, size_t most = 1024) {
  const TcpServer server(Answering(answer));
  return Ask("127.0.0.1", server.port, most);
}

TEST(HttpExchange, TakesAWholeAnswerOfEachKind) {
  EXPECT_EQ(AskFor("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody").value_or({}).body, "body");
  EXPECT_EQ(
      AskFor("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n")
          .value_or({})
          .body,
      "body");
  EXPECT_EQ(AskFor("HTTP/1.0 503 Not now\r\n\r\nbody").value_or({}).status, 503);
}

TEST(HttpExchange, PassesOverWhatComesBeforeTheAnswer) {
  const auto answer = AskFor(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody");
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "body");
  EXPECT_THAT(AskFor("HTTP/1.1 100 Continue\r\n\r\n").error().message, HasSubstr("was cut off"));
}

TEST(HttpExchange, TellsACutAnswerFromAWholeOne) {
  for (const char* cut : {"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{\"data\":",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n",
                          "HTTP/1.1 200 OK\r\nContent-Le", ""}) {
    const auto answer = AskFor(cut);
    ASSERT_TRUE(answer.Is(Code::kTransient)) << cut;
    EXPECT_THAT(answer.error().message, HasSubstr("was cut off")) << cut;
  }
}

TEST(HttpExchange, WhatIsNoHttpIsTold) {
  const auto answer = AskFor("220 mail.example.com ESMTP\r\n\r\n");
  ASSERT_TRUE(answer.Is(Code::kTransient));
  EXPECT_THAT(answer.error().message, HasSubstr("does not speak HTTP"));
}

TEST(HttpExchange, ALongAnswerIsCutWhereItWasToBe) {
  const auto answer = AskFor("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789", 5);
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->body, "12345");
}

bool LocalhostHas(int family) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_family = family;
  if (getaddrinfo("localhost", nullptr, &hints, &found) != 0) return false;
  freeaddrinfo(found);
  return true;
}

// "localhost" has an address of each kind, and somebody listens at one of them.
TEST(HttpExchange, TriesAllAddressesOfAName) {
  for (const int family : {AF_INET, AF_INET6}) {
    const TcpServer server(Answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), family);
    if (server.port == 0 || !LocalhostHas(family)) continue;  // No IPv6 here.
    const auto answer = Ask("localhost", server.port);
    EXPECT_TRUE(answer.ok()) << answer.error().message;
  }
}

TEST(HttpExchange, WhereNobodyListensSaysWhere) {
  int port = 0;
  {
    const TcpServer gone([](int) {});
    port = gone.port;
  }
  const auto answer = Ask("127.0.0.1", port);
  ASSERT_TRUE(answer.Is(Code::kTransient));
  EXPECT_EQ(answer.error().reason, "Refused");
  EXPECT_THAT(answer.error().message, HasSubstr("nothing answers at 127.0.0.1:"));
  EXPECT_EQ(Ask("no-such-host.invalid", 1).error().reason, "Refused");
}

}  // namespace
}  // namespace oms::drivers::http
