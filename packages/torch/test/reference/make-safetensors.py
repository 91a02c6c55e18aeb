# Writes safetensors-official.safetensors with the official library (pip install safetensors numpy). Run: python3 make-safetensors.py
import pathlib

import numpy
from safetensors.numpy import save_file

save_file(
    {
        "bool": numpy.array([True, False, True]),
        "empty": numpy.zeros((0, 3), "float32"),
        "float16": numpy.array([1.5, -2], "float16"),
        "float32": numpy.arange(6, dtype="float32").reshape(2, 3) / 4,
        "int16": numpy.array([-300], "int16"),
        "int32": numpy.array([[1 << 30]], "int32"),
        "int64": numpy.array([-(1 << 40), 7]),
        "int8": numpy.array([-1], "int8"),
        'n\u00e4"me\\': numpy.ones(2, "float32"),
        "scalar": numpy.array(3.25),
        "uint8": numpy.arange(3, dtype="uint8"),
    },
    pathlib.Path(__file__).parent / "safetensors-official.safetensors",
    metadata={"format": "np"},
)
