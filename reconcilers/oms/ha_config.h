// ha.config: the JSON text in oms_normal_config that says whether high availability is on
// (oms/README.md). Pure.
//
// The text is edited, never written anew from values: unknown keys, their order, numbers as they
// were written and white space stay. Stored JSON may lack keys; then the documented default holds.
// The whole value may also be a JSON string that holds the JSON; it stays one.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "controller/base/result.h"

namespace oms::product {

struct HaState {
  bool enabled = false;      // enable
  bool perceive = false;     // perceiveStoreClientCheckpoint
  int refetch_minutes = 30;  // refetchStoreIntervalMin
  // enableJdbcWriter is on and enableConnector off: before 4.1.1 the first alone guarded Incr-Sync.
  bool connector_unguarded = false;
};

struct HaPolicy {
  // True: perceiveStoreClientCheckpoint=true, as the guide recommends. False: it is not raised (and
  // set to false where it is there), and the interval must cover the downtime.
  bool perceive = true;
  // refetchStoreIntervalMin becomes at least this. For perceive=false: T2 - T1 + 30 min.
  std::optional<std::chrono::minutes> refetch_at_least;
};

// Errors are kTerminal, reason "HAConfigInvalid": not a JSON object, a key that is there twice, a
// value of a kind that these keys do not have.
base::Result<HaState> ReadHa(const std::string& raw);

// `raw` with enable=false. Already off: `raw` itself.
base::Result<std::string> DisableHa(const std::string& raw);

// `raw_original` (the text from before DisableHa) with enable=true and what the policy says.
base::Result<std::string> EnableHa(const std::string& raw_original, const HaPolicy& policy);

}  // namespace oms::product
