// The row in the MetaDB and the status name a folder. Neither is ours alone to write, so what lies
// there is believed only where it may lie, on the volume that is named, and of an owner that a
// person has named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/model/labels.h"
#include "tests/fakes/fake_world.h"
#include "tests/scenario/shown.h"

namespace oms {
namespace {

using fakes::Process;
using fakes::World;
using model::OperationOutcome;
using model::OperationRecord;
using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char kElsewhere[] = "/srv/evil";

// A failed upgrade that waits for a person: the new container has run, so a way back drops.
void FailsInTheScript(World& world) {
  world.script_exit_code = 3;
  Process process(world);
  process.Settle();
  ASSERT_EQ(Stalled(world), "True/ScriptFailed");
}

using Change = std::function<void(OperationRecord&)>;
// The records of the row's folder, each changed, in `folder`; and the files beside them.
void Forge(World& world, const std::string& folder, const Change& change) {
  world.Locked([&] {
    auto texts = world.records.at(world.row->folder);
    for (auto& [n, text] : texts) {
      OperationRecord record = *OperationRecord::FromJson(text);
      change(record);
      text = record.ToJson();
    }
    world.records.erase(world.row->folder);
    world.records[folder] = std::move(texts);
    std::map<std::string, std::string> files;
    for (const auto& [path, content] : world.files) {
      const bool there = path.starts_with(world.row->folder + "/");
      files[there ? folder + path.substr(world.row->folder.size()) : path] = content;
    }
    world.files = std::move(files);
  });
}
void OfAnother(OperationRecord& record) {
  record.owner_cluster = "another";
  record.owner_object = "victim/oms";
}

struct Before {
  int oms_writes = 0;
  std::map<std::string, std::map<int, std::string>> records;
  explicit Before(const World& world) : oms_writes(world.oms_writes), records(world.records) {}
};
void ExpectRefused(const World& world, const Before& before, const std::string& reason,
                   const std::string& folder) {
  EXPECT_EQ(Stalled(world), "True/" + reason) << Why(world);
  EXPECT_THAT(world.Resource().status.message, HasSubstr(folder));
  EXPECT_EQ(world.drops, 0);
  EXPECT_EQ(world.oms_writes, before.oms_writes);
  EXPECT_TRUE(world.records == before.records) << "a record was written";
}

TEST(NamedFolder, OutsideOfWhatTheFlagsAllowIsNotEvenLookedInto) {
  World world;
  ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
  const std::string folder = std::string(kElsewhere) + "/op";
  Forge(world, folder, [&](OperationRecord& record) {
    OfAnother(record);  // As it says of itself, it lies well.
  });
  world.Locked([&] { world.row->folder = folder; });
  world.EraseStatus();
  world.looked_into.clear();
  const Before before(world);
  Wants(world, "4.3.0");
  Process second(world, "second");
  second.Settle(20);
  ExpectRefused(world, before, "BackupDirectoryNotAllowed", folder);
  EXPECT_THAT(world.Resource().status.message, HasSubstr("--allow-backup-dir"));
  EXPECT_THAT(world.looked_into, Not(Contains(StartsWith(kElsewhere))));
}

// By ".." it leads out of the folder that it begins with.
TEST(NamedFolder, IsWhereItsDotsLead) {
  for (const char* folder :
       {"/var/lib/oms-upgrade/../../../srv/evil/op", "/var/lib/oms-upgrade", "relative/op", "/"}) {
    World world;
    ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
    Forge(world, folder, [&](OperationRecord& record) { record.folder = folder; });
    world.Locked([&] { world.row->folder = folder; });
    world.EraseStatus();
    world.looked_into.clear();
    const Before before(world);
    Wants(world, "4.3.0");
    Process second(world, "second");
    second.Settle(20);
    ExpectRefused(world, before, "BackupDirectoryNotAllowed", folder);
    EXPECT_THAT(world.looked_into, Not(Contains(folder)));
  }
}

TEST(NamedFolder, WithTheRecordOfAnotherOwnerIsRefused) {
  World world;
  ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
  const std::string folder = std::string(fakes::kBackups) + "/victims";
  Forge(world, folder, [&](OperationRecord& record) {
    OfAnother(record);
    record.folder = folder;
  });
  world.Locked([&] { world.row->folder = folder; });
  world.EraseStatus();
  const Before before(world);
  Wants(world, "4.3.0");
  Process second(world, "second");
  second.Settle(20);
  ExpectRefused(world, before, "OperationOwnedByAnother", folder);
  EXPECT_THAT(world.Resource().status.message,
              AllOf(HasSubstr("victim/oms of another cluster"),
                    HasSubstr("oms.oceanbase.com/takeOver=victim/oms")));
  EXPECT_FALSE(world.Resource().status.operation) << "it is the other one's to show";
}

TEST(NamedFolder, WithARecordThatLiesElsewhereByItsOwnWordsIsRefused) {
  World world;
  ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
  const std::string folder = std::string(fakes::kBackups) + "/copy";
  const std::string own = world.Record()->folder;
  Forge(world, folder, [](OperationRecord&) {});
  world.Locked([&] { world.row->folder = folder; });
  world.EraseStatus();
  const Before before(world);
  Wants(world, "4.3.0");
  Process second(world, "second");
  second.Settle(20);
  ExpectRefused(world, before, "WrongBackupVolume", folder);
  EXPECT_THAT(world.Resource().status.message, HasSubstr(own));
}

TEST(NamedFolder, OnAVolumeThatTheRecordDoesNotNameIsRefused) {
  World world;
  ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
  const std::string folder = world.Record()->folder;
  Forge(world, folder, [](OperationRecord& record) { record.volume = "volume-9"; });
  const Before before(world);
  Wants(world, "4.3.0");
  Process second(world, "second");
  second.Settle(20);
  ExpectRefused(world, before, "WrongBackupVolume", folder);
}

TEST(NamedFolder, WithoutAnIdentityIsOnNoVolume) {
  World world;
  ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
  world.Locked([&] { world.row->folder_identity.clear(); });
  const Before before(world);
  Wants(world, "4.3.0");
  Process second(world, "second");
  second.Settle(20);
  ExpectRefused(world, before, "WrongBackupVolume", world.row->folder);
}

// A row that nobody owns may be claimed by anybody; what it names is not given with it.
TEST(NamedFolder, OfARowThatWasGivenFreeIsNotGivenWithIt) {
  World world;
  ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
  const std::string folder = world.Record()->folder;
  Forge(world, folder, OfAnother);
  world.Locked([&] {
    world.row->owner = {};
    world.row->process.clear();
  });
  world.EraseStatus();
  const Before before(world);
  Wants(world, "4.3.0");
  Process second(world, "second");
  second.Settle(20);
  ExpectRefused(world, before, "OperationOwnedByAnother", folder);
  EXPECT_TRUE(world.row->Free());
}

// ------------------------------------------------------------------------------- of the status

// Who may write the status names the folder of somebody else, and the annotation.
TEST(ShownFolder, OfAnotherIsNotEndedByAnAbandon) {
  for (const bool elsewhere : {false, true}) {
    World world;
    ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
    const std::string folder =
        elsewhere ? std::string(kElsewhere) + "/op" : std::string(fakes::kBackups) + "/victims";
    Forge(world, folder, [&](OperationRecord& record) {
      if (!elsewhere) OfAnother(record);
      record.folder = folder;
    });
    const std::string id = world.Resource().status.operation->id;
    auto object = *world.api.Find({"oms.oceanbase.com", "v1alpha1", "omsupgrades"}, {"ns", "oms"});
    object["status"]["operation"]["folder"] = folder;
    world.api.Put({"oms.oceanbase.com", "v1alpha1", "omsupgrades"}, object);
    world.Locked([&] { world.engine_down = true; });
    world.looked_into.clear();
    const Before before(world);
    world.Annotate(crd::kAbandon, id);
    Process second(world, "second");
    second.Settle(20);
    ExpectRefused(world, before,
                  elsewhere ? "BackupDirectoryNotAllowed" : "OperationOwnedByAnother", folder);
    EXPECT_THAT(world.events, Not(Contains(HasSubstr("Abandoned"))));
    EXPECT_EQ(world.looked_into.contains(folder), !elsewhere);
    // Deleted, it leaves that one alone as well, and does not stay for ever.
    world.Delete();
    second.Settle(20);
    EXPECT_TRUE(world.Resource().meta.name.empty());
    EXPECT_TRUE(world.records == before.records) << "a record was written";
  }
}

// With no container left, config.yaml is read from where the operation has kept it: with its
// password, and with the names of its databases.
TEST(ShownFolder, OfAnotherLendsNoConfigYaml) {
  World world;
  ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
  const std::string folder = world.Record()->folder;
  Forge(world, folder, OfAnother);
  world.Locked([&] { world.containers.clear(); });
  const Before before(world);
  Wants(world, "4.3.0");
  Process second(world, "second");
  second.Settle(20);
  EXPECT_EQ(Stalled(world), "True/ContainerNotFound") << Why(world);
  EXPECT_EQ(world.drops, 0);
  EXPECT_TRUE(world.records == before.records) << "a record was written";
}

// ---------------------------------------------------------------------------------- passwords

const kube::ResourceType kSecrets{"", "v1", "secrets"};

void GiveSecret(World& world) {
  world.api.Put(kSecrets, {{"metadata", {{"namespace", "ns"}, {"name", "meta"}}},
                           {"data", {{"password", "b3duLXdvcmQ="}}}});  // own-word
}

TEST(Password, OfConfigYamlIsSentToTheHostOfConfigYamlAlone) {
  for (const json& way : {json{{"host", "mine.example"}}, json{{"port", 13306}},
                          json{{"host", "mine.example"}, {"user", "root"}}}) {
    for (const char* of : {"", "rm", "cm"}) {
      World world;
      world.EditSpec([&](json& spec) {
        (*of == 0 ? spec["metaDB"]["connect"] : spec["metaDB"][of]["connect"]) = way;
      });
      Process process(world);
      process.Settle(10);
      const std::string field =
          *of == 0 ? "spec.metaDB.connect" : std::string("spec.metaDB.") + of + ".connect";
      EXPECT_EQ(Stalled(world), "True/InvalidSpec") << Why(world);
      EXPECT_THAT(world.Resource().status.message,
                  AllOf(HasSubstr(field + " leads to another host"), HasSubstr("10.0.0.3:2883"),
                        HasSubstr(field + ".passwordSecretRef")));
      EXPECT_THAT(world.passwords_at, Not(Contains(HasSubstr("mine.example"))));
      EXPECT_THAT(world.passwords_at, Not(Contains(HasSubstr("13306"))));
      EXPECT_EQ(world.oms_writes, 0);
    }
  }
}

TEST(Password, OfASecretIsSentToTheHostThatIsNamedBesideIt) {
  World world;
  GiveSecret(world);
  world.EditSpec([](json& spec) {
    spec["metaDB"]["connect"] = {{"host", "mine.example"},
                                 {"passwordSecretRef", {{"name", "meta"}}}};
  });
  Process process(world);
  process.Settle(10);
  EXPECT_THAT(world.passwords_at, testing::ElementsAre("mine.example:2883 own-word"));
}

TEST(Password, OfConfigYamlIsSentWhereItLeadsAlsoIfTheSpecSaysTheSameOrAnotherUser) {
  for (const json& way : {json{{"host", "10.0.0.3"}, {"port", 2883}}, json{{"user", "oms"}}}) {
    World world;
    world.EditSpec([&](json& spec) { spec["metaDB"]["connect"] = way; });
    Process process(world);
    EXPECT_TRUE(RunUp(world, process)) << Why(world);
  }
}

// Where the Secret is gone with its namespace.
TEST(Password, OfConfigYamlIsNotSentElsewhereByADeletionEither) {
  World world;
  GiveSecret(world);
  world.password = "own-word";
  world.EditSpec([](json& spec) {
    spec["metaDB"]["connect"] = {{"host", "mine.example"},
                                 {"passwordSecretRef", {{"name", "meta"}}}};
  });
  world.dump_held = true;
  Process process(world);
  ASSERT_TRUE(process.RunUntil([&] { return world.Held(); })) << Why(world);
  world.api.Remove(kSecrets, {"ns", "meta"});
  world.Delete();
  world.Release();
  process.Settle(20);
  EXPECT_THAT(world.Resource().status.message, HasSubstr("ns/meta")) << Why(world);
  EXPECT_THAT(world.passwords_at, testing::ElementsAre("mine.example:2883 own-word"));
  EXPECT_EQ(world.drops, 0);
}

// --------------------------------------------------------------------------------- taken over

// All of it as another resource has left it.
void IsTheOthers(World& world) {
  world.Locked([&] {
    world.row->owner = {"cluster-1", "team/other"};
    for (auto& [folder, texts] : world.records) {
      for (auto& [n, text] : texts) {
        OperationRecord record = *OperationRecord::FromJson(text);
        record.owner_object = "team/other";
        text = record.ToJson();
      }
    }
    for (auto& [id, container] : world.containers) {
      auto& labels = container.info.labels;
      if (labels.contains(model::labels::kOwner)) labels[model::labels::kOwner] = "team.other";
    }
  });
  world.EraseStatus();
}

void ForgetTakeOver(World& world) { world.Annotate(crd::kTakeOver, ""); }

TEST(TakenOver, TheOpenOperationSaysWhoseItIsNow) {
  World world;
  ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
  IsTheOthers(world);
  world.Annotate(crd::kTakeOver, "team/other");
  Process second(world, "second");
  second.Settle(20);
  const auto record = world.Record();
  EXPECT_EQ(record->owner_object, "ns/oms");
  ASSERT_EQ(record->former_owners.size(), 1u);
  EXPECT_EQ(record->former_owners[0].object, "team/other");
  // The word was acted on; another process needs it no more, and still knows the container.
  ForgetTakeOver(world);
  Wants(world, "4.3.0");
  Process third(world, "third");
  ASSERT_TRUE(RunBack(world, third)) << Why(world);
  EXPECT_EQ(world.Find("oms_431"), nullptr);
}

TEST(TakenOver, TheClosedOneAndItsWayBackSayWhoseTheyAreNow) {
  World world;
  {
    Process first(world);
    ASSERT_TRUE(RunUp(world, first)) << Why(world);
    // A failed upgrade to a third version, turned back: the way back lies in another folder.
    world.archives["/images/oms_4.3.2.tar.gz"] = "oms:4.3.2";
    world.files["/images/oms_4.3.2.tar.gz"] = "the archive of 4.3.2";
    world.script_exit_code = 3;
    world.EditSpec([](json& spec) {
      spec["version"] = "4.3.2";
      spec["image"] = {{"reference", "oms:4.3.2"}, {"archive", "/images/oms_4.3.2.tar.gz"}};
    });
    first.Settle();
    ASSERT_EQ(Stalled(world), "True/ScriptFailed");
    world.script_exit_code = 0;
    world.EditSpec([](json& spec) {
      spec["version"] = "4.3.1";
      spec["image"] = {{"reference", "oms:4.3.1"}, {"archive", fakes::kArchive}};
    });
    ASSERT_TRUE(RunBack(world, first)) << Why(world);
  }
  ASSERT_EQ(world.records.size(), 2u);
  IsTheOthers(world);
  world.Annotate(crd::kTakeOver, "team/other");
  {
    Process second(world, "second");
    second.Settle(20);
    EXPECT_EQ(world.row->owner.object, "ns/oms") << "a person has said so";
    second.Settle(20);
  }
  for (const auto& [folder, texts] : world.records) {
    const auto record = OperationRecord::FromJson(texts.rbegin()->second);
    EXPECT_EQ(record->owner_object, "ns/oms") << folder;
  }
  const auto records = world.records;
  ForgetTakeOver(world);
  Process third(world, "third");
  third.Settle(20);
  EXPECT_TRUE(world.records == records) << "once";
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, third)) << Why(world);
  EXPECT_EQ(world.script_runs, 2);
}

