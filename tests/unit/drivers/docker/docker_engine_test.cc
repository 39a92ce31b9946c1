#include "reconcilers/drivers/docker/docker_engine.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "reconcilers/drivers/docker/tar.h"
#include "tests/fakes/fake_docker.h"

namespace oms::drivers::docker {
namespace {

using base::Code;
using fakes::FakeDocker;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Reply = FakeDocker::Reply;
using Request = FakeDocker::Request;

std::string Frame(char stream, const std::string& text) {
  std::string head(8, '\0');
  head[0] = stream;
  for (size_t i = 0; i < 4; ++i)
    head[4 + i] = static_cast<char>(text.size() >> (8 * (3 - i)) & 0xff);
  return head + text;
}

class DockerEngineTest : public testing::Test {
 protected:
  DockerEngineTest() {
    char name[] = "/tmp/docker-engine-test-XXXXXX";
    folder_ = mkdtemp(name);
    auto opened = MakeDockerEngineProvider()->Open({docker_.endpoint(), {}, {}, {}});
    engine_ = opened.value();
  }
  ~DockerEngineTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path MakeFile(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name) << content;
    return folder_ / name;
  }
  std::vector<std::string> FilesInFolder() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  FakeDocker docker_;
  std::filesystem::path folder_;
  std::shared_ptr<ports::ContainerEngine> engine_;
  base::SystemClock clock_;
  base::Context ctx_ = base::Context(clock_, {}).WithTimeout(seconds(20));
};

TEST_F(DockerEngineTest, SpeaksTheHighestVersionThatBothSidesKnow) {
  docker_.OnJson("GET", "/version", 200, R"({"ApiVersion":"1.56","MinAPIVersion":"1.44"})");
  docker_.OnJson("GET", "/info", 200, R"({"ID":"ABC:DEF","ServerVersion":"29.0"})");

  const auto info = engine_->Info(ctx_);

  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->id, "ABC:DEF");
  EXPECT_EQ(info->api_version, "1.47");
  EXPECT_EQ(docker_.requests().at(0).version, "1.47");
}

TEST(NegotiateApiVersion, NamesBothRangesWhenTheyDoNotMeet) {
  EXPECT_EQ(NegotiateApiVersion("1.12", "1.41").value(), "1.41");
  EXPECT_EQ(NegotiateApiVersion("", "1.40").value(), "1.40");
  const auto old = NegotiateApiVersion("1.12", "1.39");
  const auto future = NegotiateApiVersion("1.52", "1.60");
  ASSERT_TRUE(old.Is(Code::kInvalid) && future.Is(Code::kInvalid));
  EXPECT_THAT(old.error().message, AllOf(HasSubstr("1.12 to 1.39"), HasSubstr("1.40 to 1.47")));
  EXPECT_THAT(future.error().message, AllOf(HasSubstr("1.52 to 1.60"), HasSubstr("1.40 to 1.47")));
  EXPECT_TRUE(NegotiateApiVersion("", "podman").Is(Code::kInvalid));
}

TEST_F(DockerEngineTest, EachCallClosesItsConnection) {
  docker_.OnJson("POST", "/containers/oms_430/start", 204, "");
  const auto st = engine_->Start(ctx_, "oms_430");
  ASSERT_TRUE(st.ok()) << st.error().message;
  EXPECT_EQ(docker_.requests().at(0).headers.at("connection"), "close");
}

TEST_F(DockerEngineTest, AlreadySoIsSuccess) {
  docker_.OnJson("POST", "/containers/a/start", 304, "");
  docker_.OnJson("POST", "/containers/a/stop", 304, "");
  docker_.OnJson("DELETE", "/containers/a", 404, R"({"message":"No such container: a"})");
  EXPECT_TRUE(engine_->Start(ctx_, "a").ok());
  EXPECT_TRUE(engine_->Stop(ctx_, "a", seconds(1)).ok());
  EXPECT_TRUE(engine_->Remove(ctx_, "a", false).ok());
}

