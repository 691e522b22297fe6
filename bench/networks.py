#!/usr/bin/env python3
"""The networks that bench/versus compares on, as ONNX files with an open batch and random weights.
Beside each NAME.onnx, NAME.npz holds 32 samples of noise to calibrate int8 on.

  bench/networks.py FOLDER [NAME…]

Needs python3-torch and python3-onnx (Debian). Speed does not depend on weights, but norms are given
statistics so that folding them is real work, and every run writes the same weights.
"""
import math
import os
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def conv_norm(i, o, kernel=3, stride=1, groups=1, act=None):
    layers = [nn.Conv2d(i, o, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Residual(nn.Module):
    """act(body(x) + shortcut(x))."""

    def __init__(self, body, shortcut=None, act=None):
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut or nn.Identity(), act or nn.Identity()

    def forward(self, x):
        return self.act(self.body(x) + self.shortcut(x))


def resnet(depths, bottleneck, classes=1000, small=False):
    """He et al. 2016, 224 x 224 or small, 32 x 32; the stride of a bottleneck is in its 3 x 3."""
    layers = [conv_norm(3, 64, act=nn.ReLU)] if small else [conv_norm(3, 64, 7, 2, act=nn.ReLU), nn.MaxPool2d(3, 2, 1)]
    width = 64
    for stage, depth in enumerate(depths):
        inner = 64 << stage
        out = 4 * inner if bottleneck else inner
        for block in range(depth):
            stride = 2 if stage and not block else 1
            if bottleneck:
                body = [conv_norm(width, inner, 1, act=nn.ReLU), conv_norm(inner, inner, 3, stride, act=nn.ReLU),
                        conv_norm(inner, out, 1)]
            else:
                body = [conv_norm(width, out, 3, stride, act=nn.ReLU), conv_norm(out, out)]
            shortcut = conv_norm(width, out, 1, stride) if stride > 1 or width != out else None
            layers.append(Residual(nn.Sequential(*body), shortcut, nn.ReLU()))
            width = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def inverted_residuals(stem, table, head, classes=1000, act=nn.ReLU6):
    """MobileNetV2 (Sandler et al. 2018) and EfficientNet-Lite: rows of (expansion, out, repeats, stride, kernel)."""
    layers, width = [conv_norm(3, stem, 3, 2, act=act)], stem
    for expansion, out, repeats, stride, kernel in table:
        for block in range(repeats):
            inner = width * expansion
            body = [] if expansion == 1 else [conv_norm(width, inner, 1, act=act)]
            body += [conv_norm(inner, inner, kernel, 1 if block else stride, inner, act), conv_norm(inner, out, 1)]
            same = (block or stride == 1) and width == out
            layers.append(Residual(nn.Sequential(*body)) if same else nn.Sequential(*body))
            width = out
    return nn.Sequential(*layers, conv_norm(width, head, 1, act=act), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(head, classes))


def mobilenet_v2(classes=1000):
    return inverted_residuals(32, [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3),
                                   (6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3)], 1280, classes)


def efficientnet_lite0():
    return inverted_residuals(32, [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
                                   (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)], 1280)


class DsCnn(nn.Module):
    """Keyword spotting of MLPerf Tiny: 49 x 10 features, 64 channels."""

    def __init__(self):
        super().__init__()
        stem = [nn.Conv2d(1, 64, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        blocks = [nn.Sequential(conv_norm(64, 64, 3, groups=64, act=nn.ReLU), conv_norm(64, 64, 1, act=nn.ReLU))
                  for _ in range(4)]
        self.body = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12))

    def forward(self, x):
        return F.softmax(self.body(x), -1)


class UNet(nn.Module):
    """Ronneberger et al. 2015 with norms, three levels, base width 32."""

    def __init__(self, width=32):
        super().__init__()
        double = lambda i, o: nn.Sequential(conv_norm(i, o, act=nn.ReLU), conv_norm(o, o, act=nn.ReLU))
        w = [width << level for level in range(4)]
        self.down = nn.ModuleList(double(i, o) for i, o in zip([1] + w[:3], w))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * o, o, 2, 2) for o in w[:3])
        self.merge = nn.ModuleList(double(2 * o, o) for o in w[:3])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        kept = []
        for level, block in enumerate(self.down):
            x = block(x)
            if level < 3:
                kept.append(x)
                x = F.max_pool2d(x, 2)
        for level in (2, 1, 0):
            x = self.merge[level](torch.cat([self.up[level](x), kept[level]], 1))
        return self.head(x)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, mask=None):
        split = lambda y: y.reshape(y.shape[0], y.shape[1], self.heads, -1).transpose(1, 2)
        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = scores if mask is None else scores + mask
        return self.out((F.softmax(scores, -1) @ v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """One transformer layer; norms before each part (ViT) or after it (BERT)."""

    def __init__(self, width, heads, first, eps):
        super().__init__()
        self.first = first
        self.attend = Attention(width, heads)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x, mask=None):
        if self.first:
            x = x + self.attend(self.norm1(x), mask)
            return x + self.feed(self.norm2(x))
        x = self.norm1(x + self.attend(x, mask))
        return self.norm2(x + self.feed(x))


class Vit(nn.Module):
    """ViT-Tiny/16 (Touvron et al. 2021), 224 x 224."""

    def __init__(self, width=192, depth=12, heads=3):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, 197, width))
        self.layers = nn.Sequential(*(Layer(width, heads, True, 1e-6) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, 1000)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.norm(self.layers(x))[:, 0])


