"""The peer's worker of bench/gpu.mjs: groups of steps, their memory and arithmetic, and the GPU's rates.

Run with a folder that bench/training.mjs wrote as the only argument.
"""

import pathlib
import sys
import time

import torch
from prepare import description, prepare, synchronizer
from tensors import serve

MIB = 2**20


class Measured:
    """A step, and the questions about it that bench/gpu.mjs asks; see own/gpu.mjs, which answers the same."""

    def __init__(self, config, step, batch):
        self.config, self.step, self.batch = config, step, batch
        self.device = batch[0].device
        self.on_gpu = self.device.type == "cuda"
        self.synchronize = synchronizer(self.device)
        self.iteration = 0

    def run(self, steps):
        for _ in range(steps):
            self.step.run(*self.batch, self.iteration)
            self.iteration += 1

    def timed(self, work):
        """Milliseconds of device and host together, from idle to idle."""
        self.synchronize()
        start = time.perf_counter()
        work()
        self.synchronize()
        return (time.perf_counter() - start) * 1e3

    def warm_up(self, question):
        if "compile" in self.config:
            self.step.compile(self.config["compile"])
        milliseconds = self.timed(lambda: self.run(question["steps"]))
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        return {"ms": milliseconds}

    def steps(self, question):
        steps = question["steps"]
        return {"ms": self.timed(lambda: self.run(steps)) / steps}

    def memory(self, _):
        if not self.on_gpu:
            return {}
        allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return {"allocatedMiB": allocated / MIB, "reservedMiB": reserved / MIB}

    def flops(self, _):
        """Of the matrix products and convolutions of one step, forward and backward, two for a multiply-add."""
        from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

        def conv_backward(grad_shape, x_shape, w_shape, *rest, out_shape=None, **options):
            # The gradients of input and weight take what the convolution took; PyTorch's own formula forgets groups.
            wanted = rest[-1]
            return sum(wanted[:2]) * conv_flop_count(x_shape, w_shape, grad_shape)

        formulas = {torch.ops.aten.convolution_backward: conv_backward}
        with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
            self.run(1)
        return {"flops": counter.get_total_flops()}

    def kernels(self, _):
        """Milliseconds a step in which the device computes, by its own record, which the host's slowness is not in."""
        if not self.on_gpu:
            return {}
        from torch.profiler import ProfilerActivity, profile

        steps = 2
        with profile(activities=[ProfilerActivity.CUDA]) as record:
            self.run(steps)
            self.synchronize()
        kernels = [(event.key, event.count / steps, event.self_device_time_total / 1e3 / steps)
                   for event in record.key_averages()]
        kernels.sort(key=lambda kernel: -kernel[2])
        return {"ms": sum(kernel[2] for kernel in kernels), "longest": kernels[:40]}

    @torch.no_grad()
    def rates(self, question):
        """What the device does at best: a large matrix product in bfloat16, and a copy, read and written bytes."""
        n, runs = question["side"], 10
        a, b = (torch.randn(n, n, device=self.device).bfloat16() for _ in range(2))
        source = torch.randn(question["copyMiB"] * MIB // 4, device=self.device)
        target = torch.empty_like(source)

        def fastest(work):
            work()
            return min(self.timed(lambda: [work() for _ in range(runs)]) / runs for _ in range(5))

        product, copy = fastest(lambda: a @ b), fastest(lambda: target.copy_(source))
        del a, b, source, target
        if self.on_gpu:
            torch.cuda.empty_cache()
        bytes_moved = 2 * question["copyMiB"] * MIB
        return {"tflops": 2 * n**3 / product / 1e9, "gigabytes": bytes_moved / copy / 1e6}


def start():
    measured = Measured(*prepare(pathlib.Path(sys.argv[1])))
    return description(), lambda question: getattr(measured, question["do"])(question)


serve(start)