// Between the row and the records: the annotation is still there.
TEST(TakenOver, AProcessThatDiesInBetweenLeavesItToTheNext) {
  World probe;
  ASSERT_NO_FATAL_FAILURE(FailsInTheScript(probe));
  IsTheOthers(probe);
  probe.Annotate(crd::kTakeOver, "team/other");
  int writes = 0;
  {
    Process process(probe, "second");
    process.Settle(20);
    writes = probe.WritesOf(process.life);
  }
  ASSERT_GT(writes, 2);
  for (int n = 1; n <= writes; ++n) {
    for (const auto end : {fakes::Life::End::kBefore, fakes::Life::End::kAfter}) {
      World world;
      ASSERT_NO_FATAL_FAILURE(FailsInTheScript(world));
      IsTheOthers(world);
      world.Annotate(crd::kTakeOver, "team/other");
      {
        Process second(world, "second");
        second.life.DieAt(n, end);
        second.Settle(20);
      }
      Process third(world, "third");
      third.Settle(20);
      ForgetTakeOver(world);
      Wants(world, "4.3.0");
      EXPECT_TRUE(RunBack(world, third)) << n << ": " << Why(world);
      EXPECT_EQ(world.Record()->owner_object, "ns/oms");
    }
  }
}

TEST(TakenOver, OfARowThatWasGivenFreeIsWhatItNamesOnceAPersonSaysSo) {
  World world;
  {
    Process first(world);
    ASSERT_TRUE(RunUp(world, first)) << Why(world);
  }
  IsTheOthers(world);
  world.Locked([&] {
    world.row->owner = {};
    world.row->process.clear();
  });
  // It is still there: who is gone is not asked for.
  const kube::ResourceType upgrades{crd::kGroup, crd::kVersionName, crd::kPlural};
  json other = *world.api.Find(upgrades, {"ns", "oms"});
  other["metadata"] = {{"namespace", "team"}, {"name", "other"}};
  world.api.Put(upgrades, other);
  Process second(world, "second");
  second.Settle(20);
  ASSERT_EQ(Stalled(world), "True/OperationOwnedByAnother") << Why(world);
  world.Annotate(crd::kTakeOver, "team/other");
  second.Settle(20);
  EXPECT_EQ(Ready(world), "True/Succeeded") << Why(world);
  ForgetTakeOver(world);
  Wants(world, "4.3.0");
  ASSERT_TRUE(RunBack(world, second)) << Why(world);
}

}  // namespace
}  // namespace oms
