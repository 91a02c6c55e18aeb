"""Pseudo-label guided pixels contrast in plain PyTorch, all classes at once."""

import torch
import torch.nn.functional as F


def pixel_rows(features):
    """(N, D, h, w) to (N h w, D)."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def pixel_labels(label, size):
    """(N, H, W) to (N h w), by nearest neighbour."""
    return F.interpolate(label[:, None].float(), size=size, mode="nearest").flatten().to(label.dtype)


def class_members(label, classes):
    """(C, P), bool; pixels without a class are nobody's."""
    return F.one_hot(label.clamp(max=classes), classes + 1)[:, :classes].t().bool()


def info_nce(anchors, valid, positives, negatives, temperature):
    positive = (anchors * positives[:, None]).sum(2, keepdim=True)
    negative = torch.bmm(anchors, negatives.transpose(1, 2))
    scores = torch.cat([positive, negative], 2) / temperature
    loss = scores.logsumexp(2) - scores[:, :, 0]
    per_class = loss.masked_fill(~valid, 0).sum(1) / valid.sum(1).clamp(min=1)
    return per_class.sum() / valid.any(1).sum().clamp(min=1)


class MemoryBank:
    """A first-in-first-out queue of rows for every class."""

    def __init__(self, classes, capacity, width, device):
        self.rows = torch.zeros(classes, capacity, width, device=device)
        self.next = torch.zeros(classes, dtype=torch.int64, device=device)
        self.filled = torch.zeros(classes, dtype=torch.int64, device=device)
        self.owner = torch.arange(classes, device=device)[:, None]

    def enqueue(self, rows, valid):
        """Stores the `valid` (C, n) of the rows (C, n, D); the valid ones come first."""
        capacity = self.rows.shape[1]
        owner, slot = torch.nonzero(valid, as_tuple=True)
        self.rows[owner, (self.next[owner] + slot) % capacity] = rows[owner, slot]
        count = valid.sum(1)
        self.next = (self.next + count) % capacity
        self.filled = (self.filled + count).clamp(max=capacity)

    def draw(self, n, generator):
        """(C, n, D), with replacement."""
        filled = self.filled[:, None]
        keys = torch.rand(filled.shape[0], n, generator=generator, device=filled.device)
        slot = torch.minimum((keys * filled).long(), (filled - 1).clamp(min=0))
        return self.rows[self.owner, slot]

    def mean(self):
        return self.rows.sum(1) / self.filled.clamp(min=1)[:, None]


class PixelContrast:
    def __init__(self, classes, options, seed, device):
        self.classes = classes
        self.options = options
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)
        self.centres = MemoryBank(classes, options["prototypeQueue"], options["width"], device)
        self.negatives = MemoryBank(classes, options["bankCapacity"], options["width"], device)

    def sample(self, candidates, n):
        """Up to n of every class's candidates (C, P): positions (C, n), and which of them count."""
        keys = torch.rand(candidates.shape, generator=self.generator, device=self.device)
        keys.masked_fill_(~candidates, -1)
        key, index = keys.topk(min(n, candidates.shape[1]), dim=1)
        return index, key >= 0

    @torch.no_grad()
    def store_source(self, features, label, head):
        z = head(pixel_rows(features))
        labels = pixel_labels(label, features.shape[2:])
        members = class_members(labels, self.classes)
        count = members.sum(1)
        centre = members.float() @ z / count.clamp(min=1)[:, None]
        self.centres.enqueue(centre[:, None], count[:, None] > 0)
        index, valid = self.sample(~members & (labels < self.classes), self.options["enqueue"])
        self.negatives.enqueue(z[index], valid)

    @torch.no_grad()
    def store_target(self, features, logits, head):
        ranks = pixel_rows(logits).argsort(1, descending=True).argsort(1).t()
        index, valid = self.sample(ranks >= self.options["rank"], self.options["enqueue"])
        z = head(pixel_rows(features)[index].flatten(0, 1)).view(*index.shape, -1)
        self.negatives.enqueue(z, valid)

    @torch.no_grad()
    def anchor_pixels(self, logits, source_mask):
        p = pixel_rows(logits).softmax(1)
        entropy = -torch.xlogy(p, p).sum(1)
        certain = entropy <= entropy.kthvalue(max(1, int(self.options["anchorShare"] * len(entropy))))[0]
        label = p.argmax(1)
        usable = certain & ~pixel_labels(source_mask, logits.shape[2:])
        ready = (self.centres.filled > 0) & (self.negatives.filled > 0)
        candidates = (label == torch.arange(self.classes, device=self.device)[:, None]) & usable & ready[:, None]
        return self.sample(candidates, self.options["anchors"])

    def loss(self, features, source_mask, teacher_logits, head):
        index, valid = self.anchor_pixels(teacher_logits, source_mask)
        negatives = self.negatives.draw(self.options["negatives"], self.generator)
        prototypes = F.normalize(self.centres.mean(), dim=-1)
        anchors = head(pixel_rows(features)[index].flatten(0, 1)).view(*index.shape, -1)
        return info_nce(anchors, valid, prototypes, negatives, self.options["temperature"])
