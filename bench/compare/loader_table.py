"""What loader.py has measured as a Markdown table, and the machine it was measured on."""
import datetime
import json
import os
import pathlib
import platform
import re

from commit import commit

REASONS = {  # of goals, or of goals and names of rows
    "G1": "equal within the spread",
    "G5 testsrc2 1280x720 GOP 250":
        "decoding is nearly all of it, and a frame takes both 1.6 to 1.7 ms; ours leaves pictures out (G6), the rest is small",
    "G8": "a picture of 1.4 MB is halved first, in 0.07 ms, of which reading it takes 0.03; after that as of 320x240",
    "G13": "samples of the processor: reading packets is 60 % of it, as of ffmpeg; opening each file 15 %, which ffmpeg "
           "does once for 40 rounds; looking for what no picture refers to, order and checksums 25 %",
}


def why_below(row):
    """Where the row's time goes, if that was measured with it; or what is known."""
    if row["goal"] in ("G2", "G7") and "open_ms" in row:
        return (f"a clip's decoding takes {row['decode_ms']:.2f} ms; besides, opening the file {row['open_ms']:.2f}, "
                f"reading the packets {row['packets_ms']:.2f}, making and freeing the decoder {row['decoder_ms']:.2f}, "
                f"and decoding takes {row['between_ms']:.2f} longer as conversions come between")
    if row["goal"] == "G6" and "decode_whole_ms" in row:
        rest = row["read_ms"] - row["decode_ms"]
        bound = row["decode_whole_ms"] / row["decode_ms"]
        return (f"what is left out shortens decoding alone by {bound:.2f}, and {rest:.1f} of {row['read_ms']:.1f} ms are "
                f"not decoding: {(row['decode_whole_ms'] + rest) / row['read_ms']:.2f} in all")
    return REASONS.get(row["goal"] + " " + row["name"], REASONS.get(row["goal"], "not looked into"))


def number(value):
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def table(result):
    lines = ["| set | codec | size | frames | kbit/s | key frame every | reorder depth | not referred to |",
             "|---|---|---|---:|---:|---:|---:|---:|"]
    for s in result["sets"]:
        size = f"{s['width']:.0f}x{s['height']:.0f}"
        several = f" ({s['videos']} videos, medians)" if s["videos"] > 1 else ""
        lines.append(f"| {s['name']}{several} | {', '.join(s['codecs'])} | {size} | {s['frames']:.0f} | "
                     f"{s['kbit_per_s']:.0f} | {s['gop_mean']:.0f} | {s['reorder_depth']:.0f} | "
                     f"{s['unreferenced']:.0%} |")
    lines += ["", "| goal | set | beside | ours ms | theirs ms | ours CPU ms | theirs CPU ms | ratio | of CPU time | "
              "spread | figure | bar | why below |", "|---|---|---|" + "---:|" * 9 + "---|"]
    for row in result["rows"]:
        reason = ""
        if row["met"] is False:
            reason = why_below(row)
        beside = row["variant"] if row["peer"] == "the goal" else f"{row['peer']}, {row['variant']}"
        cells = [row["goal"], row["name"], beside, *(number(row.get(key)) for key in (
            "ours_ms", "peer_ms", "ours_cpu_ms", "peer_cpu_ms", "ratio", "cpu_ratio")), f"{row['spread']:.0%}",
            f"{number(row['figure'])} {row.get('unit', '')}".strip(), number(row["bar"]), reason]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"\n{note['name']}: {note['note']}" for note in result["notes"]]
    return "\n".join(lines) + "\n"


def machine():
    with open("/proc/cpuinfo") as file:
        cpu = re.search(r"model name\s*: (.*)", file.read())
    return {"date": datetime.date.today().isoformat(), "device": "cpu",
            "machine": cpu[1] if cpu else platform.machine(), "cores": os.cpu_count(),
            "commit": commit(), "python": platform.python_version()}


def write(result, folder):
    result["load_average"].append(os.getloadavg())
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / f"{result['date']}-loader"
    base.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    ffmpegs = {row["peer"]: row["peer_ffmpeg"] for row in result["rows"] if "peer_ffmpeg" in row}
    loads = [load[0] for load in result["load_average"]]
    ours = result["sets"][0]["ffmpeg"] if result["sets"] else ""
    text = (f"{result['date']}, {result['machine']}, {result['cores']} cores, commit {result['commit']}; "
            f"T={result['T']}, S={result['S']}, u8 RGB {result['size']}x{result['size']}, page cache "
            f"{result['cache']}; load average {loads[0]:.1f} before, {max(loads):.1f} at most. FFmpeg: "
            + "; ".join([f"ours {ours}", *(f"{peer} {version}" for peer, version in ffmpegs.items())])
            + "\n\n" + table(result))
    base.with_suffix(".md").write_text(text)
