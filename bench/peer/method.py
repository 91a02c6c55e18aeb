"""The training step in plain PyTorch: source-only, self-training, DAFormer's, and with pixel contrast."""

import copy
import math
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from contrast import PixelContrast
from network import Block, DropPath, cut, resize

IGNORE = 255
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1) / 255
STD = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1) / 255
SEXTANTS = torch.tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1)


def use_device(device):
    """Moves the constants of the augmentation, which is a function of a module of its own in any training script."""
    global MEAN, STD, SEXTANTS
    MEAN, STD, SEXTANTS = MEAN.to(device), STD.to(device), SEXTANTS.to(device)


def build_optimizer(learner, lr, head_multiplier, weight_decay):
    """AdamW; the heads and a pyramid learn faster, the encoder's norms do not decay, of a ViT nor do other vectors."""
    is_vit = hasattr(learner.segmentor.backbone, "pyramid")
    encoder, norms, heads = [], [], []
    for name, parameter in learner.named_parameters():
        if not name.startswith("segmentor.backbone.") or ".pyramid." in name:
            heads.append(parameter)
        elif "norm" in name or is_vit and (parameter.ndim == 1 or name.endswith(("cls_token", "pos_embed"))):
            norms.append(parameter)
        else:
            encoder.append(parameter)
    groups = [
        {"params": encoder},
        {"params": norms, "weight_decay": 0},
        {"params": heads, "lr": lr * head_multiplier},
    ]
    # The fastest that there is for the device.
    fastest = {"fused": True} if next(learner.parameters()).is_cuda else {"foreach": True}
    return torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay, **fastest)


def segmentation_loss(logits, label, weight=None):
    logits = F.interpolate(logits, label.shape[1:], mode="bilinear", align_corners=False)
    loss = F.cross_entropy(logits, label, ignore_index=IGNORE, reduction="none")
    return loss.mean() if weight is None else (loss * weight).mean()


def class_mix_mask(label):
    """Pixels (N, H, W) of half of the classes of the batch, drawn for every image."""
    classes = torch.unique(label)
    half = (len(classes) + 1) // 2
    draw = lambda: classes[torch.randperm(len(classes), device=label.device)[:half]]
    return torch.stack([torch.isin(image, draw()) for image in label])


def rgb_to_hsv(image):
    r, g, b = image.unbind(1)
    value, index = image.max(1)
    delta = value - image.min(1)[0]
    saturation = delta / (value + 1e-8)
    safe = delta.masked_fill(delta == 0, 1)
    sextants = torch.stack([((g - b) / safe) % 6, (b - r) / safe + 2, (r - g) / safe + 4], 1)
    return sextants.gather(1, index[:, None])[:, 0] / 6, saturation, value


def hsv_to_rgb(hue, saturation, value):
    k = (SEXTANTS + 6 * hue[:, None]) % 6
    share = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * share)


def adjust_saturation(image, factor):
    hue, saturation, value = rgb_to_hsv(image)
    return hsv_to_rgb(hue, (saturation * factor).clamp(0, 1), value)


def adjust_hue(image, turn):
    hue, saturation, value = rgb_to_hsv(image)
    return hsv_to_rgb((hue + turn) % 1, saturation, value)


def color_jitter(image, strength):
    factors = [random.uniform(-strength, strength) for _ in range(4)]
    operations = [
        lambda x: (x + factors[0]).clamp(0, 1),
        lambda x: (x * (1 + factors[1])).clamp(0, 1),
        lambda x: adjust_saturation(x, 1 + factors[2]),
        lambda x: adjust_hue(x, factors[3]),
    ]
    random.shuffle(operations)
    for operation in operations:
        image = operation(image)
    return image


