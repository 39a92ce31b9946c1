# shellcheck shell=bash
# shellcheck disable=SC2016  # backquotes in single quotes are SQL's
# The OMS stand-in (hack/oms-standin): its images, and a fresh OMS on them.
# Sourced by hack/devenv.sh after common.sh, with the exports of its `env`.
#
# OMS_INSTANCE=NAME makes a second OMS beside the first (containers, databases,
# ports and folders of its own). OMS_METADB=mariadb puts it on the MariaDB of
# an environment that has both. OMS_HTTPS=1 mounts a certificate, OMS_OAT=1 is
# an OMS as OAT deploys it, OMS_NODES=2 one of two nodes on this host, and
# OMS_SEPARATED=1 beside that makes the second one a component container.
# OMS_SEPARATE_CM=1 puts cm and cm_hb alone on the MariaDB.
# OMS_BEAT_SECONDS is the time between two heartbeats, 1 if not given.
# OMS_SAMPLE_ROWS, OMS_SAMPLE_SEQUENCE: how many rows rm's bulk tables and
# heatbeat_sequence get.

OMS_STANDIN_DIR=$REPO_DIR/hack/oms-standin
OMS_HOST_IP=${OMS_HOST_IP:-127.0.0.1}
OMS_NODES=${OMS_NODES:-1}

# By their content: a checkout with another stand-in has a folder of its own.
oms_archives_dir() { printf '%s/oms-archives/%s\n' "$CACHE_DIR" "$(oms_images_key)"; }

# --- images ------------------------------------------------------------------

oms_images_key() {
  (
    cd "$OMS_STANDIN_DIR" || exit 1
    base_key base-packages.txt
    find build.py ../lib/image_archive.py rootfs tools versions -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  ) | sha256sum | cut -c1-16
}

