"""MiT, the DAFormer head and the projection head in plain PyTorch; names of parameters are pgpc's."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from vit import VisionTransformer

# Widths and numbers of blocks of the four stages.
MIT = {
    "b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "b3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "b4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "b5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}
FUSED_ATTENTION = hasattr(F, "scaled_dot_product_attention")
HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
MLP_RATIO = 4
DILATIONS = (6, 12, 18)


class DropPath(nn.Module):
    """Stochastic depth: drops the whole input of a sample."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if not self.training or self.rate == 0:
            return x
        kept = 1 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(kept)
        return x * mask.div_(kept)


def to_map(tokens, height, width):
    """(N, HW, C) to (N, C, H, W)."""
    return tokens.transpose(1, 2).view(tokens.shape[0], -1, height, width)


def to_tokens(image):
    """(N, C, H, W) to (N, HW, C)."""
    return image.flatten(2).transpose(1, 2)


class PatchEmbed(nn.Module):
    def __init__(self, in_channels, width, kernel, stride):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, width, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.proj(x)
        height, width = x.shape[2:]
        return self.norm(to_tokens(x)), height, width


class Attention(nn.Module):
    def __init__(self, width, heads, reduction):
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.reduction = reduction
        if reduction > 1:
            self.sr = nn.Conv2d(width, width, reduction, reduction)
            self.norm = nn.LayerNorm(width)

    def forward(self, x, height, width):
        n, tokens, channels = x.shape
        q = self.q(x).view(n, tokens, self.heads, -1).transpose(1, 2)
        reduced = self.norm(to_tokens(self.sr(to_map(x, height, width)))) if self.reduction > 1 else x
        k, v = self.kv(reduced).view(n, -1, 2, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        if FUSED_ATTENTION:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            scores = (q * self.scale) @ k.transpose(-2, -1)
            mixed = scores.softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(n, tokens, channels))


class DepthwiseConv(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x, height, width):
        return to_tokens(self.dwconv(to_map(x, height, width)))


class MixFfn(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.dwconv = DepthwiseConv(MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, x, height, width):
        return self.fc2(F.gelu(self.dwconv(self.fc1(x), height, width)))


class Block(nn.Module):
    def __init__(self, width, heads, reduction, drop_path):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, reduction)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MixFfn(width)

    def forward(self, x, height, width):
        x = x + self.drop_path(self.attn(self.norm1(x), height, width))
        return x + self.drop_path(self.mlp(self.norm2(x), height, width))


class MixTransformer(nn.Module):
    """(N, 3, H, W) to four maps of strides 4, 8, 16 and 32."""

    def __init__(self, size, drop_path=0):
        super().__init__()
        self.widths, depths = MIT[size]
        rates = torch.linspace(0, drop_path, sum(depths), dtype=torch.float64).tolist()
        for stage, (width, depth) in enumerate(zip(self.widths, depths)):
            embed = PatchEmbed(3, width, 7, 4) if stage == 0 else PatchEmbed(self.widths[stage - 1], width, 3, 2)
            blocks = [Block(width, HEADS[stage], REDUCTIONS[stage], rates.pop(0)) for _ in range(depth)]
            setattr(self, f"patch_embed{stage + 1}", embed)
            setattr(self, f"block{stage + 1}", nn.ModuleList(blocks))
            setattr(self, f"norm{stage + 1}", nn.LayerNorm(width, eps=1e-6))

    def forward(self, x):
        outputs = []
        for stage in range(1, 5):
            x, height, width = getattr(self, f"patch_embed{stage}")(x)
            for block in getattr(self, f"block{stage}"):
                x = block(x, height, width)
            x = to_map(getattr(self, f"norm{stage}")(x), height, width)
            outputs.append(x)
        return outputs


class ConvModule(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, in_channels, out_channels, kernel, dilation=1, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel,
            padding=dilation * (kernel // 2), dilation=dilation, groups=groups, bias=False,
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class SeparableConvModule(nn.Module):
    def __init__(self, in_channels, out_channels, dilation):
        super().__init__()
        self.depthwise_conv = ConvModule(in_channels, in_channels, 3, dilation, groups=in_channels)
        self.pointwise_conv = ConvModule(in_channels, out_channels, 1)

    def forward(self, x):
        return self.pointwise_conv(self.depthwise_conv(x))


class AsppFusion(nn.Module):
    def __init__(self, in_channels, channels):
        super().__init__()
        separable = [SeparableConvModule(in_channels, channels, dilation) for dilation in DILATIONS]
        self.aspp_modules = nn.ModuleList([ConvModule(in_channels, channels, 1), *separable])
        self.bottleneck = ConvModule(channels * len(self.aspp_modules), channels, 3)

    def forward(self, x):
        return self.bottleneck(torch.cat([branch(x) for branch in self.aspp_modules], 1))


class LevelEmbedding(nn.Module):
    channels_last = False

    def __init__(self, in_channels, channels):
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)

    def forward(self, x):
        height, width = x.shape[2:]
        embedded = to_map(self.proj(to_tokens(x)), height, width)
        # Resizing and convolving run in the layout of the maps: on a GPU the tokens' own is that of tensor cores.
        return embedded if self.channels_last else embedded.contiguous()


class DaformerHead(nn.Module):
    """Four levels to fused features and class scores at stride 4."""

    def __init__(self, widths, channels, classes, dropout, fusion=AsppFusion):
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, classes, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.embed_layers = nn.ModuleList([LevelEmbedding(width, channels) for width in widths])
        self.fuse_layer = fusion(channels * len(widths), channels)

    def forward(self, levels):
        size = levels[0].shape[2:]
        embedded = [embed(level) for embed, level in zip(self.embed_layers, levels)]
        resized = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in embedded[1:]]
        features = self.fuse_layer(torch.cat([embedded[0], *resized], 1))
        return features, self.conv_seg(self.dropout(features))


