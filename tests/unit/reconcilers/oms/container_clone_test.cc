#include "reconcilers/oms/container_clone.h"

#include <gmock/gmock.h>

namespace oms::product {
namespace {

using base::Code;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;

TEST(CloneForUpgrade, IsTheOldContainerOfTheNewImageAndToldThatItIsAnUpgrade) {
  const auto spec =
      CloneForUpgrade({"{old}", "{image}", "sha256:new", {{"label", "this"}}, "/data/new.yaml"});
  EXPECT_EQ(spec.image, "sha256:new");
  EXPECT_THAT(spec.labels, UnorderedElementsAre(Pair("label", "this")));
  ASSERT_TRUE(spec.like);
  EXPECT_EQ(spec.like->inspect, "{old}");
  EXPECT_EQ(spec.like->image_inspect, "{image}");
  EXPECT_THAT(spec.like->env, UnorderedElementsAre(Pair("IS_UPGRADE", "true")));
  EXPECT_EQ(spec.like->without_labels, "oms.oceanbase.com/");
  EXPECT_THAT(spec.like->sources,
              UnorderedElementsAre(Pair("/home/admin/conf/config.yaml", "/data/new.yaml")));
  EXPECT_TRUE(CloneForUpgrade({"{old}", "{image}", "sha256:new", {}, {}}).like->sources.empty());
}

TEST(Recreate, IsTheOldContainerAndNothingElse) {
  const auto spec = Recreate("{old}", "oms:4.3.0");
  EXPECT_EQ(spec.image, "oms:4.3.0");
  ASSERT_TRUE(spec.like);
  EXPECT_EQ(spec.like->inspect, "{old}");
  EXPECT_FALSE(spec.like->image_inspect);
  EXPECT_TRUE(spec.like->env.empty() && spec.labels.empty() && spec.like->without_labels.empty());
}

ports::ContainerInfo AsTheGuideSays() {
  ports::ContainerInfo info;
  info.name = "oms_430";
  info.network_mode = "host";
  info.privileged = true;
  info.pids_limit = -1;
  info.nproc_soft = info.nproc_hard = 65535;
  info.mounts = {{"bind", "/data/config.yaml", "/home/admin/conf/config.yaml", true},
                 {"bind", "/data/oms/oms_logs", "/home/admin/logs", true},
                 {"bind", "/data/oms/oms_store", "/home/ds/store", true},
                 {"bind", "/data/oms/oms_run", "/home/ds/run", true}};
  return info;
}

TEST(CheckGuideFlags, TheGuidesOwnContainerPasses) {
  EXPECT_TRUE(CheckGuideFlags(AsTheGuideSays()).ok());
  ports::ContainerInfo unlimited = AsTheGuideSays();
  unlimited.pids_limit = 0;
  unlimited.nproc_soft = unlimited.nproc_hard = -1;
  EXPECT_TRUE(CheckGuideFlags(unlimited).ok());
}

TEST(CheckGuideFlags, EachMissingFlagIsNamedAsItIsWritten) {
  const auto said = [](auto change) {
    ports::ContainerInfo info = AsTheGuideSays();
    change(info);
    const auto status = CheckGuideFlags(info);
    return status.Is(Code::kInvalid) && status.error().reason == "GuideFlags"
               ? status.error().message
               : "passed";
  };
  EXPECT_THAT(said([](auto& c) { c.network_mode = "bridge"; }), HasSubstr("--net host"));
  EXPECT_THAT(said([](auto& c) { c.privileged = false; }), HasSubstr("--privileged=true"));
  EXPECT_THAT(said([](auto& c) { c.pids_limit = 4096; }), HasSubstr("--pids-limit -1"));
  EXPECT_THAT(said([](auto& c) { c.nproc_soft = 1024; }), HasSubstr("--ulimit nproc=65535:65535"));
  EXPECT_THAT(said([](auto& c) { c.nproc_hard = 0; }), HasSubstr("--ulimit nproc=65535:65535"));
  EXPECT_THAT(said([](auto& c) { c.mounts[0].type = "volume"; }),
              HasSubstr(":/home/admin/conf/config.yaml"));
  EXPECT_THAT(said([](auto& c) { c.mounts[1].writable = false; }), HasSubstr(":/home/admin/logs"));
  EXPECT_THAT(said([](auto& c) { c.mounts.pop_back(); }),
              AllOf(HasSubstr(":/home/ds/run"), Not(HasSubstr("--net"))));
  EXPECT_THAT(said([](auto& c) { c.auto_remove = true; }), HasSubstr("without --rm"));
}

}  // namespace
}  // namespace oms::product
