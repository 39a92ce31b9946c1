// Step 9 in its two halves: the new container is created before the stop, and started after the
// dump (guide step 5; design section 4, row 9). It is known by our labels, and of the image whose
// id was written down, which it is asked for by its name, so that `docker ps` shows that.
#include <fmt/format.h>

#include <map>
#include <string>

#include "reconcilers/model/labels.h"
#include "reconcilers/model/target_image.h"
#include "reconcilers/oms/container_clone.h"
#include "reconcilers/steps/phases.h"
#include "reconcilers/steps/state.h"

namespace oms::steps {

namespace {

// From here on the image is what it is now, by its id, whatever the spec and its name come to say.
base::Status RecordImageIds(const base::Context& ctx, OperationSession& op) {
  std::map<std::string, std::string> ids;  // By node.
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts != nullptr && facts->target_image && node.target_image_id.empty()) {
      ids[node.name] = facts->target_image->id;
    }
  }
  if (ids.empty()) return base::Ok();
  return op.Save(ctx, [&](model::OperationRecord& record) {
    for (auto& node : record.nodes) {
      if (ids.contains(node.name)) node.target_image_id = ids[node.name];
    }
  });
}

// What it mounts and is made from cannot be changed; it has never run, so another one is as good.
base::Status RemoveIfMadeOtherwise(const base::Context& ctx, OperationSession& op,
                                   const model::FrozenNode& node,
                                   const ports::ContainerInfo& created) {
  const ports::Mount* config = created.FindMount(product::kConfigMount);
  const bool right = config != nullptr && config->source == WantedConfigSource(op.record(), node) &&
                     model::IsOfTargetImage(created, node);
  if (right || created.status != "created") return base::Ok();
  OMS_TRY(ctx.Check());
  const auto removed = op.engine(node.name).Remove(ctx, created.id, false);
  return removed.Is(base::Code::kNotFound) ? base::Ok() : removed;
}

// By its image's name where that means this image. The name may move until the engine has made the
// container: the next look sees it, and one of another image is removed and made again.
base::Status CreateOfImage(const base::Context& ctx, OperationSession& op,
                           const model::FrozenNode& node, product::CloneInput input) {
  const std::string& reference = op.record().image.reference;
  const auto named = op.engine(node.name).InspectImage(ctx, reference);
  if (!named.ok() && !named.Is(base::Code::kNotFound)) return named.error();
  const bool means_it = named.ok() && named->id == node.target_image_id;
  input.new_image = means_it ? reference : node.target_image_id;
  OMS_ASSIGN(const std::string body, product::CloneForUpgrade(input));
  OMS_TRY(ctx.Check());
  const auto created = op.engine(node.name).Create(ctx, node.new_name, body);
  // Somebody was faster. If it was a process before us, the next look finds it by its labels.
  if (created.Is(base::Code::kAlreadyExists)) {
    return base::MakeError(base::Code::kTransient, "NameTaken",
                           fmt::format("node {}: the name '{}' is taken by another container",
                                       node.name, node.new_name));
  }
  return created.ok() ? base::Ok() : base::Status(created.error());
}

}  // namespace

base::Status CreateContainers(const base::Context& ctx, OperationSession& op) {
  OMS_TRY(RecordImageIds(ctx, op));
  const model::OperationRecord& record = op.record();
  for (const auto& node : record.nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || node.target_image_id.empty()) continue;
    if (facts->new_container) {
      OMS_TRY(RemoveIfMadeOtherwise(ctx, op, node, *facts->new_container));
      continue;
    }
    product::CloneInput input;
    input.old_inspect = node.old_inspect;
    OMS_ASSIGN(const ports::ImageInfo old_image,
               op.engine(node.name).InspectImage(ctx, node.old_image_id));
    input.old_image_inspect = old_image.inspect;
    if (record.config_rewrites.contains(node.name)) {
      input.config_source = WantedConfigSource(record, node);
    }
    std::string owner = record.owner_object;
    for (auto& c : owner) c = c == '/' ? '.' : c;
    input.labels = {{model::labels::kOwner, owner},
                    {model::labels::kOperation, record.id},
                    {model::labels::kNode, node.name},
                    {model::labels::kVersion, record.to},
                    {model::labels::kRole, "oms"}};
    OMS_TRY(CreateOfImage(ctx, op, node, std::move(input)));
  }
  return base::Ok();
}

namespace {

// The last look at the old ones, of all nodes before the first new one: none may run together with
// a new one (both own the host's ports, and write the same databases).
base::Status NoOldOneRuns(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    if (node.kept) continue;
    const auto old = op.engine(node.name).Inspect(ctx, node.old_id);
    // Gone meanwhile: after the first start it is the way back's to make it again.
    if (old.Is(base::Code::kNotFound) && op.record().Passed(model::PointKind::kNewStarting))
      continue;
    if (!old.ok()) return old.error().Wrap("node " + node.name);
    if (!old->running) continue;
    return base::MakeError(
        base::Code::kTransient, crd::reason::kOldContainerStarted,
        fmt::format("node {}: the old container '{}' runs; the new one is not started beside it",
                    node.name, old->name));
  }
  return base::Ok();
}

}  // namespace

base::Status StartContainers(const base::Context& ctx, OperationSession& op) {
  for (const auto& node : op.record().nodes) {
    const model::NodeFacts* facts = op.facts().Node(node.name);
    if (facts == nullptr || !facts->new_container || facts->new_container->running) continue;
    if (!op.record().Passed(model::PointKind::kNewStarting, node.name)) {
      OMS_TRY(NoOldOneRuns(ctx, op));
      OMS_TRY(op.Pass(ctx, model::PointKind::kNewStarting, node.name, "", 1));
    }
    OMS_TRY(ctx.Check());
    OMS_TRY(op.engine(node.name).Start(ctx, facts->new_container->id));
  }
  return base::Ok();
}

}  // namespace oms::steps
