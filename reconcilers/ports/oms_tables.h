// OmsTables: what OMS keeps in its databases on one server. As MetaDb says of all its ports
// (meta_db.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/ports/db_connections.h"

namespace oms::ports {

struct HeartbeatInfo {
  bool found = false;         // heart_beat has a row of this host (task_name='supervisor').
  int64_t age_ms = 0;         // By the server's own NOW(), of gmt_modified.
  std::string modified;       // gmt_modified as text; compared by equality only.
  uint64_t sequence_max = 0;  // max(id) of heatbeat_sequence (sic).
};

struct HostRow {
  std::string ip;
  std::string status;  // ONLINE, OFFLINE, ...
};

// One of heatbeat_sequence, heatbeat_sequence_bak, heatbeat_sequence_bak2 (sic: OMS's own
// spelling).
struct SequenceTable {
  static constexpr uint64_t kMostRows = 100'001;
  bool exists = false;
  uint64_t rows = 0;  // Counted up to kMostRows; the table may have hundreds of millions.
  uint64_t max_id = 0;
  uint64_t auto_increment = 0;  // 0: not known.
};
struct SequenceTables {
  SequenceTable base, bak, bak2;
};

// How far ahead of the base a _bak is made while somebody writes the base: no id is handed out
// twice as long as the base takes fewer than half of these until the two change places.
inline constexpr uint64_t kSequenceHeadroom = 1'000'000;

// The single acts of the compaction (guide, step 2.2). Which one is next is decided by heartbeat.h,
// purely. The driver looks again before each, and refuses (kConflict) what no longer fits.
enum class CompactionAct {
  kNone,
  kCreateBak,  // CREATE TABLE _bak LIKE base (the guide's own DDL), with AUTO_INCREMENT set
               // explicitly.
  kFillBak,    // INSERT the last row of base, if _bak is empty.
  kSwap,  // base -> _bak2, _bak -> base: one two-table RENAME where the server has it, else two
          // ALTERs.
  kFinishSwap,  // _bak -> base: we died between the two ALTERs.
  kDropBak,     // A left-over _bak while base is whole.
  kDropBak2,    // The old table; only if max(id) of base >= its own.
  kUndoSwap,    // _bak2 -> base: base and _bak are gone.
  kRaise,       // Base is behind _bak or _bak2 (somebody made it anew): their last row is copied
                // into it, and its AUTO_INCREMENT set beyond all of theirs.
  // While somebody writes the base:
  kCreateBakAhead,  // As kCreateBak, kSequenceHeadroom ahead.
  kSwapAtOnce,      // As kSwap, by the two-table RENAME or not at all: kTerminal
                    // "TwoTableRenameMissing", and nothing was renamed.
};

// What the guide's second part asks before an upgrade from below 4.0.1.
struct DuplicateTask {
  std::string table;  // oms_project, oms_sync_project
  std::string name;
  uint64_t count = 0;
  std::vector<std::string> ids;  // Maybe not all of them: the server bounds GROUP_CONCAT.
};
struct LegacyFindings {
  std::vector<DuplicateTask> duplicates;
  // config_job, key 'sourceFile.blackRegionNo', value another than cm_location: each value once.
  std::vector<std::string> black_regions;
};

// To look at.
class OmsTablesView {
 public:
  virtual ~OmsTablesView() = default;
  virtual base::Result<std::optional<std::string>> ReadHaConfig(const base::Context& ctx,
                                                                const std::string& rm) = 0;
  virtual base::Result<std::vector<HostRow>> Hosts(const base::Context& ctx,
                                                   const std::string& cm) = 0;
  virtual base::Result<HeartbeatInfo> Heartbeat(const base::Context& ctx,
                                                const std::string& heartbeat_db,
                                                const std::string& host_ip) = 0;
  virtual base::Result<SequenceTables> Sequence(const base::Context& ctx,
                                                const std::string& heartbeat_db) = 0;
  // The guide's three queries: two in rm, one in cm. `location` is cm_location of config.yaml. What
  // has no name is not looked at (it lies on another server).
  virtual base::Result<LegacyFindings> LookForLegacy(const base::Context& ctx,
                                                     const std::string& rm, const std::string& cm,
                                                     const std::string& location) = 0;
};

// Each that writes registers its connection with the fence first.
class OmsTables : public OmsTablesView {
 public:
  // UPDATE ... WHERE cfg_value = BINARY expected. kConflict if the value is another by now.
  virtual base::Status SwapHaConfig(const base::Context& ctx, Fence& fence, const std::string& rm,
                                    const std::string& expected, const std::string& desired) = 0;
  virtual base::Status Compact(const base::Context& ctx, Fence& fence,
                               const std::string& heartbeat_db, CompactionAct act) = 0;
};

}  // namespace oms::ports
