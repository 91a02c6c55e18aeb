"""The networks of docs/networks.md in plain PyTorch, filled by the rule of their manifests.

Run by bench/networks.mjs, which sends one line of JSON per command. By hand it writes the reference outputs that the
tests compare with, for an input of the given height and width:

    python3 bench/peer/networks.py 65x97 NAME [NAME ...] > packages/pgpc/test/goldens/networks.outputs.json
"""

import json
import math
import os
import sys
import time
import zlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from network import AsppFusion, Attention, LevelEmbedding, MixTransformer

CLASSES = 19


def resize(x, like):
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


class DaformerHead(nn.Module):
    def __init__(self, widths, channels=256):
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, CLASSES, 1)
        self.embed_layers = nn.ModuleList([LevelEmbedding(width, channels) for width in widths])
        self.fuse_layer = AsppFusion(channels * len(widths), channels)

    def forward(self, stages):
        levels = [embed(stage) for embed, stage in zip(self.embed_layers, stages)]
        levels = [levels[0], *(resize(level, levels[0]) for level in levels[1:])]
        return self.conv_seg(self.fuse_layer(torch.cat(levels, 1)))


class ConvModule(nn.Module):
    """Convolution, batch norm or a bias in its place, ReLU."""

    def __init__(self, in_channels, out_channels, kernel, norm=True, dilation=1, groups=1):
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, padding=padding, dilation=dilation, groups=groups, bias=not norm
        )
        self.bn = nn.BatchNorm2d(out_channels) if norm else nn.Identity()

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class SeparableConvModule(nn.Module):
    def __init__(self, in_channels, out_channels, norm, dilation=1):
        super().__init__()
        self.depthwise_conv = ConvModule(in_channels, in_channels, 3, norm, dilation, groups=in_channels)
        self.pointwise_conv = ConvModule(in_channels, out_channels, 1, norm)

    def forward(self, x):
        return self.pointwise_conv(self.depthwise_conv(x))


class SegformerHead(nn.Module):
    def __init__(self, widths, channels):
        super().__init__()
        for i, width in enumerate(widths):
            setattr(self, f"linear_c{i + 1}", LevelEmbedding(width, channels))
        self.linear_fuse = ConvModule(channels * len(widths), channels, 1)
        self.linear_pred = nn.Conv2d(channels, CLASSES, 1)

    def forward(self, stages):
        first = self.linear_c1(stages[0])
        coarse = [resize(getattr(self, f"linear_c{i}")(stages[i - 1]), first) for i in (4, 3, 2)]
        return self.linear_pred(self.linear_fuse(torch.cat([*coarse, first], 1)))


def conv_norm(in_channels, out_channels, kernel, stride=1, dilation=1, relu=True):
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, bias=False)
    layers = [conv, nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class Bottleneck(nn.Module):
    def __init__(self, in_channels, width, stride=1, dilation=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        if stride != 1 or in_channels != 4 * width:
            self.downsample = conv_norm(in_channels, 4 * width, 1, stride, relu=False)
        else:
            self.downsample = nn.Identity()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        y += self.downsample(x)
        return F.relu(y, inplace=True)


class BasicBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += x
        return F.relu(y, inplace=True)


class ResNet101(nn.Module):
    """V1c with the dilations 2 and 4 in the last two stages."""

    widths = (256, 512, 1024, 2048)

    def __init__(self):
        super().__init__()
        stem = [conv_norm(3, 32, 3, 2), conv_norm(32, 32, 3), conv_norm(32, 64, 3)]
        self.stem = nn.Sequential(*(layer for block in stem for layer in block))
        self.layer1 = self.stage(64, 64, 3, 1, 1, 1)
        self.layer2 = self.stage(256, 128, 4, 2, 1, 1)
        self.layer3 = self.stage(512, 256, 23, 1, 1, 2)
        self.layer4 = self.stage(1024, 512, 3, 1, 2, 4)

    @staticmethod
    def stage(in_channels, width, depth, stride, first_dilation, dilation):
        first = Bottleneck(in_channels, width, stride, first_dilation)
        return nn.Sequential(first, *(Bottleneck(4 * width, width, 1, dilation) for _ in range(depth - 1)))

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        stages = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            stages.append(x)
        return stages


class DeeplabV2Branch(nn.Module):
    def __init__(self, in_channels, dilation):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, CLASSES, 3, padding=dilation, dilation=dilation)

    def forward(self, x):
        return self.conv(x)


class DeeplabV2Head(nn.Module):
    def __init__(self, widths, dilations):
        super().__init__()
        self.aspp_modules = nn.ModuleList([DeeplabV2Branch(widths[-1], dilation) for dilation in dilations])

    def forward(self, stages):
        return sum(branch(stages[-1]) for branch in self.aspp_modules)


class DeeplabV3PlusHead(nn.Module):
    def __init__(self, widths, norm, channels=512):
        super().__init__()
        last = widths[-1]
        self.conv_seg = nn.Conv2d(channels, CLASSES, 1)
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvModule(last, channels, 1, norm))
        dilated = [SeparableConvModule(last, channels, norm, dilation) for dilation in (12, 24, 36)]
        self.aspp_modules = nn.ModuleList([ConvModule(last, channels, 1, norm), *dilated])
        self.bottleneck = ConvModule(5 * channels, channels, 3, norm)
        self.c1_bottleneck = ConvModule(widths[0], 48, 1, norm)
        self.sep_bottleneck = nn.Sequential(
            SeparableConvModule(channels + 48, channels, norm), SeparableConvModule(channels, channels, norm)
        )

    def forward(self, stages):
        last = stages[-1]
        context = [resize(self.image_pool(last), last), *(branch(last) for branch in self.aspp_modules)]
        context = self.bottleneck(torch.cat(context, 1))
        fine = self.c1_bottleneck(stages[0])
        return self.conv_seg(self.sep_bottleneck(torch.cat([resize(context, fine), fine], 1)))


