"""Do transformers and isotrope agree on encoders that isotrope has trained?

    python tests/python/hf_encoders.py build/release/isotrope [--only PATTERN]

For each family: `isotrope train` with its own objective writes a checkpoint; transformers loads model and tokenizer without a missing or surplus
key. Then `isotrope fill` gives the probabilities of transformers' softmax at the mask, and `isotrope embed` the mean of its last hidden states, both
within 1e-5. Prints one line a family; exit code 0 if all agree, else 1.
"""

import argparse
import functools
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy
import torch
import transformers
from transformers.utils import logging

import cases

WORDS = ["the", "river", "and", "old", "mill", "was", "quiet", "late", "she", "said", "light", "stone", "of", "a", "in", "."]
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(WORDS + LETTERS), *["##" + letter for letter in LETTERS]]
MASKED = "the old [MASK] was quiet and the [MASK] late."
TEXTS = ["the river was old.", "a", "she said the mill in the light of stone was quiet and late and old.", "she was late."]
TOLERANCE = 1e-5
TRAIN_CONFIG = """
[run]
folder = "{run}"

[model]
config = "{model}"

[data]
train = "{data}"

[train]
steps = 20
batch_size = 4
context = 40
precision = "fp32"

[optimizer]
lr = 0.01
"""

SHAPE = {"vocab_size": 96, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40,
         "max_position_embeddings": 48, "initializer_range": 0.1, "pad_token_id": 0}
FAMILIES = {
    "bert": ("BertForPreTraining", {**SHAPE}),
    "bert-masked": ("BertForMaskedLM", {**SHAPE}),
    "roberta": ("RobertaForMaskedLM", {**SHAPE}),
    "albert": ("AlbertForPreTraining", {**SHAPE, "embedding_size": 12}),
    "distilbert": ("DistilBertForMaskedLM", {"vocab_size": 96, "dim": 24, "n_layers": 2, "n_heads": 2, "hidden_dim": 40, "initializer_range": 0.1,
                                             "max_position_embeddings": 48, "pad_token_id": 0}),
    "modernbert": ("ModernBertForMaskedLM", {**SHAPE, "num_hidden_layers": 3, "local_attention": 8, "bos_token_id": None, "eos_token_id": None,
                                             "cls_token_id": None, "sep_token_id": None}),
}


def isotrope(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"isotrope {arguments[0]} ends with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def write_texts(root):
    choose = random.Random(3)
    (root / "vocabulary").mkdir()
    (root / "vocabulary" / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    with open(root / "text.jsonl", "w") as file:
        for _ in range(60):
            file.write(json.dumps({"text": " ".join(choose.choices(WORDS, [1 / (i + 1) for i in range(len(WORDS))], k=choose.randrange(30, 90)))}) + "\n")
    (root / "lines.txt").write_text("\n".join(TEXTS) + "\n")


def train(program, root, name, architecture, changes):
    config = getattr(transformers, architecture.split("For")[0] + "Config")(**changes)
    config.architectures = [architecture]
    (root / f"{name}.json").write_text(config.to_json_string())
    (root / f"{name}.toml").write_text(TRAIN_CONFIG.format(run=root / name, model=root / f"{name}.json", data=root / "data/train.tokens"))
    isotrope(program, "train", root / f"{name}.toml", "--quiet")
    return root / name / "checkpoints" / "step-20"


@torch.no_grad()
def check(program, folder, architecture, root):
    model, info = getattr(transformers, architecture).from_pretrained(folder, output_loading_info=True)
    faults = {key: sorted(map(str, value)) for key, value in info.items() if value}
    assert not faults, f"transformers does not load it cleanly: {faults}"
    model = model.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    inputs = tokenizer(MASKED, return_tensors="pt")
    if architecture.startswith(("Distil", "Modern")):
        inputs.pop("token_type_ids", None)
    out = model(**inputs)
    logits = (out.prediction_logits if hasattr(out, "prediction_logits") else out.logits)[0]
    masks = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
    found = json.loads(isotrope(program, "fill", folder, "--text", MASKED, "--top-k", 5, "--dtype", "float32", "--json").splitlines()[-1])
    assert len(found["masks"]) == len(masks) == 2
    apart = 0.0
    for place, candidates in zip(masks, found["masks"], strict=True):
        probabilities = torch.softmax(logits[place, : len(VOCABULARY)], -1)
        assert [c["id"] for c in candidates] == probabilities.topk(5).indices.tolist()
        apart = max(apart, max(abs(c["probability"] - probabilities[c["id"]].item()) for c in candidates))
    assert apart <= TOLERANCE, f"fill: {apart:.1e} apart"

    output = root / "features.npy"
    isotrope(program, "embed", folder, "--text", root / "lines.txt", "-o", output, "--dtype", "float32", "--quiet")
    features = torch.from_numpy(numpy.load(output))
    for text, row in zip(TEXTS, features, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        hidden = model.base_model(input_ids=ids)[0][0].mean(0)
        difference = ((row - hidden).norm() / hidden.norm()).item()
        assert difference <= TOLERANCE, f"embed: {difference:.1e} apart on {text!r}"
        apart = max(apart, difference)
    return f"loads; fill and embed at most {apart:.0e} apart"


def train_and_check(program, root, name):
    architecture, changes = FAMILIES[name]
    return check(program, train(program, root, name, architecture, changes), architecture, root)


def main():
    parser = argparse.ArgumentParser(description="transformers and isotrope on the same encoders")
    parser.add_argument("program")
    parser.add_argument("--only", default="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        write_texts(root)
        isotrope(arguments.program, "data", "pack", root / "text.jsonl", "--tokenizer", root / "vocabulary", "-o", root / "data", "--quiet")
        return cases.run({name: functools.partial(train_and_check, arguments.program, root, name) for name in FAMILIES}, arguments.only)


if __name__ == "__main__":
    sys.exit(main())
