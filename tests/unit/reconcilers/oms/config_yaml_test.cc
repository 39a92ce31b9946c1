#include "reconcilers/oms/config_yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace oms::product {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The guide's sample for 4.3.0, with addresses filled in.
constexpr char kGuide430[] = R"("cm_location": "2"
"cm_nodes":
- "10.0.0.1"
- "10.0.0.2"
"cm_region": "cn-hangzhou"
"cm_region_cn": "cn-hangzhou"
"cm_url": "http://10.0.0.1:8088"
"drc_cm_db": "oms_cm"
"drc_cm_heartbeat_db": "oms_cm_hb_hangzhou"
"drc_rm_db": "oms_rm"
"oms_meta_host": "10.0.0.3"
"oms_meta_password": "ob_password"
"oms_meta_port": "2883"
"oms_meta_user": "oms_meta_user"
)";

// What every case needs besides what it is about.
constexpr char kRest[] =
    "drc_rm_db: rm_430\n"
    "drc_cm_db: cm_430\n"
    "drc_cm_heartbeat_db: cm_hb_430\n";

constexpr char kOld[] =
    "oms_meta_host: 10.0.0.3\n"
    "oms_meta_port: 2883\n"
    "oms_meta_user: root@oms\n"
    "oms_meta_password: s3cret-word\n";

std::string Rewritten(const std::string& text) {
  const auto after = RewriteMetaKeys(text);
  EXPECT_TRUE(after.ok()) << after.error().message;
  return after.ok() ? *after : std::string();
}

void ExpectRefused(const std::string& text, const std::string& says) {
  const auto config = ParseConfig(text);
  ASSERT_FALSE(config.ok()) << text;
  EXPECT_EQ(config.error().code, base::Code::kInvalid);
  EXPECT_EQ(config.error().reason, "ConfigInvalid");
  EXPECT_THAT(config.error().message, HasSubstr(says));
  EXPECT_THAT(config.error().message, Not(HasSubstr("s3cret"))) << "a value must not be told";
}

void ExpectNotRewritten(const std::string& text, const std::string& says) {
  const auto after = RewriteMetaKeys(text);
  ASSERT_FALSE(after.ok()) << *after;
  EXPECT_EQ(after.error().reason, "ConfigInvalid");
  EXPECT_THAT(after.error().message, HasSubstr(says));
  EXPECT_THAT(after.error().message, Not(HasSubstr("s3cret"))) << "a value must not be told";
}

// ------------------------------------------------------------------------------------ reading

TEST(ParseConfig, ReadsTheGuidesSample) {
  const auto config = ParseConfig(kGuide430);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->rm.host, "10.0.0.3");
  EXPECT_EQ(config->rm.port, 2883);
  EXPECT_EQ(config->rm.user, "oms_meta_user");
  EXPECT_EQ(config->rm.password.Reveal(), "ob_password");
  EXPECT_EQ(config->cm, config->rm);
  EXPECT_TRUE(config->old_keys);
  EXPECT_FALSE(config->new_keys);
  EXPECT_FALSE(config->SeparateCm());
  EXPECT_EQ(config->drc_rm_db, "oms_rm");
  EXPECT_EQ(config->drc_cm_db, "oms_cm");
  EXPECT_EQ(config->drc_cm_heartbeat_db, "oms_cm_hb_hangzhou");
  EXPECT_EQ(config->cm_url, "http://10.0.0.1:8088");
  EXPECT_EQ(config->cm_location, "2");
  EXPECT_EQ(config->cm_region, "cn-hangzhou");
  EXPECT_THAT(config->cm_nodes, ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_EQ(config->ports, OmsPorts());
  EXPECT_EQ(config->all.size(), 12u);
}

