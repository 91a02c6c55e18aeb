"""What the peer's workers of the training step begin with: configuration, batch, networks, step."""

import json
import random

import torch
from method import AdaptationStep, build_optimizer
from network import Learner, LevelEmbedding
from tensors import read_tensors


def prepare(folder):
    """Configuration, step and batch of a folder that bench/training.mjs wrote."""
    config = json.loads((folder / "config.json").read_text())
    device = torch.device(config["device"])
    torch.set_num_threads(config["threads"])
    torch.manual_seed(config["seed"])
    random.seed(config["seed"])
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not config["exact"]

    tensors = read_tensors(folder)
    method = config["method"]
    student = Learner(config["segmentor"], method.get("contrast"))
    student.load_state_dict({name: tensors[name] for name in student.state_dict()})
    student.to(device)
    if config.get("channelsLast"):
        LevelEmbedding.channels_last = True
        student.to(memory_format=torch.channels_last)
    options = config["optimizer"]
    optimizer = build_optimizer(student, options["lr"], options["headMultiplier"], options["weightDecay"])
    step = AdaptationStep(
        method, student, optimizer, config["segmentor"]["classes"], config["contrastSeed"], config["precision"]
    )
    batch = [tensors[name].to(device) for name in ("sourceImage", "sourceLabel", "targetImage")]
    if "frozenScale" in config and step.distance:
        with torch.no_grad():
            for parameter in step.distance.encoder.parameters():
                parameter.mul_(config["frozenScale"])
    return config, step, batch


def synchronizer(device):
    """What waits for all that the device was asked for."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def description():
    """What the process runs on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"libtorch": torch.__version__, "threads": torch.get_num_threads(), "device": device}
