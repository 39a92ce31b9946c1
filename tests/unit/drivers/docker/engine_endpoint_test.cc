// How an engine that is reached by TLS and does not answer as one is told.
#include "reconcilers/drivers/docker/engine_endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "controller/base/log.h"
#include "tests/fakes/tcp_server.h"
#include "tests/fakes/tls_identity.h"

namespace oms::drivers::docker {
namespace {

using base::Code;
using fakes::Identity;
using fakes::TcpServer;
using testing::HasSubstr;

base::Error Connect(const TcpServer& server, const base::Secret& ca, const base::Secret& cert,
                    const base::Secret& key) {
  static const base::SystemClock clock;
  const auto endpoint =
      ParseEndpoint({"tcp://127.0.0.1:" + std::to_string(server.port), ca, cert, key});
  EXPECT_TRUE(endpoint.ok());
  const auto stream =
      ConnectToEngine(base::Context(clock, {}).WithTimeout(std::chrono::seconds(20)), *endpoint);
  return stream.ok() ? base::Error{} : stream.error();
}

base::Error Connect(const TcpServer& server) {
  const Identity own;
  const base::Secret certificate(own.CertificatePem());
  return Connect(server, certificate, certificate, own.KeyPem());
}

TEST(ConnectToEngine, AnEngineThatGoesAwayInTheHandshakeIsNotReachedAndNotRefused) {
  const TcpServer server([](int connection) {
    char buffer[4096];
    (void)!read(connection, buffer, sizeof buffer);
  });
  const auto error = Connect(server);
  EXPECT_EQ(error.code, Code::kTransient) << error.message;
  EXPECT_EQ(error.reason, "EngineUnreachable");
  EXPECT_THAT(error.message, HasSubstr("the connection ended"));
}

TEST(ConnectToEngine, WhatSpeaksNoTlsRefusesIt) {
  const TcpServer server([](int connection) {
    char buffer[4096];
    (void)!read(connection, buffer, sizeof buffer);
    const std::string_view answer = "HTTP/1.0 400 Bad Request\r\n\r\n";
    (void)!write(connection, answer.data(), answer.size());
  });
  const auto error = Connect(server);
  EXPECT_EQ(error.code, Code::kDenied) << error.message;
  EXPECT_EQ(error.reason, "EngineTls");
}

TEST(ConnectToEngine, EachTextThatCannotBeReadIsNamed) {
  const Identity own, another;
  const base::Secret certificate(own.CertificatePem()), nothing("nothing");
  const TcpServer server([](int) {});
  const auto told = [&](const base::Secret& ca, const base::Secret& cert, const base::Secret& key) {
    const auto error = Connect(server, ca, cert, key);
    EXPECT_EQ(error.code, Code::kInvalid);
    EXPECT_EQ(error.reason, "EngineTls");
    return error.message.substr(0, error.message.find(" for the Docker Engine"));
  };
  EXPECT_EQ(told(nothing, certificate, own.KeyPem()), "ca.pem");
  EXPECT_EQ(told(certificate, nothing, own.KeyPem()), "cert.pem");
  EXPECT_EQ(told(certificate, certificate, nothing), "key.pem, or its match with cert.pem,");
  EXPECT_EQ(told(certificate, certificate, another.KeyPem()),
            "key.pem, or its match with cert.pem,");
}

}  // namespace
}  // namespace oms::drivers::docker