TEST_F(DockerEngineTest, AStatusBecomesACodeAndTheEnginesOwnWordsStay) {
  const std::vector<std::pair<int, Code>> table = {{400, Code::kInvalid},  {401, Code::kDenied},
                                                   {403, Code::kDenied},   {404, Code::kNotFound},
                                                   {409, Code::kConflict}, {500, Code::kTransient}};
  for (const auto& [status, code] : table) {
    docker_.OnJson("POST", "/containers/a/start", status, R"({"message":"it said why"})");
    const auto started = engine_->Start(ctx_, "a");
    ASSERT_TRUE(started.Is(code)) << status;
    EXPECT_THAT(started.error().message, HasSubstr("it said why"));
  }
}

TEST_F(DockerEngineTest, ATakenNameIsAlreadyExists) {
  docker_.OnJson("POST", "/containers/create", 409,
                 R"({"message":"Conflict. The name is in use"})");
  EXPECT_TRUE(engine_->Create(ctx_, "oms_431", {.image = "sha256:oms"}).Is(Code::kAlreadyExists));
  EXPECT_THAT(docker_.requests().at(0).target, HasSubstr("name=oms_431"));
}

TEST_F(DockerEngineTest, ABodyInChunksIsPutTogetherHoweverItIsSplit) {
  docker_.On("GET", "/containers/oms_430/json", [](const Request&, Reply& reply) {
    reply.Head(200, "Transfer-Encoding: chunked\r\n");
    const std::string text =
        R"({"Id":"0123456789abcdef","Name":"/oms_430","State":{"Running":true,"Status":"running"},)"
        R"("HostConfig":{"PidsLimit":null,"Ulimits":[{"Name":"nproc","Soft":65535,"Hard":65536}]},)"
        R"("Config":{"Env":["A=b"]},"Mounts":[{"Type":"bind","Source":"/s","Destination":"/d","RW":false}]})";
    for (size_t i = 0; i < text.size(); i += 7) {
      const std::string chunk =
          fmt::format("{:x}\r\n{}\r\n", text.substr(i, 7).size(), text.substr(i, 7));
      for (const char c : chunk) reply.Send({&c, 1});
    }
    reply.Chunk("");
  });
  const auto info = engine_->Inspect(ctx_, "oms_430");
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_TRUE(info->running);
  EXPECT_EQ(info->pids_limit, 0);
  EXPECT_EQ(info->nproc_soft, 65535);
  EXPECT_EQ(info->nproc_hard, 65536);
  EXPECT_EQ(info->EnvValue("A"), "b");
  ASSERT_NE(info->FindMount("/d"), nullptr);
  EXPECT_FALSE(info->FindMount("/d")->writable);
}

TEST_F(DockerEngineTest, AContainerThatOnlySharesTheBeginningOfItsIdIsNotMeant) {
  docker_.OnJson("GET", "/containers/cafe/json", 200,
                 R"({"Id":"cafe456789abcdef","Name":"/other"})");
  EXPECT_TRUE(engine_->Inspect(ctx_, "cafe").Is(Code::kNotFound));
}

TEST_F(DockerEngineTest, AnInspectDocumentWithoutMeasureIsRefused) {
  docker_.OnJson(
      "GET", "/containers/big/json", 200,
      R"({"Id": "0123456789abcdef", "Name": "/big", "X": ")" + std::string(5u << 20, 'x') + "\"}");
  const auto info = engine_->Inspect(ctx_, "big");
  ASSERT_TRUE(info.Is(Code::kInvalid));
  EXPECT_EQ(info.error().reason, "EngineAnswerTooLong");
  EXPECT_THAT(info.error().message, AllOf(HasSubstr("inspect container big"), HasSubstr("4 MiB")));
}

