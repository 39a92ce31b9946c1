// PrivateFolder: a folder of this process alone (0700) where temporary files go, removed with all
// that is in it.
//
// What a killed process left is removed by the next Make. A lock (flock) tells whether its process
// still lives, as the kernel gives it back whatever happens. A process id does not: in a container
// the next process has the same one, and another container that shares the folder as well.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "controller/base/fd.h"
#include "controller/base/result.h"

namespace oms::drivers::os {

class PrivateFolder {
 public:
  PrivateFolder() = default;  // None.
  // <temporary files>/<prefix>XXXXXX. Error kTransient.
  static base::Result<PrivateFolder> Make(std::string_view prefix);
  PrivateFolder(PrivateFolder&& other) noexcept;
  PrivateFolder& operator=(PrivateFolder&& other) noexcept;
  ~PrivateFolder();

  const std::string& path() const { return path_; }

 private:
  explicit PrivateFolder(std::string path) : path_(std::move(path)) {}

  std::string path_;
  base::Fd lock_;
};

}  // namespace oms::drivers::os
