"""Writes nn.json and optim.json: what PyTorch computes for the layers, losses and optimizers of @pgpc/torch.

Run with a Python that has PyTorch (1.13 wrote the files that are kept): python3 make-nn.py
Every case starts from torch.manual_seed of its own number, on one thread; values have 9 significant digits,
which a float32 survives unchanged.
"""

import json
import pathlib

import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent


def dump(tensor):
    tensor = tensor.detach()
    flat = tensor.reshape(-1).tolist()
    if tensor.is_floating_point():
        flat = [float(f"{value:.9g}") for value in flat]
    return {"shape": list(tensor.shape), "data": flat}


def dump_all(named):
    return {name: dump(tensor) for name, tensor in named}


def spread_out_norms(module):
    """Norm layers start at weight 1 and bias 0, which would hide a swapped or missing factor."""
    for part in module.modules():
        if isinstance(part, (nn.LayerNorm, nn.BatchNorm2d)):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)


def layer_case(name, module, shape, steps=1, evaluate=False):
    """Output and gradients of the last of `steps` training passes, then the output in eval mode if asked."""
    spread_out_norms(module)
    case = {"name": name, "state": dump_all(module.state_dict().items()), "inputs": []}
    for _ in range(steps):
        x = torch.randn(shape, requires_grad=True)
        case["inputs"].append(dump(x))
        module.zero_grad()
        y = module(x)
        grad_output = torch.randn(y.shape)
        y.backward(grad_output)
    case["output"] = dump(y)
    case["gradOutput"] = dump(grad_output)
    case["gradInput"] = dump(x.grad)
    case["gradParameters"] = {key: dump(p.grad) for key, p in module.named_parameters()}
    case["buffersAfter"] = dump_all(module.named_buffers())
    if evaluate:
        module.eval()
        case["evalOutput"] = dump(module(x))
    return case


def layer_cases():
    makers = [
        ("linear", lambda: nn.Linear(5, 4), (2, 3, 5), {}),
        ("linear without bias", lambda: nn.Linear(5, 4, bias=False), (3, 5), {}),
        ("conv 1x1", lambda: nn.Conv2d(4, 3, 1), (2, 4, 3, 5), {}),
        ("conv 7x7 stride 4", lambda: nn.Conv2d(3, 4, 7, stride=4, padding=3), (2, 3, 9, 11), {}),
        ("conv dilated", lambda: nn.Conv2d(2, 3, 3, padding=2, dilation=2, bias=False), (2, 2, 6, 5), {}),
        ("conv grouped", lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 5, 6), {}),
        ("conv depthwise", lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6), (2, 6, 5, 7), {}),
        ("conv depthwise dilated",
         lambda: nn.Conv2d(5, 5, 3, padding=6, dilation=6, groups=5, bias=False), (2, 5, 8, 7), {}),
        ("layer norm", lambda: nn.LayerNorm(8), (2, 3, 8), {}),
        ("layer norm eps 1e-6", lambda: nn.LayerNorm(6, eps=1e-6), (2, 2, 6), {}),
        ("batch norm", lambda: nn.BatchNorm2d(3), (2, 3, 4, 5), {"steps": 2, "evaluate": True}),
        ("batch norm eps and momentum", lambda: nn.BatchNorm2d(2, eps=1e-3, momentum=0.01), (3, 2, 3, 3),
         {"steps": 3, "evaluate": True}),
        ("gelu", lambda: nn.GELU(), (3, 7), {}),
        ("relu", lambda: nn.ReLU(), (3, 7), {}),
        ("max pool", lambda: nn.MaxPool2d(3, stride=2, padding=1), (2, 2, 7, 8), {}),
        ("max pool default stride", lambda: nn.MaxPool2d(2), (1, 2, 5, 6), {}),
        ("average pool", lambda: nn.AvgPool2d(2), (2, 2, 5, 6), {}),
        ("average pool padded", lambda: nn.AvgPool2d(3, stride=1, padding=1), (1, 2, 4, 5), {}),
        ("adaptive average pool 1", lambda: nn.AdaptiveAvgPool2d(1), (2, 3, 5, 4), {}),
        ("adaptive average pool 3", lambda: nn.AdaptiveAvgPool2d(3), (1, 2, 7, 5), {}),
        ("conv, batch norm, relu, conv", lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)),
         (2, 3, 4, 4), {"steps": 2, "evaluate": True}),
    ]
    cases = []
    for seed, (name, make, shape, options) in enumerate(makers):
        torch.manual_seed(seed)
        cases.append(layer_case(name, make(), shape, **options))
    return cases


def interpolate_cases():
    cases = []
    sizes = [((3, 4), (6, 8)), ((3, 4), (7, 5)), ((8, 9), (4, 3)), ((2, 2), (2, 2))]
    for seed, (source, size) in enumerate(sizes):
        for align_corners in (False, True):
            torch.manual_seed(100 + seed)
            x = torch.randn((2, 2) + source, requires_grad=True)
            y = F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)
            grad_output = torch.randn(y.shape)
            y.backward(grad_output)
            cases.append({"size": list(size), "alignCorners": align_corners, "input": dump(x), "output": dump(y),
                          "gradOutput": dump(grad_output), "gradInput": dump(x.grad)})
    return cases


