// The driver against a real engine.
#include "reconcilers/drivers/docker/docker_engine.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "reconcilers/oms/container_clone.h"
#include "tests/integration/engine/engine_fixture.h"

namespace oms::integration {
namespace {

using base::Code;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

using DockerEngine = EngineTest;

TEST_F(DockerEngine, ALifeOfAContainer) {
  const std::string id = MakeContainer("life", R"({"Labels":{"oms.test":"life"}})", false);
  EXPECT_TRUE(engine_->Create(ctx_, Name("life"), {.image = image_}).Is(Code::kAlreadyExists));
  auto info = engine_->Inspect(ctx_, Name("life"));
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->id, id);
  EXPECT_EQ(info->image_id, image_id_);
  EXPECT_EQ(info->status, "created");
  EXPECT_EQ(info->started_at, "0001-01-01T00:00:00Z");

  ASSERT_TRUE(engine_->Start(ctx_, id).ok());
  EXPECT_TRUE(engine_->Start(ctx_, id).ok()) << "already so";
  ASSERT_TRUE(engine_->SetRestartPolicy(ctx_, id, "on-failure", 3).ok());
  info = engine_->Inspect(ctx_, id);
  EXPECT_TRUE(info->running);
  EXPECT_EQ(info->restart_policy, "on-failure");
  EXPECT_EQ(info->restart_max_retries, 3);
  ASSERT_TRUE(engine_->SetRestartPolicy(ctx_, id, "no", 0).ok());

  EXPECT_TRUE(engine_->Remove(ctx_, id, false).Is(Code::kConflict)) << "it runs";
  ASSERT_TRUE(engine_->Stop(ctx_, id, seconds(5)).ok());
  EXPECT_TRUE(engine_->Stop(ctx_, id, seconds(5)).ok()) << "already so";
  EXPECT_EQ(engine_->Inspect(ctx_, id)->status, "exited");
  EXPECT_EQ(engine_->Wait(ctx_, id).value(), engine_->Inspect(ctx_, id)->exit_code);

  const auto listed = engine_->ListByLabel(ctx_, "oms.test", "life");
  ASSERT_TRUE(listed.ok());
  EXPECT_THAT(*listed, testing::Contains(testing::Field(&ports::ContainerInfo::id, id)));

  ASSERT_TRUE(engine_->Remove(ctx_, id, false).ok());
  EXPECT_TRUE(engine_->Remove(ctx_, id, false).ok()) << "already so";
  EXPECT_TRUE(engine_->Inspect(ctx_, id).Is(Code::kNotFound));
  EXPECT_TRUE(engine_->Start(ctx_, id).Is(Code::kNotFound));
}

TEST_F(DockerEngine, TellsWhoItIs) {
  const auto info = engine_->Info(ctx_);
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_FALSE(info->id.empty());
  EXPECT_THAT(info->api_version, testing::StartsWith("1.4"));
}

TEST_F(DockerEngine, AnExecTellsOutputAndExitCode) {
  const std::string id = MakeContainer("exec");
  const auto result =
      engine_->Exec(ctx_, id, {"/bin/sh", "-c", "pwd; echo err >&2; exit 7"}, "/home/admin");
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->exit_code, 7);
  EXPECT_THAT(result->output, AllOf(HasSubstr("/home/admin\n"), HasSubstr("err\n")));
  const auto large = engine_->Exec(
      ctx_, id, {"/bin/sh", "-c", "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done"},
      "");
  ASSERT_TRUE(large.ok());
  EXPECT_TRUE(large->output.ends_with("line 29999\n"));
  EXPECT_LE(large->output.size(), 64u << 10);
  const auto none = engine_->Exec(ctx_, id, {"/no/such/program"}, "");
  EXPECT_TRUE(!none.ok() || none->exit_code == 126 || none->exit_code == 127);
}

