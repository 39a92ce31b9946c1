#include "controller/cmd/options.h"

#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <map>

namespace oms::cmd {
namespace {

struct Flag {
  std::string value;  // What stands for its value in the usage; empty: a switch.
  std::string help;
  std::function<base::Status(Options&, const std::string&)> set;
};

auto Text(std::string Options::*field) {
  return [field](Options& options, const std::string& value) {
    options.*field = value;
    return base::Ok();
  };
}

auto List(std::vector<std::string> Options::*field) {
  return [field](Options& options, const std::string& value) {
    (options.*field).push_back(value);
    return base::Ok();
  };
}

base::Status Bad(const std::string& what) { return base::MakeError(base::Code::kInvalid, what); }

auto Time(const char* name, base::Duration Options::*field) {
  return [name, field](Options& options, const std::string& value) -> base::Status {
    const auto duration = base::ParseDuration(value);
    if (!duration.ok() || *duration <= base::Duration(0)) {
      return Bad(fmt::format("--{} takes a time such as 15s, not '{}'", name, value));
    }
    options.*field = *duration;
    return base::Ok();
  };
}

const std::map<std::string, Flag>& Flags() {
  static const std::map<std::string, Flag> flags = {
      {"kubeconfig",
       {"FILE", "kubeconfig; default: the Pod's ServiceAccount, else $KUBECONFIG",
        Text(&Options::kubeconfig)}},
      {"namespace", {"NAME", "watch this namespace only; default: all", Text(&Options::ns)}},
      {"http-addr",
       {"HOST:PORT", "address that serves /healthz, /readyz and /metrics; default 0.0.0.0:8080",
        Text(&Options::http_addr)}},
      {"lease-namespace",
       {"NAME", "namespace of the Lease; default oms-system", Text(&Options::lease_namespace)}},
      {"lease-name",
       {"NAME", "name of the Lease; default oms-upgrade-controller", Text(&Options::lease_name)}},
      {"leader-elect",
       {"true|false", "enable leader election, so that only one replica acts; default true",
        [](Options& options, const std::string& value) {
          if (value != "true" && value != "false") return Bad("--leader-elect takes true or false");
          options.leader_elect = value == "true";
          return base::Ok();
        }}},
      {"lease-duration",
       {"TIME",
        "lease duration: how long other replicas wait after the last renewal, in whole seconds; "
        "default 15s",
        Time("lease-duration", &Options::lease_duration)}},
      {"renew-deadline",
       {"TIME", "exit if the Lease cannot be renewed for this long; default 10s",
        Time("renew-deadline", &Options::renew_deadline)}},
      {"retry-period",
       {"TIME", "pause between two attempts to acquire or renew the Lease; default 2s",
        Time("retry-period", &Options::retry_period)}},
      {"log-format",
       {"json|text", "default json",
        [](Options& options, const std::string& value) {
          if (value != "json" && value != "text") return Bad("--log-format takes json or text");
          options.log_format = value == "json" ? base::LogFormat::kJson : base::LogFormat::kText;
          return base::Ok();
        }}},
      {"log-level",
       {"debug|info|warn|error", "default info",
        [](Options& options, const std::string& value) {
          const std::map<std::string, base::LogLevel> levels = {{"debug", base::LogLevel::kDebug},
                                                                {"info", base::LogLevel::kInfo},
                                                                {"warn", base::LogLevel::kWarn},
                                                                {"error", base::LogLevel::kError}};
          const auto found = levels.find(value);
          if (found == levels.end()) return Bad("--log-level takes debug, info, warn or error");
          options.log_level = found->second;
          return base::Ok();
        }}},
      {"workers",
       {"N", "how many resources are reconciled at the same time; default 2",
        [](Options& options, const std::string& value) {
          const auto end = value.data() + value.size();
          const auto read = std::from_chars(value.data(), end, options.workers);
          if (read.ec != std::errc() || read.ptr != end || options.workers < 1 ||
              options.workers > 64) {
            return Bad("--workers takes a number from 1 to 64");
          }
          return base::Ok();
        }}},
      {"allow-engine",
       {"PATTERN",
        "engine endpoint that resources may use, * for any; can be repeated; default "
        "unix:///var/run/docker.sock",
        List(&Options::allow_engine)}},
      {"allow-backup-dir",
       {"DIR",
        "folder below which backups may be stored; can be repeated; default "
        "/var/lib/oms-upgrade/backups",
        List(&Options::allow_backup_dir)}},
      {"allow-archive-dir",
       {"DIR",
        "folder below which image archives may be read; can be repeated; default "
        "/var/lib/oms-upgrade/images",
        List(&Options::allow_archive_dir)}},
  };
  return flags;
}

}  // namespace

base::Result<Options> ParseOptions(const std::vector<std::string>& args) {
  Options options;
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--help" || args[i] == "-h") {
      options.help = true;
      continue;
    }
    if (args[i] == "--version") {
      options.version = true;
      continue;
    }
    const size_t equals = args[i].find('=');
    const std::string name =
        args[i].starts_with("--")
            ? args[i].substr(2, equals == std::string::npos ? equals : equals - 2)
            : "";
    const auto flag = Flags().find(name);
    if (flag == Flags().end()) {
      return base::MakeError(base::Code::kInvalid,
                             fmt::format("unknown argument '{}'; see --help", args[i]));
    }
    std::string value;
    if (equals != std::string::npos) {
      value = args[i].substr(equals + 1);
    } else if (i + 1 < args.size()) {
      value = args[++i];
    } else {
      return base::MakeError(base::Code::kInvalid,
                             fmt::format("--{} needs a value: {}", name, flag->second.value));
    }
    OMS_TRY(flag->second.set(options, value));
  }
  // What the Lease says to others is in whole seconds.
  if (options.lease_duration % std::chrono::seconds(1) != base::Duration(0)) {
    return base::MakeError(base::Code::kInvalid, "--lease-duration takes whole seconds");
  }
  if (options.retry_period >= options.renew_deadline ||
      options.renew_deadline >= options.lease_duration) {
    return base::MakeError(base::Code::kInvalid,
                           "--retry-period must be less than --renew-deadline, and that less than "
                           "--lease-duration");
  }
  if (options.allow_engine.empty()) options.allow_engine = {"unix:///var/run/docker.sock"};
  if (options.allow_backup_dir.empty()) options.allow_backup_dir = {"/var/lib/oms-upgrade/backups"};
  if (options.allow_archive_dir.empty())
    options.allow_archive_dir = {"/var/lib/oms-upgrade/images"};
  return options;
}

std::string Usage() {
  std::string text =
      "oms-upgrade-controller: upgrades OceanBase Migration Service (OMS), and rolls it back, as "
      "its OmsUpgrade asks.\n\n";
  for (const auto& [name, flag] : Flags())
    text += fmt::format("  --{} {}\n        {}\n", name, flag.value, flag.help);
  return text + "  --version\n  --help\n";
}

}  // namespace oms::cmd