TEST_F(DockerEngineTest, MoreContainersOfOneLabelThanAnUpgradeCanLeaveAreNotInspected) {
  std::string list;
  for (int i = 0; i < 33; ++i) list += (i ? "," : "") + std::string(R"({"Id":"a"})");
  docker_.OnJson("GET", "/containers/json", 200, "[" + list + "]");
  const auto found = engine_->ListByLabel(ctx_, "owner", "ns.oms");
  ASSERT_TRUE(found.Is(Code::kInvalid));
  EXPECT_EQ(found.error().reason, "EngineAnswerTooLong");
  EXPECT_THAT(found.error().message,
              AllOf(HasSubstr("33 containers"), HasSubstr("owner=ns.oms"), HasSubstr("32")));
  EXPECT_EQ(docker_.requests().size(), 1u);
}

TEST_F(DockerEngineTest, AnAnswerThatBreaksOffIsNoAnswer) {
  docker_.On("GET", "/info", [](const Request&, Reply& reply) {
    reply.Head(200, "Content-Length: 1000\r\n");
    reply.Send(R"({"ID":"ABC"})");
  });
  const auto info = engine_->Info(ctx_);
  ASSERT_TRUE(info.Is(Code::kTransient));
  EXPECT_EQ(info.error().reason, "EngineUnreachable");
}

TEST_F(DockerEngineTest, AnEngineThatIsStuckEndsAtTheDeadline) {
  docker_.On("POST", "/containers/a/start",
             [](const Request&, Reply& reply) { reply.WaitForClient(); });
  EXPECT_TRUE(engine_->Start(ctx_.WithTimeout(milliseconds(200)), "a").Is(Code::kTimeout));
}

TEST_F(DockerEngineTest, AStopEndsACallThatWaits) {
  std::stop_source stop;
  docker_.On("POST", "/containers/a/wait", [&](const Request&, Reply& reply) {
    reply.Head(200, "Transfer-Encoding: chunked\r\n");
    stop.request_stop();
    reply.WaitForClient();
  });
  EXPECT_TRUE(engine_->Wait(ctx_.WithStop(stop.get_token()), "a").Is(Code::kCancelled));
}

TEST_F(DockerEngineTest, WithoutTheRightToActNothingIsSent) {
  docker_.OnJson("POST", "/containers/a/start", 204, "");
  EXPECT_TRUE(engine_->Start(ctx_.WithPermission([] { return false; }), "a").Is(Code::kFenced));
  EXPECT_THAT(docker_.requests(), IsEmpty());
}

TEST_F(DockerEngineTest, NobodyAtTheSocketIsUnreachableAndSaysWhatToDo) {
  auto engine =
      MakeDockerEngineProvider()->Open({"unix:///nowhere/docker.sock", {}, {}, {}}).value();
  const auto info = engine->Info(ctx_);
  ASSERT_TRUE(info.Is(Code::kTransient));
  EXPECT_EQ(info.error().reason, "EngineUnreachable");
  EXPECT_THAT(info.error().message,
              AllOf(HasSubstr("unix:///nowhere"), HasSubstr("check that the daemon runs")));
}

TEST_F(DockerEngineTest, AnEndpointThatCannotBeUsedIsRefused) {
  auto provider = MakeDockerEngineProvider();
  for (const std::string endpoint :
       {"", "docker.sock", "unix://relative", "tcp://host", "tcp://:2376", "tcp://host:port",
        "http://host:2375", "ssh://host"}) {
    EXPECT_TRUE(provider->Open({endpoint, {}, {}, {}}).Is(Code::kInvalid)) << endpoint;
  }
  const auto open = provider->Open({"tcp://host:2376", {}, {}, {}});
  ASSERT_TRUE(open.Is(Code::kInvalid));
  EXPECT_THAT(open.error().message, HasSubstr("ca.pem"));
}

// ---- Images ----

TEST_F(DockerEngineTest, AnArchiveIsSentWholeWithItsLengthAndItsBytesCounted) {
  const std::string content(3u << 20, 'x');
  const auto archive = MakeFile("oms.tar", content);
  docker_.OnJson("POST", "/images/load", 200, "{\"stream\":\"Loaded image: oms:4.3.1\\n\"}\r\n");
  ports::ByteProgress progress;

  ASSERT_TRUE(engine_->LoadImage(ctx_, archive, progress).ok());

  EXPECT_EQ(docker_.requests().at(0).body, content);
  EXPECT_EQ(progress.done, content.size());
  EXPECT_EQ(progress.total, content.size());
}

