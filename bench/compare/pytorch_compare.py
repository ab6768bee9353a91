#!/usr/bin/env python3
"""PyTorch's side of the comparison: times the workloads of workloads.json as engine_compare does.

Prints one JSON object a line. Every workload is given PyTorch's best layout (channels last) and fused optimizer; each
is timed eager, compiled (torch.compile) and, on CUDA, replayed from a CUDA graph, so that the reader can choose the
peer. f32 has TF32 off for products and convolutions, tf32 has it on for both.
"""
import argparse
import json
import math
import re
import sys
import time

import torch
from torch.nn import functional as F

from pytorch_models import make_model

CACHE_BYTES = 256e6


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads")
    parser.add_argument("--only", default=".*")
    parser.add_argument("--precision", default="f32,tf32,bf16")
    parser.add_argument("--variants", default="eager,compile,graph", help="of eager, compile, graph")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def time_calls(work, calls, seconds, device):
    def window(repeats):
        wait(device)
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        wait(device)
        return 1e3 * (time.perf_counter() - start)

    repeats = 1
    took = window(repeats)
    while took < 20:
        repeats = max(repeats + 1, int(repeats * min(8.0, 1.2 * 20 / took)))
        took = window(repeats)
    times, spent = [], 0.0
    while len(times) < 20 or (spent < 1e3 * seconds and len(times) < 1000):
        times.append(window(repeats))
        spent += times[-1]
    times.sort()
    at = lambda share: times[int(share * (len(times) - 1) + 0.5)] / repeats / calls
    return {"ms": at(0.5), "ms_p10": at(0.1), "ms_p90": at(0.9), "windows": len(times)}


