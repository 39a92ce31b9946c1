// Plan: what an upgrade, or going back after one, would do; for `spec.mode: Plan`, for
// `spec.approval: Manual`, and for status.plan. Pure; nothing here acts.
//
// A plan's hash is what a person approves. It covers what will be written or destroyed: versions,
// image, nodes, containers, databases, folders, tools and steps. It leaves out what changes from
// minute to minute (sizes, rows, estimates), what is loaded already, and how things are reached, so
// that an approval holds until the plan really is another one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "crd/oms_upgrade.h"
#include "crd/version.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/oms/version_path.h"

namespace oms::show {

// What the estimates are made of. The defaults were measured with the stand-in (an end-to-end
// upgrade: OMS down for 8 s with 12 MiB in its databases) and with hack/bench on two cores; by them
// a real OMS, whose upgrade script and start nobody could measure here, comes out too quick.
struct Rates {
  base::Duration stop = std::chrono::seconds(2);            // Its supervisord ends within 1 to 3 s.
  base::Duration compact = std::chrono::milliseconds(500);  // A table of one row, and a swap.
  base::Duration dump_begin = std::chrono::seconds(1);      // Three tools, connections, a manifest.
  // With sums beside it: a third of what mydumper did alone (100 MB/s OceanBase, 260 MB/s MariaDB).
  uint64_t dump_per_second = 40ULL << 20;
  base::Duration dump_least = base::Duration(0);  // What one took here.
  // Four fifths of what myloader did (20 MB/s OceanBase, 28 MB/s MariaDB).
  uint64_t load_per_second = 16ULL << 20;
  base::Duration start = std::chrono::milliseconds(800);   // Until supervisord answers.
  base::Duration correction = std::chrono::seconds(3);     // Of the stand-in: jar and add_resource.
  base::Duration script = std::chrono::milliseconds(500);  // Of the stand-in.
  base::Duration health = std::chrono::seconds(3);         // Until all services answer.
  bool of_this_oms = false;  // Some were taken from an upgrade of this very OMS.
};

// The defaults, and over them what the steps of `last` took, if it is an upgrade that succeeded.
Rates RatesFrom(const model::OperationRecord& last);

struct Plan {
  std::vector<std::string> steps;  // One line each, in the order done: "Name: what it does".
  base::Duration estimated_downtime{0};
  std::string downtime;            // The same in words, with what it is made of.
  std::string point_of_no_return;  // What going back costs before and after each of them.
  std::string lost;                // Of a rollback: what leaves the live databases. Else empty.
  std::string hash;                // 12 hex digits.

  // With the three texts as last lines of the steps.
  crd::PlanStatus ToStatus() const;
};

struct UpgradePlanInput {
  const crd::Spec& spec;
  const crd::Version& from;
  const crd::Version& to;
  const product::PathSteps& path;
  const model::Facts& facts;
  // The open operation, once there is one: what it has frozen counts, so that its own acts (HA off,
  // the new container) do not make another plan of it. Null: none is open.
  const model::OperationRecord* open = nullptr;
  Rates rates = {};
  // The id of the operation before; an approval is for one operation, not for the next alike.
  std::string follows = {};
  // Components that operations before this one have upgraded in place.
  std::map<std::string, model::UpgradedComponent> components = {};
};

// kInvalid "PlanIncomplete" if the facts lack what would be written or destroyed: look again.
base::Result<Plan> PlanUpgrade(const UpgradePlanInput& in);

// Which request to go back is planned: what an approval of it is for. One that was made long ago,
// or has come to nothing since, is another one.
struct UndoRequest {
  int64_t generation = 0;  // Of the resource's spec that asks for it.
  std::string follows;     // The id of the operation before.
};

// What is known of the databases now; only for texts and estimates.
struct UndoNumbers {
  std::optional<uint64_t> database_bytes;  // All three.
  std::optional<uint64_t> rows_since;      // Written since the backup.
  std::vector<std::string> events = {};    // Scheduled ones, which go with their databases.
  Rates rates = {};
};

// Going back after `undone`, an upgrade that succeeded. kTerminal "NoBackup" if it has none.
base::Result<Plan> PlanRollback(const crd::Spec& spec, const model::OperationRecord& undone,
                                base::WallTime now, const UndoRequest& request,
                                const UndoNumbers& numbers = {});

}  // namespace oms::show
