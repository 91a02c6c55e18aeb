"""Reads the tensors that bench/lib.mjs wrote, and answers it."""

import json

import torch

DTYPES = {"float32": torch.float32, "int64": torch.int64, "uint8": torch.uint8}


def read_tensors(folder):
    data = bytearray((folder / "tensors.bin").read_bytes())
    tensors = {}
    for entry in json.loads((folder / "tensors.json").read_text()):
        count = entry["elements"]
        flat = torch.frombuffer(data, dtype=DTYPES[entry["dtype"]], count=count, offset=entry["offset"])
        tensors[entry["name"]] = flat.view(entry["shape"]).clone()
    return tensors


def send(value):
    print(json.dumps(value), flush=True)
