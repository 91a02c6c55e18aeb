"""DINOv2's ViT-S with ViTDet's simple pyramid in plain PyTorch; names of parameters are pgpc's."""

import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH = 384
DEPTH = 12
HEADS = 6
PATCH = 14
# Patches along each side of the images that positions were learned on.
SIDE = 37
OFFSET = 0.1
EPS = 1e-6
PYRAMID_WIDTH = 256
STRIDES = (4, 8, 16, 32)
FUSED_ATTENTION = hasattr(F, "scaled_dot_product_attention")


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        if FUSED_ATTENTION:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(n, tokens, WIDTH))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return x * self.gamma


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, eps=EPS)
        self.attn = Attention()
        self.ls1 = LayerScale()
        self.norm2 = nn.LayerNorm(WIDTH, eps=EPS)
        self.mlp = Mlp()
        self.ls2 = LayerScale()

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class MapNorm(nn.LayerNorm):
    """Layer norm over the channels of a map."""

    def __init__(self, channels):
        super().__init__(channels, eps=EPS)

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class NormedConv(nn.Module):
    def __init__(self, channels, kernel):
        super().__init__()
        self.conv = nn.Conv2d(channels, PYRAMID_WIDTH, kernel, padding=kernel // 2, bias=False)
        self.norm = MapNorm(PYRAMID_WIDTH)

    def forward(self, x):
        return self.norm(self.conv(x))


class Pyramid(nn.Module):
    """One map to four, of 4, 2, 1 and 1/2 times its size."""

    def __init__(self):
        super().__init__()
        half, quarter = WIDTH // 2, WIDTH // 4
        doubled = lambda wide, narrow: nn.ConvTranspose2d(wide, narrow, 2, 2)
        resampling = [
            ([doubled(WIDTH, half), MapNorm(half), nn.GELU(), doubled(half, quarter)], quarter),
            ([doubled(WIDTH, half)], half),
            ([], WIDTH),
            ([nn.MaxPool2d(2, 2)], WIDTH),
        ]
        levels = [[*layers, NormedConv(width, 1), NormedConv(PYRAMID_WIDTH, 3)] for layers, width in resampling]
        self.levels = nn.ModuleList([nn.Sequential(*layers) for layers in levels])

    def forward(self, x):
        return [level(x) for level in self.levels]


class PatchEmbed(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)

    def forward(self, image):
        return self.proj(image)


class VisionTransformer(nn.Module):
    """(N, 3, H, W), whole patches a side, to four maps of strides 4, 8, 16 and 32."""

    widths = (PYRAMID_WIDTH,) * 4

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + SIDE**2, WIDTH))
        self.patch_embed = PatchEmbed()
        self.blocks = nn.ModuleList([Block() for _ in range(DEPTH)])
        self.norm = nn.LayerNorm(WIDTH, eps=EPS)
        self.pyramid = Pyramid()

    def positions(self, height, width):
        known = self.pos_embed[:, 1:].view(1, SIDE, SIDE, WIDTH).permute(0, 3, 1, 2)
        scales = [(side + OFFSET) / SIDE for side in (height, width)]
        resized = F.interpolate(known, scale_factor=scales, mode="bicubic", align_corners=False)
        return resized.flatten(2).transpose(1, 2)

    def forward(self, image):
        embedded = self.patch_embed(image)
        n, _, height, width = embedded.shape
        patches = embedded.flatten(2).transpose(1, 2) + self.positions(height, width)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(n, -1, -1)
        x = torch.cat([first, patches], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x[:, 1:]).transpose(1, 2).reshape(n, WIDTH, height, width)
        sizes = [[side // stride for side in image.shape[2:]] for stride in STRIDES]
        levels = zip(self.pyramid(x), sizes)
        return [F.interpolate(level, size, mode="bilinear", align_corners=False) for level, size in levels]
