"""Writes the fixtures in this folder: what PyTorch computes, in float64, from numbers that a formula gives.

    python tests/parity/make_fixtures.py

Needs PyTorch, torchvision, numpy and safetensors (made with 2.11, 0.26, 2.4 and 0.8). README.md says what the files
hold; tests/parity/formula.h is the same formula in C++. The tests read the files and need no Python.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


# ---- the formula ----

def draws(name, count):
    """Numbers in [-1, 1): number i is splitmix64 of the FNV-1a hash of `name`, i + 1 steps on."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def tensor(name, *shape):
    return torch.from_numpy(draws(name, math.prod(shape))).reshape(shape)


def parameter(name, shape):
    """The starting value of a parameter or buffer: activations stay about 1, norms and variances are positive."""
    value = tensor(name, *shape)
    if len(shape) >= 2:
        return value * math.sqrt(6.0 / math.prod(shape[1:]))
    if name.endswith("running_var"):
        return 1.0 + 0.5 * value
    return 0.5 + 0.25 * value if name.endswith("weight") else 0.1 * value


def fill(module, prefix=""):
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.copy_(parameter(prefix + name, value.shape))


# ---- whole models ----

class C3d(nn.Module):
    """As layers/models/c3d.h says."""

    def __init__(self, outputs, hidden):
        super().__init__()
        self.groups = [["conv1"], ["conv2"], ["conv3a", "conv3b"], ["conv4a", "conv4b"], ["conv5a", "conv5b"]]
        inputs = 3
        for names, width in zip(self.groups, [64, 128, 256, 512, 512]):
            for name in names:
                self.add_module(name, nn.Conv3d(inputs, width, 3, padding=1))
                inputs = width
        self.fc6, self.fc7, self.fc8 = nn.Linear(8192, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)

    def forward(self, x):
        for i, names in enumerate(self.groups):
            for name in names:
                x = getattr(self, name)(x).relu()
            t, pad = 1 if i == 0 else min(2, x.shape[2]), 1 if i == 4 else 0
            x = nn.functional.max_pool3d(x, (t, 2, 2), padding=(0, pad, pad))
        x = nn.functional.adaptive_avg_pool3d(x, (1, 4, 4)).flatten(1)
        return self.fc8(self.fc7(self.fc6(x).relu()).relu())


def pad_same(x, kernel, stride):
    """TensorFlow's "SAME", by zeros."""
    pads = []
    for size, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1]):
        total = max(0, k - (size % s or s))
        pads += [total // 2, total - total // 2]
    return nn.functional.pad(x, pads)


class Unit(nn.Module):
    def __init__(self, inputs, outputs, kernel=1, stride=1, plain=False):
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=plain)
        self.bn = None if plain else nn.BatchNorm3d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x):
        x = self.conv3d(pad_same(x, self.conv3d.kernel_size, self.conv3d.stride))
        return x if self.bn is None else self.bn(x).relu()


class SamePool(nn.Module):
    def __init__(self, kernel, stride):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x):
        return nn.functional.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    def __init__(self, inputs, w):
        super().__init__()
        self.b0 = Unit(inputs, w[0])
        self.b1a, self.b1b = Unit(inputs, w[1]), Unit(w[1], w[2], 3)
        self.b2a, self.b2b = Unit(inputs, w[3]), Unit(w[3], w[4], 3)
        self.b3a, self.b3b = SamePool((3, 3, 3), (1, 1, 1)), Unit(inputs, w[5])

    def forward(self, x):
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


class I3d(nn.Module):
    """As layers/models/i3d.h says; the widths of GoogLeNet (arXiv 1409.4842, table 1)."""

    def __init__(self, outputs):
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.MaxPool3d_2a_3x3 = SamePool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.MaxPool3d_3a_3x3 = SamePool((1, 3, 3), (1, 2, 2))
        self.Mixed_3b = Mixed(192, [64, 96, 128, 16, 32, 32])
        self.Mixed_3c = Mixed(256, [128, 128, 192, 32, 96, 64])
        self.MaxPool3d_4a_3x3 = SamePool((3, 3, 3), (2, 2, 2))
        self.Mixed_4b = Mixed(480, [192, 96, 208, 16, 48, 64])
        self.Mixed_4c = Mixed(512, [160, 112, 224, 24, 64, 64])
        self.Mixed_4d = Mixed(512, [128, 128, 256, 24, 64, 64])
        self.Mixed_4e = Mixed(512, [112, 144, 288, 32, 64, 64])
        self.Mixed_4f = Mixed(528, [256, 160, 320, 32, 128, 128])
        self.MaxPool3d_5a_2x2 = SamePool((2, 2, 2), (2, 2, 2))
        self.Mixed_5b = Mixed(832, [256, 160, 320, 32, 128, 128])
        self.Mixed_5c = Mixed(832, [384, 192, 384, 48, 128, 128])
        self.logits = Unit(1024, outputs, plain=True)

    def forward(self, x):
        for name, layer in self.named_children():
            if name != "logits":
                x = layer(x)
        x = nn.functional.avg_pool3d(x, (min(2, x.shape[2]), *x.shape[3:]), stride=1)
        return self.logits(x).flatten(2).mean(2)


