#include "reconcilers/observe/task_look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/steps/preflight.h"
#include "tests/fakes/memory_api_client.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::observe {
namespace {

using testing::HasSubstr;

OmsEndpoint Node(bool https = false) {
  OmsEndpoint door{"10.0.0.1", 18089, std::nullopt};
  if (https) door.https = ports::HttpsTrust{"the mounted one", ""};
  return door;
}

TEST(TaskEndpoint, WhatItDoesNotSayIsAsTheNodesOwn) {
  EXPECT_EQ(EndpointOf("", Node(true))->https, Node(true).https);
  EXPECT_EQ(EndpointOf("", Node())->port, 18089);
  const auto named = EndpointOf("http://oms.example.com", Node(true));
  EXPECT_EQ(named->host, "oms.example.com");
  EXPECT_EQ(named->port, 18089);
  EXPECT_FALSE(named->https) << "http is http";
  EXPECT_EQ(EndpointOf("https://oms.example.com:443", Node())->port, 443);
  EXPECT_TRUE(EndpointOf("https://oms.example.com:443", Node())->https);
  EXPECT_EQ(EndpointOf("http://[fd00::1]:8089", Node())->host, "fd00::1");
  EXPECT_EQ(EndpointOf("http://[fd00::1]:8089", Node())->port, 8089);
}

TEST(TaskEndpoint, WhatIsNoneIsRefused) {
  for (const char* bad :
       {"10.0.0.1:8089", "ftp://h", "http://", "http://:8089", "http://h:0", "http://h:99999",
        "http://h:80x", "http://[fd00::1", "http://u:p@h", "http://h/api", "http://h\r\nX: y"}) {
    const auto door = EndpointOf(bad, Node());
    ASSERT_FALSE(door.ok()) << bad;
    EXPECT_EQ(door.error().reason, "InvalidSpec");
    EXPECT_THAT(door.error().message, HasSubstr("http://host:8089"));
  }
}

// Keeps what it was asked with.
class Listening final : public ports::TaskApi {
 public:
  base::Result<std::vector<ports::OmsTask>> Tasks(const base::Context&,
                                                  const ports::TaskApiAddress& address) override {
    asked = address;
    return std::vector<ports::OmsTask>();
  }
  std::optional<ports::TaskApiAddress> asked;
};

class AskForTasksTest : public testing::Test {
 protected:
  AskForTasksTest() {
    views_.api = &kube_;
    views_.task_api = &api_;
    spec_.secret_ref.name = "user";
  }
  void Secret(const nlohmann::json& data) {
    kube_.Put({"", "v1", "secrets"},
              {{"metadata", {{"namespace", "ns"}, {"name", "user"}}}, {"data", data}});
  }
  base::Result<std::vector<ports::OmsTask>> Ask(const OmsEndpoint& door) {
    return AskForTasks(base::Context(clock_, {}), views_, "ns", spec_, door);
  }

  base::SystemClock clock_;
  fakes::MemoryApiClient kube_;
  Listening api_;
  Views views_;
  crd::TaskApi spec_;
};

TEST_F(AskForTasksTest, TheNodeIsAskedWithWhatTheSecretHolds) {
  Secret({{"username", "YWRtaW4="}, {"password", "czNjcmV0"}});
  ASSERT_TRUE(Ask(Node(true)).ok());
  EXPECT_EQ(api_.asked->host, "10.0.0.1");
  EXPECT_EQ(api_.asked->port, 18089);
  EXPECT_EQ(api_.asked->https, Node(true).https);
  EXPECT_EQ(api_.asked->user, "admin");
  EXPECT_EQ(api_.asked->password.Reveal(), "s3cret");
}

TEST_F(AskForTasksTest, ACaOfTheSecretIsForTheEndpointsName) {
  Secret({{"username", "YWRtaW4="}, {"password", "czNjcmV0"}, {"ca.crt", "Y2E="}});
  spec_.endpoint = "https://oms.example.com:443";
  ASSERT_TRUE(Ask(Node()).ok());
  EXPECT_EQ(api_.asked->https, (ports::HttpsTrust{"ca", "oms.example.com"}));
}

TEST_F(AskForTasksTest, WithoutAllOfItNothingIsAsked) {
  const auto refused = [&](const char* says) {
    const auto tasks = Ask(Node());
    ASSERT_FALSE(tasks.ok());
    EXPECT_EQ(tasks.error().reason, "SecretUnreadable");
    EXPECT_THAT(tasks.error().message, HasSubstr(says));
    EXPECT_FALSE(api_.asked);
  };
  refused("Secret ns/user");
  Secret({{"username", "YWRtaW4="}});
  refused("has no key 'password'");
  Secret({{"password", "czNjcmV0"}});
  refused("has no key 'username'");
  Secret({{"username", "YWRtaW4="}, {"password", "czNjcmV0"}});
  spec_.endpoint = "https://oms.example.com:443";
  refused("has no key 'ca.crt'");
}

TEST(TasksInPreflight, ATroubleStandsBehindWhatElseIsWrongAndSaysBothWaysOut) {
  crd::TaskApi spec{{"user"}, ""};
  fixtures::Upgrade upgrade;
  upgrade.spec.task_api = spec;
  const auto check = [&](const char* from) {
    return steps::CheckPreflight(upgrade.spec, *crd::Version::Parse(from),
                                 *crd::Version::Parse("4.3.1"), upgrade.facts);
  };
  for (const char* reason : {"TaskAPIDenied", "TaskAPINotOffered", "TaskAPIUnreachable",
                             "TaskAPITimeout", "TaskAPIRefused", "TaskAPIAnswerInvalid"}) {
    upgrade.facts.oms_tasks_trouble =
        TroubleOfTasks(base::MakeError(base::Code::kTransient, reason, "no"), "ns", spec);
    const auto troubles = check("4.3.0");
    ASSERT_EQ(troubles.size(), 1u);
    EXPECT_EQ(troubles[0].reason, reason);
    EXPECT_TRUE(troubles[0].passing) << "a Secret that is corrected is seen by itself";
    EXPECT_THAT(troubles[0].message, HasSubstr("remove spec.taskAPI and confirm in"));
  }
  upgrade.facts.oms_tasks_trouble =
      TroubleOfTasks(base::MakeError(base::Code::kDenied, "TaskAPIDenied", "no"), "ns", spec);
  EXPECT_THAT(check("4.3.0")[0].message, HasSubstr("correct the Secret ns/user"));
  upgrade.node().health->programs[0].state = "FATAL";
  EXPECT_EQ(check("4.3.0").front().reason, "OMSUnhealthy");
}

TEST(TasksInPreflight, BelowTheFirstVersionThatOffersItTheWordsAreAskedForAndTheMessageSaysWhy) {
  fixtures::Upgrade upgrade;
  upgrade.spec.task_api.emplace();
  const auto troubles = steps::CheckPreflight(upgrade.spec, *crd::Version::Parse("3.4.0"),
                                              *crd::Version::Parse("4.3.1"), upgrade.facts);
  ASSERT_EQ(troubles.size(), 1u);
  EXPECT_EQ(troubles[0].reason, "AcknowledgementNeeded");
  EXPECT_THAT(troubles[0].message, HasSubstr("spec.taskAPI is not asked: 3.4.0 does not offer it"));
}

}  // namespace
}  // namespace oms::observe
