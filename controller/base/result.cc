#include "controller/base/result.h"

namespace oms::base {

std::string_view ToString(Code code) {
  switch (code) {
    case Code::kInvalid: return "Invalid";
    case Code::kNotFound: return "NotFound";
    case Code::kAlreadyExists: return "AlreadyExists";
    case Code::kConflict: return "Conflict";
    case Code::kExpired: return "Expired";
    case Code::kDenied: return "Denied";
    case Code::kTransient: return "Transient";
    case Code::kTimeout: return "Timeout";
    case Code::kCancelled: return "Cancelled";
    case Code::kFenced: return "Fenced";
    case Code::kTerminal: return "Terminal";
    case Code::kInternal: return "Internal";
  }
  return "Internal";
}

Error Error::Wrap(std::string_view context) const {
  Error wrapped = *this;
  wrapped.message = std::string(context) + ": " + message;
  return wrapped;
}

}  // namespace oms::base
