#include "reconcilers/drivers/mysql/nobodys_key.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>

#include "controller/base/fd.h"

namespace oms::drivers::mysql {
namespace {

std::string PublicHalf() {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_RSA_gen(2048), &EVP_PKEY_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
  if (!key || !out || PEM_write_bio_PUBKEY(out.get(), key.get()) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

// By its descriptor, which stays open: nobody can take the file away, or put another in its place.
std::string Make() {
  const std::string pem = PublicHalf();
  base::Fd fd(pem.empty() ? -1 : memfd_create("nobodys-key", MFD_CLOEXEC));
  if (!fd.valid()) return {};
  if (write(fd.get(), pem.data(), pem.size()) != static_cast<ssize_t>(pem.size())) return {};
  return fmt::format("/proc/self/fd/{}", fd.Release());
}

}  // namespace

const std::string& NobodysKeyFile() {
  static const auto* file = new std::string(Make());
  return *file;
}

}  // namespace oms::drivers::mysql
