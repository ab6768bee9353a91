#!/usr/bin/env python3
"""Both sides in turn: ours, PyTorch's, ours, PyTorch's, ... on the workloads of workloads_cpu.json, in one run.

    python bench/compare/compare.py                          # all of it, into bench/results/<date>-cpu.json and .md
    python bench/compare/compare.py --only '^step/sora'      # these again; of this day, other rows stay

A step is forward, cross entropy, backward, clipping and Adam. Its PyTorch twin starts from the same weights and sees
the same clips. Where the losses (dropout 0, whose draws are each side's own) differ by more than 1e-4 of them in the
first step, or by more than 2e-2 in the three after it, nothing is timed: Adam's first steps have the size of the
learning rate whatever the size of the gradient, so that behind batch norms rounding moves them apart.

Besides, processes.py: time to the first step, and peak memory, of processes of their own (CPU).

Variants: `eager`, PyTorch's defaults; `eager channels_last`, with fused Adam; `compile`, the same under torch.compile.
Of ops: eager (fused AdamW) and compile. Both sides flush denormals. Our programs set OMP_WAIT_POLICY=PASSIVE for
themselves; PyTorch gets what the environment says, by default nothing.

ratio: the median, over pairs of neighbouring windows, of PyTorch's time over ours; above 1 ours is faster. spread: half
the distance of these ratios' quartiles, over the ratio. cpu_ratio: the same of the processes' CPU time, which says more
on a machine that others load, if OMP_WAIT_POLICY=PASSIVE keeps PyTorch's threads from spinning. Python needs PyTorch,
torchvision, torchcodec (for start/), numpy and safetensors.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import safetensors.torch
import torch

from commit import commit
from processes import compare_memory, compare_start, memory_table, summary
from pytorch_compare import optimizer_work, visit_op, wait
from pytorch_models import make_model, step_of

HERE = pathlib.Path(__file__).resolve().parent
TOLERANCES = [1e-4, 2e-2, 2e-2, 2e-2]  # of the losses of the first steps


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=HERE / "workloads_cpu.json")
    parser.add_argument("--engine", default=HERE.parents[1] / "build/release/bin/engine_compare")
    parser.add_argument("--only", default=".*", help="workloads whose name matches this regular expression")
    parser.add_argument("--variants", default="eager,eager channels_last,compile")
    parser.add_argument("--threads", type=int, default=2, help="of both sides")
    parser.add_argument("--rounds", type=int, default=15,
                        help="pairs of windows of every variant; 0: only compare losses")
    parser.add_argument("--seconds", type=float, default=40, help="after which a variant gets no more than 5 rounds")
    parser.add_argument("--compile-seconds", type=int, default=150, help="after which torch.compile is given up")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", default=HERE.parent / "results", type=pathlib.Path)
    return parser.parse_args()


class Engine:
    """engine_compare --turns on one workload."""

    def __init__(self, args, name, state):
        command = [args.engine, args.workloads, "--turns", "--only", f"^{re.escape(name)}$", "--device", args.device,
                   "--precision", "f32", "--threads", str(args.threads), "--state", state]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.losses, self.passes = None, None
        while self.passes is None:
            line = self.read()
            self.losses, self.passes = line.get("losses", self.losses), line.get("passes")

    def read(self):
        text = self.process.stdout.readline()
        if not text:
            raise RuntimeError("engine_compare ended early")
        line = json.loads(text)
        if "error" in line:
            raise RuntimeError(line["error"])
        return line

    def window(self, work_pass):
        self.process.stdin.write(work_pass + "\n")
        self.process.stdin.flush()
        line = self.read()
        return line["ms"], line["cpu_ms"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Peer:
    """Work of PyTorch's, timed as engine_compare times a turn."""

    def __init__(self, work, calls, device):
        self.work, self.calls, self.device, self.repeats = work, calls, device, 1
        for _ in range(2):
            work()
        took = self.milliseconds()[0]
        while took < 20:
            self.repeats = max(self.repeats + 1, int(self.repeats * min(8.0, 1.2 * 20 / took)))
            took = self.milliseconds()[0]

    def milliseconds(self):
        wait(self.device)
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in range(self.repeats):
            self.work()
        wait(self.device)
        return 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - cpu_start)

    def window(self):
        self.milliseconds()  # as engine_compare does: the other side's turn has emptied the caches
        return [ms / self.repeats / self.calls for ms in self.milliseconds()]


def loaded(w, weights, device, **options):
    model = make_model(w, **options)
    model.load_state_dict(weights, strict=True)
    return model.to(device)


class TooLong(BaseException):
    """Not an Exception, which torch.compile would take for one of its own."""


