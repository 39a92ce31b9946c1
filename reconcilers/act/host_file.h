// Files on an engine's host, beside the ones that a container mounts.
//
// An archive PUT onto a mounted file fails or truncates it, so the host's folder is bound into a
// helper container, and a script there writes a temporary file, sets owner and mode, syncs, and
// renames it. The helper is made of the OMS image, which is on the host
// anyway and has /bin/sh, cp, chown, chmod, sync, ln and mv.
//
// What is there and is not ours is never replaced: a first write makes a file and takes no other's
// place, and no write goes through, or takes the place of, a symbolic link.
//
// All of it can be called again after a crash at any place: the helper's name is given by the
// caller and stays the same, and one that was left over is removed first. A container of that name
// that does not carry the labels is somebody else's, and is left alone (kAlreadyExists).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/container_engine.h"

namespace oms::act {

struct Helper {
  std::string name;
  std::string image_id;
  std::map<std::string, std::string> labels;  // At least one.
};

struct HostFileRequest {
  Helper helper;
  std::string host_folder;  // Absolute; must exist.
  std::string file_name;    // [A-Za-z0-9._-], not beginning with '.' or '-'.
  std::string content;
  int64_t uid = 0;
  int64_t gid = 0;
  uint32_t mode = 0600;
  // What it takes the place of. kEmptyFolder: of what an engine makes where the file that a
  // container mounts is gone, or of nothing.
  enum class Over { kOurs, kNothing, kEmptyFolder };
  Over over = Over::kOurs;
};

// kTerminal "HostFile" with the helper's last lines if the script failed. kAlreadyExists
// "HostFileExists": something is there that it was not to take the place of.
base::Status WriteHostFile(const base::Context& ctx, ports::ContainerEngine& engine,
                           const HostFileRequest& request);

// Success if it was not there. Else as above.
base::Status RemoveHostFile(const base::Context& ctx, ports::ContainerEngine& engine,
                            const Helper& helper, const std::string& host_folder,
                            const std::string& file_name);

struct HostFileLook {
  ports::PathInfo path;
  std::optional<ports::FileContent> file;  // Of a regular file.
};
// What is there, as it is. The helper is created, never started. kNotFound if there is nothing.
base::Result<HostFileLook> LookAtHostFile(const base::Context& ctx, ports::ContainerEngine& engine,
                                          const Helper& helper, const std::string& host_folder,
                                          const std::string& file_name);

// Whether the image has a file at `path`; read through a container that is created, not started.
base::Result<bool> ImageHasFile(const base::Context& ctx, ports::ContainerEngine& engine,
                                const Helper& helper, const std::string& path);

}  // namespace oms::act