def resize(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


class MultiResolutionHead(nn.Module):
    """HRDA's: one head for both resolutions, and an attention that says which to trust."""

    def __init__(self, *options):
        super().__init__()
        self.head = DaformerHead(*options)
        self.scale_attention = DaformerHead(*options, fusion=lambda wide, narrow: ConvModule(wide, narrow, 1))

    def forward(self, levels):
        return self.head(levels)


def cut(x, box, stride=1):
    top, left, height, width = (length // stride for length in box)
    return x[..., top : top + height, left : left + width]


def placed(x, box, stride, size):
    top, left, height, width = (length // stride for length in box)
    return F.pad(x, (left, size[1] - left - width, top, size[0] - top - height))


class Segmentor(nn.Module):
    """Fused features, class scores at stride 4 and the encoder's maps, by pgpc's description of a network."""

    def __init__(self, config):
        super().__init__()
        name = config["backbone"]
        is_mit = name.startswith("mit_")
        self.backbone = MixTransformer(name[4:], config["dropPath"]) if is_mit else VisionTransformer()
        self.two = config.get("multiResolution")
        head = MultiResolutionHead if self.two else DaformerHead
        self.decode_head = head(self.backbone.widths, config["channels"], config["classes"], config["dropout"])

    def forward(self, image, box=None):
        if self.two:
            return self.both(image, box)
        stages = self.backbone(image)
        return *self.decode_head(stages), stages

    def both(self, image, box):
        """HRDA's pass: the context, and details in the box or by windows that overlap by half."""
        height, width = image.shape[2:]
        stages = self.backbone(resize(image, (height // 2, width // 2)))
        context_features, context = self.decode_head(stages)
        attention = self.decode_head.scale_attention(stages)[1].sigmoid()
        size = (height // 4, width // 4)
        if box:
            features, own = self.decode_head(self.backbone(cut(image, box)))
            attention = placed(cut(attention, box, 8), box, 8, attention.shape[2:])
            detail_features, detail = (placed(x, box, 4, size) for x in (features, own))
        else:
            own = None
            detail_features, detail = self.windows(image, size)
        gated = (1 - attention) * context
        logits = resize(attention, size) * detail + resize(gated, size)
        shared = attention.detach().mean(1, keepdim=True)
        features = resize(shared, size) * detail_features + resize((1 - shared) * context_features, size)
        return features, logits, stages, own

    def windows(self, image, size):
        crop = self.two["detailCrop"]
        sides = (crop["height"], crop["width"])
        starts = [
            sorted({min(i, length - side) for i in range(0, max(length - side, 0) + side // 2, side // 2)})
            for length, side in zip(image.shape[2:], sides)
        ]
        boxes = [(top, left, *sides) for top in starts[0] for left in starts[1]]
        seen = self.decode_head(self.backbone(torch.cat([cut(image, box) for box in boxes])))
        averages = []
        for maps in seen:
            total = maps.new_zeros((image.shape[0], maps.shape[1], *size))
            count = maps.new_zeros((1, 1, *size))
            for box, part in zip(boxes, maps.split(image.shape[0])):
                cut(total, box, 4).add_(part)
                cut(count, box, 4).add_(1)
            averages.append(total / count)
        return averages


class ProjectionHead(nn.Module):
    """(pixels, channels) to (pixels, width), of unit length."""

    def __init__(self, channels, width, depth):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(channels if i == 0 else width, width) for i in range(depth)])

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = layer(x if i == 0 else F.relu(x))
        return F.normalize(x, dim=-1)


class Learner(nn.Module):
    """What is trained: a segmentor and, where pixels are contrasted, a projection head."""

    def __init__(self, segmentor, contrast):
        super().__init__()
        self.segmentor = Segmentor(segmentor)
        if contrast:
            self.projection = ProjectionHead(segmentor["channels"], contrast["width"], contrast["depth"])