TEST(ParseConfig, ReadsTheNewKeysAndASeparateCmDatabase) {
  const auto config = ParseConfig(std::string(kRest) +
                                  "oms_rm_meta_host: a\noms_rm_meta_port: 1\noms_rm_meta_user: u\n"
                                  "oms_rm_meta_password: p\noms_cm_meta_host: b\n"
                                  "oms_cm_meta_port: 2\noms_cm_meta_user: v\n"
                                  "oms_cm_meta_password: ''\n");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->rm, (MetaAddress{"a", 1, "u", base::Secret("p")}));
  EXPECT_EQ(config->cm, (MetaAddress{"b", 2, "v", base::Secret("")}));
  EXPECT_TRUE(config->SeparateCm());
  EXPECT_FALSE(config->old_keys);
  EXPECT_TRUE(config->new_keys);
}

TEST(ParseConfig, TenantsBehindOneAddressAreTwoServers) {
  const auto config =
      ParseConfig(std::string(kRest) +
                  "oms_rm_meta_host: a\noms_rm_meta_port: 1\noms_rm_meta_user: u@rm\n"
                  "oms_rm_meta_password: p\noms_cm_meta_host: a\n"
                  "oms_cm_meta_port: 1\noms_cm_meta_user: u@cm\n"
                  "oms_cm_meta_password: p\n");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_TRUE(config->SeparateCm());
}

TEST(ParseConfig, OldAndNewKeysWithTheSameValueAreFine) {
  const auto config = ParseConfig(std::string(kRest) + kOld +
                                  "oms_rm_meta_port: \"2883\"\noms_cm_meta_host: 10.0.0.3\n");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->rm.port, 2883);
  EXPECT_TRUE(config->old_keys);
  EXPECT_TRUE(config->new_keys);
}

TEST(ParseConfig, OldAndNewKeysThatDifferAreRefusedByName) {
  ExpectRefused(std::string(kRest) + kOld + "oms_cm_meta_password: s3cret-other\n",
                "oms_meta_password and oms_cm_meta_password are both set and differ");
}

TEST(ParseConfig, ReadsPortsThatAreNotTheDefault) {
  const auto config = ParseConfig(std::string(kRest) + kOld + "nginx_server_port: 18089\n");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->ports.nginx, 18089);
  EXPECT_EQ(config->ports.cm, 8088);
}

TEST(ParseConfig, SaysWhatIsMissingOrWrong) {
  ExpectRefused(kRest, "neither oms_meta_host nor oms_rm_meta_host is set");
  ExpectRefused(std::string(kRest) +
                    "oms_rm_meta_host: a\noms_rm_meta_port: 1\n"
                    "oms_rm_meta_user: u\noms_rm_meta_password: p\n",
                "neither oms_meta_host nor oms_cm_meta_host is set");
  ExpectRefused(kOld, "drc_rm_db is missing");
  ExpectRefused(std::string(kRest) +
                    "oms_meta_host:\noms_meta_port: 1\noms_meta_user: u\n"
                    "oms_meta_password: p\n",
                "oms_meta_host is empty");
  ExpectRefused(std::string(kRest) + "oms_meta_host: [a, b]\n", "oms_meta_host must be one value");
  for (const char* port : {"0", "65536", "28a", "-1", "99999999999999999999"}) {
    ExpectRefused(std::string(kRest) + "oms_meta_host: a\noms_meta_port: " + port +
                      "\noms_meta_user: u\noms_meta_password: p\n",
                  "oms_meta_port must be a port");
  }
  ExpectRefused(std::string(kRest) + kOld + "sshd_server_port: many\n",
                "sshd_server_port must be a port");
}

TEST(ParseConfig, ADatabaseNameThatCouldBreakAStatementIsRefused) {
  for (const char* name : {"\"rm`; DROP\"", "\"rm 430\"", "\"\"", "\"rm'\"", "rm.430", "库",
                           "a1234567890123456789012345678901234567890123456789012345678901234"}) {
    ExpectRefused(
        std::string("drc_rm_db: ") + name + "\ndrc_cm_db: cm\ndrc_cm_heartbeat_db: hb\n" + kOld,
        "drc_rm_db must be the name of a database");
  }
}

