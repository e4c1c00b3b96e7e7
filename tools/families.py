"""Trains a small model of every family on one text with its own objective, and prints their losses in a table.

    python tools/families.py build/release/isotrope TEXT --encoder-tokenizer VOCABULARY [--out runs/families] [--only 'bert*'] [--table]

TEXT: a text file of which the first 40 MB are used, the last 2% of them for validation;
two empty lines end a document. Decoders and ELMo read byte-level BPE tokens learned from it
(4,096), encoders WordPiece tokens of VOCABULARY (a folder with BERT's vocab.txt). Configurations: configs/families/families.toml, configs/families/. Runs that
are there already are not trained again; --table only prints. A run's curve: `isotrope report OUT/NAME`, or tools/plot_run.py.

--check then compares each checkpoint with transformers on lines of the validation text, every tap of it and the loss (`isotrope parity`); ELMo with the
recurrences of tools/oracles/elmo_goldens.py. Needs torch, transformers and safetensors.
"""

import argparse
import fnmatch
import json
import math
import pathlib
import subprocess
import sys

TOOLS = pathlib.Path(__file__).parent

ENCODERS = {"bert", "roberta", "albert", "distilbert", "modernbert"}
LEARNING_RATES = {"bert": 1e-3, "roberta": 1e-3, "albert": 1e-3, "distilbert": 1e-3}  # norms behind the residual: 3e-3 stays at the frequencies of the tokens
STEPS = {"bert": 1100, "albert": 1100}  # pairs of segments fill their rows less
TEXT_BYTES = 40_000_000
OBJECTIVES = {"mlm": "masked tokens", "mlm_nsp": "masked tokens, pairs", "bilm": "next and previous token", "clm": "next token"}


def isotrope(program, *arguments):
    subprocess.run([program, *map(str, arguments)], check=True)


def prepare(program, text, encoder_tokenizer, out):
    beginning = out / "text.txt"
    if not beginning.exists():
        with open(text, "rb") as file:
            data = file.read(TEXT_BYTES)
        beginning.write_bytes(data[: data.rfind(b"\n") + 1] or data)
    if not (out / "tokenizer").exists():
        isotrope(program, "tokenizer", "train", "--file", beginning, "--vocab-size", 4096, "-o", out / "tokenizer", "--quiet")
    for kind, tokenizer in (("decoders", out / "tokenizer"), ("encoders", encoder_tokenizer)):
        if not (out / kind / "validation.tokens").exists():
            isotrope(program, "data", "pack", beginning, "--tokenizer", tokenizer, "--split-documents", "\n\n\n",
                     "--validation-tail", 0.02, "-o", out / kind, "--quiet")


def train(program, name, out, threads):
    data = out / ("encoders" if name in ENCODERS else "decoders")
    settings = {"run.folder": out / name, "model.config": f"configs/families/{name}.json", "data.train": data / "train.tokens",
                "data.validation": data / "validation.tokens", "train.threads": threads,
                "optimizer.lr": LEARNING_RATES.get(name, 3e-3), "train.steps": STEPS.get(name, 1000)}
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    isotrope(program, "train", "configs/families/families.toml", *sets, *(["--resume"] if (out / name / "run.jsonl").exists() else []), "--quiet")


def is_done(run):
    log = run / "run.jsonl"
    return log.exists() and any('"type":"end"' in line and '"reason":"done"' in line for line in open(log, encoding="utf-8"))


