#include "reconcilers/oms/version_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "crd/reasons.h"

namespace oms::product {
namespace {

using base::Code;
using base::MakeError;
using crd::Edition;
using crd::Version;

constexpr Version Ee(int major, int minor, int patch) { return {major, minor, patch, 0}; }
constexpr Version Ce(int major, int minor, int patch) {
  return {major, minor, patch, 0, Edition::kCommunity};
}

// Enterprise releases (oms/README.md, from the guide's navigation and version selector). A
// bundle patch of one of them is known too.
constexpr std::array kEnterpriseReleases = {
    Ee(2, 1, 0), Ee(2, 1, 2), Ee(3, 1, 0), Ee(3, 2, 1), Ee(3, 2, 2), Ee(3, 3, 0), Ee(3, 3, 1),
    Ee(3, 4, 0), Ee(4, 0, 1), Ee(4, 0, 2), Ee(4, 1, 0), Ee(4, 2, 0), Ee(4, 2, 1), Ee(4, 2, 2),
    Ee(4, 2, 3), Ee(4, 2, 4), Ee(4, 2, 5), Ee(4, 3, 0), Ee(4, 3, 1), Ee(4, 3, 2),
};

// Enterprise: where an upgrade may start (guide, "Background information").
enum class Start { kRefused, kLegacy, kPlain };
struct EnterpriseStart {
  Version below;  // Versions below this one, and not below the row before.
  Start start;
};
constexpr std::array kEnterpriseStarts = {
    EnterpriseStart{Ee(3, 2, 1), Start::kRefused},  // "must be first upgraded to V3.2.1"
    EnterpriseStart{Ee(4, 0, 1), Start::kLegacy},   // jar and metadata where it crosses 4.0.1
    EnterpriseStart{Ee(9999, 0, 0), Start::kPlain},
};
constexpr Version kSchemasRestructured = Ee(4, 0, 1);
// Guide, second part, steps 7 and 8. It names the jar without a folder, and runs add_resource "in
// the root directory": both are taken for root's own, where the image keeps its other scripts. That
// the jar is there is looked at before the stop.
constexpr char kCorrectionJar[] = "/root/correction-1.0-SNAPSHOT-jar-with-dependencies.jar";
constexpr char kLegacyWorkingDirectory[] = "/root";

// Community: it moves by neighbours (oms/README.md, one row per documented step).
struct CommunityStep {
  Version from, to;
};
constexpr std::array kCommunitySteps = {
    CommunityStep{Ce(3, 2, 2), Ce(3, 3, 0)}, CommunityStep{Ce(3, 3, 0), Ce(3, 3, 1)},
    CommunityStep{Ce(4, 1, 1), Ce(4, 2, 0)}, CommunityStep{Ce(4, 2, 0), Ce(4, 2, 1)},
    CommunityStep{Ce(4, 2, 1), Ce(4, 2, 2)}, CommunityStep{Ce(4, 2, 4), Ce(4, 2, 6)},
};
// What OBD allows besides: to 4.2.11 and later from 4.1.1 and later.
constexpr CommunityStep kCommunityObd{Ce(4, 1, 1), Ce(4, 2, 11)};
// No way leads here but a fresh deployment (CE 4.2.6 documentation, "deployment types").
constexpr std::array kCommunityFreshOnly = {Ce(4, 1, 1)};

// What initializes the new version's schemas, by target (oms/README.md). First row that fits.
struct Script {
  Version from_target;  // Targets from this one on (by number, any edition).
  const char* path;
  const char* working_directory;
  std::array<const char*, 2> completion_lines;
};
constexpr std::array kScripts = {
    // Guide for 4.3.1. What it prints at its end is not documented.
    Script{Ee(4, 3, 1), "/root/docker_upgrade.sh", "/root", {}},
    // CE to 4.2.2 and EE to 4.2.3 document docker_init.sh here; nothing says otherwise up to 4.3.0.
    Script{Ee(0, 0, 0),
           "/root/docker_init.sh",
           "/root",
           {"[Completed] All initialization steps are executed", "【结束】全部初始化步骤执行成功"}},
};

// Targets from here on read oms_rm_meta_* and oms_cm_meta_* (guide, "Modify the config.yaml file").
constexpr Version kSplitMetaKeys = Ee(4, 3, 1);
// "Do not modify OMS deployed by using OAT of a version earlier than V4.3.2."
constexpr Version kOatMayModify = Ee(4, 3, 2);

// By number alone: whatever the edition.
bool NumberBelow(const Version& a, const Version& b) {
  Version left = a;
  left.edition = b.edition;
  return left < b;
}

bool SameRelease(const Version& a, const Version& b) { return a.SameRelease(b); }

base::Error Unsupported(std::string message) {
  return MakeError(Code::kTerminal, crd::reason::kUnsupportedPath, std::move(message));
}

base::Result<Start> EnterprisePath(const Version& from, const Version& to, bool accept_unlisted) {
  const auto row = std::find_if(kEnterpriseStarts.begin(), kEnterpriseStarts.end(),
                                [&](const EnterpriseStart& r) { return from < r.below; });
  const Start start = row == kEnterpriseStarts.end() ? Start::kPlain : row->start;
  // To 3.2.1 itself, and between older ones, the older documentation holds, which we do not know.
  if (start == Start::kRefused) {
    return Unsupported(
        fmt::format("OMS {} is older than 3.2.1: upgrade to 3.2.1 first, by the documentation of "
                    "that version, then set spec.version to {}",
                    from.ToString(), to.ToString()));
  }
  const bool known = std::any_of(kEnterpriseReleases.begin(), kEnterpriseReleases.end(),
                                 [&](const Version& release) { return SameRelease(release, to); });
  if (!known && !accept_unlisted) {
    return MakeError(
        Code::kTerminal, crd::reason::kUnknownVersion,
        fmt::format("{} is not a release of OMS that this controller knows (the newest is {}): "
                    "correct spec.version, or add {} to spec.acknowledge to upgrade to it anyway",
                    to.ToString(), kEnterpriseReleases.back().ToString(), kAcknowledgeUnlisted));
  }
  return start;
}

base::Status CommunityPath(const Version& from, const Version& to, bool accept_unlisted) {
  if (from.SameRelease(to)) return base::Ok();  // A bundle patch of the same release.
  const bool fresh_only =
      std::any_of(kCommunityFreshOnly.begin(), kCommunityFreshOnly.end(),
                  [&](const Version& release) { return SameRelease(release, to); });
  if (fresh_only) {
    return Unsupported(fmt::format(
        "no upgrade leads to {}: it can only be deployed as a new installation", to.ToString()));
  }
  std::string next;
  for (const auto& step : kCommunitySteps) {
    if (!SameRelease(step.from, from)) continue;
    if (SameRelease(step.to, to)) return base::Ok();
    next = step.to.ToString();
  }
  const bool obd_start = !NumberBelow(from, kCommunityObd.from);
  if (obd_start && !NumberBelow(to, kCommunityObd.to)) return base::Ok();
  if (accept_unlisted) return base::Ok();
  std::string possible = next;
  if (obd_start) {
    possible +=
        fmt::format("{}{} or later", possible.empty() ? "" : ", or ", kCommunityObd.to.ToString());
  }
  if (possible.empty()) possible = "no documented version";
  return Unsupported(fmt::format(
      "the Community Edition can only be upgraded step by step, and no step from {} to {} is "
      "documented; from {} the next is {}: set spec.version to that, or add {} to spec.acknowledge",
      from.ToString(), to.ToString(), from.ToString(), possible, kAcknowledgeUnlisted));
}

}  // namespace

PathSteps StepsForTarget(const Version& to) {
  PathSteps steps;
  steps.config_rewrite = !NumberBelow(to, kSplitMetaKeys);
  for (const auto& script : kScripts) {
    if (NumberBelow(to, script.from_target)) continue;
    steps.upgrade_script = script.path;
    steps.working_directory = script.working_directory;
    for (const char* line : script.completion_lines) {
      if (line != nullptr) steps.completion_lines.emplace_back(line);
    }
    break;
  }
  return steps;
}

std::vector<Version> ReleasesNamedIn(std::string_view line, const Version& also) {
  const auto known = [&](const Version& named) {
    const auto same = [&](const Version& release) {
      return named.major == release.major && named.minor == release.minor &&
             named.patch == release.patch;
    };
    return same(also) ||
           std::any_of(kEnterpriseReleases.begin(), kEnterpriseReleases.end(), same) ||
           same(kCommunityObd.to) ||
           std::any_of(kCommunitySteps.begin(), kCommunitySteps.end(),
                       [&](const auto& step) { return same(step.from) || same(step.to); });
  };
  const auto part = [](char c) { return (c >= '0' && c <= '9') || c == '.'; };
  std::vector<Version> named;
  for (size_t at = 0; at < line.size();) {
    if (!part(line[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < line.size() && part(line[end])) ++end;
    std::string_view text = line.substr(at, end - at);
    at = end;
    // The full stop of a sentence.
    while (text.ends_with('.')) text.remove_suffix(1);
    if (const auto version = Version::Parse(text); version.ok() && known(*version))
      named.push_back(*version);
  }
  return named;
}

bool NeedsLegacySteps(const Version& from, const Version& to) {
  return from.edition == Edition::kEnterprise && to.edition == Edition::kEnterprise &&
         from < kSchemasRestructured && !(to < kSchemasRestructured);
}

base::Result<PathSteps> CheckPath(const Version& from, const Version& to,
                                  const PathOptions& options) {
  if (from.edition != to.edition) {
    return Unsupported(fmt::format(
        "{} is of the {} edition and {} of the {} edition; one cannot be upgraded to the other: "
        "set spec.version to a version of the running edition",
        from.ToString(), crd::ToString(from.edition), to.ToString(), crd::ToString(to.edition)));
  }
  if (to < from) {
    return MakeError(
        Code::kTerminal, crd::reason::kDowngradeRefused,
        fmt::format("{} runs, and {} is lower; OMS cannot be downgraded, only rolled back to the "
                    "version before its last upgrade: set spec.version to {} or higher",
                    from.ToString(), to.ToString(), from.ToString()));
  }
  if (to == from) {
    return Unsupported(fmt::format("{} runs already; there is nothing to do", from.ToString()));
  }
  PathSteps steps = StepsForTarget(to);
  if (from.edition == Edition::kCommunity) {
    OMS_TRY(CommunityPath(from, to, options.accept_unlisted));
  } else {
    OMS_ASSIGN(const Start start, EnterprisePath(from, to, options.accept_unlisted));
    steps.legacy_steps = start == Start::kLegacy && NeedsLegacySteps(from, to);
    if (steps.legacy_steps) {
      steps.correction_jar = kCorrectionJar;
      steps.legacy_working_directory = kLegacyWorkingDirectory;
    }
  }
  if (options.oat && (!options.oat_version || NumberBelow(*options.oat_version, kOatMayModify))) {
    steps.config_rewrite = false;
  }
  return steps;
}

}  // namespace oms::product
