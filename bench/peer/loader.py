"""The peer's worker: one round of batches per line of JSON on stdin, its time as JSON on stdout.

A PyTorch DataLoader with Pillow: resize, random crop with cat_max_ratio, flip, normalise, pad, on the files of
GTA5's and Cityscapes' layouts. Run by bench/loader.mjs with its configuration, as JSON, as the only argument.
"""

import json
import pathlib
import random
import sys
import time

import numpy as np
import PIL
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset, RandomSampler

MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
IGNORE = 255


def scaled_size(size, bounds):
    factor = min(max(bounds) / max(size), min(bounds) / min(size))
    return tuple(int(side * factor + 0.5) for side in size)


def normalize(image):
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    return pixels.sub_(MEAN).div_(STD)


class CropDataset(Dataset):
    """Random crops of a labelled source image and, drawn independently, of a target image."""

    def __init__(self, config):
        source, target = pathlib.Path(config["sourceRoot"]), pathlib.Path(config["targetRoot"])
        self.images = sorted((source / "images").glob("*.png"))
        self.labels = sorted((source / "labels").glob("*.png"))
        self.targets = sorted((target / "leftImg8bit" / "train").glob("*/*.png"))
        self.source_scale, self.target_scale = config.get("sourceScale"), config.get("targetScale")
        self.table = np.array(config["table"], dtype=np.uint8)
        crop = config["crop"]
        self.size = (crop["width"], crop["height"])
        self.flip, self.cat_max_ratio = crop["flip"], crop["catMaxRatio"]

    def __len__(self):
        return len(self.images)

    def box(self, image):
        width, height = self.size
        left = random.randint(0, max(image.width - width, 0))
        top = random.randint(0, max(image.height - height, 0))
        return left, top, min(left + width, image.width), min(top + height, image.height)

    def varied(self, label):
        values, counts = np.unique(np.asarray(label), return_counts=True)
        counts = counts[values != IGNORE]
        return len(counts) > 1 and counts.max() / counts.sum() < self.cat_max_ratio

    def resized(self, path, scale):
        image = Image.open(path).convert("RGB")
        return image.resize(scaled_size(image.size, scale), Image.BILINEAR) if scale else image

    def finished(self, image):
        tensor = normalize(image)
        return F.pad(tensor, (0, self.size[0] - image.width, 0, self.size[1] - image.height))

    def source_label(self, index):
        return Image.fromarray(self.table[np.asarray(Image.open(self.labels[index]))])

    def __getitem__(self, index):
        image = self.resized(self.images[index], self.source_scale)
        label = self.source_label(index).resize(image.size, Image.NEAREST)
        box = self.box(image)
        for _ in range(10):
            if self.varied(label.crop(box)):
                break
            box = self.box(image)
        image, label = image.crop(box), label.crop(box)
        if random.random() < self.flip:
            image, label = (x.transpose(Image.FLIP_LEFT_RIGHT) for x in (image, label))
        padding = (0, self.size[0] - label.width, 0, self.size[1] - label.height)
        target = self.resized(random.choice(self.targets), self.target_scale)
        target = target.crop(self.box(target))
        if random.random() < self.flip:
            target = target.transpose(Image.FLIP_LEFT_RIGHT)
        return {
            "source_image": self.finished(image),
            "source_label": F.pad(torch.from_numpy(np.array(label)).long(), padding, value=IGNORE),
            "target_image": self.finished(target),
        }


def describe(dataset):
    """What a sample is before it is resized, for comparison."""
    image = normalize(Image.open(dataset.images[0]).convert("RGB")).double()
    counts = np.bincount(np.asarray(dataset.source_label(0)).ravel(), minlength=256)
    return {"mean": image.mean().item(), "square": image.square().mean().item(), "counts": counts.tolist()}


def send(value):
    print(json.dumps(value), flush=True)


def main():
    config = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    dataset = CropDataset(config)
    batches = config["batches"]
    loader = DataLoader(
        dataset,
        batch_size=config["batch"],
        sampler=RandomSampler(dataset, replacement=True, num_samples=batches * config["batch"]),
        num_workers=config["workers"],
        persistent_workers=True,
        worker_init_fn=lambda worker: random.seed(torch.initial_seed() + worker),
    )
    software = f"Python {sys.version.split()[0]}, PyTorch {torch.__version__}, Pillow {PIL.__version__}"
    send({"software": software, "sample": describe(dataset)})
    for _ in sys.stdin:
        start = time.perf_counter()
        shapes = [batch["source_image"].shape for batch in loader]
        milliseconds = (time.perf_counter() - start) * 1e3
        assert len(shapes) == batches
        send({"ms": milliseconds})


main()
