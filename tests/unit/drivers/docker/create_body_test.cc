#include "reconcilers/drivers/docker/create_body.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "reconcilers/oms/container_clone.h"

namespace oms::drivers::docker {
namespace {

using base::Code;
using testing::AllOf;
using testing::HasSubstr;
using Json = nlohmann::json;

// As Docker 20.10 shows a container of the guide's `docker run`.
Json OldContainer() {
  return Json::parse(R"json({
    "Id": "0123456789abcdef0123456789abcdef",
    "Name": "/oms_430",
    "Image": "sha256:old",
    "Config": {
      "Hostname": "oms-host", "Domainname": "", "User": "", "Image": "oms:4.3.0",
      "AttachStdin": false, "Tty": true, "OpenStdin": true, "StdinOnce": false,
      "Env": ["OMS_HOST_IP=10.0.0.1", "HTTP_PROXY=http://proxy", "PATH=/usr/bin:/bin", "OMS_VERSION=4.3.0"],
      "Cmd": ["/root/docker_cmd.sh"], "Entrypoint": null, "WorkingDir": "/root",
      "Volumes": null,
      "Labels": {"vendor": "oceanbase", "team": "data", "oms.oceanbase.com/operation": "earlier"}
    },
    "HostConfig": {
      "Binds": ["/data/config.yaml:/home/admin/conf/config.yaml", "/data/oms/oms_logs:/home/admin/logs",
                "/data/oms/oms_store:/home/ds/store:rw", "/data/oms/oms_run:/home/ds/run",
                "/data/oms/https_crt:/etc/pki/nginx/oms_server.crt:ro"],
      "ContainerIDFile": "/tmp/cid", "NetworkMode": "host", "Privileged": true, "PidsLimit": -1,
      "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}, "AutoRemove": false,
      "Ulimits": [{"Name": "nproc", "Hard": 65535, "Soft": 65535}], "Memory": 17179869184,
      "ExtraHosts": ["metadb:10.0.0.2"], "SecurityOpt": ["label=disable"], "ConsoleSize": [0, 0]
    },
    "Mounts": []
  })json");
}
Json OldImage() {
  return Json::parse(R"json({
    "Id": "sha256:old",
    "Config": {"Env": ["PATH=/usr/bin:/bin", "OMS_VERSION=4.3.0"], "Cmd": ["/root/docker_cmd.sh"],
               "Entrypoint": null, "WorkingDir": "/root", "User": "", "Labels": {"vendor": "oceanbase"}}
  })json");
}

base::Result<std::string> CloneOf(product::CloneInput input) {
  return CreateBody(product::CloneForUpgrade(std::move(input)));
}
base::Result<std::string> Again(const std::string& inspect,
                                const std::string& image = "sha256:old") {
  return CreateBody(product::Recreate(inspect, image));
}

Json Clone(const Json& container, const Json& image = OldImage(),
           std::optional<std::string> config_source = std::nullopt) {
  const auto body = CloneOf({container.dump(),
                             image.dump(),
                             "sha256:new",
                             {{"oms.oceanbase.com/operation", "this"}},
                             config_source});
  EXPECT_TRUE(body.ok()) << body.error().message;
  return Json::parse(body.ok() ? *body : "{}");
}

TEST(CloneForUpgrade, WhatAPersonSetIsKept) {
  const Json body = Clone(OldContainer());
  const Json old = OldContainer();
  EXPECT_EQ(body["Image"], "sha256:new");
  EXPECT_EQ(body["Tty"], true);
  EXPECT_EQ(body["OpenStdin"], true);
  for (const char* key :
       {"Binds", "NetworkMode", "Privileged", "PidsLimit", "Ulimits", "Memory", "ExtraHosts"}) {
    EXPECT_EQ(body["HostConfig"][key], old["HostConfig"][key]) << key;
  }
}

TEST(CloneForUpgrade, WhatCameFromTheOldImageIsLeftToTheNewOne) {
  const Json body = Clone(OldContainer());
  EXPECT_EQ(body["Env"],
            Json({"OMS_HOST_IP=10.0.0.1", "HTTP_PROXY=http://proxy", "IS_UPGRADE=true"}));
  EXPECT_FALSE(body.contains("Cmd"));
  EXPECT_FALSE(body.contains("Entrypoint"));
  EXPECT_FALSE(body.contains("WorkingDir"));
  EXPECT_FALSE(body.contains("User"));
}

TEST(CloneForUpgrade, AVariableOfTheImageWithAnotherValueIsAPersons) {
  Json container = OldContainer();
  container["Config"]["Env"] = {"PATH=/opt/bin", "OMS_VERSION=4.3.0"};
  EXPECT_EQ(Clone(container)["Env"], Json({"PATH=/opt/bin", "IS_UPGRADE=true"}));
}

