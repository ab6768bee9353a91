"""The models of layers/models in PyTorch, under the same names, so that the same weights (io/torch_weights.h) and clips
give the same loss. They take clips as they are stored: u8 (N, T, H, W, 3)."""
import math

import torch
from torch import nn
from torch.nn import functional as F


def frames_of(clips, contiguous):
    """u8 (N, T, H, W, C) -> f32 (N T, C, H, W), by default in the order of memory that the clips have."""
    x = clips.flatten(0, 1).permute(0, 3, 1, 2)
    return (x.contiguous() if contiguous else x).to(torch.float32) / 255


def volumes_of(clips, contiguous):
    """u8 (N, T, H, W, C) -> f32 (N, C, T, H, W), likewise."""
    x = clips.permute(0, 4, 1, 2, 3)
    return (x.contiguous() if contiguous else x).to(torch.float32) / 255


class Cnn(nn.Module):
    """layers/models/sora_cnn.h without the head."""

    def __init__(self, widths):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 3, padding=1)
        self.conv3 = nn.Conv2d(widths[1], widths[2], 3, padding=1)

    def map(self, x):
        for convolution in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(F.relu(convolution(x)), 2)
        return x


class SoraCnn(Cnn):
    def __init__(self, classes=10, widths=(64, 128, 256), contiguous=False):
        super().__init__(widths)
        self.contiguous = contiguous
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, clips):
        x = self.map(frames_of(clips, self.contiguous)).mean((2, 3))
        return self.head(x.unflatten(0, clips.shape[:2]).mean(1))


class SoraEmbedding(nn.Module):
    def __init__(self, inputs, features):
        super().__init__()
        self.content, self.change = nn.Linear(inputs, features), nn.Linear(inputs, features, bias=False)
        self.content_norm, self.change_norm = nn.LayerNorm(features), nn.LayerNorm(features)

    def forward(self, cells, changes):
        return self.content_norm(self.content(cells)) + self.change_norm(self.change(changes))


def positions(*places, features):
    """layers/position.h: sinusoids, each axis in its own part of the features."""
    table = torch.zeros(*places, features, dtype=torch.float64)
    for axis, count in enumerate(places):
        begin, end = axis * (features // 2) // len(places), (axis + 1) * (features // 2) // len(places)
        shape = [1] * len(places)
        shape[axis] = count
        for pair in range(begin, end):
            angle = torch.arange(count, dtype=torch.float64) / 1e4 ** ((pair - begin) / (end - begin))
            table[..., 2 * pair] = angle.sin().view(shape)
            table[..., 2 * pair + 1] = angle.cos().view(shape)
    return table.to(torch.float32)


class SoraVideo(nn.Module):
    """layers/models/sora_serial.h and sora_fusion.h."""

    SIZES = {"tiny": ((16, 32, 64), 64, 2, 1), "small": ((32, 64, 128), 128, 4, 2), "base": ((64, 128, 256), 256, 8, 4)}
    GRID = 4

    def __init__(self, fusion, size, frames, dropout, classes=10, contiguous=False):
        super().__init__()
        widths, features, heads, layers = self.SIZES[size]
        self.contiguous = contiguous
        self.cnn = Cnn(widths)
        self.frame = SoraEmbedding(self.GRID ** 2 * widths[-1], features)
        self.lstm = nn.LSTM(features, features, batch_first=True)
        options = {"dim_feedforward": 4 * features, "dropout": dropout, "activation": "gelu", "batch_first": True,
                   "norm_first": True}
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(features, heads, **options), layers,
                                             nn.LayerNorm(features), enable_nested_tensor=False)
        self.decoder = None
        self.register_buffer("in_time", positions(frames, features=features), persistent=False)
        if fusion:
            self.token = SoraEmbedding(widths[-1], features)
            self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(features, heads, **options), layers,
                                                 nn.LayerNorm(features))
            self.register_buffer("in_space", positions(frames, self.GRID, self.GRID, features=features),
                                 persistent=False)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(features, classes)

    def forward(self, clips):
        maps = self.cnn.map(frames_of(clips, self.contiguous))
        cells = F.adaptive_avg_pool2d(maps, self.GRID).permute(0, 2, 3, 1).unflatten(0, clips.shape[:2])
        changes = torch.cat([torch.zeros_like(cells[:, :1]), cells[:, 1:] - cells[:, :-1]], 1)
        states = self.lstm(self.frame(cells.flatten(2), changes.flatten(2)))[0] + self.in_time
        if self.decoder is None:
            x = self.encoder(states)
        else:
            tokens = self.token(cells, changes) + self.in_space
            x = self.decoder(states, self.encoder(tokens.flatten(1, 3)))
        return self.head(self.dropout(x.mean(1)))


