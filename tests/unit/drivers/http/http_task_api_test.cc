#include "reconcilers/drivers/http/http_task_api.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "controller/base/log.h"

namespace oms::drivers::http {
namespace {

using nlohmann::json;
using ports::OmsTask;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kPassword[] = "c0nsole:wörd";

// OMS's task API at a port of its own; each test says what it answers.
class Oms {
 public:
  struct Question {
    std::string head, operation;
    json body;
  };
  using Answer = std::function<std::string(const Question&)>;  // The whole of HTTP.

  explicit Oms(Answer answer)
      : answer_(std::move(answer)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~Oms() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  int port = 0;
  std::vector<Question> asked;  // Read once the driver has returned.

 private:
  void Serve() {
    while (true) {
      const int connection = accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      const std::string answer = answer_(asked.emplace_back(Read(connection)));
      (void)send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
      shutdown(connection, SHUT_WR);
      char rest[256];
      while (recv(connection, rest, sizeof rest, 0) > 0) {
      }
      close(connection);
    }
  }
  static Question Read(int connection) {
    std::string text;
    char buffer[4096];
    size_t head = std::string::npos, need = 0;
    while (head == std::string::npos || text.size() < head + 4 + need) {
      const ssize_t got = recv(connection, buffer, sizeof buffer, 0);
      if (got <= 0) break;
      text.append(buffer, static_cast<size_t>(got));
      head = text.find("\r\n\r\n");
      const size_t length = text.find("Content-Length: ");
      if (length != std::string::npos) need = std::stoul(text.substr(length + 16));
    }
    Question question{text.substr(0, head), {}, json::parse(text.substr(head + 4), nullptr, false)};
    const size_t action = text.find("Action=");
    question.operation = text.substr(action + 7, text.find(' ', action) - action - 7);
    return question;
  }

  Answer answer_;
  int listener_;
  std::thread thread_;
};

std::string Http(int status, const std::string& body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
}
std::string Data(const json& data, const json& total = nullptr) {
  return Http(200, json({{"success", true}, {"totalCount", total}, {"data", data}}).dump());
}
// `{one}` of json is that one, not a list of it.
std::string List(std::vector<json> data, const json& total = nullptr) { return Data(data, total); }

json Listed(const std::string& id, const char* status = "RUNNING", bool reverse = false) {
  return {{"id", id},
          {"name", "n"},
          {"status", status},
          {"sourceEndpointType", "MYSQL"},
          {"sinkEndpointType", "KAFKA"},
          {"enableFullTransfer", true},
          {"enableIncrTransfer", true},
          {"enableReverseIncrTransfer", reverse}};
}

// One migration, one synchronization; `change` answers instead where it answers something.
Oms::Answer Usual(const Oms::Answer& change = nullptr) {
  return [change](const Oms::Question& question) -> std::string {
    if (change) {
      if (auto other = change(question); !other.empty()) return other;
    }
    if (question.operation == "ListProjects") {
      return question.body["type"] == "SYNC" ? List({Listed("ns_1")}, 1)
                                             : List({Listed("np_1", "RUNNING", true)}, 1);
    }
    if (question.operation == "DescribeProjectSteps") {
      return List({{{"name", "FULL_TRANSFER"}, {"status", "FINISHED"}, {"stepInfo", nullptr}}});
    }
    if (question.operation == "DescribeProjectProgress") {
      return Data({{"projectId", question.body["id"]}, {"currentStep", "APP_SWITCH"}});
    }
    return Http(404, "");
  };
}

base::Result<std::vector<OmsTask>> Ask(const Oms& oms,
                                       base::Duration limit = std::chrono::minutes(10)) {
  static const base::SystemClock clock;
  HttpTaskApi api;
  return api.Tasks(base::Context(clock, {}).WithTimeout(limit),
                   {"127.0.0.1", oms.port, std::nullopt, "admin", base::Secret(kPassword)});
}

std::vector<std::string> Operations(const Oms& oms) {
  std::vector<std::string> operations;
  for (const auto& question : oms.asked) operations.push_back(question.operation);
  return operations;
}

TEST(HttpTaskApi, AsksForBothKindsAndForTheStepsOfEachTask) {
  Oms oms(Usual());
  const auto tasks = Ask(oms);
  ASSERT_TRUE(tasks.ok()) << tasks.error().message;
  ASSERT_EQ(tasks->size(), 2u);
  EXPECT_EQ((*tasks)[0].id, "np_1");
  EXPECT_TRUE((*tasks)[0].reverse);
  EXPECT_EQ((*tasks)[0].current_step, "APP_SWITCH");
  EXPECT_EQ((*tasks)[0].steps[0].status, "FINISHED");
  EXPECT_EQ((*tasks)[1].id, "ns_1");
  EXPECT_THAT(Operations(oms), ElementsAre("ListProjects", "ListProjects", "DescribeProjectSteps",
                                           "DescribeProjectProgress", "DescribeProjectSteps"));
  const auto& first = oms.asked[0];
  EXPECT_THAT(first.head, testing::StartsWith("POST /api/v2?Action=ListProjects HTTP/1.1\r\n"));
  // printf 'admin:c0nsole:wörd' | base64
  EXPECT_THAT(first.head, HasSubstr("Authorization: Basic YWRtaW46YzBuc29sZTp3w7ZyZA==\r\n"));
  EXPECT_EQ(first.body["pageSize"], 150);
}

TEST(HttpTaskApi, ReadsAllPages) {
  Oms oms(Usual([](const Oms::Question& question) -> std::string {
    if (question.operation != "ListProjects" || question.body["type"] == "SYNC") return {};
    const int page = question.body["pageNumber"];
    json tasks = json::array();
    for (int i = (page - 1) * 150; i < std::min(page * 150, 302); ++i)
      tasks.push_back(Listed(fmt::format("np_{}", i), "DELETED"));
    return Data(tasks, 302);
  }));
  const auto tasks = Ask(oms);
  ASSERT_TRUE(tasks.ok()) << tasks.error().message;
  EXPECT_EQ(tasks->size(), 303u);
  EXPECT_EQ((*tasks)[301].id, "np_301");
  EXPECT_EQ(oms.asked.size(), 5u) << "of what is over nothing more is asked";
}

TEST(HttpTaskApi, GoesOnWherePagesAreSmallerThanAskedFor) {
  Oms oms(Usual([](const Oms::Question& question) -> std::string {
    if (question.operation != "ListProjects" || question.body["type"] == "SYNC") return {};
    return List({Listed(fmt::format("np_{}", question.body["pageNumber"].get<int>()), "DELETED")},
                3);
  }));
  const auto tasks = Ask(oms);
  ASSERT_TRUE(tasks.ok()) << tasks.error().message;
  EXPECT_EQ(tasks->size(), 4u);
}

TEST(HttpTaskApi, PagesThatDoNotComeToAnEndAreAnError) {
  for (const bool empty : {true, false}) {
    Oms oms(Usual([&](const Oms::Question& question) -> std::string {
      if (question.operation != "ListProjects") return {};
      return question.body["pageNumber"] != 1 && empty ? Data(json::array(), 7)
                                                       : List({Listed("np_1")}, 7);
    }));
    const auto tasks = Ask(oms);
    ASSERT_FALSE(tasks.ok());
    EXPECT_EQ(tasks.error().reason, "TaskAPIAnswerInvalid");
    EXPECT_EQ(oms.asked.size(), 2u);
  }
}

TEST(HttpTaskApi, AsksForTheWholeTaskWhereTheListDoesNotTellHowOceanBaseIsRead) {
  Oms oms(Usual([](const Oms::Question& question) -> std::string {
    json task = Listed("np_1");
    task["sourceEndpointType"] = "OB_MYSQL";
    if (question.operation == "DescribeProject") {
      task["sourceConnectInfo"]["connExtraAttributes"]["useLogProxy"] = true;
      return List({task});
    }
    if (question.operation != "ListProjects") return {};
    return question.body["type"] == "SYNC" ? Data(json::array(), 0) : List({task}, 1);
  }));
  const auto tasks = Ask(oms);
  ASSERT_TRUE(tasks.ok()) << tasks.error().message;
  EXPECT_EQ((*tasks)[0].source_log_proxy, true);
}

TEST(HttpTaskApi, WhatTheListDoesNotSayOfATaskItsStepsDo) {
  Oms oms(Usual([](const Oms::Question& question) -> std::string {
    if (question.operation == "DescribeProjectSteps") {
      return List({{{"name", "INCR_SYNC"}, {"status", "RUNNING"}},
                   {{"name", "REVERSE_INCR_SYNC"}, {"status", "INIT"}}});
    }
    if (question.operation != "ListProjects") return {};
    json task = Listed("np_1");
    for (const char* flag :
         {"enableFullTransfer", "enableIncrTransfer", "enableReverseIncrTransfer"})
      task[flag] = nullptr;
    return question.body["type"] == "SYNC" ? Data(json::array(), 0) : List({task}, 1);
  }));
  const auto tasks = Ask(oms);
  ASSERT_TRUE(tasks.ok()) << tasks.error().message;
  EXPECT_FALSE((*tasks)[0].full);
  EXPECT_TRUE((*tasks)[0].incremental);
  EXPECT_TRUE((*tasks)[0].reverse);
  EXPECT_EQ((*tasks)[0].current_step, "APP_SWITCH");
}

// A server that sends back what it was sent must not make us print it.
TEST(HttpTaskApi, WhatItCannotAnswerHasAReasonAndNoTextHoldsTheSecretOrTheAnswer) {
  struct Row {
    int status;
    const char* body;
    const char* reason;
    const char* says;
  };
  const std::vector<Row> rows = {
      {401, "ECHO", "TaskAPIDenied", "returned 401"},
      {403, "ECHO", "TaskAPIDenied", "returned 403"},
      {404, "ECHO", "TaskAPINotOffered", "no task API at 127.0.0.1"},
      {500, "ECHO", "TaskAPIRefused", "returned 500"},
      {302, "ECHO", "TaskAPIRefused", "returned 302"},
      {200, "ECHO", "TaskAPIAnswerInvalid", "is not JSON"},
      {200, R"({"success":false,"code":"ECHO","message":"ECHO"})", "TaskAPIRefused",
       "reports that"},
  };
  for (const auto& row : rows) {
    for (const char* at : {"ListProjects", "DescribeProjectSteps", "DescribeProjectProgress"}) {
      Oms oms(Usual([&](const Oms::Question& question) -> std::string {
        if (question.operation != at) return {};
        std::string body = row.body;
        const size_t sent = question.head.find("Basic ");
        const std::string echo = question.head.substr(sent, question.head.find('\r', sent) - sent);
        for (size_t i = body.find("ECHO"); i != std::string::npos; i = body.find("ECHO"))
          body.replace(i, 4, echo);
        return Http(row.status, body);
      }));
      const auto tasks = Ask(oms);
      ASSERT_FALSE(tasks.ok());
      EXPECT_EQ(tasks.error().reason, row.reason) << at << " " << row.status;
      EXPECT_THAT(tasks.error().message, HasSubstr(row.says));
      EXPECT_THAT(tasks.error().message, HasSubstr(row.status == 404 ? "404" : at));
      EXPECT_THAT(tasks.error().message, Not(HasSubstr(kPassword)));
      EXPECT_THAT(tasks.error().message, Not(HasSubstr("YWRtaW46")));
    }
  }
}

TEST(HttpTaskApi, AServerThatDoesNotSpeakHttpOrIsNotThereIsUnreachable) {
  {
    Oms oms([](const Oms::Question&) { return std::string("SSH-2.0-x\r\n"); });
    EXPECT_EQ(Ask(oms).error().reason, "TaskAPIUnreachable");
  }
  int port = 0;
  {
    Oms oms(Usual());
    port = oms.port;
  }
  const base::SystemClock clock;
  HttpTaskApi api;
  const auto tasks = api.Tasks(base::Context(clock, {}).WithTimeout(std::chrono::seconds(5)),
                               {"127.0.0.1", port, std::nullopt, "admin", base::Secret(kPassword)});
  EXPECT_EQ(tasks.error().reason, "TaskAPIUnreachable");
  EXPECT_TRUE(tasks.error().Retryable());
}

TEST(HttpTaskApi, WaitsForASilentServerNoLongerThanItsContext) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 4), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const base::SystemClock clock;
  HttpTaskApi api;
  const auto tasks =
      api.Tasks(base::Context(clock, {}).WithTimeout(std::chrono::milliseconds(200)),
                {"127.0.0.1", ntohs(address.sin_port), std::nullopt, "admin", base::Secret("x")});
  EXPECT_EQ(tasks.error().reason, "TaskAPITimeout");
  close(listener);
}

TEST(HttpTaskApi, AnAnswerThatIsTooLongIsAnError) {
  Oms oms(Usual([](const Oms::Question& question) -> std::string {
    if (question.operation != "ListProjects") return {};
    return Http(200, std::string(17UL << 20, ' '));
  }));
  const auto tasks = Ask(oms);
  EXPECT_EQ(tasks.error().reason, "TaskAPIAnswerInvalid");
  EXPECT_THAT(tasks.error().message, HasSubstr("longer than 1024 KiB"));
}

TEST(HttpTaskApi, MoreTasksThanAnOmsHasAreAnError) {
  int next = 0;
  Oms oms(Usual([&](const Oms::Question& question) -> std::string {
    if (question.operation != "ListProjects") return {};
    std::vector<json> page;
    for (int i = 0; i < 150; ++i) page.push_back(Listed("np_" + std::to_string(++next)));
    return List(page);
  }));
  const auto tasks = Ask(oms);
  EXPECT_EQ(tasks.error().reason, "TaskAPIAnswerInvalid");
  EXPECT_THAT(tasks.error().message, HasSubstr("more than 20000 tasks"));
  EXPECT_LE(next, 20'150);
}

// A page is bounded, and so is what all of them hold.
TEST(HttpTaskApi, TasksOfMoreBytesThanAnOmsHasAreAnError) {
  int next = 0;
  Oms oms(Usual([&](const Oms::Question& question) -> std::string {
    if (question.operation != "ListProjects") return {};
    std::vector<json> page;
    for (int i = 0; i < 150; ++i) {
      page.push_back(Listed("np_" + std::to_string(++next)));
      page.back()["name"] = std::string(6000, 'x');
    }
    return List(page);
  }));
  const auto tasks = Ask(oms);
  EXPECT_EQ(tasks.error().reason, "TaskAPIAnswerInvalid");
  EXPECT_THAT(tasks.error().message, HasSubstr("64 MiB"));
}

}  // namespace
}  // namespace oms::drivers::http
