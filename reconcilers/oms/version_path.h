// The version path: which version may become which, and what an upgrade to it takes. The tables are
// in version_path.cc, to be read and added to (oms/README.md). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/version.h"

namespace oms::product {

struct PathSteps {
  // Correction jar, then add_resource, before the upgrade script (guide, second part): only where
  // the way crosses 4.0.1, which restructures the tables.
  bool legacy_steps = false;
  std::string correction_jar;            // Of those: absolute path in the new container.
  std::string legacy_working_directory;  // Of both.
  // The four oms_meta_* keys become oms_rm_meta_* and oms_cm_meta_* (targets from 4.3.1; never for
  // an OAT before 4.3.2).
  bool config_rewrite = false;
  std::string upgrade_script;                 // Absolute path in the new container.
  std::string working_directory;              // Of the script.
  std::vector<std::string> completion_lines;  // Its output holds one of them; empty: none is known.
};

struct PathOptions {
  bool oat = false;                         // Deployed by OAT, ...
  std::optional<crd::Version> oat_version;  // ... of this version.
  // spec.acknowledge has "UnlistedVersion": go also where the tables know nothing.
  bool accept_unlisted = false;
};

// The word for spec.acknowledge that sets accept_unlisted.
inline constexpr char kAcknowledgeUnlisted[] = "UnlistedVersion";
// The word with which a person says that the image's tag and labels are names of a site's own.
inline constexpr char kAcknowledgeImageName[] = "ImageNamesAnotherVersion";

// Whether `from` may become `to` in one upgrade, and what that takes. Errors are kTerminal, and
// their messages say what to do instead. Reasons: "DowngradeRefused" (lower; whether a lower
// version is a rollback is decided before this is asked), "UnsupportedPath" (too old a start, no
// neighbour, another edition), "UnknownVersion" (a target that the tables do not list). Equal
// versions are UnsupportedPath: there is nothing to do.
base::Result<PathSteps> CheckPath(const crd::Version& from, const crd::Version& to,
                                  const PathOptions& options = {});

// What a target takes, whatever the start; for overrides and plans.
PathSteps StepsForTarget(const crd::Version& to);

// The releases of OMS that a line of text names, as 4.3.1 or V4.3.1: those of the tables, and
// `also`. Other numbers of that shape (of a tool, a date) are not taken for one.
std::vector<crd::Version> ReleasesNamedIn(std::string_view line, const crd::Version& also);

// Why steps 10 and 11 are skipped.
inline constexpr char kLegacyOnly[] = "only for a start below 4.0.1";

// Whether the way crosses 4.0.1, whatever else is said of it. From the enterprise edition's table;
// the community edition takes no such steps (oms/README.md).
bool NeedsLegacySteps(const crd::Version& from, const crd::Version& to);

}  // namespace oms::product
