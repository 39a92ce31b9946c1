// The world's backup volume, and the tool that dumps to it and loads from it.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controller/base/sha256.h"
#include "tests/fakes/world/door.h"

namespace oms::fakes {

class Store final : public ports::RecordStore, private Door {
 public:
  using Door::Door;
  Result<ports::VolumeInfo> Identify(const std::filesystem::path&) override {
    if (auto seen = Look({}); !seen.Is(Code::kNotFound)) return seen;
    OMS_TRY(Write("Identify", false, [&]() -> Status {
      world_.volume_identity = "volume-1";
      return base::Ok();
    }));
    return Look({});
  }
  Result<ports::VolumeInfo> Look(const std::filesystem::path& directory) override {
    return world_.Look<ports::VolumeInfo>(life_, [&]() -> Result<ports::VolumeInfo> {
      world_.looked_into.insert(directory.string());
      if (!world_.volume_identity)
        return MakeError(Code::kNotFound, "BackupVolume", "no identity file");
      return ports::VolumeInfo{*world_.volume_identity, world_.free_bytes};
    });
  }
  Result<uint64_t> FreeBytes(const std::filesystem::path&) override {
    return world_.Look<uint64_t>(life_, [&]() -> Result<uint64_t> { return world_.free_bytes; });
  }
  Result<std::vector<ports::RecordEntry>> Read(const std::filesystem::path& folder) override {
    using List = std::vector<ports::RecordEntry>;
    return world_.Look<List>(life_, [&]() -> Result<List> {
      world_.looked_into.insert(folder.string());
      const auto found = world_.records.find(folder.string());
      if (found == world_.records.end())
        return MakeError(Code::kNotFound, "no folder " + folder.string());
      List list;
      const int from = world_.short_reads ? world_.promises.EnoughFrom(folder.string()) : 0;
      for (auto at = found->second.lower_bound(from); at != found->second.end(); ++at)
        list.push_back({at->first, at->second});
      return list;
    });
  }
  Status Append(const std::filesystem::path& folder, int n, const std::string& text) override {
    return Write(fmt::format("Append {}", n), false, [&]() -> Status {
      auto& texts = world_.records[folder.string()];
      if (const auto there = texts.find(n); there == texts.end()) {
        world_.promises.Append(folder.string(), n, text);
        texts.emplace(n, text);
      } else if (there->second != text) {
        return MakeError(Code::kConflict, ports::kRecordTaken, "another text is there");
      }
      if (++world_.appends == world_.answer_to_lose)
        return MakeError(Code::kTransient, "BackupVolume", "Input/output error");
      return base::Ok();
    });
  }
  Status WriteFile(const std::filesystem::path& file, const std::string& content) override {
    return Write("WriteFile " + file.filename().string(), false, [&]() -> Status {
      world_.files[file.string()] = content;
      return base::Ok();
    });
  }
  Result<std::string> ReadFile(const std::filesystem::path& file) override {
    return world_.Look<std::string>(life_, [&]() -> Result<std::string> {
      const auto found = world_.files.find(file.string());
      if (found == world_.files.end())
        return MakeError(Code::kNotFound, "no file " + file.string());
      world_.promises.ReadFile(file.string());
      return found->second;
    });
  }
  Result<std::string> Sha256(const std::filesystem::path& file) override {
    OMS_ASSIGN(const std::string text, ReadFile(file));
    return base::Sha256Hex(text);
  }
  Result<uint64_t> Size(const std::filesystem::path& file) override {
    OMS_ASSIGN(const std::string text, ReadFile(file));
    return uint64_t{text.size()};
  }
  Result<std::vector<std::filesystem::path>> List(const std::filesystem::path& directory) override {
    using List = std::vector<std::filesystem::path>;
    return world_.Look<List>(life_, [&]() -> Result<List> {
      List list;
      for (const auto& [folder, texts] : world_.records) {
        if (std::filesystem::path(folder).parent_path() == directory) list.push_back(folder);
      }
      return list;
    });
  }
  // In two writes, so that a process can die between them.
  Result<ports::RemovedPayload> RemovePayload(const std::filesystem::path& folder) override {
    ports::RemovedPayload removed;
    for (const std::string name : {"dump", "upgraded", "images", "rollback"}) {
      const std::string whole = (folder / name).string() + "/";
      const std::string dying = (folder / (".removing-" + name)).string() + "/";
      const auto below = [&](const std::string& path) {
        return world_.Look<bool>(life_, [&]() -> Result<bool> {
          const auto first = world_.files.lower_bound(path);
          return first != world_.files.end() && first->first.starts_with(path);
        });
      };
      OMS_ASSIGN(const bool is_whole, below(whole));
      if (is_whole) {
        OMS_TRY(Write("HidePayload " + name, false, [&]() -> Status {
          world_.promises.RemovePayload(folder.string());
          for (auto it = world_.files.lower_bound(whole);
               it != world_.files.end() && it->first.starts_with(whole);) {
            world_.files[dying + it->first.substr(whole.size())] = it->second;
            it = world_.files.erase(it);
          }
          return base::Ok();
        }));
      }
      OMS_ASSIGN(const bool is_dying, below(dying));
      if (!is_dying) continue;
      OMS_TRY(Write("RemovePayload " + name, false, [&]() -> Status {
        std::erase_if(world_.files, [&](const auto& file) {
          if (!file.first.starts_with(dying)) return false;
          ++removed.files;
          removed.bytes += file.second.size();
          return true;
        });
        return base::Ok();
      }));
    }
    return removed;
  }
};

class Dumper final : public ports::BackupTool, private Door {
 public:
  using Door::Door;
  Result<ports::DumpOutcome> Dump(const Context& ctx, ports::Fence& fence,
                                  const ports::DumpRequest& request,
                                  ports::ByteProgress& progress) override {
    const bool cm = world_.IsCm(request.server);
    const ports::DbConnection connection = world_.Locked([&] { return world_.ConnectLocked(cm); });
    OMS_TRY(fence.Register(ctx, connection));
    const std::string name = request.folder.string() + "/data.sql";
    std::string content;
    OMS_TRY(Write("Dump begins", false, [&]() -> Status {
      if (world_.IsKilledLocked(connection))
        return MakeError(Code::kTransient, "DumpFailed", "lost connection");
      if (!world_.HoldsLocked(cm, request.database))
        return MakeError(Code::kTransient, "DumpFailed", "unknown database");
      if (world_.files.contains(name))
        return MakeError(Code::kAlreadyExists, "the folder is there");
      world_.promises.BeginDump(request.database);
      world_.dumped_with = request.tool;
      content = world_.ContentLocked(request.database);
      world_.files[name] = content.substr(0, 2);
      return base::Ok();
    }));
    {
      std::unique_lock lock(world_.mutex());
      const auto gone = [&] { return world_.IsKilledLocked(connection); };
      if (world_.dump_held &&
          !world_.WaitLocked(lock, ctx, life_, [&] { return !world_.dump_held || gone(); }))
        return MakeError(Code::kCancelled, "stopping");
      if (gone()) return MakeError(Code::kTransient, "DumpFailed", "lost connection to the server");
      if (world_.dumps_to_fail > 0) {
        --world_.dumps_to_fail;
        return MakeError(world_.fails_with, "DumpFailed", "exit code 1");
      }
    }
    OMS_TRY(ctx.Check());
    OMS_TRY(Write("Dump ends", false, [&]() -> Status {
      if (world_.IsKilledLocked(connection))
        return MakeError(Code::kTransient, "DumpFailed", "lost connection");
      world_.files[name] = content;
      return base::Ok();
    }));
    progress.done += content.size();
    fence.Unregister(connection);
    const uint64_t rows = world_.Locked([&] { return world_.rows_in_dump; });
    ports::DumpOutcome outcome{
        "fake 1", {{"data.sql", content.size(), base::Sha256Hex(content)}}, {}};
    if (rows > 0) outcome.tables.push_back({"t", rows, {}, 1, 10});
    return outcome;
  }

