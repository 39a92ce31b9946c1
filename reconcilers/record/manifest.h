// The manifest of a backup: what one attempt's folder holds, and what it was made from.
//
// `manifest.json` is written last, so its presence says that all else is there. From NewStarting on
// its sums alone make the backup valid. Beside it lie RESTORE.md and SHA256SUMS
// for a person with nothing but the files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "reconcilers/ports/backup_tool.h"
#include "reconcilers/ports/meta_db.h"
#include "reconcilers/ports/record_store.h"

namespace oms::record {

inline constexpr std::string_view kManifestName = "manifest.json";
inline constexpr std::string_view kRestoreName = "RESTORE.md";
inline constexpr std::string_view kSumsName = "SHA256SUMS";

// The tool's name, as manifest.json and RESTORE.md have it.
std::string_view ToString(ports::DumpTool tool);

struct ManifestDatabase {
  std::string role;  // rm, cm, cm_hb
  std::string name;
  std::string server;           // host:port, for people.
  std::string server_identity;  // DbServerInfo::identity
  std::string server_version;
  bool oceanbase = false;
  std::string tool_version;
  std::vector<ports::DumpFile> files;  // Paths below the attempt's folder.
  ports::DatabaseDigest digest;
  uint64_t Bytes() const;
};

struct Manifest {
  static constexpr int kFormat = 2;  // 1 where nobody wrote meanwhile.

  std::string operation;
  std::string from;  // The OMS version whose state this is.
  ports::DumpTool tool = ports::DumpTool::kMydumper;
  ports::Compression compression = ports::Compression::kZstd;
  // For what it is valid until NewStarting, compared by equality.
  std::string container_id, started_at;
  std::map<std::string, std::string> other_runs;  // As BackupRef's.
  uint64_t heartbeat_max = 0;
  // Component containers went on while it was taken: each database is what one transaction saw, and
  // the sums of the tables that are marked as moving are not compared.
  bool written_meanwhile = false;
  std::string container_name;
  std::string begun, completed;  // RFC 3339.
  std::vector<ManifestDatabase> databases;

  uint64_t TotalBytes() const;
  const ManifestDatabase* Find(std::string_view name) const;

  std::string ToJson() const;
  // kInvalid "ManifestInvalid" if the text is broken, "ManifestFormat" if it is of a newer format:
  // refused, not guessed at.
  static base::Result<Manifest> FromJson(std::string_view text);
};

// As `sha256sum -c` reads it.
std::string SumsText(const Manifest& manifest);

// Parses, and looks at nothing else. kNotFound: the attempt never came to its end.
base::Result<Manifest> ReadManifest(ports::RecordStoreView& store,
                                    const std::filesystem::path& folder);
// Reads every file: its size and its sum. kTerminal "BackupBroken" names the first that is not as
// it was. Takes as long as reading the backup. `only`: the files of that database alone.
base::Result<Manifest> VerifyManifest(ports::RecordStoreView& store,
                                      const std::filesystem::path& folder,
                                      const std::string& only = {});

// What differs between two digests of one database, in words for a person (at most a few names);
// empty: nothing. A table whose sum is not that of the dump equals nothing; right after the dump
// was loaded (kLoaded) it only has to be there, and defined as it was.
enum class Comparing { kAsItIs, kLoaded };
std::string DescribeDifference(const ports::DatabaseDigest& expected,
                               const ports::DatabaseDigest& found,
                               Comparing comparing = Comparing::kAsItIs);

}  // namespace oms::record
