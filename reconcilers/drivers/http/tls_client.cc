#include "reconcilers/drivers/http/tls_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <vector>

#include "crd/reasons.h"

namespace oms::drivers::http {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

struct Free {
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

Owned<BIO> Text(const std::string& text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::vector<Owned<X509>> Certificates(const std::string& pem) {
  std::vector<Owned<X509>> all;
  const Owned<BIO> text = Text(pem);
  while (X509* one = PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)) {
    all.emplace_back(one);
  }
  ERR_clear_error();  // The end of the text is an error to OpenSSL.
  return all;
}

base::Error Untrusted(std::string_view why) {
  return MakeError(Code::kTransient, crd::reason::kCertificateUntrusted,
                   fmt::format("its HTTPS certificate is not trusted: {}", why));
}

// A key that asks for a password must not make OpenSSL ask a person at the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

Result<base::WallTime> Time(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    return MakeError(Code::kInvalid, crd::reason::kCertificateUnreadable,
                     "the certificate's dates are invalid");
  }
  return base::WallTimeOf(timegm(&parts));
}

class Client final : public TlsClient {
 public:
  Client(Owned<SSL_CTX> context, Owned<SSL> ssl)
      : context_(std::move(context)), ssl_(std::move(ssl)) {}

  // The handshake alone.
  Status Connect(const Wait& wait) {
    OMS_TRY(Until(wait, [&] { return SSL_connect(ssl_.get()); }).status);
    connected_ = true;
    return base::Ok();
  }
  Status Write(std::string_view data, const Wait& wait) override {
    while (!data.empty()) {
      const int size = static_cast<int>(std::min<size_t>(data.size(), 1 << 20));
      const Step step = Until(wait, [&] { return SSL_write(ssl_.get(), data.data(), size); });
      OMS_TRY(step.status);
      if (step.bytes == 0) return MakeError(Code::kTransient, "it closed the connection");
      data.remove_prefix(step.bytes);
    }
    return base::Ok();
  }
  Result<size_t> Read(char* data, size_t size, const Wait& wait) override {
    const int limit = static_cast<int>(std::min<size_t>(size, 1 << 20));
    const Step step = Until(wait, [&] { return SSL_read(ssl_.get(), data, limit); });
    if (!step.status.ok()) return step.status.error();
    return step.bytes;
  }
  SSL* ssl() { return ssl_.get(); }

 private:
  struct Step {
    Status status;
    size_t bytes = 0;
  };

  template <typename F>
  Step Until(const Wait& wait, F operation) {
    for (;;) {
      ERR_clear_error();
      const int done = operation();
      if (done > 0) return {base::Ok(), static_cast<size_t>(done)};
      switch (SSL_get_error(ssl_.get(), done)) {
        case SSL_ERROR_WANT_READ:
          if (auto ready = wait(POLLIN); !ready.ok()) return {ready};
          break;
        case SSL_ERROR_WANT_WRITE:
          if (auto ready = wait(POLLOUT); !ready.ok()) return {ready};
          break;
        case SSL_ERROR_ZERO_RETURN: return {base::Ok(), 0};
        default: return Failed();
      }
    }
  }

  Step Failed() {
    const unsigned long code = ERR_peek_error();
    if (const long verified = SSL_get_verify_result(ssl_.get());
        !connected_ && verified != X509_V_OK) {
      return {Untrusted(X509_verify_cert_error_string(verified))};
    }
    // HTTP/1.0 ends with the connection; not each server says so by TLS's own means.
    if (connected_ && (code == 0 || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
      return {base::Ok(), 0};
    }
    const char* why = code == 0 ? "the connection ended" : ERR_reason_error_string(code);
    return {MakeError(
        Code::kTransient, crd::inner_reason::kRefused,
        fmt::format("the server there does not speak HTTPS ({})", why == nullptr ? "?" : why))};
  }

  Owned<SSL_CTX> context_;
  Owned<SSL> ssl_;
  bool connected_ = false;  // OpenSSL itself forgets it at the first error.
};

bool IsAddress(const std::string& name) {
  in6_addr any{};
  return inet_pton(AF_INET, name.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &any) == 1;
}

void AskFor(SSL* ssl, const std::string& name) {
  if (IsAddress(name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, name.c_str());
    SSL_set1_host(ssl, name.c_str());
  }
}

}  // namespace

Result<std::unique_ptr<TlsClient>> TlsClient::Open(int fd, const ports::HttpsTrust& trust,
                                                   const Wait& wait) {
  const auto certificates = Certificates(trust.certificates);
  if (certificates.empty()) return Untrusted("there is no certificate to compare it with");
  Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  const bool pinned = trust.server_name.empty();
  if (!pinned) {
    // SSL_CTX_new made an empty store: no public CA is in it.
    for (const auto& ca : certificates) {
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), ca.get());
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  Owned<SSL> ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), fd);
  SSL_set_mode(ssl.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (!pinned) AskFor(ssl.get(), trust.server_name);
  auto client = std::make_unique<Client>(std::move(context), std::move(ssl));
  OMS_TRY(client->Connect(wait));
  if (pinned) {
    const Owned<X509> peer(SSL_get1_peer_certificate(client->ssl()));
    if (peer == nullptr || X509_cmp(peer.get(), certificates.front().get()) != 0) {
      return Untrusted("it differs from the certificate that is mounted into the container");
    }
  }
  return std::unique_ptr<TlsClient>(std::move(client));
}

Result<ports::CertificateInfo> ReadKeyPair(const std::string& certificate,
                                           const base::Secret& key) {
  const auto certificates = Certificates(certificate);
  if (certificates.empty()) {
    return MakeError(Code::kInvalid, crd::reason::kCertificateUnreadable,
                     "it contains no PEM certificate");
  }
  const Owned<BIO> text = Text(key.Reveal());
  const Owned<EVP_PKEY> own(PEM_read_bio_PrivateKey(text.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (own == nullptr) {
    return MakeError(Code::kInvalid, crd::reason::kKeyUnreadable,
                     "it contains no PEM key without a passphrase");
  }
  X509* first = certificates.front().get();
  const bool together = X509_check_private_key(first, own.get()) == 1;
  ERR_clear_error();
  if (!together) {
    return MakeError(Code::kInvalid, crd::reason::kKeyOfAnotherCertificate,
                     "the key does not belong to the certificate");
  }
  ports::CertificateInfo info;
  OMS_ASSIGN(info.not_before, Time(X509_get0_notBefore(first)));
  OMS_ASSIGN(info.not_after, Time(X509_get0_notAfter(first)));
  return info;
}

}  // namespace oms::drivers::http
