#!/usr/bin/env bash
# Asks a real API server whether it takes what it should, and refuses mistakes with words that say
# what to write. Everything is a server-side dry run; only the CRD is applied.
set -euo pipefail

REPO=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../../.." && pwd -P)

if [[ -z ${KUBECONFIG:-} ]]; then
  exports=$("$REPO/hack/devenv.sh" env) || { echo "no local environment: hack/devenv.sh up" >&2; exit 1; }
  eval "$exports"
fi
: "${KUBECONFIG:?no local environment: hack/devenv.sh up}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() { failures=$((failures + 1)); printf 'FAILED: %s\n' "$*" >&2; }

kubectl apply --server-side --force-conflicts -k "$REPO/crd" >/dev/null
kubectl wait --for=condition=Established --timeout=30s crd/omsupgrades.oms.oceanbase.com >/dev/null

cat >"$work/least.json" <<'JSON'
{"apiVersion": "oms.oceanbase.com/v1alpha1", "kind": "OmsUpgrade",
 "metadata": {"name": "schema-test", "namespace": "default"},
 "spec": {"version": "4.3.1", "image": {"reference": "oms:4.3.1"},
          "nodes": [{"name": "oms-1", "engine": {"endpoint": "unix:///var/run/docker.sock"},
                     "container": {"name": "oms_430"}}]}}
JSON

try() { jq "$1" "$work/least.json" | kubectl create --dry-run=server -o json -f - 2>&1; }

# accepts FILTER: the least resource, changed by a jq filter.
accepts() {
  local answer
  answer=$(try "$1") || fail "refused: $1: $answer"
}

# refuses FILTER WORDS: the words are in the API server's answer.
refuses() {
  local answer
  if answer=$(try "$1"); then
    fail "accepted: $1"
  elif [[ $answer != *"$2"* ]]; then
    fail "$1: expected '$2' in: $answer"
  fi
}

accepts .
for version in 4.3.1 V4.3.1 4.2.11-CE feature_4.0.0-ce_bp1 '4.3.1 BP1' feature_4.2.7_ce 3.2.2bp2; do
  accepts ".spec.version = \"$version\""
done
for version in 4.3 latest 4.3.1.2 4.3.1-bp0 '' 4.3.x; do
  refuses ".spec.version = \"$version\"" 'write the version as 4.3.1, 4.2.11-CE or 4.3.1-BP1'
done
refuses '.spec.version = 4.3' 'spec.version'
refuses 'del(.spec)' 'spec: Required value'
refuses 'del(.spec.image)' 'spec.image: Required value'
refuses 'del(.spec.nodes)' 'spec.nodes: Required value'

refuses '.spec.image.reference = "oms 4.3.1"' 'write the image as repository:tag'
refuses '.spec.image.sha256 = ("0" * 64)' 'write image.archive too'
accepts '.spec.image.sha256 = ("0" * 64) | .spec.image.archive = "/images/oms.tar.gz"'
refuses '.spec.image.sha256 = "abc" | .spec.image.archive = "/images/oms.tar.gz"' 'as sha256sum prints it'
refuses '.spec.image.archive = "images/oms.tar"' 'must be an absolute path'
refuses '.spec.image.archive = "/images/../etc/shadow"' 'must be an absolute path'
refuses '.spec.image.id = "0123"' 'write image.id as sha256:'

refuses '.spec.nodes = []' 'spec.nodes'
refuses '.spec.nodes += .spec.nodes' 'Duplicate value'
refuses '.spec.nodes += [.spec.nodes[0] + {name: "oms-2"}]' 'two nodes name the same container'
accepts '.spec.nodes += [.spec.nodes[0] + {name: "oms-2", container: {name: "oms_430b"}}]'
refuses '.spec.nodes[0].name = "Oms 1"' "write the node's name in lower-case letters"
refuses '.spec.nodes[0].role = "Component"' 'at least one node must have role: All or role: Management'
refuses '.spec.nodes[0].engine.endpoint = "/var/run/docker.sock"' 'write the endpoint as unix:///var/run/docker.sock or tcp://host:2376'
refuses '.spec.nodes[0].engine.endpoint = "tcp://host"' 'write the endpoint as'
refuses '.spec.nodes[0].engine.endpoint = "tcp://host:2376"' 'needs tls.secretRef'
accepts '.spec.nodes[0].engine = {endpoint: "tcp://host:2376", tls: {secretRef: {name: "engine"}}}'
accepts '.spec.nodes[0].engine = {endpoint: "tcp://[::1]:2376", tls: {secretRef: {name: "engine"}}}'
refuses '.spec.nodes[0].container.name = "a b"' "write the container's name as docker ps shows it"

