#include "reconcilers/model/target_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/steps/preflight.h"
#include "tests/unit/reconcilers/upgrade_facts.h"

namespace oms::model {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Optional;

crd::Version V(const char* text) { return *crd::Version::Parse(text); }

crd::Spec SpecWith(const std::string& reference) {
  crd::Spec spec = fixtures::SpecOf();
  spec.image.reference = reference;
  return spec;
}

TEST(TargetImage, WhoseTagIsTheNumberOfAnotherVersionIsRefused) {
  for (const char* reference : {"oms:4.3.1", "registry.example:5000/oceanbase/oms:feature_4.3.1",
                                "oms:V4.3.1", "oms:4.3.1-ce", "oms:feature_4.3.2_bp1"}) {
    const auto wrong = CheckImageTag(SpecWith(reference), V("4.3.2"));
    ASSERT_TRUE(wrong.has_value()) << reference;
    EXPECT_EQ(wrong->reason, "ImageVersionDiffers");
    EXPECT_THAT(wrong->message,
                AllOf(HasSubstr("4.3.2"), HasSubstr(reference), HasSubstr("spec.image"),
                      HasSubstr(product::kAcknowledgeImageName)));
    EXPECT_FALSE(wrong->passing);
    crd::Spec spec = SpecWith(reference);
    spec.acknowledge = {product::kAcknowledgeImageName};
    EXPECT_FALSE(CheckImageTag(spec, V("4.3.2")).has_value()) << "a person has said so";
  }
}

TEST(TargetImage, WhoseTagSaysNothingOrTheSameIsTaken) {
  for (const char* reference :
       {"oms:4.3.2", "oms:feature_4.3.2", "oms:4.3.2-ce", "oms:latest", "oms", "oms:site-2024",
        "registry:5000/oms", "oms@sha256:0123456789abcdef", "oms:4.3.1-x86"}) {
    EXPECT_FALSE(CheckImageTag(SpecWith(reference), V("4.3.2")).has_value()) << reference;
  }
}

TEST(TargetImage, ThatRunsAlreadyIsRefusedWhateverIsAcknowledged) {
  crd::Spec spec = SpecWith("oms:latest");
  spec.acknowledge = {product::kAcknowledgeImageName};
  ports::ImageInfo image;
  image.id = "sha256:same";
  const auto wrong = CheckImage(spec, V("4.3.2"), {"oms-1", "oms_431", "sha256:same"}, image);
  ASSERT_TRUE(wrong.has_value());
  EXPECT_EQ(wrong->reason, "ImageIsTheOldOne");
  EXPECT_THAT(wrong->message,
              AllOf(HasSubstr("oms:latest"), HasSubstr("oms_431"), HasSubstr("4.3.2")));
  EXPECT_FALSE(CheckImage(spec, V("4.3.2"), {"oms-1", "oms_431", "sha256:other"}, image));
}

TEST(TargetImage, WhoseLabelNamesAnotherVersionIsRefused) {
  ports::ImageInfo image;
  image.id = "sha256:new";
  const auto check = [&](const crd::Spec& spec) {
    return CheckImage(spec, V("4.3.2"), {"oms-1", "oms_431", "sha256:old"}, image);
  };
  for (const char* key : {"org.opencontainers.image.version", "version"}) {
    image.labels = {{key, "V4.3.1"}};
    const auto wrong = check(SpecWith("oms:latest"));
    ASSERT_TRUE(wrong.has_value());
    EXPECT_EQ(wrong->reason, "ImageVersionDiffers");
    EXPECT_THAT(wrong->message, AllOf(HasSubstr(key), HasSubstr("4.3.1"), HasSubstr("4.3.2")));
    crd::Spec spec = SpecWith("oms:latest");
    spec.acknowledge = {product::kAcknowledgeImageName};
    EXPECT_FALSE(check(spec).has_value());
    for (const char* value : {"4.3.2", "22.04", "", "stream9"}) {
      image.labels = {{key, value}};
      EXPECT_FALSE(check(SpecWith("oms:latest")).has_value()) << value;
    }
  }
}

TEST(TargetImage, IsRefusedByPreflightWhereNothingHasToBeLoadedToTell) {
  fixtures::Upgrade at;
  const auto reasons = [&] {
    std::string all;
    for (const auto& trouble : steps::CheckPreflight(at.spec, V("4.3.0"), V("4.3.1"), at.facts))
      all += trouble.reason + " ";
    return all;
  };
  EXPECT_EQ(reasons(), "");
  at.ImageThere();
  at.node().target_image->id = at.node().old_container->image_id;
  EXPECT_EQ(reasons(), "") << "the archive may hold another one";
  at.spec.image.archive.clear();
  EXPECT_EQ(reasons(), "ImageIsTheOldOne ");
  at.spec.image.reference = "oms:4.3.0";
  EXPECT_EQ(reasons(), "ImageIsTheOldOne ImageVersionDiffers ");
}

TEST(ImageNames, AreTheOnesThatDockerShows) {
  EXPECT_EQ(NormalImageName("oms:4.3.1"), "oms:4.3.1");
  EXPECT_EQ(NormalImageName("docker.io/library/oms:4.3.1"), "oms:4.3.1");
  EXPECT_EQ(NormalImageName("index.docker.io/library/oms"), "oms:latest");
  EXPECT_EQ(NormalImageName("library/oms:4.3.1"), "oms:4.3.1");
  EXPECT_EQ(NormalImageName("docker.io/site/oms"), "site/oms:latest");
  EXPECT_EQ(NormalImageName("registry:5000/oms"), "registry:5000/oms:latest");
  EXPECT_EQ(NormalImageName("registry:5000/library/oms:1"), "registry:5000/library/oms:1");
  EXPECT_EQ(NormalImageName("oms:4.3.1@sha256:12"), "oms:4.3.1");
}

TEST(ImageNames, OfAnArchiveLeadToTheirDigests) {
  const std::vector<ports::ArchivedImage> archive = {
      {{"oms:4.3.1", "oms:latest"}, {"sha256:config"}},
      {{"docker.io/library/oms:4.3.1"}, {"sha256:listed"}},
      {{"tools:1"}, {"sha256:tools"}},
      {{}, {"sha256:nameless"}}};
  EXPECT_THAT(DigestsIn(archive, "oms:4.3.1"),
              Optional(ElementsAre("sha256:config", "sha256:listed")));
  EXPECT_THAT(DigestsIn(archive, "docker.io/library/oms"), Optional(ElementsAre("sha256:config")));
  EXPECT_THAT(DigestsIn(archive, "elsewhere/oms@sha256:listed"),
              Optional(ElementsAre("sha256:listed")));
  EXPECT_FALSE(DigestsIn(archive, "oms:4.3.2").has_value());
  EXPECT_EQ(NamesIn(archive), "oms:4.3.1, oms:latest, tools:1");
  EXPECT_EQ(NamesIn({}), "no name");
  EXPECT_EQ(NamesIn({{{"a:1", "b:1", "c:1", "d:1", "e:1", "f:1", "g:1"}, {}}}),
            "a:1, b:1, c:1, d:1, e:1 and 2 more");
}

TEST(LoadImage, OfAnArchiveIsDoneOnceItIsKnownWhichImageItHolds) {
  fixtures::Upgrade at;
  at.ImageThere();
  at.record.loaded_images.clear();
  EXPECT_EQ(at.of(Step::kLoadImage).verdict, steps::Verdict::kPending)
      << "the name alone says nothing";
  at.record.loaded_images["oms-1"] = {"oms:4.3.1", at.spec.image.archive, "sha256:new", {}};
  EXPECT_EQ(at.of(Step::kLoadImage).verdict, steps::Verdict::kDone);
  at.node().target_image->id = "sha256:moved";
  EXPECT_EQ(at.of(Step::kLoadImage).verdict, steps::Verdict::kPending)
      << "somebody gave the name away";
  at.record.loaded_images["oms-1"].digests = {"sha256:moved"};
  EXPECT_EQ(at.of(Step::kLoadImage).verdict, steps::Verdict::kDone) << "it is the archive's";
  at.spec.image.archive = "/images/another.tar";
  EXPECT_EQ(at.of(Step::kLoadImage).verdict, steps::Verdict::kPending) << "of another archive";
}

TEST(LoadImage, OfAnImageThatIsTheOldOneFailsBeforeTheStop) {
  fixtures::Upgrade at;
  at.ImageThere();
  at.node().target_image->id = "sha256:old";
  at.record.loaded_images["oms-1"] = {"oms:4.3.1", at.spec.image.archive, "sha256:old", {}};
  const steps::StepState state = at.of(Step::kLoadImage);
  EXPECT_EQ(state.verdict, steps::Verdict::kFailed);
  EXPECT_EQ(state.reason, "ImageIsTheOldOne");
  EXPECT_FALSE(state.retryable);
}

TEST(LoadImage, ThatWasPrunedIsPendingWhateverATaskHasDone) {
  fixtures::Upgrade at;
  at.record.loaded_images["oms-1"] = {"oms:4.3.1", at.spec.image.archive, "sha256:new", {}};
  at.Task(Step::kLoadImage, TaskView::State::kSucceeded);
  EXPECT_EQ(at.of(Step::kLoadImage).verdict, steps::Verdict::kPending);
}

TEST(LoadImage, ByItsIdNeedsNoArchive) {
  fixtures::Upgrade at;
  at.ImageThere();
  at.record.loaded_images.clear();
  at.spec.image.id = "sha256:new";
  EXPECT_EQ(at.of(Step::kLoadImage).verdict, steps::Verdict::kDone);
  at.spec.image.id = "sha256:asked";
  EXPECT_EQ(at.of(Step::kLoadImage).verdict, steps::Verdict::kPending);
  at.record.loaded_images["oms-1"] = {"oms:4.3.1", at.spec.image.archive, "sha256:new", {}};
  EXPECT_EQ(at.of(Step::kLoadImage).reason, "ImageIDDiffers");
  at.record.loaded_images.clear();
  at.spec.image.archive.clear();
  EXPECT_EQ(at.of(Step::kLoadImage).reason, "ImageIDDiffers");
}

TEST(CreateContainers, OfAnotherImageThanWasLookedAtAreMadeAgain) {
  fixtures::Upgrade at;
  at.Prepared();
  EXPECT_EQ(at.of(Step::kCreateContainers).verdict, steps::Verdict::kDone);
  at.node().new_container->image = "oms:4.3.1";
  at.node().new_container->image_id = "sha256:moved";
  EXPECT_EQ(at.of(Step::kCreateContainers).verdict, steps::Verdict::kPending);
}

// Of the upgrade script's output, exit code 0.
steps::StepState AfterOutput(const std::string& output, const std::string& to = "4.3.2",
                             const std::vector<std::string>& lines = {}) {
  fixtures::Upgrade at;
  at.ScriptEnded();
  at.record.to = fixtures::VersionOf(to);
  at.path.completion_lines = lines;
  at.node().script->output = output;
  return at.of(Step::kRunUpgradeScript);
}

TEST(UpgradeScript, ThatSaysThatItIsOfAnotherReleaseHasFailed) {
  for (const char* output : {"...\n[Completed] OMS upgrade to 4.3.1 is executed\n",
                             "[Completed] OMS upgrade to 4.3.1 is executed\r\n\n  \n",
                             "OMS V4.3.1.", "from 4.3.0 to 4.3.1"}) {
    const steps::StepState state = AfterOutput(output);
    EXPECT_EQ(state.reason, "ScriptFailed") << output;
    EXPECT_THAT(state.message, AllOf(HasSubstr("4.3.1"), HasSubstr("4.3.2"),
                                     HasSubstr("revert spec.version to 4.3.0")));
  }
}

TEST(UpgradeScript, ThatNamesItsOwnReleaseOrNoneIsDone) {
  for (const char* output :
       {"[Completed] OMS upgrade to 4.3.2 is executed\n", "upgraded from 4.3.1 to 4.3.2\n",
        "done\n", "", "upgraded to 4.3.1\nall done\n", "Python 3.11.2\n",
        "finished at 2026.01.02\n", "10.4.3.1 is ready\n", "4.3.1.7\n"}) {
    EXPECT_EQ(AfterOutput(output).verdict, steps::Verdict::kDone) << output;
  }
}

TEST(UpgradeScript, IsJudgedByTheLineOfItsCompletionWhereThatIsKnown) {
  const std::vector<std::string> lines = {"[Completed]"};
  EXPECT_EQ(AfterOutput("[Completed] 4.3.1\nbye 4.3.2\n", "4.3.2", lines).reason, "ScriptFailed");
  EXPECT_EQ(AfterOutput("[Completed] 4.3.2\nbye 4.3.1\n", "4.3.2", lines).verdict,
            steps::Verdict::kDone);
  EXPECT_THAT(AfterOutput("4.3.2\n", "4.3.2", lines).message,
              HasSubstr("did not print its completion line"));
}

TEST(UpgradeScript, OfAReleaseThatTheTablesDoNotListIsKnownByItself) {
  EXPECT_EQ(AfterOutput("upgrade to 4.9.9 from 4.3.1\n", "4.9.9").verdict, steps::Verdict::kDone);
  EXPECT_EQ(AfterOutput("upgrade to 4.3.1\n", "4.9.9").reason, "ScriptFailed");
}

}  // namespace
}  // namespace oms::model
