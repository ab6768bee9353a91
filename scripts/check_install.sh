#!/usr/bin/env bash
# Installs a build into an empty folder, then builds tests/install against it with find_package(engine) and runs it.
#   scripts/check_install.sh [BUILD_FOLDER]      default: build/release
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "${1:-build/release}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log" || { cat "$work/install.log" >&2; exit 1; }
# The source is copied out of the tree so that no header of the tree can be found by accident.
cp -r tests/install "$work/source"
cmake -S "$work/source" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix"
cmake --build "$work/build"
"$work/build/engine_user"
if grep -rqF "$PWD/" "$work/prefix/lib"*/cmake; then
  echo "the installed package files name the source folder $PWD" >&2
  exit 1
fi
for program in "$work"/prefix/bin/*; do
  "$program" --version
done