class FuseModule(nn.Module):
    """Parallel streams and their exchange."""

    def __init__(self, widths):
        super().__init__()
        self.branches = nn.ModuleList([nn.Sequential(*(BasicBlock(width) for _ in range(4))) for width in widths])
        self.fuse_layers = nn.ModuleList(
            [nn.ModuleList([self.path(widths, j, i) for j in range(len(widths))]) for i in range(len(widths))]
        )

    @staticmethod
    def path(widths, source, target):
        if source == target:
            return nn.Identity()
        if source > target:
            return conv_norm(widths[source], widths[target], 1, relu=False)
        steps = [conv_norm(widths[source], widths[source], 3, 2) for _ in range(target - source - 1)]
        return nn.Sequential(*steps, conv_norm(widths[source], widths[target], 3, 2, relu=False))

    def forward(self, streams):
        streams = [branch(stream) for branch, stream in zip(self.branches, streams)]
        fused = []
        for target, paths in enumerate(self.fuse_layers):
            parts = [path(stream) for path, stream in zip(paths, streams)]
            parts = [resize(part, streams[target]) if j > target else part for j, part in enumerate(parts)]
            fused.append(F.relu(sum(parts[1:], parts[0])))
        return fused


class HrnetW48(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Bottleneck(64, 64), *(Bottleneck(256, 64) for _ in range(3)))
        new = lambda before, width: nn.Sequential(conv_norm(before, width, 3, 2))
        kept = lambda count: [nn.Identity() for _ in range(count)]
        self.transition1 = nn.ModuleList([conv_norm(256, 48, 3), new(256, 96)])
        self.stage2 = nn.Sequential(FuseModule((48, 96)))
        self.transition2 = nn.ModuleList([*kept(2), new(96, 192)])
        self.stage3 = nn.Sequential(*(FuseModule((48, 96, 192)) for _ in range(4)))
        self.transition3 = nn.ModuleList([*kept(3), new(192, 384)])
        self.stage4 = nn.Sequential(*(FuseModule((48, 96, 192, 384)) for _ in range(3)))
        self.last_layer = nn.Sequential(
            nn.Conv2d(720, 720, 1), nn.BatchNorm2d(720), nn.ReLU(inplace=True), nn.Conv2d(720, CLASSES, 1)
        )

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        streams = [self.layer1(x)]
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            inputs = [*streams, *([streams[-1]] * (len(transition) - len(streams)))]
            streams = stage([path(stream) for path, stream in zip(transition, inputs)])
        resized = [streams[0], *(resize(stream, streams[0]) for stream in streams[1:])]
        outputs = {f"stream{i + 1}": stream for i, stream in enumerate(streams)}
        return {**outputs, "logits": self.last_layer(torch.cat(resized, 1))}


class StageOutputs(nn.Module):
    """An encoder, and a decoder if there is one, with names for what they give."""

    def __init__(self, backbone, decode_head=None):
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head

    def forward(self, x):
        stages = self.backbone(x)
        outputs = {f"stage{i + 1}": stage for i, stage in enumerate(stages)}
        return {**outputs, "logits": self.decode_head(stages)} if self.decode_head else outputs