# oms_build_images: the archives of all versions, in oms_archives_dir. Made
# again only when the stand-in's files or the base's packages have changed; the
# folders of the two that were made last before it stay.
oms_build_images() {
  local out base
  out=$(oms_archives_dir)
  [[ -f $out/.complete ]] && return 0
  mkdir -p "$CACHE_DIR"
  (
    flock 9
    [[ -f $out/.complete ]] && exit 0
    have python3 || need_packages python3
    base=$CACHE_DIR/oms-base/$(base_key "$OMS_STANDIN_DIR/base-packages.txt").tar
    debian_base "$OMS_STANDIN_DIR/base-packages.txt" "$base" 'the OMS stand-in'
    say "writing the OMS images to $out"
    mkdir -p "$out"
    python3 "$OMS_STANDIN_DIR/build.py" --base "$base" --out "$out" || die "hack/oms-standin/build.py failed"
    touch "$out/.complete"
    # shellcheck disable=SC2012  # names are ours: 16 hexadecimal digits
    ls -dt "$CACHE_DIR"/oms-archives/*/ | tail -n +4 | xargs -r rm -rf --
  ) 9>"$CACHE_DIR/oms-archives.lock"
}

# oms_load_image VERSION: into the engine, unless that very image is there.
oms_load_image() {
  local id
  id=$(jq -re --arg image "oms:$1" '.[$image]' "$(oms_archives_dir)/image-ids.json") ||
    die "the OMS stand-in has no version $1; it has: $(oms_versions)"
  [[ $(docker image inspect -f '{{.Id}}' "oms:$1" 2>/dev/null) == "$id" ]] && return 0
  docker load -q -i "$(oms_archives_dir)/oms_$1.tar.gz" >/dev/null || die "docker load of $(oms_archives_dir)/oms_$1.tar.gz failed"
}

# oms_standin_images: id and reference of each image in the engine that is a
# stand-in's. The label is in the image itself; a real OMS has none.
oms_standin_images() {
  docker images --no-trunc --filter label=oms.standin.version --format '{{.ID}} {{.Repository}}:{{.Tag}}'
}

# oms_note_images: what is there before this environment has loaded anything,
# whoever does it for it (oms start, the controller, the runbook), is not ours.
oms_note_images() {
  recall oms-images-before >/dev/null && return 0
  if [[ $(recall engine) == own ]]; then
    remember oms-images-before ''
  else
    remember oms-images-before "$(oms_standin_images)"
  fi
}

# oms_remove_images [REFERENCE]: those that were loaded for this environment,
# but for that one. What a container still needs stays, and is printed.
oms_remove_images() {
  local keep=${1:-} before id reference
  before=$(recall oms-images-before) || return 0
  while read -r id reference; do
    [[ -z $id || $before == *"$id "* ]] && continue
    [[ -n $keep && $reference == "$keep" ]] && continue
    [[ $reference != *'<none>'* ]] || reference=$id
    docker image rm "$reference" >/dev/null 2>&1 || printf '%s\n' "$reference"
  done < <(oms_standin_images)
}

oms_versions() {
  local dir list=()
  for dir in "$OMS_STANDIN_DIR"/versions/*/; do list+=("$(basename "$dir")"); done
  printf '%s\n' "${list[*]}"
}

# --- one OMS -----------------------------------------------------------------

oms_prefix() {
  [[ -z ${OMS_INSTANCE:-} ]] && return 0
  [[ $OMS_INSTANCE =~ ^[a-z][a-z0-9]{0,11}$ && $OMS_INSTANCE != tls && $OMS_INSTANCE != n2 ]] || die "OMS_INSTANCE must be 1 to 12 of a-z and 0-9, beginning with a letter, and neither tls nor n2; it is '$OMS_INSTANCE'"
  printf '%s_\n' "$OMS_INSTANCE"
}

oms_root() { printf '%s%s\n' "$DEVENV_DIR/oms" "${OMS_INSTANCE:+-$OMS_INSTANCE}"; }

# Of a node, 1 or 2. The second one lies in the folder of the first, so that a
# reset finds it as it finds all else there.
oms_container() {
  local node=
  ((${2:-1} == 1)) || node=n2_
  printf 'oms_%s%s%s\n' "$(oms_prefix)" "$node" "${1//./}"
}
oms_node_root() {
  if (($1 == 1)); then oms_root; else printf '%s/node2\n' "$(oms_root)"; fi
}
oms_node_ip() {
  if (($1 == 1)); then printf '%s\n' "$OMS_HOST_IP"; else printf '%s.%s\n' "${OMS_HOST_IP%.*}" "$((${OMS_HOST_IP##*.} + 1))"; fi
}
oms_database() { printf '%s%s_%s\n' "$(oms_prefix)" "$1" "${2//./}"; }
oms_port() { free_port "oms-${OMS_INSTANCE:-main}-$1"; }

# oms_metadb NAME [ROLE]: the value of METADB_NAME of the MetaDB that is asked for, for that database.
oms_metadb() {
  local variable=METADB_$1 other=${OMS_METADB:-}
  if [[ -n ${OMS_SEPARATE_CM:-} && ${2:-rm} != rm ]]; then other=mariadb; fi
  if [[ $other == mariadb && ${METADB_KIND:-} != mariadb ]]; then variable=METADB_MARIADB_$1; fi
  [[ -n ${!variable:-} ]] || die "$variable is not set: is the MetaDB up? (hack/devenv.sh up)"
  printf '%s\n' "${!variable}"
}

# oms_mysql ROLE ARGUMENT...: the client, on that database's server.
oms_mysql() {
  local defaults
  defaults=$(oms_metadb DEFAULTS "$1")
  mariadb --defaults-file="$defaults" "${@:2}"
}

yaml_quoted() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# oms_write_config VERSION NODE FILE: laid out as the guide's sample. The nodes'
# files differ in a comment, so that one in the other's place shows.
oms_write_config() {
  local version=$1 node=$2 file=$3 of='' part role keys=''
  ((node == 1)) || of=" Node $node."
  case $(jq -r .metaKeys "$OMS_STANDIN_DIR/versions/$version/version.json") in
    shared) keys=meta ;;
    split) keys='cm_meta rm_meta' ;;
  esac
  (
    umask 077
    {
      printf '# OMS %s, configuration of this region.%s 管理员: ops@example.com\n' "$version" "$of"
      printf '"cm_location": "2"\n'
      printf '"cm_nodes":\n'
      for ((node = 1; node <= OMS_NODES; node++)); do printf -- '- "%s"\n' "$(oms_node_ip "$node")"; done
      printf '"cm_region": "cn-hangzhou"\n"cm_region_cn": "杭州"\n'
      printf '"cm_url": "http://%s:%s"\n' "$OMS_HOST_IP" "$(oms_port cm)"
      printf '"drc_cm_db": "%s"\n' "$(oms_database cm "$version")"
      printf '"drc_cm_heartbeat_db": "%s"\n' "$(oms_database cm_hb "$version")"
      printf '"drc_rm_db": "%s"\n' "$(oms_database rm "$version")"
      printf '\n# MetaDB. Ask the DBA team before you change these.\n'
      for part in $keys; do
        role=${part%meta}
        role=${role%_}
        printf '"oms_%s_host": "%s"\n' "$part" "$(oms_metadb HOST "${role:-rm}")"
        printf '"oms_%s_password": %s\n' "$part" "$(yaml_quoted "$(oms_metadb PASSWORD "${role:-rm}")")"
        printf '"oms_%s_port": "%s"  # not the default\n' "$part" "$(oms_metadb PORT "${role:-rm}")"
        printf '"oms_%s_user": %s\n' "$part" "$(yaml_quoted "$(oms_metadb USER "${role:-rm}")")"
      done
      printf '\n# Ports: this host runs other things beside OMS.\n'
      printf 'nginx_server_port: %s\n' "$(oms_port nginx)"
      printf 'ghana_server_port: %s\n' "$(oms_port ghana)"
      printf 'cm_server_port: %s\n' "$(oms_port cm)"
      printf 'supervisor_server_port: %s\n' "$(oms_port supervisor)"
      printf 'sshd_server_port: %s\n' "$(oms_port sshd)"
      printf "tsdb_enabled: false\ntsdb_service: 'CERESDB'\n"
      printf '# Set by the site team; OMS does not know them.\n'
      printf '%s\n' '"site_owner": "team-7 # not a comment"' "\"site_note\": 'it''s \"kept\": yes'"
    } >"$file"
  )
}

