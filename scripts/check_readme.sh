#!/bin/sh
# The program that README.md shows is the one that scripts/check_install.sh compiles and runs.
set -eu
cd "$(dirname "$0")/.."
awk '/^```/ { if (inside) exit; inside = /^```cpp/; next } inside' README.md | diff -u tests/install/main.cpp - || {
  echo "README.md: its first cpp block differs from tests/install/main.cpp; copy the one that is right over the other" >&2
  exit 1
}