def create(name):
    if name == "hrnet_w48":
        return HrnetW48()
    if name.endswith("_r101"):
        widths = ResNet101.widths
        head = {
            "deeplabv2": lambda: DeeplabV2Head(widths, (6, 12, 18, 24)),
            "deeplabv2red": lambda: DeeplabV2Head(widths, (6, 12)),
            "deeplabv3plus": lambda: DeeplabV3PlusHead(widths, True),
            "deeplabv3plus_nodbn": lambda: DeeplabV3PlusHead(widths, False),
        }[name[: -len("_r101")]]
        return StageOutputs(ResNet101(), head())
    size = "b5" if name == "daformer" else name[-2:]
    backbone = MixTransformer(size)
    if name.startswith("mit_"):
        return StageOutputs(backbone)
    if name.startswith("daformer"):
        return StageOutputs(backbone, DaformerHead(backbone.widths))
    if name.startswith("segformer"):
        return StageOutputs(backbone, SegformerHead(backbone.widths, 256 if size in ("b0", "b1") else 768))
    raise ValueError(f"there is no network {name}")


def fill_values(name, shape):
    """float64 values of a state dict's entry, by its name alone."""
    h = zlib.crc32(name.encode())
    s = np.sin(np.arange(65536) * 12.9898 + (h % 10007) * 78.233) * 43758.5453
    v = np.resize(s - np.floor(s) - 0.5, math.prod(shape)).reshape(shape)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return 1 + 0.2 * v
    if name.endswith("running_mean") or (len(shape) == 1 and name.endswith("bias")):
        return 0.1 * v
    if name.endswith("num_batches_tracked"):
        return 0 * v
    return v * math.sqrt(3 / math.prod(shape[1:]))


def fill(network, prefix):
    for name, value in network.state_dict().items():
        value.copy_(torch.from_numpy(np.asarray(fill_values(name[len(prefix) :], value.shape))))


def create_filled(name):
    network = create(name).eval()
    # The names of an encoder alone have no prefix.
    fill(network, "backbone." if name.startswith("mit_") else "")
    return network


def example_input(shape):
    i = np.arange(math.prod(shape), dtype=np.float64)
    return torch.from_numpy((1.5 * np.sin(0.01 * i) + 0.5 * np.cos(0.0037 * i)).astype(np.float32)).view(*shape)


def summary(name, output):
    flat = output.flatten().double()
    indices = [k * (flat.numel() - 1) // 15 for k in range(16)]
    number = lambda value: float(f"{value:.9g}")
    return {
        "name": name,
        "shape": list(output.shape),
        "mean": number(flat.mean().item()),
        "std": number(flat.std(unbiased=False).item()),
        "abs_max": number(flat.abs().max().item()),
        "indices": indices,
        "values": [number(flat[i].item()) for i in indices],
    }


def write_reference(size, names):
    shape = [1, 3, *(int(side) for side in size.split("x"))]
    networks = []
    for name in names:
        outputs = create_filled(name)(example_input(shape))
        outputs = [summary(output, value) for output, value in outputs.items()]
        networks.append({"name": name, "input_shape": shape, "outputs": outputs})
    writer = f"bench/peer/networks.py on PyTorch {torch.__version__}"
    print(f'{{ "written_by": {json.dumps(writer)}, "networks": [')
    print(",\n".join(json.dumps(network) for network in networks))
    print("] }")


def count_multiply_adds(network, image):
    """Of convolutions, linear maps and attention's two products in one pass, as the architecture is defined."""
    total = 0

    def add(count):
        nonlocal total
        total += count

    def weighted(module, inputs, output):
        add(output.numel() * module.weight[0].numel())

    def attention(module, inputs, output):
        x, height, width = inputs
        reduced = (height // module.reduction) * (width // module.reduction)
        add(2 * x.numel() * reduced)

    kinds = {nn.Conv2d: weighted, nn.Linear: weighted, Attention: attention}
    modules = [module for module in network.modules() if type(module) in kinds]
    hooks = [module.register_forward_hook(kinds[type(module)]) for module in modules]
    outputs = network(image)
    for hook in hooks:
        hook.remove()
    return outputs, total


def serve():
    """One network at a time: `create` makes it and writes its outputs to a file, `run` times a forward pass."""
    network = image = None
    print(json.dumps({"libtorch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "create":
            network, image = create_filled(command["name"]), example_input(command["shape"])
            outputs, multiply_adds = count_multiply_adds(network, image)
            with open(command["file"], "wb") as file:
                for value in outputs.values():
                    file.write(value.contiguous().numpy().tobytes())
            shapes = {name: list(value.shape) for name, value in outputs.items()}
            answer = {"shapes": shapes, "multiplyAdds": multiply_adds}
        else:
            start = time.perf_counter()
            network(image)
            answer = {"ms": (time.perf_counter() - start) * 1e3}
        print(json.dumps(answer), flush=True)


torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
with torch.inference_mode():
    if len(sys.argv) > 1:
        write_reference(sys.argv[1], sys.argv[2:])
    else:
        serve()
