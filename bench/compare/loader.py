#!/usr/bin/env python3
"""The loader beside torchcodec, PyAV, OpenCV, decord and ffmpeg, in one run and in turn: ours, theirs, ours, theirs.

    python bench/compare/loader.py                             # all of it, into bench/results/<date>-loader.json, .md
    python bench/compare/loader.py --data videos --only G3,G5  # some of it, and on real videos, too

Videos are made by the program ffmpeg: H.264 with B-frames, key frames every 12 or 250. A clip is T frames, S apart,
from a random start, made u8 RGB of 112x112. Each side is a process of its own, opens the video for every clip, and gets
the same clips; the page cache is warm. Before a library is timed, its frames are compared with ours at the video's own
size: where they differ by more than 4 grey levels in the mean, or one is nearer to a neighbour of ours, it is not
timed. What cannot be imported by this Python is left out, and told.

ratio: the median, over pairs of neighbouring windows, of their wall time over ours; above 1 ours is faster. cpu_ratio:
the same of processor seconds of the processes, which is what is meant by "per core", and says more on a machine that
others load. spread: half the distance of the quartiles of the ratio that is judged, over it. Rows without another side
have the goal in its place. Each row says what was judged (`figure`) by which `bar`. G4, G9 and G17 are of a GPU; G15
and G16 are what tests check.
"""
import argparse
import json
import os
import pathlib
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from loader_table import machine, table, write

HERE = pathlib.Path(__file__).resolve().parent
SIZE, FRAMES, STRIDE = 112, 16, 2
TOLERANCE = 4.0  # grey levels: testsrc2 has many edges of colour, where the others repeat chroma and we interpolate
PEERS = ["torchcodec", "pyav", "opencv", "decord"]
SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
LIFE = ("life=size={size}:rate=30:seed=1:mold=10:ratio=0.1:death_color=#C83232:life_color=#00ff00,"
        "noise=alls=10:all_seed=1")
SETS = [  # name, source, size, GOP
    ("testsrc2 320x240 GOP 12", "testsrc2=size={size}:rate=30", "320x240", 12),
    ("testsrc2 320x240 GOP 250", "testsrc2=size={size}:rate=30", "320x240", 250),
    ("life 320x240 GOP 12", LIFE, "320x240", 12),
    ("testsrc2 1280x720 GOP 12", "testsrc2=size={size}:rate=30", "1280x720", 12),
    ("testsrc2 1280x720 GOP 250", "testsrc2=size={size}:rate=30", "1280x720", 250),
]
BARS = {"G1": 1.0, "G2": 0.95, "G7": 0.3, "G8": 0.05, "G10": 0.9, "G11": 0.02, "G12": 500, "G13": 0.8,
        "pyav": 1.35, "opencv": 2.0, "decord": 1.45}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default=HERE.parents[1] / "build/release/bin/engine_io_bench", type=pathlib.Path)
    parser.add_argument("--data", nargs="*", default=[], type=pathlib.Path, help="folders of real videos")
    parser.add_argument("--only", default="", help="goals, such as G3,G5")
    parser.add_argument("--sets", default=".*", help="made videos whose name matches this regular expression")
    parser.add_argument("--folder", type=pathlib.Path, help="keeps the made videos, and takes them from there")
    parser.add_argument("--clips", type=int, default=24, help="drawn from each set")
    parser.add_argument("--rounds", type=int, default=9, help="pairs of windows")
    parser.add_argument("--window", type=float, default=0.3, help="seconds, of ours")
    parser.add_argument("--many", type=int, default=100000, help="videos of the large set")
    parser.add_argument("--out", default=HERE.parent / "results", type=pathlib.Path)
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error("--rounds must be 2 or more: the spread is between rounds")
    return args


def say(text):
    print(text, file=sys.stderr, flush=True)


