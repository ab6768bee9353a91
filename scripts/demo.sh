#!/usr/bin/env bash
# From nothing to a trained and tested network: sets up, builds, makes labelled videos, trains on them for five epochs
# and measures the accuracy on videos that it was not trained on. Everything it makes lies in ./demo.
#   ./scripts/demo.sh
#   ./scripts/demo.sh --quick    fewer videos and epochs: shows that every step works, not how well it does
set -euo pipefail
cd "$(dirname "$0")/.."

folder=demo clips=() epochs=5
case "${1:-}" in
  --quick) folder=demo/quick clips=(--train 8 --test 4) epochs=2 ;;
  '') ;;
  *) echo "usage: demo.sh [--quick]" >&2; exit 64 ;;
esac
export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=1000
bin=build/release/bin

step() { printf '\n$ %s\n' "$*"; "$@"; }

build() {
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake --preset release "${launcher[@]}" && cmake --build --preset release --target engine_data engine_train engine_predict
}

./scripts/setup.sh
mkdir -p "$folder"
echo "building; the compiler's output goes to $folder/build.log"
start=$SECONDS
build >"$folder/build.log" 2>&1 || { tail -n 40 "$folder/build.log" >&2; exit 1; }
echo "built in $((SECONDS - start)) s"

start=$SECONDS
rm -rf "$folder/scenes" "$folder/run"
step $bin/engine_data make "$folder/scenes" "${clips[@]}"
step $bin/engine_train "$folder/scenes" --model sora-cnn --epochs $epochs --out "$folder/run"
cat <<END

Videos made and network trained in $((SECONDS - start)) s. Try next:
  $bin/engine_predict classify $folder/run/best.safetensors $folder/scenes/test/*/*.mp4
  $bin/engine_train YOUR_VIDEOS --model sora-cnn      (YOUR_VIDEOS: a folder of videos per class)
  $bin/engine_train --help
END
step $bin/engine_predict eval "$folder/run/best.safetensors" "$folder/scenes"