def cross_entropy_cases():
    cases = []
    torch.manual_seed(200)
    logits = torch.randn(2, 5, 3, 4) * 2
    target = torch.randint(0, 5, (2, 3, 4))
    target[0, 0] = 255
    target[1, 2, 3] = 255
    weight = torch.rand(5) + 0.5
    for reduction in ("mean", "sum", "none"):
        for class_weight in (None, weight):
            x = logits.clone().requires_grad_()
            loss = F.cross_entropy(x, target, weight=class_weight, ignore_index=255, reduction=reduction)
            loss.sum().backward()
            cases.append({"reduction": reduction, "weight": None if class_weight is None else dump(class_weight),
                          "logits": dump(x), "target": dump(target), "output": dump(loss), "gradLogits": dump(x.grad)})
    return cases


def init_cases():
    """The starting values that each layer and each helper draws from the global generator."""
    def linear():
        return nn.Linear(6, 4)

    def conv():
        return nn.Conv2d(4, 6, 3, groups=2)

    cases = {}
    for seed, (name, make) in enumerate([("linear", linear), ("conv", conv)]):
        torch.manual_seed(300 + seed)
        cases[name] = {"seed": 300 + seed, "state": dump_all(make().state_dict().items())}

    def filled(name, seed, shape, fill):
        torch.manual_seed(seed)
        cases[name] = {"seed": seed, "value": dump(fill(torch.empty(shape)))}

    filled("truncated normal", 310, (5, 8), lambda t: nn.init.trunc_normal_(t, std=0.02))
    filled("truncated normal, narrow", 311, (5, 8), lambda t: nn.init.trunc_normal_(t, 0.1, 0.5, -0.3, 0.4))
    filled("normal", 312, (4, 9), lambda t: nn.init.normal_(t, 0.5, 0.01))
    filled("kaiming normal, fan in", 313, (4, 2, 3, 3), lambda t: nn.init.kaiming_normal_(t))
    filled("kaiming normal, fan out", 314, (4, 2, 3, 3),
           lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"))
    filled("kaiming uniform", 315, (4, 2, 3, 3), lambda t: nn.init.kaiming_uniform_(t, a=5 ** 0.5))
    return cases


class Block(nn.Module):
    """A part with parameters, buffers, a list and a dictionary, for the order and spelling of names."""

    def __init__(self):
        super().__init__()
        self.patch_embed1 = nn.Conv2d(3, 4, 3)
        self.block1 = nn.ModuleList([nn.Sequential(nn.Linear(4, 2), nn.GELU(), nn.LayerNorm(2)) for _ in range(2)])
        self.embed_layers = nn.ModuleDict({"context": nn.Linear(2, 2), "detail": nn.Linear(2, 2, bias=False)})
        self.cls_token = nn.Parameter(torch.zeros(1, 4))
        self.bn = nn.BatchNorm2d(4)
        self.register_buffer("scale", torch.ones(1))


def names():
    block = Block()
    return {"stateDict": list(block.state_dict()), "parameters": [name for name, _ in block.named_parameters()],
            "buffers": [name for name, _ in block.named_buffers()], "modules": [name for name, _ in block.named_modules()]}


SHAPES = [(3, 4), (4,), (2, 3)]
STEPS = 10


def optimizer_case(seed, name, make):
    """Ten steps on given gradients; parameter 1 has none at steps 2 and 5; rates are halved after step 6."""
    torch.manual_seed(seed)
    parameters = [torch.randn(shape).requires_grad_() for shape in SHAPES]
    start = [dump(p) for p in parameters]
    optimizer = make(parameters)
    gradients, after = [], []
    for step in range(STEPS):
        row = [None if index == 1 and step in (2, 5) else torch.randn(shape) for index, shape in enumerate(SHAPES)]
        for parameter, gradient in zip(parameters, row):
            parameter.grad = gradient
        optimizer.step()
        gradients.append([None if g is None else dump(g) for g in row])
        after.append([dump(p) for p in parameters])
        if step == 6:
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
    return {"name": name, "start": start, "gradients": gradients, "after": after}


def optimizer_cases():
    def groups(p, first, second):
        return [{"params": p[:2], "lr": first, "weight_decay": 0.1}, {"params": p[2:], "lr": second, "weight_decay": 0}]

    makers = [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.1)),
        ("sgd, weight decay", lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.05)),
        ("sgd, momentum and dampening", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3)),
        ("sgd, nesterov, groups",
         lambda p: torch.optim.SGD(groups(p, 0.1, 0.02), lr=1, momentum=0.9, nesterov=True)),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.01)),
        ("adamw, groups", lambda p: torch.optim.AdamW(groups(p, 6e-3, 6e-2), betas=(0.8, 0.99), eps=1e-6)),
    ]
    return [optimizer_case(400 + index, name, make) for index, (name, make) in enumerate(makers)]


def clip_cases():
    cases = []
    for seed, max_norm in [(500, 0.5), (501, 100.0)]:
        torch.manual_seed(seed)
        parameters = [torch.zeros(shape).requires_grad_() for shape in SHAPES]
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape)
        before = [dump(p.grad) for p in parameters]
        norm = nn.utils.clip_grad_norm_(parameters, max_norm)
        cases.append({"maxNorm": max_norm, "before": before, "norm": dump(norm), "after": [dump(p.grad) for p in parameters]})
    return cases


def write(name, content):
    (HERE / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write("nn.json", {"layers": layer_cases(), "interpolate": interpolate_cases(),
                      "crossEntropy": cross_entropy_cases(), "init": init_cases(), "names": names()})
    write("optim.json", {"optimizers": optimizer_cases(), "clip": clip_cases()})
