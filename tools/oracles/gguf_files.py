"""Writes the small files in tests/data/gguf that our reader must understand, with gguf-py (the library of llama.cpp's converters).

    python tools/oracles/gguf_files.py tests/data/gguf       (gguf 0.19.0, numpy 2; numpy.random.default_rng(5))

packings.gguf   numbers [4, 256] F32; for each packing P a tensor `P` and `P.numbers`, what gguf.quants.dequantize makes of it. F32, F16, BF16,
                Q8_0, Q4_0 and Q4_1 are gguf.quants.quantize of `numbers`; the K-types, which gguf-py cannot make, are random bytes with
                scales of ordinary size. Every type of metadata once; data at multiples of 64.
"""
import sys
from pathlib import Path

import gguf
import numpy as np

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(5)
Type = gguf.GGMLQuantizationType


def numbers():
    """Ordinary weights, and blocks of 32 that are all zero, tiny, of one sign, full of ties, of one spike."""
    x = rng.normal(0, 0.3, (4, 256)).astype(np.float32)
    x[1, :32] = 0
    x[1, 32:64] *= 1e-6
    x[1, 64:96] = np.abs(x[1, 64:96])
    x[1, 96:128] = np.arange(32, dtype=np.float32) / 2 - 8  # with a spike of 127 every second number of Q8_0 is a tie
    x[1, 96] = 127
    x[1, 128:160] = 0
    x[1, 140] = -3.25
    x[2] *= 1000
    x[3, :64] *= 1e-34  # below what a scale in F16 can be
    return x


def random_blocks(packing, count):
    size, width = gguf.GGML_QUANT_SIZES[packing]
    blocks = rng.integers(0, 256, (count // size, width), dtype=np.uint8)
    scales = rng.uniform(-0.01, 0.01, (count // size, 2)).astype(np.float16).view(np.uint8)
    if packing == Type.Q4_K:
        blocks[:, :4] = scales
    else:
        blocks[:, -2:] = scales[:, :2]
    return blocks.reshape(4, -1)


def packings():
    writer = gguf.GGUFWriter(folder / "packings.gguf", "none")
    writer.add_custom_alignment(64)
    for name, value in {"uint8": 200, "int8": -100, "uint16": 60000, "int16": -30000, "uint32": 4000000000, "int32": -2000000000,
                        "float32": 0.1, "bool": True, "string": "naïve\ntext", "uint64": 2**63, "int64": -(2**62), "float64": 0.1}.items():
        getattr(writer, f"add_{name}")(f"every.{name}", value)
    writer.add_array("every.strings", ["a", "", "ü"])
    writer.add_array("every.ints", [1, -2, 3])
    writer.add_array("every.bools", [True, False])
    x = numbers()
    writer.add_tensor("numbers", x)
    for packing in (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q4_K, Type.Q6_K):
        packed = random_blocks(packing, x.size) if packing in (Type.Q4_K, Type.Q6_K) else gguf.quants.quantize(x, packing)
        writer.add_tensor(packing.name, packed, raw_dtype=packing)
        writer.add_tensor(packing.name + ".numbers", gguf.quants.dequantize(packed, packing).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


packings()