def gaussian_blur(image, sigma):
    """Kernel of an odd side, about a tenth of the image's."""
    side = math.ceil(0.1 * image.shape[-1])
    size = math.floor(side - 0.5 + side % 2)
    weights = torch.exp(-(((torch.arange(size, device=image.device) - size // 2) / sigma) ** 2) / 2)
    weights = (weights / weights.sum()).expand(3, 1, 1, size)
    padded = F.pad(image, [size // 2] * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, weights, groups=3), weights.transpose(2, 3), groups=3)


def strong_augment(image, options):
    jitter = random.random() < options["jitterProbability"]
    blur = random.random() < options["blurProbability"]
    images = []
    for x in image.split(1):
        if jitter:
            pixels = (x * STD + MEAN).clamp(0, 1)
            x = (color_jitter(pixels, options["jitterStrength"]) - MEAN) / STD
        if blur:
            x = gaussian_blur(x, random.uniform(0.15, 1.15))
        images.append(x)
    return torch.cat(images)


def detail_box(size, crop):
    """A detail crop of HRDA's at a random place: top, left, height, width."""
    sides = (crop["height"], crop["width"])
    return [random.randrange(max(1, (length - side + 1) // 8)) * 8 for length, side in zip(size, sides)] + list(sides)


def patch_mask(image, options):
    """Which pixels of MIC's masked images stay, (N, 1, H, W)."""
    height, width = image.shape[2:]
    side = round(options["patch"] * height)
    kept = torch.rand(image.shape[0], 1, round(height / side), round(width / side), device=image.device)
    return F.interpolate((kept > options["ratio"]).to(image.dtype), (height, width))


class FeatureDistance:
    """Distance of the last stage's features to the frozen encoder's, where the label shows things."""

    def __init__(self, encoder, options, device):
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
        self.weight, self.min_share = options["weight"], options["minShare"]
        self.classes = torch.tensor(options["classes"], device=device).view(1, -1, 1, 1)
        self.call = self.encoder

    def loss(self, image, label, features, autocast):
        with torch.no_grad():
            with autocast():
                frozen = self.call(image)[-1].float()
            patch = label.shape[1] // features.shape[2]
            shares = F.avg_pool2d((label[:, None] == self.classes).float(), patch)
            mask = shares.amax(1) >= self.min_share
        distance = torch.linalg.vector_norm(features.float() - frozen, dim=1)
        return self.weight * (distance * mask).sum() / mask.sum().clamp(min=1)


class AdaptationStep:
    """`precision` float32, or bfloat16: the networks run under autocast, losses and contrast in float32."""

    def __init__(self, method, student, optimizer, classes, contrast_seed, precision="float32"):
        device = next(student.parameters()).device
        use_device(device)
        self.autocast = lambda: torch.autocast(
            device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"
        )
        self.student = student
        self.optimizer = optimizer
        self.self_training = method.get("selfTraining")
        self.masking = method.get("maskedConsistency")
        self.two = student.segmentor.two
        contrast = method.get("contrast")
        self.contrast = PixelContrast(classes, contrast, contrast_seed, device) if contrast else None
        options = method.get("featureDistance")
        self.distance = FeatureDistance(student.segmentor.backbone, options, device) if options else None
        self.call_student = student.segmentor
        # Whether a network's outputs are overwritten when it runs again, as with CUDA graphs.
        self.reuses_outputs = False
        if self.self_training:
            self.teacher = copy.deepcopy(student).requires_grad_(False)
            for module in self.teacher.modules():
                if isinstance(module, (nn.Dropout2d, DropPath)):
                    module.eval()
            self.call_teacher = self.teacher.segmentor

    def compile(self, mode):
        """torch.compile of all networks. `mode` is its own, or "blocks": attention and MLP of each block by themselves,
        which takes seconds instead of minutes."""
        networks = [self.student.segmentor]
        if self.self_training:
            networks.append(self.teacher.segmentor)
        if self.distance:
            networks.append(self.distance.encoder)
        if mode == "blocks":
            # One graph for each width, with and without gradient.
            torch._dynamo.config.cache_size_limit = 64
            blocks = [module for network in networks for module in network.modules() if isinstance(module, Block)]
            for part in [part for block in blocks for part in (block.attn, block.mlp)]:
                part.compile(dynamic=False)
            return
        options = {"mode": None if mode == "default" else mode, "dynamic": False}
        compiled = [torch.compile(network, **options) for network in networks]
        self.call_student = compiled.pop(0)
        if self.self_training:
            self.call_teacher = compiled.pop(0)
        if self.distance:
            self.distance.call = compiled.pop(0)
        self.reuses_outputs = mode == "reduce-overhead"

    def forward(self, call, image, box=None):
        """Features, logits and stages, and of two resolutions the detail crop's logits."""
        with self.autocast():
            features, logits, stages, *own = call(image, box) if self.two else call(image)
        if self.reuses_outputs:
            features, logits = features.clone(), logits.clone()
        return features, logits.float(), stages, *own

    def learn(self, image, label, weight, box):
        """The student's pass and its loss, of two resolutions with the detail crop's own."""
        if not self.two:
            features, logits, stages = self.forward(self.call_student, image)
            return features, stages, segmentation_loss(logits, label, weight)
        features, logits, stages, own = self.forward(self.call_student, image, box)
        inside = [None if x is None else cut(x, box) for x in (label, weight)]
        share = self.two["detailWeight"]
        whole = segmentation_loss(logits, label, weight)
        return features, stages, (1 - share) * whole + share * segmentation_loss(own.float(), *inside)

    @torch.no_grad()
    def update_teacher(self, iteration):
        alpha = min(1 - 1 / (iteration + 1), self.self_training["alpha"])
        teacher, student = list(self.teacher.parameters()), list(self.student.parameters())
        torch._foreach_mul_(teacher, alpha)
        torch._foreach_add_(teacher, student, alpha=1 - alpha)

    @torch.no_grad()
    def pseudo_labels(self, logits, size):
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        confidence, label = logits.softmax(1).max(1)
        q = (confidence >= self.self_training["threshold"]).float().mean()
        return label, q

    def run(self, source_image, source_label, target_image, iteration, mask=None, boxes=None, hidden=None):
        """One iteration. `mask`, `boxes` and `hidden`, where given, take the place of ClassMix's, the detail crops' and
        the masked images' draws. Returns the losses by name."""
        options = self.self_training
        size = source_image.shape[2:]
        places = iter(boxes) if boxes else None
        draw_box = lambda: (next(places) if places else detail_box(size, self.two["detailCrop"])) if self.two else None
        if self.reuses_outputs:
            torch.compiler.cudagraph_mark_step_begin()
        self.optimizer.zero_grad(set_to_none=True)
        if options:
            self.update_teacher(iteration)

        source_features, stages, source_loss = self.learn(source_image, source_label, None, draw_box())
        losses = {"source": source_loss.detach()}
        if self.distance:
            seen = resize(source_image, [side // 2 for side in size]) if self.two else source_image
            distance = self.distance.loss(seen, source_label, stages[-1], self.autocast)
            losses["featureDistance"] = distance.detach()
            source_loss = source_loss + distance
        source_loss.backward()
        source_features = source_features.detach()
        del source_loss, stages
        if not options:
            self.optimizer.step()
            return losses

        with torch.no_grad():
            teacher_features, teacher_logits, *_ = self.forward(self.call_teacher, target_image)
            pseudo_label, q = self.pseudo_labels(teacher_logits, target_image.shape[2:])
            mask = class_mix_mask(source_label) if mask is None else mask
            image = torch.where(mask[:, None], source_image, target_image)
            image = strong_augment(image, options)
            label = torch.where(mask, source_label, pseudo_label)
            weight = torch.where(mask, torch.ones_like(q), q * options["weight"])
        box = draw_box()
        features, _, target_loss = self.learn(image, label, weight, box)
        losses.update(target=target_loss.detach(), q=q)

        loss = target_loss
        if self.contrast:
            self.contrast.store_source(source_features.float(), source_label, self.teacher.projection)
            self.contrast.store_target(teacher_features.float(), teacher_logits, self.teacher.projection)
            # No anchors where there are no details.
            left = mask
            if box:
                left = torch.ones_like(mask)
                cut(left, box).copy_(cut(mask, box))
            contrast_loss = self.contrast.loss(features.float(), left, teacher_logits, self.student.projection)
            losses["contrast"] = contrast_loss.detach()
            loss = loss + self.contrast.options["weight"] * contrast_loss
        loss.backward()
        if self.masking:
            del loss, features, target_loss
            with torch.no_grad():
                seen = strong_augment(target_image, options) if self.masking["augment"] else target_image
                seen = seen * (patch_mask(seen, self.masking) if hidden is None else hidden)
            weight = q.expand(label.shape)
            masked_loss = self.masking["weight"] * self.learn(seen, pseudo_label, weight, draw_box())[2]
            losses["masked"] = masked_loss.detach()
            masked_loss.backward()
        self.optimizer.step()
        return losses
