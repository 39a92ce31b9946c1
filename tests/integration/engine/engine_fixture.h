// A real Docker Engine (DOCKER_HOST), a small image in it, and names that nobody else uses.
#pragma once

#include <gmock/gmock.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "reconcilers/drivers/docker/docker_http.h"
#include "reconcilers/ports/container_engine.h"

namespace oms::integration {

std::string Environment(const char* name);
std::string ReadText(const std::filesystem::path& file);
// Runs a command of the shell; its exit code.
int Shell(const std::string& command);
// TLS material from a folder with ca.pem, cert.pem and key.pem.
ports::EngineAddress Address(const std::string& endpoint, const std::filesystem::path& tls);

class EngineTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::string Name(const std::string& what) const { return unique_ + "-" + what; }
  // Creates (and starts) a container that sleeps; `extra` is merged into the body. Removed at the
  // end.
  std::string MakeContainer(const std::string& what, const std::string& extra = "{}",
                            bool start = true);
  void RemoveLater(const std::string& name) { containers_.push_back(name); }
  void RemoveImage();
  base::Result<drivers::docker::HttpResponse> Ask(const drivers::docker::HttpRequest& request);
  // Until `what` holds, at most 20 s.
  bool Await(const std::function<bool()>& what) const;

  base::SystemClock clock_;
  base::Context ctx_ = base::Context(clock_, {}).WithTimeout(std::chrono::seconds(60));
  std::shared_ptr<ports::ContainerEngine> engine_;
  std::filesystem::path folder_;  // Of this test; the engine's host sees it too.
  std::filesystem::path archive_;
  std::string image_, image_id_;

 private:
  std::string unique_;
  std::vector<std::string> containers_;
};

}  // namespace oms::integration
