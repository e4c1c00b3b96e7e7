"""Writes the small files in tests/data/io that our readers must understand: safetensors and numpy as their own libraries write them.

Run: python tools/oracles/io_files.py tests/data/io     (torch 2.13.0, safetensors 0.8.0, numpy 2; no random numbers)
Every tensor's element i is (i - 3) / 2, so that a test can name the expected values without a second file.
"""
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)


def ramp(*shape):
    count = int(np.prod(shape))
    return ((torch.arange(count, dtype=torch.float64) - 3) / 2).reshape(shape)


floats = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
          "e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
tensors = {name: ramp(2, 5).to(dtype) for name, dtype in floats.items()}
integers = {"i64": torch.int64, "i32": torch.int32, "i16": torch.int16, "i8": torch.int8}
tensors |= {name: (torch.arange(7) - 3).to(dtype) for name, dtype in integers.items()}
tensors |= {"u8": torch.arange(7, dtype=torch.uint8), "bool": torch.arange(7) % 3 == 0,
            "scalar": torch.tensor(1.5), "empty": torch.zeros(0, 4), 'quoted "näme"': ramp(3).float()}
save_file(tensors, folder / "all_dtypes.safetensors", metadata={"format": "pt", "note": "every dtype once"})

# Every value of the two fp8 formats and 4,096 of binary16, as PyTorch widens them to float32.
every = torch.arange(256, dtype=torch.uint8)
half = (torch.arange(4096, dtype=torch.int32) * 16 + 5).to(torch.uint16).view(torch.float16)
save_file({"e4m3": every.clone().view(torch.float8_e4m3fn), "e4m3.float": every.view(torch.float8_e4m3fn).float(),
           "e5m2": every.clone().view(torch.float8_e5m2), "e5m2.float": every.view(torch.float8_e5m2).float(),
           "f16": half, "f16.float": half.float()}, folder / "widening.safetensors")

for name, dtype in {"f2": "<f2", "f4": "<f4", "f8": "<f8"}.items():
    np.save(folder / f"{name}.npy", ramp(2, 5).numpy().astype(dtype))
for name, dtype in {"i1": "i1", "i2": "<i2", "i4": "<i4", "i8": "<i8"}.items():
    np.save(folder / f"{name}.npy", (np.arange(7) - 3).astype(dtype))
np.save(folder / "u1.npy", np.arange(7, dtype="u1"))
np.save(folder / "b1.npy", np.arange(7) % 3 == 0)
np.save(folder / "scalar.npy", np.float32(1.5))
np.save(folder / "big_endian.npy", np.arange(3, dtype=">f4"))
np.save(folder / "fortran.npy", np.asfortranarray(np.arange(6, dtype="<f4").reshape(2, 3)))
with open(folder / "version2.npy", "wb") as file:
    np.lib.format.write_array(file, np.arange(4, dtype="<i4"), version=(2, 0))
