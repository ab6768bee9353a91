#!/usr/bin/env python3
"""PyTorch from the command to the end of the first training step; processes.py runs it.

    python bench/compare/pytorch_start.py FOLDER_WITH_A_FOLDER_PER_CLASS WORKLOAD_AS_JSON VARIANT THREADS

Prints {"loss", "end"}: end is the time of the monotonic clock, which all processes share. A batch is decoded in threads
while the network is made. Only what that takes is imported: the videos have the network's size, as torchcodec imports
torchvision to resize; and they have one frame rate, so that approximate seeking finds the same frames.
"""
import concurrent.futures
import json
import pathlib
import random
import sys
import time

import torch
from torchcodec.decoders import VideoDecoder

from pytorch_models import make_model, step_of


def clip_of(path, frames):
    video = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
    count = video.metadata.num_frames
    return video.get_frames_at([(2 * i + 1) * count // (2 * frames) for i in range(frames)]).data


def main():
    folder, w, variant, threads = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    classes = sorted(path.name for path in pathlib.Path(folder).iterdir() if path.is_dir())
    videos = random.Random(0).sample(sorted(pathlib.Path(folder).glob("*/*.mp4")), w["batch"])
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        clips = pool.map(lambda path: clip_of(path, w["frames"]), videos)
        model = make_model(w, contiguous=variant == "eager")
        batch = torch.stack(list(clips)), torch.tensor([classes.index(path.parent.name) for path in videos])
    assert batch[0].shape == (w["batch"], w["frames"], w["size"], w["size"], 3), batch[0].shape
    step = step_of(torch.compile(model) if variant == "compile" else model, [batch], variant != "eager")
    loss = step().item()
    print(json.dumps({"loss": loss, "end": time.monotonic()}), flush=True)


if __name__ == "__main__":
    main()
