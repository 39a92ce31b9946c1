// The REST client and the runtime against a real kube-apiserver: eval "$(hack/devenv.sh env)".
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "controller/kube/kube_config.h"
#include "controller/kube/rest_client.h"
#include "controller/kube/status_patch.h"
#include "controller/runtime/event_recorder.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/leader_elector.h"

namespace oms {
namespace {

using base::Code;
using kube::ObjectKey;
using kube::ResourceType;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

const ResourceType kConfigMaps{"", "v1", "configmaps"};
const ResourceType kNamespaces{"", "v1", "namespaces"};
const ResourceType kServiceAccounts{"", "v1", "serviceaccounts"};
const ResourceType kEvents{"", "v1", "events"};
const ResourceType kRoles{"rbac.authorization.k8s.io", "v1", "roles"};
const ResourceType kRoleBindings{"rbac.authorization.k8s.io", "v1", "rolebindings"};
const ResourceType kLeases{"coordination.k8s.io", "v1", "leases"};
const ResourceType kCrds{"apiextensions.k8s.io", "v1", "customresourcedefinitions"};
const ResourceType kProbes{"probe.oms-tests.dev", "v1", "probes"};
const std::string kNs = "oms-it-kube";

bool Eventually(const std::function<bool()>& done, base::Duration limit = seconds(60)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(10));  // A real server is polled.
  }
  return true;
}

class KubeIntegrationTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { kube::InitRestLibrary(); }

  void SetUp() override {
    const char* path = std::getenv("KUBECONFIG");
    ASSERT_NE(path, nullptr)
        << "KUBECONFIG is not set: hack/devenv.sh up, then eval \"$(hack/devenv.sh env)\"";
    auto config = kube::LoadKubeConfig(path);
    ASSERT_TRUE(config.ok()) << config.error().message;
    config_ = *config;
    auto client = kube::RestClient::Make(config_);
    ASSERT_TRUE(client.ok()) << client.error().message;
    client_ = std::move(*client);
    auto ns = client_->Create(
        ctx_, kNamespaces, "",
        {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", kNs}}}});
    ASSERT_TRUE(ns.ok() || ns.Is(Code::kAlreadyExists)) << ns.error().message;
    suffix_ = base::RandomId().substr(0, 10);
    directory_ = std::filesystem::temp_directory_path() / ("oms-it-kube-" + suffix_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override {
    std::reverse(made_.begin(), made_.end());
    for (const auto& [type, key] : made_) (void)client_->Delete(ctx_, type, key);
    std::filesystem::remove_all(directory_);
  }

  std::string Name(const std::string& name) const { return name + "-" + suffix_; }
  ObjectKey Key(const std::string& name) const { return {kNs, Name(name)}; }

  // Creates it, and deletes it at the end of the test.
  json Make(const ResourceType& type, const std::string& api_version, const std::string& kind,
            const std::string& name, json more = json::object()) {
    more["apiVersion"] = api_version;
    more["kind"] = kind;
    more["metadata"]["name"] = Name(name);
    more["metadata"]["namespace"] = kNs;
    made_.emplace_back(type, Key(name));
    auto made = client_->Create(ctx_, type, kNs, more);
    EXPECT_TRUE(made.ok()) << made.error().message;
    return made.value_or(json::object());
  }
  json MakeConfigMap(const std::string& name, const std::string& value) {
    return Make(kConfigMaps, "v1", "ConfigMap", name,
                {{"metadata", {{"labels", {{"test", suffix_}}}}}, {"data", {{"value", value}}}});
  }
  // A token of that ServiceAccount, asked for as a person would.
  std::string Token(const std::string& account) const {
    const std::string command = "kubectl create token -n " + kNs + " " + Name(account);
    std::FILE* pipe = popen(command.c_str(), "r");
    char buffer[4096];
    std::string token;
    while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) token += buffer;
    EXPECT_EQ(pclose(pipe), 0) << command;
    while (!token.empty() && token.back() == '\n') token.pop_back();
    return token;
  }
  // A ServiceAccount that may read ConfigMaps and nothing else.
  void MakeReader() {
    Make(kServiceAccounts, "v1", "ServiceAccount", "reader");
    Make(kRoles, "rbac.authorization.k8s.io/v1", "Role", "reader",
         {{"rules",
           {{{"apiGroups", {""}}, {"resources", {"configmaps"}}, {"verbs", {"get", "list"}}}}}});
    Make(kRoleBindings, "rbac.authorization.k8s.io/v1", "RoleBinding", "reader",
         {{"roleRef",
           {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "Role"}, {"name", Name("reader")}}},
          {"subjects",
           {{{"kind", "ServiceAccount"}, {"name", Name("reader")}, {"namespace", kNs}}}}});
  }
  kube::KubeConfig Anonymous() const {
    kube::KubeConfig config;
    config.server = config_.server;
    config.ca = config_.ca;
    config.tls_server_name = config_.tls_server_name;
    return config;
  }

  base::SystemClock clock_;
  base::Context ctx_ = base::Context(clock_, {}).WithTimeout(std::chrono::minutes(2));
  std::unique_ptr<base::Random> random_ = base::MakeSystemRandom();
  kube::KubeConfig config_;
  std::unique_ptr<kube::RestClient> client_;
  std::string suffix_;
  std::filesystem::path directory_;
  std::vector<std::pair<ResourceType, ObjectKey>> made_;
};

TEST_F(KubeIntegrationTest, AnObjectLivesFromCreateToDelete) {
  const json made = MakeConfigMap("a", "1");
  const auto meta = kube::ParseMeta(made);
  ASSERT_TRUE(meta.ok());
  EXPECT_EQ(meta->Key(), Key("a"));
  EXPECT_FALSE(meta->uid.empty());
  EXPECT_TRUE(meta->creation.has_value());
  json again = {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", Name("a")}}}};
  EXPECT_TRUE(client_->Create(ctx_, kConfigMaps, kNs, again).Is(Code::kAlreadyExists));

  json changed = made;
  changed["data"]["value"] = "2";
  const auto replaced = client_->Replace(ctx_, kConfigMaps, Key("a"), changed);
  ASSERT_TRUE(replaced.ok()) << replaced.error().message;
  const auto lost = client_->Replace(ctx_, kConfigMaps, Key("a"), changed);
  ASSERT_TRUE(lost.Is(Code::kConflict));
  EXPECT_EQ(lost.error().reason, "Conflict");

  EXPECT_EQ((*client_->Get(ctx_, kConfigMaps, Key("a")))["data"]["value"], "2");
  EXPECT_TRUE(client_->Delete(ctx_, kConfigMaps, Key("a"), {meta->resource_version, ""})
                  .Is(Code::kConflict));
  EXPECT_TRUE(client_->Delete(ctx_, kConfigMaps, Key("a"), {"", "another"}).Is(Code::kConflict));
  EXPECT_TRUE(client_->Delete(ctx_, kConfigMaps, Key("a"), {"", meta->uid}).ok());
  EXPECT_TRUE(client_->Get(ctx_, kConfigMaps, Key("a")).Is(Code::kNotFound));
  EXPECT_TRUE(client_->Delete(ctx_, kConfigMaps, Key("a")).Is(Code::kNotFound));
}

TEST_F(KubeIntegrationTest, EachKindOfPatchIsTaken) {
  MakeConfigMap("a", "1");
  EXPECT_EQ((*client_->Patch(ctx_, kConfigMaps, Key("a"), kube::PatchType::kMerge,
                             {{"data", {{"more", "x"}}}}))["data"],
            json({{"value", "1"}, {"more", "x"}}));
  EXPECT_EQ((*client_->Patch(ctx_, kConfigMaps, Key("a"), kube::PatchType::kJson,
                             json::array({{{"op", "remove"}, {"path", "/data/more"}}})))["data"],
            json({{"value", "1"}}));
  const json applied = {{"apiVersion", "v1"},
                        {"kind", "ConfigMap"},
                        {"metadata", {{"name", Name("a")}}},
                        {"data", {{"mine", "y"}}}};
  EXPECT_EQ((*client_->Patch(ctx_, kConfigMaps, Key("a"), kube::PatchType::kApply, applied, "",
                             "tester"))["data"],
            json({{"value", "1"}, {"mine", "y"}}));
  EXPECT_TRUE(
      client_
          ->Patch(ctx_, kConfigMaps, Key("a"), kube::PatchType::kMerge, {{"data", {{"value", 7}}}})
          .Is(Code::kInvalid));
}

TEST_F(KubeIntegrationTest, AListComesInPages) {
  for (int i = 0; i < 5; ++i) MakeConfigMap("p" + std::to_string(i), "x");
  std::vector<std::string> names;
  kube::ListOptions options{2, "", "test=" + suffix_};
  int pages = 0;
  do {
    auto page = client_->List(ctx_, kConfigMaps, kNs, options);
    ASSERT_TRUE(page.ok()) << page.error().message;
    for (const json& item : page->items) names.push_back(item["metadata"]["name"]);
    options.continue_token = page->continue_token;
    ++pages;
  } while (!options.continue_token.empty());
  EXPECT_EQ(names.size(), 5u);
  EXPECT_EQ(pages, 3);
}

TEST_F(KubeIntegrationTest, AStatusIsPatchedOnlyOnTheVersionItWasMadeFor) {
  const json crd = {
      {"apiVersion", "apiextensions.k8s.io/v1"},
      {"kind", "CustomResourceDefinition"},
      {"metadata", {{"name", "probes." + kProbes.group}}},
      {"spec",
       {{"group", kProbes.group},
        {"scope", "Namespaced"},
        {"names", {{"plural", "probes"}, {"singular", "probe"}, {"kind", "Probe"}}},
        {"versions",
         {{{"name", "v1"},
           {"served", true},
           {"storage", true},
           {"subresources", {{"status", json::object()}}},
           {"schema",
            {{"openAPIV3Schema",
              {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}}}}}}}}}}};
  const ObjectKey crd_key{"", "probes." + kProbes.group};
  made_.emplace_back(kCrds, crd_key);
  ASSERT_TRUE(Eventually([&] {
    if (client_->Create(ctx_, kCrds, "", crd).ok()) return true;
    const auto there =
        client_->Get(ctx_, kCrds, crd_key);  // Of a run before; maybe on its way out.
    return there.ok() && !(*there)["metadata"].contains("deletionTimestamp");
  }));
  ASSERT_TRUE(Eventually([&] { return client_->List(ctx_, kProbes, kNs, {}).ok(); }));

  const json made = Make(kProbes, kProbes.group + "/v1", "Probe", "a", {{"spec", {{"x", 1}}}});
  const std::string version = made["metadata"]["resourceVersion"];
  const auto first = kube::StatusPatch(json(), {{"phase", "One"}, {"list", {1, 2}}}, version);
  const auto patched =
      client_->Patch(ctx_, kProbes, Key("a"), kube::PatchType::kMerge, *first, "status");
  ASSERT_TRUE(patched.ok()) << patched.error().message;
  EXPECT_EQ((*patched)["status"], json({{"phase", "One"}, {"list", {1, 2}}}));
  EXPECT_EQ((*patched)["metadata"]["generation"], 1);

  EXPECT_TRUE(client_
                  ->Patch(ctx_, kProbes, Key("a"), kube::PatchType::kMerge,
                          *kube::StatusPatch(json(), {{"phase", "Two"}}, version), "status")
                  .Is(Code::kConflict));
  EXPECT_EQ((*client_->Get(ctx_, kProbes, Key("a")))["status"]["phase"], "One");
}

TEST_F(KubeIntegrationTest, AnInformerFollowsThroughEndsOfItsWatch) {
  struct Map {
    std::string value;
  };
  MakeConfigMap("old", "1");
  runtime::InformerOptions options;
  options.type = kConfigMaps;
  options.ns = kNs;
  options.label_selector = "test=" + suffix_;
  options.watch_timeout = seconds(1);  // So that the watch ends and resumes during the test.
  runtime::Informer<Map> informer(
      options, *client_, *random_,
      [](const json& object) -> base::Result<Map> { return Map{object["data"]["value"]}; });
  informer.Start(ctx_);
  const auto value = [&](const std::string& name) {
    const auto map = informer.Get(Key(name));
    return map ? map->value : std::string();
  };
  ASSERT_TRUE(Eventually([&] { return informer.HasSynced(); }));
  EXPECT_EQ(value("old"), "1");
  MakeConfigMap("new", "2");
  EXPECT_TRUE(Eventually([&] { return value("new") == "2"; }));
  const auto begin = clock_.Now();
  int round = 0;
  while (clock_.Now() - begin < seconds(4)) {  // Over three ends of the watch.
    const std::string text = std::to_string(++round);
    ASSERT_TRUE(client_
                    ->Patch(ctx_, kConfigMaps, Key("new"), kube::PatchType::kMerge,
                            {{"data", {{"value", text}}}})
                    .ok());
    ASSERT_TRUE(Eventually([&] { return value("new") == text; })) << round;
  }
  ASSERT_TRUE(client_->Delete(ctx_, kConfigMaps, Key("old")).ok());
  EXPECT_TRUE(Eventually([&] { return informer.Get(Key("old")) == nullptr; }));
  EXPECT_EQ(informer.Size(), 1u);
}

// Of a resource that came later than the server: its cache cannot reach back to the beginning, as
// the cache of a built-in one may on a server that has just started.
TEST_F(KubeIntegrationTest, AWatchFromAVersionLongGoneIsExpired) {
  const kube::ResourceType custom{"test.example.com", "v1", "pings"};
  const json definition = {
      {"apiVersion", "apiextensions.k8s.io/v1"},
      {"kind", "CustomResourceDefinition"},
      {"metadata", {{"name", "pings.test.example.com"}}},
      {"spec",
       {{"group", "test.example.com"},
        {"names", {{"kind", "Ping"}, {"plural", "pings"}}},
        {"scope", "Namespaced"},
        {"versions",
         {{{"name", "v1"},
           {"served", true},
           {"storage", true},
           {"schema",
            {{"openAPIV3Schema",
              {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}}}}}}}}}}};
  const kube::ResourceType definitions{"apiextensions.k8s.io", "v1", "customresourcedefinitions"};
  const auto created = client_->Create(ctx_, definitions, "", definition);
  ASSERT_TRUE(created.ok() || created.Is(Code::kAlreadyExists)) << created.error().message;
  ASSERT_TRUE(Eventually([&] { return client_->List(ctx_, custom, kNs, {}).ok(); }));
  kube::WatchOptions options;
  options.ns = kNs;
  options.resource_version = "1";
  options.timeout = seconds(5);
  const auto status = client_->Watch(ctx_, custom, options,
                                     [](kube::WatchEventType, const json&) { return base::Ok(); });
  EXPECT_TRUE(status.Is(Code::kExpired)) << (status.ok() ? "ok" : status.error().message);
}

