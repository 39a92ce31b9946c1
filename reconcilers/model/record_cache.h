// What all records of a folder say together, and RecordCache: those of folders that were read before.
// What a folder's file says never
// changes, so a text that was parsed once is not parsed again while it is the one that is read. It
// saves time only: without it everything means the same.
//
// Pure. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "reconcilers/model/operation.h"

namespace oms::model {

// The record that all n of a folder make together: the last one, with the points of all.
// kNotFound if `texts` is empty.
base::Result<OperationRecord> FoldRecords(std::vector<std::string> texts);

class RecordCache {
 public:
  // As FoldRecords(texts), where `texts` is what lies in `folder` now.
  base::Result<OperationRecord> Fold(const std::string& folder, std::vector<std::string> texts);

  int parsed() const { return parsed_; }  // Texts, so far.

 private:
  struct Folded {
    std::vector<std::string> texts;
    OperationRecord record;
  };

  std::map<std::string, Folded> folders_;
  int parsed_ = 0;
};

}  // namespace oms::model
