#include "reconcilers/record/restore_guide.h"

#include <fmt/format.h>

#include <utility>

namespace oms::record {
namespace {

// Two servers have two users.
std::string ClientFile(const Manifest& manifest, const ManifestDatabase& database) {
  const bool first = database.server_identity == manifest.databases.front().server_identity;
  return first ? "client.cnf" : "client-cm.cnf";
}

std::string SecondServerText(const Manifest& manifest) {
  for (const auto& database : manifest.databases) {
    const std::string file = ClientFile(manifest, database);
    if (file == "client.cnf") continue;
    return fmt::format("\nThat one is for the server {}; make `{}` in the same way for {}.\n",
                       manifest.databases.front().server, file, database.server);
  }
  return {};
}

// A guide in its making: each part appends what it is for, with the next number.
class Guide {
 public:
  Guide(const Manifest& manifest, const RestoreHints& hints)
      : manifest_(manifest),
        hints_(hints),
        zstd_(manifest.compression == ports::Compression::kZstd) {}

  std::string Text() {
    StopWhatRuns();
    for (const auto& database : manifest_.databases) LoadDatabase(database);
    PutConfigsBack();
    StartTheOldContainer();
    StartTheOthers();
    SwitchHaOn();
    return std::move(text_);
  }

 private:
  void StopWhatRuns() {
    text_ = fmt::format(
        R"(# How to restore OMS {0} manually

This folder contains the databases of OMS {0} as they were at {1}, dumped by {2}
{7}. The commands below need a shell in this folder, the MariaDB or MySQL
client{3}, and a file `client.cnf` (mode 0600) with the login to the MetaDB:

    [client]
    user=...
    password="..."
{6}
Each command must end without an error message; if one does not, start again with the first
command of its database.

1. Check that the files are intact:

        sha256sum -c {4}

2. If the console still answers: System Management > System Parameters, set `enable` of `ha.config`
   to false. Then stop the running OMS container{5}, and disable its automatic restart:

        docker update --restart no <new container>
        docker stop <new container>
)",
        manifest_.from, manifest_.completed, ToString(manifest_.tool), zstd_ ? ", zstd" : "",
        kSumsName, hints_.others.empty() ? "" : ", on every node before you continue",
        SecondServerText(manifest_),
        manifest_.written_meanwhile ? "in one transaction each, while component containers kept "
                                      "writing. What they have\nwritten since then is not in it"
                                    : "while OMS was stopped");
    for (const auto& component : hints_.components) {
      text_ += fmt::format(R"(
   The component container on node {} was never stopped, and writes to these databases as well; what
   the upgrade assistant put into it is not removed by any command:

        docker update --restart no {}
        docker stop {}
)",
                           component.name, component.container, component.container);
    }
  }

