#!/usr/bin/env bash
# Checks and measures the CUDA backend on a machine with an NVIDIA GPU, from a build (build/release) or from the bundle of
# scripts/bundle.sh. Every part ends itself within 8 minutes, writes its results as it goes, goes on after a failure, and
# when it is called again, goes on where it left off.
#   gpu_check.sh [PART ...] [--out FOLDER] [--again]      default: all parts, ./gpu_check
#     tests       every suite on the GPU (the case table op by op, CUDA against f64 on the CPU; the same bits twice; a recorded
#                 step against an eager one), and a training on the GPU beside one on the CPU
#     sanitizer   compute-sanitizer's memcheck, racecheck, initcheck and synccheck on the case table
#     survey      the device's description, its copy and product rates, cuDNN's recurrent networks beside ours, plans of convolutions
#                 and products beside each other
#     bench       every workload of bench/compare, ours and PyTorch's, and the table of ratios
#     ncu         bytes and speed of the kernels as Nsight Compute counts them
#   --again deletes earlier results first.
# FOLDER gets gpu_check.tsv, .json and .md (results, three times), gpu_check.log (everything printed), bench.jsonl (what
# was timed) and device.json (the device as cuDNN describes it).
# shellcheck disable=SC2016  # what stands in single quotes is for bash -c
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
part_seconds=470

parts=() out=$PWD/gpu_check again=false
while [ $# -gt 0 ]; do
  case "$1" in
    tests | sanitizer | survey | bench | ncu) parts+=("$1") ;;
    --out) out=${2:?gpu_check: --out needs a folder}; shift ;;
    --again) again=true ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
  esac
  shift
