#include "reconcilers/steps/operation_session.h"

namespace oms::steps {

base::Status OperationSession::Save(const base::Context& ctx,
                                    const std::function<void(model::OperationRecord&)>& change) {
  OMS_TRY(ctx.Check());
  auto next = std::make_shared<model::OperationRecord>(*record_);
  change(*next);
  OMS_TRY(world_->store->Append(next->folder, last_n_ + 1, next->ToJson()));
  ++last_n_;
  before_.push_back(std::move(record_));
  record_ = std::move(next);
  return base::Ok();
}

base::Status OperationSession::RecordPoint(const base::Context& ctx, model::PointKind kind,
                                           const std::string& node, std::optional<model::Step> step,
                                           int attempt) {
  const model::Point point{kind, node, step, attempt, ctx.clock().Wall()};
  OMS_TRY(Save(ctx, [&](model::OperationRecord& record) { record.points.push_back(point); }));
  ctx.log().With("point", std::string(model::ToString(kind))).Info("point passed");
  return base::Ok();
}

void OperationSession::Start(const base::Context& ctx, const std::string& task,
                             base::Duration timeout, act::LongTasks::Work work) {
  ++started_;
  tasks_.Start(ctx, record_->id + "/" + task, timeout, std::move(work), wake_);
}

}  // namespace oms::steps