# oms_drop_databases DEFAULTS: those of any version of this instance.
oms_drop_databases() {
  local names name
  names=$(mariadb --defaults-file="$1" -N -e 'select schema_name from information_schema.schemata') ||
    die "the MetaDB does not answer (clients' defaults file: $1)"
  for name in $names; do
    [[ $name =~ ^"$(oms_prefix)"(rm|cm|cm_hb)_[0-9]+$ ]] || continue
    oms_schema_change mariadb --defaults-file="$1" -e "DROP DATABASE IF EXISTS \`$name\`" ||
      die "databases of OMS could not be dropped"
  done
}

# oms_schema_change COMMAND...: runs it, and again when OceanBase answers that it
# was busy with other sessions' DDL: 5627 "Schema try again", or 5734 "already
# exist" for what is new (its own second try after a conflict finds the first
# one's). The command must be one that can be run again from its beginning. The
# others' DDL may take long where the machine is slow, so it is tried for long.
oms_schema_change() {
  local attempt output
  for ((attempt = 0; attempt < 60; attempt++)); do
    if output=$("$@" 2>&1); then return 0; fi
    [[ $output == *'ERROR 5627'* || $output == *'ERROR 5734'* ]] || break
    sleep 0.5
  done
  say "$output"
  return 1
}

# oms_charset ROLE: cm has another default than the server, so that a cm which
# is made anew without it shows.
oms_charset() {
  if [[ $1 == cm ]]; then printf 'utf8mb4 COLLATE utf8mb4_bin'; else printf 'utf8mb4'; fi
}

