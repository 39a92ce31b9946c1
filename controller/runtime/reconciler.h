// The contract between the runtime's workers and what is done for one key.
#pragma once

#include <optional>

#include "controller/base/clock.h"
#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/kube/meta.h"

namespace oms::runtime {

struct Request {
  kube::ObjectKey key;
};

struct Outcome {
  std::optional<base::Duration> after;  // None: nothing more to do until something changes.

  static Outcome Done() { return {}; }
  static Outcome After(base::Duration wait) { return {wait}; }
};

// Reconcile is called for one key by one worker at a time, for different keys at once. It looks at
// the world first, may be called at any time and as often as anyone likes, and does not sit through
// long work: it starts or observes it, and returns After (the end of the work wakes the key).
//
// What the worker does with the answer (controller.cc, one switch):
//   Done                    forgotten until something changes; backoff is reset
//   After(d)                called again after d, or earlier when woken; backoff is reset
//   kInvalid, kTerminal     forgotten until something changes: the reconciler has told the person
//   kFenced                 the process is asked to exit
//   kCancelled              dropped when we are stopping, else as below
//   every other code, and an exception (a bug, counted)   called again, backed off
class Reconciler {
 public:
  virtual ~Reconciler() = default;
  virtual base::Result<Outcome> Reconcile(const base::Context& ctx, const Request& request) = 0;
};

}  // namespace oms::runtime
