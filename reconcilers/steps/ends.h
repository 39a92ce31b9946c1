// The ends of an operation: it is turned, closed, called off or given up. `resource` is what is
// latched.
#pragma once

#include <string>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "reconcilers/model/operation.h"
#include "reconcilers/steps/operation_session.h"

namespace oms::steps {

// A turn is one-way: an edit that goes forward again waits for the end of the rollback.
base::Status TurnBack(const base::Context& ctx, OperationSession& op, const std::string& why,
                      const model::ResourceMark& resource);
base::Status CloseOperation(const base::Context& ctx, OperationSession& op,
                            const model::ResourceMark& resource);
// Of an undo that has stopped nothing yet. False: HA was put back, and must be seen to be.
base::Result<bool> CallOffUndo(const base::Context& ctx, OperationSession& op,
                               const std::string& why, const model::ResourceMark& resource);
base::Status AbandonOperation(const base::Context& ctx, OperationSession& op,
                              const model::ResourceMark& resource);
void MarkAbandoned(model::OperationRecord& record, const model::ResourceMark& resource,
                   base::WallTime now);

}  // namespace oms::steps
