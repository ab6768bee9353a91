#!/usr/bin/env python3
"""docs/benchmarks.md and docs/benchmarks.svg from what lies in bench/results and in its history.

    python bench/compare/docs.py            # writes both
    python bench/compare/docs.py --check    # exits with 1 where they are not what this would write
"""
import argparse
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = "bench/results"
COLOURS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#9c6b4e", "#ff8ab7", "#97bbf5"]
BEST = {"G3": "exact", "G5": ""}  # goals of the loader that are a ratio to another library; the variants to show


def git(*arguments):
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True).stdout


def versions(ending):
    """Every result with this ending that was ever committed, oldest first, and what lies there now."""
    found = {}
    for line in git("log", "--reverse", "--format=%H", "--", RESULTS).split():
        for path in git("ls-tree", "--name-only", line, RESULTS + "/").split():
            if path.endswith(ending):
                result = json.loads(git("show", f"{line}:{path}"))
                found[result["date"], result["commit"]] = result
    for path in sorted((ROOT / RESULTS).glob("*" + ending)):
        result = json.loads(path.read_text())
        found.pop((result["date"], result["commit"]), None)
        found[result["date"], result["commit"]] = result
    return list(found.values())


def steps(result):
    """name -> (our milliseconds, PyTorch's fastest variant, its milliseconds, PyTorch's eager milliseconds)"""
    rows = {}
    for row in result["rows"]:
        if row["name"].startswith("step/"):
            rows.setdefault(row["name"].removeprefix("step/"), []).append(row)
    made = {}
    for name, variants in rows.items():
        best = min(variants, key=lambda row: row["ratio"])
        eager = next((row for row in variants if row["variant"] == "eager"), best)
        made[name] = (best["ours_ms"], best["variant"], best["ratio"], eager["ratio"])
    return made


def commit_of(result, kind):
    """Of the rows whose names begin like this: some may have been measured again later in the day."""
    return " and ".join(dict.fromkeys(row.get("commit", result["commit"]) for row in result["rows"]
                                      if row["name"].startswith(kind)))


def batches():
    workloads = json.loads((HERE / "workloads_cpu.json").read_text())
    return {step["name"].removeprefix("step/"): step["batch"] for step in workloads["steps"]}


def chart(results):
    """Throughput of the training steps, as a multiple of PyTorch's default in the same run: machines differ."""
    names = list(steps(results[-1]))
    series = {name: [(i, steps(r)[name][3]) for i, r in enumerate(results) if name in steps(r)] for name in names}
    top = max(value for points in series.values() for _, value in points) * 1.1
    width, height, left, right, above, below = 860, 340, 50, 210, 24, 44
    span = max(len(results) - 1, 1)

    def x(i):
        return left + (width - left - right) * (i / span if len(results) > 1 else 0.5)

    def y(value):
        return above + (height - above - below) * (1 - value / top)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="#ffffff"/>']
    for tick in [t / 2 for t in range(int(top * 2) + 1)]:
        dash = "" if tick == 1 else ' stroke-dasharray="2 4"'
        out.append(f'<path d="M{left} {y(tick):.1f}H{width - right}" stroke="#999" stroke-width="0.7"{dash}/>')
        out.append(f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="#444">{tick:g}</text>')
    for i, result in enumerate(results):
        out.append(f'<text x="{x(i):.1f}" y="{height - below + 18}" text-anchor="middle" fill="#444">{result["commit"][:7]}'
                   f'</text><text x="{x(i):.1f}" y="{height - below + 33}" text-anchor="middle" fill="#444">{result["date"]}</text>')
    labels = sorted(((points[-1][1], name) for name, points in series.items() if points), reverse=True)
    place = above
    for value, name in labels:
        colour = COLOURS[names.index(name) % len(COLOURS)]
        line = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in series[name])
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        out += [f'<circle cx="{x(i):.1f}" cy="{y(v):.1f}" r="3.2" fill="{colour}"/>' for i, v in series[name]]
        place = max(place + 15, y(value) + 4)
        out.append(f'<text x="{width - right + 14}" y="{place:.1f}" fill="{colour}">{name} {value:.2f}</text>')
    out.append(f'<text x="{left}" y="14" fill="#222">clips per second of a training step, as a multiple of eager PyTorch\'s '
               "in the same run</text></svg>")
    return "\n".join(out) + "\n"


