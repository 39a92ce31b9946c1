#include "reconcilers/oms/overview_limits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "reconcilers/oms/task_limits.h"
#include "reconcilers/oms/version_path.h"

namespace oms::product {
namespace {

using crd::Edition;
using crd::Version;

constexpr Version V(int major, int minor, int patch) { return {major, minor, patch, 0}; }
constexpr Version kAny = V(0, 0, 0), kNone = V(9999, 0, 0);
constexpr auto kEnterprise = std::optional(Edition::kEnterprise);
constexpr auto kCommunity = std::optional(Edition::kCommunity);
constexpr std::optional<Edition> kBoth = std::nullopt;

// Where it is not the versions alone that say whether a row applies.
enum class Where { kAlways, kConnectorUnguarded, kSeparateCm };

struct Row {
  std::string_view word;
  std::optional<Edition> edition;
  Version from, below;  // Starts from `from` on, and below `below`, ...
  Version to;           // ... to targets from this one on; by number.
  Where where;
  Asks asks;
  std::string_view must;
};

// Who waits and who is told. The least that a user writes is version, image, engine and container;
// and on the plain way, from 4.0.1 on, the guide for 4.3.1 itself asks for nothing of what stands
// here, and a revert brings data and tasks back. There each row is told, before anything is
// stopped. A start below 4.0.1 is another matter: the guide has a part of prerequisites of its own
// for it, the tables of all tasks are rewritten, and a person has to look at the tasks in any case.
// There each row waits. And everywhere waits what loses data or breaks a task for certain if it is
// forgotten.
constexpr std::array kRows = {
    // "If an oblogproxy task exists in the current version, upgrade is not supported. You must
    // directly deploy OMS V4.3.1." Of the page for 4.3.1 alone.
    Row{"NoOblogproxyTasks", kEnterprise, kAny, V(4, 0, 1), V(4, 3, 1), Where::kAlways, Asks::kWait,
        "no task reads through oblogproxy, which cannot be upgraded (overview: deploy a new one)"},
    Row{"NoOblogproxyTasks", kEnterprise, V(4, 0, 1), kNone, V(4, 3, 1), Where::kAlways,
        Asks::kTell,
        "no task reads through oblogproxy, which cannot be upgraded (overview: deploy a new one)"},

    // "Make sure that data is synchronized in quasi-real-time, and that the forward switchover
    // process of the tasks is completed. We recommend that you do not use the new version to
    // perform
    // the forward switchover." On the pages of both editions.
    Row{"TasksSettled", kEnterprise, kAny, V(4, 0, 1), V(4, 0, 1), Where::kAlways, Asks::kWait,
        "tasks are near real time and their forward switchover is done (overview)"},
    Row{"TasksSettled", kEnterprise, V(4, 0, 1), kNone, kAny, Where::kAlways, Asks::kTell,
        "tasks are near real time and their forward switchover is done (overview)"},
    Row{"TasksSettled", kCommunity, kAny, kNone, kAny, Where::kAlways, Asks::kTell,
        "tasks are near real time and their forward switchover is done (overview)"},

    // OMS never starts a Full-Import again by itself, after the upgrade or a rollback (guide, last
    // steps). A person resumes it: no data is lost, so it waits only where all does.
    Row{"NoFullImportRunning", kEnterprise, kAny, V(4, 0, 1), V(4, 0, 1), Where::kAlways,
        Asks::kWait,
        "no Full-Import runs: the stop interrupts it, and OMS does not resume it (guide, "
        "step 11)"},
    Row{"NoFullImportRunning", kBoth, V(4, 0, 1), kNone, kAny, Where::kAlways, Asks::kTell,
        "no Full-Import runs: the stop interrupts it, and OMS does not resume it (guide, "
        "step 8)"},

    // "Before you upgrade OMS V3.2.1 or V3.2.2, if DDL synchronization is involved, you must add
    // the
    // dbType parameter." Without it these tasks cannot run afterwards. Community: 3.2.2 only.
    Row{"DbTypeSet", kEnterprise, V(3, 2, 1), V(3, 3, 0), V(3, 3, 0), Where::kAlways, Asks::kWait,
        "Incr-Sync of each task with DDL synchronization has the parameter dbType (overview)"},
    Row{"DbTypeSet", kCommunity, V(3, 2, 2), V(3, 3, 0), V(3, 3, 0), Where::kAlways, Asks::kWait,
        "Incr-Sync of each task with DDL synchronization has the parameter dbType (overview of "
        "4.0.0-CE)"},

    // They are not shown in the console any more, so nobody would notice that they stand still.
    Row{"NoDataHubTasks", kEnterprise, V(3, 2, 1), V(3, 2, 2), V(3, 2, 2), Where::kAlways,
        Asks::kWait,
        "there is no DataHub task: they disappear from the console; or ask OMS "
        "support (overview)"},

    // "An issue of incompatibility may occur due to the format change of trans." May, and for one
    // serialization that few use.
    Row{"NoSharePlex", kEnterprise, kAny, V(4, 0, 2), V(4, 0, 2), Where::kAlways, Asks::kTell,
        "no task writes in the SharePlex format, which 4.0.2 changes (overview)"},

    // "If you want to deploy the cluster manager (CM) database separately, make sure that all data
    // migration and synchronization tasks have proceeded to the expected step", and then the cases
    // below. Of the guide for 4.3.1 alone, the first version whose config.yaml can say so. Seen in
    // config.yaml, so it is asked of nobody else.
    Row{"TasksReadyForSeparateCM", kBoth, kAny, kNone, V(4, 3, 1), Where::kSeparateCm, Asks::kWait,
        "CM has its own database server, so each task with reverse increment must be far enough: "
        "one with Full-Import and Incr-Sync, or with Incr-Sync alone, in the reverse "
        "increment step; one with Full-Import alone past the end of that step (guide, "
        "prerequisites)"},

    // From 4.1.1 on enableConnector guards what enableJdbcWriter did. Seen in ha.config, so it is
    // asked of nobody else; forgotten, Incr-Sync stays down once it fails.
    Row{"ConnectorUnguarded", kBoth, kAny, V(4, 1, 1), V(4, 1, 1), Where::kConnectorUnguarded,
        Asks::kWait,
        "ha.config has enableJdbcWriter on and enableConnector off: from 4.1.1 on HA would not "
        "restart Incr-Sync; set enableConnector to true, or accept this (ha.config reference)"},
};

bool Below(const Version& a, const Version& b) {  // By number, whatever the edition.
  Version left = a;
  left.edition = b.edition;
  return left < b;
}

bool Applies(const Row& row, const Version& from, const Version& to, const TaskEvidence& seen) {
  if (row.edition && *row.edition != from.edition) return false;
  if (Below(from, row.from) || !Below(from, row.below) || Below(to, row.to)) return false;
  switch (row.where) {
    case Where::kConnectorUnguarded: return seen.connector_unguarded;
    case Where::kSeparateCm: return seen.separate_cm;
    case Where::kAlways: break;
  }
  return true;
}

// Told or waited for as the table says: it was written for those who cannot look. But no page
// allows an upgrade with an oblogproxy task, and where one is seen there is nothing left to judge.
Asks AsksOf(const Row& row, const LimitAnswer& answer) {
  const bool seen = answer.says == LimitAnswer::Says::kBroken;
  return seen && row.word == "NoOblogproxyTasks" ? Asks::kWait : row.asks;
}

bool Has(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

std::vector<OverviewLimit> LimitsNotAcknowledged(const Version& from, const Version& to,
                                                 const TaskEvidence& seen, const crd::Spec& spec,
                                                 Asks asks) {
  const bool enforced = spec.strategy.limits == crd::LimitPolicy::kEnforce;
  std::vector<OverviewLimit> missing;
  for (const Row& row : kRows) {
    if (!Applies(row, from, to, seen)) continue;
    LimitAnswer answer;
    if (seen.tasks != nullptr) answer = AskTasks(row.word, *seen.tasks);
    const bool holds = answer.says == LimitAnswer::Says::kNothing
                           ? Has(spec.acknowledge, row.word)
                           : answer.says == LimitAnswer::Says::kHolds;
    if (holds || (enforced ? Asks::kWait : AsksOf(row, answer)) != asks) continue;
    missing.push_back({row.word, row.must, std::move(answer.tasks)});
  }
  return missing;
}

std::vector<std::string_view> KnownWords() {
  std::set<std::string_view> words{kAcknowledgeUnlisted, kAcknowledgeImageName};
  for (const Row& row : kRows) words.insert(row.word);
  return {words.begin(), words.end()};
}

std::vector<std::string> UnknownWords(const std::vector<std::string>& acknowledged) {
  const auto known = KnownWords();
  std::vector<std::string> unknown;
  for (const auto& word : acknowledged) {
    if (std::find(known.begin(), known.end(), word) == known.end()) unknown.push_back(word);
  }
  return unknown;
}

std::string TextOf(const std::vector<OverviewLimit>& missing,
                   const std::vector<std::string>& acknowledged) {
  // What to write comes first: a long message is cut at its end.
  std::vector<std::string_view> write(acknowledged.begin(), acknowledged.end());
  std::vector<std::string> sentences;
  for (const auto& limit : missing) {
    write.push_back(limit.word);
    sentences.push_back(fmt::format("{}: {}", limit.word, limit.must));
  }
  return fmt::format("write spec.acknowledge: [{}] once these are true. {}.",
                     fmt::join(write, ", "), fmt::join(sentences, ". "));
}

std::string TextOfBroken(const std::vector<OverviewLimit>& broken) {
  std::vector<std::string> sentences;
  for (const auto& limit : broken) {
    sentences.push_back(
        fmt::format("{}: {}. But OMS reports: {}", limit.word, limit.must, limit.tasks));
  }
  return fmt::format(
      "tasks are not in the state that this upgrade needs; once you have changed them, the upgrade "
      "continues automatically. {}",
      fmt::join(sentences, ". "));
}

}  // namespace oms::product