TEST_F(DockerEngine, AnExecThatOutlivesItsDeadlineGoesOnInTheContainer) {
  const std::string id = MakeContainer("deadline");
  const auto sleeps =
      testing::Contains(testing::Field(&ports::ProcessInfo::command, "/bin/sleep 777"));
  // On a busy machine the deadline may come before the command.
  for (milliseconds limit(500); limit < seconds(20); limit *= 2) {
    const auto result = engine_->Exec(ctx_.WithTimeout(limit), id, {"/bin/sleep", "777"}, "");
    ASSERT_TRUE(result.Is(Code::kTimeout));
    const auto processes = engine_->Processes(ctx_, id);
    ASSERT_TRUE(processes.ok()) << processes.error().message;
    if (testing::Value(*processes, sleeps)) return;
  }
  FAIL() << "the command does not go on";
}

TEST_F(DockerEngine, WhatDoesNotRunHasNoProcessesAndTakesNoCommand) {
  const std::string id = MakeContainer("still", "{}", false);
  EXPECT_TRUE(engine_->Exec(ctx_, id, {"/bin/ls"}, "").Is(Code::kConflict));
  EXPECT_FALSE(engine_->Processes(ctx_, id).ok());
  ASSERT_TRUE(engine_->Start(ctx_, id).ok());
  ASSERT_TRUE(engine_->Stop(ctx_, id, seconds(1)).ok());
  EXPECT_TRUE(engine_->Processes(ctx_, id).Is(Code::kConflict));
}

TEST_F(DockerEngine, LogsAreReadWithAndWithoutATerminal) {
  for (const std::string tty : {"true", "false"}) {
    const std::string id = MakeContainer(
        "log-" + tty,
        R"({"Cmd":["/bin/sh","-c","echo one; echo two; echo three"],"Tty":)" + tty + "}");
    EXPECT_EQ(engine_->Wait(ctx_, id).value(), 0);
    ASSERT_TRUE(Await([&] {
      return engine_->Logs(ctx_, id, 10).value_or("").find("three") != std::string::npos;
    }));
    const std::string log = engine_->Logs(ctx_, id, 2).value();
    EXPECT_THAT(log, AllOf(HasSubstr("three"), testing::Not(HasSubstr("one"))));
  }
}

TEST_F(DockerEngine, FilesAreReadInEveryStateOfAContainerAndBelowItsMounts) {
  const fs::path mounted = folder_ / "mounted";
  fs::create_directories(mounted / "folder");
  const std::string long_name = "a-name-of-more-than-a-hundred-bytes-" + std::string(120, 'n');
  std::ofstream(mounted / "plain") << "from the host";
  std::ofstream(mounted / long_name) << "long";
  fs::create_symlink("plain", mounted / "link");
  fs::create_symlink("/nowhere", mounted / "dangling");
  std::ofstream(mounted / "huge").close();
  fs::resize_file(mounted / "huge", (64u << 20) + 1);
  ASSERT_EQ(chown((mounted / "plain").c_str(), 1234, 2345), 0);
  fs::permissions(mounted / "plain", fs::perms(0640));
  const std::string id = MakeContainer(
      "files",
      Json({{"HostConfig", {{"Binds", Json::array({mounted.string() + ":/mnt/data"})}}}}).dump(),
      false);

  const auto look = [&](const std::string& state) {
    const auto plain = engine_->ReadFile(ctx_, id, "/mnt/data/plain");
    ASSERT_TRUE(plain.ok()) << state << ": " << plain.error().message;
    EXPECT_EQ(plain->content, "from the host");
    EXPECT_EQ(plain->uid, 1234);
    EXPECT_EQ(plain->gid, 2345);
    EXPECT_EQ(plain->mode, 0640u);
    EXPECT_EQ(engine_->ReadFile(ctx_, id, "/mnt/data/" + long_name)->content, "long") << state;
    EXPECT_EQ(engine_->ReadFile(ctx_, id, "/mnt/data/link")->content, "from the host") << state;
    EXPECT_FALSE(engine_->ReadFile(ctx_, id, "/mnt/data/folder")->regular) << state;
    EXPECT_TRUE(engine_->ReadFile(ctx_, id, "/mnt/data/none").Is(Code::kNotFound)) << state;
    EXPECT_TRUE(engine_->ReadFile(ctx_, id, "/mnt/data/none/deeper").Is(Code::kNotFound)) << state;
    EXPECT_TRUE(engine_->ReadFile(ctx_, id, "/mnt/data/dangling").Is(Code::kNotFound)) << state;
    EXPECT_TRUE(engine_->ReadFile(ctx_, id, "/mnt/data/huge").Is(Code::kInvalid)) << state;
    EXPECT_THAT(engine_->ReadFile(ctx_, id, "/home/admin/docker_upgrade.sh")->content,
                HasSubstr("upgraded"))
        << state;
  };
  look("created");
  ASSERT_TRUE(engine_->Start(ctx_, id).ok());
  look("running");
  ASSERT_TRUE(engine_->Stop(ctx_, id, seconds(1)).ok());
  look("exited");
  EXPECT_EQ(engine_->ReadFile(ctx_, Name("none"), "/x").error().reason, "NoSuchContainer");
}

