// The world's two engines, and the archives of images.
#pragma once

#include <algorithm>
#include <utility>

#include "reconcilers/act/once_script.h"
#include "reconcilers/drivers/docker/create_body.h"
#include "tests/fakes/world/door.h"
#include "tests/fakes/world/images.h"

namespace oms::fakes {

inline base::Error NoContainer(const std::string& id) {
  return MakeError(Code::kNotFound, "NoSuchContainer", "no such container: " + id);
}

class Engine final : public ports::ContainerEngine, private Door {
 public:
  Engine(World& world, Life& life, std::string endpoint)
      : Door(world, life), endpoint_(std::move(endpoint)) {}

  Result<ports::EngineInfo> Info(const Context&) override {
    return Seen<ports::EngineInfo>([&]() -> Result<ports::EngineInfo> {
      return ports::EngineInfo{endpoint_ == kFirstEngine ? "engine-1" : "engine-2", "20.10",
                               "1.41"};
    });
  }
  Result<ports::ContainerInfo> Inspect(const Context&, const std::string& id) override {
    return Seen<ports::ContainerInfo>([&]() -> Result<ports::ContainerInfo> {
      auto* found = Here(id);
      if (found == nullptr) return NoContainer(id);
      return found->info;
    });
  }
  Result<std::vector<ports::ContainerInfo>> ListByLabel(const Context&, const std::string& label,
                                                        const std::string& value) override {
    using List = std::vector<ports::ContainerInfo>;
    return Seen<List>([&]() -> Result<List> {
      List list;
      for (const auto& [id, container] : world_.containers) {
        const auto at = container.info.labels.find(label);
        if (container.engine == endpoint_ && at != container.info.labels.end() &&
            at->second == value)
          list.push_back(container.info);
      }
      return list;
    });
  }
  Result<ports::ImageInfo> InspectImage(const Context&, const std::string& reference) override {
    return Seen<ports::ImageInfo>([&]() -> Result<ports::ImageInfo> {
      for (const auto& [name, image] : world_.images) {
        const auto on = world_.loaded_on.find(name);
        const bool here = on == world_.loaded_on.end() || on->second.contains(endpoint_);
        if (here && (name == reference || image.id == reference)) return image;
      }
      return MakeError(Code::kNotFound, "NoSuchImage", "no such image: " + reference);
    });
  }
  Status LoadImage(const Context& ctx, const std::filesystem::path& archive,
                   ports::ByteProgress&) override {
    if (std::unique_lock lock(world_.mutex()); world_.load_held) {
      if (!world_.WaitLocked(lock, ctx, life_, [&] { return !world_.load_held; }))
        return MakeError(Code::kCancelled, "stopping");
    }
    return Write("LoadImage", false, [&]() -> Status {
      OMS_TRY(Reached());
      if (world_.loads_of_image_to_fail > 0) {
        --world_.loads_of_image_to_fail;
        return MakeError(world_.fails_with, "ImageLoadFailed", "unexpected EOF");
      }
      const auto held = world_.archives.find(archive.string());
      if (held == world_.archives.end())
        return MakeError(Code::kNotFound, "NoSuchFile", "no archive " + archive.string());
      // The image that had the name has none any more.
      if (const auto before = world_.images.find(held->second);
          before != world_.images.end() && before->second.id != ImageIdOf(held->second))
        world_.images["<none> " + before->second.id] = before->second;
      const std::string name = world_.loads_as.empty() ? held->second : world_.loads_as;
      const std::string id = world_.listed_as + world_.ArchivedIdLocked(archive.string());
      if (const auto before = world_.images.find(name); before == world_.images.end()) {
        world_.loaded_on[name].clear();
      } else if (before->second.id != id) {
        // The image that had the name has none any more.
        world_.images["<none> " + before->second.id] = before->second;
      }
      if (world_.loaded_on.contains(name)) world_.loaded_on[name].insert(endpoint_);
      world_.images[name] = Image(id, name);
      return base::Ok();
    });
  }
  Status PullImage(const Context&, const std::string& reference) override {
    return Write("PullImage", false, [&]() -> Status {
      return MakeError(Code::kNotFound, "NoSuchImage", "no registry has " + reference);
    });
  }
  Status SaveImage(const Context&, const std::string& reference,
                   const std::filesystem::path& archive, ports::ByteProgress&) override {
    return Write("SaveImage", false, [&]() -> Status {
      world_.files[archive.string()] = "image " + reference;
      for (const auto& [name, image] : world_.images) {
        if (name != reference && image.id != reference) continue;
        world_.archives[archive.string()] = reference;
        world_.archive_ids[archive.string()] =
            world_.saved_image_differs ? image.id + "-of-another-store" : image.id;
      }
      return base::Ok();
    });
  }
  Status RemoveImage(const Context&, const std::string& reference) override {
    return Write("RemoveImage " + reference, false, [&]() -> Status {
      if (world_.images.erase(reference) == 0)
        return MakeError(Code::kNotFound, "NoSuchImage", "no such image: " + reference);
      return base::Ok();
    });
  }
  Result<std::string> Create(const Context&, const std::string& name,
                             const ports::ContainerSpec& spec) override {
    OMS_ASSIGN(const std::string body, drivers::docker::CreateBody(spec));
    return world_.Write<std::string>(
        life_, "Create " + name, !name.starts_with("oms-upgrade-"), [&]() -> Result<std::string> {
          OMS_TRY(Reached());
          const bool meant = world_.before_create_of.empty() || world_.before_create_of == name;
          if (world_.before_create && meant) world_.before_create();
          return world_.CreateLocked(name, json::parse(body), endpoint_);
        });
  }
  Status Start(const Context&, const std::string& id) override {
    return OnContainer(
        "Start", id,
        [&](World::Container& c) -> Status {
          if (c.info.dead) return Dead();
          if (World::IsOms(c.info) && world_.starts_to_refuse > 0) {
            --world_.starts_to_refuse;
            return MakeError(world_.refuses_with, "EngineRefused", "cannot mount /data/store");
          }
          world_.promises.Start(c.info.id);
          return world_.StartLocked(c);
        },
        [&world = world_, id] {
          World::Container* found = world.Find(id);
          if (found == nullptr || found->info.dead) return;
          // Nobody who sent it can know what a person has done since.
          for (auto& [other, each] : world.containers) each.unforeseen |= each.by_person;
          world.promises.Start(found->info.id);
          (void)world.StartLocked(*found);
        });
  }
  Status Stop(const Context&, const std::string& id, base::Duration) override {
    return OnContainer("Stop", id, [&](World::Container& c) -> Status {
      world_.StopLocked(c, 137);
      return base::Ok();
    });
  }
  Status Remove(const Context&, const std::string& id, bool) override {
    return OnContainer("Remove", id, [&](World::Container& c) -> Status {
      if (world_.unremovable.contains(c.info.name)) {
        c.info.status = "dead";
        c.info.dead = true;
        c.info.running = false;
        return MakeError(
            Code::kTransient, "EngineError",
            "refused to remove the container: driver failed to remove root filesystem");
      }
      world_.promises.Remove(c.info.id);
      world_.containers.erase(std::string(c.info.id));
      return base::Ok();
    });
  }
  Status SetRestartPolicy(const Context&, const std::string& id, const std::string& policy,
                          int retries) override {
    return OnContainer("SetRestartPolicy " + policy, id, [&](World::Container& c) -> Status {
      if (c.info.dead) return Dead();
      c.info.restart_policy = policy;
      c.info.restart_max_retries = retries;
      return base::Ok();
    });
  }
  Result<int> Wait(const Context&, const std::string& id) override {
    return Seen<int>([&]() -> Result<int> {
      auto* found = Here(id);
      if (found == nullptr) return NoContainer(id);
      return found->info.exit_code;
    });
  }
  Result<std::string> Logs(const Context&, const std::string&, int) override {
    return Seen<std::string>([&]() -> Result<std::string> { return std::string("log"); });
  }
  Result<std::vector<ports::ProcessInfo>> Processes(const Context&,
                                                    const std::string& id) override {
    using List = std::vector<ports::ProcessInfo>;
    return Seen<List>([&]() -> Result<List> {
      auto* found = Here(id);
      if (found == nullptr) return NoContainer(id);
      if (!found->info.running) return MakeError(Code::kConflict, "NotRunning", "not running");
      if (world_.top_fails) return MakeError(Code::kTransient, "EngineUnreachable", "no answer");
      List list = {{"1", "supervisord"}};
      for (auto& script : world_.scripts) {
        if (script.container != found->info.id || !script.running) continue;
        list.push_back(
            {"17", "/bin/sh -c text oms-upgrade-script " + script.marker + " /root sh x"});
        if (!world_.script_held && --script.looks_left <= 0) world_.FinishScriptLocked(script);
      }
      return list;
    });
  }
  Result<ports::FileContent> ReadFile(const Context&, const std::string& id,
                                      const std::string& path) override {
    return Seen<ports::FileContent>([&]() -> Result<ports::FileContent> {
      auto* found = Here(id);
      if (found == nullptr || found->info.dead) return NoContainer(id);
      const ports::FileContent* file = world_.FileLocked(*found, path);
      if (file == nullptr) return MakeError(Code::kNotFound, "NoSuchFile", "no such file: " + path);
      return *file;
    });
  }
  Result<ports::PathInfo> LookAtPath(const Context&, const std::string& id,
                                     const std::string& path) override {
    return Seen<ports::PathInfo>([&]() -> Result<ports::PathInfo> {
      auto* found = Here(id);
      if (found == nullptr) return NoContainer(id);
      const auto link = world_.host_links.find(world_.HostPath(*found, path));
      if (link != world_.host_links.end())
        return ports::PathInfo{ports::PathInfo::Kind::kLink, link->second};
      const ports::FileContent* file = world_.FileLocked(*found, path);
      if (file == nullptr) return MakeError(Code::kNotFound, "NoSuchFile", "no such file: " + path);
      return ports::PathInfo{
          file->regular ? ports::PathInfo::Kind::kFile : ports::PathInfo::Kind::kFolder, {}};
    });
  }
  Status WriteFile(const Context&, const std::string& id, const std::string& path,
                   const ports::FileContent& file) override {
    return OnContainer("WriteFile", id, [&](World::Container& c) -> Status {
      c.files[path] = file;
      return base::Ok();
    });
  }
  Result<ports::ExecResult> Exec(const Context& ctx, const std::string& id,
                                 const std::vector<std::string>& argv,
                                 const std::string&) override {
    if (argv == std::vector<std::string>{"supervisorctl", "status"}) {
      return Seen<ports::ExecResult>([&]() -> Result<ports::ExecResult> {
        OMS_TRY(Runs(id));
        if (world_.exec_fails) return MakeError(Code::kTransient, "EngineUnreachable", "no answer");
        if (world_.supervisor_silent)
          return ports::ExecResult{4, "unix:///tmp/supervisor.sock no such file\n"};
        const bool old = !IsNew(Here(id)->info);
        return ports::ExecResult{0, "nginx   RUNNING   pid 7, uptime 0:00:10\noms_console   " +
                                        (old ? "RUNNING" : ConsoleOf(id)) + "   pid 8\n" +
                                        "oms_drc_supervisor   RUNNING   pid 9\n"};
      });
    }
    if (argv.at(0) == "supervisorctl") {
      return world_.Write<ports::ExecResult>(
          life_, "Console " + argv.at(1), true, [&]() -> Result<ports::ExecResult> {
            OMS_TRY(Runs(id));
            const std::string wanted = argv.at(1) == "stop" ? "STOPPED" : "RUNNING";
            if (ConsoleOf(id) == wanted)
              return ports::ExecResult{1, "oms_console: ERROR (not running, or already started)\n"};
            ConsoleOf(id) = wanted;
            return ports::ExecResult{0, ""};
          });
    }
    if (argv.at(3) == "oms-upgrade-autostart") {
      return world_.Write<ports::ExecResult>(life_, "Autostart", true,
                                             [&]() -> Result<ports::ExecResult> {
                                               OMS_TRY(Runs(id));
                                               world_.autostart_set.insert(Here(id)->info.name);
                                               return ports::ExecResult{0, ""};
                                             });
    }
    const std::string &what = argv.at(3), marker = argv.at(4);
    if (what == "oms-upgrade-claim") {
      return world_.Write<ports::ExecResult>(
          life_, "Claim", true, [&]() -> Result<ports::ExecResult> {
            OMS_TRY(Runs(id));
            auto [at, won] = world_.host_files.try_emplace(
                world_.HostPath(*Here(id), marker), ports::FileContent{"", 0, 0, 0644, true});
            return ports::ExecResult{won || at->second.regular ? 0 : act::kMarkerTaken, ""};
          });
    }
    size_t mine = 0;
    const auto late = [&world = world_, id, marker] {
      if (World::Container* found = world.Find(id); found != nullptr && found->info.running)
        (void)world.BeginScriptLocked(found->info.id, marker);
    };
    OMS_ASSIGN(const ports::ExecResult begun,
               world_.Write<ports::ExecResult>(
                   life_, "RunScript", true,
                   [&]() -> Result<ports::ExecResult> {
                     OMS_TRY(Runs(id));
                     if (world_.execs_late) {
                       world_.HappenLater(late);
                       return MakeError(Code::kTransient, "EngineUnreachable", "EOF");
                     }
                     const auto begun = world_.BeginScriptLocked(Here(id)->info.id, marker);
                     if (!begun) return ports::ExecResult{act::kMarkerTaken, ""};
                     mine = *begun;
                     return ports::ExecResult{0, ""};
                   },
                   late));
    if (begun.exit_code != 0) return begun;
    std::unique_lock lock(world_.mutex());
    if (world_.script_held && world_.execs_break && world_.scripts[mine].running)
      return MakeError(Code::kTransient, "EngineUnreachable", "EOF");
    if (world_.script_held) {
      world_.WaitLocked(lock, ctx, life_,
                        [&] { return !world_.script_held || !world_.scripts[mine].running; });
      if (world_.script_held && world_.scripts[mine].running) {
        return MakeError(Code::kCancelled, "the exec's caller has gone");
      }
    }
    if (world_.scripts[mine].running) world_.FinishScriptLocked(world_.scripts[mine]);
    return ports::ExecResult{0, ""};
  }

