#include "reconcilers/observe/task_look.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "crd/reasons.h"
#include "reconcilers/observe/secret_data.h"

namespace oms::observe {
namespace {

base::Error BadEndpoint(const std::string& endpoint) {
  return base::MakeError(base::Code::kInvalid, crd::reason::kInvalidSpec,
                         fmt::format("spec.taskAPI.endpoint '{}' is not of the form "
                                     "http://host:8089 or https://host:8089",
                                     endpoint));
}

base::Error NoKey(const std::string& ns, const std::string& secret, const char* key) {
  return base::MakeError(base::Code::kInvalid, crd::reason::kSecretUnreadable,
                         fmt::format("Secret {}/{} has no key '{}'", ns, secret, key));
}

std::string_view WhatToDo(const base::Error& error) {
  if (error.reason == crd::reason::kTaskApiNotOffered) return "correct spec.taskAPI.endpoint";
  if (error.reason == crd::reason::kTaskApiUnreachable ||
      error.reason == crd::reason::kTaskApiTimeout)
    return "check that OMS answers there (spec.taskAPI.endpoint)";
  if (error.reason == crd::reason::kTaskApiRefused ||
      error.reason == crd::reason::kTaskApiAnswerInvalid)
    return "check ghana/Ghana/oms-api.log in OMS's logs";
  return "correct it";
}

}  // namespace

base::Result<OmsEndpoint> EndpointOf(const std::string& endpoint, const OmsEndpoint& defaults) {
  if (endpoint.empty()) return defaults;
  std::string_view rest = endpoint;
  const bool https = rest.starts_with("https://");
  if (!https && !rest.starts_with("http://")) return BadEndpoint(endpoint);
  rest.remove_prefix(https ? 8 : 7);
  // An IPv6 address stands in brackets, so the last ':' behind them is the port's.
  const size_t bracket = rest.starts_with("[") ? rest.find(']') : 0;
  if (bracket == std::string_view::npos) return BadEndpoint(endpoint);
  const size_t colon = rest.find(':', bracket);
  OmsEndpoint named = defaults;
  named.host = rest.substr(0, colon);
  if (bracket > 0) named.host = named.host.substr(1, bracket - 1);
  if (colon != std::string_view::npos) {
    const std::string_view port = rest.substr(colon + 1);
    const auto [end, problem] = std::from_chars(port.data(), port.data() + port.size(), named.port);
    if (problem != std::errc() || end != port.data() + port.size() || named.port < 1 ||
        named.port > 65535) {
      return BadEndpoint(endpoint);
    }
  }
  if (named.host.empty() || named.host.find_first_of("/@ \r\n") != std::string::npos)
    return BadEndpoint(endpoint);
  if (!https) named.https.reset();
  if (https && !named.https) named.https.emplace();
  return named;
}

base::Result<std::vector<ports::OmsTask>> AskForTasks(const base::Context& ctx, const Views& views,
                                                      const std::string& ns,
                                                      const crd::TaskApi& spec,
                                                      const OmsEndpoint& defaults) {
  OMS_ASSIGN(auto data, ReadSecretData(ctx, *views.api, ns, spec.secret_ref.name));
  for (const char* key : {"username", "password"}) {
    if (data[key].empty()) return NoKey(ns, spec.secret_ref.name, key);
  }
  OMS_ASSIGN(OmsEndpoint answers, EndpointOf(spec.endpoint, defaults));
  if (answers.https && !data["ca.crt"].empty())
    answers.https = ports::HttpsTrust{data["ca.crt"].Reveal(), answers.host};
  // What the node's own certificate is trusted by was not found out: there is none.
  if (answers.https && answers.https->certificates.empty())
    return NoKey(ns, spec.secret_ref.name, "ca.crt");
  return views.task_api->Tasks(ctx, {answers.host, answers.port, answers.https,
                                     data["username"].Reveal(), data["password"]});
}

model::Trouble TroubleOfTasks(const base::Error& error, const std::string& ns,
                              const crd::TaskApi& spec) {
  const bool denied = error.reason == crd::reason::kTaskApiDenied;
  const std::string to_do =
      denied ? fmt::format("correct the Secret {}/{} (keys username and password)", ns,
                           spec.secret_ref.name)
             : std::string(WhatToDo(error));
  return {error.reason.empty() ? crd::reason::kTaskApiUnreachable : error.reason,
          fmt::format("spec.taskAPI: {}; {}, or remove spec.taskAPI and confirm in "
                      "spec.acknowledge what is asked for then",
                      error.message, to_do),
          true};
}

}  // namespace oms::observe