TEST_F(DockerEngine, AFileIsPutIntoACreatedContainer) {
  const std::string id = MakeContainer("put", "{}", false);
  ports::FileContent file;
  file.content = std::string("\0binary\xff", 8);
  file.uid = 4'000'000;  // More than seven octal digits.
  file.gid = 7;
  file.mode = 0604;
  const auto put = engine_->WriteFile(ctx_, id, "/content", file);
  ASSERT_TRUE(put.ok()) << put.error().message;
  const auto back = engine_->ReadFile(ctx_, id, "/content");
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->content, file.content);
  EXPECT_EQ(back->uid, file.uid);
  EXPECT_EQ(back->gid, file.gid);
  EXPECT_EQ(back->mode, file.mode);
  EXPECT_TRUE(engine_->WriteFile(ctx_, id, "/no/such/folder/x", file).Is(Code::kNotFound));
}

TEST_F(DockerEngine, AnImageIsSavedAndLoadedAgain) {
  ports::ByteProgress progress;
  const fs::path saved = folder_ / "backup" / "saved.tar";
  const auto status = engine_->SaveImage(ctx_, image_, saved, progress);
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(progress.done, fs::file_size(saved));
  RemoveImage();
  ASSERT_TRUE(engine_->InspectImage(ctx_, image_).Is(Code::kNotFound));

  ASSERT_TRUE(engine_->LoadImage(ctx_, saved, progress).ok());
  const auto image = engine_->InspectImage(ctx_, image_);
  ASSERT_TRUE(image.ok()) << image.error().message;
  EXPECT_EQ(image->id, image_id_);
  EXPECT_EQ(image->labels.at("from.image"), "yes");
  EXPECT_EQ(progress.done, progress.total);
  EXPECT_TRUE(
      engine_->SaveImage(ctx_, "oms-none:1", folder_ / "none.tar", progress).Is(Code::kNotFound));
  EXPECT_FALSE(fs::exists(folder_ / "none.tar"));
}