def passes_of(w, variant, weights, batches, args, cache_bytes):
    """pass -> Peer, of this variant."""
    def limit(signum, frame):
        raise TooLong(f"not compiled after {args.compile_seconds} s")

    passes = {}
    signal.signal(signal.SIGALRM, limit)
    if variant == "compile":
        signal.setitimer(signal.ITIMER_REAL, args.compile_seconds, 30)
    try:
        if "model" in w:
            model = loaded(w, weights, args.device, contiguous=variant == "eager")
            call = torch.compile(model) if variant == "compile" else model
            passes["step"] = Peer(step_of(call, batches, variant != "eager"), 1, args.device)
        elif w["op"] == "adamw":
            passes["forward"] = Peer(optimizer_work(w, torch.float32, args.device), 1, args.device)
        else:
            visit_op(w, torch.float32, args.device, variant == "compile", cache_bytes,
                     lambda name, work, calls: passes.update({name: Peer(work, calls, args.device)}))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return passes


def measure(engine, work_pass, peer, args):
    pairs, spent = [], 0.0
    while len(pairs) < args.rounds and (len(pairs) < 5 or spent < args.seconds):
        start = time.perf_counter()
        pairs.append((*engine.window(work_pass), *peer.window()))
        spent += time.perf_counter() - start
    ours, ours_cpu, theirs, theirs_cpu = zip(*pairs)
    return {"ours_ms": statistics.median(ours), "peer_ms": statistics.median(theirs),
            **summary([b / a for a, b in zip(ours, theirs)]), "pairs": len(pairs),
            "cpu_ratio": statistics.median(b / a for a, b in zip(ours_cpu, theirs_cpu))}


def compare(w, args, content, rows, notes):
    with tempfile.TemporaryDirectory() as folder:
        state = os.path.join(folder, "state.safetensors")
        engine = Engine(args, w["name"], state)
        weights, batches = {}, []
        if "model" in w:
            weights = safetensors.torch.load_file(state)
            batches = [[weights.pop(f"batch{i}.{part}").to(args.device) for part in ("frames", "labels")]
                       for i in range(4)]
            step = step_of(loaded(w, weights, args.device, dropout=0.0), batches, True)
            losses = [step().item() for _ in engine.losses]
            differences = [abs(a - b) / abs(b) for a, b in zip(engine.losses, losses)]
            notes.append({"name": w["name"], "ours": engine.losses, "peer": losses, "differences": differences})
            print(f"{w['name']}: the losses differ by", *(f"{d:.1e}" for d in differences), file=sys.stderr)
            if not all(d <= allowed for d, allowed in zip(differences, TOLERANCES, strict=True)):
                raise RuntimeError(f"the losses differ: {engine.losses} here, {losses} in PyTorch")
    variants = args.variants.split(",") if "model" in w else [v for v in args.variants.split(",") if "last" not in v]
    for variant in variants if args.rounds else []:
        peers = {}  # frees those of the variant before
        if variant == "compile" and w.get("op") in ("adamw", "lstm"):
            continue  # torch.compile leaves both to the eager functions
        try:
            peers = passes_of(w, variant, weights, batches, args, content["cache_bytes"])
        except (Exception, TooLong) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            notes.append({"name": w["name"], "variant": variant, "error": reason})
            print(f"{w['name']}, {variant}: {reason}", file=sys.stderr)
            continue
        for work_pass in engine.passes:
            name = w["name"] if work_pass == "step" else f"{w['name']}, {work_pass}"
            row = {"name": name, "device": args.device, "peer": f"pytorch {torch.__version__}", "variant": variant,
                   **measure(engine, work_pass, peers[work_pass], args)}
            rows.append(row)
            print(f"{name}, {variant}: {row['ours_ms']:.4g} ms, {row['peer_ms']:.4g} ms, ratio {row['ratio']:.2f}, "
                  f"of CPU time {row['cpu_ratio']:.2f}",
                  file=sys.stderr)
        torch._dynamo.reset()
    engine.close()


