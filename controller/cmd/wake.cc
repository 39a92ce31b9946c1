#include "controller/cmd/wake.h"

namespace oms::cmd {
namespace {

// We stamp each status with the generation that it speaks of, which only grows, and take none of
// our conditions away.
bool StatusWasTaken(const crd::Status& before, const crd::Status& after) {
  return after.observed_generation < before.observed_generation ||
         after.conditions.size() < before.conditions.size();
}

}  // namespace

bool IsWorthAPass(const crd::OmsUpgrade* before, const crd::OmsUpgrade* after) {
  if (before == nullptr || after == nullptr) return true;
  const kube::ObjectMeta &was = before->meta, &is = after->meta;
  return was.uid != is.uid || was.generation != is.generation ||
         was.annotations != is.annotations || was.finalizers != is.finalizers ||
         was.deletion_timestamp != is.deletion_timestamp ||
         StatusWasTaken(before->status, after->status);
}

}  // namespace oms::cmd
