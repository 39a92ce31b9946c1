// Labels by which our own containers are known. The old container's name is only
// how it is adopted.
#pragma once

namespace oms::model::labels {

inline constexpr char kOwner[] = "oms.oceanbase.com/owner";  // namespace.name of the resource
inline constexpr char kOperation[] =
    "oms.oceanbase.com/operation";  // id of the operation that made it
inline constexpr char kNode[] = "oms.oceanbase.com/node";
inline constexpr char kVersion[] = "oms.oceanbase.com/version";
inline constexpr char kRole[] = "oms.oceanbase.com/role";  // "oms" or "helper"

}  // namespace oms::model::labels