TEST(ParseConfig, TwoDatabasesOfOneServerMustNotShareAName) {
  const auto with = [](const char* rm, const char* cm, const char* hb) {
    return std::string("drc_rm_db: ") + rm + "\ndrc_cm_db: " + cm + "\ndrc_cm_heartbeat_db: " + hb +
           "\n" + kOld;
  };
  ExpectRefused(with("a", "b", "b"), "drc_cm_db and drc_cm_heartbeat_db name the same");
  ExpectRefused(with("a", "a", "b"), "drc_rm_db and drc_cm_db name the same");
  ExpectRefused(with("a", "b", "a"), "drc_rm_db and drc_cm_heartbeat_db name the same");
}

TEST(ParseConfig, TwoDatabasesOfTwoServersMustNotShareANameEither) {
  std::string text = std::string(kOld) + "drc_rm_db: a\ndrc_cm_db: a\ndrc_cm_heartbeat_db: b\n";
  for (size_t at = text.find("oms_meta_"); at != std::string::npos; at = text.find("oms_meta_", at))
    text.replace(at, 9, "oms_rm_meta_");
  ExpectRefused(text +
                    "oms_cm_meta_host: z\noms_cm_meta_port: 1\noms_cm_meta_user: v\n"
                    "oms_cm_meta_password: p\n",
                "drc_rm_db and drc_cm_db name the same");
}

TEST(ParseConfig, WhatIsNotPlainIsRefused) {
  ExpectRefused("", "is empty");
  ExpectRefused("- a\n- b\n", "must be keys and values");
  ExpectRefused("just text\n", "must be keys and values");
  ExpectRefused(std::string(kRest) + kOld + "---\na: b\n", "more than one document");
  ExpectRefused("a: &x s3cret\nb: *x\n", "line 1: anchors and aliases");
  ExpectRefused("base: &base {a: 1}\nx:\n  <<: *base\n", "line 1: anchors");
  ExpectRefused(std::string(kOld) + "oms_meta_host: s3cret\n",
                "line 5: the key oms_meta_host appears twice");
  ExpectRefused("x:\n  a: 1\n  a: 2\n", "line 3: the key a appears twice");
  ExpectRefused("\"drc_rm_db\": a\ndrc_rm_db: a\n", "the key drc_rm_db appears twice");
  ExpectRefused("a: !!int 3\n", "tags");
  ExpectRefused("a: !own s3cret\n", "tags");
  ExpectRefused("a: \"s3cret\nb: c\n", "line 1: a quote is not closed");
  ExpectRefused("z: 1\na: 's3cret''\nb: c\n", "line 2: a quote is not closed");
  ExpectRefused("a: s3cret: b\n", "is not YAML: see line 1");
  ExpectRefused(std::string("a: b\0c\n", 7), "NUL");
  ExpectRefused("{[a]: b}\n", "a key must be a plain word");
}

TEST(ParseConfig, TheMapTellsTwoDocumentsApart) {
  const auto a = ParseConfig(std::string(kRest) + kOld + "x: [a, \"b,c\"]\ny: {k: [1]}\n");
  const auto b = ParseConfig(std::string(kRest) + kOld + "x: [a, b, c]\ny: {k: 1}\n");
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_FALSE(a->all.at("x") == b->all.at("x"));
  EXPECT_FALSE(a->all.at("y") == b->all.at("y"));
}

// ----------------------------------------------------------------------------------- rewriting

TEST(RewriteMetaKeys, MakesOfTheGuidesSampleWhatTheGuideSays) {
  EXPECT_EQ(Rewritten(kGuide430), R"("cm_location": "2"
"cm_nodes":
- "10.0.0.1"
- "10.0.0.2"
"cm_region": "cn-hangzhou"
"cm_region_cn": "cn-hangzhou"
"cm_url": "http://10.0.0.1:8088"
"drc_cm_db": "oms_cm"
"drc_cm_heartbeat_db": "oms_cm_hb_hangzhou"
"drc_rm_db": "oms_rm"
"oms_rm_meta_host": "10.0.0.3"
"oms_cm_meta_host": "10.0.0.3"
"oms_rm_meta_password": "ob_password"
"oms_cm_meta_password": "ob_password"
"oms_rm_meta_port": "2883"
"oms_cm_meta_port": "2883"
"oms_rm_meta_user": "oms_meta_user"
"oms_cm_meta_user": "oms_meta_user"
)");
}

