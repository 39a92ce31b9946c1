#include "reconcilers/decide/unreached.h"

#include <fmt/format.h>

#include "crd/conditions.h"
#include "crd/reasons.h"

namespace oms::decide {

using Kind = Decision::Kind;

Decision DecideUnreached(const UnreachedView& view) {
  const model::Trouble& trouble = view.trouble;
  if (!view.open && !view.idle) {
    return {Kind::kStall, model::Step::kPreflight, trouble.reason, trouble.message,
            kLookAgainAtTrouble};
  }
  std::string message = trouble.message;
  if (view.deleting && view.open) {
    message += fmt::format(
        "; the resource is being deleted, and is removed once its databases are restored; or "
        "abandon the operation with {}={}",
        crd::kAbandon, view.operation);
  }
  return {!trouble.passing && view.open ? Kind::kStall : Kind::kUnknown, model::Step::kPreflight,
          trouble.reason, std::move(message), kLookAgainAtTrouble};
}

Decision DecideAfterError(const base::Error& error, model::Step step) {
  const bool passing = error.Retryable() || error.code == base::Code::kInternal;
  return {passing ? Kind::kWait : Kind::kStall, step,
          error.reason.empty() ? crd::reason::kProgressingWithRetry : error.reason, error.message,
          kLookAgainAtTrouble};
}

std::string HowToUnblock(const std::string& operation) {
  std::string way = "set spec.deletionPolicy to Orphan to leave everything as it is";
  if (!operation.empty()) {
    way += fmt::format(", or abandon the operation with {}={}", crd::kAbandon, operation);
  }
  return way;
}

std::optional<Decision> HoldsDeletion(const DeletionView& view) {
  if (view.trouble == nullptr || view.orphans || view.others) return std::nullopt;
  return Decision{Kind::kStall, model::Step::kPreflight, view.trouble->reason,
                  fmt::format("the resource is being deleted, but the controller cannot tell "
                              "whether an operation is open: {}; correct that, or {}",
                              view.trouble->message, HowToUnblock(view.operation)),
                  kLookAgainAtTrouble};
}

}  // namespace oms::decide
