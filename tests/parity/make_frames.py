"""Writes frames.safetensors: how PyTorch's input pipelines make a clip of decoded frames.

    python tests/parity/make_frames.py

Needs PyTorch, numpy, safetensors and the ffmpeg program (made with 2.11, 2.4, 0.8 and 5.1). Frames of YUV become RGB of 8
bits at their own size by swscale, a part is cut out and resized by torch's bilinear interpolation without smoothing, then
come / 255, mean and deviation. README.md says what the file holds.
"""

import subprocess
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
WIDTH, HEIGHT, FRAMES = 70, 46, 2
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# x, y, width, height of the part, width and height of the result
CUTS = [(0, 0, 70, 46, 32, 24), (13, 7, 41, 33, 24, 20), (30, 11, 12, 9, 20, 28)]


def frames():
    """(FRAMES, 1.5 HEIGHT, WIDTH): the planes of yuv420p, smooth with noise."""
    random = np.random.default_rng(7)
    planes = []
    for frame in range(FRAMES):
        for height, width in ((HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2), (HEIGHT // 2, WIDTH // 2)):
            y, x = np.mgrid[0:height, 0:width]
            wave = 80 * np.sin(x / random.uniform(4, 12) + frame) * np.cos(y / random.uniform(4, 12))
            planes.append(np.clip(128 + wave + random.normal(0, 15, (height, width)), 0, 255).astype(np.uint8).ravel())
    return np.concatenate(planes).reshape(FRAMES, HEIGHT * 3 // 2, WIDTH)


def to_rgb(yuv):
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-i", "-",
               "-vf", "scale=flags=bilinear+accurate_rnd+full_chroma_int:in_color_matrix=bt601",
               "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    bytes_ = subprocess.run(command, input=yuv.tobytes(), stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(bytes_, np.uint8).reshape(FRAMES, HEIGHT, WIDTH, 3)


def main():
    yuv = frames()
    rgb = torch.from_numpy(to_rgb(yuv).copy())
    tensors = {"yuv": torch.from_numpy(yuv), "rgb": rgb, "cuts": torch.tensor(CUTS)}
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, DEVIATION))
    for number, (x, y, width, height, to_width, to_height) in enumerate(CUTS):
        part = rgb[:, y:y + height, x:x + width].permute(0, 3, 1, 2).float()
        resized = torch.nn.functional.interpolate(part, (to_height, to_width), mode="bilinear", align_corners=False,
                                                  antialias=False)
        tensors[f"clip{number}"] = ((resized / 255 - mean) / deviation).permute(0, 2, 3, 1).contiguous()
    save_file(tensors, HERE / "frames.safetensors")


if __name__ == "__main__":
    main()