# oms_make_database ROLE NAME FILE: makes it, new, from a file of statements.
oms_make_database() {
  printf 'DROP DATABASE IF EXISTS `%s`;\nCREATE DATABASE `%s` DEFAULT CHARACTER SET %s;\n' "$2" "$2" "$(oms_charset "$1")" |
    oms_mysql "$1" || return 1
  # One commit for all rows: they are many statements.
  {
    printf 'SET autocommit=0;\n'
    cat "$3"
    printf 'COMMIT;\n'
  } | oms_mysql "$1" -D "$2"
}

# oms_fill VERSION ROLE: one database, filled from a file that is made once.
oms_fill() {
  local version=$1 role=$2 key file temporary name rows=${OMS_SAMPLE_ROWS:-20000} sequence=${OMS_SAMPLE_SEQUENCE:-100000}
  name=$(oms_database "$role" "$version")
  local arguments=(--version "$version" --role "$role" --rows "$rows" --sequence "$sequence"
    --host-ip "$OMS_HOST_IP" --cm-url "http://$OMS_HOST_IP:$(oms_port cm)")
  key=$({
    printf '%s\n' "${arguments[@]}"
    cat "$OMS_STANDIN_DIR/sample.py" "$OMS_STANDIN_DIR"/versions/*/*/*.sql
  } | sha256sum | cut -c1-16)
  file=$CACHE_DIR/oms-samples/$key.sql
  if [[ ! -s $file ]]; then
    mkdir -p "$CACHE_DIR/oms-samples"
    temporary=$(mktemp "$file.XXXXXX")
    python3 "$OMS_STANDIN_DIR/sample.py" "${arguments[@]}" >"$temporary" || {
      rm -f "$temporary"
      die "hack/oms-standin/sample.py failed"
    }
    mv -f "$temporary" "$file"
  fi
  oms_schema_change oms_make_database "$role" "$name" "$file" || {
    say "$name could not be filled"
    return 1
  }
}

# oms_lock: one start or reset of an instance at a time. One that was
# interrupted goes on for a moment in its parts, which hold the lock too.
oms_lock() {
  exec 6>"$(oms_root).lock"
  flock -n 6 || { say "another start or reset of this OMS is under way; waiting for it"; flock 6; }
}

