#!/usr/bin/env bash
# Sets up, builds and tests; prints the minutes of every part at the end and stops at the first part that fails.
#   ./scripts/test.sh          the release build and its suite
#   ./scripts/test.sh --full   also layering, formatting, the installed package, other programs that read our files, a
#                              build without FFmpeg, the sanitizer builds and, where there is a CUDA toolkit, the CUDA
#                              kernels on the CPU
#   ./scripts/test.sh --release  all that, and the CUDA kernels compiled for every GPU that a release is for
# No GPU and no CUDA toolkit is needed.
set -euo pipefail
cd "$(dirname "$0")/.."

# The suites that the thread sanitizer runs: tests/test_NAME.cpp with threads of their own or signals. OpenMP gets one
# thread there, because its library is not instrumented and its every barrier would be reported as a race.
threaded=(checkpoint engine_data job_queue loader loader_load signals train_program)
# Those that a build without FFmpeg runs: what reads and makes clips there.
without_ffmpeg=(data_export data_tools decoded_clip heads images list_dataset trainer)
# Those of the CUDA kernels, and of what calls them, that run on the CPU.
kernel_suites=()
for file in tests/test_*_cuda.cpp; do
  file=${file#tests/test_}
  kernel_suites+=("${file%.cpp}")
done
kernel_suites+=(cuda_faults cudnn_graphs)

full=false release=false
case "${1:-}" in
  --full) full=true ;;
  --release) full=true release=true ;;
  '') ;;
  *) echo "usage: test.sh [--full | --release]" >&2; exit 64 ;;
esac

jobs=$(nproc)
launcher=() wrapper=()
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
fi
have_cuda() { command -v nvcc >/dev/null || [ -x "${CUDA_PATH:-/usr/local/cuda}/bin/nvcc" ]; }
export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=1000

table='' passed=0 failed=0 skipped=0
row() { # part, minutes, result
  table+=$(printf '%-16s %7s  %s' "$1" "$2" "$3")$'\n'
}

print_table() {
  printf '\n%-16s %7s  %s\n%s\n' part minutes result "$table"
  echo "$passed passed, $failed failed, $skipped skipped"
}

part() { # name, command...: runs the command; when it fails, so does the script; 77 means that it skipped itself
  local start=$SECONDS status minutes
  printf '\n== %s\n' "$1"
  set +e
  (set -e; "${@:2}")
  status=$?
  set -e
  minutes=$(awk -v s=$((SECONDS - start)) 'BEGIN { printf "%.1f", s / 60 }')
  if [ $status -eq 0 ]; then
    passed=$((passed + 1))
    row "$1" "$minutes" passed
  elif [ $status -eq 77 ]; then
    skipped=$((skipped + 1))
    row "$1" "$minutes" 'skipped, for the reason above'
  else
    failed=$((failed + 1))
    row "$1" "$minutes" "failed with exit code $status"
    print_table
    exit 1
  fi
}

skip() { # name, reason
  printf '\n== %s: skipped: %s\n' "$1" "$2"
  skipped=$((skipped + 1))
  row "$1" - "skipped: $2"
}

build() { # preset, the suites to build: all of them where none is named
  local preset=$1
  shift
  cmake --preset "$preset" -DENGINE_SUITES="$(IFS=';'; echo "$*")" "${launcher[@]}"
  cmake --build --preset "$preset" -j "$jobs"
}

alternatives() { (IFS='|'; echo "$*"); }

suite() { # preset, ctest arguments...
  "${wrapper[@]}" ctest --test-dir "build/$1" --output-on-failure --no-tests=error -j "$jobs" "${@:2}"
}

thread_suite() {
  local name
  for name in "${threaded[@]}"; do
    [ -f "tests/test_$name.cpp" ] || { echo "no tests/test_$name.cpp; correct the list in scripts/test.sh" >&2; exit 1; }
  done
  # Without address randomisation where that may be chosen: the sanitizer of g++ 12 finds no place for its tables when
  # the kernel randomises more than 28 bits.
  if setarch -R true 2>/dev/null; then wrapper=(setarch -R); fi
  export OMP_NUM_THREADS=1 TSAN_OPTIONS=halt_on_error=1:exitcode=99
  suite tsan -R "^($(alternatives "${threaded[@]}"))$"
  # One row of the case table per op, each with all its CUDA threads: they, too, may race. Larger rows take minutes.
  ENGINE_TEST_MOST=1000 "${wrapper[@]}" build/tsan/bin/engine_tests --source-file='*/test_ops_cuda.cpp' \
    --test-case='*within their bounds of f64*'
}

# The CUDA kernels on the CPU, with their threads in three orders: a kernel must not depend on any.
kernel_suite() {
  local order
  for order in forward reverse shuffled:7; do
    echo "-- threads in order: $order"
    ENGINE_RUNNER_ORDER=$order suite host-cuda -R "^($(alternatives "${kernel_suites[@]}" host_runner))$"
  done
}

# Without FFmpeg, where decoded clips and folders of images still train.
build_without_ffmpeg() {
  cmake -S . -B build/novideo -G Ninja -DCMAKE_BUILD_TYPE=Release -DENGINE_WERROR=ON -DENGINE_VIDEO=OFF -DENGINE_BENCH=OFF \
    -DENGINE_SUITES="$(IFS=';'; echo "${without_ffmpeg[*]}")" "${launcher[@]}"
  cmake --build build/novideo -j "$jobs"
}

build_all_gpus() {
  cmake -S . -B build/all-gpus -G Ninja -DCMAKE_BUILD_TYPE=Release -DENGINE_WERROR=ON -DENGINE_CUDA=ON -DENGINE_TESTS=OFF \
    -DCMAKE_CUDA_ARCHITECTURES='80-real;90a-real;100-real;120' "${launcher[@]}"
  cmake --build build/all-gpus -j "$jobs" --target engine-kernels
}

check_format() {
  find kernels engine layers io train bench tests \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) \
    -exec clang-format --dry-run -Werror {} +
}

part set-up ./scripts/setup.sh
if $full; then
  part layering ./scripts/check_layering.sh
  case "$(clang-format --version 2>/dev/null || true)" in
    *' version 14.'*) part format check_format ;;
    *) skip format 'no clang-format 14, the version that the files are formatted with' ;;
  esac
fi
part 'build release' build release
part 'test release' suite release
if $full; then
  part install ./scripts/check_install.sh build/release
  part readers ./tests/readers/check_readers.sh build/release
  part 'build no FFmpeg' build_without_ffmpeg
  part 'test no FFmpeg' suite novideo -R "^($(alternatives "${without_ffmpeg[@]}"))$"
  part 'build asan' build asan
  part 'test asan' suite asan
  part 'build tsan' build tsan "${threaded[@]}" ops_cuda
  part 'test tsan' thread_suite
  if have_cuda; then
    part 'build kernels' build host-cuda "${kernel_suites[@]}"
    part 'test kernels' kernel_suite
  else
    skip 'test kernels' 'no CUDA toolkit, whose headers the kernels need'
  fi
  if $release; then part 'build all GPUs' build_all_gpus; fi
fi
print_table
