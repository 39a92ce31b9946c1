// A ContainerEngine whose containers are maps: files, processes, and what an exec does to them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "reconcilers/ports/container_engine.h"

namespace oms::fixtures {

class ScriptedEngine : public ports::ContainerEngine {
 public:
  struct Container {
    ports::ContainerInfo info;
    std::map<std::string, ports::FileContent> files;
    std::vector<ports::ProcessInfo> processes;
    int wait_code = 0;
    std::string log;
    ports::ContainerSpec spec;  // It was made of.
  };
  std::map<std::string, Container> containers;  // By name, which is the id, too.
  std::vector<std::string> calls;               // "Start helper", ...
  std::map<std::string, base::Error> failures;  // By the verb.
  std::function<ports::ExecResult(Container&, const std::vector<std::string>&)> on_exec;
  std::function<void(const std::string& path)> before_read;
  std::function<void()> before_processes;
  std::map<std::string, ports::FileContent> image_files;  // What a new container has.
  std::map<std::string, std::string> links;               // In all of them.

  static base::Error Missing(const std::string& what, const std::string& reason) {
    return base::MakeError(base::Code::kNotFound, reason, what + " is not there");
  }

  base::Result<ports::EngineInfo> Info(const base::Context&) override {
    return ports::EngineInfo{"id", "1", "1.41"};
  }
  base::Result<ports::ContainerInfo> Inspect(const base::Context&, const std::string& id) override {
    if (const auto it = failures.find("Inspect"); it != failures.end()) return it->second;
    const auto it = containers.find(id);
    if (it == containers.end()) return Missing(id, "NoSuchContainer");
    return it->second.info;
  }
  base::Result<std::vector<ports::ContainerInfo>> ListByLabel(const base::Context&,
                                                              const std::string&,
                                                              const std::string&) override {
    return std::vector<ports::ContainerInfo>();
  }
  base::Result<ports::ImageInfo> InspectImage(const base::Context&, const std::string&) override {
    return ports::ImageInfo{};
  }
  base::Status LoadImage(const base::Context&, const std::filesystem::path&,
                         ports::ByteProgress&) override {
    return base::Ok();
  }
  base::Status PullImage(const base::Context&, const std::string&) override { return base::Ok(); }
  base::Status SaveImage(const base::Context&, const std::string&, const std::filesystem::path&,
                         ports::ByteProgress&) override {
    return base::Ok();
  }
  base::Status RemoveImage(const base::Context&, const std::string&) override { return base::Ok(); }
  base::Result<std::string> Create(const base::Context&, const std::string& name,
                                   const ports::ContainerSpec& spec) override {
    OMS_TRY(Called("Create", name));
    if (containers.contains(name)) return base::MakeError(base::Code::kAlreadyExists, "name taken");
    Container container;
    container.info.id = container.info.name = name;
    container.files = image_files;
    container.spec = spec;
    containers[name] = container;
    return name;
  }
  base::Status Start(const base::Context&, const std::string& id) override {
    return Called("Start", id);
  }
  base::Status Stop(const base::Context&, const std::string& id, base::Duration) override {
    return Called("Stop", id);
  }
  base::Status Remove(const base::Context&, const std::string& id, bool) override {
    OMS_TRY(Called("Remove", id));
    containers.erase(id);
    return base::Ok();
  }
  base::Status SetRestartPolicy(const base::Context&, const std::string&, const std::string&,
                                int) override {
    return base::Ok();
  }
  base::Result<int> Wait(const base::Context&, const std::string& id) override {
    OMS_TRY(Called("Wait", id));
    return containers[id].wait_code;
  }
  base::Result<std::string> Logs(const base::Context&, const std::string& id, int) override {
    return containers[id].log;
  }
  base::Result<std::vector<ports::ProcessInfo>> Processes(const base::Context&,
                                                          const std::string& id) override {
    if (before_processes) before_processes();
    if (!containers[id].info.running) return base::MakeError(base::Code::kConflict, "not running");
    return containers[id].processes;
  }
  base::Result<ports::PathInfo> LookAtPath(const base::Context&, const std::string& id,
                                           const std::string& path) override {
    OMS_TRY(Called("LookAtPath", id));
    const Container& container = containers.at(id);
    if (const auto link = links.find(path); link != links.end())
      return ports::PathInfo{ports::PathInfo::Kind::kLink, link->second};
    const auto it = container.files.find(path);
    if (it == container.files.end()) return Missing(path, "NotFound");
    return ports::PathInfo{
        it->second.regular ? ports::PathInfo::Kind::kFile : ports::PathInfo::Kind::kFolder, {}};
  }
  base::Result<ports::FileContent> ReadFile(const base::Context&, const std::string& id,
                                            const std::string& path) override {
    if (before_read) before_read(path);
    OMS_TRY(Called("ReadFile", id));
    const auto container = containers.find(id);
    if (container == containers.end()) return Missing(id, "NoSuchContainer");
    const auto file = container->second.files.find(path);
    if (file == container->second.files.end()) return Missing(path, "NotFound");
    return file->second;
  }
  base::Status WriteFile(const base::Context&, const std::string& id, const std::string& path,
                         const ports::FileContent& file) override {
    OMS_TRY(Called("WriteFile", id));
    containers[id].files[path] = file;
    return base::Ok();
  }
  base::Result<ports::ExecResult> Exec(const base::Context&, const std::string& id,
                                       const std::vector<std::string>& argv,
                                       const std::string&) override {
    OMS_TRY(Called("Exec", id));
    return on_exec(containers[id], argv);
  }

 private:
  base::Status Called(const std::string& verb, const std::string& id) {
    calls.push_back(verb + " " + id);
    if (const auto it = failures.find(verb); it != failures.end()) return it->second;
    return base::Ok();
  }
};

}  // namespace oms::fixtures
