#!/usr/bin/env python3
"""One other library that reads clips, as a process that does what lines of stdin ask for (loader.py asks).

    python bench/compare/loader_peers.py torchcodec|pyav|opencv|decord

The first line of stdout tells {"peer", "ffmpeg", "variants"}, or {"missing": why}. Then, for each request, a line:
{"pass": "clips", "variant", "clips": [{"path", "frames"}], "size"}: opens each and reads its frames as u8 RGB of size x
size; gives {"ms", "cpu_ms", "count"}. {"pass": "check", "path", "frames", "ours", "numbers", "width", "height"}: reads
the frames at the video's own size and compares them with those of a file, which holds the frames `numbers`; gives
{"mean": mean absolute difference, "nearer": how many frames are nearer to another of these numbers}.

Each reads clips as its documentation has it, with one thread where it can be told so; OpenCV has its default.
"""
import json
import re
import subprocess
import sys
import time

try:
    import numpy as np
except ImportError:
    np = None


class TorchCodec:
    def __init__(self):
        import torch
        import torchcodec
        from torchcodec import transforms
        from torchcodec.decoders import VideoDecoder
        from torchvision.transforms.v2 import functional
        torch.set_num_threads(1)
        self.decoder, self.transforms, self.resize = VideoDecoder, transforms, functional.resize
        self.name, self.ffmpeg = f"torchcodec {torchcodec.__version__}", "the system's"
        try:
            from torchcodec._core import get_ffmpeg_library_versions
            self.ffmpeg = get_ffmpeg_library_versions()["ffmpeg_version"]
        except Exception:  # only a figure for the table
            pass
        # The resize is torchvision's, or the decoder's. Frame mappings are an index of the video, made beforehand.
        self.variants = ["exact", "exact, resized by the decoder", "approximate, resized by the decoder",
                         "frame mappings, resized by the decoder"]
        self.mappings = {}

    def mapping(self, path):
        if path not in self.mappings:
            self.mappings[path] = subprocess.run(
                ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
                 "frame=pts,duration,pkt_duration,key_frame", "-of", "json", path], capture_output=True, check=True,
                text=True).stdout
        return self.mappings[path]

    def prepare(self, path, variant):
        if "mappings" in variant:
            self.mapping(path)

    def clip(self, path, frames, size, variant):
        options = {"seek_mode": "approximate"} if "approximate" in variant else {}
        if "mappings" in variant:
            options = {"custom_frame_mappings": self.mapping(path)}
        if "by the decoder" in variant:
            options["transforms"] = [self.transforms.Resize((size, size))]
        clip = self.decoder(path, num_ffmpeg_threads=1, **options).get_frames_at(frames).data
        return clip if "by the decoder" in variant else self.resize(clip, [size, size], antialias=True)

    def whole(self, path, frames):
        return self.decoder(path, num_ffmpeg_threads=1, dimension_order="NHWC").get_frames_at(frames).data.numpy()


class OneWay:
    """A library with one way to read frames: read(path, frames, size), of None their own."""

    def prepare(self, path, variant):
        pass

    def clip(self, path, frames, size, variant):
        return self.read(path, frames, size)

    def whole(self, path, frames):
        return self.read(path, frames, None)


class PyAv(OneWay):
    def __init__(self):
        import av
        av.logging.set_level(av.logging.PANIC)
        self.av, self.variants = av, ["1 thread"]
        self.name, self.ffmpeg = f"PyAV {av.__version__}", str(getattr(av, "ffmpeg_version_info", "its own"))

    def read(self, path, frames, size):
        shape = {} if size is None else {"width": size, "height": size}
        found, wanted, last = {}, set(frames), max(frames)
        with self.av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count, stream.thread_type = 1, "SLICE"
            start, step = stream.start_time or 0, 1 / (stream.average_rate * stream.time_base)
            container.seek(int(start + min(frames) * step), stream=stream)
            for frame in container.decode(stream):
                number = round((frame.pts - start) / step)
                if number in wanted:
                    found[number] = frame.to_ndarray(format="rgb24", **shape)
                if number >= last:
                    break
        return np.stack([found[number] for number in frames])


class OpenCv(OneWay):
    def __init__(self):
        import cv2
        self.cv2, self.variants = cv2, ["default threads"]
        version = re.search(r"avcodec:\s+YES \(([\d.]+)\)", cv2.getBuildInformation())
        self.name, self.ffmpeg = f"OpenCV {cv2.__version__}", f"libavcodec {version[1]}" if version else "its own"

    def read(self, path, frames, size):
        cv2, found, wanted = self.cv2, {}, set(frames)
        video = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
        video.set(cv2.CAP_PROP_POS_FRAMES, min(frames))
        for number in range(min(frames), max(frames) + 1):
            if not video.grab():
                break
            if number in wanted:
                image = video.retrieve()[1]
                if size is not None:
                    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
                found[number] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        video.release()
        return np.stack([found[number] for number in frames])


class Decord:
    def __init__(self):
        import decord
        self.decord, self.variants = decord, ["1 thread"]
        self.name, self.ffmpeg = f"decord {decord.__version__}", "its own"

    def prepare(self, path, variant):
        pass

    def clip(self, path, frames, size, variant):
        return self.decord.VideoReader(path, width=size, height=size, num_threads=1).get_batch(frames).asnumpy()

    def whole(self, path, frames):
        return self.decord.VideoReader(path, num_threads=1).get_batch(frames).asnumpy()


def read_clips(peer, request):
    for clip in request["clips"]:
        peer.prepare(clip["path"], request["variant"])
    wall, cpu = time.perf_counter(), time.process_time()
    for clip in request["clips"]:
        result = peer.clip(clip["path"], clip["frames"], request["size"], request["variant"])
        assert len(result) == len(clip["frames"])
    return {"ms": 1e3 * (time.perf_counter() - wall), "cpu_ms": 1e3 * (time.process_time() - cpu),
            "count": len(request["clips"])}


def check(peer, request):
    shape = (len(request["numbers"]), request["height"], request["width"], 3)
    ours = dict(zip(request["numbers"], np.fromfile(request["ours"], np.uint8).reshape(shape)))
    theirs = dict(zip(request["frames"], peer.whole(request["path"], request["frames"])))

    def difference(a, b):
        return float(np.abs(a.astype(np.int16) - b).mean())

    nearer, means = 0, []
    for number, frame in theirs.items():
        means.append(difference(frame, ours[number]))
        nearer += any(difference(frame, ours[other]) < means[-1] for other in (number - 1, number + 1)
                      if other in ours)
    return {"mean": sum(means) / len(means), "nearer": nearer}


def main():
    kinds = {"torchcodec": TorchCodec, "pyav": PyAv, "opencv": OpenCv, "decord": Decord}
    try:
        if np is None:
            raise ImportError("no module named numpy")
        peer = kinds[sys.argv[1]]()
    except Exception as error:
        print(json.dumps({"missing": f"{type(error).__name__}: {error}".splitlines()[0]}), flush=True)
        return
    print(json.dumps({"peer": peer.name, "ffmpeg": peer.ffmpeg, "variants": peer.variants}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = check(peer, request) if request["pass"] == "check" else read_clips(peer, request)
        except Exception as error:  # the others still count
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