TEST_F(DockerEngineTest, AnErrorInsideALoadsAnswerIsAnError) {
  const auto archive = MakeFile("oms.tar", "not a tar");
  std::string words;
  docker_.On("POST", "/images/load", [&](const Request&, Reply& reply) {
    reply.Head(200, "Transfer-Encoding: chunked\r\n");
    reply.Chunk("{\"stream\":\"Loading\"}\r\n{\"errorDe");
    reply.Chunk("tail\":{\"message\":\"" + words + "\"},\"error\":\"it failed\"}\r\n");
    reply.Chunk("");
  });
  ports::ByteProgress progress;
  words = "invalid tar header";
  const auto wrong = engine_->LoadImage(ctx_, archive, progress);
  ASSERT_TRUE(wrong.Is(Code::kInvalid));
  EXPECT_EQ(wrong.error().reason, "ImageLoadFailed");
  EXPECT_THAT(wrong.error().message, HasSubstr(words));
  words = "write /layer.tar: no space left on device";
  const auto full = engine_->LoadImage(ctx_, archive, progress);
  ASSERT_TRUE(full.Is(Code::kTransient)) << "a person makes room, and it goes on";
  EXPECT_EQ(full.error().reason, "ImageLoadFailed");
  EXPECT_THAT(full.error().message, HasSubstr(words));
}

TEST_F(DockerEngineTest, APullThatBreaksInTheMiddleIsTriedAgain) {
  docker_.On("POST", "/images/create", [](const Request&, Reply& reply) {
    reply.Head(200, "Transfer-Encoding: chunked\r\n");
    reply.Chunk("{\"status\":\"Downloading\"}\r\n");
    reply.Chunk("{\"errorDetail\":{\"message\":\"unexpected EOF\"},\"error\":\"EOF\"}\r\n");
    reply.Chunk("");
  });
  const auto pulled = engine_->PullImage(ctx_, "registry:5000/oms:4.3.1");
  ASSERT_TRUE(pulled.Is(Code::kTransient));
  EXPECT_EQ(pulled.error().reason, "ImagePullFailed");
  EXPECT_THAT(pulled.error().message, HasSubstr("unexpected EOF"));
}

TEST_F(DockerEngineTest, AnEngineThatRefusesBeforeItHasReadTheArchiveIsHeard) {
  const auto archive = MakeFile("oms.tar", std::string(8u << 20, 'x'));
  docker_.On(
      "POST", "/images/load",
      [](const Request&, Reply& reply) { reply.Json(403, R"({"message":"the plug-in says no"})"); },
      false);
  ports::ByteProgress progress;
  const auto loaded = engine_->LoadImage(ctx_, archive, progress);
  // Where the reset overtakes the answer there is none to be heard; then it is tried again.
  ASSERT_TRUE(loaded.Is(Code::kDenied) || loaded.Is(Code::kTransient)) << loaded.error().message;
}

TEST_F(DockerEngineTest, AnArchiveThatIsNotThereIsInvalid) {
  ports::ByteProgress progress;
  EXPECT_TRUE(engine_->LoadImage(ctx_, folder_ / "none.tar", progress).Is(Code::kInvalid));
  EXPECT_TRUE(engine_->LoadImage(ctx_, MakeFile("empty.tar", ""), progress).Is(Code::kInvalid));
  EXPECT_THAT(docker_.requests(), IsEmpty());
}

