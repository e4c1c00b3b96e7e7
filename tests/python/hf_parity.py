"""Does `isotrope parity` find that isotrope and transformers agree at every tap, and where a changed model departs?

    python tests/python/hf_parity.py build/release/isotrope [--only PATTERN] [--keep FOLDER]

For each family: transformers saves a tiny random model, tools/dump_activations.py writes what it computes of padded rows, and `isotrope parity`
agrees at every tap to 1e-4, with the padding on either side, and in bf16 within its own default. Then one number of one weight is changed, and
`isotrope parity` must name the tap behind that weight as the first that departs. Prints one line a model; exit code 0 if all is so, else 1.
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
TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
sys.path[:0] = [str(TOOLS), str(TOOLS / "oracles")]

import safetensors.torch
import torch
import transformers

import dump_activations
import encoder_goldens
import model_goldens
import cases

TOLERANCE = 1e-4
LENGTHS = (9, 4, 12)

# model of the oracles: (part of a weight's name, the first tap that reads it)
MODELS = {
    "llama_gqa2_theta5e5": ("layers.1.mlp.down_proj.weight", "mlp_out.1"),
    "llama_llama3_rope": ("layers.0.self_attn.v_proj.weight", "attn_out.0"),
    "mistral_window8_gqa": ("layers.1.self_attn.o_proj.weight", "attn_out.1"),
    "qwen3_layer_types": ("layers.2.self_attn.k_norm.weight", "attn_out.2"),
    "gpt2_untied_relu": ("lm_head.weight", "logits"),
    "gpt2_one_head": ("h.1.ln_2.weight", "mlp_out.1"),
    "opt_pre_norm_projected": ("layers.1.fc2.weight", "mlp_out.1"),
    "opt_post_norm_projected": ("layers.1.self_attn_layer_norm.weight", "resid_mid.1"),
    "gpt_neox_parallel": ("layers.1.mlp.dense_4h_to_h.weight", "mlp_out.1"),
    "gpt_neox_sequential": ("layers.1.attention.dense.weight", "attn_out.1"),
    "bloom_residual_after_norm": ("h.1.self_attention.dense.weight", "attn_out.1"),
    "mamba2_groups": ("layers.1.mixer.out_proj.weight", "ssm_out.1"),
    "falcon_h1_norm_after": ("layers.1.mamba.out_proj.weight", "ssm_out.1"),
    "bert_pretraining": ("cls.seq_relationship.weight", "pair_logits"),
    "bert_bare": ("embeddings.word_embeddings.weight", "embed"),
    "roberta_padding_3": ("layer.1.output.LayerNorm.bias", "resid_post.1"),
    "albert_inner_layers": ("albert_layers.1.ffn_output.weight", "mlp_out.1"),
    "distilbert_masked_lm": ("layer.1.sa_layer_norm.weight", "resid_mid.1"),
    "modernbert_masked_lm": ("model.final_norm.weight", "final_norm"),
}


def save(name, folder):
    """The oracles' model of this name, with random weights that all matter."""
    if name in encoder_goldens.MODELS:
        config, kind, changes = encoder_goldens.MODELS[name]
    else:
        family, changes, _ = model_goldens.MODELS[name]
        config, kind, defaults = model_goldens.FAMILIES[family]
        changes = {**defaults, **changes}
    torch.manual_seed(1)
    model = getattr(transformers, kind)(getattr(transformers, config)(**changes)).eval()
    model_goldens.draw_weights(model, 1)
    model.save_pretrained(folder)
    return model.config


