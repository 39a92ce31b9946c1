#include "reconcilers/drivers/dump/dump_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/mysql_session.h"

namespace oms::drivers::dump {

namespace fs = std::filesystem;

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;

base::Error VolumeError(std::string_view doing, const fs::path& path) {
  return MakeError(Code::kTransient, crd::reason::kBackupVolume,
                   fmt::format("{} {}: {}", doing, path.string(), std::strerror(errno)));
}

Result<std::unique_ptr<NewFile>> NewFile::Create(const fs::path& path) {
  base::Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return VolumeError("cannot make", path);
  return std::unique_ptr<NewFile>(new NewFile(std::move(fd), path));
}

Status NewFile::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return VolumeError("cannot write", path_);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return base::Ok();
}

Status NewFile::Close() {
  const bool synced = fsync(fd_.get()) == 0;
  const bool closed = close(fd_.Release()) == 0;
  if (!synced || !closed) return VolumeError("cannot sync", path_);
  return base::Ok();
}

Result<std::string> WriteOptionFile(const std::string& folder, std::string_view text) {
  const fs::path path = fs::path(folder) / "client.cnf";
  OMS_ASSIGN(auto file, NewFile::Create(path));
  OMS_TRY(file->Write(text));
  OMS_TRY(file->Close());
  return path.string();
}

Status ReadAll(const Context& ctx, const fs::path& path,
               const std::function<Status(std::string_view)>& sink) {
  const base::Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return VolumeError("cannot read", path);
  std::string buffer(1 << 20, '\0');
  Status status;
  while (status.ok()) {
    const ssize_t n = read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status = VolumeError("cannot read", path);
    if (n <= 0) break;
    status = ctx.Check();
    if (status.ok()) status = sink(std::string_view(buffer).substr(0, static_cast<size_t>(n)));
  }
  return status;
}

namespace {

// GLib's head of a message, "** (mydumper:4711): CRITICAL **: 12:34:56.789: ", which tells a reader
// nothing.
void CutGlibHeads(std::string& text) {
  constexpr std::string_view kHead = "** (", kMiddle = " **: ";
  for (size_t at = text.find(kHead); at != std::string::npos; at = text.find(kHead, at)) {
    const size_t line = text.find('\n', at);
    size_t end = text.find(kMiddle, at);
    if (end == std::string::npos || end > line) {
      at += kHead.size();
      continue;
    }
    end += kMiddle.size();
    const size_t time = text.find_first_not_of("0123456789:.", end);
    if (time != std::string::npos && time > end && text[time] == ' ') end = time + 1;
    text.erase(at, end - at);
  }
}

}  // namespace

std::string ToolWords(std::string text, const std::string& secret) {
  constexpr size_t kWords = 600;
  text = mysql::WithoutSecret(std::move(text), secret);
  CutGlibHeads(text);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  if (text.size() > kWords) text = "..." + text.substr(text.size() - kWords);
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text.substr(std::min(text.find_first_not_of(' '), text.size()));
}

}  // namespace oms::drivers::dump
