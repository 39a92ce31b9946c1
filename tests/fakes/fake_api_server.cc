#include "tests/fakes/fake_api_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace oms::fakes {
namespace {

template <typename Write>
std::string ToPem(Write write) {
  BIO* bio = BIO_new(BIO_s_mem());
  write(bio);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

std::string CertificatePem(X509* certificate) {
  return ToPem([&](BIO* bio) { PEM_write_bio_X509(bio, certificate); });
}

std::string KeyPem(EVP_PKEY* key) {
  return ToPem(
      [&](BIO* bio) { PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

void AddExtension(X509* certificate, int nid, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// Signed by `issuer_key`, by itself when `issuer` is null.
X509* MakeCertificate(const char* name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key,
                      const char* alt_names) {
  static std::atomic<long> serial{1};
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(certificate, issuer != nullptr ? X509_get_subject_name(issuer) : subject);
  AddExtension(certificate, NID_basic_constraints,
               issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
  if (alt_names != nullptr) AddExtension(certificate, NID_subject_alt_name, alt_names);
  X509_sign(certificate, issuer_key, EVP_sha256());
  return certificate;
}

std::string CommonName(X509* certificate) {
  char name[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  return name;
}

}  // namespace

TestPki TestPki::Make() {
  TestPki pki;
  EVP_PKEY* ca_key = EVP_EC_gen("P-256");
  EVP_PKEY* other_key = EVP_EC_gen("P-256");
  EVP_PKEY* server_key = EVP_EC_gen("P-256");
  EVP_PKEY* client_key = EVP_EC_gen("P-256");
  EVP_PKEY* next_key = EVP_EC_gen("P-256");
  X509* ca = MakeCertificate("test-ca", ca_key, nullptr, ca_key, nullptr);
  X509* other = MakeCertificate("other-ca", other_key, nullptr, other_key, nullptr);
  X509* server =
      MakeCertificate("server", server_key, ca, ca_key, "IP:127.0.0.1,DNS:localhost,DNS:kube.test");
  X509* client = MakeCertificate("tester", client_key, ca, ca_key, nullptr);
  X509* next = MakeCertificate("tester-next", next_key, ca, ca_key, nullptr);
  pki.ca_pem = CertificatePem(ca);
  pki.other_ca_pem = CertificatePem(other);
  pki.server_cert_pem = CertificatePem(server);
  pki.server_key_pem = KeyPem(server_key);
  pki.client_cert_pem = CertificatePem(client);
  pki.client_key_pem = KeyPem(client_key);
  pki.next_cert_pem = CertificatePem(next);
  pki.next_key_pem = KeyPem(next_key);
  for (X509* certificate : {ca, other, server, client, next}) X509_free(certificate);
  for (EVP_PKEY* key : {ca_key, other_key, server_key, client_key, next_key}) EVP_PKEY_free(key);
  return pki;
}

void FakeExchange::Write(const std::string& bytes) {
  if (dropped_) return;
  if (SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) <= 0) dropped_ = true;
}

void FakeExchange::Reply(int status, const std::string& text,
                         const std::map<std::string, std::string>& extra_headers) {
  std::string reply =
      fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
                  status, text.size());
  for (const auto& [name, value] : extra_headers) reply += name + ": " + value + "\r\n";
  Write(reply + "\r\n" + text);
}

void FakeExchange::BeginStream() {
  Write(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
}

void FakeExchange::Chunk(const std::string& text) {
  Write(fmt::format("{:x}\r\n", text.size()) + text + "\r\n");
}

void FakeExchange::EndStream() { Write("0\r\n\r\n"); }

void FakeExchange::Drop() {
  dropped_ = true;
  shutdown(fd_, SHUT_RDWR);
}

void FakeExchange::Hang() {
  while (!stop_.stop_requested()) {
    pollfd polled = {fd_, POLLIN, 0};
    if (poll(&polled, 1, 10) <= 0) continue;
    char byte;
    if (SSL_read(ssl_, &byte, 1) <= 0) break;
  }
  dropped_ = true;
}

FakeApiServer::FakeApiServer(Handler handler, bool ask_client_certificate)
    : handler_(std::move(handler)), pki_(TestPki::Make()) {
  signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to connections that the client has closed.
  tls_ = SSL_CTX_new(TLS_server_method());
  const auto bio = [](const std::string& pem) {
    return BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  };
  BIO* cert_bio = bio(pki_.server_cert_pem);
  BIO* key_bio = bio(pki_.server_key_pem);
  BIO* ca_bio = bio(pki_.ca_pem);
  X509* certificate = PEM_read_bio_X509(cert_bio, nullptr, nullptr, nullptr);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(key_bio, nullptr, nullptr, nullptr);
  X509* ca = PEM_read_bio_X509(ca_bio, nullptr, nullptr, nullptr);
  SSL_CTX_use_certificate(tls_, certificate);
  SSL_CTX_use_PrivateKey(tls_, key);
  if (ask_client_certificate) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(tls_), ca);
    SSL_CTX_set_verify(tls_, SSL_VERIFY_PEER, nullptr);
  }
  X509_free(certificate);
  X509_free(ca);
  EVP_PKEY_free(key);
  for (BIO* one : {cert_bio, key_bio, ca_bio}) BIO_free(one);

  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 64) != 0) {
    throw std::runtime_error("the fake API server cannot listen");
  }
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Serve(); });
}