def row(program, name, run):
    records = [json.loads(line) for line in open(run / "run.jsonl", encoding="utf-8")]
    steps = [r for r in records if r["type"] == "step"]
    evals = [r for r in records if r["type"] == "eval"]
    info = json.loads(subprocess.run([program, "info", run, "--json"], check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    state = json.loads(next((run / "checkpoints").glob("step-*/train_state.json")).read_text())
    at = {e["step"]: e["nll"] for e in evals}
    last = evals[-1]
    bits = f"{last['bits_per_byte']:.3f}" if "bits_per_byte" in last else ""
    parts = ", ".join(f"{key.replace('_', ' ')} {last[key]:.3f}" for key in ("token_loss", "pair_loss", "pair_accuracy", "backward_loss") if key in last)
    speed = sorted(s["tokens_per_second"] for s in steps)[len(steps) // 2]
    return [name, f"{info['parameters']['total'] / 1e6:.2f} M", OBJECTIVES[state["objective"]], f"{last_tokens(steps) / 1e6:.2f} M",
            f"{steps[0]['loss']:.3f}", *(f"{at[s]:.3f}" for s in (100, 300, steps[-1]["step"])), f"{100 * last['accuracy']:.1f}%", bits, parts, f"{speed:,.0f}"]


def check_lines(out):
    """Lines of the validation text, each below the positions of every model here."""
    with open(out / "text.txt", "rb") as file:
        file.seek(-(out / "text.txt").stat().st_size // 50, 2)
        lines = [line[:400].decode("utf-8", errors="ignore").strip() for line in file.read().split(b"\n")[1:]]
    return [line for line in lines if len(line) > 200][:8]


def dump_elmo(checkpoint, line, path):
    """What the recurrences give for the beginning of a line, as an activation dump (docs/formats/activation_dump.md)."""
    import safetensors.torch
    import torch
    import transformers
    sys.path.insert(0, str(TOOLS / "oracles"))
    import elmo_goldens
    config = json.loads((checkpoint / "config.json").read_text())
    config = {"token_encoder": "embedding", "tie_word_embeddings": False, **config}
    stored = safetensors.torch.load_file(checkpoint / "model.safetensors")
    table = stored.pop("token_characters", None)
    weights = {name: value.double() for name, value in stored.items()}
    ids = torch.tensor([transformers.AutoTokenizer.from_pretrained(checkpoint)(line)["input_ids"][:32]])
    with torch.no_grad():
        states, logits, _ = elmo_goldens.compute(config, weights, table, ids)
    targets = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], -100)], 1)
    tensors = {"ids": ids, "mask": torch.ones_like(ids), "positions": torch.arange(ids.shape[1]).unsqueeze(0), "targets": targets, "embed": states[0],
               "logits": logits, **{f"resid_post.{i}": state for i, state in enumerate(states[1:])}}
    about = {"format": "activation_dump", "version": "1", "model_type": "elmo", "dtype": "float32"}
    safetensors.torch.save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata=about)


def check(program, name, out):
    """(loss here, loss there, largest relative difference of a tap) of the run's last checkpoint."""
    checkpoint, dump = next((out / name / "checkpoints").glob("step-*")), out / "check.safetensors"
    lines = check_lines(out)
    if name.startswith("elmo"):
        dump_elmo(checkpoint, lines[0], dump)
    else:
        (out / "check.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        subprocess.run([sys.executable, TOOLS / "dump_activations.py", checkpoint, "--text", out / "check.txt", "--out", dump,
                        *(["--hide-every", "7"] if name in ENCODERS else [])], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([program, "parity", checkpoint, "--against", dump, "--json"], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    report = json.loads(done.stdout.splitlines()[-1])
    numbers = [report["loss"]["ours"], report["loss"]["theirs"], *(tap["relative"] for tap in report["taps"])]
    ours, theirs, *apart = (math.nan if number is None else number for number in numbers)  # null: not a finite number
    return ours, theirs, max(apart), done.returncode == 0


def last_tokens(steps):
    return steps[-1]["tokens"]


def main():
    parser = argparse.ArgumentParser(description="one small model of each family")
    parser.add_argument("program")
    parser.add_argument("text")
    parser.add_argument("--encoder-tokenizer", required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/families"))
    parser.add_argument("--only", default="*")
    parser.add_argument("--threads", type=int, default=0, help="of each training (default: one a core)")
    parser.add_argument("--check", action="store_true", help="compare each checkpoint with transformers")
    parser.add_argument("--table", action="store_true", help="train nothing, print the runs that are there")
    arguments = parser.parse_args()
    names = fnmatch.filter(sorted(path.stem for path in pathlib.Path("configs/families").glob("*.json")), arguments.only)
    if not arguments.table:
        arguments.out.mkdir(parents=True, exist_ok=True)
        prepare(arguments.program, arguments.text, arguments.encoder_tokenizer, arguments.out)
        for name in names:
            if not is_done(arguments.out / name):
                print(f"== {name}", file=sys.stderr, flush=True)
                train(arguments.program, name, arguments.out, arguments.threads)
    print("| family | parameters | objective | tokens | loss at step 1 | validation at 100 | at 300 | at the end | accuracy | bits per byte | parts | tokens/s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name in names:
        if is_done(arguments.out / name):
            print("| " + " | ".join(row(arguments.program, name, arguments.out / name)) + " |")
    departed = False
    if arguments.check:
        print("\n| family | loss here | loss there | largest relative difference of a tap |")
        print("|---|---|---|---|")
        for name in names:
            if is_done(arguments.out / name):
                ours, theirs, apart, agrees = check(arguments.program, name, arguments.out)
                print(f"| {name} | {ours:.6f} | {theirs:.6f} | {apart:.1e} |", flush=True)
                departed |= not agrees
    return 1 if departed else 0


if __name__ == "__main__":
    sys.exit(main())
