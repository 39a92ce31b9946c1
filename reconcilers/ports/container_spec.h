// ContainerSpec: what a container is made of, in our words. The engine never starts such a container
// by itself again, and never removes it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace oms::ports {

struct HostMount {
  std::string source;  // On the engine's host.
  std::string destination;
  bool writable = true;
  // A folder is made where there is none at `source`; else the engine refuses the container.
  bool make_source = false;
};

// All settings of a container that there is or was, but for what is said here.
struct ContainerTemplate {
  std::string inspect;  // ContainerInfo::inspect
  // ImageInfo::inspect of its image: what came from that is left to the new image. Nullopt: the new
  // one is the same image, so everything stays, the host name too.
  std::optional<std::string> image_inspect;
  std::string without_labels;  // Those that begin so are not handed down; empty: all are.
  std::map<std::string, std::string> env;  // Set over its own.
  // By destination: the host's file that is mounted there instead.
  std::map<std::string, std::string> sources;
};

struct ContainerSpec {
  std::string image;                          // By its name, or its id.
  std::map<std::string, std::string> labels;  // Over those of `like`.
  std::optional<ContainerTemplate> like;

  // Of one that is like no other:
  std::vector<std::string> entrypoint, command;  // Empty: the image's.
  std::string user;                              // Empty: the image's.
  bool network = true;
  bool hosts_users = false;  // User ids are the host's, also where the engine maps them.
  bool health_check = true;  // The image's, if it has one.
  std::vector<HostMount> mounts;
};

}  // namespace oms::ports
