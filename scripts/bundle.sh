#!/usr/bin/env bash
# Packs what gpu_check.sh needs on a machine that has a GPU, the CUDA libraries and cuDNN but no network and no compiler:
# programs, the other libraries that they use, data sets made on the spot instead of FFmpeg.
#   ./scripts/bundle.sh [FILE]      default: build/engine-gpu.tar.xz, at most 60 MB
# There: tar xf engine-gpu.tar.xz && engine-gpu/gpu_check.sh
# ENGINE_CUDA_ARCHITECTURES says which GPUs it is for (default 90a-real: Hopper).
set -euo pipefail
cd "$(dirname "$0")/.."
file=$(realpath -m "${1:-build/engine-gpu.tar.xz}")
most=$((60 * 1000 * 1000))
build=build/bundle stage=build/bundle/engine-gpu

./scripts/setup.sh
launcher=()
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
fi
cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Release -DENGINE_CUDA=ON -DENGINE_VIDEO=OFF -DENGINE_TESTS=ON \
  -DENGINE_BENCH=ON -DENGINE_ARCH=x86-64-v3 -DCMAKE_CUDA_ARCHITECTURES="${ENGINE_CUDA_ARCHITECTURES:-90a-real}" "${launcher[@]}"
cmake --build $build -j "$(nproc)"

rm -rf $stage
mkdir -p $stage/bin $stage/lib $stage/tests $stage/engine $stage/compare
for program in $build/bin/*; do
  strip --strip-debug -o $stage/bin/"$(basename "$program")" "$program"
done
# Libraries that are neither the system's own (glibc, the C++ run-time library) nor NVIDIA's, which that machine has.
ldd $build/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
  grep -Ev '/(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|libcudart|libcublas|libcublasLt|libcudnn[a-z_]*|libcuda|libnvrtc)\.so' |
  while read -r library; do cp -L "$library" $stage/lib/; done
cp scripts/gpu_check.sh $stage/
cp bench/compare/*.py bench/compare/workloads.json $stage/compare/
cp -r tests/device_descriptions $stage/tests/
cp engine/ops.h $stage/engine/
ctest --test-dir $build -N | sed -n 's/^ *Test *#[0-9]*: \([a-z0-9_]*\)$/\1/p' >$stage/suites.txt
git describe --always --dirty --abbrev=12 >$stage/commit.txt
./scripts/gpu_verified.sh --hashes >$stage/hashes.txt

mkdir -p "$(dirname "$file")"
tar -C "$(dirname $stage)" -c engine-gpu | xz -T0 -6 >"$file"
size=$(stat -c %s "$file")
echo "$file: $((size / 1000000)) MB"
if [ "$size" -gt $most ]; then
  echo "bundle: error: $file has $size bytes, more than the $most that it may have; see what grew: tar tvf $file" >&2
  exit 1
fi