TEST_F(DockerEngineTest, ASavedImageIsRenamedOnlyWhenItIsComplete) {
  docker_.OnJson("GET", "/images/oms:4.3.0/json", 200, R"({"Id":"sha256:1","Size":10})");
  const std::string archive = MakeTar({.name = "manifest.json", .content = "[]"}).value();
  docker_.On("GET", "/images/get", [&](const Request&, Reply& reply) {
    reply.Head(200, "Transfer-Encoding: chunked\r\n");
    reply.Chunk(archive);
    reply.Chunk("");
  });
  MakeFile(".image.tar.0123456789abcdef0123456789abcdef.tmp", "left by an attempt that died");
  ports::ByteProgress progress;

  ASSERT_TRUE(engine_->SaveImage(ctx_, "oms:4.3.0", folder_ / "image.tar", progress).ok());

  EXPECT_THAT(FilesInFolder(), ElementsAre("image.tar"));
  EXPECT_EQ(std::filesystem::file_size(folder_ / "image.tar"), archive.size());
  EXPECT_EQ(progress.done, archive.size());
}

TEST_F(DockerEngineTest, AnErrorAtTheEndOfASavedImageLeavesNoFile) {
  docker_.OnJson("GET", "/images/oms:4.3.0/json", 200, R"({"Id":"sha256:1","Size":10})");
  docker_.On("GET", "/images/get", [](const Request&, Reply& reply) {
    reply.Head(200, "Transfer-Encoding: chunked\r\n");
    reply.Chunk(std::string(4096, 'x'));
    reply.Chunk("{\"errorDetail\":{\"message\":\"layer is gone\"}}");
    reply.Chunk("");
  });
  ports::ByteProgress progress;
  EXPECT_TRUE(
      engine_->SaveImage(ctx_, "oms:4.3.0", folder_ / "image.tar", progress).Is(Code::kTransient));
  EXPECT_THAT(FilesInFolder(), IsEmpty());
}

TEST_F(DockerEngineTest, APullNamesOneTag) {
  docker_.OnJson("POST", "/images/create", 200, "{\"status\":\"done\"}\r\n");
  ASSERT_TRUE(engine_->PullImage(ctx_, "registry:5000/oms").ok());
  ASSERT_TRUE(engine_->PullImage(ctx_, "registry:5000/oms:4.3.1").ok());
  EXPECT_THAT(docker_.requests().at(0).target,
              HasSubstr("fromImage=registry%3A5000%2Foms&tag=latest"));
  EXPECT_THAT(docker_.requests().at(1).target,
              HasSubstr("fromImage=registry%3A5000%2Foms&tag=4.3.1"));
}

// ---- Exec, logs, processes ----

class ExecTest : public DockerEngineTest {
 protected:
  ExecTest() {
    docker_.OnJson("POST", "/containers/a/exec", 201, R"({"Id":"e1"})");
    docker_.OnJson("GET", "/exec/e1/json", 200, R"({"Running":false,"ExitCode":7})");
  }
};

TEST_F(ExecTest, FramesAreTakenApartHoweverTheyAreSplitOverPackets) {
  docker_.On("POST", "/exec/e1/start", [](const Request&, Reply& reply) {
    reply.Head(200, "Content-Type: application/vnd.docker.raw-stream\r\n");
    const std::string stream =
        Frame(1, "out\n") + Frame(2, "") + Frame(2, "err\n") + Frame(1, "end");
    for (const char c : stream) reply.Send({&c, 1});
  });
  const auto result = engine_->Exec(ctx_, "a", {"sh", "-c", "x; y"}, "/root");
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->exit_code, 7);
  EXPECT_EQ(result->output, "out\nerr\nend");
  EXPECT_THAT(docker_.requests().at(0).body, AllOf(HasSubstr(R"("Cmd":["sh","-c","x; y"])"),
                                                   HasSubstr(R"("WorkingDir":"/root")")));
}