def table(rows, workloads):
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    whole = any("whole_ms" in row for row in rows)
    lines = ["| workload | ours ms | " + ("ours to its exit ms | " if whole else "")
             + " | ".join(f"{v} ms" for v in variants) + " | " + " | ".join(f"ratio to {v}" for v in variants)
             + " | of CPU time | spread | goal | why below |",
             "|---|" + "---:|" * (2 * len(variants) + 4 + whole) + "---|"]
    for name in dict.fromkeys(row["name"] for row in rows):
        found = {row["variant"]: row for row in rows if row["name"] == name}
        w = next(w for w in workloads if name == w["name"] or name.startswith(w["name"] + ", forward"))
        worst = min(found.values(), key=lambda row: row["ratio"])
        reason = w.get("reason", "")
        if isinstance(reason, dict):
            reason = reason.get(name[len(w["name"]) + 2:], "")
        cells = [name, *(f"{statistics.median(row[key] for row in found.values()):.4g}"
                         for key in ["ours_ms"] + ["whole_ms"] * whole),
                 *(f"{found[v]['peer_ms']:.4g}" if v in found else "" for v in variants),
                 *(f"{found[v]['ratio']:.2f}" if v in found else "" for v in variants),
                 f"{min(row['cpu_ratio'] for row in found.values()):.2f}",
                 f"{max(row['spread'] for row in found.values()):.1%}", f"{w['goal']:.2f}",
                 (reason or "not looked into") if worst["ratio"] < w["goal"] else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def text_of(result, content):
    commits = " and ".join(dict.fromkeys(row.get("commit", result["commit"]) for row in result["rows"]))
    parts = [f"{result['date']}, {result['machine']}, {result['threads']} threads, PyTorch {result['torch']}, commit "
             f"{commits}; load average {result['load_average'][0][0]:.1f} before, "
             f"{max(load[0] for load in result['load_average']):.1f} at most\n"]
    kinds = {kind: [row for row in result["rows"] if row["name"].startswith(kind)] for kind in ("start/", "memory/")}
    others = [row for row in result["rows"] if not row["name"].startswith(tuple(kinds))]
    if others:
        parts.append(table(others, content["steps"] + content["ops"]))
    if kinds["start/"]:
        parts.append("## From the command to the end of the first step\n\nNew processes, 20 short videos. CPU time is "
                     "of whole processes. The ratio is PyTorch's time over ours: more is better.\n\n"
                     + table(kinds["start/"], content["start"]))
    if kinds["memory/"]:
        parts.append("## Peak memory of training steps\n\nResident, of a process that does nothing else; before: of "
                     "the program and what it loads. The ratio is our memory over PyTorch's: less is better.\n\n"
                     + memory_table(kinds["memory/"], content["memory"]))
    parts += [f"{note['name']}{', ' + note['variant'] if 'variant' in note else ''}: {note['error']}\n"
              for note in result["notes"] if "error" in note]
    return "\n".join(parts)


def machine(args):
    with open("/proc/cpuinfo") as file:
        cpu = re.search(r"model name\s*: (.*)", file.read())
    return {"date": datetime.date.today().isoformat(), "device": args.device,
            "machine": torch.cuda.get_device_name() if args.device == "cuda" else cpu[1] if cpu else platform.machine(),
            "threads": args.threads, "commit": commit(), "python": platform.python_version(),
            "torch": torch.__version__, "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", ""),
            "load_average": [os.getloadavg()]}


def earlier_of(path, result):
    """Rows and notes of an earlier run of this day on this machine."""
    if not path.exists():
        return {"rows": [], "notes": []}
    earlier = json.loads(path.read_text())
    if any(earlier[key] != result[key] for key in ("machine", "threads", "torch", "OMP_WAIT_POLICY")):
        return {"rows": [], "notes": []}
    result["load_average"][:0] = earlier["load_average"]
    return {part: [{"commit": earlier["commit"], **each} for each in earlier[part]] for part in ("rows", "notes")}


def is_of(row, name):
    return row["name"] == name or row["name"].startswith(name + ", forward")


def in_order(rows, work):
    return sorted(rows, key=lambda row: next(i for i, (w, _) in enumerate(work) if is_of(row, w["name"])))


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    with open(args.workloads) as file:
        content = json.load(file)
    work = [(w, compare) for w in content["steps"] + content["ops"]]
    if args.device == "cpu":
        work += [(w, compare_start) for w in content.get("start", [])]
        work += [(w, compare_memory) for w in content.get("memory", [])]
    rows, notes = [], []
    result = machine(args)
    base = args.out / f"{result['date']}-{args.device}"
    earlier, again = earlier_of(base.with_suffix(".json"), result), []
    for w, measured in work:
        if not re.search(args.only, w["name"]):
            continue
        try:
            measured(w, args, content, rows, notes)
        except Exception as error:  # the others still count
            notes.append({"name": w["name"], "error": f"{type(error).__name__}: {error}".splitlines()[0]})
            print(f"{w['name']}: {notes[-1]['error']}", file=sys.stderr)
        result["load_average"].append(os.getloadavg())
        again.append(w["name"])
        others = {part: [each for each in earlier[part] if not any(is_of(each, name) for name in again)] for part in earlier}
        result["rows"] = in_order(others["rows"] + [{"commit": result["commit"], **row} for row in rows], work)
        result["notes"] = others["notes"] + notes
        args.out.mkdir(parents=True, exist_ok=True)
        base.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        base.with_suffix(".md").write_text(text_of(result, content))
    print(text_of(result, content))


if __name__ == "__main__":
    sys.exit(main())
