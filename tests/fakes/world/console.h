// What OMS itself answers in the world: its health, and its tasks.
#pragma once

#include "tests/fakes/world/door.h"

namespace oms::fakes {

class Probe final : public ports::HttpProbe, private Door {
 public:
  using Door::Door;
  Result<ports::HttpAnswer> Get(const Context&, const std::string&, int, const std::string&,
                                const std::optional<ports::HttpsTrust>& https) override {
    return world_.Look<ports::HttpAnswer>(life_, [&]() -> Result<ports::HttpAnswer> {
      if (!world_.OmsRuns()) return MakeError(Code::kTransient, "Refused", "nothing listens");
      if (https != world_.speaks) {
        return MakeError(Code::kTransient, "CertificateUntrusted", "asked in another way");
      }
      return ports::HttpAnswer{200, R"({"data":{"healthy":true}})"};
    });
  }
  // A certificate of this world is "of <key> until <seconds since 1970>".
  Result<ports::CertificateInfo> ReadKeyPair(const std::string& certificate,
                                             const base::Secret& key) const override {
    const size_t until = certificate.find(" until ");
    if (until == std::string::npos) {
      return MakeError(Code::kInvalid, "CertificateUnreadable", "there is no certificate in it");
    }
    if (certificate.substr(0, until) != "of " + key.Reveal()) {
      return MakeError(Code::kInvalid, "KeyOfAnotherCertificate", "the key does not belong to it");
    }
    return ports::CertificateInfo{
        base::WallTime(),
        base::WallTime(std::chrono::seconds(std::stoll(certificate.substr(until + 7))))};
  }
};

class TaskDoor final : public ports::TaskApi, private Door {
 public:
  using Door::Door;
  Result<std::vector<ports::OmsTask>> Tasks(const Context&,
                                            const ports::TaskApiAddress& address) override {
    return world_.Look<std::vector<ports::OmsTask>>(
        life_, [&]() -> Result<std::vector<ports::OmsTask>> {
          ++world_.task_questions;
          if (!world_.OmsRuns() || address.host != "10.0.0.1" || address.https != world_.speaks)
            return MakeError(Code::kTransient, "TaskAPIUnreachable", "nothing listens");
          if (world_.tasks_error) return *world_.tasks_error;
          if (address.user != "admin" || address.password.Reveal() != world_.api_password)
            return MakeError(Code::kDenied, "TaskAPIDenied", "OMS does not let this user ask");
          return world_.tasks;
        });
  }
};

}  // namespace oms::fakes
