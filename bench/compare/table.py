#!/usr/bin/env python3
"""Prints a Markdown table of ratios from the JSON lines of engine_compare and pytorch_compare.py.

Ratio: the time of the fastest PyTorch variant over ours, untuned; above 1 ours is faster. Copy: our traffic (every operand once)
over the rate of the workload `copy`, where the traffic is what bounds.
"""
import json
import sys


def main(path):
    rows, copy_rate, errors = {}, 0.0, []
    with open(path) as file:
        for text in file:
            line = json.loads(text)
            if "error" in line:
                errors.append(line)
                continue
            if "workload" not in line:
                continue
            key = (line["workload"], line.get("pass", ""), line["precision"])
            rows.setdefault(key, {})[line["implementation"]] = line
            if line["workload"].startswith("copy") and line["implementation"] == "engine":
                copy_rate = max(copy_rate, line.get("gb_per_s", 0.0))
    peers = sorted({name for row in rows.values() for name in row if name.startswith("pytorch")})
    print("| workload | pass | precision | engine ms | tuned ms | " + " | ".join(f"{p} ms" for p in peers) + " | ratio | TFLOP/s | copy |")
    print("|---|---|---|" + "---:|" * (len(peers) + 5))
    for (workload, work_pass, precision), row in sorted(rows.items()):
        ours = row.get("engine")
        tuned = row.get("engine tuned")
        times = [row[p]["ms"] if p in row else None for p in peers]
        best = min((t for t in times if t is not None), default=None)
        cells = [f"{t:.4g}" if t is not None else "" for t in times]
        ratio = f"{best / ours['ms']:.2f}" if ours and best else ""
        tuned_ms = f"{tuned['ms']:.4g}" if tuned else ""
        rate = f"{ours['tflop_per_s']:.0f}" if ours and "tflop_per_s" in ours else ""
        share = f"{100 * ours['gb_per_s'] / copy_rate:.0f} %" if ours and "gb_per_s" in ours and copy_rate else ""
        print(f"| {workload} | {work_pass} | {precision} | {ours['ms']:.4g} | {tuned_ms} |" if ours else
              f"| {workload} | {work_pass} | {precision} | | {tuned_ms} |", " | ".join(cells), f"| {ratio} | {rate} | {share} |")
    for line in errors:
        print(f"\n{line['implementation']}, {line['workload']}, {line['precision']}: {line['error']}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
