// The command line.
#pragma once

#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/log.h"
#include "controller/base/result.h"

namespace oms::cmd {

struct Options {
  std::string kubeconfig;  // Empty: in-cluster, else $KUBECONFIG.
  std::string ns;          // Watch this namespace only; empty: all.
  std::string http_addr = "0.0.0.0:8080";
  std::string lease_namespace = "oms-system";
  std::string lease_name = "oms-upgrade-controller";
  bool leader_elect = true;
  base::Duration lease_duration = std::chrono::seconds(15);
  base::Duration renew_deadline = std::chrono::seconds(10);
  base::Duration retry_period = std::chrono::seconds(2);
  base::LogFormat log_format = base::LogFormat::kJson;
  base::LogLevel log_level = base::LogLevel::kInfo;
  int workers = 2;
  std::vector<std::string> allow_engine, allow_backup_dir, allow_archive_dir;
  bool help = false, version = false;
};

// "--name value" or "--name=value". kInvalid names the flag, and what to write.
base::Result<Options> ParseOptions(const std::vector<std::string>& args);
std::string Usage();

}  // namespace oms::cmd
