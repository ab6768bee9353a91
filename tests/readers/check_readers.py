"""Reads a run with TensorBoard, NumPy and safetensors and compares what they find; called by check_readers.sh."""
import io
import json
import math
import pathlib
import sys

import numpy
import PIL.Image
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder = pathlib.Path(sys.argv[1])
run = folder / "run"


def tensors(path):
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def same(name, found, expected, tolerance=0.0):
    if not math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance):
        sys.exit(f"{name}: {found} where {expected} was written")


def check(condition, complaint):
    if not condition:
        sys.exit(complaint)


lines = [json.loads(line) for line in open(run / "metrics.jsonl")]
start = lines[0]
steps = {line["step"]: line for line in lines if line["kind"] == "step"}
epochs = [line for line in lines if line["kind"] == "epoch"]

# safetensors: the models of the run and its checkpoints
models = sorted(run.glob("*.safetensors"))
checkpoints = [path for path in models if path.name.startswith("ckpt-")]
check(checkpoints and run / "best.safetensors" in models, f"{run}: no model or no checkpoint")
count = 0
for path in models:
    values, metadata = tensors(path)
    count += len(values)
    check(values and metadata, f"{path.name}: no tensors or no metadata")
    for name, value in values.items():
        check(numpy.isfinite(value).all(), f"{path.name}: {name} is not finite")
model, _ = tensors(run / "best.safetensors")
newest, _ = tensors(checkpoints[-1])
moments = [name for name in newest if name.startswith("first_moment.")]
check(moments, "the checkpoint has no moments")
parameters = [name[len("first_moment."):] for name in moments]
check(sum(model[name].size for name in parameters) == start["parameters"], "the model has another number of parameters")

# the three formats of vectors
with_numpy = numpy.load(folder / "vectors.npy", allow_pickle=False)
with_safetensors, _ = tensors(folder / "vectors.safetensors")
rows = [json.loads(line) for line in open(folder / "vectors.jsonl")]
names = open(folder / "names.txt").read().splitlines()
check(with_numpy.shape[0] == len(rows) == len(names) > 1, "the formats have other numbers of vectors")
check(any(numpy.array_equal(value, with_numpy) for value in with_safetensors.values()), "npy and safetensors differ")
as_lines = numpy.array([next(v for v in row.values() if isinstance(v, list)) for row in rows], dtype=with_numpy.dtype)
check(numpy.array_equal(as_lines, with_numpy), "npy and jsonl differ")

# TensorBoard
events = EventAccumulator(str(run), size_guidance={"scalars": 0, "histograms": 0, "images": 0, "tensors": 0})
events.Reload()
losses = {event.step: event.value for event in events.Scalars("train/loss")}
check(losses.keys() == steps.keys(), "TensorBoard finds other steps than metrics.jsonl has")
for step, loss in losses.items():
    same(f"train/loss of step {step}", loss, numpy.float32(steps[step]["loss"]))
for event, epoch in zip(events.Scalars("val/loss"), epochs, strict=True):
    same(f"val/loss of step {event.step}", event.value, numpy.float32(epoch["val_loss"]))
histograms = events.Tags()["histograms"]
for tag in histograms:
    for event in events.Histograms(tag):
        check(event.histogram_value.num == sum(event.histogram_value.bucket), f"{tag}: counts that do not add up")
    value = model[tag.removeprefix("parameters/")]
    check(event.histogram_value.num == value.size, f"{tag}: {event.histogram_value.num} values, the model has {value.size}")
check({tag.removeprefix("parameters/") for tag in histograms} >= set(parameters), "a parameter has no histogram")
pictures = 0
for tag in events.Tags()["images"]:
    for event in events.Images(tag):
        picture = PIL.Image.open(io.BytesIO(event.encoded_image_string))
        picture.load()
        check(picture.size == (event.width, event.height), f"{tag}: {picture.size} is not the size that was written")
        pictures += 1
check(pictures > 0 and any(tag.endswith("confusion") for tag in events.Tags()["images"]), "no pictures")
print(f"read back: {count} tensors, {len(rows)} vectors, {len(losses)} losses, {len(histograms)} histograms, {pictures} pictures")
