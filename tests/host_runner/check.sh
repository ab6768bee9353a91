#!/usr/bin/env bash
# Tests of the host runner: correct kernels pass, and every planted fault is caught by what stands beside it below.
#   check.sh BUILD_DIR    ends with 0, with 1 when something is missed, with 77 without NVIDIA's headers
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# = 1 ] || { echo "usage: check.sh BUILD_DIR"; exit 2; }
build=$1/host_runner
mkdir -p "$build" || exit 2

headers=
for folder in ${CUDA_HOME:+"$CUDA_HOME"} /usr/local/cuda "$(dirname "$(command -v nvcc || echo /x/x)")/.."; do
  [ -f "$folder/include/cuda_runtime.h" ] && headers=$folder/include && break
done
[ "$headers" ] || { echo "skipped: no CUDA toolkit (set CUDA_HOME to the folder that holds include/cuda_runtime.h)"; exit 77; }

flags=(-std=c++20 -O1 -g -Wall -Wextra -Wshadow -Werror -fno-omit-frame-pointer -isystem "$headers")
kernel=(-include "$here/host_runner.h" -x c++)

# Builds one configuration: NAME COMPILER FLAGS...; two programs that share the runner.
build_all() {
  local name=$1 compiler=("${@:2}")
  "${compiler[@]}" "${flags[@]}" -c "$here/host_runner.cpp" -o "$build/$name.o" &&
    "${compiler[@]}" "${flags[@]}" "${kernel[@]}" "$here/plants/plants.cu" -x none "$build/$name.o" -o "$build/plants-$name" &&
    "${compiler[@]}" "${flags[@]}" "${kernel[@]}" "$here/plants/functions.cu" -x none "$build/$name.o" -o "$build/functions-$name"
}
configurations=(plain ucontext asan)
build_all plain g++ || exit 1
build_all asan g++ -fsanitize=address,undefined -fno-sanitize-recover=all || exit 1
g++ "${flags[@]}" -DENGINE_RUNNER_UCONTEXT -c "$here/host_runner.cpp" -o "$build/ucontext.o" || exit 1
for program in plants functions; do
  g++ "${flags[@]}" "${kernel[@]}" "$here/plants/$program.cu" -x none "$build/ucontext.o" -o "$build/$program-ucontext" || exit 1
done
if command -v clang++ > /dev/null; then
  configurations+=(tsan)
  build_all tsan clang++ -fsanitize=thread || exit 1
else
  echo "no clang++: what TSan must catch is left out"
fi

# TSan of this age cannot place its memory where addresses are much randomised.
unrandomised=()
setarch -R true 2> /dev/null && unrandomised=(setarch -R)
export ASAN_OPTIONS=detect_leaks=1 TSAN_OPTIONS="halt_on_error=1 atexit_sleep_ms=0"

# Runs PROGRAM CONFIGURATION ORDER ARGUMENTS..., all it says goes to stdout.
run() { ENGINE_RUNNER_ORDER=$3 timeout 60 "${unrandomised[@]}" "$build/$1-$2" "${@:4}" 2>&1; }

failed=0
for configuration in "${configurations[@]}"; do
  for order in forward reverse shuffled:1; do
    for program in "plants clean" functions; do
      read -r name arguments <<< "$program"
      said=$(run "$name" "$configuration" "$order" $arguments) && [ -z "$said" ] && continue
      echo "FAILED  $program, which is correct, in $configuration, $order:"
      head -20 <<< "$said"
      failed=1
    done
  done
done
[ $failed = 0 ] && echo "ok      correct kernels and device functions: ${configurations[*]}; forward, reverse, shuffled"

# fault, configuration, a regular expression that what is said must match
faults='
vector_past_end              asan  heap-buffer-overflow.*READ of size.*kernels.h
off_by_one_write             asan  heap-buffer-overflow.*WRITE of size 4.*kernels.h
misaligned_vector            asan  kernels.h.*misaligned address
shared_index_out_of_bounds   asan  kernels.h.*index 33 out of bounds
dynamic_shared_past_end      asan  heap-buffer-overflow.*WRITE of size 4.*kernels.h
missing_barrier_after_write  plain wrong result
missing_barrier_after_write  tsan  data race.*kernels.h.*block_sum
missing_barrier_before_reuse tsan  data race.*kernels.h.*block_sum
missing_barrier_in_transpose plain wrong result
missing_barrier_in_transpose tsan  data race.*kernels.h.*transpose
uninitialised_shared         plain wrong result.*nan
dynamic_shared_uninitialised plain wrong result.*nan
racing_sum                   tsan  data race.*kernels.h.*count_positive
overlapping_blocks           tsan  data race.*kernels.h.*square_shares
missing_fence                tsan  data race.*kernels.h.*sum<
missing_syncwarp             tsan  data race.*kernels.h.*reverse_warp
divergent_barrier            plain kernels.h:[0-9]+: kernel normalise.*thread \(32,0,0\): divergent barrier
divergent_barrier            asan  divergent barrier
divergent_barrier            tsan  divergent barrier
barrier_in_uneven_loop       plain kernel normalise.*deadlock
barrier_after_return         plain kernel negate.*after others have returned
shuffle_by_half_a_warp       plain kernel normalise.*wait for each other
shuffle_with_wrong_mask      plain kernel normalise.*not in its own mask 0x0000ffff
shuffle_outside_mask         plain kernel normalise.*shuffle from lane 20
block_of_2048                plain kernel negate.*block \(2048,1,1\).*invalid launch
too_much_shared_memory       plain kernel negate.*invalid launch
too_many_shared_variables    plain kernel hold_49_kilobytes.*more than 48 KiB
'
caught=0 all=0
while read -r fault configuration wanted; do
  [ "$fault" ] && [ -e "$build/plants-$configuration" ] || continue
  all=$((all + 1))
  verdict=MISSED
  for order in forward reverse shuffled:1; do
    said=$(run plants "$configuration" "$order" "$fault") && continue
    tr '\n' ' ' <<< "$said" | grep -Eq "$wanted" && verdict=caught && break
  done
  [ $verdict = caught ] && caught=$((caught + 1))
  printf '%-7s %-28s %-6s %s\n' $verdict "$fault" "$configuration" "$order"
done <<< "$faults"

# What is refused before a kernel runs.
expect() {  # NAME BY WHAT WANTED
  all=$((all + 1))
  local verdict=MISSED
  grep -q "$4" <<< "$3" && verdict=caught && caught=$((caught + 1))
  printf '%-7s %-28s %s\n' $verdict "$1" "$2"
}
expect unknown_order plain "$(run plants plain sideways clean)" "ENGINE_RUNNER_ORDER is 'sideways'"
expect shared_keyword g++ "$(g++ "${flags[@]}" -fsyntax-only "${kernel[@]}" - <<< 'void k() { __shared__ int x[2]; }' 2>&1)" 'needs SHARED'

echo "$caught planted bugs caught of $all"
[ $failed = 0 ] && [ $caught = $all ]