TEST(RewriteMetaKeys, TheResultHasTheSameAddressesByTheNewKeys) {
  const auto before = ParseConfig(kGuide430);
  const auto after = ParseConfig(Rewritten(kGuide430));
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(after->rm, before->rm);
  EXPECT_EQ(after->cm, before->cm);
  EXPECT_FALSE(after->old_keys);
  EXPECT_TRUE(after->new_keys);
}

TEST(RewriteMetaKeys, IsNeededOnlyWhereAnOldKeyIs) {
  EXPECT_TRUE(*NeedsRewrite(kGuide430));
  EXPECT_FALSE(*NeedsRewrite(Rewritten(kGuide430)));
  EXPECT_FALSE(NeedsRewrite("a: [").ok());
}

TEST(RewriteMetaKeys, WithoutOldKeysNoByteChanges) {
  const std::string text = "# oms_meta_host: x\r\na:   'b'  # c\n\n\nd: 1";
  EXPECT_EQ(Rewritten(text), text);
  const std::string once = Rewritten(kGuide430);
  EXPECT_EQ(Rewritten(once), once);
}

TEST(RewriteMetaKeys, KeepsCommentsOrderQuotesAndSpaces) {
  EXPECT_EQ(Rewritten("# about oms_meta_host: old\n"
                      "\n"
                      "zzz: 1   # last first\n"
                      "'oms_meta_host' :  '10.0.0.3'   # the MetaDB\n"
                      "  # indented\n"
                      "own_key: \"oms_meta_port: 1\"\n"
                      "\"oms_meta_user\": \"root@oms#1\"\n"
                      "aaa:\n"
                      "  oms_meta_host: nested stays\n"),
            "# about oms_meta_host: old\n"
            "\n"
            "zzz: 1   # last first\n"
            "'oms_rm_meta_host' :  '10.0.0.3'   # the MetaDB\n"
            "'oms_cm_meta_host' :  '10.0.0.3'   # the MetaDB\n"
            "  # indented\n"
            "own_key: \"oms_meta_port: 1\"\n"
            "\"oms_rm_meta_user\": \"root@oms#1\"\n"
            "\"oms_cm_meta_user\": \"root@oms#1\"\n"
            "aaa:\n"
            "  oms_meta_host: nested stays\n");
}

TEST(RewriteMetaKeys, KeepsTheLineEndings) {
  EXPECT_EQ(Rewritten("a: b\r\noms_meta_host: x\r\nc: d\r\n"),
            "a: b\r\noms_rm_meta_host: x\r\noms_cm_meta_host: x\r\nc: d\r\n");
  EXPECT_EQ(Rewritten("a: b\noms_meta_host: x\r\nc: d\n"),
            "a: b\noms_rm_meta_host: x\r\noms_cm_meta_host: x\r\nc: d\n");
}

TEST(RewriteMetaKeys, WorksOnALastLineWithoutItsEnd) {
  EXPECT_EQ(Rewritten("a: b\noms_meta_host: x"), "a: b\noms_rm_meta_host: x\noms_cm_meta_host: x");
  EXPECT_EQ(Rewritten("a: b\r\noms_meta_host: x"),
            "a: b\r\noms_rm_meta_host: x\r\noms_cm_meta_host: x");
  EXPECT_EQ(Rewritten("oms_meta_host: x"), "oms_rm_meta_host: x\noms_cm_meta_host: x");
}

