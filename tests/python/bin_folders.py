"""Does tools/bin_to_safetensors.py convert folders with pytorch_model.bin, whole, and refuse what is not plain weights?

    python tests/python/bin_folders.py build/release/isotrope

Random models with tied and untied heads and old buffers are pickled as older versions of transformers did, in one file and in shards. Isotrope
names the script for such a folder; after the script every tensor is there bit for bit, transformers loads the folder, and `isotrope parity`
agrees with the model that was pickled. Pickles with code, other objects or another shape of index leave no file behind. Prints one line a case;
exit code 0 if all is so, else 1.
"""

import collections
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"

import safetensors.torch
import torch
import transformers

import cases

SHAPE = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
MODELS = {
    "llama tied": ("LlamaForCausalLM", {**SHAPE, "tie_word_embeddings": True}),
    "llama untied": ("LlamaForCausalLM", {**SHAPE, "tie_word_embeddings": False}),
    "gpt2": ("GPT2LMHeadModel", {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}),
    "bert": ("BertForPreTraining", {**SHAPE, "max_position_embeddings": 32}),
}


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)


def make(name):
    kind, changes = MODELS[name]
    torch.manual_seed(3)
    config = getattr(transformers, kind.split("For")[0].replace("LMHeadModel", "") + "Config")(**changes, bos_token_id=None, eos_token_id=None)
    model = getattr(transformers, kind)(config).eval()
    weights = collections.OrderedDict(model.state_dict())
    if name == "gpt2":  # as old checkpoints hold it: the causal mask, and a matrix whose memory lies the other way round
        weights["transformer.h.0.attn.bias"] = torch.ones(1, 1, 32, 32, dtype=torch.bool).tril()
        weights["transformer.h.0.attn.c_proj.weight"] = weights["transformer.h.0.attn.c_proj.weight"].t().contiguous().t()
    return model, weights


def pickle(weights, folder, shards):
    if shards == 1:
        torch.save(weights, folder / "pytorch_model.bin")
        return
    names = list(weights)
    places = {}
    for shard in range(shards):
        file = f"pytorch_model-{shard + 1:05}-of-{shards:05}.bin"
        part = names[shard::shards]
        torch.save({name: weights[name] for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def converted(program, name, shards, root):
    root.mkdir()
    model, weights = make(name)
    reference, folder = root / "reference", root / "pickled"
    model.save_pretrained(reference)
    folder.mkdir()
    model.config.save_pretrained(folder)
    pickle(weights, folder, shards)
    (root / "ids.txt").write_text("5 6 7 8\n9 10\n")
    done = run(sys.executable, TOOLS / "dump_activations.py", reference, "--ids", root / "ids.txt", "--out", root / "dump")
    assert done.returncode == 0, done.stderr
    done = run(program, "parity", folder, "--against", root / "dump")
    assert done.returncode == 3 and "bin_to_safetensors.py" in done.stderr, done.stderr
    done = run(sys.executable, TOOLS / "bin_to_safetensors.py", folder)
    assert done.returncode == 0, done.stderr
    stored = {key: value for file in folder.glob("*.safetensors") for key, value in safetensors.torch.load_file(file).items()}
    assert stored.keys() == weights.keys(), stored.keys() ^ weights.keys()
    assert all(torch.equal(stored[key], weights[key]) and stored[key].dtype == weights[key].dtype for key in weights)
    assert (folder / "model.safetensors.index.json").exists() == (shards > 1)
    done = run(program, "parity", folder, "--against", root / "dump", "--tolerance", "1e-5", "--json")
    assert done.returncode == 0, done.stderr
    again, info = type(model).from_pretrained(folder, output_loading_info=True, use_safetensors=True)
    assert not info["missing_keys"], info
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in again.state_dict().items())
    done = run(sys.executable, TOOLS / "bin_to_safetensors.py", folder)
    assert done.returncode == 1 and "is already there" in done.stderr, done.stderr
    return f"{len(stored)} tensors in {shards} file{'s' * (shards > 1)}"


class Code:
    """What runs a command when it is opened without care."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch '{self.file}'",)


def refused(root):
    root.mkdir()
    weight = {"a": torch.ones(2)}
    index = lambda places: json.dumps({"weight_map": places}).encode()
    cases = {  # name: (objects of the files or their bytes, what must be said)
        "code": ({"pytorch_model.bin": {"a": Code(root / "ran")}}, "not a pickle of tensors alone"),
        "object": ({"pytorch_model.bin": torch.nn.Linear(2, 2)}, "not a pickle of tensors alone"),
        "list": ({"pytorch_model.bin": [torch.ones(2)]}, "expected tensors by name"),
        "training": ({"pytorch_model.bin": {"state_dict": weight, "epoch": 3}}, "state_dict is of type dict"),
        "number": ({"pytorch_model.bin": {**weight, "step": 3}}, "step is of type int"),
        "sparse": ({"pytorch_model.bin": {"a": torch.ones(2, 2).to_sparse()}}, "sparse"),
        "empty": ({"pytorch_model.bin": {}}, "holds nothing"),
        "bytes": ({"pytorch_model.bin": b"no pickle"}, "not a pickle of tensors alone"),
        "nothing": ({}, "neither pytorch_model.bin nor"),
        "index": ({"pytorch_model.bin.index.json": b"{}"}, "weight_map"),
        "path": ({"pytorch_model.bin.index.json": index({"a": "../one.bin"})}, "is not the name of a .bin file"),
        "absent": ({"pytorch_model.bin.index.json": index({"a": "one.bin"})}, "one.bin: no such file"),
        "missing": ({"pytorch_model.bin.index.json": index({"a": "one.bin", "b": "one.bin"}), "one.bin": weight}, "b is missing, the index has it here"),
        "surplus": ({"pytorch_model.bin.index.json": index({"a": "one.bin"}), "one.bin": {**weight, "b": torch.ones(1)}}, "b is not in the index"),
    }
    for name, (files, complaint) in cases.items():
        folder = root / name
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content) if isinstance(content, bytes) else torch.save(content, folder / file)
        done = run(sys.executable, TOOLS / "bin_to_safetensors.py", folder)
        assert done.returncode == 1 and done.stderr.startswith("error: [bin] ") and complaint in done.stderr, f"{name}: {done.returncode} {done.stderr}"
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert not list(folder.glob("*safetensors*")), name
    assert not (root / "ran").exists(), "the code in a pickle was run"
    return f"{len(cases)} folders refused"


def main():
    program = sys.argv[1]
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        converting = {f"{name}, {shards}": functools.partial(converted, program, name, shards, root / f"{name}-{shards}") for name in MODELS
                      for shards in (1, 3)}
        return cases.run({**converting, "what is no weights": functools.partial(refused, root / "refused")})


if __name__ == "__main__":
    sys.exit(main())
