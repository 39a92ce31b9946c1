// The composition root: options, wiring, exit code. The only file that sees every layer.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "controller/base/clock.h"
#include "controller/base/context.h"
#include "controller/base/log.h"
#include "controller/cmd/options.h"
#include "controller/cmd/wake.h"
#include "controller/kube/kube_config.h"
#include "controller/kube/rest_client.h"
#include "controller/runtime/controller.h"
#include "controller/runtime/event_recorder.h"
#include "controller/runtime/http_server.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/leader_elector.h"
#include "controller/runtime/manager.h"
#include "controller/runtime/metrics.h"
#include "controller/runtime/work_queue.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/act/threaded_tasks.h"
#include "reconcilers/drivers/docker/docker_engine.h"
#include "reconcilers/drivers/docker/image_archive.h"
#include "reconcilers/drivers/dump/dump_tool.h"
#include "reconcilers/drivers/files/file_record_store.h"
#include "reconcilers/drivers/http/http_task_api.h"
#include "reconcilers/drivers/http/tcp_http_probe.h"
#include "reconcilers/drivers/mysql/mysql_metadb.h"
#include "reconcilers/drivers/mysql/mysql_ownership.h"
#include "reconcilers/drivers/mysql/mysql_session.h"
#include "reconcilers/pass/upgrade_reconciler.h"

namespace oms {
namespace {

constexpr char kVersion[] = "0.1.0";
// A resource whose servers answer slowly must not keep the workers of all others.
constexpr base::Duration kPassTimeout = std::chrono::minutes(10);

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

base::Result<std::unique_ptr<kube::RestClient>> Connect(const std::string& kubeconfig,
                                                        runtime::Registry& metrics) {
  OMS_ASSIGN(auto config, kube::FindKubeConfig(kubeconfig));
  return kube::RestClient::Make(std::move(config),
                                {.on_request = runtime::RestRequestCounter(metrics)});
}

// The cluster's identity: whatever else is made anew, kube-system's uid stays.
base::Result<std::string> ClusterId(const base::Context& ctx, kube::ApiClient& api) {
  OMS_ASSIGN(const nlohmann::json ns, api.Get(ctx, {"", "v1", "namespaces"}, {"", "kube-system"}));
  OMS_ASSIGN(const kube::ObjectMeta meta, kube::ParseMeta(ns));
  return meta.uid;
}

// All that is outside of the cluster, as what is real.
struct Drivers {
  const std::unique_ptr<ports::EngineProvider> engines =
      drivers::docker::MakeDockerEngineProvider();
  const std::unique_ptr<ports::RecordStore> store = drivers::files::MakeFileRecordStore();
  const std::unique_ptr<ports::BackupTool> backup_tool = drivers::dump::MakeDumpTool();
  drivers::mysql::MysqlMetaDbProvider meta_dbs;
  drivers::mysql::MysqlOwnershipProvider ownerships;
  drivers::http::TcpHttpProbe probe;
  drivers::docker::FileImageArchives archives;
  drivers::http::HttpTaskApi task_api;

