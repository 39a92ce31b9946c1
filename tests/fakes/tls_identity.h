// Keys and certificates, made when they are needed.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "controller/base/secret.h"

namespace oms::fakes {

template <typename Write>
std::string Pem(Write write) {
  BIO* bio = BIO_new(BIO_s_mem());
  write(bio);
  char* data = nullptr;
  const auto size = static_cast<size_t>(BIO_get_mem_data(bio, &data));
  const std::string text(data, size);
  BIO_free(bio);
  return text;
}

// A key and a certificate for 127.0.0.1 and oms.example.com, self-signed or by another.
struct Identity {
  explicit Identity(const Identity* issuer = nullptr, const char* name = "a server") {
    key.reset(EVP_EC_gen("P-256"), &EVP_PKEY_free);
    certificate.reset(X509_new(), &X509_free);
    X509* x = certificate.get();
    static int serial = 1;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
    const Identity& by = issuer == nullptr ? *this : *issuer;
    X509_set_issuer_name(x, X509_get_subject_name(by.certificate.get()));
    Extend(NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
    Extend(NID_subject_alt_name, "IP:127.0.0.1,DNS:oms.example.com");
    X509_sign(x, by.key.get(), EVP_sha256());
  }
  void Extend(int nid, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    X509_add_ext(certificate.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  std::string CertificatePem() const {
    return Pem([&](BIO* bio) { PEM_write_bio_X509(bio, certificate.get()); });
  }
  base::Secret KeyPem(const char* password = nullptr) const {
    return base::Secret(Pem([&](BIO* bio) {
      PEM_write_bio_PrivateKey(bio, key.get(), password == nullptr ? nullptr : EVP_aes_128_cbc(),
                               nullptr, 0, nullptr, const_cast<char*>(password));
    }));
  }

  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<X509> certificate;
};

}  // namespace oms::fakes
