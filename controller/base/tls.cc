#include "controller/base/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

namespace oms::base {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

Bio Open(std::string_view pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
}

TlsFault Show(SSL_CTX* context, const TlsClientSetup& setup) {
  const Bio chain = Open(setup.certificates);
  X509* leaf = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr);
  if (leaf == nullptr) return TlsFault::kCertificateUnreadable;
  const bool used = SSL_CTX_use_certificate(context, leaf) == 1;
  X509_free(leaf);
  if (!used) return TlsFault::kCertificateUnusable;
  while (X509* more = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, more) != 1) X509_free(more);
  }
  ERR_clear_error();
  const Bio text = Open(setup.key);
  // A key that asks for a pass phrase must fail, not ask on the terminal.
  const auto no_phrase = [](char*, int, int, void*) { return 0; };
  EVP_PKEY* key = PEM_read_bio_PrivateKey(text.get(), nullptr, no_phrase, nullptr);
  if (key == nullptr) return TlsFault::kKeyUnreadable;
  const bool matches = SSL_CTX_use_PrivateKey(context, key) == 1;
  EVP_PKEY_free(key);
  return matches ? TlsFault::kNone : TlsFault::kKeyOfAnother;
}

}  // namespace

void FreeTls::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

TlsFault SetUpTlsClient(ssl_ctx_st* context, const TlsClientSetup& setup) {
  X509_STORE* store = X509_STORE_new();
  SSL_CTX_set_cert_store(context, store);  // Takes it; the one before is gone.
  const Bio ca = Open(setup.ca);
  bool any = false;
  while (X509* certificate = PEM_read_bio_X509(ca.get(), nullptr, nullptr, nullptr)) {
    X509_STORE_add_cert(store, certificate);
    X509_free(certificate);
    any = true;
  }
  ERR_clear_error();  // The end of the text is an error to OpenSSL.
  if (!any) return TlsFault::kNoCa;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  const TlsFault fault = setup.certificates.empty() ? TlsFault::kNone : Show(context, setup);
  ERR_clear_error();
  return fault;
}

TlsContext NewTlsClient(const TlsClientSetup& setup, TlsFault* fault) {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  const TlsFault found = SetUpTlsClient(context.get(), setup);
  if (fault != nullptr) *fault = found;
  if (found != TlsFault::kNone) context.reset();
  return context;
}

}  // namespace oms::base