def process_lines(result):
    """Start and memory, of what was measured of them: see compare/processes.py."""
    def by_name(kind):
        found = {}
        for row in result["rows"]:
            if row["name"].startswith(kind):
                found.setdefault(row["name"].removeprefix(kind), {})[row["variant"]] = row
        return found

    def ratio(rows, variant):
        return f"{rows[variant]['ratio']:.2f}" if variant in rows else ""

    lines, starts, memory = [], by_name("start/"), by_name("memory/")
    if starts:
        lines += ["From the command to the end of the first training step on 20 short videos, a new process each time; ours "
                  "is `engine_train` with all that it checks, PyTorch's a script that does no more than that. Ratios above "
                  "1 mean that ours is faster.", "", "| network | ours ms | to eager PyTorch | to its fastest variant |",
                  "|---|---:|---:|---|"]
        for name, rows in starts.items():
            best = min(rows.values(), key=lambda row: row["ratio"])
            lines.append(f"| {name} | {best['ours_ms']:.0f} | {ratio(rows, 'eager')} | {best['ratio']:.2f} "
                         f"({best['variant']}) |")
        lines.append("")
    if memory:
        lines += ["Peak resident memory of a process that makes these training steps, program and libraries included. Here "
                  "the ratio is our memory over PyTorch's: below 1 ours takes less.", "",
                  "| network | ours MiB | PyTorch eager MiB | ours / eager | ours / its leanest variant |",
                  "|---|---:|---:|---:|---|"]
        for name, rows in memory.items():
            best = max(rows.values(), key=lambda row: row["ratio"])
            eager = f"{rows['eager']['peer_mb']:.0f}" if "eager" in rows else ""
            lines.append(f"| {name} | {best['ours_mb']:.0f} | {eager} | {ratio(rows, 'eager')} | "
                         f"{best['ratio']:.2f} ({best['variant']}) |")
        lines.append("")
    return ["", "## Start and memory", "", *lines[:-1]] if lines else []


def loader_lines(result):
    peers = {}
    for row in result["rows"]:
        if row["goal"] in BEST and row["variant"].startswith(BEST[row["goal"]]):
            kept = peers.setdefault((row["peer"].split()[0], row["name"]), row)
            if row["cpu_ratio"] < kept["cpu_ratio"]:
                peers[row["peer"].split()[0], row["name"]] = row
    libraries = list(dict.fromkeys(peer for peer, _ in peers))
    lines = ["| videos | ours, clips/s a core | " + " | ".join(f"to {peer}" for peer in libraries) + " |",
             "|---|---:|" + "---:|" * len(libraries)]
    for name in dict.fromkeys(name for _, name in peers):
        ours = next(row["ours_cpu_ms"] for (_, n), row in peers.items() if n == name)
        ratios = [f"{peers[peer, name]['cpu_ratio']:.2f}" if (peer, name) in peers else "" for peer in libraries]
        lines.append(f"| {name} | {1000 / ours:.0f} | " + " | ".join(ratios) + " |")
    return lines


def document(results, loaders):
    result, size = results[-1], batches()
    processes = process_lines(result)
    programs, codec = (" engine_train engine_data", " torchcodec,") if processes else ("", "")
    lines = ["# Benchmarks", "",
             f"Training steps on {result['threads']} threads of {result['machine']}, beside PyTorch {result['torch']} in the "
             f"same run, a window of ours before each of its ({result['date']}, commit {commit_of(result, 'step/')}). A step is forward, "
             "loss, backward, clipping and Adam; clips are 12 frames of 64x64.", "",
             "| network | clips of a step | ours ms | clips/s | to eager PyTorch | to its fastest variant |",
             "|---|---:|---:|---:|---:|---|"]
    for name, (ours, variant, best, eager) in steps(result).items():
        batch = size.get(name)
        rate = f"{1000 * batch / ours:.1f}" if batch else ""
        lines.append(f"| {name} | {batch or ''} | {ours:.0f} | {rate} | {eager:.2f} | {best:.2f} ({variant}) |")
    lines += ["", "![Training steps over commits, beside PyTorch](benchmarks.svg)", "",
              "```sh", f"cmake --build --preset release --target engine_compare{programs} && python bench/compare/compare.py",
              "```", "",
              f"The Python needs PyTorch, torchvision,{codec} numpy and safetensors; nothing else should run. Ratios above 1 mean that "
              f"ours is faster. All ops, with their spread and what is below 1 and why: "
              f"[{RESULTS}](../{RESULTS}/{result['date']}-cpu.md); how times are taken: [bench/](../bench/README.md)."]
    lines += processes
    if loaders:
        loader = loaders[-1]
        lines += ["", "## The loader", "",
                  f"Clips of {loader['T']} frames, {loader['S']} apart, to RGB {loader['size']}x{loader['size']}, a process and a "
                  f"thread each, processor time ({loader['date']}, {loader['machine']}, commit {loader['commit']}); of torchcodec the "
                  "faster of its exact ways.", "", *loader_lines(loader), "", "```sh",
                  "cmake --build --preset release --target engine_io_bench && python bench/compare/loader.py --data FOLDER_OF_VIDEOS",
                  "```", "",
                  f"Every figure and goal, and why where one is missed: [{RESULTS}](../{RESULTS}/{loader['date']}-loader.md)."]
    lines += ["", "## Everything else", "",
              "`build/release/bin/engine_bench` times every op, network, the loader, checkpoints and the start of a program, beside "
              "this machine's ceilings; `--baseline` and `--against` tell what moved ([bench/](../bench/README.md)). On a GPU: "
              "[gpu.md](gpu.md).", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    results = versions("-cpu.json")
    files = {"benchmarks.svg": chart(results), "benchmarks.md": document(results, versions("-loader.json"))}
    for name, text in files.items():
        path = ROOT / "docs" / name
        if check and (not path.exists() or path.read_text() != text):
            sys.exit(f"docs/{name} is not what bench/results gives; python bench/compare/docs.py writes it")
        if not check:
            path.write_text(text)


if __name__ == "__main__":
    main()
