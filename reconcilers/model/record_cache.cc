#include "reconcilers/model/record_cache.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace oms::model {
namespace {

// The operation at hand, its way back, and what the one before them led to.
constexpr size_t kFolders = 4;

// The record of `text`, with the points of those before it.
base::Result<OperationRecord> Next(std::vector<Point> points, const std::string& text) {
  OMS_ASSIGN(OperationRecord record, OperationRecord::FromJson(text));
  for (const auto& point : record.points) {
    const bool known =
        std::any_of(points.begin(), points.end(), [&](const Point& p) { return p.SameAs(point); });
    if (!known) points.push_back(point);
  }
  record.points = std::move(points);
  return record;
}

}  // namespace

base::Result<OperationRecord> RecordCache::Fold(const std::string& folder,
                                                std::vector<std::string> texts) {
  if (texts.empty()) {
    return base::MakeError(base::Code::kNotFound, "the folder contains no operation record");
  }
  std::optional<OperationRecord> record;
  size_t known = 0;
  if (const auto found = folders_.find(folder); found != folders_.end()) {
    const auto& before = found->second.texts;
    if (before.size() <= texts.size() && std::equal(before.begin(), before.end(), texts.begin())) {
      record = found->second.record;
      known = before.size();
    }
  }
  for (; known < texts.size(); ++known) {
    ++parsed_;
    OMS_ASSIGN(record,
               Next(record ? std::move(record->points) : std::vector<Point>(), texts[known]));
  }
  if (folders_.size() >= kFolders && !folders_.contains(folder)) folders_.clear();
  folders_.insert_or_assign(folder, Folded{std::move(texts), *record});
  return *std::move(record);
}

base::Result<OperationRecord> FoldRecords(std::vector<std::string> texts) {
  return RecordCache().Fold("", std::move(texts));
}

}  // namespace oms::model