def graphed(work):
    """`work`, captured after a warm-up on a stream of its own, as torch.cuda.graphs asks."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


class Lstm(torch.nn.LSTM):
    """An LSTM whose weights are not inputs: cuDNN wants them flattened in one buffer."""


def workload(w, device, dtype):
    """(make inputs, function of the inputs)."""
    op = w["op"]

    def normal(*shape, deviation=1.0):
        return (torch.randn(*shape, device=device) * deviation).to(dtype)

    def weight(*shape, terms):
        return normal(*shape, deviation=1 / math.sqrt(terms))

    def statistics(c):
        return torch.rand(c, device=device) + 0.5

    def last(x):  # the sizes of channels first, the memory of channels last
        return x.movedim(-1, 1)

    if op == "copy":
        return lambda: [normal(w["count"])], lambda x: x.clone()
    if op == "gelu":
        return lambda: [normal(w["count"])], F.gelu
    if op == "dropout":
        return lambda: [normal(w["count"])], lambda x: F.dropout(x, 0.1)
    if op == "softmax":
        return lambda: [normal(w["m"], w["c"])], lambda x: F.softmax(x, -1)
    if op == "matmul":
        m, k, n = w["m"], w["k"], w["n"]
        return lambda: [normal(m, k), weight(k, n, terms=k)], torch.matmul
    if op == "linear":
        m, k, n = w["m"], w["k"], w["n"]
        return lambda: [normal(m, k), weight(n, k, terms=k), normal(n)], F.linear
    if op == "linear_gelu":
        m, k, n = w["m"], w["k"], w["n"]
        return (lambda: [normal(m, k), weight(n, k, terms=k), normal(n)],
                lambda x, a, b: F.gelu(F.linear(x, a, b), approximate="tanh"))
    if op in ("conv2d", "conv3d"):
        c, k, r, pad = w["c"], w["k"], w["r"], w["pad"]
        space = [w[a] for a in (("t", "h", "w") if op == "conv3d" else ("h", "w"))]
        kernel = [r] * len(space)
        conv = F.conv3d if op == "conv3d" else F.conv2d
        return (lambda: [last(normal(w["n"], *space, c)), last(weight(k, *kernel, c, terms=c * r ** len(space))), normal(k)],
                lambda x, a, b: F.relu(conv(x, a, b, padding=pad)))
    if op == "max_pool2d":
        return lambda: [last(normal(w["n"], w["h"], w["w"], w["c"]))], lambda x: F.max_pool2d(x, 2)
    if op == "batch_norm_relu":
        c = w["c"]
        return (lambda: [last(normal(w["n"], w["h"], w["w"], c)), statistics(c), statistics(c), statistics(c), statistics(c)],
                lambda x, a, b, mean, var: F.relu(F.batch_norm(x, mean.detach(), var.detach(), a, b, True)))
    if op in ("layer_norm", "residual_layer_norm"):
        m, c = w["m"], w["c"]
        scale = lambda: statistics(c).to(dtype)
        if op == "layer_norm":
            return lambda: [normal(m, c), scale(), scale()], lambda x, a, b: F.layer_norm(x, (c,), a, b)
        return (lambda: [normal(m, c), scale(), scale(), normal(m, c)],
                lambda x, a, b, r: F.layer_norm(x + r, (c,), a, b))
    if op == "cross_entropy":
        m, c = w["m"], w["c"]
        return lambda: [normal(m, c), torch.randint(c, (m,), device=device)], F.cross_entropy
    if op == "lstm":
        layer = Lstm(w["c"], w["h"], batch_first=True, device=device, dtype=dtype)
        return lambda: [normal(w["n"], w["t"], w["c"])], lambda x: layer(x)[0]
    if op == "attention":
        n, h, s, d = w["n"], w["h"], w["s"], w["d"]

        def attend(qkv):
            q, k, v = qkv.unbind(2)
            y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
            return y.transpose(1, 2).contiguous()

        return lambda: [normal(n, s, 3, h, d)], attend
    raise ValueError(f"unknown op {op}")


def emit(w, precision, variant, work_pass, timing):
    print(json.dumps({"workload": w["name"], "pass": work_pass, "precision": precision,
                      "implementation": f"pytorch {variant}", **timing}), flush=True)


def visit_op(w, dtype, device, compiled, cache_bytes, visit):
    """Calls visit(pass, work, calls of one work) for forward and forward+backward."""
    make, function = workload(w, device, dtype)
    sets, size = [], 0
    while size < cache_bytes and len(sets) < 64:
        sets.append(make())
        size += sum(x.numel() * x.element_size() for x in sets[-1])
    call = torch.compile(function) if compiled else function

    def forward():
        with torch.no_grad():
            for inputs in sets:
                call(*inputs)

    visit("forward", forward, len(sets))
    if w["op"] == "copy":
        return
    for inputs in sets:
        for x in inputs:
            if x.is_floating_point():
                x.requires_grad_()
    y = function(*sets[0])
    seed = None if y.dim() == 0 else torch.randn_like(y)
    parameters = []
    if w["op"] == "lstm":
        parameters = [p for cell in function.__closure__ for p in getattr(cell.cell_contents, "parameters", list)()]
    used = [[x for x in inputs if x.requires_grad][:(3 if w["op"] == "batch_norm_relu" else None)] + parameters
            for inputs in sets]

    def both():
        for inputs, wanted in zip(sets, used):
            torch.autograd.grad(call(*inputs), wanted, seed)

    visit("forward+backward", both, len(sets))


def time_op(w, precision, dtype, variant, args):
    def measure(work_pass, work, calls):
        for _ in range(3):
            work()
        if args.device == "cuda" and variant != "eager":  # kernel time: without the host's part
            work = graphed(work)
        emit(w, precision, variant, work_pass, time_calls(work, calls, args.seconds, args.device))

    visit_op(w, dtype, args.device, variant == "compile", CACHE_BYTES, measure)


def optimizer_work(w, dtype, device):
    """Norm of all gradients, clipping, fused AdamW, and in bf16 the copy that the model computes with."""
    parameter = torch.nn.Parameter(torch.randn(w["count"], device=device))
    gradient = torch.randn(w["count"], device=device).to(dtype)
    copy = torch.empty_like(gradient)
    optimizer = torch.optim.AdamW([parameter], fused=True, capturable=device == "cuda")

    def work():
        parameter.grad = gradient.float() if dtype != torch.float32 else gradient
        torch.nn.utils.clip_grad_norm_([parameter], 1.0)
        optimizer.step()
        if dtype != torch.float32:
            copy.copy_(parameter.detach())

    return work


def time_optimizer(w, precision, dtype, args):
    work = optimizer_work(w, dtype, args.device)
    for _ in range(3):
        work()
    emit(w, precision, "eager", "forward", time_calls(work, 1, args.seconds, args.device))
    if args.device == "cuda":
        emit(w, precision, "graph", "forward", time_calls(graphed(work), 1, args.seconds, args.device))


def time_step(w, precision, dtype, variant, args):
    device = args.device
    model = make_model(w).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(1e-3, device=device) if device == "cuda" else 1e-3,
                                  fused=True, capturable=device == "cuda")
    shape = (w["batch"], w["frames"], w["size"], w["size"], 3)
    pin = device == "cuda"
    clips = [torch.randint(256, shape, dtype=torch.uint8, pin_memory=pin) for _ in range(4)]
    labels = [torch.randint(10, (w["batch"],), pin_memory=pin) for _ in range(4)]
    clip, label = torch.empty(shape, dtype=torch.uint8, device=device), torch.empty(w["batch"], dtype=torch.long, device=device)
    call = torch.compile(model, mode="max-autotune-no-cudagraphs") if variant.startswith("compile") else model

    def compute():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = F.cross_entropy(call(clip), label)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    if device == "cpu":
        clip.copy_(clips[0]), label.copy_(labels[0])
    for _ in range(5):
        compute()
    replay = graphed(compute) if variant.endswith("graph") else compute
    steps = [0]

    def step():
        clip.copy_(clips[steps[0] % 4], non_blocking=True)
        label.copy_(labels[steps[0] % 4], non_blocking=True)
        steps[0] += 1
        replay()

    emit(w, precision, variant, "step", time_calls(step, 1, args.seconds, device))


def main():
    args = parse()
    variants = [v for v in args.variants.split(",") if args.device == "cuda" or v != "graph"]
    torch.backends.cudnn.benchmark = True
    with open(args.workloads) as file:
        workloads = json.load(file)
    for precision in args.precision.split(","):
        if args.device == "cpu" and precision != "f32":
            continue
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        for part, w in [("ops", w) for w in workloads["ops"]] + [("steps", w) for w in workloads["steps"]]:
            if not re.search(args.only, w["name"]):
                continue
            kinds = list(variants)
            if part == "steps" and args.device == "cuda" and "compile" in kinds:
                kinds.append("compile+graph")
            if part == "ops" and w["op"] == "adamw":
                kinds = ["eager"]
            for variant in kinds:
                try:
                    if part == "steps":
                        time_step(w, precision, dtype, variant, args)
                    elif w["op"] == "adamw":
                        time_optimizer(w, precision, dtype, args)
                    else:
                        time_op(w, precision, dtype, variant, args)
                except Exception as error:  # the others still count
                    print(json.dumps({"workload": w["name"], "precision": precision, "implementation": f"pytorch {variant}",
                                      "error": f"{type(error).__name__}: {error}".splitlines()[0]}), flush=True)
                if args.device == "cuda":
                    torch.cuda.empty_cache()
                torch._dynamo.reset()


if __name__ == "__main__":
    sys.exit(main())
