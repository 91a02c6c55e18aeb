"""The peer's worker: evaluates one image per line on stdin; times and confusion matrix as JSON on stdout.

Run by bench/evaluate.mjs with a folder that it wrote (config.json, tensors.json, tensors.bin) as the only argument.
"""

import json
import pathlib
import sys
import time

import torch
import torch.nn.functional as F
from network import Segmentor
from tensors import read_tensors, send

MEAN = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1) / 255
STD = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1) / 255
IGNORE = 255


def confusion_matrix(label, prediction, classes):
    known = label != IGNORE
    cells = label[known].long() * classes + prediction[known]
    return torch.bincount(cells, minlength=classes * classes).view(classes, classes)


def main():
    folder = pathlib.Path(sys.argv[1])
    config = json.loads((folder / "config.json").read_text())
    torch.set_num_threads(config["threads"])
    tensors = read_tensors(folder)
    options = config["segmentor"]
    network = Segmentor(options)
    network.load_state_dict({name: tensors[name] for name in network.state_dict()})
    network.eval()
    image, label = tensors["image"], tensors["label"]
    tensors.clear()

    send({"libtorch": torch.__version__, "threads": torch.get_num_threads()})
    for _ in sys.stdin:
        start, cpu_start = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            pixels = image.permute(2, 0, 1).contiguous().unsqueeze(0).float() / 255
            inputs = (pixels - MEAN) / STD
            before = time.perf_counter()
            logits = network(inputs)[1]
            network_time = time.perf_counter() - before
            resized = F.interpolate(logits, label.shape, mode="bilinear", align_corners=False)
            prediction = resized.argmax(1).squeeze(0)
            confusion = confusion_matrix(label, prediction, options["classes"]).tolist()
        total, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        times = {"ms": total, "networkMs": network_time, "cpuMs": cpu}
        send({**{name: seconds * 1e3 for name, seconds in times.items()}, "confusion": confusion})


main()
