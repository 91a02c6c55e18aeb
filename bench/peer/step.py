"""The peer's worker: one PyTorch step per line of JSON on stdin, its time and losses as JSON on stdout.

Run by bench/step.mjs with a folder that it wrote (config.json, tensors.json, tensors.bin) as the only argument.
"""

import json
import pathlib
import random
import sys
import time

import torch
from method import AdaptationStep, build_optimizer
from network import Learner
from tensors import read_tensors, send


def read_mask(folder, iteration, like):
    data = bytearray((folder / f"mask-{iteration}.bin").read_bytes())
    return torch.frombuffer(data, dtype=torch.bool).view(like.shape)


def main():
    folder = pathlib.Path(sys.argv[1])
    config = json.loads((folder / "config.json").read_text())
    torch.set_num_threads(config["threads"])
    torch.manual_seed(config["seed"])
    random.seed(config["seed"])

    tensors = read_tensors(folder)
    method = config["method"]
    student = Learner(config["segmentor"], method.get("contrast"))
    student.load_state_dict({name: tensors[name] for name in student.state_dict()})
    options = config["optimizer"]
    optimizer = build_optimizer(student, options["lr"], options["headMultiplier"], options["weightDecay"])
    step = AdaptationStep(method, student, optimizer, config["segmentor"]["classes"], config["contrastSeed"])
    batch = [tensors[name] for name in ("sourceImage", "sourceLabel", "targetImage")]
    tensors.clear()
    if "frozenScale" in config:
        with torch.no_grad():
            for parameter in step.distance.encoder.parameters():
                parameter.mul_(config["frozenScale"])

    send({"libtorch": torch.__version__, "threads": torch.get_num_threads()})
    for line in sys.stdin:
        iteration = json.loads(line)["iteration"]
        mask = read_mask(folder, iteration, batch[1]) if config["exact"] else None
        cpu = time.process_time()
        start = time.perf_counter()
        losses = step.run(*batch, iteration, mask)
        milliseconds = (time.perf_counter() - start) * 1e3
        cpu_milliseconds = (time.process_time() - cpu) * 1e3
        values = {name: loss.item() for name, loss in losses.items()}
        send({"ms": milliseconds, "cpuMs": cpu_milliseconds, "losses": values})


main()
