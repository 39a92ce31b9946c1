// WatchDecoder: bytes of a watch response in, events out. Pure.
//
// Bytes may be cut anywhere. What is left without a newline when the stream ends is dropped: a
// broken stream can leave half a line.
#pragma once

#include <string>
#include <string_view>

#include "controller/base/result.h"
#include "controller/kube/api_client.h"

namespace oms::kube {

class WatchDecoder {
 public:
  // Calls `sink` for each complete line in order. Ends with the sink's error; with kExpired for the
  // in-stream 410; with the mapped code of any other in-stream ERROR; with kTransient for a line
  // that is no watch event (taken for a broken stream). After an error it must not be fed again.
  base::Status Feed(std::string_view bytes, const WatchSink& sink);

  // The resourceVersion of the last event or bookmark that the sink took; empty before the first.
  const std::string& resource_version() const { return resource_version_; }
  // Bytes of a line that is not complete.
  size_t pending() const { return buffer_.size(); }

 private:
  base::Status Line(std::string_view line, const WatchSink& sink);

  std::string buffer_;
  std::string resource_version_;
};

// The Error of a metav1.Status object (or of whatever a proxy answered) that came with this HTTP
// status. `http_status` 0: take the code from the object.
base::Error ErrorFromStatus(int http_status, const nlohmann::json& status);

}  // namespace oms::kube
