// A kubeconfig whose exec plug-in is a shell script of the test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "controller/base/context.h"
#include "controller/kube/kube_config.h"
#include "tests/fakes/fake_clock.h"

namespace oms::kube {

inline constexpr char kExecV1[] = "client.authentication.k8s.io/v1";

class PluginTest : public testing::Test {
 protected:
  PluginTest() {
    directory_ =
        std::filesystem::temp_directory_path() / ("credentials-" + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
  }
  ~PluginTest() override { std::filesystem::remove_all(directory_); }

  // A plug-in of this script; $D is the test's folder.
  void Plugin(const std::string& script) {
    const auto path = directory_ / "plugin";
    std::ofstream(path) << "#!/bin/sh\nD=" << directory_.string() << "\n" << script;
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    config_.exec = ExecPlugin{kExecV1, path.string(), {"one two", "$HOME"}, {{"EXTRA", "x y"}},
                              true,    "install it"};
  }
  std::string Read(const char* name) const {
    std::ifstream in(directory_ / name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void Write(const char* name, const std::string& text) const {
    std::ofstream(directory_ / name) << text;
  }
  void Remove(const char* name) const { std::filesystem::remove(directory_ / name); }
  // `more`: members of the status after the token, each with a comma before it.
  static std::string Credential(const std::string& token, const std::string& more = "") {
    return "{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\","
           "\"status\":{\"token\":\"" +
           token + "\"" + more + "}}";
  }
  static std::string Answer(const std::string& token, const std::string& more = "") {
    return "echo '" + Credential(token, more) + "'\n";
  }

  std::filesystem::path directory_;
  fakes::FakeClock clock_;  // Its wall time begins at 2026-01-02T03:20:45Z.
  base::Context ctx_{clock_, {}};
  KubeConfig config_;
};

}  // namespace oms::kube
