"""The peer's worker: one PyTorch step per line of JSON on stdin, its time and losses as JSON on stdout.

Run by bench/training.mjs with a folder that it wrote (config.json, tensors.json, tensors.bin) as the only argument.
"""

import pathlib
import sys
import time

import torch
from prepare import description, prepare, synchronizer
from tensors import serve


def read_mask(folder, iteration, like):
    data = bytearray((folder / f"mask-{iteration}.bin").read_bytes())
    return torch.frombuffer(data, dtype=torch.bool).view(like.shape).to(like.device)


def start():
    config, step, batch = prepare(pathlib.Path(sys.argv[1]))
    synchronize = synchronizer(batch[0].device)

    def answer(question):
        iteration = question["iteration"]
        mask = read_mask(pathlib.Path(config["masks"]), iteration, batch[1]) if config["exact"] else None
        synchronize()
        cpu = time.process_time()
        start = time.perf_counter()
        losses = step.run(*batch, iteration, mask)
        synchronize()
        milliseconds = (time.perf_counter() - start) * 1e3
        cpu_milliseconds = (time.process_time() - cpu) * 1e3
        values = {name: loss.item() for name, loss in losses.items()}
        return {"ms": milliseconds, "cpuMs": cpu_milliseconds, "losses": values}

    return description(), answer


serve(start)