TEST_F(ExecTest, OnlyTheLastLinesOfALongOutputAreKept) {
  docker_.On("POST", "/exec/e1/start", [](const Request&, Reply& reply) {
    reply.Head(200);
    for (int i = 0; i < 20'000; ++i) reply.Send(Frame(1, fmt::format("line {} \xff\n", i)));
  });
  const auto result = engine_->Exec(ctx_, "a", {"x"}, "");
  ASSERT_TRUE(result.ok());
  EXPECT_LE(result->output.size(), 64u << 10);
  EXPECT_TRUE(result->output.starts_with("line "));
  EXPECT_TRUE(result->output.ends_with("line 19999 ?\n"));
}

TEST_F(ExecTest, TheExitCodeIsWaitedFor) {
  docker_.On("POST", "/exec/e1/start", [](const Request&, Reply& reply) { reply.Head(200); });
  std::atomic<int> asked{0};
  docker_.On("GET", "/exec/e1/json", [&](const Request&, Reply& reply) {
    reply.Json(200, ++asked < 3 ? R"({"Running":true,"ExitCode":null})"
                                : R"({"Running":false,"ExitCode":0})");
  });
  const auto result = engine_->Exec(ctx_, "a", {"x"}, "");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 0);
  EXPECT_EQ(asked, 3);
}

TEST_F(ExecTest, ADeadlineSaysThatTheCommandGoesOn) {
  std::atomic<bool> started{false};
  docker_.On("POST", "/exec/e1/start", [&](const Request&, Reply& reply) {
    started = true;
    reply.Head(200);
    reply.Send(Frame(1, "working"));
    reply.WaitForClient();
  });
  // On a busy machine the deadline may come before the command.
  for (milliseconds limit(300); !started; limit *= 2) {
    const auto result = engine_->Exec(ctx_.WithTimeout(limit), "a", {"x"}, "");
    ASSERT_TRUE(result.Is(Code::kTimeout));
    EXPECT_TRUE(!started || result.error().message.find("still running") != std::string::npos)
        << result.error().message;
  }
}

TEST_F(ExecTest, AStreamWithoutFramesIsNotTakenForOutput) {
  docker_.On("POST", "/exec/e1/start", [](const Request&, Reply& reply) {
    reply.Head(200);
    reply.Send("plain text, no frames");
  });
  EXPECT_FALSE(engine_->Exec(ctx_, "a", {"x"}, "").ok());
}

TEST_F(DockerEngineTest, TheLogOfAContainerWithATerminalIsPlain) {
  docker_.OnJson("GET", "/containers/a/json", 200,
                 R"({"Id":"1","Name":"/a","Config":{"Tty":true}})");
  docker_.On("GET", "/containers/a/logs", [](const Request&, Reply& reply) {
    reply.Head(200);
    reply.Send("OMS service start successfully\r\n");
  });
  EXPECT_EQ(engine_->Logs(ctx_, "a", 10).value(), "OMS service start successfully\r\n");
  EXPECT_THAT(docker_.requests().at(1).target, HasSubstr("tail=10"));
}

TEST_F(DockerEngineTest, ProcessesComeWithTheirArguments) {
  docker_.OnJson(
      "GET", "/containers/a/top", 200,
      R"({"Titles":["PID","COMMAND"],"Processes":[["17","/bin/sh -c x"],["18","sleep 1"]]})");
  const auto processes = engine_->Processes(ctx_, "a");
  ASSERT_TRUE(processes.ok());
  ASSERT_EQ(processes->size(), 2u);
  EXPECT_EQ(processes->at(0).pid, "17");
  EXPECT_EQ(processes->at(0).command, "/bin/sh -c x");
  EXPECT_THAT(docker_.requests().at(0).target, HasSubstr("ps_args=-eo%20pid%2Cargs"));
}

// ---- Files ----

// {"name":"logs","size":4096,"mode":2147484141}
constexpr char kFolderStat[] = "eyJuYW1lIjoibG9ncyIsInNpemUiOjQwOTYsIm1vZGUiOjIxNDc0ODQxNDF9";
// {"name":"link","size":5,"mode":134218239,"linkTarget":"/real"}
constexpr char kLinkStat[] =
    "eyJuYW1lIjoibGluayIsInNpemUiOjUsIm1vZGUiOjEzNDIxODIzOSwibGlua1RhcmdldCI6Ii9yZWFsIn0=";
