#!/usr/bin/env bash
# Tests of the host runner: correct kernels pass, and every planted fault is caught by what stands beside it below.
#   check.sh BUILD_DIR    ends with 0, with 1 when something is missed, with 77 without NVIDIA's headers
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# = 1 ] || { echo "usage: check.sh BUILD_DIR"; exit 2; }
build=$1/host_runner
mkdir -p "$build" || exit 2

headers=
for folder in "${CUDA_HOME:-}" /usr/local/cuda "$(dirname "$(command -v nvcc)")/.."; do
  [ -f "$folder/include/cuda_runtime.h" ] && headers=$folder/include && break
done
[ "$headers" ] || { echo "skipped: no CUDA toolkit; set CUDA_HOME to the folder of include/cuda_runtime.h"; exit 77; }

flags=(-std=c++20 -O1 -g -Wall -Wextra -Wshadow -Werror -fno-omit-frame-pointer -isystem "$headers")
kernel=(-Wno-unknown-pragmas -include "$here/host_runner.h" -x c++)

# Builds the runner and both programs: CONFIGURATION COMPILER FLAGS...
build_all() {
  local name=$1 compile=("${@:2}" "${flags[@]}")
  configurations+=("$name")
  "${compile[@]}" -c "$here/host_runner.cpp" -o "$build/$name.o" || exit 1
  for program in plants functions; do
    "${compile[@]}" "${kernel[@]}" "$here/plants/$program.cu" -x none "$build/$name.o" \
      -o "$build/$program-$name" || exit 1
  done
}
# Runs PROGRAM CONFIGURATION ORDER ARGUMENTS...; all it says goes to stdout.
run() { ENGINE_RUNNER_ORDER=$3 timeout 60 "${fixed_addresses[@]}" "$build/$1-$2" "${@:4}" 2>&1; }

export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS="halt_on_error=1 atexit_sleep_ms=0"
fixed_addresses=()  # TSan of this age cannot place its memory where addresses are much randomised
setarch -R true 2> /dev/null && fixed_addresses=(setarch -R)

configurations=()
build_all plain g++
build_all ucontext g++ -DENGINE_RUNNER_UCONTEXT
build_all asan g++ -fsanitize=address,undefined -fno-sanitize-recover=all
if ! command -v clang++ > /dev/null; then
  echo "no clang++: what TSan must catch is left out"
else
  build_all tsan clang++ -fsanitize=thread
  if [[ $(run plants tsan forward clean) = *"unexpected memory mapping"* ]]; then
    echo "TSan cannot run with this system's address randomisation: what it must catch is left out"
    unset 'configurations[-1]'
  fi
fi

failed=0
for configuration in "${configurations[@]}"; do
  for order in forward reverse shuffled:1; do
    for program in plants functions; do
      said=$(run $program "$configuration" $order clean) && [ -z "$said" ] && continue
      echo "FAILED  the correct kernels of $program.cu, $configuration, $order:"
      head -20 <<< "$said"
      failed=1
    done
  done
done
[ $failed = 0 ] && echo "ok      correct kernels and functions in ${configurations[*]}; forward, reverse, shuffled"

caught=0 all=0
# Counts a fault: NAME BY WHAT WANTED, that is what was said and a regular expression for it.
judge() {
  all=$((all + 1))
  if tr '\n' ' ' <<< "$3" | grep -Eq "$4"; then
    caught=$((caught + 1))
    printf 'caught  %-28s %s\n' "$1" "$2"
  else
    printf 'MISSED  %-28s %s, said: %s\n' "$1" "$2" "$3"
  fi
}

while read -r fault configuration wanted; do
  [[ " ${configurations[*]} " = *" $configuration "* ]] || continue
  for order in forward reverse shuffled:1; do  # one that shows it is enough
    said=$(run plants "$configuration" $order "$fault") || break
  done
  judge "$fault" "$configuration, $order" "$said" "$wanted"
done << 'END'
vector_past_end              asan  heap-buffer-overflow.*READ of size.*kernels.h
off_by_one_write             asan  heap-buffer-overflow.*WRITE of size 4.*kernels.h
misaligned_vector            asan  misaligned address.*kernels.h
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
distant_blocks               tsan  data race.*kernels.h.*square_shares
missing_fence                tsan  data race.*kernels.h.*sum<
missing_syncwarp             tsan  data race.*kernels.h.*reverse_warp
divergent_barrier            plain kernels.h:[0-9]+: kernel normalise.*thread \(32,0,0\): divergent barrier
divergent_barrier            asan  divergent barrier
divergent_barrier            tsan  divergent barrier
barrier_in_uneven_loop       plain kernel normalise.*deadlock: of mask 0xffffffff only the lanes 0xfffff000 reach
barrier_after_return         plain kernel negate.*after others have returned
shuffle_by_half_a_warp       plain kernel normalise.*wait for each other
shuffle_with_wrong_mask      plain kernel normalise.*not in its own mask 0x0000ffff
shuffle_outside_mask         plain kernel normalise.*shuffle from lane 20
missing_grid_barrier         plain wrong result
missing_grid_barrier         tsan  data race.*kernels.h.*rotate
divergent_grid_barrier       plain kernel rotate.*divergent grid barrier: other blocks wait in another
grid_barrier_after_return    plain kernel rotate.*divergent grid barrier: some blocks.*after others have returned
grid_barrier_after_return    asan  divergent grid barrier
grid_barrier_by_half_a_block plain kernel rotate.*divergent barrier: other threads wait in another
grid_barrier_one_by_one      plain kernel rotate.*grid barrier in a kernel that was not launched cooperatively
too_many_blocks_together     plain kernel rotate.*cannot hold all blocks
block_of_2048                plain kernel negate.*block \(2048,1,1\).*invalid launch
too_much_shared_memory       plain kernel negate.*invalid launch
too_many_shared_variables    plain kernel hold_49_kilobytes.*more than 48 KiB
END
judge unknown_order plain "$(run plants plain sideways clean)" "ENGINE_RUNNER_ORDER is 'sideways'"
judge shared_keyword g++ \
  "$(g++ "${flags[@]}" -fsyntax-only "${kernel[@]}" - <<< 'void k() { __shared__ int x[2]; }' 2>&1)" 'needs SHARED'

echo "$caught planted bugs caught of $all"
[ $failed = 0 ] && [ $caught = $all ]