# oms_folders: of all instances of this environment.
oms_folders() {
  local dir
  for dir in "$DEVENV_DIR"/oms "$DEVENV_DIR"/oms-*; do
    [[ ! -d $dir || ${dir##*/} == oms-tls ]] || printf '%s\n' "$dir"
  done
}

# oms_containers FOLDER...: ids of the containers that mount something of these
# folders, so also of those that an upgrade has made. Nothing else makes a
# container ours, its name least of all: the engine may be one in which a real
# OMS runs, as oms_430.
oms_containers() {
  local ids
  ids=$(docker ps -aq --no-trunc) || return 1
  [[ -n $ids && $# -gt 0 ]] || return 0
  # One that has gone since is no failure.
  # shellcheck disable=SC2086
  { docker container inspect $ids 2>/dev/null || true; } | jq -r '
    .[] | select(any(.Mounts[]?.Source; . as $source | any($ARGS.positional[]; . as $root |
                     $source == $root or ($source | startswith($root + "/"))))) | .Id' --args "$@"
}

# oms_list: name, state and image of each container of this environment.
oms_list() {
  local folders ids
  mapfile -t folders < <(oms_folders)
  ids=$(oms_containers "${folders[@]}") || die "the container engine does not answer at ${DOCKER_HOST:-its default address}"
  [[ -n $ids ]] || return 0
  # shellcheck disable=SC2086
  { docker container inspect $ids 2>/dev/null || true; } |
    jq -r '.[] | [(.Name | ltrimstr("/")), .State.Status, .Config.Image] | @tsv'
}

oms_another_engine='Give this OMS another name (OMS_INSTANCE=abc), or the environment an engine of its own: hack/devenv.sh down; hack/devenv.sh up --engine own'

# oms_refuse_strangers: names that this OMS, or an upgrade of it, would take and
# that are somebody else's in this engine. Nothing has been touched yet.
oms_refuse_strangers() {
  local version node name id ours
  ours=$(oms_containers "$(oms_root)") || die "the container engine does not answer at ${DOCKER_HOST:-its default address}"
  for version in $(oms_versions); do
    for ((node = 1; node <= OMS_NODES; node++)); do
      name=$(oms_container "$version" "$node")
      id=$(docker container inspect -f '{{.Id}}' "$name" 2>/dev/null) || id=
      [[ -z $id || $ours == *"$id"* ]] ||
        die "the engine at $DOCKER_HOST has a container $name that is not this environment's (image $(docker container inspect -f '{{.Config.Image}}' "$name")); it is left alone. $oms_another_engine"
    done
    # A load would take the tag away from it.
    if docker image inspect "oms:$version" >/dev/null 2>&1 &&
      [[ -z $(docker image inspect -f '{{index .Config.Labels "oms.standin.version"}}' "oms:$version") ]]; then
      die "the engine at $DOCKER_HOST has an image oms:$version that is not the stand-in; it is left alone. Give the environment an engine of its own: hack/devenv.sh down; hack/devenv.sh up --engine own"
    fi
  done
}

# oms_choose_ports: before the parts of a start run side by side. The OMS before
# this one has ended, so who listens there now is somebody else.
oms_choose_ports() {
  local role
  for role in nginx ghana cm supervisor sshd; do
    if port_in_use "$(oms_port "$role")"; then
      wait_until 5 "the end of who listens on port $(oms_port "$role")" eval "! port_in_use $(oms_port "$role")" ||
        forget_port "oms-${OMS_INSTANCE:-main}-$role"
    fi
    oms_port "$role" >/dev/null
  done
}

# oms_reset: containers, databases (on each MetaDB there is) and folders of
# this instance.
oms_reset() {
  local root containers
  root=$(oms_root)
  containers=$(oms_containers "$root") || die "the container engine does not answer at ${DOCKER_HOST:-its default address}"
  # shellcheck disable=SC2086
  [[ -z $containers ]] || docker rm -f $containers >/dev/null || die "containers of OMS could not be removed"
  oms_drop_databases "$METADB_DEFAULTS"
  [[ -z ${METADB_MARIADB_DEFAULTS:-} ]] || oms_drop_databases "$METADB_MARIADB_DEFAULTS"
  mkdir -p "$root"
  # The folder itself stays: it may be a mount, or held by somebody.
  find "$root" -xdev -mindepth 1 -delete
}

# oms_certificate ROOT: the two files of the guide's certificate mounts, of a CA
# of this environment ($DEVENV_DIR/oms-tls/ca.pem).
oms_certificate() {
  local dir=$DEVENV_DIR/oms-tls
  tls_ca "$dir" oms-standin-ca
  tls_cert "$dir" server- "/CN=oms" server "IP:$OMS_HOST_IP,IP:$(oms_node_ip 2)"
  cp "$dir/server-cert.pem" "$1/https_crt"
  cp "$dir/server-key.pem" "$1/https_key"
}

# oms_programs_run CONTAINER: all that its supervisord has.
oms_programs_run() {
  local status
  status=$(docker exec "$1" supervisorctl status 2>/dev/null) && [[ -n $status ]] && ! grep -qv ' RUNNING ' <<<"$status"
}

# oms_healthy IP [CONTAINER]: by /oms/health; a version that does not offer it (CONTAINER is given then)
# by its programs and its port.
oms_healthy() {
  if [[ -n ${2:-} ]]; then
    [[ $(curl -s -o /dev/null -w '%{http_code}' --max-time 4 "http://$1:$(oms_port ghana)/health") == 200 ]] &&
      ! docker exec "$2" supervisorctl status | grep -qv ' RUNNING '
    return
  fi
  local url=http://$1 ca=()
  if [[ -n ${OMS_HTTPS:-} ]]; then url=https://$1 ca=(--cacert "$DEVENV_DIR/oms-tls/ca.pem"); fi
  [[ $(curl -fsS --max-time 4 "${ca[@]}" "$url:$(oms_port nginx)/oms/health" 2>/dev/null |
    jq -r .data.healthy) == true ]]
}

# oms_run_node VERSION NODE: its folder, its config.yaml and its container.
oms_run_node() {
  local version=$1 node=$2 root container own=()
  root=$(oms_node_root "$node")
  container=$(oms_container "$version" "$node")
  mkdir -p "$root"/oms_{logs,store,run}
  oms_write_config "$version" "$node" "$root/config.yaml"
  if [[ -n ${OMS_HTTPS:-} ]]; then
    oms_certificate "$root"
    own+=(-v "$root/https_crt:/etc/pki/nginx/oms_server.crt" -v "$root/https_key:/etc/pki/nginx/oms_server.key")
  fi
  if [[ -n ${OMS_OAT:-} ]]; then own+=(-e OMS_STANDIN_OAT=true); fi
  if oms_is_component "$node"; then own+=(-e OMS_STANDIN_ROLE=component); fi
  if [[ -n ${OMS_BEAT_SECONDS:-} ]]; then own+=(-e OMS_STANDIN_BEAT_SECONDS="$OMS_BEAT_SECONDS"); fi
  # The guide's own flags, step 5.
  docker run -dit --net host \
    -v "$root/config.yaml:/home/admin/conf/config.yaml" \
    -v "$root/oms_logs:/home/admin/logs" \
    -v "$root/oms_store:/home/ds/store" \
    -v "$root/oms_run:/home/ds/run" \
    "${own[@]}" \
    -e OMS_HOST_IP="$(oms_node_ip "$node")" \
    --privileged=true \
    --pids-limit -1 \
    --ulimit nproc=65535:65535 \
    --name "$container" \
    "oms:$version" >/dev/null || die "docker run of $container failed"
}

# oms_is_component NODE
oms_is_component() { [[ -n ${OMS_SEPARATED:-} ]] && (($1 == 2)); }

# oms_await_node VERSION NODE
oms_await_node() {
  local version=$1 node=$2 ip container by_programs=()
  ip=$(oms_node_ip "$node")
  container=$(oms_container "$version" "$node")
  if oms_is_component "$node"; then
    wait_until 60 "the programs of the component container $container" oms_programs_run "$container" ||
      die "the component of OMS $version does not run; logs: $(oms_node_root "$node")/oms_logs"
    return
  fi
  if [[ $(jq 'if has("health") then .health else true end' "$OMS_STANDIN_DIR/versions/$version/version.json") == false ]]; then
    by_programs=("$container")
  fi
  if ! wait_until 60 "a healthy OMS at http://$ip:$(oms_port nginx)/oms/health" oms_healthy "$ip" "${by_programs[@]}"; then
    docker logs --tail 20 "$container" >&2 || true
    docker exec "$container" supervisorctl status >&2 || true
    die "OMS $version did not become healthy; logs: $(oms_node_root "$node")/oms_logs"
  fi
}

# oms_hosts_known: each node is in cm and beats, as in an OMS that has run for a while. The sample has the first one.
oms_hosts_known() {
  local node ip count
  for ((node = 1; node <= OMS_NODES; node++)); do
    ip=$(oms_node_ip "$node")
    count=$(oms_mysql cm -N -e "SELECT (SELECT COUNT(*) FROM $(oms_database cm "$1").host WHERE ip = '$ip') +
      (SELECT COUNT(*) FROM $(oms_database cm_hb "$1").heart_beat WHERE task_name = 'supervisor' AND host_ip = '$ip')")
    [[ $count == 2 ]] || return 1
  done
}

# oms_start VERSION: a fresh OMS of that version, HA on, healthy on return.
oms_start() {
  local version=$1 root start=$EPOCHREALTIME pids=() pid failed=0 role node names=''
  [[ -f $OMS_STANDIN_DIR/versions/$version/version.json ]] ||
    die "the OMS stand-in has no version '$version'; it has: $(oms_versions)"
  [[ $OMS_NODES == [12] ]] || die "OMS_NODES must be 1 or 2; it is '$OMS_NODES'"
  [[ -z ${OMS_SEPARATED:-} || $OMS_NODES == 2 ]] || die "OMS_SEPARATED needs OMS_NODES=2"
  oms_metadb DEFAULTS >/dev/null
  if [[ -n ${OMS_SEPARATE_CM:-} ]]; then
    [[ $(jq -r .metaKeys "$OMS_STANDIN_DIR/versions/$version/version.json") == split ]] ||
      die "OMS $version knows one server for all databases; OMS_SEPARATE_CM is for 4.3.1 and later"
    [[ ${METADB_KIND:-} != mariadb && -n ${METADB_MARIADB_HOST:-} ]] ||
      die "OMS_SEPARATE_CM needs two servers: hack/devenv.sh up --metadb both"
  fi
  root=$(oms_root)
  oms_build_images
  oms_refuse_strangers
  oms_note_images
  oms_reset
  oms_choose_ports
  oms_load_image "$version" & pids+=("$!")
  for role in rm cm cm_hb; do oms_fill "$version" "$role" & pids+=("$!"); done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  ((failed == 0)) || die "OMS $version could not be prepared; the lines above say what failed"
  # The next version's image is loaded by the upgrade; others may need it where
  # several instances run.
  if [[ -z ${OMS_INSTANCE:-}${OMS_KEEP_IMAGES:-} ]]; then oms_remove_images "oms:$version" >/dev/null; fi
  {
    printf 'OMS_CONTAINER=%q\nOMS_VERSION=%q\nOMS_HOST_IP=%q\n' "$(oms_container "$version")" "$version" "$OMS_HOST_IP"
    for role in rm cm cm_hb; do printf 'OMS_%s_DB=%q\n' "${role^^}" "$(oms_database "$role" "$version")"; done
    for role in nginx ghana cm supervisor sshd; do printf 'OMS_%s_PORT=%q\n' "${role^^}" "$(oms_port "$role")"; done
    printf 'OMS_DATA=%q\n' "$root"
    if ((OMS_NODES == 2)); then
      printf 'OMS_NODE2_CONTAINER=%q\nOMS_NODE2_HOST_IP=%q\nOMS_NODE2_DATA=%q\n' \
        "$(oms_container "$version" 2)" "$(oms_node_ip 2)" "$(oms_node_root 2)"
    fi
  } >"$root/instance.env"
  for ((node = 1; node <= OMS_NODES; node++)); do
    oms_run_node "$version" "$node"
    names+=" $(oms_container "$version" "$node")"
  done
  for ((node = 1; node <= OMS_NODES; node++)); do oms_await_node "$version" "$node"; done
  wait_until 20 'each node in the tables host and heart_beat' oms_hosts_known "$version" ||
    die "a node of OMS $version did not register itself; logs below $root"
  say "OMS $version runs: container$names, data $root, health on port $(oms_port nginx) ($(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f s", b - a}'))"
}

# oms_down: takes out of an engine that outlives the environment what is of the
# environment, and no more; what has to stay is told. Must not fail because
# something is gone already.
oms_down() {
  local engine ids names left folders
  engine=$(recall engine) && [[ $engine != own ]] || return 0
  mapfile -t folders < <(oms_folders)
  if ! engine_answers "$engine"; then
    # Without a start of an OMS nothing was put into it.
    recall oms-images-before >/dev/null || return 0
    say "note: the engine at $engine does not answer; containers that mount a folder of $DEVENV_DIR, and images oms:* with the label oms.standin.version, stay in it"
    return 0
  fi
  export DOCKER_HOST=$engine
  names=$(oms_list | cut -f1 | paste -sd' ')
  ids=$(oms_containers "${folders[@]}") || return 1
  if [[ -n $ids ]]; then
    # shellcheck disable=SC2086
    docker rm -f $ids >/dev/null || say "note: containers of this environment stay in the engine at $engine"
    say "removed from the engine at $engine: $names"
  fi
  left=$(oms_remove_images)
  [[ -z $left ]] ||
    say "note: images of the stand-in stay in the engine at $engine, as a container needs them: ${left//$'\n'/ } (docker image rm)"
}