TEST_F(DockerEngine, ABrokenArchiveIsRefusedByTheEngine) {
  std::ofstream(folder_ / "broken.tar") << std::string(100'000, 'x');
  ports::ByteProgress progress;
  const auto broken = engine_->LoadImage(ctx_, folder_ / "broken.tar", progress);
  ASSERT_FALSE(broken.ok());
  EXPECT_FALSE(broken.error().message.empty());
  fs::copy_file(archive_, folder_ / "cut.tar");
  fs::resize_file(folder_ / "cut.tar", fs::file_size(archive_) / 2);
  EXPECT_FALSE(engine_->LoadImage(ctx_, folder_ / "cut.tar", progress).ok());
}

TEST_F(DockerEngine, TheCloneOfTheGuidesContainerIsTakenByTheEngine) {
  for (const char* name : {"logs", "store", "run"}) fs::create_directories(folder_ / name);
  std::ofstream(folder_ / "config.yaml") << "old";
  std::ofstream(folder_ / "config-2.yaml") << "new";
  // docker run -dit --net host --privileged=true --pids-limit -1 --ulimit nproc=65535:65535 ...
  const std::string f = folder_.string();
  const Json guide = {
      {"Tty", true},
      {"OpenStdin", true},
      {"Cmd", nullptr},
      {"Env", Json::array({"OMS_HOST_IP=127.0.0.1"})},
      {"HostConfig",
       {{"NetworkMode", "host"},
        {"Init", nullptr},
        {"Privileged", true},
        {"PidsLimit", -1},
        {"Ulimits", Json::array({{{"Name", "nproc"}, {"Soft", 65535}, {"Hard", 65535}}})},
        {"RestartPolicy", {{"Name", "always"}}},
        {"Binds",
         Json::array({f + "/config.yaml:/home/admin/conf/config.yaml", f + "/logs:/home/admin/logs",
                      f + "/store:/home/ds/store", f + "/run:/home/ds/run"})}}}};
  const std::string old_id = MakeContainer("old", guide.dump());
  const auto old = engine_->Inspect(ctx_, old_id);
  ASSERT_TRUE(old.ok());
  EXPECT_TRUE(product::CheckGuideFlags(*old).ok());
  ASSERT_TRUE(engine_->SetRestartPolicy(ctx_, old_id, "no", 0).ok());

  const auto fresh =
      engine_->Create(ctx_, Name("new"),
                      product::CloneForUpgrade({old->inspect,
                                                engine_->InspectImage(ctx_, image_)->inspect,
                                                image_id_,
                                                {{"oms.oceanbase.com/role", "oms"}},
                                                f + "/config-2.yaml"}));
  ASSERT_TRUE(fresh.ok()) << fresh.error().message;
  RemoveLater(Name("new"));
  ASSERT_TRUE(engine_->Start(ctx_, *fresh).ok());
  const auto info = engine_->Inspect(ctx_, *fresh);
  ASSERT_TRUE(info->running);
  EXPECT_TRUE(product::CheckGuideFlags(*info).ok());
  EXPECT_EQ(info->EnvValue("IS_UPGRADE"), "true");
  EXPECT_EQ(info->EnvValue("OMS_HOST_IP"), "127.0.0.1");
  EXPECT_EQ(info->EnvValue("FROM_IMAGE"), "yes");
  EXPECT_EQ(info->restart_policy, "no");
  EXPECT_EQ(info->FindMount("/home/ds/run")->source, f + "/run");
  EXPECT_EQ(engine_->ReadFile(ctx_, *fresh, "/home/admin/conf/config.yaml")->content, "new");
  EXPECT_EQ(engine_->ReadFile(ctx_, old_id, "/home/admin/conf/config.yaml")->content, "old");

  // And the old one, made again after somebody removed it.
  ASSERT_TRUE(engine_->Remove(ctx_, old_id, true).ok());
  const auto recreated =
      engine_->Create(ctx_, Name("old"), product::Recreate(old->inspect, old->image_id));
  ASSERT_TRUE(recreated.ok()) << recreated.error().message;
  ASSERT_TRUE(engine_->Start(ctx_, *recreated).ok());
  const auto same = engine_->Inspect(ctx_, *recreated);
  EXPECT_TRUE(product::CheckGuideFlags(*same).ok());
  EXPECT_EQ(same->env, old->env);
  EXPECT_EQ(same->image_id, old->image_id);
}

// ---- TLS ----

// Passes bytes from 127.0.0.2 on to the engine: a right certificate at a wrong address.
class Forwarder {
 public:
  explicit Forwarder(uint16_t to) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = At("127.0.0.2", 0);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(listener_, 4), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, to] {
      const int in = accept(listener_, nullptr, nullptr);
      if (in < 0) return;
      const int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in engine = At("127.0.0.1", to);
      if (connect(out, reinterpret_cast<sockaddr*>(&engine), sizeof engine) == 0) Pump(in, out);
      close(out);
      close(in);
    });
  }
  ~Forwarder() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  uint16_t port() const { return port_; }

 private:
  static sockaddr_in At(const char* ip, uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, ip, &address.sin_addr);
    return address;
  }
  static void Pump(int a, int b) {
    pollfd fds[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
    char buffer[16384];
    while (poll(fds, 2, 10'000) > 0) {
      for (int i = 0; i < 2; ++i) {
        if (fds[i].revents == 0) continue;
        const ssize_t n = recv(fds[i].fd, buffer, sizeof buffer, 0);
        if (n <= 0 || send(fds[1 - i].fd, buffer, static_cast<size_t>(n), MSG_NOSIGNAL) != n)
          return;
      }
    }
  }

  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

class TlsEngine : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    tcp_ = Environment("OMS_ENGINE_TCP");
    tls_ = Environment("OMS_ENGINE_TLS_DIR");
    ASSERT_FALSE(tcp_.empty() || tls_.empty()) << "OMS_ENGINE_TCP and OMS_ENGINE_TLS_DIR are not "
                                                  "set; eval \"$(hack/devenv.sh env)\" first";
  }
  // A CA of somebody else's, and a certificate that it signs itself.
  fs::path Stranger() {
    const fs::path folder = folder_ / "stranger";
    fs::create_directories(folder);
    EXPECT_EQ(Shell(fmt::format(
                  "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                  "-subj /CN=stranger -keyout {0}/key.pem -out {0}/cert.pem 2>/dev/null && cp "
                  "{0}/cert.pem {0}/ca.pem",
                  folder.string())),
              0);
    return folder;
  }
  base::Result<ports::EngineInfo> Ask(const ports::EngineAddress& address) {
    OMS_ASSIGN(auto engine, drivers::docker::MakeDockerEngineProvider()->Open(address));
    return engine->Info(ctx_);
  }

  std::string tcp_;
  fs::path tls_;
};