// {"name":"big","size":99999999999,"mode":420}
constexpr char kBigStat[] = "eyJuYW1lIjoiYmlnIiwic2l6ZSI6OTk5OTk5OTk5OTksIm1vZGUiOjQyMH0=";

FakeDocker::Handler SendsArchive(std::string archive) {
  return [archive](const Request&, Reply& reply) {
    reply.Head(200, "Transfer-Encoding: chunked\r\n");
    reply.Chunk(archive);
    reply.Chunk("");
  };
}
FakeDocker::Handler SendsStat(std::string stat) {
  return [stat](const Request&, Reply& reply) {
    reply.Head(200, "X-Docker-Container-Path-Stat: " + stat + "\r\nTransfer-Encoding: chunked\r\n");
    reply.WaitForClient();  // Endless, as far as the test is concerned.
  };
}

TEST_F(DockerEngineTest, AFileComesWithOwnerAndMode) {
  docker_.On(
      "GET", "/containers/a/archive",
      SendsArchive(
          MakeTar(
              {.name = "config.yaml", .mode = 0640, .uid = 500, .gid = 501, .content = "a: b\n"})
              .value()));
  const auto file = engine_->ReadFile(ctx_, "a", "/home/admin/conf/config.yaml");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->regular);
  EXPECT_EQ(file->content, "a: b\n");
  EXPECT_EQ(file->uid, 500);
  EXPECT_EQ(file->gid, 501);
  EXPECT_EQ(file->mode, 0640u);
}

TEST_F(DockerEngineTest, AFolderIsNotFetched) {
  docker_.On("GET", "/containers/a/archive", SendsStat(kFolderStat));
  const auto file = engine_->ReadFile(ctx_, "a", "/home/admin/logs");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_FALSE(file->regular);
}

TEST_F(DockerEngineTest, ASymbolicLinkIsFollowed) {
  docker_.On("GET", "/containers/a/archive?path=%2Flink", SendsStat(kLinkStat));
  docker_.On("GET", "/containers/a/archive?path=%2Freal",
             SendsArchive(MakeTar({.name = "real", .content = "yes"}).value()));
  const auto file = engine_->ReadFile(ctx_, "a", "/link");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->content, "yes");
}

TEST_F(DockerEngineTest, AFileAbove64MiBIsRefusedBeforeItIsFetched) {
  docker_.On("GET", "/containers/a/archive", SendsStat(kBigStat));
  const auto file = engine_->ReadFile(ctx_, "a", "/big");
  ASSERT_TRUE(file.Is(Code::kInvalid));
  EXPECT_EQ(file.error().reason, "FileTooLarge");
}

TEST_F(DockerEngineTest, AMissingFileAndAMissingContainerAreToldApart) {
  docker_.OnJson("GET", "/containers/a/archive", 404,
                 R"({"message":"Could not find the file /x in container a"})");
  docker_.OnJson("GET", "/containers/b/archive", 404, R"({"message":"No such container: b"})");
  EXPECT_TRUE(engine_->ReadFile(ctx_, "a", "/x").Is(Code::kNotFound));
  EXPECT_NE(engine_->ReadFile(ctx_, "a", "/x").error().reason, "NoSuchContainer");
  EXPECT_EQ(engine_->ReadFile(ctx_, "b", "/x").error().reason, "NoSuchContainer");
}

TEST_F(DockerEngineTest, AFileIsPutAsATarIntoItsFolder) {
  docker_.OnJson("PUT", "/containers/a/archive", 200, "");
  ports::FileContent file;
  file.content = "secret";
  file.mode = 0600;
  ASSERT_TRUE(engine_->WriteFile(ctx_, "a", "/content", file).ok());
  const auto request = docker_.requests().at(0);
  EXPECT_TRUE(request.target.ends_with("path=%2F")) << request.target;
  const auto entry = FirstTarEntry(request.body);
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(entry->name, "content");
  EXPECT_EQ(entry->content, "secret");
  EXPECT_EQ(entry->mode, 0600u);
}

}  // namespace
}  // namespace oms::drivers::docker
