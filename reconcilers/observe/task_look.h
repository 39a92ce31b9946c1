// Asks OMS's task API, as spec.taskAPI says. Reading only; the Secret is read at each call, so that
// a corrected one is seen without an edit of the resource.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controller/base/context.h"
#include "crd/oms_upgrade.h"
#include "reconcilers/model/facts.h"
#include "reconcilers/observe/site.h"

namespace oms::observe {

// Where OMS itself answers, as its health is asked.
struct OmsEndpoint {
  std::string host;
  int port = 8089;
  std::optional<ports::HttpsTrust> https;
};

// kInvalid "InvalidSpec" where `endpoint` is none. `defaults` fill in what it does not say.
base::Result<OmsEndpoint> EndpointOf(const std::string& endpoint, const OmsEndpoint& defaults);

base::Result<std::vector<ports::OmsTask>> AskForTasks(const base::Context& ctx, const Views& views,
                                                      const std::string& ns,
                                                      const crd::TaskApi& spec,
                                                      const OmsEndpoint& defaults);

// In the words of a condition: what is wrong, and the two ways out.
model::Trouble TroubleOfTasks(const base::Error& error, const std::string& ns,
                              const crd::TaskApi& spec);

}  // namespace oms::observe
