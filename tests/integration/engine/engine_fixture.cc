#include "tests/integration/engine/engine_fixture.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "reconcilers/drivers/docker/docker_engine.h"
#include "reconcilers/drivers/docker/docker_http.h"

namespace oms::integration {

using Json = nlohmann::json;
namespace fs = std::filesystem;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string ReadText(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

int Shell(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

ports::EngineAddress Address(const std::string& endpoint, const fs::path& tls) {
  if (tls.empty()) return {endpoint, {}, {}, {}};
  return {endpoint, base::Secret(ReadText(tls / "ca.pem")),
          base::Secret(ReadText(tls / "cert.pem")), base::Secret(ReadText(tls / "key.pem"))};
}

void EngineTest::SetUp() {
  const std::string host = Environment("DOCKER_HOST");
  ASSERT_FALSE(host.empty()) << "DOCKER_HOST is not set; eval \"$(hack/devenv.sh env)\" first";
  const std::string tls = Environment("DOCKER_CERT_PATH");
  auto opened = drivers::docker::MakeDockerEngineProvider()->Open(Address(host, tls));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  engine_ = opened.value();

  char name[] = "/tmp/oms-engine-test-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  folder_ = name;
  unique_ = fmt::format("oms-engine-test-{}", folder_.filename().string().substr(16));
  for (auto& c : unique_) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  unique_ += fmt::format("-{}", getpid());

  image_ = unique_ + ":1";
  archive_ = folder_ / "image.tar";
  ASSERT_EQ(Shell(fmt::format("{}/tests/integration/engine/make_image.sh {} {}", OMS_SOURCE_DIR,
                              archive_.string(), image_)),
            0);
  ports::ByteProgress progress;
  const auto loaded = engine_->LoadImage(ctx_, archive_, progress);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const auto image = engine_->InspectImage(ctx_, image_);
  ASSERT_TRUE(image.ok()) << image.error().message;
  image_id_ = image->id;
}

void EngineTest::TearDown() {
  if (engine_ == nullptr) return;
  const base::Context fresh = base::Context(clock_, {}).WithTimeout(std::chrono::seconds(60));
  for (const auto& container : containers_)
    EXPECT_TRUE(engine_->Remove(fresh, container, true).ok());
  if (!image_.empty()) RemoveImage();
  fs::remove_all(folder_);
}

// What the controller never does, so that its port cannot.
base::Result<drivers::docker::HttpResponse> EngineTest::Ask(
    const drivers::docker::HttpRequest& request) {
  const base::Context fresh = base::Context(clock_, {}).WithTimeout(std::chrono::seconds(60));
  OMS_ASSIGN(const auto endpoint,
             drivers::docker::ParseEndpoint(
                 Address(Environment("DOCKER_HOST"), Environment("DOCKER_CERT_PATH"))));
  return drivers::docker::Exchange(fresh, endpoint, request);
}

void EngineTest::RemoveImage() {
  (void)Ask({.method = "DELETE", .target = "/images/" + image_ + "?force=1"});
}

std::string EngineTest::MakeContainer(const std::string& what, const std::string& extra,
                                      bool start) {
  Json body = {{"Image", image_},
               {"Cmd", Json::array({"/bin/sleep", "3600"})},
               {"HostConfig", {{"NetworkMode", "none"}, {"Init", true}}}};
  body.merge_patch(Json::parse(extra));
  const auto made = Ask({.method = "POST",
                         .target = "/containers/create?name=" + Name(what),
                         .content_type = "application/json",
                         .body = body.dump()});
  EXPECT_TRUE(made.ok() && made->status == 201) << (made.ok() ? made->body : made.error().message);
  if (!made.ok() || made->status != 201) return "";
  const std::string id = Json::parse(made->body).at("Id");
  RemoveLater(Name(what));
  if (start) {
    const auto started = engine_->Start(ctx_, id);
    EXPECT_TRUE(started.ok()) << started.error().message;
  }
  return id;
}

bool EngineTest::Await(const std::function<bool()>& what) const {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!what()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace oms::integration