class Bert(nn.Module):
    """Devlin et al. 2019, sequences of 128."""

    def __init__(self, depth, width, heads):
        super().__init__()
        self.words, self.kinds = nn.Embedding(30522, width), nn.Embedding(2, width)
        self.places = nn.Parameter(0.02 * torch.randn(1, 128, width))
        self.norm = nn.LayerNorm(width, 1e-12)
        self.layers = nn.ModuleList(Layer(width, heads, False, 1e-12) for _ in range(depth))
        self.pool = nn.Linear(width, width)

    def forward(self, ids, mask, kinds):
        x = self.norm(self.words(ids) + self.kinds(kinds) + self.places)
        bias = (1.0 - mask[:, None, None, :].float()) * -10000.0
        for layer in self.layers:
            x = layer(x, bias)
        return x, torch.tanh(self.pool(x[:, 0]))


class CausalLayer(nn.Module):
    """One layer of a decoder: q, k and v by one product, as PyTorch is fastest."""

    def __init__(self, width, heads, context):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.register_buffer("mask", torch.full((context, context), -torch.inf).triu(1))

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = F.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + self.mask, -1)
        x = x + self.out((scores @ v).transpose(1, 2).flatten(2))
        return x + self.feed(self.norm2(x))


class Gpt(nn.Module):
    """GPT-2 (Radford et al. 2019) of 6 layers of 384 over bytes, 256 of them at a time."""

    def __init__(self, depth=6, width=384, heads=6, context=256, vocabulary=256):
        super().__init__()
        self.bytes = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(0.02 * torch.randn(1, context, width))
        self.layers = nn.Sequential(*(CausalLayer(width, heads, context) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids):
        return self.head(self.norm(self.layers(self.bytes(ids) + self.places)))


class Lstm(nn.Module):
    """Two layers of 256, 100 steps of 128 features."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(128, 256, 2, batch_first=True), nn.Linear(256, 32)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


def image(channels, height, width):
    return lambda batch: (torch.randn(batch, channels, height, width),)


def tokens(batch):
    ids = torch.randint(0, 100, (batch, 128))
    return ids, torch.ones_like(ids), torch.zeros_like(ids)


NETWORKS = {
    "resnet18": (lambda: resnet([2, 2, 2, 2], False), image(3, 224, 224)),
    "resnet50": (lambda: resnet([3, 4, 6, 3], True), image(3, 224, 224)),
    "mobilenetv2": (mobilenet_v2, image(3, 224, 224)),
    "efficientnet_lite0": (efficientnet_lite0, image(3, 224, 224)),
    "vit_tiny": (Vit, image(3, 224, 224)),
    "bert_mini": (lambda: Bert(4, 256, 4), tokens),
    "bert_base": (lambda: Bert(12, 768, 12), tokens),
    "unet_128": (UNet, image(1, 128, 128)),
    "dscnn": (DsCnn, image(1, 49, 10)),
    "lstm_2x256": (Lstm, lambda batch: (torch.randn(batch, 100, 128),)),
}

# Those that are trained: network, inputs of a batch, targets of a batch, optimiser.
IMAGE_TRAINER = lambda p: torch.optim.SGD(p, 1e-4, momentum=0.9, weight_decay=5e-4)
TRAINED = {
    "resnet18_32": (lambda: resnet([2, 2, 2, 2], False, 10, small=True), image(3, 32, 32),
                    lambda batch: torch.randint(0, 10, (batch,)), IMAGE_TRAINER),
    "mobilenetv2_96": (lambda: mobilenet_v2(2), image(3, 96, 96), lambda batch: torch.randint(0, 2, (batch,)),
                       IMAGE_TRAINER),
    "gpt_6x384": (Gpt, lambda batch: (torch.randint(0, 256, (batch, 256)),),
                  lambda batch: torch.randint(0, 256, (batch * 256,)),
                  lambda p: torch.optim.AdamW(p, 1e-4, weight_decay=0.1)),
}


def build(name):
    torch.manual_seed(0)
    make, samples = NETWORKS[name]
    network = make().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    for p in network.parameters():  # no two norms alike, so that the exporter shares none
        if p.dim() == 1:
            p.data.add_(0.02 * torch.randn_like(p))
    return network, samples


def export(name, folder):
    network, samples = build(name)
    example = samples(1)
    names = ["ids", "mask", "kinds"] if len(example) > 1 else ["x"]
    path = os.path.join(folder, name + ".onnx")
    with torch.no_grad():
        torch.onnx.export(network, example, path + ".tmp", opset_version=13, input_names=names,
                          dynamic_axes={n: {0: "N"} for n in names}, do_constant_folding=True)
    os.replace(path + ".tmp", path)
    store_samples(samples, names, os.path.join(folder, name + ".npz"))
    print(f"{path}: {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters", flush=True)


def store_samples(samples, names, path):
    """What int8 is calibrated on: an array for each input, labels of no meaning for what takes only one."""
    arrays = dict(zip(names, (t.numpy() for t in samples(32))))
    if len(names) == 1:
        arrays["y"] = np.zeros(32, np.int64)
    with open(path + ".tmp", "wb") as f:
        np.savez(f, **arrays)
    os.replace(path + ".tmp", path)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    unknown = [n for n in sys.argv[2:] if n not in NETWORKS]
    if unknown:
        sys.exit(f"no network is named {', '.join(unknown)}; known: {', '.join(NETWORKS)}")
    os.makedirs(sys.argv[1], exist_ok=True)
    for network_name in sys.argv[2:] or NETWORKS:
        export(network_name, sys.argv[1])
