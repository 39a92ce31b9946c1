// Takes the payload of one operation's folder away. See RecordStore::RemovePayload for the
// contract.
#pragma once

#include <filesystem>

#include "controller/base/result.h"
#include "reconcilers/ports/record_store.h"

namespace oms::drivers::files {

// The file that names a volume of backups.
inline constexpr char kIdentityFile[] = ".oms-upgrade-identity";

base::Result<ports::RemovedPayload> RemovePayloadOf(const std::filesystem::path& operation_folder);

}  // namespace oms::drivers::files