class OverFrames(nn.Module):
    """The mean of an image model's logits over the frames of a clip (N, C, T, H, W)."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (x.shape[0], x.shape[2])).mean(1)


def vgg(name, hidden):
    model = getattr(torchvision.models, name)(num_classes=OUTPUTS, dropout=0.0, init_weights=False)
    model.classifier[0] = nn.Linear(512 * 49, hidden)
    model.classifier[3] = nn.Linear(hidden, hidden)
    model.classifier[6] = nn.Linear(hidden, OUTPUTS)
    return model


OUTPUTS, HIDDEN = 7, 48
MODELS = {  # name -> (maker, takes single frames, shape of the clips)
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=OUTPUTS), True, (2, 3, 2, 33, 40)),
    "resnet50": (lambda: torchvision.models.resnet50(num_classes=OUTPUTS), True, (2, 3, 2, 33, 36)),
    "vgg11": (lambda: vgg("vgg11", HIDDEN), True, (1, 3, 2, 32, 35)),
    "vgg16": (lambda: vgg("vgg16", HIDDEN), True, (1, 3, 1, 32, 64)),
    "r3d_18": (lambda: torchvision.models.video.r3d_18(num_classes=OUTPUTS), False, (2, 3, 3, 16, 18)),
    "mc3_18": (lambda: torchvision.models.video.mc3_18(num_classes=OUTPUTS), False, (2, 3, 2, 16, 18)),
    "r2plus1d_18": (lambda: torchvision.models.video.r2plus1d_18(num_classes=OUTPUTS), False, (2, 3, 3, 16, 18)),
    "c3d": (lambda: C3d(OUTPUTS, HIDDEN), False, (1, 3, 5, 16, 33)),
    "i3d": (lambda: I3d(OUTPUTS), False, (2, 3, 9, 18, 20)),
}


def digest(name, value):
    """The norm and two projections on fixed random numbers."""
    flat = value.flatten()
    return torch.stack([flat.norm()] + [flat @ tensor(f"projection{i}.{name}", flat.numel()) for i in (0, 1)])


def model_fixture(name):
    make, of_frames, shape = MODELS[name]
    model = make()
    fill(model)
    run = OverFrames(model) if of_frames else model
    clips = tensor("input", *shape).requires_grad_()
    out = {"input_shape": torch.tensor(shape)}
    model.eval()
    with torch.no_grad():
        out["eval.logits"] = run(clips)
    model.train()
    logits = run(clips)
    out["train.logits"] = logits.detach()
    (logits * tensor("seed", *logits.shape)).sum().backward()
    for parameter_name, value in [("input", clips), *model.named_parameters()]:
        out[f"grad.{parameter_name}"] = digest(parameter_name, value.grad)
    for buffer_name, value in model.named_buffers():
        if value.is_floating_point():
            out[f"buffer.{buffer_name}"] = digest(buffer_name, value)
    print(f"{name}: eval logits {out['eval.logits'].norm():.3g}, train logits {logits.norm():.3g}, gradients",
          f"{min(v[0] for k, v in out.items() if k.startswith('grad.')):.3g} to",
          f"{max(v[0] for k, v in out.items() if k.startswith('grad.')):.3g}")
    save_file(out, HERE / f"{name}.safetensors")


# ---- single layers: everything is stored but what the formula gives ----

layers = {}


def case(name, inputs, function, module=None, outputs=("y",)):
    """inputs: name -> shape, or a tensor that is no float. Differentiates the sum of seed * output over all outputs."""
    given = {key: value if torch.is_tensor(value) else tensor(f"{name}.{key}", *value).requires_grad_()
             for key, value in inputs.items()}
    if module is not None:
        fill(module, f"{name}.")
        given_parameters = dict(module.named_parameters())
    else:
        given_parameters = {}
    results = function(*given.values())
    results = results if isinstance(results, tuple) else (results,)
    loss = 0
    for key, value in zip(outputs, results, strict=True):
        layers[f"{name}.{key}"] = value.detach().contiguous()
        loss = loss + (value * tensor(f"{name}.seed.{key}", *value.shape)).sum()
    loss.backward()
    for key, value in [*given.items(), *given_parameters.items()]:
        if value.grad is not None:
            layers[f"{name}.grad.{key}"] = value.grad.contiguous()
    if module is not None:
        for key, value in module.named_buffers():
            if value.is_floating_point():
                layers[f"{name}.buffer.{key}"] = value.clone()


def make_layers():
    functional = nn.functional
    x = {"x": (2, 4, 5, 6, 7)}
    for name, module in {
        "conv3d.full": nn.Conv3d(4, 6, (3, 2, 3), stride=(2, 1, 2), padding=(1, 1, 0)),
        "conv3d.groups": nn.Conv3d(4, 6, (2, 3, 2), padding=(1, 2, 1), dilation=(2, 2, 1), groups=2, bias=False),
        "conv3d.in_frame": nn.Conv3d(4, 5, (1, 3, 3), stride=(1, 2, 1), padding=(0, 1, 2)),
        "conv3d.in_time": nn.Conv3d(4, 5, (3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0), bias=False),
        "conv3d.point": nn.Conv3d(4, 5, 1, stride=2),
    }.items():
        case(name, x, module, module)
    for rows, columns in [(7, 7), (4, 4), (5, 3)]:
        for height, width in [(1, 2), (5, 9), (20, 21)]:
            case(f"adaptive_average_pool2d.{height}x{width}to{rows}x{columns}", {"x": (2, 3, height, width)},
                 lambda x, size=(rows, columns): functional.adaptive_avg_pool2d(x, size))

    for training in (True, False):
        module = nn.BatchNorm2d(5, eps=2e-5, momentum=0.3).train(training)
        case(f"batch_norm.{'training' if training else 'evaluation'}", {"x": (4, 5, 3, 6)}, module, module)
    module = nn.LayerNorm(13, eps=1e-4)
    case("layer_norm", {"x": (3, 4, 13)}, module, module)
    module = nn.GroupNorm(3, 12, eps=1e-4)
    case("group_norm", {"x": (2, 12, 4, 5)}, module, module)

    lstm = nn.LSTM(5, 4, num_layers=2, bidirectional=True, batch_first=True)
    lengths = torch.tensor([6, 1, 4])

    def run_lengths(x):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, (h, c) = lstm(packed)
        return nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=6)[0], h, c

    def run_states(x, h0, c0):
        y, (h, c) = lstm(x, (h0, c0))
        return y, h, c

    states = {"x": (3, 6, 5), "h0": (4, 3, 4), "c0": (4, 3, 4)}
    lstm.zero_grad()
    case("lstm.states", states, run_states, lstm, ("y", "h", "c"))
    lstm.zero_grad()
    case("lstm.lengths", {"x": (3, 6, 5)}, run_lengths, lstm, ("y", "h", "c"))

    causal = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1)
    padding = torch.arange(6)[None, :] >= torch.tensor([6, 2, 5])[:, None]  # True: not seen
    sequence, memory = {"x": (3, 6, 8)}, {"x": (3, 4, 8), "memory": (3, 6, 8)}
    for name, inputs, options in [("self", sequence, {}), ("causal", sequence, {"attn_mask": causal}),
                                  ("padding", sequence, {"key_padding_mask": padding}), ("cross", memory, {}),
                                  ("cross_padding", memory, {"key_padding_mask": padding})]:
        module = nn.MultiheadAttention(8, 2, batch_first=True)
        case(f"attention.{name}", inputs, lambda x, memory=None, module=module, options=options: module(
            x, x if memory is None else memory, x if memory is None else memory, need_weights=False, **options)[0],
             module)

    for norm_first in (True, False):
        order = "pre" if norm_first else "post"
        for activation in ("relu", "gelu"):
            options = {"dim_feedforward": 12, "dropout": 0.0, "activation": activation, "batch_first": True,
                       "norm_first": norm_first}
            encoder = nn.TransformerEncoderLayer(8, 2, **options)
            case(f"encoder.{order}.{activation}", sequence, encoder, encoder)
            encoder = nn.TransformerEncoderLayer(8, 2, **options)
            case(f"encoder_padding.{order}.{activation}", sequence,
                 lambda x, encoder=encoder: encoder(x, src_key_padding_mask=padding), encoder)
            decoder = nn.TransformerDecoderLayer(8, 2, **options)
            case(f"decoder.{order}.{activation}", memory, decoder_call(decoder, causal[:4, :4]), decoder)

    for name, make in {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}.items():
        parameter_, gradients = tensor(f"{name}.x", 13).requires_grad_(), tensor(f"{name}.gradients", 1000, 13) + 0.25
        rate = float(np.float32(1e-3))  # learning rates are f32
        optimizer = make([parameter_], lr=rate, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.05)
        for gradient in gradients:
            parameter_.grad = gradient
            optimizer.step()
        state = optimizer.state[parameter_]
        layers[f"{name}.x"] = parameter_.detach()
        layers[f"{name}.m"], layers[f"{name}.v"] = state["exp_avg"], state["exp_avg_sq"]


def decoder_call(decoder, mask):
    return lambda x, memory: decoder(x, memory, tgt_mask=mask)


if __name__ == "__main__":
    make_layers()
    save_file(layers, HERE / "layers.safetensors")
    for model_name in MODELS:
        model_fixture(model_name)