 private:
  template <typename T>
  Result<T> Seen(const std::function<Result<T>()>& look) {
    return world_.Look<T>(life_, [&]() -> Result<T> {
      OMS_TRY(Reached());
      if (world_.engine_flaky.Fails())
        return MakeError(Code::kTransient, "EngineUnreachable", "the engine does not answer");
      return look();
    });
  }
  Status Reached() const {
    if (world_.engine_down || world_.engines_down.contains(endpoint_))
      return MakeError(Code::kTransient, "EngineUnreachable", "the engine does not answer");
    return base::Ok();
  }
  static Status Dead() {
    return MakeError(Code::kConflict, "EngineConflict",
                     "container is marked for removal and cannot be changed");
  }
  std::string& ConsoleOf(const std::string& id) const {
    return world_.ConsoleOf(Here(id)->info.name);
  }
  // A container of this engine.
  World::Container* Here(const std::string& id) const {
    for (auto& [key, container] : world_.containers) {
      if (container.engine == endpoint_ && (key == id || container.info.name == id))
        return &container;
    }
    return nullptr;
  }
  Status Runs(const std::string& id) const {
    OMS_TRY(Reached());
    auto* found = Here(id);
    if (found == nullptr) return NoContainer(id);
    if (!found->info.running)
      return MakeError(Code::kConflict, "NotRunning", "the container does not run");
    return base::Ok();
  }
  Status OnContainer(const std::string& verb, const std::string& id,
                     const std::function<Status(World::Container&)>& act,
                     const std::function<void()>& late = nullptr) {
    bool oms = false;
    std::string name = id;
    {
      std::lock_guard lock(world_.mutex());
      if (auto* found = Here(id); found != nullptr) {
        oms = World::IsOms(found->info);
        name = found->info.name;
      }
    }
    return Write(
        verb + " " + name, oms,
        [&]() -> Status {
          OMS_TRY(Reached());
          auto* found = Here(id);
          if (found == nullptr) return NoContainer(id);
          return act(*found);
        },
        late);
  }