done
if [ ${#parts[@]} -eq 0 ]; then parts=(tests sanitizer survey bench ncu); fi

if [ -x "$here/bin/engine_tests" ]; then # in a bundle
  root=$here bin=$here/bin compare=$here/compare
else
  root=$(dirname "$here")
  bin=$root/build/release/bin compare=$root/bench/compare
  [ -x "$bin/engine_tests" ] || { echo "gpu_check: error: no $bin/engine_tests; build first: ./scripts/test.sh" >&2; exit 69; }
fi
export ENGINE_SOURCE_DIR=$root OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=1000
# NVIDIA's libraries where only a Python environment has them.
wheels=$(python3 -c 'import glob, nvidia; print(":".join(f for p in nvidia.__path__ for f in glob.glob(p + "/*/lib")))' 2>/dev/null || true)
export LD_LIBRARY_PATH=$root/lib:${LD_LIBRARY_PATH:-}${LD_LIBRARY_PATH:+:}$wheels

reason=$("$bin/engine_train" doctor | sed -n 's/^cuda *no: //p')
if [ -n "$reason" ]; then
  echo "gpu_check: error: $reason; run it on a machine with an NVIDIA GPU" >&2
  exit 69
fi

mkdir -p "$out" || exit 74
results=$out/gpu_check.tsv log=$out/gpu_check.log
if $again; then rm -f "$out"/{gpu_check.{tsv,json,md,log},bench.jsonl,device.json}; fi
touch "$results" || exit 74

record() { printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$results"; } # part, name, result, seconds, detail
is_done() { awk -F '\t' -v p="$1" -v n="$2" '$1 == p && $2 == n && $3 != "out of time" { found = 1 } END { exit !found }' "$results"; }
time_left() { [ $((SECONDS - part_start)) -lt $part_seconds ]; }

# Runs a command under the rest of the part's time and records what came of it: passed (exit 0), skipped (it says so),
# failed with its last words.
check() { # part, name, command...
  local part=$1 name=$2 start=$SECONDS status text limit result
  is_done "$part" "$name" && return
  if ! time_left; then
    record "$part" "$name" "out of time" 0 "call gpu_check.sh again"
    return
  fi
  limit=$((part_seconds - (SECONDS - part_start) + 5))
  text=$(timeout -k 5 "$limit" "${@:3}" 2>&1)
  status=$?
  printf '== %s %s (exit code %s)\n%s\n' "$part" "$name" "$status" "$text" >>"$log"
  if [ $status -eq 124 ]; then
    result="out of time" text="stopped after $limit s"
  elif [ $status -eq 0 ] && grep -q 'skipped: ' <<<"$text"; then
    result=skipped text=$(grep -o -m 1 'skipped: .*' <<<"$text")
  elif [ $status -eq 0 ]; then
    result=passed text=$(grep -E 'assertions|ERROR SUMMARY' <<<"$text" | tail -n 1)
  else
    result=failed text=$(grep -E 'ERROR|error|Error' <<<"$text" | head -n 3 | tr '\n' ' ')
  fi
  record "$part" "$name" "$result" $((SECONDS - start)) "$(tr '\t\n' '  ' <<<"$text" | cut -c 1-300)"
  printf '%-10s %-34s %s\n' "$part" "$name" "$result"
}

suite() { # suite, doctest arguments...
  "$bin/engine_tests" --source-file="*/test_$1.cpp" --no-intro "${@:2}"
}
export -f suite
export bin

ops() { grep -oE '^(std::vector<Tensor>|Tensor) [a-z0-9_]+\(' "$root/engine/ops.h" | sed 's/.* //; s/($//' | sort -u; }
suites() {
  if [ -f "$root/suites.txt" ]; then cat "$root/suites.txt"; else
    ctest --test-dir "$root/build/release" -N | sed -n 's/^ *Test *#[0-9]*: \([a-z0-9_]*\)$/\1/p'
  fi | grep -Ev '^(layering|layering_test|readme|gpu_verified|host_runner)$'
}

run_tests() {
  local op name
  for op in $(ops); do check tests "ops_cuda:$op" env ENGINE_TEST_OPS="$op" bash -c 'suite ops_cuda'; done
  # Suites that use CUDA first, then the others.
  for name in $(suites | grep -E '_cuda$|^cudnn' | grep -v '^ops_cuda$') $(suites | grep -Ev '_cuda$|^cudnn'); do
    check tests "$name" bash -c "suite $name"
  done
  check tests training bash -c train_both
}

# The same training on the GPU and on the CPU: both must learn the scenes, and about equally well.
train_both() {
  local work accuracy=() device
  work=$(mktemp -d)
  "$bin/engine_data" make "$work/scenes" --decoded --seed 3 >/dev/null || return 1
  for device in "cuda --precision bf16" "cuda --precision tf32" "cuda --precision f32" "cpu"; do
    # shellcheck disable=SC2086  # words of the device
    "$bin/engine_train" "$work/scenes" --epochs 5 --seed 3 --device $device --out "$work/run ${device// /}" --progress none \
      >"$work/out" 2>"$work/err" || { cat "$work/err"; rm -rf "$work"; return 1; }
    accuracy+=("$(sed -n 's/^Test accuracy: \([0-9.]*\).*/\1/p' "$work/out")")
    echo "$device: test accuracy ${accuracy[-1]}"
  done
  rm -rf "$work"
  awk 'BEGIN { for (i = 1; i < ARGC; ++i) if (ARGV[i] < 0.95 || ARGV[ARGC - 1] - ARGV[i] > 0.03) exit 1 }' "${accuracy[@]}" ||
    { echo "error: accuracy ${accuracy[*]} (bf16, tf32, f32, CPU)"; return 1; }
  echo "assertions: accuracy ${accuracy[*]} (bf16, tf32, f32, CPU)"
}
export -f train_both

run_sanitizer() {
  local tool group
  command -v compute-sanitizer >/dev/null || { record sanitizer compute-sanitizer skipped 0 "not installed"; return; }
  for tool in memcheck racecheck synccheck initcheck; do
    while read -r group; do
      check sanitizer "$tool:${group// /|}" env ENGINE_TEST_OPS="${group// /|}" compute-sanitizer --tool "$tool" \
        --error-exitcode 9 --print-limit 20 "$bin/engine_tests" --source-file='*/test_ops_cuda.cpp' --no-intro \
        --test-case='*stay within their bounds*'
    done < <(ops | xargs -n 6)
  done
}

run_survey() {
  check survey description bash -c '"$bin/engine_survey" describe >"$out/device.json"'
  check survey ceilings bash -c '"$bin/engine_compare" "$compare/workloads.json" --only "^(copy|matmul 8192)" --device cuda >>"$out/bench.jsonl"'
  check survey lstm bash -c '"$bin/engine_survey" lstm >>"$out/bench.jsonl"'
  check survey plans bash -c '"$bin/engine_compare" "$compare/workloads.json" --only "^(conv|matmul|linear)" --tune --seconds 0.2 --device cuda >>"$out/bench.jsonl"'
}
export out compare

# One workload after the other, ours and PyTorch's in turn, so that both see the same machine.
run_bench() {
  local name
  while read -r name; do
    check bench "engine:$name" bash -c '"$bin/engine_compare" "$compare/workloads.json" --only "^$1$" --seconds 0.5 --device cuda >>"$out/bench.jsonl"' _ "$name"
    if python3 -c 'import torch' 2>/dev/null; then
      check bench "pytorch:$name" bash -c 'python3 "$compare/pytorch_compare.py" "$compare/workloads.json" --only "^$1$" --seconds 0.5 --device cuda >>"$out/bench.jsonl"' _ "$name"
    else
      record bench "pytorch:$name" skipped 0 "no PyTorch in python3"
    fi
  done < <(sed -n 's/.*"name": "\([^"]*\)".*/\1/p' "$compare/workloads.json" | sort -t ' ' -k 2,2r)
}

run_ncu() {
  local name
  command -v ncu >/dev/null || { record ncu ncu skipped 0 "not installed"; return; }
  sed -n 's/.*"name": "\([^"]*\)".*/\1/p' "$compare/workloads.json" | grep -Ev 'step|matmul|conv' | while read -r name; do
    check ncu "$name" bash -c 'ncu --clock-control none --launch-skip 4 --launch-count 8 \
      --metrics gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed,sm__warps_active.avg.pct_of_peak_sustained_active \
      "$bin/engine_compare" "$compare/workloads.json" --only "^$1$" --precision bf16 --device cuda --eager' _ "$name" </dev/null
  done
}

# What the table of verified kernels needs: the machine, and the sources that ran.
describe_run() {
  local commit gpu hashes
  commit=$(cat "$root/commit.txt" 2>/dev/null || git -C "$root" describe --always --dirty --abbrev=12)
  gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -n 1 || true)
  is_done machine machine || record machine machine - 0 "${gpu:-no GPU found by nvidia-smi}, commit $commit, $(date -u +%Y-%m-%d)"
  if [ -f "$root/hashes.txt" ]; then hashes=$(cat "$root/hashes.txt"); else hashes=$("$root/scripts/gpu_verified.sh" --hashes); fi
  is_done hash "${hashes%% *}" || while read -r file hash; do record hash "$file" "$hash" 0 ""; done <<<"$hashes"
}

write_markdown() {
  {
    echo "# GPU check"
    echo
    awk -F '\t' '$1 == "machine" { print $5 }' "$results"
    echo
    echo "| part | passed | failed | skipped | out of time |"
    echo "|---|---|---|---|---|"
    awk -F '\t' '$1 != "machine" && $1 != "hash" { last[$1 "\t" $2] = $3 }
      END { for (k in last) { split(k, f, "\t"); n[f[1], last[k]]++; part[f[1]] }
        for (p in part) printf "| %s | %d | %d | %d | %d |\n", p, n[p, "passed"], n[p, "failed"], n[p, "skipped"], n[p, "out of time"] }' "$results"
    echo
    awk -F '\t' '$3 == "failed" { if (!n++) print "| failed | what it said |\n|---|---|"; gsub(/\|/, "\\|", $5); print "| " $1 " " $2 " | " $5 " |" }' "$results"
    if [ -s "$out/bench.jsonl" ] && command -v python3 >/dev/null; then echo; python3 "$compare/table.py" "$out/bench.jsonl"; fi
  } >"$out/gpu_check.md"
}

write_json() {
  awk -F '\t' '
    function quoted(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); gsub(/[\001-\037]/, " ", s); return "\"" s "\"" }
    BEGIN { print "[" }
    { printf "%s{\"part\": %s, \"name\": %s, \"result\": %s, \"seconds\": %d, \"detail\": %s}", (NR > 1 ? ",\n" : ""), quoted($1),
        quoted($2), quoted($3), $4, quoted($5) }
    END { print "\n]" }' "$results" >"$out/gpu_check.json"
}

describe_run
for part in "${parts[@]}"; do
  part_start=$SECONDS
  "run_$part"
done
write_markdown
write_json
cat "$out/gpu_check.md"
! awk -F '\t' '$3 == "failed" { found = 1 } END { exit !found }' "$results"
