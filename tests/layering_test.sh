#!/bin/sh
# Plants one fault at a time into a small clean tree and expects scripts/check_layering.sh to name it.
set -eu
check=$(cd "$(dirname "$0")/.." && pwd)/scripts/check_layering.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
faults=0

plant() { # path, text...: a file of the tree with one line per text
  path=$tree/$1
  shift
  mkdir -p "${path%/*}"
  printf '%s\n' "$@" >"$path"
}

clean_tree() {
  rm -rf "$tree"
  plant kernels/norm.h '#include <cmath>' '#include "kernels/view.h"' '// kernels/cpu is not included here'
  plant kernels/cpu/norm.cpp '#include <immintrin.h>' '#include "kernels/norm.h"' '#include "kernels/cpu/parallel.h"'
  plant kernels/cpu/onednn.h '#include <dnnl.hpp>'
  plant kernels/cuda/norm.cu '#include <cuda_runtime.h>' '#include "kernels/norm.h"' '#include "kernels/cuda/launch.h"'
  plant engine/ops/norm.cpp '#include "kernels/norm.h"' '#include "engine/ops.h"'
  plant layers/models/cnn.cpp '#include "layers/conv.h"' '#include "engine/ops.h"'
  plant io/video.cpp '#include <libavformat/avformat.h>' '#include <fmt/format.h>' '#include "io/video.h"' '#include "engine/tensor.h"'
  plant train/trainer.cpp '#include <CLI/CLI.hpp>' '#include "io/video.h"' '#include "layers/conv.h"' '#include "train/trainer.h"'
  plant tests/test_norm.cpp '#include "op_cases.h"' '#include "kernels/cpu/parallel.h"' '#include <dnnl.hpp>'
}

expect_fault() { # what the report must hold; the fault was planted by the caller
  if report=$("$check" "$tree"); then
    echo "not refused: $1"
    faults=$((faults + 1))
  elif ! printf '%s\n' "$report" | grep -qF "$1"; then
    printf 'refused without naming "%s":\n%s\n' "$1" "$report"
    faults=$((faults + 1))
  fi
  clean_tree
}

clean_tree
"$check" "$tree" >/dev/null || { echo "a clean tree is refused:"; "$check" "$tree" || exit 1; }

include_fault() { # file that includes, what it includes
  plant "$1" "// a comment" "  # include $2"
  expect_fault "$1:2"
}
include_fault kernels/norm.h '"engine/tensor.h"'
include_fault kernels/norm.h '"kernels/cpu/parallel.h"'
include_fault kernels/norm.h '<dnnl.hpp>'
include_fault kernels/norm.h '<cuda_runtime.h>'
include_fault kernels/cpu/norm.cpp '<oneapi/dnnl/dnnl.hpp>'
include_fault kernels/cpu/norm.cpp '"engine/tensor.h"'
include_fault kernels/cpu/norm.cpp '"kernels/cuda/launch.h"'
include_fault kernels/cuda/norm.cu '"kernels/cpu/parallel.h"'
include_fault kernels/cuda/norm.cu '<dnnl.hpp>'
include_fault engine/tensor.cpp '"kernels/cpu/context.h"'
include_fault engine/tensor.cpp '"layers/module.h"'
include_fault engine/tensor.cpp '<cudnn.h>'
include_fault engine/tensor.cpp '"engine/../kernels/cpu/context.h"'
include_fault layers/conv.h '"kernels/conv.h"'
include_fault layers/conv.h '"io/video.h"'
include_fault io/video.h '<libavcodec/avcodec.h>'
include_fault io/video.cpp '"layers/module.h"'
include_fault io/video.cpp '"video.h"'
include_fault train/trainer.cpp '"kernels/adam.h"'
include_fault train/trainer.cpp '<libavutil/log.h>'
include_fault train/trainer.cpp '<nvtx3/nvToolsExt.h>'
include_fault train/trainer.cpp '"tests/op_cases.h"'

plant io/wide.cpp "$(printf '%0121d' 0)"
expect_fault 'io/wide.cpp:1: 121 columns'
awk 'BEGIN { for (i = 0; i < 10001; i++) print "int x;" }' >"$tree/engine/large.cpp"
expect_fault 'more than 10000'

# Not faults: 120 characters of two bytes each; 401 lines, which are listed; any number of comments and blank lines.
plant io/wide.cpp "$(printf '%0120d' 0 | sed 's/0/é/g')"
awk 'BEGIN { for (i = 0; i < 5000; i++) print "// note\n\n/* one\n   two */" }' >"$tree/engine/notes.cpp"
report=$("$check" "$tree") || { printf '%s\n' "$report"; exit 1; }
printf '%s\n' "$report" | grep -qF 'engine/notes.cpp (20000)' || { echo "a long file is not listed"; exit 1; }
printf '%s\n' "$report" | grep -qE '^  engine +2$' || { echo "comments are counted: $report"; exit 1; }
[ "$faults" -eq 0 ] || exit 1
echo "every planted fault was found"