  const std::string endpoint_;
};

class Archives final : public ports::ImageArchives, private Door {
 public:
  using Door::Door;
  Result<std::optional<std::vector<ports::ArchivedImage>>> Look(
      const Context&, const std::filesystem::path& archive, ports::ByteProgress&) const override {
    using Held = std::optional<std::vector<ports::ArchivedImage>>;
    return world_.Look<Held>(life_, [&]() -> Result<Held> {
      ++world_.archive_looks;
      const auto held = world_.archives.find(archive.string());
      if (held == world_.archives.end())
        return MakeError(Code::kInvalid, "ImageArchive", "no archive " + archive.string());
      return Held(std::vector<ports::ArchivedImage>{
          {{held->second}, {world_.ArchivedIdLocked(archive.string())}}});
    });
  }
};

class Engines final : public ports::EngineProvider {
 public:
  Engines(World& world, Life& life)
      : first_(std::make_shared<Engine>(world, life, kFirstEngine)),
        second_(std::make_shared<Engine>(world, life, kSecondEngine)) {}
  Result<std::shared_ptr<ports::ContainerEngine>> Open(
      const ports::EngineAddress& address) override {
    return std::shared_ptr<ports::ContainerEngine>(address.endpoint == kSecondEngine ? second_
                                                                                     : first_);
  }

 private:
  std::shared_ptr<Engine> first_, second_;
};

}  // namespace oms::fakes
