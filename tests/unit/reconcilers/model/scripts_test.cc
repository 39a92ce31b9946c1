#include "reconcilers/model/scripts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/observe/script_look.h"

namespace oms::model {
namespace {

using testing::ElementsAre;

product::PathSteps Path(const char* from) {
  return *product::CheckPath(*crd::Version::Parse(from), *crd::Version::Parse("4.3.1"));
}

TEST(ContainerScripts, AreRunAsTheGuideWritesThem) {
  const product::PathSteps path = Path("3.4.0");
  const auto jar = CommandOf(Step::kCorrectSchema, path);
  EXPECT_THAT(jar.argv, ElementsAre("/opt/alibaba/java/bin/java", "-jar",
                                    "/root/correction-1.0-SNAPSHOT-jar-with-dependencies.jar",
                                    "-mupgrade", "-y/home/admin/conf/config.yaml", "-ltrue"));
  EXPECT_EQ(jar.working_directory, "/root");
  const auto metadata = CommandOf(Step::kInitializeMetadata, path);
  EXPECT_THAT(
      metadata.argv,
      ElementsAre("python", "-m", "omsflow.scripts.units.oms_cluster_manager", "add_resource"));
  EXPECT_EQ(metadata.working_directory, "/root");
  EXPECT_THAT(CommandOf(Step::kRunUpgradeScript, path).argv,
              ElementsAre("/bin/sh", "/root/docker_upgrade.sh"));
}

TEST(ContainerScripts, HaveMarkersOfTheirOwn) {
  std::vector<std::string> marks;
  for (const auto& script : kContainerScripts) {
    EXPECT_EQ(&ScriptOf(script.step), &script);
    const auto marker = observe::MarkerPath("0123", script.mark, 1);
    ASSERT_TRUE(marker.ok()) << script.mark;
    EXPECT_THAT(marks, testing::Not(testing::Contains(*marker)));
    marks.push_back(*marker);
  }
}

TEST(ContainerScripts, NeedTheJarInTheImageOnlyWhereItIsRun) {
  EXPECT_THAT(FilesNeeded(Path("4.3.0")), ElementsAre("/root/docker_upgrade.sh"));
  EXPECT_THAT(FilesNeeded(Path("3.2.1")),
              ElementsAre("/root/docker_upgrade.sh",
                          "/root/correction-1.0-SNAPSHOT-jar-with-dependencies.jar",
                          "/opt/alibaba/java/bin/java"));
}

}  // namespace
}  // namespace oms::model
