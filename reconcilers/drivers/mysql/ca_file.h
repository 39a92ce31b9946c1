// The certificate of a CA as a file, since the client library takes a path. It is no secret, but
// whoever could put a file in its place could pass for the MetaDB: so it lies in a folder of this
// process alone.
#pragma once

#include <string>

#include "controller/base/result.h"

namespace oms::drivers::mysql {

// Its path. Written once, and again where somebody has taken it away. Thread-safe. kTransient
// "TemporaryFolder".
base::Result<std::string> CaFile(const std::string& pem);

}  // namespace oms::drivers::mysql
