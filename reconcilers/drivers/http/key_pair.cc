#include "reconcilers/drivers/http/key_pair.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <vector>

#include "crd/reasons.h"

namespace oms::drivers::http {
namespace {

using base::Code;
using base::MakeError;
using base::Result;

struct Free {
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

}  // namespace

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
