#include "reconcilers/record/manifest.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "controller/base/json.h"
#include "crd/reasons.h"

namespace oms::record {

namespace fs = std::filesystem;

using base::Code;
using base::MakeError;
using base::Result;
using nlohmann::ordered_json;

std::string_view ToString(ports::DumpTool tool) {
  return tool == ports::DumpTool::kMydumper ? "mydumper" : "mysqldump";
}

namespace {

std::string_view ToString(ports::Compression compression) {
  return compression == ports::Compression::kZstd ? "zstd" : "none";
}

base::Error Invalid(std::string message) {
  return MakeError(Code::kInvalid, crd::reason::kManifestInvalid,
                   "manifest.json is not readable: " + std::move(message));
}

// Caught by FromJson, as what the library throws: no number is cut to what fits.
template <typename T>
T Whole(const nlohmann::json& value) {
  const auto number = base::WholeNumber<T>(value);
  if (!number) {
    throw std::out_of_range(std::string("a ") + value.type_name() +
                            " where a whole number is expected, or one that does not fit");
  }
  return *number;
}

// A file's path may not lead out of its folder: what is named here is read and loaded.
bool Inside(const std::string& path) {
  const fs::path parts(path);
  if (path.empty() || parts.is_absolute()) return false;
  for (const auto& part : parts) {
    if (part == ".." || part == ".") return false;
  }
  return true;
}

ordered_json Write(const ports::DatabaseDigest& digest) {
  ordered_json tables = ordered_json::array(), objects = ordered_json::array();
  for (const auto& table : digest.tables) {
    tables.push_back({{"name", table.name}, {"rows", table.rows}, {"crcSum", table.crc_sum}});
    if (table.moving) tables.back()["moving"] = true;
  }
  for (const auto& object : digest.objects) {
    objects.push_back({{"kind", object.kind}, {"name", object.name}, {"sha256", object.sha256}});
  }
  return {{"charset", digest.charset},
          {"collation", digest.collation},
          {"tables", std::move(tables)},
          {"objects", std::move(objects)}};
}

ports::DatabaseDigest ReadDigest(const nlohmann::json& json, const std::string& name) {
  ports::DatabaseDigest digest;
  digest.name = name;
  json.at("charset").get_to(digest.charset);
  json.at("collation").get_to(digest.collation);
  for (const auto& table : json.at("tables")) {
    auto& sum = digest.tables.emplace_back();
    table.at("name").get_to(sum.name);
    sum.rows = Whole<uint64_t>(table.at("rows"));
    table.at("crcSum").get_to(sum.crc_sum);
    sum.moving = table.value("moving", false);
  }
  for (const auto& object : json.at("objects")) {
    auto& read = digest.objects.emplace_back();
    object.at("kind").get_to(read.kind);
    object.at("name").get_to(read.name);
    object.at("sha256").get_to(read.sha256);
  }
  return digest;
}

}  // namespace

uint64_t ManifestDatabase::Bytes() const {
  uint64_t bytes = 0;
  for (const auto& file : files) bytes += file.bytes;
  return bytes;
}

uint64_t Manifest::TotalBytes() const {
  uint64_t bytes = 0;
  for (const auto& database : databases) bytes += database.Bytes();
  return bytes;
}

const ManifestDatabase* Manifest::Find(std::string_view name) const {
  for (const auto& database : databases) {
    if (database.name == name) return &database;
  }
  return nullptr;
}

std::string Manifest::ToJson() const {
  ordered_json list = ordered_json::array();
  for (const auto& database : databases) {
    ordered_json files = ordered_json::array();
    for (const auto& file : database.files) {
      files.push_back({{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256}});
    }
    list.push_back({{"role", database.role},
                    {"name", database.name},
                    {"server", database.server},
                    {"serverIdentity", database.server_identity},
                    {"serverVersion", database.server_version},
                    {"oceanbase", database.oceanbase},
                    {"toolVersion", database.tool_version},
                    {"digest", Write(database.digest)},
                    {"files", std::move(files)}});
  }
  ordered_json json = {{"format", written_meanwhile ? kFormat : 1},
                       {"operation", operation},
                       {"from", from},
                       {"tool", ToString(tool)},
                       {"compression", ToString(compression)},
                       {"containerID", container_id},
                       {"containerName", container_name},
                       {"startedAt", started_at},
                       {"otherRuns", other_runs},
                       {"heartbeatMax", heartbeat_max},
                       {"begun", begun},
                       {"completed", completed},
                       {"databases", std::move(list)}};
  if (written_meanwhile) json["writtenMeanwhile"] = true;
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

Result<Manifest> Manifest::FromJson(std::string_view text) {
  const auto parsed = base::ParseJson(text);
  if (!parsed.ok()) return Invalid("it " + parsed.error().message);
  const auto& json = *parsed;
  if (!json.is_object()) return Invalid("it is not a JSON object");
  try {
    const int format = Whole<int>(json.at("format"));
    if (format > kFormat || format < 1) {
      return MakeError(Code::kInvalid, crd::reason::kManifestFormat,
                       fmt::format("manifest.json has format {}, and this controller knows {}; use "
                                   "the newer controller that wrote it",
                                   format, kFormat));
    }
    Manifest manifest;
    json.at("operation").get_to(manifest.operation);
    json.at("from").get_to(manifest.from);
    const auto tool = json.at("tool").get<std::string>();
    const auto compression = json.at("compression").get<std::string>();
    if (tool != "mydumper" && tool != "mysqldump") return Invalid("tool " + tool);
    if (compression != "zstd" && compression != "none")
      return Invalid("compression " + compression);
    manifest.tool = tool == "mydumper" ? ports::DumpTool::kMydumper : ports::DumpTool::kMysqldump;
    manifest.compression =
        compression == "zstd" ? ports::Compression::kZstd : ports::Compression::kNone;
    json.at("containerID").get_to(manifest.container_id);
    json.at("containerName").get_to(manifest.container_name);
    json.at("startedAt").get_to(manifest.started_at);
    manifest.other_runs = json.value("otherRuns", std::map<std::string, std::string>());
    manifest.heartbeat_max = Whole<uint64_t>(json.at("heartbeatMax"));
    manifest.written_meanwhile = json.value("writtenMeanwhile", false);
    json.at("begun").get_to(manifest.begun);
    json.at("completed").get_to(manifest.completed);
    for (const auto& entry : json.at("databases")) {
      auto& database = manifest.databases.emplace_back();
      entry.at("role").get_to(database.role);
      entry.at("name").get_to(database.name);
      entry.at("server").get_to(database.server);
      entry.at("serverIdentity").get_to(database.server_identity);
      entry.at("serverVersion").get_to(database.server_version);
      entry.at("oceanbase").get_to(database.oceanbase);
      entry.at("toolVersion").get_to(database.tool_version);
      database.digest = ReadDigest(entry.at("digest"), database.name);
      for (const auto& file : entry.at("files")) {
        auto& read = database.files.emplace_back();
        file.at("path").get_to(read.path);
        read.bytes = Whole<uint64_t>(file.at("bytes"));
        file.at("sha256").get_to(read.sha256);
        if (!Inside(read.path))
          return Invalid("the path " + read.path + " leads out of its folder");
        if (read.bytes == 0) return Invalid(read.path + " is empty");
      }
      if (database.files.empty()) return Invalid("no file of database " + database.name);
    }
    if (manifest.databases.empty()) return Invalid("it names no database");
    return manifest;
  } catch (const std::exception& e) {
    return Invalid(e.what());
  }
}

std::string SumsText(const Manifest& manifest) {
  std::string text;
  for (const auto& database : manifest.databases) {
    for (const auto& file : database.files) text += fmt::format("{}  {}\n", file.sha256, file.path);
  }
  return text;
}

Result<Manifest> ReadManifest(ports::RecordStoreView& store, const fs::path& folder) {
  OMS_ASSIGN(const auto text, store.ReadFile(folder / kManifestName));
  return Manifest::FromJson(text);
}

Result<Manifest> VerifyManifest(ports::RecordStoreView& store, const fs::path& folder,
                                const std::string& only) {
  OMS_ASSIGN(auto manifest, ReadManifest(store, folder));
  for (const auto& database : manifest.databases) {
    if (!only.empty() && database.name != only) continue;
    for (const auto& file : database.files) {
      const auto broken = [&](std::string_view how) {
        return MakeError(Code::kTerminal, crd::reason::kBackupBroken,
                         fmt::format("{}/{} {}; this backup cannot be restored", folder.string(),
                                     file.path, how));
      };
      const auto bytes = store.Size(folder / file.path);
      if (bytes.Is(Code::kNotFound)) return broken("is missing");
      if (!bytes.ok()) return bytes.error();
      if (*bytes != file.bytes) {
        return broken(
            fmt::format("has {} bytes, but had {} when it was written", *bytes, file.bytes));
      }
      OMS_ASSIGN(const auto sha256, store.Sha256(folder / file.path));
      if (sha256 != file.sha256) return broken("has another SHA-256 than when it was written");
    }
  }
  return manifest;
}

std::string DescribeDifference(const ports::DatabaseDigest& expected,
                               const ports::DatabaseDigest& found, Comparing comparing) {
  std::vector<std::string> words;
  if (expected.charset != found.charset || expected.collation != found.collation) {
    words.push_back(fmt::format("character set {}/{} in place of {}/{}", found.charset,
                                found.collation, expected.charset, expected.collation));
  }
  std::map<std::string, const ports::TableSum*> tables;
  for (const auto& table : found.tables) tables[table.name] = &table;
  for (const auto& table : expected.tables) {
    const auto other = tables.find(table.name);
    if (other == tables.end()) {
      words.push_back(fmt::format("table {} is missing", table.name));
    } else if (table.moving) {
      if (comparing == Comparing::kAsItIs)
        words.push_back(fmt::format("table {} was written while it was dumped", table.name));
    } else if (table.rows != other->second->rows) {
      words.push_back(fmt::format("table {} has {} rows in place of {}", table.name,
                                  other->second->rows, table.rows));
    } else if (table != *other->second) {
      words.push_back(fmt::format("table {} has other contents", table.name));
    }
    if (other != tables.end()) tables.erase(other);
  }
  for (const auto& [name, table] : tables) words.push_back(fmt::format("table {} is new", name));
  std::map<std::pair<std::string, std::string>, std::string> objects;
  for (const auto& object : found.objects) objects[{object.kind, object.name}] = object.sha256;
  for (const auto& object : expected.objects) {
    const auto other = objects.find({object.kind, object.name});
    if (other == objects.end()) {
      if (object.kind != "table") {
        words.push_back(fmt::format("{} {} is missing", object.kind, object.name));
      }
      continue;
    }
    if (other->second != object.sha256) {
      words.push_back(fmt::format("{} {} has another definition", object.kind, object.name));
    }
    objects.erase(other);
  }
  for (const auto& [key, sha256] : objects) {
    if (key.first != "table") words.push_back(fmt::format("{} {} is new", key.first, key.second));
  }
  constexpr size_t kWords = 8;
  std::string text;
  for (size_t i = 0; i < words.size() && i < kWords; ++i) text += (i ? ", " : "") + words[i];
  if (words.size() > kWords) text += fmt::format(" and {} more", words.size() - kWords);
  return text;
}

}  // namespace oms::record
