# shellcheck shell=bash
# The MetaDB: OceanBase (the server in PyPI's pylibseekdb) or MariaDB.
# Each has a folder of its own below metadb/:
#   oceanbase/  data, root-password, password (of the user for OMS), *.cnf
#   mariadb/    the same, and tls/ with ca.pem
# metadb/password and metadb/root-password are those of the primary.

SEEKDB_VERSION=1.4.0.post1
METADB_USER=oms_meta

seekdb_dir() { printf '%s/pylibseekdb-%s\n' "$CACHE_DIR" "$SEEKDB_VERSION"; }

# fetch_seekdb: the server, unpacked into the cache once.
fetch_seekdb() {
  local dir
  dir=$(seekdb_dir)
  (
    flock 9
    [[ -f $dir/.complete ]] && exit 0
    say "fetching OceanBase (PyPI's pylibseekdb $SEEKDB_VERSION, 54 MB), once"
    rm -rf "$dir"
    fetch_wheel "pylibseekdb==$SEEKDB_VERSION" "$dir" ||
      die "PyPI's pylibseekdb $SEEKDB_VERSION could not be fetched; is PyPI reachable, and is this x86_64 or aarch64 with glibc 2.28 or newer? Or use MariaDB: up --metadb mariadb"
    chmod +x "$dir/pylibseekdb/seekdb"
    touch "$dir/.complete"
  ) 9>"$CACHE_DIR/seekdb.lock"
}

# metadb_defaults KIND USER PASSWORD_FILE FILE: a defaults file for the
# clients, 0600, so that no password is ever an argument.
metadb_defaults() {
  local kind=$1 user=$2 password_file=$3 file=$4
  (
    umask 077
    {
      printf '[client]\nhost=127.0.0.1\nport=%s\nuser=%s\npassword=%s\nprotocol=tcp\n' \
        "$(free_port "metadb-$kind")" "$user" "$(cat "$password_file")"
      printf 'default-character-set=utf8mb4\n'
      [[ $kind == mariadb ]] && printf 'ssl-ca=%s\nssl-verify-server-cert\n' "$DEVENV_DIR/metadb/mariadb/tls/ca.pem"
      true
    } >"$file"
  )
}

# metadb_sql KIND [ARGS...]: the mariadb client as root; SQL from stdin.
metadb_sql() {
  local kind=$1
  shift
  mariadb --defaults-file="$DEVENV_DIR/metadb/$kind/root.cnf" "$@"
}

# A server that is stopped takes the connection and never answers.
metadb_answers() {
  timeout 10 mariadb --defaults-file="$DEVENV_DIR/metadb/$1/root.cnf" -N -e 'select 1' </dev/null >/dev/null 2>&1
}

metadb_passwords() {
  local dir=$1 name
  (
    umask 077
    for name in root-password password; do
      [[ -s $dir/$name ]] || random_password >"$dir/$name"
    done
  )
}

# The user that OMS and the controller use. It may do what the guide needs:
# create and drop databases, end connections, set global variables.
metadb_user_sql() {
  local password
  password=$(cat "$1/password")
  printf "CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s';\n" "$METADB_USER" "$password"
  printf "GRANT ALL PRIVILEGES ON *.* TO '%s'@'%%';\n" "$METADB_USER"
}

oceanbase_start() {
  local dir=$DEVENV_DIR/metadb/oceanbase server port
  server=$(seekdb_dir)/pylibseekdb
  port=$(free_port metadb-oceanbase)
  mkdir -p "$dir"
  chmod 0700 "$dir"
  # A first start that was interrupted leaves data on which none ever starts.
  if [[ -f $dir/.making ]] && ! daemon_pid oceanbase >/dev/null; then rm -rf -- "$dir/data"; fi
  [[ -d $dir/data ]] || touch "$dir/.making"
  mkdir -p "$dir/data"
  metadb_passwords "$dir"
  metadb_defaults oceanbase root "$dir/root-password" "$dir/root.cnf"
  metadb_defaults oceanbase "$METADB_USER" "$dir/password" "$dir/client.cnf"
  if ! daemon_pid oceanbase >/dev/null && port_in_use "$port"; then
    die "port $port, which is OceanBase's here, is taken by another process; end that one, or 'hack/devenv.sh down' and up again to choose another one"
  fi
  # ob_query_timeout stays at its default of 10 s: production has it too, and
  # the upgrade has to cope with it.
  (
    cd "$dir" || exit 1
    export LD_LIBRARY_PATH=$server:$server.libs
    # Its own limit on open files is checked at start.
    ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
    start_daemon oceanbase "$server/seekdb" --nodaemon -P "$port" --base-dir "$dir/data" \
      --parameter datafile_size=512M --parameter datafile_maxsize=4G --parameter datafile_next=256M \
      --parameter log_disk_size=2G --parameter memory_limit=2G
  )
  daemon_ready oceanbase 120 oceanbase_up "$dir" "$port" ||
    die "OceanBase does not answer on 127.0.0.1:$port; its own log: $dir/data/log. It needs 2 GB of memory and 3 GB of disk"
  metadb_user_sql "$dir" | metadb_sql oceanbase || die "OceanBase refused to make the user $METADB_USER"
  rm -f "$dir/.making"
}

