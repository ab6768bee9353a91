#!/usr/bin/env bash
# Installs what the build needs and the machine lacks; says nothing when nothing is missing.
#   ./scripts/setup.sh           install
#   ./scripts/setup.sh --check   list the missing packages and exit 1, or exit 0; changes nothing
# Tested on Debian 12. Debian 13 and Ubuntu 24.04 have packages of these names but are untested.
set -euo pipefail

packages=(
  g++ cmake ninja-build
  libdnnl-dev
  libavformat-dev libavcodec-dev libavutil-dev libswscale-dev ffmpeg
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libfmt-dev
  doctest-dev libbenchmark-dev
)
# The same for a system without these packages: programs, and headers that the compiler must find.
programs=(c++ cmake ninja ffmpeg)
headers=(dnnl.hpp libavformat/avformat.h libavcodec/avcodec.h libavutil/version.h libswscale/swscale.h CLI/CLI.hpp
  toml++/toml.h nlohmann/json.hpp fmt/format.h doctest/doctest.h benchmark/benchmark.h)

say() { echo "setup: $*" >&2; }
die() { say "error: $*"; exit 1; }

missing_packages() {
  dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null |
    awk -v wanted="${packages[*]}" '
      $1 == "installed" { have[$2] = 1 }
      END { n = split(wanted, name, " "); for (i = 1; i <= n; i++) if (!(name[i] in have)) print name[i] }' || true
}

install_packages() {
  local command=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
      die "these packages are missing and there is no sudo; run as root: apt-get install --no-install-recommends $*"
    command=(sudo "${command[@]}")
  fi
  say "installing $*"
  case "$distribution" in
    debian\ 12) ;;
    *) say "this is ${distribution% }; set-up is tested on Debian 12 only" ;;
  esac
  "${command[@]}" update || say "the package lists could not be updated; trying with the lists that are there"
  "${command[@]}" -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" >/dev/null ||
    die "apt-get could not install $*; its message is above"
}

missing_pieces() {
  local item
  for item in "${programs[@]}"; do
    command -v "$item" >/dev/null || echo "$item"
  done
  command -v c++ >/dev/null || return 0
  for item in "${headers[@]}"; do
    c++ -std=c++20 -I/usr/include/ffmpeg -E -x c++ -include "$item" /dev/null >/dev/null 2>&1 || echo "$item"
  done
}

check_cmake() {
  local version
  version=$(cmake --version | awk 'NR == 1 { print $3 }')
  printf '3.25\n%s\n' "$version" | sort -C -V ||
    die "cmake is $version and the build needs 3.25 or newer; install a newer one, for example: pip install cmake"
}

check_only=false
case "${1:-}" in
  --check) check_only=true ;;
  '') ;;
  *) echo "usage: setup.sh [--check]" >&2; exit 64 ;;
esac

ID='' ID_LIKE='' VERSION_ID=''
# shellcheck source=/dev/null
if [ -r /etc/os-release ]; then . /etc/os-release; fi
distribution="${ID:-unknown} $VERSION_ID"
case " $ID $ID_LIKE " in
  *\ debian\ * | *\ ubuntu\ *)
    mapfile -t missing < <(missing_packages)
    if [ ${#missing[@]} -gt 0 ]; then
      if $check_only; then printf '%s\n' "${missing[@]}"; exit 1; fi
      install_packages "${missing[@]}"
    fi
    ;;
  *)
    mapfile -t missing < <(missing_pieces)
    if [ ${#missing[@]} -gt 0 ]; then
      if $check_only; then printf '%s\n' "${missing[@]}"; exit 1; fi
      say "no package list for this distribution (${distribution% }); the build needs what these Debian packages hold:"
      say "  ${packages[*]}"
      die "not found here: ${missing[*]}"
    fi
    ;;
esac
check_cmake