class Process:
    """A side of the comparison: a line of JSON for every line of JSON."""

    def __init__(self, command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.about = self.read()

    def read(self):
        text = self.process.stdout.readline()
        if not text:
            raise RuntimeError("the process ended early")
        return json.loads(text)

    def ask(self, name, **arguments):
        self.process.stdin.write(json.dumps({"pass": name, **arguments}) + "\n")
        self.process.stdin.flush()
        answer = self.read()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def window(self, name, **arguments):
        """Milliseconds of wall and of processor time for one of what is counted."""
        answer = self.ask(name, **arguments)
        return answer["ms"] / answer["count"], answer["cpu_ms"] / answer["count"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ffmpeg(*arguments):
    """Wall and processor milliseconds of the program."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1e3 * (time.perf_counter() - wall), 1e3 * cpu


def ffmpeg_rounds(path, rounds, *arguments):
    """One round over the file; what it takes to start is measured with one round, and taken off."""
    def run(more):
        return ffmpeg("-stream_loop", more, "-threads", 1, "-i", path, "-map", "0:v:0", *arguments, "-f", "null", "-")

    return [(all - one) / rounds for all, one in zip(run(rounds), run(0))]


class Run:
    def __init__(self, args):
        self.args, self.rows, self.notes = args, [], []
        self.only = set(args.only.split(",")) if args.only else None
        self.load = os.getloadavg()[0]

    def wants(self, *goals):
        return self.only is None or any(goal in self.only for goal in goals)

    def note(self, name, text):
        self.notes.append({"name": name, "note": text})
        say(f"{name}: {text}")

    def pairs(self, ours, theirs, rounds=None):
        """[((wall, cpu) of ours, of theirs)]; both are given the number of the round. The first is a warm-up."""
        ours(0), theirs(0)
        return [(ours(i), theirs(i)) for i in range(rounds or self.args.rounds)]

    def add(self, goal, name, peer, variant, pairs, bar=None, judged="cpu_ratio", scale=1.0, **more):
        ratios = {"ratio": [theirs[0] / max(ours[0], 1e-9) for ours, theirs in pairs],
                  "cpu_ratio": [theirs[1] / max(ours[1], 1e-9) for ours, theirs in pairs]}
        row = {"name": name, "device": "cpu", "peer": peer, "variant": variant}
        for key, side, clock in (("ours_ms", 0, 0), ("peer_ms", 1, 0), ("ours_cpu_ms", 0, 1), ("peer_cpu_ms", 1, 1)):
            row[key] = statistics.median(pair[side][clock] for pair in pairs)
        row.update({key: statistics.median(values) for key, values in ratios.items()})
        figure, quartiles = row[judged] * scale, statistics.quantiles(ratios[judged], n=4)
        self.finish(row, goal, figure, bar, "more", (quartiles[2] - quartiles[0]) / 2 / row[judged], len(pairs),
                    judged=judged, **more)

    def add_figure(self, goal, name, variant, values, bar, unit, better="less", **more):
        """A figure that has a bar and no other side."""
        figure = statistics.median(values)
        spread = 0.0
        if len(values) > 1 and figure:
            quartiles = statistics.quantiles(values, n=4)
            spread = (quartiles[2] - quartiles[0]) / 2 / abs(figure)
        ratio = None if bar is None or not figure else bar / figure if better == "less" else figure / bar
        row = {"name": name, "device": "cpu", "peer": "the goal", "variant": variant,
               "ours_ms": figure if unit == "ms" else None, "peer_ms": bar if unit == "ms" else None,
               "ratio": ratio, "cpu_ratio": None}
        self.finish(row, goal, figure, bar, better, spread, len(values), unit=unit, **more)

    def finish(self, row, goal, figure, bar, better, spread, pairs, **more):
        met = None if bar is None else figure >= bar if better == "more" else figure <= bar
        load = os.getloadavg()[0]
        row.update({"spread": spread, "pairs": pairs, "goal": goal, "figure": figure, "bar": bar, "met": met,
                    "load": [self.load, load], **more})
        self.load = load
        self.rows.append(row)
        bound = "" if bar is None else f", goal {bar:g}{'' if met else ': MISSED'}"
        say(f"{goal} {row['name']}, {row['peer']}, {row['variant']}: {figure:.3g} {more.get('unit', 'x')}{bound}")


def check(run, engine, peer, clip, videos, folder):
    """None where the peer's frames are ours; otherwise why not."""
    video, ours = videos[clip["video"]], str(folder / "frames.rgb")
    numbers = sorted({n for frame in clip["frames"] for n in (frame - 1, frame, frame + 1) if 0 <= n < video["frames"]})
    engine.ask("frames", video=clip["video"], frames=numbers, file=ours)
    answer = peer.ask("check", path=video["path"], frames=clip["frames"], ours=ours, numbers=numbers,
                      width=video["width"], height=video["height"])
    os.unlink(ours)
    if answer["nearer"] or answer["mean"] > TOLERANCE:
        return None, f"differs by {answer['mean']:.2f} in the mean; {answer['nearer']} frames are others"
    return answer["mean"], None


def beside_peers(run, name, engine, about, gop, folder):
    """G3 and G5."""
    clips, videos, args = about["clips"], about["videos"], run.args
    one = engine.window("clips", begin=0, end=2)[0] / 1e3
    per_window = max(1, min(len(clips), round(args.window / one)))

    def chosen(i):
        return i * per_window % len(clips)

    for kind in PEERS:
        goal = "G3" if kind == "torchcodec" else "G5"
        if not run.wants(goal):
            continue
        peer = Process([sys.executable, HERE / "loader_peers.py", kind])
        if "missing" in peer.about:
            run.note(name, f"{kind} left out: {peer.about['missing']}")
            continue
        try:
            means = []
            for clip in clips[:3]:
                mean, why = check(run, engine, peer, clip, videos, folder)
                if why:
                    raise RuntimeError(f"not timed: {why}")
                means.append(mean)
            for variant in peer.about["variants"]:
                def theirs(i):
                    begin = chosen(i)
                    asked = [clips[(begin + k) % len(clips)] for k in range(per_window)]
                    return peer.window("clips", variant=variant, size=SIZE, clips=[
                        {"path": videos[clip["video"]]["path"], "frames": clip["frames"]} for clip in asked])

                pairs = run.pairs(lambda i: engine.window("clips", begin=chosen(i), end=chosen(i) + per_window), theirs)
                bar = BARS.get(kind)
                if kind == "torchcodec":
                    bar = (1.6 if gop > 100 else 1.5) if variant.startswith("exact") else None
                run.add(goal, name, peer.about["peer"], variant, pairs, bar, clips_per_window=per_window,
                        peer_ffmpeg=peer.about["ffmpeg"], mean_difference=max(means))
        except RuntimeError as error:
            run.note(name, f"{peer.about['peer']}: {error}")
        finally:
            peer.close()


def by_itself(run, name, engine, about, gop, folder):
    """G1, G2, G6, G7, G8 and G13: parts of the work, beside ffmpeg and beside each other."""
    args, clips, real = run.args, about["clips"], gop is None
    video = about["videos"][0]
    size = f"{video['width']}x{video['height']}"
    version = "ffmpeg " + subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout.split()[2]
    if run.wants("G1") and not real:
        def theirs(i):
            return [ms / video["frames"] for ms in ffmpeg_rounds(video["path"], 2, "-vsync", "passthrough")]

        pairs = run.pairs(lambda i: engine.window("decode"), theirs, max(3, args.rounds // 2))
        run.add("G1", name, version, "-threads 1 -f null, a frame", pairs, BARS["G1"])
    if run.wants("G13") and not real:
        pairs = run.pairs(lambda i: engine.window("index"),
                          lambda i: ffmpeg_rounds(video["path"], 40, "-c", "copy"), max(3, args.rounds // 2))
        run.add("G13", name, version, "-c copy -f null, a video", pairs, BARS["G13"])
    one = engine.window("clips", begin=0, end=2)[0] / 1e3
    per_window = max(1, min(len(clips), round(args.window / one)))
    more = {}
    if run.wants("G2", "G6", "G7"):
        parts = [engine.ask("parts", begin=i, end=i + 1, rounds=5 if one < 0.05 else 3) for i in range(len(clips))]
        more = {key: statistics.mean(part[key] for part in parts) for key in parts[0] if key.endswith("_ms")}
    if run.wants("G6"):
        def window(i, which):
            begin = i * per_window % len(clips)
            return engine.window(which, begin=begin, end=begin + per_window)

        pairs = run.pairs(lambda i: window(i, "clips"), lambda i: window(i, "clips, nothing left out"))
        run.add("G6", name, "engine", "nothing left out", pairs, None if real else 1.45 if gop > 100 else 1.15,
                **more)
        pairs = run.pairs(lambda i: window(i, "clips"), lambda i: window(i, "clips, no index"))
        run.add("", name, "engine", "without an index", pairs)
    if run.wants("G2", "G7"):
        fixed = [part["read_ms"] - part["decode_ms"] - part["convert_ms"] for part in parts]
        shares = [part["decode_ms"] / (part["read_ms"] - part["convert_ms"]) for part in parts]
        run.add_figure("G2", name, "clips against decoding alone of the same packets", shares, BARS["G2"], "x", "more",
                       **more)
        run.add_figure("G7", name, "a clip, without decoding and conversion", fixed,
                       BARS["G7"] if size == "320x240" else None, "ms", mean=statistics.mean(fixed), **more)
    if run.wants("G8"):
        rounds = max(1, round(args.window / 5 / 0.002))
        pairs = run.pairs(lambda i: engine.window("convert", begin=0, rounds=rounds),
                          lambda i: engine.window("swscale", begin=0, rounds=rounds))
        run.add("", name, "swscale", "one pass, bilinear, a frame", pairs)
        run.add_figure("G8", name, f"a frame of {size} to u8 {SIZE}x{SIZE}", [ours[1] for ours, _ in pairs], BARS["G8"],
                       "ms")


def whole_loaders(run, name, engine, command):
    """G10, G11 and G14."""
    seconds = engine.window("clips", begin=0, end=2)[0] / 1e3
    clips = max(32, 8 * round(4 * run.args.window / seconds / 8))
    loader = {"clips": clips, "batch": 8}
    if run.wants("G10") and (os.cpu_count() or 1) > 1:
        pairs = run.pairs(lambda i: engine.window("loader", workers=2, **loader),
                          lambda i: engine.window("loader", workers=1, **loader))
        run.add("G10", name, "engine", "1 worker; the figure is the share of twice its rate", pairs, BARS["G10"],
                judged="ratio", scale=0.5, clips_per_window=clips)
    if run.wants("G11"):
        shares = []
        for _ in range(max(3, run.args.rounds // 2)):
            step = 1.2 * 8 * engine.window("loader", workers=2, **loader)[0]
            answer = engine.ask("loader", workers=2, step_ms=step, **loader)
            shares.append(answer["wait_ms"] / answer["wait_wall_ms"])
        run.add_figure("G11", name, "share of a step waited, loader 1.2 times as fast, 2 workers", shares, BARS["G11"],
                       "of the step")
    if run.wants("G14"):
        fresh = Process(command)
        answer = fresh.ask("loader", workers=2, clips=clips, batch=8, epochs=10)
        fresh.close()
        resident = answer["rss_kb"]
        run.add_figure("G14", name, "resident memory after 10 epochs, of that after 2", [resident[-1] / resident[1]],
                       1.1, "x", rss_kb=resident)
        run.add_figure("G14", name, "open files, 2 workers", [max(answer["descriptors"])], 2 + 20, "")


def encode(folder, name, source, size, gop, frames=600):
    path = folder / (name.replace(" ", "-") + ".mp4")
    if not path.exists():
        made = path.with_suffix(".part.mp4")
        ffmpeg("-f", "lavfi", "-i", source.format(size=size), "-frames:v", frames, "-c:v", "libx264", "-preset",
               "medium", "-crf", 23, "-pix_fmt", "yuv420p", "-g", gop, "-keyint_min", gop, "-sc_threshold", 0, made)
        made.rename(path)
    return path


def very_many(run, folder, args):
    """G12."""
    large = folder / "many"
    tiny = [encode(folder, f"tiny {i}", f"testsrc2=size={{size}}:rate=30,hue=h={90 * i}", "64x48", 12, 64)
            for i in range(4)]
    if not large.exists():
        subprocess.run([args.engine, "many", large, *tiny, "--count", str(args.many)], check=True)
    runs = [json.loads(subprocess.run([args.engine, "first-batch", large], check=True, capture_output=True,
                                      text=True).stdout) for _ in range(5)]
    name = f"{runs[0]['videos']} videos"
    run.add_figure("G12", name, "opening the index, to the first batch", [r["open_ms"] + r["batch_ms"] for r in runs],
                   BARS["G12"], "ms")
    for key, what in (("open_ms", "opening the index"), ("batch_ms", "from there to the first batch"),
                      ("list_ms", "finding the videos in their folders"),
                      ("look_ms", "comparing every file with the index")):
        run.add_figure("", name, what, [r[key] for r in runs], None, "ms")


def measure(run, name, paths, gop, folder):
    command = [run.args.engine, "turns", "--clips", run.args.clips, "--frames", FRAMES, "--stride", STRIDE, "--size",
               SIZE, *paths]
    engine = Process(command)
    about = engine.about
    try:
        beside_peers(run, name, engine, about, gop or 0, folder)
        by_itself(run, name, engine, about, gop, folder)
        if run.wants("G10", "G11", "G14") and (name == SETS[0][0] or gop is None):
            whole_loaders(run, name, engine, command)
    except RuntimeError as error:
        run.note(name, str(error))
    engine.close()
    videos = about["videos"]
    return {"name": name, "ffmpeg": about["ffmpeg"], "videos": len(videos), "left_out": about["left_out"],
            "clips": len(about["clips"]),
            **{key: statistics.median(video[key] for video in videos)
               for key in ("width", "height", "frames", "kbit_per_s", "gop_mean", "reorder_depth")},
            "codecs": sorted({video["codec"] for video in videos}),
            "unreferenced": sum(v["unreferenced"] for v in videos) / sum(v["frames"] for v in videos)}


def main():
    args = parse()
    result = {**machine(), "T": FRAMES, "S": STRIDE, "size": SIZE, "cache": "warm", "rounds": args.rounds,
              "load_average": [os.getloadavg()]}
    run = Run(args)
    result.update({"sets": [], "rows": run.rows, "notes": run.notes})
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, source, size, gop in SETS:
            if re.search(args.sets, name):
                path = encode(folder, name, source, size, gop)
                result["sets"].append(measure(run, name, [path], gop, folder))
                write(result, args.out)
        for data in args.data:
            paths = sorted(p for p in data.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            random.Random(1).shuffle(paths)
            if not paths:
                run.note(str(data), "no videos there")
                continue
            result["sets"].append(measure(run, data.name, paths[:60], None, folder))
            write(result, args.out)
        if run.wants("G12"):
            very_many(run, folder, args)
        write(result, args.out)
    print(table(result))


if __name__ == "__main__":
    main()
