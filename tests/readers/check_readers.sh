#!/usr/bin/env bash
# Whether TensorBoard, NumPy and Python's safetensors read what the programs write.
#   ./tests/readers/check_readers.sh BUILD    BUILD: a build folder, with the programs in bin/
# They come from PyPI into a virtual environment in BUILD; or ENGINE_PYTHON names a Python that has them. Exits with 77,
# the reason printed, where they cannot be had.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: check_readers.sh BUILD}" && pwd)

skip() { echo "skipped: $*"; exit 77; }

python=${ENGINE_PYTHON:-}
if [ -z "$python" ]; then
  python=$build/readers/bin/python
  if ! "$python" -c 'import numpy, safetensors, tensorboard' 2>/dev/null; then
    rm -rf "$build/readers"
    python3 -m venv "$build/readers" 2>/dev/null || skip 'no virtual environment can be made (Debian: python3-venv)'
    "$build/readers/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >"$build/readers/pip.log" 2>&1 ||
      skip "TensorBoard, NumPy and safetensors cannot be installed from PyPI ($build/readers/pip.log)"
  fi
fi
"$python" -c 'import numpy, safetensors, tensorboard' || skip "$python lacks numpy, safetensors or tensorboard"

export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=1000 CUDA_VISIBLE_DEVICES=
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
"$build/bin/engine_data" make "$files/set" --train 3 --test 1 --size 32 --frames 4
"$build/bin/engine_train" "$files/set" --model sora-cnn --frames 4 --size 32 --epochs 2 --batch 10 --ema 0.9 --progress none \
  --out "$files/run"
for format in npy safetensors jsonl; do
  "$build/bin/engine_predict" embed "$files/run/best.safetensors" "$files/set/test" -o "$files/vectors.$format" >"$files/names.txt"
done
"$python" "$here/check_readers.py" "$files"