FakeApiServer::~FakeApiServer() {
  stop_.request_stop();
  acceptor_.join();
  for (auto& thread : threads_) thread.join();
  close(listener_);
  SSL_CTX_free(tls_);
}

std::string FakeApiServer::Url() const { return fmt::format("https://127.0.0.1:{}", port_); }

void FakeApiServer::Serve() {
  while (!stop_.stop_requested()) {
    pollfd polled = {listener_, POLLIN, 0};
    if (poll(&polled, 1, 10) <= 0) continue;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const int number = ++connections_;
    std::lock_guard lock(mutex_);
    threads_.emplace_back([this, fd, number] {
      ++open_;
      Talk(fd, number);
      close(fd);
      --open_;
    });
  }
}

void FakeApiServer::Talk(int fd, int number) {
  SSL* ssl = SSL_new(tls_);
  SSL_set_fd(ssl, fd);
  // So that the handshake of a client that does not go on cannot hang the test.
  const timeval limit = {5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  bool usable = SSL_accept(ssl) == 1;
  std::string in;
  while (usable && !stop_.stop_requested()) {
    size_t end;
    while (usable && (end = in.find("\r\n\r\n")) == std::string::npos) {
      if (SSL_pending(ssl) == 0) {
        pollfd polled = {fd, POLLIN, 0};
        if (poll(&polled, 1, 10) == 0) {
          if (stop_.stop_requested()) break;
          continue;
        }
      }
      char buffer[16384];
      const int got = SSL_read(ssl, buffer, sizeof buffer);
      usable = got > 0;
      if (usable) in.append(buffer, static_cast<size_t>(got));
    }
    if (!usable || end == std::string::npos) break;

    FakeExchange exchange;
    exchange.ssl_ = ssl;
    exchange.fd_ = fd;
    exchange.stop_ = stop_.get_token();
    exchange.connection = number;
    if (X509* peer = SSL_get1_peer_certificate(ssl)) {
      exchange.client_common_name = CommonName(peer);
      X509_free(peer);
    }
    const std::string head = in.substr(0, end + 2);
    in.erase(0, end + 4);
    const size_t line_end = head.find("\r\n");
    const std::string line = head.substr(0, line_end);
    exchange.method = line.substr(0, line.find(' '));
    exchange.path = line.substr(line.find(' ') + 1);
    exchange.path = exchange.path.substr(0, exchange.path.find(' '));
    for (size_t at = line_end + 2; at < head.size();) {
      const size_t next = head.find("\r\n", at);
      const std::string header = head.substr(at, next - at);
      at = next + 2;
      const size_t colon = header.find(':');
      std::string name = header.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(), ::tolower);
      exchange.headers[name] = header.substr(header.find_first_not_of(' ', colon + 1));
    }
    size_t length = 0;
    if (exchange.headers.contains("content-length")) {
      length = std::stoul(exchange.headers["content-length"]);
    }
    while (usable && in.size() < length) {
      char buffer[16384];
      const int got = SSL_read(ssl, buffer, sizeof buffer);
      usable = got > 0;
      if (usable) in.append(buffer, static_cast<size_t>(got));
    }
    if (!usable) break;
    exchange.body = in.substr(0, length);
    in.erase(0, length);
    ++requests_;
    handler_(exchange);
    usable = !exchange.dropped_;
  }
  SSL_free(ssl);
  ERR_clear_error();
}

}  // namespace oms::fakes
