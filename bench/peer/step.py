"""The peer's worker: one PyTorch step per line of JSON on stdin, its time and losses as JSON on stdout.

Run by bench/training.mjs with a folder that it wrote (config.json, tensors.json, tensors.bin) as the only argument.
"""

import json
import pathlib
import sys
import time

import torch
from prepare import description, prepare, synchronizer
from tensors import serve


def read_mask(folder, name, like):
    """(N, H, W), bool."""
    data = bytearray((folder / f"{name}.bin").read_bytes())
    return torch.frombuffer(data, dtype=torch.bool).view(like.shape).to(like.device)


def read_draws(folder, iteration, label):
    """What the other side drew in this step: the arguments of `run`."""
    draws = json.loads((folder / f"draws-{iteration}.json").read_text())
    given = {"mask": read_mask(folder, f"mask-{iteration}", label), "boxes": draws["boxes"]}
    if draws["hidden"]:
        given["hidden"] = read_mask(folder, f"hidden-{iteration}", label)[:, None].float()
    return given


def start():
    config, step, batch = prepare(pathlib.Path(sys.argv[1]))
    synchronize = synchronizer(batch[0].device)

    def answer(question):
        iteration = question["iteration"]
        drawn = read_draws(pathlib.Path(config["masks"]), iteration, batch[1]) if config["exact"] else {}
        synchronize()
        cpu = time.process_time()
        start = time.perf_counter()
        losses = step.run(*batch, iteration, **drawn)
        synchronize()
        milliseconds = (time.perf_counter() - start) * 1e3
        cpu_milliseconds = (time.process_time() - cpu) * 1e3
        values = {name: loss.item() for name, loss in losses.items()}
        return {"ms": milliseconds, "cpuMs": cpu_milliseconds, "losses": values}

    return description(), answer


serve(start)
