#include "controller/base/tls.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "tests/fakes/tls_identity.h"

namespace oms::base {
namespace {

using fakes::Identity;

TlsFault FaultOf(const TlsClientSetup& setup) {
  TlsFault fault = TlsFault::kNone;
  const TlsContext context = NewTlsClient(setup, &fault);
  EXPECT_EQ(context == nullptr, fault != TlsFault::kNone);
  return fault;
}

TEST(TlsClient, BelievesTheCasOfItsTextAndNobodyElse) {
  const std::string cas = Identity().CertificatePem() + Identity().CertificatePem();
  const TlsContext context = NewTlsClient({.ca = cas});
  ASSERT_NE(context, nullptr);
  const STACK_OF(X509_OBJECT)* believed =
      X509_STORE_get0_objects(SSL_CTX_get_cert_store(context.get()));
  EXPECT_EQ(sk_X509_OBJECT_num(believed), 2);
  EXPECT_EQ(SSL_CTX_get_verify_mode(context.get()), SSL_VERIFY_PEER);
  EXPECT_EQ(SSL_CTX_get_min_proto_version(context.get()), TLS1_2_VERSION);
}

TEST(TlsClient, ForgetsWhatAContextBelievedBefore) {
  const TlsContext context(SSL_CTX_new(TLS_client_method()));
  const Identity before;
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), before.certificate.get());
  const std::string ca = Identity().CertificatePem();
  EXPECT_EQ(SetUpTlsClient(context.get(), {.ca = ca}), TlsFault::kNone);
  EXPECT_EQ(sk_X509_OBJECT_num(X509_STORE_get0_objects(SSL_CTX_get_cert_store(context.get()))), 1);
}

TEST(TlsClient, ShowsAChainAndItsKey) {
  const Identity ca(nullptr, "a ca");
  const Identity own(&ca);
  const std::string authority = ca.CertificatePem(), chain = own.CertificatePem() + authority;
  const base::Secret key = own.KeyPem();
  const TlsContext context =
      NewTlsClient({.ca = authority, .certificates = chain, .key = key.Reveal()});
  ASSERT_NE(context, nullptr);
  EXPECT_EQ(X509_cmp(SSL_CTX_get0_certificate(context.get()), own.certificate.get()), 0);
  STACK_OF(X509)* more = nullptr;
  SSL_CTX_get0_chain_certs(context.get(), &more);
  EXPECT_EQ(sk_X509_num(more), 1);
}

TEST(TlsClient, TellsEachFaultFromTheOthers) {
  const Identity own, another;
  const std::string certificate = own.CertificatePem();
  const base::Secret key = own.KeyPem(), locked = own.KeyPem("a password"),
                     anothers = another.KeyPem();
  EXPECT_EQ(FaultOf({.ca = ""}), TlsFault::kNoCa);
  EXPECT_EQ(FaultOf({.ca = "nothing"}), TlsFault::kNoCa);
  EXPECT_EQ(FaultOf({.ca = certificate}), TlsFault::kNone);
  const auto shown = [&](std::string_view certificates, const base::Secret& of) {
    return FaultOf({.ca = certificate, .certificates = certificates, .key = of.Reveal()});
  };
  EXPECT_EQ(shown(certificate, key), TlsFault::kNone);
  EXPECT_EQ(shown("nothing", key), TlsFault::kCertificateUnreadable);
  EXPECT_EQ(shown(certificate, base::Secret("nothing")), TlsFault::kKeyUnreadable);
  EXPECT_EQ(shown(certificate, locked), TlsFault::kKeyUnreadable) << "nobody is asked";
  EXPECT_EQ(shown(certificate, anothers), TlsFault::kKeyOfAnother);
}

}  // namespace
}  // namespace oms::base