  Status Load(const Context& ctx, ports::Fence& fence, const ports::LoadRequest& request,
              ports::ByteProgress& progress) override {
    const bool cm = world_.IsCm(request.server);
    const ports::DbConnection connection = world_.Locked([&] { return world_.ConnectLocked(cm); });
    OMS_TRY(fence.Register(ctx, connection));
    const auto gone = [&] { return world_.IsKilledLocked(connection); };
    const auto failed = [](const char* why) {
      return MakeError(Code::kTransient, "LoadFailed", why);
    };
    std::string content;
    OMS_TRY(Write("Load begins " + request.database, false, [&]() -> Status {
      if (gone()) return failed("lost connection");
      if (!world_.HoldsLocked(cm, request.database)) return failed("unknown database");
      const auto database = world_.databases.find(request.database);
      if (database == world_.databases.end()) return failed("unknown database");
      if (!database->second.empty()) return failed("table already exists");
      content = world_.files.at((request.folder / request.files.at(0).path).string());
      database->second = "half loaded";
      return base::Ok();
    }));
    {
      std::unique_lock lock(world_.mutex());
      if (world_.restore_held &&
          !world_.WaitLocked(lock, ctx, life_, [&] { return !world_.restore_held || gone(); }))
        return MakeError(Code::kCancelled, "stopping");
      if (world_.loads_to_fail > 0) {
        --world_.loads_to_fail;
        return MakeError(world_.fails_with, "LoadFailed", "exit code 1");
      }
    }
    OMS_TRY(ctx.Check());
    OMS_TRY(Write("Load ends " + request.database, false, [&]() -> Status {
      if (gone()) return failed("lost connection");
      world_.FillLocked(request.database, content);
      if (world_.loads_to_spoil > 0) {
        --world_.loads_to_spoil;
        world_.databases[request.database] += world_.spoils_with;
      }
      return base::Ok();
    }));
    progress.done += content.size();
    fence.Unregister(connection);
    return base::Ok();
  }
};

}  // namespace oms::fakes