TEST(CloneForUpgrade, IsUpgradeIsReplacedAndNotDoubled) {
  Json container = OldContainer();
  container["Config"]["Env"] = {"IS_UPGRADE=false", "IS_UPGRADED=x"};
  EXPECT_EQ(Clone(container)["Env"], Json({"IS_UPGRADED=x", "IS_UPGRADE=true"}));
}

TEST(CloneForUpgrade, NothingStartsItAgainByItself) {
  const Json body = Clone(OldContainer());
  EXPECT_EQ(body["HostConfig"]["RestartPolicy"]["Name"], "no");
  EXPECT_EQ(body["HostConfig"]["AutoRemove"], false);
  EXPECT_FALSE(body["HostConfig"].contains("ContainerIDFile"));
}

TEST(CloneForUpgrade, LabelsOfAnEarlierOperationAreNotHandedDown) {
  EXPECT_EQ(Clone(OldContainer())["Labels"],
            Json({{"team", "data"}, {"oms.oceanbase.com/operation", "this"}}));
}

TEST(CloneForUpgrade, ACommandOfAPersonsOwnIsKept) {
  Json container = OldContainer();
  container["Config"]["Cmd"] = {"/root/other.sh"};
  EXPECT_EQ(Clone(container)["Cmd"], Json({"/root/other.sh"}));
  EXPECT_FALSE(Clone(container).contains("Entrypoint"));
}

TEST(CloneForUpgrade, AnEntryPointOfAPersonsOwnTakesTheCommandAlong) {
  Json container = OldContainer();
  container["Config"]["Entrypoint"] = {"/bin/init"};
  container["Config"]["Cmd"] = nullptr;
  const Json body = Clone(container);
  EXPECT_EQ(body["Entrypoint"], Json({"/bin/init"}));
  EXPECT_TRUE(body["Cmd"].is_null());
}

TEST(CloneForUpgrade, AHostnameThatTheEngineChoseIsNotKept) {
  Json container = OldContainer();
  EXPECT_EQ(Clone(container)["Hostname"], "oms-host");
  container["Config"]["Hostname"] = "0123456789ab";  // The container's own id.
  EXPECT_FALSE(Clone(container).contains("Hostname"));
  container = OldContainer();
  container["HostConfig"]["UTSMode"] = "host";  // The engine refuses a host name then.
  EXPECT_FALSE(Clone(container).contains("Hostname"));
}

TEST(CloneForUpgrade, AnotherFileIsMountedAsConfigYaml) {
  const Json body = Clone(OldContainer(), OldImage(), "/data/config-4.3.1.yaml");
  EXPECT_EQ(body["HostConfig"]["Binds"][0], "/data/config-4.3.1.yaml:/home/admin/conf/config.yaml");
  EXPECT_EQ(body["HostConfig"]["Binds"][1], OldContainer()["HostConfig"]["Binds"][1]);

  Json by_mount = OldContainer();
  by_mount["HostConfig"]["Binds"] = nullptr;
  by_mount["HostConfig"]["Mounts"] = Json::parse(
      R"([{"Type":"bind","Source":"/data/config.yaml","Target":"/home/admin/conf/config.yaml","ReadOnly":true}])");
  const Json mount = Clone(by_mount, OldImage(), "/data/new.yaml")["HostConfig"]["Mounts"][0];
  EXPECT_EQ(mount["Source"], "/data/new.yaml");
  EXPECT_EQ(mount["ReadOnly"], true);
}

TEST(CloneForUpgrade, AConfigThatIsNotMountedIsRefused) {
  Json container = OldContainer();
  container["HostConfig"]["Binds"] = {"/data/x:/x"};
  const auto body =
      CloneOf({container.dump(), OldImage().dump(), "sha256:new", {}, "/data/new.yaml"});
  ASSERT_TRUE(body.Is(Code::kInvalid));
  EXPECT_THAT(body.error().message, HasSubstr("-v <file>:/home/admin/conf/config.yaml"));
}

TEST(CloneForUpgrade, AVolumeWithoutANameIsMountedAgainUnlessTheImageDeclaresIt) {
  Json container = OldContainer();
  container["Mounts"] = Json::parse(R"([
      {"Type":"volume","Name":"aaaa","Source":"/x","Destination":"/persons","RW":true},
      {"Type":"volume","Name":"bbbb","Source":"/y","Destination":"/images","RW":true},
      {"Type":"bind","Source":"/data/oms/oms_logs","Destination":"/home/admin/logs","RW":true}])");
  Json image = OldImage();
  image["Config"]["Volumes"] = {{"/images", Json::object()}};
  const Json binds = Clone(container, image)["HostConfig"]["Binds"];
  EXPECT_EQ(binds.size(), 6u);
  EXPECT_EQ(binds.back(), "aaaa:/persons");
}