refuses '.spec.metaDB.connect.port = 0' 'spec.metaDB.connect.port'
refuses '.spec.metaDB.cm = {}' 'spec.metaDB.cm.connect: Required value'
refuses '.spec.https = {serverName: "oms.example.com"}' 'spec.https.secretRef: Required value'
refuses '.spec.https = {secretRef: {}}' 'spec.https.secretRef.name: Required value'
accepts '.spec.https = {secretRef: {name: "console-ca"}}'
accepts '.spec.https = {secretRef: {name: "console-ca"}, serverName: "oms.example.com"}'
refuses '.spec.taskAPI = {endpoint: "http://10.0.0.1:8089"}' 'spec.taskAPI.secretRef: Required value'
refuses '.spec.taskAPI = {secretRef: {name: "u"}, endpoint: "10.0.0.1:8089"}' 'write taskAPI.endpoint as http://host:8089'
refuses '.spec.taskAPI = {secretRef: {name: "u"}, endpoint: "http://10.0.0.1:8089/api/v2"}' 'without a path'
refuses '.spec.taskAPI = {secretRef: {name: "u"}, endpoint: "http://u:p@10.0.0.1:8089"}' 'write taskAPI.endpoint as'
accepts '.spec.taskAPI = {secretRef: {name: "u"}, endpoint: "https://[fd00::1]:8089"}'
accepts '.spec.taskAPI = {secretRef: {name: "u"}}'
refuses '.spec.backup.directory = "backups"' 'backup.directory must be an absolute path'
refuses '.spec.backup.tool = "pg_dump"' 'supported values: "Auto", "mydumper", "mysqldump"'
refuses '.spec.strategy.rollbackWindow = "3 days"' 'write a duration as 90s, 15m, 1h30m or 72h'
refuses '.spec.strategy.timeouts.script = "45"' 'write a duration as'
refuses '.spec.strategy.rollbackWindow = "3000000h"' 'write at most 87600h (10 years)'
refuses '.spec.strategy.rollbackWindow = "87600h1ms"' 'write at most 87600h (10 years)'
refuses '.spec.strategy.rollbackWindow = "999999h999999h999999h"' 'spec.strategy.rollbackWindow'
refuses '.spec.strategy.timeouts.restore = "99999999m"' 'write at most 87600h (10 years)'
accepts '.spec.strategy.rollbackWindow = "87600h" | .spec.strategy.timeouts.restore = "5256000m"'
accepts '.spec.strategy.timeouts.script = "1h30m"'
refuses '.spec.deployment.provisioner = "OAT"' 'needs deployment.oatVersion'
refuses '.spec.deployment.oatVersion = "4.3.2"' 'goes with deployment.provisioner: OAT'
accepts '.spec.deployment = {provisioner: "OAT", oatVersion: "4.3.2"}'
refuses '.spec.deployment.keepTasksRunning = true' 'needs a node with role: Component'
separated='.spec.nodes[0].role = "Management" | .spec.nodes += [.spec.nodes[0] + {name: "oms-2", role: "Component", container: {name: "oms_c"}}]'
refuses "$separated | .spec.deployment.keepTasksRunning = true" 'needs the upgrade assistant'
accepts "$separated | .spec.deployment = {keepTasksRunning: true, assistant: {reference: \"tools:4.3.1\", archive: \"/images/tools.tar\"}}"
refuses "$separated | .spec.deployment = {keepTasksRunning: true, assistant: {archive: \"/images/tools.tar\"}}" 'assistant.reference: Required value'
refuses '.spec.deployment.assistant = {reference: "tools:4.3.1", sha256: ("0" * 64)}' 'write assistant.archive too'
refuses '.spec.deployment.edition = "Enterprise" | .spec.version = "4.2.11-CE"' 'version is of the Community Edition'
refuses '.spec.deployment.upgradeScript.path = "/root/x; rm -rf /"' 'write an absolute path of letters'
accepts '.spec.legacy = {jarPath: "/opt/fix.jar", workingDirectory: "/", dataSourceUsedAtBothEnds: false}'
refuses '.spec.legacy.jarPath = "fix.jar"' 'write an absolute path of letters'
refuses '.spec.legacy.workingDirectory = "/root;"' 'such as /root'
refuses '.spec.legacy.dataSourceUsedAtBothEnds = "no"' 'spec.legacy.dataSourceUsedAtBothEnds'
refuses '.spec.maintenanceWindow = {start: "01:00", end: "01:00"}' 'the window would never open'
refuses '.spec.maintenanceWindow = {start: "1am", end: "05:00"}' 'write a time of day as 01:00'
refuses '.spec.maintenanceWindow = {start: "20:00", end: "24:00"}' 'write a time of day as 01:00'
accepts '.spec.maintenanceWindow = {start: "20:00", end: "00:00"}'
refuses '.spec.maintenanceWindow = {start: "20:00"}' 'spec.maintenanceWindow.end: Required value'
refuses '.spec.maintenanceWindow = {start: "23:00", end: "05:00", days: ["Sat", "Sat"]}' 'Duplicate value: "Sat"'
refuses '.spec.maintenanceWindow = {start: "23:00", end: "05:00", days: ["Monday"]}' 'supported values: "Mon"'
refuses '.spec.maintenanceWindow = {start: "23:00", end: "05:00", timeZone: "UTC+8 h"}' 'write the time zone by its name'
accepts '.spec.maintenanceWindow = {start: "23:00", end: "05:00", days: ["Sat"], timeZone: "Asia/Shanghai"}'
refuses '.spec.historyLimit = 0' 'spec.historyLimit'

answer=$(try .)
jq -e '.status.observedGeneration == -1' <<<"$answer" >/dev/null ||
  fail "a new resource's status.observedGeneration is not -1"

for file in "$REPO"/manifests/samples/*.yaml; do
  out=$(kubectl create --dry-run=server -n default -f "$file" 2>&1) || fail "sample ${file##*/}: $out"
done
out=$(kubectl kustomize "$REPO/manifests" 2>&1 >/dev/null) || fail "kubectl kustomize manifests: $out"
out=$(kubectl kustomize "$REPO/manifests/rbac" 2>&1 >/dev/null) || fail "kubectl kustomize manifests/rbac: $out"

undocumented=$(kubectl explain omsupgrade.spec --recursive 2>&1) || fail "kubectl explain: $undocumented"
[[ $undocumented == *maintenanceWindow* ]] || fail "kubectl explain omsupgrade.spec does not show the fields"

((failures == 0)) || { echo "$failures failed" >&2; exit 1; }
echo "all as expected"
