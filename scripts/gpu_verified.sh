#!/usr/bin/env bash
# Keeps docs/gpu-verified.md true: which CUDA kernels were checked on a real GPU, in the form they have now.
#   scripts/gpu_verified.sh                 rows whose sources have changed since become "not yet", new files get a row
#   scripts/gpu_verified.sh --check         changes nothing; exit 1 where a row is missing or claims too much
#   scripts/gpu_verified.sh --record TSV    rows whose checks all passed in a run of gpu_check.sh (its gpu_check.tsv),
#                                           which must have had the sources that are here now
#   scripts/gpu_verified.sh --hashes        prints "file hash" of every kernel file
set -euo pipefail
cd "$(dirname "$0")/.."
table=docs/gpu-verified.md

# The file itself and every file of the tree that it includes, directly or not.
closure() {
  awk '
    function visit(path,   line, name) {
      if (path in seen) return
      seen[path] = 1
      print path
      while ((getline line < path) > 0)
        if (match(line, /^#include "[^"]+"/)) {
          name = substr(line, RSTART + 10, RLENGTH - 11)
          visit(name)
        }
      close(path)
    }
    BEGIN { visit(ARGV[1]) }' "$1" | sort
}
hash_of() { closure "$1" | xargs cat | sha256sum | cut -c 1-12; }
sources() { find kernels/cuda \( -name '*.cu' -o -name '*.cpp' \) | sort; }
hashes() { sources | while read -r source; do echo "$source $(hash_of "$source")"; done; }

case "${1:-}" in
  --hashes) hashes; exit ;;
  --record) results=${2:?usage: gpu_verified.sh --record gpu_check.tsv} ;;
  --check | '') results= ;;
  *) echo "usage: gpu_verified.sh [--check | --record gpu_check.tsv | --hashes]" >&2; exit 64 ;;
esac

made=$(mktemp) current=$(mktemp)
trap 'rm -f "$made" "$current"' EXIT
hashes >"$current"
awk -F '|' -v results="$results" '
  function trim(s) { gsub(/^[ `]+|[ `]+$/, "", s); return s }
  # Rows of the table are kept in the order of the files; whatever stands before the table stays.
  NR == FNR { split($0, word, " "); order[++files] = word[1]; now[word[1]] = word[2]; next }
  /^\| `kernels\// { file = trim($2); checks[file] = trim($3); hash[file] = trim($4); rest[file] = trim($5); next }
  { head[++lines] = $0 }
  END {
    if (results != "") {
      while ((getline line < results) > 0) {
        split(line, f, "\t")
        if (f[1] == "machine") machine = f[5]
        else if (f[1] == "hash") ran[f[2]] = f[3]
        else if (f[1] == "tests") good[f[2]] = f[3] == "passed"
      }
    }
    for (i = 1; i <= lines; ++i) print head[i]
    for (i = 1; i <= files; ++i) {
      file = order[i]
      if (hash[file] != now[file]) rest[file] = "not yet"
      if (results != "" && ran[file] == now[file] && checks[file] != "") {
        all = 1
        n = split(checks[file], wanted, /, */)
        for (k = 1; k <= n; ++k) if (!good[wanted[k]]) all = 0
        if (all) rest[file] = machine
      }
      printf "| `%s` | %s | %s | %s |\n", file, checks[file] == "" ? "?" : checks[file],
        rest[file] == "not yet" ? "" : "`" now[file] "`", rest[file]
    }
  }' "$current" "$table" >"$made"

if grep -q '^| `kernels/[^|]*| ? |' "$made"; then
  echo "$table: say in the second column which checks of gpu_check.sh prove these files:" >&2
  grep '^| `kernels/[^|]*| ? |' "$made" | cut -d '|' -f 2 >&2
  [ "${1:-}" = --check ] && exit 1
fi
if [ "${1:-}" = --check ]; then
  diff -u "$table" "$made" || { echo "$table is stale: run scripts/gpu_verified.sh" >&2; exit 1; }
else
  cp "$made" "$table"
fi
