// OMS's config.yaml: read into values, and edited as text for targets from 4.3.1 (oms/README.md;
// guide, "Modify the config.yaml file"). Pure. The only file with yaml-cpp in reconcilers/.
//
// Any value may be a secret (passwords, access keys), so no error text holds a value, only keys and
// lines.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "controller/base/secret.h"

namespace oms::product {

struct MetaAddress {
  std::string host;
  int port = 0;
  std::string user;
  base::Secret password;
  bool operator==(const MetaAddress&) const = default;
};

// Defaults of oms/README.md.
struct OmsPorts {
  int nginx = 8089;
  int ghana = 8090;
  int cm = 8088;
  int supervisor = 9000;
  int sshd = 2023;
  bool operator==(const OmsPorts&) const = default;
};

struct OmsConfig {
  MetaAddress rm;         // From oms_rm_meta_*, else oms_meta_*.
  MetaAddress cm;         // From oms_cm_meta_*, else oms_meta_*. Holds the heartbeat database too.
  bool old_keys = false;  // At least one oms_meta_* key is there.
  bool new_keys = false;  // At least one oms_rm_meta_* or oms_cm_meta_* key is there.
  std::string drc_rm_db;
  std::string drc_cm_db;
  std::string drc_cm_heartbeat_db;
  std::string cm_url;
  std::string cm_location;
  std::string cm_region;
  std::vector<std::string> cm_nodes;
  OmsPorts ports;
  // Every top-level key with its value: a scalar as it is, anything else in a canonical one-line
  // form. Equal maps mean equal documents.
  std::map<std::string, base::Secret> all;

  // Another way to cm than to rm. (Tenants behind one address are told apart by the user.)
  bool SeparateCm() const { return rm.host != cm.host || rm.port != cm.port || rm.user != cm.user; }
};

// Errors are kInvalid, reason "ConfigInvalid": not one map of plain keys, anchors or aliases,
// duplicate keys, a needed key that is missing or empty, a port that is none, a database name that
// is not [A-Za-z0-9_$-]{1,64}, old and new keys that differ (both are named), databases with the
// same name, also where they lie on two servers: backups and their marks are by name.
base::Result<OmsConfig> ParseConfig(const std::string& text);

// The text in which each oms_meta_* line has become an oms_rm_meta_* line and an oms_cm_meta_*
// line; everything else stays byte for byte: comments, order, quotes, unknown keys, line endings. A
// comment behind a value stays behind both. No old keys: `text` itself. Where a new key is there
// already, with the same value, it is not made again. Proved before it is returned: both texts are
// parsed, and the new map is the expected one. Errors as ParseConfig's, and for an old key whose
// value takes more than its own line.
base::Result<std::string> RewriteMetaKeys(const std::string& text);

// Whether RewriteMetaKeys would change anything.
base::Result<bool> NeedsRewrite(const std::string& text);

}  // namespace oms::product