  void LoadDatabase(const ManifestDatabase& database) {
    const std::string suffix = zstd_ ? ".sql.zst" : ".sql";
    const std::string read = zstd_ ? "zstd -dcq" : "cat";
    const auto& name = database.name;
    const size_t colon = database.server.rfind(':');
    const std::string host = database.server.substr(0, colon);
    const std::string port =
        colon == std::string::npos ? "<port>" : database.server.substr(colon + 1);
    const std::string client =
        fmt::format("mysql --defaults-file={} --local-infile=0 --protocol=tcp -h {} -P {}",
                    ClientFile(manifest_, database), host, port);
    // As the controller's own loading sets it.
    const std::string into = fmt::format(
        R"({} --binary-mode --comments --max-allowed-packet=1G --init-command="SET SESSION )"
        R"(sql_mode='NO_AUTO_VALUE_ON_ZERO', time_zone='+00:00', foreign_key_checks=0{}" '{}')",
        client,
        database.oceanbase ? ", ob_query_timeout=86400000000, ob_trx_timeout=86400000000" : "",
        name);
    text_ += fmt::format(R"(
{}. Database `{}` ({}; {} bytes here), on {} {}. The first command deletes its current content:

        {} -e 'DROP DATABASE IF EXISTS `{}`; CREATE DATABASE `{}` DEFAULT CHARACTER SET {} COLLATE {}'
)",
                         n_++, name, database.role, database.Bytes(),
                         database.oceanbase ? "OceanBase" : "the server", database.server, client,
                         name, name, database.digest.charset, database.digest.collation);
    if (manifest_.tool == ports::DumpTool::kMydumper) {
      text_ += fmt::format(
          "        find '{0}' -name '{0}.*-schema{1}' -exec {2} {{}} + | {3}\n"
          "        find '{0}' -name '{0}.*{1}' ! -name '*-schema{1}' -exec {2} {{}} + | {3}\n",
          name, suffix, read, into);
    } else {
      text_ += fmt::format("        {2} '{0}/{0}{1}' | {3}\n", name, suffix, read, into);
    }
    text_ += fmt::format("        {2} '{0}/{0}-objects{1}' | {3}\n", name, suffix, read, into);
  }

  // Of those that were edited in place.
  void PutConfigsBack() {
    if (!hints_.config_copy.empty()) {
      text_ += fmt::format(R"(
{}. Restore config.yaml, which was edited in place; its owner and mode do not change:

        cat '{}' > '{}'
)",
                           n_++, hints_.config_copy, hints_.config_place);
    }
    for (const auto& other : hints_.others) {
      if (other.config_copy.empty()) continue;
      text_ += fmt::format(R"(
{}. The same on node {}:

        cat '{}' > '{}'
)",
                           n_++, other.name, other.config_copy, other.config_place);
    }
  }

  void StartTheOldContainer() {
    const std::string container =
        manifest_.container_name.empty() ? "<old container>" : manifest_.container_name;
    text_ += fmt::format(
        R"(
{}. Start the old container{}, which was never renamed or removed, and enable its automatic restart
   as before:

        docker restart {}
        docker update --restart {} {}
)",
        n_++, hints_.node.empty() ? "" : " on node " + hints_.node, container,
        hints_.restart_policy.empty() ? "<its policy before>" : hints_.restart_policy, container);
    if (!hints_.image_archive.empty()) {
      text_ += fmt::format(R"(
   If `docker ps -a` does not show it, somebody has removed it. `docker load -i '{}'`
   restores its image ({}); its settings are in ../../record/, in the newest file, as
   `oldInspect`: the same mounts, OMS_HOST_IP and flags as for the current container.
)",
                           hints_.image_archive, hints_.old_image);
    }
  }

  void StartTheOthers() {
    for (const auto& other : hints_.others) {
      text_ += fmt::format(
          R"(
{}. The same on node {}{}:

        docker restart {}
        docker update --restart {} {}
)",
          n_++, other.name,
          other.image_archive.empty() ? ""
                                      : fmt::format(" (a copy of its image {}: '{}')",
                                                    other.old_image, other.image_archive),
          other.container, other.restart_policy, other.container);
    }
    for (const auto& component : hints_.components) {
      text_ += fmt::format(
          R"(
{}. The component container on node {}, once all of the above are running:

        docker start {}
        docker update --restart {} {}
)",
          n_++, component.name, component.container, component.restart_policy, component.container);
    }
  }

  void SwitchHaOn() {
    text_ += fmt::format(R"(
{}. In the console, System Management > System Parameters: set `enable` of
   `ha.config` to true again, and `perceiveStoreClientCheckpoint` to true.
   Resume the Full-Import components manually.

`manifest_.json` has the rows and checksums of each table, for comparison{}.
)",
                         n_,
                         manifest_.written_meanwhile
                             ? "; those of a table that is \"moving\" changed during the dump"
                             : "");
  }

  const Manifest& manifest_;
  const RestoreHints& hints_;
  const bool zstd_;
  std::string text_;
  int n_ = 3;  // The two steps before the databases have theirs in the text.
};

}  // namespace

std::string RestoreText(const Manifest& manifest, const RestoreHints& hints) {
  return Guide(manifest, hints).Text();
}

}  // namespace oms::record
