// TaskApi: what OMS's own task API says of its migration and synchronization tasks
// (oms/README.md). Reading only. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "controller/base/secret.h"
#include "reconcilers/ports/http_probe.h"

namespace oms::ports {

struct OmsTaskStep {
  std::string name;    // TRANSFER_APP_SWITCH; some versions use the older APP_SWITCH.
  std::string status;  // INIT, RUNNING, FAILED, FINISHED, SUSPEND, MONITORING
  // How far incremental synchronization is behind, by OMS's own two clocks; nullopt: not told.
  std::optional<int64_t> behind_seconds;
};

struct OmsTask {
  std::string id;
  std::string name;
  std::string status;                  // INIT, RUNNING, SUSPEND, FAILED, FINISHED, ...
  std::string source_type, sink_type;  // OB_MYSQL, MYSQL, KAFKA, ...
  std::optional<bool> source_log_proxy, sink_log_proxy;     // oblogproxy; nullopt: not told.
  bool full = false, incremental = false, reverse = false;  // Which of these it includes.
  std::string current_step;  // Where the task includes a reverse increment; empty: not told.
  std::vector<OmsTaskStep> steps;
  // It has ended, or is being taken away: nothing of it will run in the new version, and no more
  // than its name and status was asked for.
  bool Over() const {
    return status == "FINISHED" || status == "RELEASING" || status == "RELEASED" ||
           status == "DELETED";
  }
};

struct TaskApiAddress {
  std::string host;
  int port = 8089;
  std::optional<HttpsTrust> https;
  std::string user;
  base::Secret password;
};

class TaskApi {
 public:
  virtual ~TaskApi() = default;
  // All migration and synchronization tasks. No text holds the password, or what was answered. The
  // reason is TaskAPIDenied (user or password), TaskAPINotOffered (there is no such API),
  // TaskAPIUnreachable, TaskAPITimeout, TaskAPIRefused (it answers that it cannot) or
  // TaskAPIAnswerInvalid.
  virtual base::Result<std::vector<OmsTask>> Tasks(const base::Context& ctx,
                                                   const TaskApiAddress& address) = 0;
};

}  // namespace oms::ports
