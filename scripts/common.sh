# SPDX-License-Identifier: Apache-2.0
# Sourced by ./demo and ./check: progress messages, installation of packages, builds.

# Debian 12 packages, by what they are for.
packages_build="gcc libc6-dev meson ninja-build pkg-config protobuf-c-compiler protobuf-compiler libprotobuf-c-dev libuv1-dev
  libssl-dev libnghttp2-dev libcurl4-openssl-dev libyaml-dev libjansson-dev libsqlite3-dev libseccomp-dev libcmocka-dev
  libargon2-dev libqrencode-dev zlib1g-dev"
packages_run="ca-certificates openssl openssh-client openssh-server openssh-sftp-server python3 python3-botocore python3-cryptography python3-yaml"
packages_test="python3-pytest python3-pytest-xdist python3-grpcio python3-grpc-tools python3-protobuf python3-boto3 python3-websockets python3-jwt awscli gcovr
  python3-pexpect binutils curl procps rsync git oathtool chromium iproute2 passwd fish tcsh tmux zsh systemd dbus
  libpam-systemd logrotate haproxy nginx-light libnginx-mod-stream nftables conntrack caddy apache2-bin pebble squid microsocks age man-db mandoc
  dpkg-dev lintian nghttp2-client"
# Packages of nightly tests only.
packages_nightly="debootstrap postgresql prometheus rpm skopeo umoci"

started=$(date +%s)

[ -t 1 ] && bold=$'\033[1m' plain=$'\033[0m' || bold='' plain=''
say() { printf '\n%s==> %s%s  (%ds)\n' "$bold" "$*" "$plain" "$(($(date +%s) - started))"; }
note() { printf '    %s\n' "$*"; }
die() { printf '\nFAILED: %s\n' "$*" >&2; exit 1; }

# install PACKAGE…: installs the packages that are missing; without missing ones, apt-get is not run.
install() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && { note "everything is installed already"; return; }
  note "apt-get install ${missing[*]}"
  [ "$(id -u)" = 0 ] || die "installing packages needs root"
  apt-get update -qq || die "apt-get update"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || die "apt-get install"
}

# build DIR [MESON_ARGUMENT…]
build() {
  local dir=$1
  shift
  [ -f "$dir/build.ninja" ] || meson setup "$dir" "$@" >"$dir.log" 2>&1 || { tail -30 "$dir.log"; die "meson setup $dir"; }
  ninja -C "$dir" >"$dir.log" 2>&1 || { grep -A20 -E 'FAILED|error' "$dir.log" | head -60; die "building $dir"; }
  note "$(grep -c '^\[' "$dir.log") steps"
}

# Lets tests and demo run on a kernel without Landlock, where services refuse to start by default. (444 is the system call
# landlock_create_ruleset on every architecture; its last argument requests the version.)
allow_missing_landlock() {
  python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 1)' && return
  note "this kernel has no Landlock: services run with CTELEPORT_LANDLOCK=optional"
  export CTELEPORT_LANDLOCK=optional
}
