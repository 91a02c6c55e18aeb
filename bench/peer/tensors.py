"""Reads the tensors that bench/lib.mjs wrote, and answers it."""

import json
import sys
import traceback

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


def serve(start):
    """Answers lines of JSON on stdin. `start` gives what the process says of itself, and what answers a question. An
    error is an answer too, the last."""
    try:
        description, answer = start()
        send(description)
        for line in sys.stdin:
            send(answer(json.loads(line)))
    except Exception as error:
        traceback.print_exc()
        send({"error": f"{type(error).__name__}: {str(error)[:500]}"})
        sys.exit(1)