TEST_F(KubeIntegrationTest, AStopEndsAQuietWatchAtOnce) {
  std::stop_source stop;
  kube::WatchOptions options;
  options.ns = kNs;
  options.label_selector = "test=nothing-has-this";
  base::Status status = base::Ok();
  std::atomic<bool> ended{false};
  std::thread watcher([&] {
    status = client_->Watch(ctx_.WithStop(stop.get_token()), kConfigMaps, options,
                            [](kube::WatchEventType, const json&) { return base::Ok(); });
    ended = true;
  });
  std::this_thread::sleep_for(milliseconds(300));  // It is quiet: nothing tells that it is open.
  stop.request_stop();
  EXPECT_TRUE(Eventually([&] { return ended.load(); }));
  watcher.join();
  EXPECT_TRUE(status.Is(Code::kCancelled));
}

TEST_F(KubeIntegrationTest, ATokenFromAFileMayDoWhatItsRoleSays) {
  MakeConfigMap("a", "1");
  MakeReader();
  auto config = Anonymous();
  config.token_file = (directory_ / "token").string();
  std::ofstream(config.token_file) << Token("reader") << "\n";
  auto reader = kube::RestClient::Make(config);
  ASSERT_TRUE(reader.ok()) << reader.error().message;
  EXPECT_TRUE(Eventually([&] { return (*reader)->Get(ctx_, kConfigMaps, Key("a")).ok(); }))
      << "RBAC takes a moment";
  const auto denied = (*reader)->List(ctx_, {"", "v1", "secrets"}, kNs, {});
  ASSERT_TRUE(denied.Is(Code::kDenied));
  EXPECT_EQ(denied.error().reason, "Forbidden");
  EXPECT_TRUE((*reader)->Delete(ctx_, kConfigMaps, Key("a")).Is(Code::kDenied));

  // The token is taken away, and comes back by rotation.
  const std::string good = Token("reader");
  std::ofstream(config.token_file) << "not-a-token";
  std::filesystem::last_write_time(config.token_file,
                                   std::filesystem::file_time_type::clock::now() + seconds(1));
  const auto refused = (*reader)->Get(ctx_, kConfigMaps, Key("a"));
  ASSERT_TRUE(refused.Is(Code::kDenied));
  EXPECT_EQ(refused.error().reason, "Unauthorized");
  EXPECT_EQ(refused.error().message.find("not-a-token"), std::string::npos);
  std::ofstream(config.token_file) << good;
  EXPECT_TRUE((*reader)->Get(ctx_, kConfigMaps, Key("a")).ok())
      << "a 401 must make it read the file again";
}

