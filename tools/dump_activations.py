"""What transformers computes of a model at every tap, in a file for `isotrope parity MODEL --against DUMP`.

    python tools/dump_activations.py MODEL --text FILE --out dump.safetensors [--dtype bf16]
    python tools/dump_activations.py MODEL --ids FILE --out dump.safetensors

MODEL is a Hugging Face folder. --text: one text a line, cut into tokens by the folder's tokenizer. --ids: one row of token ids a line, and with
--types the segment of each of them. Rows of unequal length are padded. Needs torch, transformers and safetensors; the file is described in
docs/formats/activation_dump.md.
"""

import argparse
import os
import pathlib
import sys

import safetensors
import safetensors.torch
import torch
import transformers

from transformers_taps import FAMILIES, Taps, positions_of

VERSION = "1"
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def fail(text):
    sys.exit(f"error: [dump] {text}")


def load(folder, dtype):
    """The model of the architecture that the folder names, every one of its weights from the folder."""
    config = transformers.AutoConfig.from_pretrained(folder)
    if config.model_type not in FAMILIES:
        fail(f"{folder}: model_type {config.model_type} has no taps here; known are {', '.join(FAMILIES)}")
    architecture = (config.architectures or [None])[0]
    if architecture is None or not hasattr(transformers, architecture):
        fail(f"{folder}: config.json names no architecture that this transformers has")
    # The option was called torch_dtype before transformers 5.
    name = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"
    model, info = getattr(transformers, architecture).from_pretrained(folder, output_loading_info=True, **{name: dtype})
    for key in ("missing_keys", "mismatched_keys"):
        if info.get(key):
            fail(f"{folder}: {key.replace('_keys', '')} weights, which transformers would draw at random: {', '.join(sorted(map(str, info[key])))}")
    warn_of_changes(model, pathlib.Path(folder))
    return model.eval(), architecture


def warn_of_changes(model, folder):
    """Says which weights are not what the folder holds: transformers 5.23 scales Mamba-2's again where rescale_prenorm_residual is true."""
    changed = []
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, "pt") as file:
            state = model.state_dict()
            for name in sorted(set(file.keys()) & set(state)):
                stored = file.get_tensor(name).to(state[name].dtype)
                if stored.shape == state[name].shape and not torch.equal(stored, state[name]):
                    changed.append(name)
    if changed:
        print(f"warning: [dump] transformers has changed {len(changed)} weights while loading {folder}: {changed[0]} …", file=sys.stderr)


def read_rows(path):
    rows = []
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append([int(word) for word in line.replace(",", " ").split()])
        except ValueError:
            fail(f"{path}: line {number}: expected integers, got {line[:40]!r}")
    return rows


def encode(folder, path):
    """(ids, types) of each line of a text."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = [tokenizer(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()]
    return [one["input_ids"] for one in found], [one.get("token_type_ids", [0] * len(one["input_ids"])) for one in found]


def check_rows(path, ids, types, config):
    if not ids:
        fail(f"{path}: the file is empty")
    limit = getattr(config, "max_position_embeddings", None)
    if limit is not None and config.model_type == "roberta":
        limit -= config.pad_token_id + 1  # RoBERTa counts its positions from there
    for number, (row, kinds) in enumerate(zip(ids, types, strict=True), 1):
        if not row:
            fail(f"{path}: line {number}: no tokens")
        if min(row) < 0 or max(row) >= config.vocab_size:
            fail(f"{path}: line {number}: ids {min(row)} to {max(row)}, the vocabulary has {config.vocab_size}")
        if len(kinds) != len(row):
            fail(f"{path}: line {number}: {len(row)} ids and {len(kinds)} types")
        if limit is not None and len(row) > limit:
            fail(f"{path}: line {number}: {len(row)} tokens, the model has {limit} positions")
        if config.model_type == "roberta" and config.pad_token_id in row:
            fail(f"{path}: line {number}: id {config.pad_token_id} is RoBERTa's padding and has no position of its own")


NO_TARGET = -100


def next_tokens(rows):
    return [[*row[1:], NO_TARGET] for row in rows]


def hide(folder, rows, every):
    """(rows with each every-th token that is not special behind the mask token, the tokens that were there)."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if tokenizer.mask_token_id is None:
        fail(f"{folder}: the tokenizer has no mask token")
    special, hidden, targets, seen = set(tokenizer.all_special_ids), [], [], 0
    for row in rows:
        hidden.append(list(row))
        targets.append([NO_TARGET] * len(row))
        for i, token in enumerate(row):
            if token in special:
                continue
            seen += 1
            if seen % every == 0:
                hidden[-1][i], targets[-1][i] = tokenizer.mask_token_id, token
    if seen < every:
        fail(f"--hide-every {every} hides none of {seen} tokens")
    return hidden, targets


