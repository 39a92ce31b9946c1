// A look changes nothing: it is given reading halves alone. What is here of the world has no other
// half, so that whatever a look asks for, in any mode, can be had without one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <type_traits>

#include "reconcilers/observe/observer.h"
#include "reconcilers/observe/reach_site.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::observe {
namespace {

using base::Code;
using base::Context;
using base::MakeError;
using base::Result;
using base::Status;

// Whatever could write is none of these, and cannot be had from them.
static_assert(!std::is_convertible_v<decltype(Views::api), kube::ApiClient*>);
static_assert(!std::is_convertible_v<decltype(Views::store), ports::RecordStore*>);
static_assert(
    !std::is_convertible_v<decltype(SiteNode::engine), std::shared_ptr<ports::ContainerEngine>>);
static_assert(!std::is_convertible_v<decltype(Site::ownership), std::shared_ptr<ports::Ownership>>);
static_assert(!std::is_convertible_v<decltype(Site::meta), ports::MetaDbs>);
static_assert(
    std::is_same_v<decltype(ports::MetaDbView::tables), std::shared_ptr<ports::OmsTablesView>>);
static_assert(
    std::is_same_v<decltype(ports::MetaDbView::server), std::shared_ptr<ports::DbServerView>>);
static_assert(std::is_same_v<decltype(ports::MetaDbView::connections),
                             std::shared_ptr<ports::DbConnectionsView>>);

constexpr char kConfig[] =
    "\"cm_location\": \"2\"\n\"cm_nodes\":\n- \"10.0.0.1\"\n\"cm_region\": \"cn\"\n"
    "\"cm_url\": \"http://10.0.0.1:8088\"\n\"drc_cm_db\": \"oms_cm\"\n"
    "\"drc_cm_heartbeat_db\": \"oms_cm_hb\"\n\"drc_rm_db\": \"oms_rm\"\n"
    "\"oms_meta_host\": \"10.0.0.3\"\n\"oms_meta_password\": \"s3cret-word\"\n"
    "\"oms_meta_port\": \"2883\"\n\"oms_meta_user\": \"oms\"\n";

base::Error Nothing(const std::string& what) {
  return MakeError(Code::kNotFound, "NotFound", what);
}

class Engine final : public ports::ContainerEngineView {
 public:
  Result<ports::EngineInfo> Info(const Context&) override {
    return ports::EngineInfo{"engine", "20.10", "1.41"};
  }
  Result<ports::ContainerInfo> Inspect(const Context&, const std::string& name) override {
    if (name == "oms_430" || name == "old-id") return fixtures::OldContainer();
    return Nothing("no container " + name);
  }
  Result<std::vector<ports::ContainerInfo>> ListByLabel(const Context&, const std::string&,
                                                        const std::string&) override {
    return std::vector<ports::ContainerInfo>();
  }
  Result<ports::ImageInfo> InspectImage(const Context&, const std::string&) override {
    return Nothing("no image");
  }
  Result<std::string> Logs(const Context&, const std::string&, int) override {
    return std::string();
  }
  Result<std::vector<ports::ProcessInfo>> Processes(const Context&, const std::string&) override {
    return std::vector<ports::ProcessInfo>();
  }
  Result<ports::ExecResult> SupervisorStatus(const Context&, const std::string&) override {
    return ports::ExecResult{0, "nginx RUNNING pid 1, uptime 1:00:00\n"};
  }
  Result<ports::FileContent> ReadFile(const Context&, const std::string&,
                                      const std::string& path) override {
    if (path != kConfigPath) return Nothing("no file " + path);
    return ports::FileContent{kConfig, 0, 0, 0640, true};
  }
  Result<ports::PathInfo> LookAtPath(const Context&, const std::string&,
                                     const std::string&) override {
    return Nothing("no file");
  }
};

class MetaServer final : public ports::OmsTablesView,
                         public ports::DbServerView,
                         public ports::DbConnectionsView {
 public:
  explicit MetaServer(ports::DbServerAddress address) : address_(std::move(address)) {}
  const ports::DbServerAddress& address() const override { return address_; }
  Result<std::optional<std::string>> ReadHaConfig(const Context&, const std::string&) override {
    return std::optional<std::string>(fixtures::kHaOn);
  }
  Result<std::vector<ports::HostRow>> Hosts(const Context&, const std::string&) override {
    return std::vector<ports::HostRow>{{"10.0.0.1", "ONLINE"}};
  }
  Result<ports::HeartbeatInfo> Heartbeat(const Context&, const std::string&,
                                         const std::string&) override {
    return ports::HeartbeatInfo{true, 1000, "now", 100};
  }
  Result<ports::SequenceTables> Sequence(const Context&, const std::string&) override {
    return ports::SequenceTables{{true, 100, 100, 101}, {}, {}};
  }
  Result<ports::LegacyFindings> LookForLegacy(const Context&, const std::string&,
                                              const std::string&, const std::string&) override {
    return ports::LegacyFindings{};
  }
  Result<ports::DbServerInfo> Server(const Context&) override {
    return ports::DbServerInfo{"8.0", true, "server"};
  }
  Result<ports::DbInfo> Database(const Context&, const std::string& name) override {
    return ports::DbInfo{name, "utf8mb4", "utf8mb4_general_ci", 1000};
  }
  Result<ports::DumpObstacles> Obstacles(const Context&, const std::string&) override {
    return ports::DumpObstacles{};
  }
  Result<std::vector<std::string>> Events(const Context&, const std::string&) override {
    return std::vector<std::string>();
  }
  Result<ports::DatabaseDigest> Digest(const Context&, const std::string&) override {
    return ports::DatabaseDigest{};
  }
  Result<std::optional<uint64_t>> GlobalQueryTimeout(const Context&) override {
    return std::optional<uint64_t>();
  }
  Status ProveRowsFit(const Context&, const std::string&) override { return base::Ok(); }
  Result<std::vector<ports::DbConnection>> ForeignConnections(
      const Context&, const std::vector<std::string>&) override {
    return std::vector<ports::DbConnection>();
  }

 private:
  const ports::DbServerAddress address_;
};

class Volume final : public ports::RecordStoreView {
 public:
  Result<ports::VolumeInfo> Look(const std::filesystem::path&) override {
    return Nothing("no identity");
  }
  Result<uint64_t> FreeBytes(const std::filesystem::path&) override { return uint64_t{1} << 40; }
  Result<std::vector<ports::RecordEntry>> Read(const std::filesystem::path&) override {
    return Nothing("no record");
  }
  Result<std::vector<std::filesystem::path>> List(const std::filesystem::path&) override {
    return std::vector<std::filesystem::path>();
  }
  Result<std::string> ReadFile(const std::filesystem::path&) override { return Nothing("no file"); }
  Result<std::string> Sha256(const std::filesystem::path&) override { return Nothing("no file"); }
  Result<uint64_t> Size(const std::filesystem::path&) override { return uint64_t{1000}; }
};

class NoRow final : public ports::OwnershipView {
 public:
  Result<std::optional<ports::OwnershipRow>> Read(const Context&, const std::string&) override {
    return std::optional<ports::OwnershipRow>();
  }
};

class NoSecrets final : public kube::ApiReader {
 public:
  Result<nlohmann::json> Get(const Context&, const kube::ResourceType&,
                             const kube::ObjectKey&) override {
    return Nothing("no Secret");
  }
  Result<kube::ListPage> List(const Context&, const kube::ResourceType&, const std::string&,
                              const kube::ListOptions&) override {
    return kube::ListPage{};
  }
  Status Watch(const Context&, const kube::ResourceType&, const kube::WatchOptions&,
               const kube::WatchSink&) override {
    return base::Ok();
  }
};

class Console final : public ports::HttpProbe {
 public:
  Result<ports::HttpAnswer> Get(const Context&, const std::string&, int, const std::string&,
                                const std::optional<ports::HttpsTrust>&) override {
    return ports::HttpAnswer{200, R"({"data":{"healthy":true}})"};
  }
  Result<ports::CertificateInfo> ReadKeyPair(const std::string&,
                                             const base::Secret&) const override {
    return ports::CertificateInfo{};
  }
};

class World final : public ports::EngineViewProvider,
                    public ports::MetaDbViewProvider,
                    public ports::OwnershipViewProvider {
 public:
  observe::Views Views() {
    return {.api = &secrets_,
            .engines = this,
            .meta_dbs = this,
            .ownerships = this,
            .store = &volume_,
            .probe = &console_};
  }

 private:
  Result<std::shared_ptr<ports::ContainerEngineView>> Open(const ports::EngineAddress&) override {
    return std::shared_ptr<ports::ContainerEngineView>(std::make_shared<Engine>());
  }
  ports::MetaDbView Open(const ports::DbServerAddress& address) override {
    const auto server = std::make_shared<MetaServer>(address);
    return {server, server, server};
  }
  std::shared_ptr<ports::OwnershipView> Open(const ports::MetaDbsView&) override {
    return std::make_shared<NoRow>();
  }

  NoSecrets secrets_;
  Volume volume_;
  Console console_;
};

TEST(Look, InPlanModeSeesAllThatAnUpgradeAsksForWithReadingHalvesAlone) {
  World world;
  crd::OmsUpgrade resource;
  resource.meta.ns = "ns";
  resource.meta.name = "oms";
  resource.spec = fixtures::SpecOf();
  resource.spec.mode = crd::Mode::kPlan;
  resource.spec.backup.directory = "/backups";
  const model::Limits limits;
  const base::SystemClock clock;
  const Context ctx(clock, {});
  const crd::OperationStatus shown;
  model::RecordCache records;
  const Site site =
      ReachSite(ctx, world.Views(), resource, shown, {limits, {"cluster", "ns/oms"}, {}, records});
  ASSERT_FALSE(site.trouble) << site.trouble->message;

  const product::PathSteps path = product::StepsForTarget(*crd::Version::Parse("4.3.1"));
  ProofCache proofs;
  const model::Facts facts = Observe(
      ctx, world.Views(), {resource.spec, site, path, *site.running, *crd::Version::Parse("4.3.1")},
      {}, proofs);
  EXPECT_TRUE(facts.troubles.empty()) << facts.troubles.front().message;
  ASSERT_EQ(facts.nodes.size(), 1u);
  const model::NodeFacts& node = facts.nodes.front();
  EXPECT_TRUE(node.engine && node.old_container && node.config && node.health);
  EXPECT_TRUE(node.health && node.health->supervisor_answers);
  ASSERT_TRUE(facts.meta);
  EXPECT_EQ(facts.meta->databases.size(), 3u);
  EXPECT_EQ(facts.meta->ha_raw, fixtures::kHaOn);
  ASSERT_TRUE(facts.volume);
  EXPECT_EQ(facts.volume->identity, "") << "made when the upgrade begins";
  EXPECT_TRUE(facts.archive_bytes) << "it would have to be loaded";
}

}  // namespace
}  // namespace oms::observe
