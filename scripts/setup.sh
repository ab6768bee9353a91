#!/usr/bin/env bash
# Installs what the build needs and the machine lacks; says nothing when nothing is missing.
#   ./scripts/setup.sh           install
#   ./scripts/setup.sh --check   list the missing packages and exit 1, or exit 0; changes nothing
# Tested on Debian 12. Debian 13 and Ubuntu 24.04 have packages of these names but are untested.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  g++ cmake ninja-build ccache
  libdnnl-dev
  libavformat-dev libavcodec-dev libavutil-dev libswscale-dev ffmpeg
  libpng-dev libturbojpeg0-dev
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libfmt-dev
  doctest-dev libbenchmark-dev strace
)
# The same for a system without these packages: programs, and headers that the compiler must find.
programs=(c++ cmake ninja ffmpeg)
headers=(dnnl.hpp libavformat/avformat.h libavcodec/avcodec.h libavutil/version.h libswscale/swscale.h png.h turbojpeg.h
  CLI/CLI.hpp toml++/toml.h nlohmann/json.hpp fmt/format.h doctest/doctest.h benchmark/benchmark.h)

# The headers of NVIDIA's cudnn-frontend, which the CUDA backend is built with, lie in its Python package. They are
# unpacked into a folder that git ignores; nothing is installed into the system's Python.
frontend=nvidia-cudnn-frontend frontend_version=1.32.0
frontend_hash=c6006556017a4d1c914c52a556c71b1267f2d6a0500f742e7b4edef539878df0
frontend_folder=.cache/cudnn-frontend

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

has_toolkit() { command -v nvcc "${CUDACXX:-nvcc}" "${CUDA_PATH:-/usr/local/cuda}/bin/nvcc" >/dev/null; }
has_frontend() { [ -d "$frontend_folder/${frontend//-/_}-$frontend_version.dist-info" ]; }

fetch_frontend() {
  if ! python3 -m pip --version >/dev/null 2>&1; then
    say "the CUDA backend is built with $frontend, and python3 -m pip, which would fetch it, is missing (python3-pip)"
    return
  fi
  local work
  mkdir -p .cache
  work=$(mktemp -d .cache/fetch.XXXXXX)
  say "fetching the headers of $frontend $frontend_version"
  # Any wheel will do for the headers; one of them has the hash.
  if echo "$frontend==$frontend_version --hash=sha256:$frontend_hash" |
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp \
      --python-version 3.11 --platform manylinux_2_28_x86_64 --require-hashes --requirement /dev/stdin --dest "$work" &&
    python3 -m zipfile -e "$work"/*.whl "$work/all"; then
    rm -rf "$frontend_folder"
    mkdir "$frontend_folder"
    mv "$work"/all/include "$work"/all/*.dist-info "$frontend_folder"
  else
    say "$frontend could not be fetched; the message is above, and the CUDA backend cannot be built without it"
  fi
  rm -rf "$work"
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
if has_toolkit && ! has_frontend; then
  if $check_only; then echo "$frontend"; exit 1; fi
  fetch_frontend
fi
