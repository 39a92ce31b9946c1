// TLS as a client: the one place that says how. TLS 1.2 or newer; who is believed, and what is shown,
// are PEM texts. OpenSSL is in tls.cc only, and its own texts are not used: they could quote the
// input.
#pragma once

#include <memory>
#include <string_view>

struct ssl_ctx_st;  // OpenSSL's own.

namespace oms::base {

struct FreeTls {
  void operator()(ssl_ctx_st* context) const;
};
using TlsContext = std::unique_ptr<ssl_ctx_st, FreeTls>;

struct TlsClientSetup {
  std::string_view ca;            // Believed, and nobody else: not what the system believes.
  std::string_view certificates;  // Shown to the server, the leaf first; empty: none.
  std::string_view key;           // Of the leaf.
};

enum class TlsFault {
  kNone,
  kNoCa,                   // No PEM certificate in it.
  kCertificateUnreadable,  // No PEM certificate.
  kCertificateUnusable,    // One that OpenSSL does not take.
  kKeyUnreadable,          // Not PEM, or it asks for a pass phrase; nobody is asked for that.
  kKeyOfAnother,           // It does not belong to the certificate.
};

// For a context that a library has made: what it believed before is forgotten. The server's
// certificate is verified; its name is for the caller to ask for.
TlsFault SetUpTlsClient(ssl_ctx_st* context, const TlsClientSetup& setup);

// The same, made here. Null: there is a fault.
TlsContext NewTlsClient(const TlsClientSetup& setup, TlsFault* fault = nullptr);

}  // namespace oms::base