TEST_F(KubeIntegrationTest, AnExecPluginGivesTheToken) {
  MakeConfigMap("a", "1");
  MakeReader();
  const auto plugin = directory_ / "plugin";
  std::ofstream(plugin) << "#!/bin/sh\ncat " << (directory_ / "answer").string() << "\n";
  std::filesystem::permissions(plugin, std::filesystem::perms::owner_all);
  std::ofstream(directory_ / "answer") << json({{"apiVersion", "client.authentication.k8s.io/v1"},
                                                {"kind", "ExecCredential"},
                                                {"status", {{"token", Token("reader")}}}});
  auto config = Anonymous();
  config.exec.emplace();
  config.exec->api_version = "client.authentication.k8s.io/v1";
  config.exec->command = plugin.string();
  auto reader = kube::RestClient::Make(config);
  ASSERT_TRUE(reader.ok()) << reader.error().message;
  EXPECT_TRUE(Eventually([&] { return (*reader)->Get(ctx_, kConfigMaps, Key("a")).ok(); }));
}

TEST_F(KubeIntegrationTest, AServerOfAnotherCaIsRefused) {
  auto config = Anonymous();
  config.ca = config_.client_certificate;  // A certificate, but no authority of the server's.
  auto client = kube::RestClient::Make(config);
  ASSERT_TRUE(client.ok());
  EXPECT_TRUE((*client)->Get(ctx_, kConfigMaps, Key("a")).Is(Code::kTransient));
}