TEST(RewriteMetaKeys, WorksOnAnIndentedMapAByteOrderMarkAndADocumentStart) {
  EXPECT_EQ(Rewritten("  a: b\n  oms_meta_host: x\n"),
            "  a: b\n  oms_rm_meta_host: x\n  oms_cm_meta_host: x\n");
  EXPECT_EQ(Rewritten("\xEF\xBB\xBFoms_meta_host: x\n"),
            "\xEF\xBB\xBFoms_rm_meta_host: x\noms_cm_meta_host: x\n");
  EXPECT_EQ(Rewritten("---\noms_meta_host: x\n...\n"),
            "---\noms_rm_meta_host: x\noms_cm_meta_host: x\n...\n");
}

TEST(RewriteMetaKeys, KeepsPasswordsThatLookLikeYaml) {
  for (const char* value : {"'it''s: #1'", R"("a\"b: c # d\\")", "p@ss#word", "'&not *an anchor'",
                            "\"'\"", "a:b:c", "\"\\u00e9\"", "'{a: b}'", "''", "~", ""}) {
    const std::string text = std::string("oms_meta_password: ") + value + "\nz: 1\n";
    EXPECT_EQ(Rewritten(text), std::string("oms_rm_meta_password: ") + value +
                                   "\noms_cm_meta_password: " + value + "\nz: 1\n");
  }
}

TEST(RewriteMetaKeys, DoesNotTouchTextThatOnlyLooksLikeAKey) {
  EXPECT_EQ(Rewritten("note: |\n  oms_meta_host: in a block\n  oms_meta_port: 1\n"
                      "oms_meta_host: x\noms_meta_hostname: y\n"),
            "note: |\n  oms_meta_host: in a block\n  oms_meta_port: 1\n"
            "oms_rm_meta_host: x\noms_cm_meta_host: x\noms_meta_hostname: y\n");
}

TEST(RewriteMetaKeys, ANewKeyThatIsThereAlreadyIsNotMadeAgain) {
  EXPECT_EQ(Rewritten("oms_rm_meta_host: x\noms_meta_host: x\n"),
            "oms_rm_meta_host: x\noms_cm_meta_host: x\n");
  EXPECT_EQ(Rewritten("oms_rm_meta_host: x\noms_cm_meta_host: 'x'\noms_meta_host: \"x\"\nz: 1\n"),
            "oms_rm_meta_host: x\noms_cm_meta_host: 'x'\nz: 1\n");
}

TEST(RewriteMetaKeys, NewKeysThatDifferAreRefusedByName) {
  ExpectNotRewritten("oms_rm_meta_password: s3cret-a\noms_meta_password: s3cret-b\n",
                     "oms_meta_password and oms_rm_meta_password are both set and differ");
}

TEST(RewriteMetaKeys, AValueThatTakesMoreThanItsLineIsRefused) {
  const char* texts[] = {
      "oms_meta_password: |\n  s3cret\nz: 1\n",
      "oms_meta_password:\n  s3cret\nz: 1\n",
      "oms_meta_password: \"s3cret\n  more\"\nz: 1\n",
      "oms_meta_password: s3cret\n  more\nz: 1\n",
      "{oms_meta_password: s3cret, z: 1}\n",
      "{z: 1, oms_meta_password: s3cret}\n",
      "? oms_meta_password\n: s3cret\n",
      "oms_meta_host: [s3cret]\n",
  };
  for (const char* text : texts) {
    const auto after = RewriteMetaKeys(text);
    ASSERT_FALSE(after.ok()) << *after;
    EXPECT_EQ(after.error().reason, "ConfigInvalid") << text;
    EXPECT_THAT(after.error().message, Not(HasSubstr("s3cret")));
  }
  ExpectNotRewritten(texts[1], "line 1: write oms_meta_password and its value on one line");
}

TEST(RewriteMetaKeys, AnchorsAndDuplicateKeysAreRefused) {
  ExpectNotRewritten("oms_meta_host: &h x\nother: *h\n", "anchors");
  ExpectNotRewritten("oms_meta_host: x\noms_meta_host: y\n", "appears twice");
}

}  // namespace
}  // namespace oms::product
