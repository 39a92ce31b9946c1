// What dumping and loading share: files of the backup folder, and the words of a tool.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "controller/base/context.h"
#include "controller/base/fd.h"
#include "controller/base/result.h"

namespace oms::drivers::dump {

// kTransient "BackupVolume", with errno's words.
base::Error VolumeError(std::string_view doing, const std::filesystem::path& path);

// A file that is written once: O_EXCL, 0600, fsynced by Close().
class NewFile {
 public:
  static base::Result<std::unique_ptr<NewFile>> Create(const std::filesystem::path& path);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  base::Status Write(std::string_view bytes);
  base::Status Close();

 private:
  NewFile(base::Fd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}
  base::Fd fd_;
  std::filesystem::path path_;
};

// Writes client.cnf, which holds a password, into a folder of this process alone; its path.
base::Result<std::string> WriteOptionFile(const std::string& folder, std::string_view text);

// Gives the file's bytes to `sink`, a megabyte at a time.
base::Status ReadAll(const base::Context& ctx, const std::filesystem::path& path,
                     const std::function<base::Status(std::string_view)>& sink);

// The last words of a tool on one line, without the secret, and without process id and time before
// a message of mydumper's.
std::string ToolWords(std::string text, const std::string& secret);

}  // namespace oms::drivers::dump