def padded(rows, filler, side):
    length = max(map(len, rows))
    return torch.tensor([row + [filler] * (length - len(row)) if side == "right" else [filler] * (length - len(row)) + row for row in rows])


@torch.no_grad()
def dump(model, ids, mask, types):
    """Every tensor of the file."""
    inputs = {"input_ids": ids}
    if mask.min() == 0:
        inputs["attention_mask"] = mask
    if types is not None:
        inputs["token_type_ids"] = types
    if hasattr(model.config, "use_cache"):
        inputs["use_cache"] = False
    with Taps(model) as taps:
        output = model(**inputs)
    tensors = {"ids": ids, "mask": mask, "positions": positions_of(model, ids, mask)} | ({"token_types": types} if types is not None else {})
    tensors |= taps.values
    for name, stored in {"logits": "logits", "prediction_logits": "logits", "seq_relationship_logits": "pair_logits", "sop_logits": "pair_logits"}.items():
        if output.get(name) is not None:
            tensors[stored] = output[name]
    if mask[:, 0].min() == 0:  # the pair's head reads the first place of a row, which here is padding
        tensors.pop("pair_logits", None)
    return {name: value.detach().clone().contiguous() for name, value in tensors.items()}


def write(path, tensors, config, architecture, dtype):
    about = {"format": "activation_dump", "version": VERSION, "model_type": config.model_type, "architecture": architecture,
             "dtype": str(dtype).removeprefix("torch."), "transformers": transformers.__version__, "torch": torch.__version__}
    unfinished = f"{path}.unfinished"
    safetensors.torch.save_file(tensors, unfinished, metadata=about)
    os.replace(unfinished, path)


def main():
    parser = argparse.ArgumentParser(description="activations of a model in transformers, for `isotrope parity`")
    parser.add_argument("model", help="Hugging Face folder")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", help="file with one text a line")
    source.add_argument("--ids", help="file with one row of token ids a line")
    parser.add_argument("--types", help="beside --ids: file with the segment of each token")
    parser.add_argument("--out", required=True, help="the .safetensors file to write")
    parser.add_argument("--hide-every", type=int, metavar="N", help="of an encoder: put each N-th token behind the mask token, and note the loss")
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="what the model computes in (default: f32)")
    parser.add_argument("--padding-side", choices=("left", "right"), default="right")
    arguments = parser.parse_args()
    if arguments.types and not arguments.ids:
        parser.error("--types stands beside --ids")

    transformers.utils.logging.disable_progress_bar()
    model, architecture = load(arguments.model, DTYPES[arguments.dtype])
    config = model.config
    if arguments.text:
        ids, types = encode(arguments.model, arguments.text)
    else:
        ids = read_rows(arguments.ids)
        types = read_rows(arguments.types) if arguments.types else [[0] * len(row) for row in ids]
    if len(types) != len(ids):
        fail(f"{arguments.types}: {len(types)} lines, {arguments.ids} has {len(ids)}")
    check_rows(arguments.text or arguments.ids, ids, types, config)
    # DistilBERT and ModernBERT have no segments, whatever their tokenizers say.
    kinds = getattr(config, "type_vocab_size", 0) if config.model_type in ("bert", "roberta", "albert") else 0
    if max(max(row) for row in types) >= max(kinds, 1) or min(min(row) for row in types) < 0:
        fail(f"{arguments.types or arguments.text}: types past the {kinds} of this model")
    decoder = architecture.endswith("CausalLM") or architecture == "GPT2LMHeadModel"
    if arguments.hide_every is not None and (decoder or arguments.hide_every < 1):
        parser.error("--hide-every takes a number from 1 on, for encoders")
    targets = next_tokens(ids) if decoder else None
    if arguments.hide_every:
        ids, targets = hide(arguments.model, ids, arguments.hide_every)
    side = arguments.padding_side
    filler = config.pad_token_id if isinstance(getattr(config, "pad_token_id", None), int) else 0
    filler = filler if 0 <= filler < config.vocab_size else 0
    tensors = dump(model, padded(ids, filler, side), padded([[1] * len(row) for row in ids], 0, side), padded(types, 0, side) if kinds > 0 else None)

    if targets is not None and "logits" in tensors:
        tensors["targets"] = padded(targets, NO_TARGET, side)

    write(arguments.out, tensors, config, architecture, DTYPES[arguments.dtype])
    rows, length = tensors["ids"].shape
    size = os.path.getsize(arguments.out)
    print(f"{arguments.out}: {len(tensors)} tensors of {rows} rows of {length} tokens, {config.model_type} in {arguments.dtype}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
