#include "controller/runtime/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace oms::runtime {
namespace {

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    server_.Handle("/healthz", [] { return HttpReply{200, "text/plain", "ok\n"}; });
    server_.Handle("/throws", []() -> HttpReply { throw std::runtime_error("x"); });
    server_.Handle("/large", [] {
      return HttpReply{200, "text/plain", std::string(1 << 22, 'x')};
    });
    server_.Handle("/readyz", CheckHandler({{"cache", [this] { return why_; }},
                                            {"ever", [] { return std::string(); }}}));
    ASSERT_TRUE(server_.Start("127.0.0.1:0").ok());
  }
  int Connect() const {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static std::string ReadAll(int fd) {
    std::string all;
    char buffer[65536];
    ssize_t got;
    while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0)
      all.append(buffer, static_cast<size_t>(got));
    close(fd);
    return all;
  }
  std::string Ask(const std::string& request) const {
    const int fd = Connect();
    EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    return ReadAll(fd);
  }
  std::string Get(const std::string& path) const {
    return Ask("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }

  std::string why_;
  HttpServer server_;
};

TEST_F(HttpServerTest, AnswersWhatItHas) {
  const std::string reply = Get("/healthz?verbose");
  EXPECT_EQ(reply,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
            "Connection: close\r\n\r\nok\n");
  EXPECT_TRUE(Get("/nothing").starts_with("HTTP/1.1 404 "));
}

TEST_F(HttpServerTest, RefusesWhatItDoesNotKnow) {
  EXPECT_TRUE(Ask("POST /healthz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(Ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(Ask(std::string(20000, 'x')).starts_with("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, AHandlerThatThrowsIsAnErrorAndNotTheEnd) {
  EXPECT_TRUE(Get("/throws").starts_with("HTTP/1.1 500 "));
  EXPECT_TRUE(Get("/healthz").starts_with("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, HeadGivesNoBody) {
  EXPECT_TRUE(Ask("HEAD /healthz HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
}

TEST_F(HttpServerTest, ALargeBodyComesWhole) { EXPECT_GT(Get("/large").size(), size_t{1} << 22); }

TEST_F(HttpServerTest, ASilentClientHoldsUpNobody) {
  const int silent = Connect();
  EXPECT_TRUE(Get("/healthz").starts_with("HTTP/1.1 200 "));
  close(silent);
}

TEST_F(HttpServerTest, NotReadySaysWhatIsMissing) {
  EXPECT_TRUE(Get("/readyz").starts_with("HTTP/1.1 200 "));
  why_ = "not synced";
  const std::string reply = Get("/readyz");
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 503 "));
  EXPECT_TRUE(reply.ends_with("cache: not synced\n"));
}

TEST_F(HttpServerTest, AnAddressInUseIsAnError) {
  HttpServer second;
  EXPECT_TRUE(
      second.Start("127.0.0.1:" + std::to_string(server_.port())).Is(base::Code::kTransient));
  EXPECT_TRUE(second.Start("nowhere").Is(base::Code::kInvalid));
  EXPECT_TRUE(second.Start("example.com:80").Is(base::Code::kInvalid));
}

TEST_F(HttpServerTest, StopEndsItAndFreesThePort) {
  const std::string address = "127.0.0.1:" + std::to_string(server_.port());
  server_.Stop();
  HttpServer second;
  EXPECT_TRUE(second.Start(address).ok());
}

}  // namespace
}  // namespace oms::runtime
