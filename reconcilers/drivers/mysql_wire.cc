#include "reconcilers/drivers/mysql_wire.h"

#include <dlfcn.h>
#include <fcntl.h>

namespace {

thread_local void* last_made = nullptr;

// A function of the library, by its name; null: the library is another one.
template <typename Function>
Function Library(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" void* mysql_init(void* handle);
extern "C" void* mysql_init(void* handle) {
  static const auto real = Library<void* (*)(void*)>("mysql_init");
  return last_made = real(handle);
}

namespace oms::drivers {

void MysqlWire::Init(unsigned long most_bytes) {
  constexpr int kMaxAllowedPacket = 39;  // MYSQL_OPT_MAX_ALLOWED_PACKET
  // Connector/C++ hands an int over where it reads a long.
  static const auto set = Library<int (*)(void*, int, const void*)>("mysql_options");
  if (set != nullptr) set(nullptr, kMaxAllowedPacket, &most_bytes);
}

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

int MysqlWire::CopySocket() const {
  static const auto socket = Library<int (*)(void*)>("mysql_get_socket");
  const int fd = socket(handle_);
  return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

}  // namespace oms::drivers