def write_rows(config, root):
    """Rows of ids of several lengths, and their segments where the model has some; ids that no family takes for padding."""
    choose = random.Random(5)
    rows = [[choose.randrange(4, config.vocab_size) for _ in range(length)] for length in LENGTHS]
    (root / "ids.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows) + "\n")
    arguments = ["--ids", root / "ids.txt"]
    if config.model_type in ("bert", "albert"):
        (root / "types.txt").write_text("\n".join(" ".join(str(int(i > 2)) for i in range(len(row))) for row in rows) + "\n")
        arguments += ["--types", root / "types.txt"]
    return rows, arguments


def dump(*arguments):
    sys.argv = ["dump_activations.py", *map(str, arguments)]
    standard, sys.stdout = sys.stdout, open(os.devnull, "w")
    try:
        dump_activations.main()
    finally:
        sys.stdout = standard


def parity(program, folder, file, *more):
    """(exit code, what --json says, standard error)"""
    done = subprocess.run([program, "parity", str(folder), "--against", str(file), "--threads", "1", "--json", *more], capture_output=True, text=True, timeout=300)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else None, done.stderr.strip()


def agreeing(program, folder, file, taps, *more):
    """The largest relative difference, when all taps agree."""
    code, found, said = parity(program, folder, file, *more)
    assert code == 0 and found and found["first_departure"] is None, f"parity ends with {code}: {said}"
    assert [tap["tap"] for tap in found["taps"]] == taps, f"{[tap['tap'] for tap in found['taps']]} compared, {taps} are in the dump"
    assert found["tokens"] == sum(LENGTHS), found["tokens"]
    return max(tap["relative"] for tap in found["taps"])


def check_loss(program, folder, file, names, tolerance):
    """Both sides' loss of the dump's targets, and none without them."""
    loss = parity(program, folder, file)[1]["loss"]
    assert (loss is not None) == ("targets" in names), loss
    if loss is None:
        return
    with safetensors.safe_open(file, "pt") as opened:
        logits, targets = opened.get_tensor("logits").double().flatten(0, 1), opened.get_tensor("targets").flatten()
    expected = torch.nn.functional.cross_entropy(logits, targets).item()
    assert loss["tokens"] == (targets >= 0).sum().item(), loss
    assert abs(loss["theirs"] - expected) <= 1e-9 * expected, (loss, expected)
    assert abs(loss["ours"] - expected) <= tolerance, (loss, expected)


def change_one_number(folder, part, row):
    [file] = folder.glob("model*.safetensors")
    tensors = safetensors.torch.load_file(file)
    [name] = [name for name in tensors if name.endswith(part)]
    number = tensors[name].flatten() if tensors[name].dim() == 1 else tensors[name][row]
    number[0] += 0.5
    safetensors.torch.save_file(tensors, file, metadata={"format": "pt"})


def run_case(program, name, root):
    root.mkdir(parents=True)
    folder = root / "model"
    config = save(name, folder)
    rows, inputs = write_rows(config, root)
    worst = {}
    for case, more in {"right": (), "left": ("--padding-side", "left"), "bf16": ("--dtype", "bf16")}.items():
        file = root / f"{case}.safetensors"
        dump(folder, *inputs, "--out", file, *more)
        with safetensors.safe_open(file, "pt") as opened:
            names = set(opened.keys())
        taps = [tap for tap in expected_taps(config, names)]
        assert set(taps) | {"ids", "mask", "positions", "token_types", "targets"} >= names, names
        assert ("targets" in names) == config.architectures[0].endswith(("CausalLM", "GPT2LMHeadModel")), names
        worst[case] = agreeing(program, folder, file, taps)
        assert case == "bf16" or worst[case] <= TOLERANCE
        check_loss(program, folder, file, names, 0.1 if case == "bf16" else 1e-4)
    part, tap = MODELS[name]
    change_one_number(folder, part, rows[0][0] if tap == "embed" else 0)
    code, found, said = parity(program, folder, root / "right.safetensors")
    assert code == 1 and found and found["first_departure"] == tap, f"{part} changed: parity ends with {code}, {found and found['first_departure']} departs, expected {tap}"
    assert f"{tap} is the first tap that departs" in said, said
    return f"{len(taps)} taps, apart {worst['right']:.0e} and {worst['left']:.0e}, in bf16 {worst['bf16']:.0e}; {part}: {tap} departs"


def expected_taps(config, names):
    """The taps of the dump in the order in which a model computes them."""
    points = ("ssm_out", "attn_out", "resid_mid", "mlp_out", "resid_post")
    layers = sum(name.startswith("resid_post.") for name in names)
    order = ["embed", *(f"{point}.{layer}" for layer in range(layers) for point in points), "final_norm", "logits", "pair_logits"]
    return [name for name in order if name in names]


def text_case(program, root):
    """By the command line, from texts through the folder's own tokenizer."""
    root.mkdir(parents=True)
    folder, file = root / "model", root / "dump.safetensors"
    save("bert_pretraining", folder)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}\n')
    (root / "texts.txt").write_text("a b c\nd e f g h\n")
    done = subprocess.run([sys.executable, TOOLS / "dump_activations.py", folder, "--text", root / "texts.txt", "--out", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code, found, said = parity(program, folder, file)
    assert code == 0 and found["tokens"] == 5 + 7, f"{code}, {found and found['tokens']} tokens: {said}"
    assert found["loss"] is None
    done = subprocess.run([sys.executable, TOOLS / "dump_activations.py", folder, "--text", root / "texts.txt", "--out", file, "--hide-every", "3"], check=True)
    with safetensors.safe_open(file, "pt") as opened:
        names, ids, targets = set(opened.keys()), opened.get_tensor("ids"), opened.get_tensor("targets")
    # c, and of the second text f: every third of the eight letters.
    assert targets[targets >= 0].tolist() == [7, 10] and ids[targets >= 0].tolist() == [4, 4], (ids, targets)
    check_loss(program, folder, file, names, 1e-4)
    refused = {"empty.txt": ("", "the file is empty"), "wide.txt": ("7 43\n", "the vocabulary has 43"), "word.txt": ("7 x\n", "expected integers")}
    for name, (rows, complaint) in refused.items():
        (root / name).write_text(rows)
        done = subprocess.run([sys.executable, TOOLS / "dump_activations.py", folder, "--ids", root / name, "--out", root / "no"], capture_output=True, text=True)
        assert done.returncode == 1 and complaint in done.stderr and not (root / "no").exists(), done.stderr
    return "texts through the tokenizer; empty, wide and wordy rows are refused"


def main():
    parser = argparse.ArgumentParser(description="isotrope parity against dumps of transformers")
    parser.add_argument("program")
    parser.add_argument("--only", default="*")
    parser.add_argument("--keep", help="write the folders here and keep them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(arguments.keep or scratch).resolve()
        models = {name: functools.partial(run_case, arguments.program, name, root / name) for name in MODELS}
        return cases.run({**models, "text": functools.partial(text_case, arguments.program, root / "text")}, arguments.only)


if __name__ == "__main__":
    sys.exit(main())
