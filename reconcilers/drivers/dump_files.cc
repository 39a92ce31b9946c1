#include "reconcilers/drivers/dump_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace oms::drivers {

namespace fs = std::filesystem;

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;

base::Error VolumeError(std::string_view doing, const fs::path& path) {
  return MakeError(Code::kTransient, "BackupVolume",
                   fmt::format("{} {}: {}", doing, path.string(), std::strerror(errno)));
}

Result<std::unique_ptr<NewFile>> NewFile::Create(const fs::path& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return VolumeError("cannot make", path);
  return std::unique_ptr<NewFile>(new NewFile(fd, path));
}

NewFile::~NewFile() {
  if (fd_ >= 0) close(fd_);
}

Status NewFile::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return VolumeError("cannot write", path_);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return base::Ok();
}

Status NewFile::Close() {
  const bool synced = fsync(fd_) == 0;
  const bool closed = close(std::exchange(fd_, -1)) == 0;
  if (!synced || !closed) return VolumeError("cannot sync", path_);
  return base::Ok();
}

Status ReadAll(const Context& ctx, const fs::path& path,
               const std::function<Status(std::string_view)>& sink) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return VolumeError("cannot read", path);
  std::string buffer(1 << 20, '\0');
  Status status;
  while (status.ok()) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status = VolumeError("cannot read", path);
    if (n <= 0) break;
    status = ctx.Check();
    if (status.ok()) status = sink(std::string_view(buffer).substr(0, static_cast<size_t>(n)));
  }
  close(fd);
  return status;
}

std::string ToolWords(std::string text, const std::string& secret) {
  constexpr size_t kWords = 600;
  if (secret.size() >= 3) {
    for (size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at)) {
      text.replace(at, secret.size(), "***");
    }
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  if (text.size() > kWords) text = "..." + text.substr(text.size() - kWords);
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

}  // namespace oms::drivers
