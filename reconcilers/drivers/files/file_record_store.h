// RecordStore on a real file system. See ports/record_store.h for the contract.
#pragma once

#include <memory>

#include "reconcilers/ports/record_store.h"

namespace oms::drivers::files {

// Thread-safe: holds no state.
std::unique_ptr<ports::RecordStore> MakeFileRecordStore();

}  // namespace oms::drivers::files
