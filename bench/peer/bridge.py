"""Times single operator calls in PyTorch; answers bridge.mjs, one JSON line for each it sends."""

import json
import sys
import time

import torch

torch.set_num_threads(1)
torch.manual_seed(1)

a = torch.ones(4)
b = torch.full((4,), 2.0)
m = torch.rand(4, 4)
ten = [torch.ones(4) for _ in range(10)]


def add(n):
    for _ in range(n):
        a + b


def mul_scalar(n):
    for _ in range(n):
        a * 2.5


def view(n):
    for _ in range(n):
        m.view(2, 8)


def matmul(n):
    for _ in range(n):
        m.matmul(m)


def total(n):
    for _ in range(n):
        m.sum()


def cat(n):
    for _ in range(n):
        torch.cat([a, b])


def foreach_add(n):
    for _ in range(n):
        torch._foreach_add(ten, 1)


def add_in_place(n):
    for _ in range(n):
        a.add_(0)


CASES = {
    "add": add,
    "mul scalar": mul_scalar,
    "view": view,
    "matmul 4x4": matmul,
    "sum": total,
    "cat of 2": cat,
    "foreach add of 10": foreach_add,
    "add_": add_in_place,
}

with torch.no_grad():
    print(json.dumps({"libtorch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        run = CASES[request["case"]]
        start = time.perf_counter_ns()
        run(request["calls"])
        elapsed = time.perf_counter_ns() - start
        print(json.dumps(elapsed / request["calls"]), flush=True)