TEST_F(TlsEngine, TheSameEngineAnswersOverTcpWithMutualTls) {
  const auto info = Ask(Address(tcp_, tls_));
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->id, engine_->Info(ctx_)->id);
}

TEST_F(TlsEngine, TransfersAndStreamsWorkOverTls) {
  auto remote = drivers::docker::MakeDockerEngineProvider()->Open(Address(tcp_, tls_)).value();
  ports::ByteProgress progress;
  ASSERT_TRUE(remote->LoadImage(ctx_, archive_, progress).ok());
  ASSERT_TRUE(remote->SaveImage(ctx_, image_, folder_ / "tls.tar", progress).ok());
  const std::string id = MakeContainer("tls");
  EXPECT_EQ(remote->Exec(ctx_, id, {"/bin/sh", "-c", "echo hello"}, "")->output, "hello\n");
  EXPECT_TRUE(remote->Exec(ctx_.WithTimeout(milliseconds(300)), id, {"/bin/sleep", "60"}, "")
                  .Is(Code::kTimeout));
  std::stop_source stop;
  std::jthread stopper([&] {
    EXPECT_TRUE(Await([&] {
      const auto processes = engine_->Processes(ctx_, id);
      return processes.ok() &&
             std::any_of(processes->begin(), processes->end(),
                         [](const auto& process) { return process.command == "/bin/sleep 61"; });
    }));
    stop.request_stop();
  });
  EXPECT_TRUE(remote->Exec(ctx_.WithStop(stop.get_token()), id, {"/bin/sleep", "61"}, "")
                  .Is(Code::kCancelled));
}

TEST_F(TlsEngine, AnEngineThatAnotherCaSignedIsRefused) {
  auto address = Address(tcp_, tls_);
  address.tls_ca = Address(tcp_, Stranger()).tls_ca;
  const auto info = Ask(address);
  ASSERT_TRUE(info.Is(Code::kDenied)) << (info.ok() ? "it was trusted" : info.error().message);
  EXPECT_EQ(info.error().reason, "EngineTls");
}

TEST_F(TlsEngine, AnEngineWhoseCertificateNamesAnotherHostIsRefused) {
  const Forwarder forwarder(static_cast<uint16_t>(std::stoi(tcp_.substr(tcp_.rfind(':') + 1))));
  const auto info = Ask(Address(fmt::format("tcp://127.0.0.2:{}", forwarder.port()), tls_));
  ASSERT_TRUE(info.Is(Code::kDenied)) << (info.ok() ? "it was trusted" : info.error().message);
  EXPECT_EQ(info.error().reason, "EngineTls");
}

TEST_F(TlsEngine, AClientThatTheEngineDoesNotKnowIsToldSo) {
  auto address = Address(tcp_, Stranger());
  address.tls_ca = Address(tcp_, tls_).tls_ca;
  const auto info = Ask(address);
  ASSERT_TRUE(info.Is(Code::kDenied)) << (info.ok() ? "it was let in" : info.error().message);
  EXPECT_EQ(info.error().reason, "EngineTls");
}

}  // namespace
}  // namespace oms::integration