# A new server has a root without password. It gets ours before anything else
# is made, so that root without password never sees data.
oceanbase_up() {
  local dir=$1 port=$2
  metadb_answers oceanbase && return 0
  printf "ALTER USER 'root' IDENTIFIED BY '%s';\n" "$(cat "$dir/root-password")" |
    mariadb --no-defaults --protocol=tcp -h 127.0.0.1 -P "$port" -u root || return 1
  metadb_answers oceanbase
}

mariadb_start() {
  local dir=$DEVENV_DIR/metadb/mariadb port sock user host run_as=()
  port=$(free_port metadb-mariadb)
  mkdir -p "$dir"
  chmod 0700 "$dir"
  metadb_passwords "$dir"
  tls_ca "$dir/tls" 'oms devenv metadb CA'
  tls_cert "$dir/tls" server- /CN=localhost server 'DNS:localhost,IP:127.0.0.1'
  tls_cert "$dir/tls" client- "/CN=$METADB_USER" client
  metadb_defaults mariadb root "$dir/root-password" "$dir/root.cnf"
  metadb_defaults mariadb "$METADB_USER" "$dir/password" "$dir/client.cnf"
  ((EUID == 0)) && run_as=(--user=root)
  user=$(id -un)
  if [[ ! -f $dir/.installed ]] && ! daemon_pid mariadb >/dev/null; then
    rm -rf "$dir/data"
    mariadb-install-db --no-defaults "${run_as[@]}" --datadir="$dir/data" --skip-test-db \
      --auth-root-authentication-method=normal --skip-name-resolve \
      >"$DEVENV_DIR/logs/mariadb-install.log" 2>&1 || {
      tail -n 15 "$DEVENV_DIR/logs/mariadb-install.log" >&2
      die "mariadb-install-db failed as user $user (log: $DEVENV_DIR/logs/mariadb-install.log)"
    }
    touch "$dir/.installed"
  fi
  if ! daemon_pid mariadb >/dev/null && port_in_use "$port"; then
    die "port $port, which is MariaDB's here, is taken by another process; end that one, or 'hack/devenv.sh down' and up again to choose another one"
  fi
  # Run before the server listens, at each start: root is never open.
  (
    umask 077
    {
      for host in localhost 127.0.0.1; do
        printf "CREATE USER IF NOT EXISTS 'root'@'%s';\n" "$host"
        printf "ALTER USER 'root'@'%s' IDENTIFIED BY '%s';\n" "$host" "$(cat "$dir/root-password")"
        printf "GRANT ALL PRIVILEGES ON *.* TO 'root'@'%s' WITH GRANT OPTION;\n" "$host"
      done
      # The installer's other roots have no password.
      printf "DROP USER IF EXISTS 'root'@'::1', 'root'@'%s';\n" "$(hostname)" "$(hostname | tr '[:upper:]' '[:lower:]')"
      metadb_user_sql "$dir"
    } >"$dir/init.sql"
  )
  sock=$(short_path metadb-mariadb.sock "$dir/mariadb.sock")
  start_daemon mariadb "$(mariadbd_path)" --no-defaults "${run_as[@]}" --datadir="$dir/data" \
    --bind-address=127.0.0.1 --port="$port" --socket="$sock" --pid-file="$dir/mariadb.pid" \
    --init-file="$dir/init.sql" --skip-name-resolve --character-set-server=utf8mb4 \
    --collation-server=utf8mb4_general_ci --max-allowed-packet=64M --performance-schema=OFF \
    --ssl-ca="$dir/tls/ca.pem" --ssl-cert="$dir/tls/server-cert.pem" --ssl-key="$dir/tls/server-key.pem"
  daemon_ready mariadb 60 metadb_answers mariadb ||
    die "MariaDB does not answer on 127.0.0.1:$port with TLS"
}

mariadbd_path() {
  local path
  path=$(PATH=$PATH:/usr/sbin command -v mariadbd) || die "no mariadbd: apt-get install mariadb-server-core"
  printf '%s\n' "$path"
}

# metadb_kinds oceanbase|mariadb|both: the servers, the primary first.
metadb_kinds() {
  case $1 in
    both) printf 'oceanbase\nmariadb\n' ;;
    *) printf '%s\n' "$1" ;;
  esac
}

metadb_primary() { metadb_kinds "$(recall metadb || echo oceanbase)" | sed -n 1p; }

metadb_start() {
  local kind=$1
  case $kind in
    oceanbase) fetch_seekdb && oceanbase_start ;;
    mariadb) mariadb_start ;;
  esac
}

# The primary's files under names that do not depend on the kind.
metadb_link_primary() {
  local kind name
  kind=$(metadb_primary)
  for name in root-password password root.cnf client.cnf; do
    ln -sfn "$kind/$name" "$DEVENV_DIR/metadb/$name"
  done
}

metadb_stop() {
  stop_daemon oceanbase 30
  stop_daemon mariadb 30
}