TEST_F(KubeIntegrationTest, OfTwoElectorsOneLeadsAndTheOtherFollowsARelease) {
  made_.emplace_back(kLeases, Key("lock"));
  const auto elector = [&](const std::string& identity, seconds lease, seconds deadline) {
    runtime::LeaderElector::Options options;
    options.lease_namespace = kNs;
    options.lease_name = Name("lock");
    options.identity = identity;
    options.lease_duration = lease;
    options.renew_deadline = deadline;
    options.retry_period = milliseconds(300);
    return std::make_unique<runtime::LeaderElector>(options, *client_, clock_, *random_);
  };
  auto a = elector("a", seconds(60), seconds(40));
  a->Start(ctx_);
  ASSERT_TRUE(Eventually([&] { return a->IsLeader(); }));
  auto b = elector("b", seconds(3), seconds(2));
  b->Start(ctx_);
  const auto renewed = [&] {
    const auto lease = client_->Get(ctx_, kLeases, Key("lock"));
    return lease.ok() ? (*lease)["spec"]["renewTime"].get<std::string>() : std::string();
  };
  const std::string first = renewed();
  ASSERT_TRUE(Eventually([&] { return !renewed().empty() && renewed() != first; }));
  EXPECT_TRUE(a->IsLeader());
  EXPECT_FALSE(b->IsLeader());
  const json spec = (*client_->Get(ctx_, kLeases, Key("lock")))["spec"];
  EXPECT_EQ(spec["holderIdentity"], "a");

  a->StopAndRelease(ctx_);
  EXPECT_FALSE(a->IsLeader());
  const auto released = clock_.Now();
  ASSERT_TRUE(Eventually([&] { return b->IsLeader(); }));
  EXPECT_LT(clock_.Now() - released, seconds(30)) << "a release is not waited out";

  // A holder that dies does not release: the next one waits the Lease out.
  auto c = elector("c", seconds(3), seconds(2));
  c->Start(ctx_);
  b.reset();
  const auto died = clock_.Now();
  ASSERT_TRUE(Eventually([&] { return c->IsLeader(); }));
  EXPECT_GE(clock_.Now() - died, seconds(2));
  c->StopAndRelease(ctx_);
}

TEST_F(KubeIntegrationTest, EventsAreShownWithTheObjectAndCounted) {
  const json made = MakeConfigMap("a", "1");
  runtime::ApiEventRecorder recorder({"oms-tests", "oms-tests-0"}, *client_, clock_);
  recorder.Start(ctx_);
  const runtime::ObjectRef object{"v1", "ConfigMap", kNs, Name("a"), made["metadata"]["uid"]};
  for (int i = 0; i < 3; ++i) {
    recorder.Event(object, runtime::EventType::kWarning, "Tested", "it was tested",
                   {{"oms-tests/run", suffix_}});
  }
  recorder.Stop(seconds(10));
  EXPECT_EQ(recorder.dropped(), 0u);
  const auto page = client_->List(ctx_, kEvents, kNs, {});
  ASSERT_TRUE(page.ok());
  int found = 0;
  for (const json& event : page->items) {
    if (event["involvedObject"]["name"] != Name("a")) continue;
    ++found;
    EXPECT_EQ(event["count"], 3);
    EXPECT_EQ(event["reason"], "Tested");
    made_.emplace_back(kEvents, ObjectKey{kNs, event["metadata"]["name"]});
  }
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace oms
