-- Argo CD's health check for OmsUpgrade. Argo CD has none of its own for a kind that it does not know, and takes
-- what has none for healthy: also an OMS that is down for an upgrade, or stuck.
--
-- To install it (argocd is Argo CD's namespace):
--   kubectl -n argocd patch configmap argocd-cm --type merge --patch "$(jq -Rs \
--     '{data: {"resource.customizations.health.oms.oceanbase.com_OmsUpgrade": .}}' manifests/argocd/health.lua)"
--
-- Ready=True is Healthy, Stalled=True Degraded, Reconciling=True Progressing. Ready=False alone waits for a person:
-- Suspended, or Degraded where it is OMS that is not well.

local function is(condition, status)
  return condition ~= nil and condition.status == status
end

local function text(condition)
  if condition == nil or condition.message == nil or condition.message == "" then return "" end
  return condition.reason .. ": " .. condition.message
end

local unwell = {OMSNotRunning = true, OMSUnhealthy = true, NodeVersionsDiffer = true, Abandoned = true}

if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "it is being deleted; an open operation is rolled back first"}
end
if obj.status == nil or obj.status.conditions == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the controller has not seen this version of the resource yet"}
end

local found = {}
for _, condition in ipairs(obj.status.conditions) do found[condition.type] = condition end
local ready, reconciling, stalled = found.Ready, found.Reconciling, found.Stalled

if is(stalled, "True") then return {status = "Degraded", message = text(stalled)} end
if is(reconciling, "True") then return {status = "Progressing", message = text(ready or reconciling)} end
if is(ready, "True") then return {status = "Healthy", message = text(ready)} end
if is(ready, "False") then
  return {status = unwell[ready.reason] and "Degraded" or "Suspended", message = text(ready)}
end
return {status = "Progressing", message = text(ready)}