  pass::Ports With(kube::ApiClient& client) {
    return {.api = &client,
            .engines = engines.get(),
            .meta_dbs = &meta_dbs,
            .ownerships = &ownerships,
            .store = store.get(),
            .backup_tool = backup_tool.get(),
            .archives = &archives,
            .probe = &probe,
            .task_api = &task_api};
  }
};

using Upgrades = runtime::Informer<crd::OmsUpgrade>;

void Wake(runtime::WorkQueue& queue, Upgrades& informer, const base::Logger& logger) {
  informer.SetOnChange([&](const kube::ObjectKey& key, const auto& before, const auto& after) {
    if (cmd::IsWorthAPass(before.get(), after.get())) queue.Add(key);
  });
  informer.SetOnParseError([&](const kube::ObjectKey& key, const base::Error& error) {
    logger.With("key", key.ToString()).Error("ignored: {}", error.message);
  });
}

void AddPages(runtime::HttpServer& http, runtime::Manager& manager, runtime::Registry& metrics,
              Upgrades& informer) {
  http.Handle("/healthz", runtime::CheckHandler({{"process", [&] { return manager.Failure(); }}}));
  http.Handle("/metrics", [&] {
    return runtime::HttpReply{200, "text/plain; version=0.0.4; charset=utf-8", metrics.Text()};
  });
  http.Handle(
      "/readyz",
      runtime::CheckHandler({{"informer", [&] {
                                return informer.HasSynced()
                                           ? std::string()
                                           : std::string("the list of resources is not loaded yet");
                              }}}));
}

// What runs from the first moment to the last, whether this process leads or not.
void AddStanding(runtime::Manager& manager, const base::Context& ctx, const std::string& address,
                 runtime::HttpServer& http, runtime::ApiEventRecorder& events, Upgrades& informer) {
  manager.Add(
      "http", [&http, address] { return http.Start(address); }, [&http] { http.Stop(); });
  manager.Add(
      "events",
      [&events, &ctx] {
        events.Start(ctx);
        return base::Ok();
      },
      [&events] { events.Stop(); });
  manager.Add(
      "informer",
      [&informer, &ctx] {
        informer.Start(ctx);
        return base::Ok();
      },
      [&informer] { informer.Stop(); });
}

int Serve(const cmd::Options& options) {
  const base::SystemClock clock;
  const auto random = base::MakeSystemRandom();
  const base::Logger logger;
  const base::Context ctx(clock, logger);

  runtime::Registry metrics;
  runtime::AddProcessMetrics(metrics);
  const auto api = Connect(options.kubeconfig, metrics);
  if (!api.ok()) {
    logger.Error("{}", api.error().message);
    return 2;
  }
  kube::ApiClient& client = **api;
  const auto cluster = ClusterId(ctx.WithTimeout(std::chrono::seconds(30)), client);
  if (!cluster.ok()) {
    logger.Error("the identity of the cluster cannot be read: {}", cluster.error().message);
    return 1;
  }
  runtime::Manager manager(logger);
  // Half a process is worse than none: another one takes over what this one does not do any more.
  const base::OnFailure end_process = [&](const std::string& what) {
    manager.RequestExit(1, what);
  };
  const std::string process = base::RandomId();
  runtime::ApiEventRecorder events(
      {.component = "oms-upgrade-controller", .instance = HostName(), .on_failure = end_process},
      client, clock);
  runtime::WorkQueue queue({.name = "omsupgrade"}, clock, *random, &metrics);
  Upgrades informer({.type = {crd::kGroup, crd::kVersionName, crd::kPlural},
                     .ns = options.ns,
                     .on_failure = end_process},
                    client, *random, crd::FromJson);
  Wake(queue, informer, logger);

  Drivers drivers;
  act::ThreadedTasks tasks;
  show::UpgradeMetrics upgrade_metrics(metrics);
  pass::UpgradeReconciler reconciler(
      {.cluster = *cluster,
       .process = process,
       .limits = {options.allow_engine, options.allow_backup_dir, options.allow_archive_dir},
       .metrics = &upgrade_metrics},
      drivers.With(client), [&](const kube::ObjectKey& key) { return informer.Get(key); }, events,
      *random, tasks, [&](const kube::ObjectKey& key) { queue.Add(key); });

  runtime::Controller controller(
      {.name = "omsupgrade",
       .workers = options.workers,
       .pass_timeout = kPassTimeout,
       .on_fenced = [&](const base::Error& error) { manager.RequestExit(1, error.message); },
       .on_failure = end_process},
      reconciler, queue, &metrics);

  std::atomic<bool> leading{!options.leader_elect};
  const auto lead = [&](const base::Context& permitted) {
    leading = true;
    controller.Start(permitted);
  };
  runtime::LeaderElector elector(
      {.lease_namespace = options.lease_namespace,
       .lease_name = options.lease_name,
       .identity = HostName() + "_" + process.substr(0, 12),
       .lease_duration = options.lease_duration,
       .renew_deadline = options.renew_deadline,
       .retry_period = options.retry_period,
       .on_started =
           [&] {
             lead(ctx.WithPermission([&elector] { return elector.IsLeader(); })
                      .WithStop(elector.lost()));
           },
       .on_lost =
           [&](const std::string& why) { manager.RequestExit(1, "leadership lost: " + why); },
       .on_failure = end_process},
      client, clock, *random, &metrics);

  runtime::HttpServer http(end_process);
  AddPages(http, manager, metrics, informer);
  AddStanding(manager, ctx, options.http_addr, http, events, informer);
  manager.Add(
      "lease",
      [&] {
        if (options.leader_elect) {
          elector.Start(ctx);
        } else {
          lead(ctx);
        }
        return base::Ok();
      },
      [&] {
        // First all that acts, then the Lease, so that the next one finds nobody at work.
        controller.Stop();
        tasks.Stop("");
        if (options.leader_elect) elector.StopAndRelease(ctx.WithTimeout(std::chrono::seconds(5)));
      });
  logger.Info("oms-upgrade-controller {} starts; cluster {}, process {}", kVersion, *cluster,
              process.substr(0, 12));
  return manager.Run();
}

}  // namespace
}  // namespace oms

int main(int argc, char** argv) {
  oms::runtime::Manager::BlockSignals();
  oms::kube::InitRestLibrary();
  oms::drivers::mysql::InitMysql();
  const auto options = oms::cmd::ParseOptions({argv + 1, argv + argc});
  if (!options.ok()) {
    std::fprintf(stderr, "%s\n", options.error().message.c_str());
    return 2;
  }
  if (options->help) {
    std::printf("%s", oms::cmd::Usage().c_str());
    return 0;
  }
  if (options->version) {
    std::printf("oms-upgrade-controller %s\n", oms::kVersion);
    return 0;
  }
  oms::base::InitLogging(options->log_format, options->log_level);
  const int code = oms::Serve(*options);
  // A thread that is left behind with a silent server may be in a library still: none of them is
  // taken down under it.
  std::fflush(nullptr);
  std::quick_exit(code);
}
