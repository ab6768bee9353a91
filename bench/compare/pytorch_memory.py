#!/usr/bin/env python3
"""Peak resident memory of training steps in PyTorch; processes.py runs it.

    python bench/compare/pytorch_memory.py WORKLOAD_AS_JSON VARIANT THREADS STEPS

Prints {"before", "peak"} in MiB: before there is a network, with all that is imported, and at most in the end. As
engine_compare does, it holds four batches of random clips and makes two steps of warm-up.
"""
import json
import sys

import torch
import torch._dynamo  # noqa: F401, which the first optimizer would import: counted before the steps

from pytorch_models import make_model, step_of


def resident(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field + ":"))


def main():
    w, variant, threads, steps = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if w["model"] in ("resnet18", "r2plus1d_18"):
        import torchvision  # noqa: F401, counted before the steps
    before = resident("VmRSS")
    shape = (w["batch"], w["frames"], w["size"], w["size"], 3)
    batches = [(torch.randint(256, shape, dtype=torch.uint8), torch.randint(10, (w["batch"],))) for _ in range(4)]
    step = step_of(make_model(w, contiguous=variant == "eager"), batches, variant != "eager")
    for _ in range(2 + steps):
        step()
    print(json.dumps({"before": before, "peak": resident("VmHWM")}))


if __name__ == "__main__":
    main()
