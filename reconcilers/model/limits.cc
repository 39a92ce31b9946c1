#include "reconcilers/model/limits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "crd/reasons.h"

namespace oms::model {

bool IsBelow(const std::string& path, const std::vector<std::string>& folders) {
  const auto clean = std::filesystem::path(path).lexically_normal();
  return std::any_of(folders.begin(), folders.end(), [&](const std::string& folder) {
    const auto relative =
        clean.lexically_relative(std::filesystem::path(folder).lexically_normal());
    return !relative.empty() && *relative.begin() != "..";
  });
}

bool MatchesPattern(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

namespace {

base::Status CheckArchivePlace(const crd::Image& image, const char* field, const Limits& limits) {
  if (image.archive.empty() || IsBelow(image.archive, limits.archive_dirs)) return base::Ok();
  return base::MakeError(
      base::Code::kInvalid, crd::reason::kArchiveNotAllowed,
      fmt::format("{}.archive {} is not below a folder that this controller may read; it was "
                  "started with --allow-archive-dir {}",
                  field, image.archive, fmt::join(limits.archive_dirs, ", ")));
}

}  // namespace

base::Status CheckLimits(const crd::Spec& spec, const Limits& limits) {
  for (const auto& node : spec.nodes) {
    const bool allowed = std::any_of(
        limits.engines.begin(), limits.engines.end(),
        [&](const std::string& pattern) { return MatchesPattern(pattern, node.engine.endpoint); });
    if (!allowed) {
      return base::MakeError(
          base::Code::kInvalid, crd::reason::kEngineNotAllowed,
          fmt::format("node {}: this controller may not use the engine {}; it was started with "
                      "--allow-engine {}",
                      node.name, node.engine.endpoint, fmt::join(limits.engines, ", ")));
    }
  }
  if (!IsBelow(spec.backup.directory, limits.backup_dirs)) {
    return base::MakeError(
        base::Code::kInvalid, crd::reason::kBackupDirectoryNotAllowed,
        fmt::format(
            "spec.backup.directory {} is not below a folder that this controller may use; it "
            "was started with --allow-backup-dir {}",
            spec.backup.directory, fmt::join(limits.backup_dirs, ", ")));
  }
  OMS_TRY(CheckArchivePlace(spec.image, "spec.image", limits));
  if (spec.deployment.assistant)
    OMS_TRY(CheckArchivePlace(*spec.deployment.assistant, "spec.deployment.assistant", limits));
  return base::Ok();
}

}  // namespace oms::model
