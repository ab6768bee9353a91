"""What compare.py measures of whole processes, a new one each time, ours and PyTorch's in turn.

start/NETWORK: from the command to the end of the first training step, on 20 short videos of 64x64, a folder per class,
with the page cache warm on both sides (a run of each goes before). Ours is engine_train, which also scans all videos
once, as of any folder that it has not seen, sets some aside and writes a run's folder. It goes on to validate, save and
report, which PyTorch's script (pytorch_start.py) does not; the run's log says how much later than the step its end was,
and that is taken off. So its exit counts, too; whole_ms is with all of it. PyTorch's time ends with the step. Both
decode clips of 12 frames in as many threads as compute. `compile` finds what an earlier run compiled in Inductor's
cache on disk; peer_first_run_ms is of that run.

memory/NETWORK: the peak of resident memory (VmHWM, in MiB) of a process that makes ten steps after two of warm-up, on
four batches of random clips that it holds, and nothing else: no files of weights on either side. Ours is
engine_compare, as in the steps. before: what is resident before there is a network: the program, its libraries, the
interpreter, and what it imports. ratio: our memory over PyTorch's, so that less is better, unlike all ratios of time.
"""
import json
import math
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import torch

HERE = pathlib.Path(__file__).resolve().parent
START_ROUNDS, MEMORY_ROUNDS, MEMORY_STEPS = 5, 3, 10


def summary(ratios):
    """Their median, and half the distance of their quartiles over it."""
    ratio, quartiles = statistics.median(ratios), statistics.quantiles(ratios, n=4)
    return {"ratio": ratio, "spread": (quartiles[2] - quartiles[0]) / 2 / ratio}


def program(args, name):
    return str(pathlib.Path(args.engine).parent / name)