TEST(CloneForUpgrade, WhatIsNoJsonIsRefused) {
  EXPECT_TRUE(CloneOf({"", "{}", "sha256:new", {}, {}}).Is(Code::kInvalid));
  EXPECT_TRUE(CloneOf({"{}", "[]", "sha256:new", {}, {}}).Is(Code::kInvalid));
  EXPECT_TRUE(CloneOf({"{}", "{}", "", {}, {}}).Is(Code::kInvalid));
}

// Copied by recursion, it took the stack and with it the process.
TEST(CloneForUpgrade, WhatIsNestedWithoutEndIsRefused) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  std::string inspect = OldContainer().dump();
  inspect.insert(inspect.find("\"HostConfig\":{") + 14, "\"X\":" + deep + ",");
  const auto clone = CloneOf({inspect, OldImage().dump(), "sha256:new", {}, std::nullopt});
  ASSERT_TRUE(clone.Is(Code::kInvalid));
  EXPECT_THAT(clone.error().message,
              AllOf(HasSubstr("the old container"), HasSubstr("nested more than 64 levels deep")));
  const auto anew = Again(inspect);
  ASSERT_TRUE(anew.Is(Code::kInvalid));
}

TEST(RecreateFromInspect, MakesTheSameContainerOfTheSameImage) {
  const auto text = Again(OldContainer().dump());
  ASSERT_TRUE(text.ok());
  const Json body = Json::parse(*text);
  EXPECT_EQ(body["Image"], "sha256:old") << "the tag may point elsewhere by now";
  EXPECT_EQ(body["Env"], OldContainer()["Config"]["Env"]);
  EXPECT_EQ(body["Cmd"], OldContainer()["Config"]["Cmd"]);
  EXPECT_EQ(body["Hostname"], "oms-host");
  EXPECT_EQ(body["HostConfig"]["Binds"], OldContainer()["HostConfig"]["Binds"]);
  EXPECT_EQ(body["HostConfig"]["RestartPolicy"]["Name"], "no");
  const auto named = Again(OldContainer().dump(), "oms:4.3.0");
  ASSERT_TRUE(named.ok());
  EXPECT_THAT(*named, testing::HasSubstr(R"("Image":"oms:4.3.0")"));
  EXPECT_TRUE(Again("nothing").Is(Code::kInvalid));
  EXPECT_TRUE(Again("{}").Is(Code::kInvalid));
}

TEST(CreateBody, OfOneThatIsLikeNoOtherHoldsWhatItsSpecSays) {
  ports::ContainerSpec spec;
  spec.image = "sha256:oms";
  spec.labels = {{"oms.oceanbase.com/role", "helper"}};
  spec.entrypoint = {"/bin/sh", "-c"};
  spec.command = {"true"};
  spec.user = "0:0";
  spec.network = false;
  spec.hosts_users = true;
  spec.health_check = false;
  spec.mounts = {{.source = "/data", .destination = "/work", .writable = false},
                 {.source = "/run/rpm", .destination = "/root/rpm", .make_source = true}};
  const Json body = Json::parse(CreateBody(spec).value());
  EXPECT_EQ(body["Image"], "sha256:oms");
  EXPECT_EQ(body["Labels"], Json({{"oms.oceanbase.com/role", "helper"}}));
  EXPECT_EQ(body["Entrypoint"], Json({"/bin/sh", "-c"}));
  EXPECT_EQ(body["Cmd"], Json::array({"true"}));
  EXPECT_EQ(body["User"], "0:0");
  EXPECT_EQ(body["Healthcheck"]["Test"], Json::array({"NONE"}));
  const Json& host = body["HostConfig"];
  EXPECT_EQ(host["NetworkMode"], "none");
  EXPECT_EQ(host["UsernsMode"], "host");
  EXPECT_EQ(host["RestartPolicy"]["Name"], "no");
  EXPECT_FALSE(host.contains("Privileged"));
  // "Binds" make a folder that does not exist; "Mounts" do not.
  EXPECT_EQ(host["Mounts"], Json::parse(R"([{"Type":"bind","Source":"/data","Target":"/work",
                                             "ReadOnly":true}])"));
  EXPECT_EQ(host["Binds"], Json::array({"/run/rpm:/root/rpm"}));
}

TEST(CreateBody, OfTheImageAloneLeavesTheImageItsOwn) {
  ports::ContainerSpec spec;
  spec.image = "oms:assistant";
  const Json body = Json::parse(CreateBody(spec).value());
  for (const char* key : {"Entrypoint", "Cmd", "User", "Healthcheck"})
    EXPECT_FALSE(body.contains(key)) << key;
  for (const char* key : {"NetworkMode", "UsernsMode", "Mounts", "Binds"})
    EXPECT_FALSE(body["HostConfig"].contains(key)) << key;
  EXPECT_TRUE(CreateBody({}).Is(Code::kInvalid)) << "no image";
}

}  // namespace
}  // namespace oms::drivers::docker
