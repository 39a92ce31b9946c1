#include "reconcilers/oms/task_limits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>

#include "controller/base/text.h"

namespace oms::product {
namespace {

using Says = LimitAnswer::Says;

constexpr size_t kMostNamed = 4;   // A message is short, ...
constexpr size_t kNameBytes = 43;  // ... and a task's name may have 256 characters.
// The pages say "quasi-real-time" and no number.
constexpr int64_t kNearRealTimeSeconds = 60;

// A step has a new name, and the one that it had before 4.0.1, which the API still shows here and
// there (oms/README.md).
struct StepNames {
  std::string_view name, older;
};
constexpr StepNames kFull{"FULL_TRANSFER", "FULL_MIGRATION"};
constexpr StepNames kIncremental{"INCR_TRANSFER", "INCR_SYNC"};
constexpr StepNames kSwitch{"TRANSFER_APP_SWITCH", "APP_SWITCH"};
constexpr StepNames kReverse{"REVERSE_INCR_TRANSFER", "REVERSE_INCR_SYNC"};

bool Is(std::string_view text, const StepNames& step) {
  return text == step.name || text == step.older;
}

const ports::OmsTaskStep* Find(const ports::OmsTask& task, const StepNames& step) {
  for (const auto& each : task.steps) {
    if (Is(each.name, step)) return &each;
  }
  return nullptr;
}

bool IsFinished(const ports::OmsTaskStep* step) {
  return step != nullptr && step->status == "FINISHED";
}
bool IsUnderWay(const ports::OmsTaskStep* step) {
  return step != nullptr && (step->status == "RUNNING" || step->status == "MONITORING");
}

// One that is paused or has failed in it is there too: then it is the current one.
bool HasEnteredReverse(const ports::OmsTask& task) {
  const ports::OmsTaskStep* step = Find(task, kReverse);
  return Is(task.current_step, kReverse) || IsUnderWay(step) || IsFinished(step);
}

// What a rule says of one task: nothing is amiss (empty), this is amiss, or it cannot tell.
using Finding = std::optional<std::string>;
constexpr auto kCannotTell = std::nullopt;
Finding Well() { return std::string(); }
Finding Unless(bool well, std::string amiss) { return well ? std::string() : std::move(amiss); }

// "If a task includes the full migration and incremental synchronization steps, [or the incremental
// one alone,] the task must enter the reverse increment step. If [full alone], the task must
// complete the full migration step. If reverse increment is disabled, no requirements." (guide,
// before you upgrade)
Finding ReadyForSeparateCm(const ports::OmsTask& task) {
  if (!task.reverse) return Well();
  if (task.incremental)
    return Unless(HasEnteredReverse(task), "has not entered the reverse increment step");
  return Unless(!task.full || IsFinished(Find(task, kFull)),
                "has not completed the full migration step");
}

// "Make sure that data is synchronized in quasi-real-time, and that the forward switchover process
// of the tasks is completed." (upgrade overview)
Finding Settled(const ports::OmsTask& task) {
  const ports::OmsTaskStep* change = Find(task, kSwitch);
  if (HasEnteredReverse(task) || IsFinished(change)) return Well();
  if (change != nullptr) return "its forward switchover is not done";
  if (!task.incremental) return Well();
  const ports::OmsTaskStep* step = Find(task, kIncremental);
  if (step == nullptr) return kCannotTell;
  if (IsFinished(step)) return Well();
  if (!IsUnderWay(step)) return fmt::format("its incremental synchronization is {}", step->status);
  if (!step->behind_seconds) return kCannotTell;
  return Unless(*step->behind_seconds <= kNearRealTimeSeconds,
                fmt::format("is {} s behind", *step->behind_seconds));
}

Finding NoFullImport(const ports::OmsTask& task) {
  return Unless(!IsUnderWay(Find(task, kFull)), "its full migration is running");
}

// A log is read of OceanBase alone.
Finding ByLogProxy(const std::string& type, std::optional<bool> log_proxy) {
  if (type.empty()) return kCannotTell;
  if (!type.starts_with("OB_")) return Well();
  if (!log_proxy) return kCannotTell;
  return Unless(!*log_proxy, "reads through oblogproxy");
}

// The reverse increment reads the log of the target.
Finding NoLogProxy(const ports::OmsTask& task) {
  const Finding source = ByLogProxy(task.source_type, task.source_log_proxy);
  const Finding sink = task.reverse ? ByLogProxy(task.sink_type, task.sink_log_proxy) : Well();
  if (source && !source->empty()) return source;
  if (sink && !sink->empty()) return sink;
  return source && sink ? Well() : kCannotTell;
}

struct Rule {
  std::string_view word;
  Finding (*of)(const ports::OmsTask&);
};
// Not here, because the API does not tell, or is not offered by the versions that the word is asked
// of: DbTypeSet, NoDataHubTasks, NoSharePlex, ConnectorUnguarded.
constexpr std::array kRules = {
    Rule{"TasksReadyForSeparateCM", ReadyForSeparateCm},
    Rule{"TasksSettled", Settled},
    Rule{"NoFullImportRunning", NoFullImport},
    Rule{"NoOblogproxyTasks", NoLogProxy},
};

// A name is a person's: what does not print becomes '?', and a long one is cut between characters.
std::string Shown(const std::string& name) {
  std::string shown = base::CutText(name, kNameBytes);
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return shown;
}

}  // namespace

bool OffersTaskApi(const crd::Version& version) {
  crd::Version first{4, 1, version.edition == crd::Edition::kCommunity ? 1 : 0, 0};
  first.edition = version.edition;
  return version >= first;
}

LimitAnswer AskTasks(std::string_view word, const std::vector<ports::OmsTask>& tasks) {
  const auto* rule =
      std::find_if(kRules.begin(), kRules.end(), [&](const Rule& r) { return r.word == word; });
  if (rule == kRules.end()) return {};
  bool all_known = true;
  size_t broken = 0;
  std::vector<std::string> named;
  for (const auto& task : tasks) {
    if (task.Over()) continue;
    const Finding finding = rule->of(task);
    all_known = all_known && finding;
    if (!finding || finding->empty()) continue;
    if (++broken <= kMostNamed)
      named.push_back(fmt::format("{} '{}' {}", task.id, Shown(task.name), *finding));
  }
  if (broken == 0) return {all_known ? Says::kHolds : Says::kNothing, {}};
  if (broken > kMostNamed) named.push_back(fmt::format("{} more", broken - kMostNamed));
  return {Says::kBroken, fmt::format("{}", fmt::join(named, "; "))};
}

}  // namespace oms::product