def run(command, seconds=600, **environment):
    """Its stdout, and when it began, its milliseconds and those of processors."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env={**os.environ, **environment})
    ms, after = 1e3 * (time.monotonic() - start), resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{pathlib.Path(command[0]).name}: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return done.stdout, start, ms, 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def script(name, *arguments):
    return [sys.executable, str(HERE / name), *map(str, arguments)]


def our_start(w, args, videos):
    """Milliseconds to the end of the first step, to that of the program, and of processors (to that of the program)."""
    (videos / ".engine-index").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as out:
        size = ["--model-size", w["model_size"]] if "model_size" in w else []
        _, _, ms, cpu_ms = run([
            program(args, "engine_train"), str(videos), "--model", w["model"], *size, "--frames", str(w["frames"]),
            "--size", str(w["size"]), "--batch", str(w["batch"]), "--threads", str(args.threads), "--workers",
            str(args.threads), "--device", "cpu", "--max-steps", "1", "--optimizer", "adam", "--weight-decay", "0",
            "--schedule", "constant", "--progress", "none", "--force", "--out", out])
        with open(os.path.join(out, "metrics.jsonl")) as file:
            lines = [json.loads(line) for line in file]
    (step,), (end,) = ([line for line in lines if line["kind"] == kind] for kind in ("step", "end"))
    if not math.isfinite(step["loss"] or math.nan):
        raise RuntimeError(f"engine_train has a loss of {step['loss']}")
    return ms - 1e3 * (end["t"] - step["t"]), ms, cpu_ms


def peer_start(w, variant, args, videos, cache, seconds=600):
    """Milliseconds to the end of the first step, and of processors."""
    out, start, _, cpu_ms = run(script("pytorch_start.py", videos, json.dumps(w), variant, args.threads), seconds,
                                TORCHINDUCTOR_CACHE_DIR=cache)
    line = json.loads(out)
    if not math.isfinite(line["loss"]):
        raise RuntimeError(f"PyTorch has a loss of {line['loss']}")
    return 1e3 * (line["end"] - start), cpu_ms


def compare_start(w, args, content, rows, notes):
    with tempfile.TemporaryDirectory() as folder:
        run([program(args, "engine_data"), "make", folder + "/set", "--train", "2", "--test", "1", "--size",
             str(w["size"])])
        videos, cache = pathlib.Path(folder, "set/train"), folder + "/inductor"
        for variant in args.variants.split(",") if args.rounds else []:
            try:
                our_start(w, args, videos)
                first = peer_start(w, variant, args, videos, cache, args.compile_seconds)[0]
                pairs = [(*our_start(w, args, videos), *peer_start(w, variant, args, videos, cache))
                         for _ in range(max(2, min(args.rounds, START_ROUNDS)))]
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                reason = str(error) if isinstance(error, RuntimeError) else f"no step after {args.compile_seconds} s"
                notes.append({"name": w["name"], "variant": variant, "error": reason})
                print(f"{w['name']}, {variant}: {reason}", file=sys.stderr)
                continue
            ours, whole, ours_cpu, theirs, theirs_cpu = zip(*pairs)
            rows.append({"name": w["name"], "device": "cpu", "peer": f"pytorch {torch.__version__}", "variant": variant,
                         "ours_ms": statistics.median(ours), "peer_ms": statistics.median(theirs),
                         **summary([b / a for a, b in zip(ours, theirs)]), "pairs": len(pairs),
                         "cpu_ratio": statistics.median(b / a for a, b in zip(ours_cpu, theirs_cpu)),
                         "whole_ms": statistics.median(whole), "peer_first_run_ms": first})
            row = rows[-1]
            print(f"{w['name']}, {variant}: {row['ours_ms']:.0f} ms (the program {row['whole_ms']:.0f}), "
                  f"{row['peer_ms']:.0f} ms, ratio {row['ratio']:.2f}", file=sys.stderr)


def resident(pid, field):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field + ":"))


def when_opened(path, process):
    """The other end of a pipe that `process` opens for reading."""
    while process.poll() is None:
        try:
            return os.fdopen(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "w")
        except OSError:  # not yet
            time.sleep(0.005)
    raise RuntimeError("engine_compare ended early")


def our_memory(step, args, steps):
    """MiB before there is a network, and at most. The program opens its workloads when it is all loaded: a pipe."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "workloads.json")
        os.mkfifo(path)
        command = [program(args, "engine_compare"), path, "--turns", "--device", "cpu", "--precision", "f32",
                   "--threads", str(args.threads)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            with when_opened(path, process) as file:
                before = resident(process.pid, "VmRSS")
                json.dump({"ops": [], "steps": [step]}, file)
            process.stdin.write("step\n" * steps)
            process.stdin.flush()
            while steps:
                line = json.loads(process.stdout.readline() or '{"error": "engine_compare ended early"}')
                if "error" in line:
                    raise RuntimeError(line["error"])
                steps -= "ms" in line
            return before, resident(process.pid, "VmHWM")


def peer_memory(step, variant, args, steps):
    line = json.loads(run(script("pytorch_memory.py", json.dumps(step), variant, args.threads, steps))[0])
    return line["before"], line["peak"]


def compare_memory(w, args, content, rows, notes, steps=MEMORY_STEPS):
    step = next(step for step in content["steps"] if step["name"] == w["name"].replace("memory/", "step/"))
    variants = [variant for variant in args.variants.split(",") if variant != "compile"]
    rounds = [[our_memory(step, args, steps), *(peer_memory(step, variant, args, steps) for variant in variants)]
              for _ in range(max(2, min(args.rounds, MEMORY_ROUNDS)) if args.rounds else 0)]
    for i, variant in enumerate(variants if rounds else [], 1):
        (ours_before, ours), (before, theirs) = (zip(*(turn[side] for turn in rounds)) for side in (0, i))
        rows.append({"name": w["name"], "device": "cpu", "peer": f"pytorch {torch.__version__}", "variant": variant,
                     "better": "less", "ours_mb": statistics.median(ours), "peer_mb": statistics.median(theirs),
                     **summary([a / b for a, b in zip(ours, theirs)]), "rounds": len(rounds), "steps": steps,
                     "ours_before_mb": statistics.median(ours_before), "peer_before_mb": statistics.median(before)})
        row = rows[-1]
        print(f"{w['name']}, {variant}: {row['ours_mb']:.0f} MiB ({row['ours_before_mb']:.0f} before), "
              f"{row['peer_mb']:.0f} MiB ({row['peer_before_mb']:.0f} before), {row['ratio']:.2f} of it",
              file=sys.stderr)


def memory_table(rows, workloads):
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    columns = ["ours MiB", "of it before", *(text for v in variants for text in (f"{v} MiB", "of it before")),
               *(f"ours / {v}" for v in variants), *(f"ours / {v}, without before" for v in variants), "spread",
               "goal: at most"]
    lines = ["| workload | " + " | ".join(columns) + " | why above |", "|---|" + "---:|" * len(columns) + "---|"]
    for name in dict.fromkeys(row["name"] for row in rows):
        found = {row["variant"]: row for row in rows if row["name"] == name}
        w, peers = next(w for w in workloads if w["name"] == name), [found[v] for v in variants]
        added = [(row["ours_mb"] - row["ours_before_mb"]) / (row["peer_mb"] - row["peer_before_mb"]) for row in peers]
        sizes = [peers[0]["ours_mb"], peers[0]["ours_before_mb"],
                 *(row[key] for row in peers for key in ("peer_mb", "peer_before_mb"))]
        above = max(row["ratio"] for row in peers) > w["goal"]
        cells = [name, *(f"{size:.0f}" for size in sizes), *(f"{row['ratio']:.2f}" for row in peers),
                 *(f"{ratio:.2f}" for ratio in added), f"{max(row['spread'] for row in peers):.1%}", f"{w['goal']:.2f}",
                 w.get("reason", "not looked into") if above else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