class Wrapped(nn.Module):
    """A network of torchvision's, under its own names."""

    def __init__(self, net, contiguous):
        super().__init__()
        self.net, self.contiguous = net, contiguous

    def load_state_dict(self, state, **options):
        return self.net.load_state_dict(state, **options)


class ResNet18(Wrapped):
    """The mean over frames."""

    def forward(self, clips):
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(frames_of(clips, self.contiguous)))))
        x = net.layer4(net.layer3(net.layer2(net.layer1(x)))).mean((2, 3))
        return net.fc(x.unflatten(0, clips.shape[:2]).mean(1))


class R2Plus1d(Wrapped):
    def forward(self, clips):
        return self.net(volumes_of(clips, self.contiguous))


class C3d(nn.Module):
    """layers/models/c3d.h."""

    GROUPS = [["conv1"], ["conv2"], ["conv3a", "conv3b"], ["conv4a", "conv4b"], ["conv5a", "conv5b"]]

    def __init__(self, dropout, classes=10, contiguous=False, hidden=4096):
        super().__init__()
        self.contiguous, self.dropout = contiguous, dropout
        inputs = 3
        for names, width in zip(self.GROUPS, [64, 128, 256, 512, 512]):
            for name in names:
                self.add_module(name, nn.Conv3d(inputs, width, 3, padding=1))
                inputs = width
        self.fc6, self.fc7, self.fc8 = nn.Linear(8192, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, classes)

    def forward(self, clips):
        x = volumes_of(clips, self.contiguous)
        for i, names in enumerate(self.GROUPS):
            for name in names:
                x = F.relu(getattr(self, name)(x))
            t, pad = 1 if i == 0 else min(2, x.shape[2]), 1 if i == 4 else 0
            x = F.max_pool3d(x, (t, 2, 2), padding=(0, pad, pad))
        x = F.adaptive_avg_pool3d(x, (1, 4, 4)).flatten(1)
        # The map as torch flattens it, (C, H, W): the engine's weights are converted (VideoModel::flattened_inputs()).
        for layer in (self.fc6, self.fc7):
            x = F.dropout(F.relu(layer(x)), self.dropout, self.training)
        return self.fc8(x)


def make_model(w, dropout=None, contiguous=False):
    """The model of a step of the workloads. dropout: None is the model's own. contiguous: in the order of memory that
    PyTorch has by default; otherwise channels last."""
    name = w["model"]
    if dropout is None:
        dropout = float(w["dropout"]) if "dropout" in w else 0.5 if name == "c3d" else 0.1
    if name == "sora-cnn":
        model = SoraCnn(contiguous=contiguous)
    elif name in ("sora-serial", "sora-fusion"):
        model = SoraVideo(name == "sora-fusion", w.get("model_size", "small"), w["frames"], dropout,
                          contiguous=contiguous)
    elif name in ("resnet18", "r2plus1d_18"):
        import torchvision  # what needs it is not among the workloads of GPUs
        if name == "resnet18":
            model = ResNet18(torchvision.models.resnet18(num_classes=10), contiguous)
        else:
            model = R2Plus1d(torchvision.models.video.r2plus1d_18(num_classes=10), contiguous)
    elif name == "c3d":
        model = C3d(dropout, contiguous=contiguous)
    else:
        raise ValueError(f"unknown model {name}")
    if not contiguous:
        model = to_channels_last(model)
    return model.train()


def step_of(model, batches, fused):
    """A function that makes one training step and gives the loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True if fused else None)
    parameters, count = list(model.parameters()), [0]

    def step():
        clips, labels = batches[count[0] % len(batches)]
        count[0] += 1
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(clips), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.detach()

    return step


def to_channels_last(model):
    """Convolutions of 2 and 3 dimensions; Module.to(memory_format) knows one of the two at a time."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
        elif isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)
    return model
