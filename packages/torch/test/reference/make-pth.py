# Writes the pth-*.pth fixtures with PyTorch itself, and pth.json with what they hold. Run: python3 make-pth.py
import collections
import json
import pathlib
import zipfile

import numpy
import torch

HERE = pathlib.Path(__file__).parent
DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64,
    torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
]


def state_dict():
    state = collections.OrderedDict()
    for dtype in DTYPES:
        values = torch.tensor([[0, 1, 2], [100, 5, 0]]).to(dtype)
        state["typed." + str(dtype).removeprefix("torch.")] = values
    state["weight"] = torch.nn.Parameter(torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 7 - 1)
    base = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    state["shared.base"] = base
    state["shared.transposed"] = base.t()
    state["shared.rows"] = base[1:, ::2]
    state["shared.again"] = base
    state["expanded"] = torch.tensor([1.5]).expand(2, 3)
    state["scalar"] = torch.tensor(7)
    state["empty"] = torch.zeros(0, 5)
    state._metadata = collections.OrderedDict([("", {"version": 1})])
    return state


def checkpoint():
    return {
        "epoch": 3,
        "meta": {"time": "Mon", "classes": ("road", "sky"), "best": numpy.float64(0.25), "ok": numpy.bool_(True),
                 "single": numpy.float32(-1.5), "steps": numpy.int64(-7)},
        "state_dict": collections.OrderedDict([("backbone.weight", torch.tensor([[1.0, -2.0]])),
                                               ("head.bias", torch.tensor([0.5]))]),
        "optimizer": {"state": {0: {"step": torch.tensor(4.0), "exp_avg": torch.ones(1, 2)}},
                      "param_groups": [{"lr": 6e-5, "betas": (0.9, 0.999), "params": [0, 1], "amsgrad": False}]},
        "plain": [None, True, False, -1, 255, 65535, 2**31 - 1, -(2**31), 2**53 - 1, 2**60, -(2**70), 1.5, float("inf"),
                  "text \u00e9\u6f22", b"\x00\xff", b"", {1, 2}, frozenset(["a"]), torch.Size([2, 3]), (), [], {}],
    }


def tagged(value):
    """A value as JSON, with a tag where JSON has no such kind."""
    if isinstance(value, torch.Tensor):
        flat = value.detach().flatten()
        return {"tensor": str(value.dtype).removeprefix("torch."), "shape": list(value.shape),
                "values": [float(item) for item in flat]}
    if isinstance(value, dict):
        return {"map": [[tagged(key), tagged(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [tagged(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return {"set": sorted(tagged(item) for item in value)}
    if isinstance(value, bytes):
        return {"bytes": list(value)}
    if isinstance(value, numpy.generic):
        return tagged(value.item())
    if value == float("inf"):
        return {"float": "inf"}
    if isinstance(value, int) and abs(value) >= 2**53:
        return {"bigint": str(value)}
    return value


state, whole = state_dict(), checkpoint()
torch.save(state, HERE / "pth-zip.pth")
torch.save(state, HERE / "pth-legacy.pth", _use_new_zipfile_serialization=False)
torch.save(whole, HERE / "pth-checkpoint.pth")
torch.save(whole, HERE / "pth-checkpoint-protocol4.pth", pickle_protocol=4)
torch.save(whole, HERE / "pth-checkpoint-legacy.pth", pickle_protocol=4, _use_new_zipfile_serialization=False)
with zipfile.ZipFile(HERE / "pth-zip.pth") as stored:
    with zipfile.ZipFile(HERE / "pth-deflate.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for info in stored.infolist():
            packed.writestr(info.filename, stored.read(info))
(HERE / "pth.json").write_text(json.dumps({"state": tagged(state), "checkpoint": tagged(whole)}))
