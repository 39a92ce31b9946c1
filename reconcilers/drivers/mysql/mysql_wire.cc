#include "reconcilers/drivers/mysql/mysql_wire.h"

#include <dlfcn.h>
#include <fcntl.h>

#include "reconcilers/drivers/mysql/nobodys_key.h"

namespace {

thread_local void* last_made = nullptr;
thread_local auto next_logs_in = oms::drivers::mysql::MysqlWire::LogIn::kAnyhow;

constexpr int kServerPublicKey = 35;                   // MYSQL_SERVER_PUBLIC_KEY
constexpr int kMaxAllowedPacket = 39;                  // MYSQL_OPT_MAX_ALLOWED_PACKET
constexpr int kRestrictedAuth = 7026;                  // MARIADB_OPT_RESTRICTED_AUTH
constexpr unsigned long kRememberOptions = 1UL << 31;  // CLIENT_REMEMBER_OPTIONS

// A function of the library, by its name; null: the library is another one.
template <typename Function>
Function Library(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

int SetOption(void* handle, int option, const void* value) {
  static const auto set = Library<int (*)(void*, int, const void*)>("mysql_options");
  return set(handle, option, value);
}

bool Restrict(void* handle) {
  const std::string& key = oms::drivers::mysql::NobodysKeyFile();
  return !key.empty() && SetOption(handle, kServerPublicKey, key.c_str()) == 0 &&
         SetOption(handle, kRestrictedAuth, oms::drivers::mysql::kScramblingPlugins) == 0;
}

}  // namespace

extern "C" void* mysql_init(void* handle);
extern "C" void* mysql_init(void* handle) {
  static const auto real = Library<void* (*)(void*)>("mysql_init");
  void* made = real(handle);
  if (made != nullptr && next_logs_in == oms::drivers::mysql::MysqlWire::LogIn::kWithoutShowing &&
      !Restrict(made)) {
    return last_made = nullptr;  // As if there were no memory for it.
  }
  return last_made = made;
}

// The library copies the path of the key for each connection and never frees it (3.3: 16 bytes).
// Unset it is freed; so a login that fails must not forget its options before that.
extern "C" void* mysql_real_connect(void* handle, const char* host, const char* user,
                                    const char* password, const char* database, unsigned port,
                                    const char* socket, unsigned long flags);
extern "C" void* mysql_real_connect(void* handle, const char* host, const char* user,
                                    const char* password, const char* database, unsigned port,
                                    const char* socket, unsigned long flags) {
  static const auto real = Library<decltype(&mysql_real_connect)>("mysql_real_connect");
  return real(handle, host, user, password, database, port, socket, flags | kRememberOptions);
}

extern "C" void mysql_close(void* handle);
extern "C" void mysql_close(void* handle) {
  static const auto real = Library<decltype(&mysql_close)>("mysql_close");
  if (handle != nullptr) SetOption(handle, kServerPublicKey, nullptr);
  if (last_made == handle) last_made = nullptr;
  real(handle);
}

namespace oms::drivers::mysql {

void MysqlWire::Init(unsigned long most_bytes) {
  // Connector/C++ hands an int over where it reads a long.
  SetOption(nullptr, kMaxAllowedPacket, &most_bytes);
  NobodysKeyFile();  // Takes a moment, which is not to be the first call's.
}

bool MysqlWire::InPlace() {
  static const bool all =
      dlsym(RTLD_DEFAULT, "mysql_init") == reinterpret_cast<void*>(&mysql_init) &&
      dlsym(RTLD_DEFAULT, "mysql_real_connect") == reinterpret_cast<void*>(&mysql_real_connect) &&
      dlsym(RTLD_DEFAULT, "mysql_close") == reinterpret_cast<void*>(&mysql_close);
  return all;
}

void MysqlWire::NextLogsIn(LogIn how) { next_logs_in = how; }

MysqlWire MysqlWire::Last() {
  MysqlWire wire;
  wire.handle_ = last_made;
  return wire;
}

unsigned MysqlWire::error() const {
  static const auto number = Library<unsigned (*)(void*)>("mysql_errno");
  return number(handle_);
}

std::string MysqlWire::error_text() const {
  static const auto text = Library<const char* (*)(void*)>("mysql_error");
  return text(handle_);
}

base::Fd MysqlWire::CopySocket() const {
  static const auto socket = Library<int (*)(void*)>("mysql_get_socket");
  const int fd = socket(handle_);
  return base::Fd(fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

}  // namespace oms::drivers::mysql
