# shellcheck shell=bash
# The Debian root file systems that images begin with: made by debootstrap, as
# no registry is reached, and kept in the cache by what is in them.

# Bump the number when the recipe in debian_base changes.
BASE_RECIPE='recipe-4 bookworm'

# base_packages LIST: a file of names, one a line, with comments.
base_packages() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1" | paste -sd, -; }

base_key() { printf '%s %s\n' "$BASE_RECIPE" "$(base_packages "$1")" | sha256sum | cut -c1-16; }

# debian_base LIST FILE WHAT [updates]: minbase with those packages, as one tar;
# with Debian's security updates where asked for. Nothing of this host is in it.
debian_base() {
  local list=$1 file=$2 what=$3 dir log
  [[ -s $file ]] && return 0
  ((EUID == 0)) || die "the base of $what is made by debootstrap, which needs root (this is user $(id -un)); a base made elsewhere may be put at $file"
  have debootstrap || need_packages debootstrap
  say "making the Debian base of $what (debootstrap, about a minute, once)"
  mkdir -p "$(dirname "$file")"
  dir=$(mktemp -d "$(dirname "$file")/debootstrap.XXXXXX")
  log=$dir.log
  if ! debootstrap --variant=minbase --include="$(base_packages "$list")" bookworm "$dir" >"$log" 2>&1; then
    debian_base_failed "$dir" "debootstrap failed (log: $log); is the Debian mirror reachable, and may this host mount /proc in a chroot?"
  fi
  if [[ ${4:-} == updates ]] && ! debian_base_update "$dir" >>"$log" 2>&1; then
    debian_base_failed "$dir" "Debian's security updates could not be installed (log: $log); is its mirror reachable?"
  fi
  if [[ -x $dir/usr/bin/python3 ]] && ! debian_base_compile "$dir" >>"$log" 2>&1; then
    debian_base_failed "$dir" "Python's modules could not be compiled (log: $log)"
  fi
  umount -l "$dir/proc" "$dir/sys" 2>/dev/null || true
  (
    cd "$dir" || exit 1
    tar --sort=name --numeric-owner --mtime=@1735689600 -cf "$file.tmp" \
      --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' --exclude='./run/*' \
      --exclude='./var/cache/*' --exclude='./var/lib/apt/lists/*' --exclude='./var/log/*' \
      --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/info/*' \
      --exclude='./usr/share/locale/*' --exclude='./debootstrap' \
      --exclude='./etc/resolv.conf' --exclude='./etc/hostname' .
  )
  rm -rf --one-file-system -- "$dir" "$log"
  mv -f "$file.tmp" "$file"
}

debian_base_update() {
  local options=(-o Dpkg::Use-Pty=0 -o APT::Install-Recommends=false)
  printf 'deb http://deb.debian.org/debian %s main\n' bookworm bookworm-updates >"$1/etc/apt/sources.list"
  printf 'deb http://deb.debian.org/debian-security bookworm-security main\n' >>"$1/etc/apt/sources.list"
  # In a session of its own, as in apt_quiet.
  DEBIAN_FRONTEND=noninteractive LC_ALL=C setsid --wait chroot "$1" sh -ec '
    apt-get -qq "$@" -o APT::Update::Error-Mode=any update
    apt-get -qq "$@" -y upgrade' sh "${options[@]}" </dev/null
}

# Else each new container compiles the modules that it imports, more than a
# second of a processor for supervisord and six programs. By their content, as
# the tar has other times.
debian_base_compile() {
  find "$1/usr" -name __pycache__ -prune -exec rm -rf {} + &&
    chroot "$1" python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.11
}

debian_base_failed() {
  tail -n 10 "$1.log" >&2
  umount -l "$1/proc" "$1/sys" 2>/dev/null || true
  rm -rf --one-file-system -- "$1"
  die "$2"
}
