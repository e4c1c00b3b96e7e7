"""Writes safetensors beside the pickled weights of a model folder: pytorch_model.bin, or the shards of pytorch_model.bin.index.json.

    python tools/bin_to_safetensors.py FOLDER

A pickle may run code when it is opened: these are read with torch's weights_only, which admits tensors alone, and anything else in them is refused.
Every tensor is written under its own name and read back to compare; tensors that share memory (a tied head) become copies of each other, which
`isotrope` and transformers check or pass over as config.json says. Shards stay shards. The .bin files stay where they are. Needs torch >= 2.6 and
safetensors.
"""

import json
import os
import pathlib
import sys

import safetensors.torch
import torch

SINGLE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def fail(text):
    sys.exit(f"error: [bin] {text}")


def load(path):
    """The tensors of one pickle by name, in its order."""
    if not path.is_file():
        fail(f"{path}: no such file")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; each means that this is not a file of tensors
        fail(f"{path}: is not a pickle of tensors alone: {str(error).strip().splitlines()[0]}")
    if not isinstance(found, dict) or not found:
        fail(f"{path}: holds {'nothing' if found == {} else type(found).__name__}, expected tensors by name")
    for name, value in found.items():
        if not isinstance(name, str):
            fail(f"{path}: a key is {name!r}, expected the name of a tensor")
        if not isinstance(value, torch.Tensor):
            fail(f"{path}: {name} is of type {type(value).__name__}, expected a tensor: this is no plain file of weights")
        if value.layout != torch.strided or value.is_quantized or value.is_complex():
            fail(f"{path}: {name} is sparse, quantized or complex, which safetensors does not hold")
    return found


def shared(tensors):
    """(name, first name with the same memory) of every tensor that repeats another."""
    first = {}
    for name, value in tensors.items():
        place = (value.untyped_storage().data_ptr(), value.storage_offset(), value.dtype, value.shape, value.stride())
        if value.numel() > 0 and first.setdefault(place, name) != name:
            yield name, first[place]


def write(tensors, path):
    """The tensors in a new safetensors file, compared byte for byte before it gets its name."""
    for name, original in shared(tensors):
        print(f"{path.name}: {name} shares the memory of {original}; it is stored as a copy")
    copies = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    unfinished = path.with_name(path.name + ".unfinished")
    safetensors.torch.save_file(copies, unfinished, metadata={"format": "pt"})
    again = safetensors.torch.load_file(unfinished)
    if again.keys() != copies.keys() or any(not torch.equal(again[name].flatten().view(torch.uint8), copies[name].flatten().view(torch.uint8)) for name in copies):
        os.remove(unfinished)
        fail(f"{path}: what was written is not what was read")
    os.replace(unfinished, path)
    return sum(value.nbytes for value in copies.values())


def read_index(path):
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        assert isinstance(places, dict) and places and all(isinstance(shard, str) for shard in places.values())
    except (ValueError, KeyError, TypeError, AssertionError):
        fail(f"{path}: expected a JSON object with a weight_map from tensors to files")
    for shard in places.values():
        if pathlib.PurePath(shard).name != shard or not shard.endswith(".bin"):
            fail(f"{path}: {shard!r} is not the name of a .bin file in this folder")
    return places


def convert_shards(folder):
    places = read_index(folder / INDEX)
    renamed, total = {}, 0
    for shard in sorted(set(places.values())):
        tensors = load(folder / shard)
        expected = {name for name, place in places.items() if place == shard}
        for name in sorted(expected ^ tensors.keys()):
            fail(f"{folder / shard}: {name} " + ("is missing, the index has it here" if name in expected else "is not in the index, or elsewhere"))
        name = shard.removeprefix("pytorch_").removesuffix(".bin") + ".safetensors"
        total += write(tensors, folder / name)
        renamed |= dict.fromkeys(tensors, name)
    unfinished = folder / "model.safetensors.index.json.unfinished"
    unfinished.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": renamed}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(unfinished, folder / "model.safetensors.index.json")
    return len(renamed), total


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (2, 6):
        fail(f"torch {torch.__version__}: before 2.6 weights_only could be got around")
    folder = pathlib.Path(sys.argv[1])
    for name in ("model.safetensors", "model.safetensors.index.json"):
        if (folder / name).exists():
            fail(f"{folder / name}: is already there")
    if (folder / SINGLE).exists():
        tensors = load(folder / SINGLE)
        count, size = len(tensors), write(tensors, folder / "model.safetensors")
    elif (folder / INDEX).exists():
        count, size = convert_shards(folder)
    else:
        fail(f"{folder}: neither {SINGLE} nor {INDEX} is in this folder")
    print(f"{folder}: {count} tensors, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
