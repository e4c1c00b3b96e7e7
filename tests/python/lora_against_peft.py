"""Do low-rank factors that isotrope has trained mean what PEFT makes of them?

    python tests/python/lora_against_peft.py build/release/isotrope

A small Llama and a small GPT-2 (whose weights lie transposed) are adapted by `isotrope train`. PEFT gets the frozen weights and the factors
from masters.safetensors: its merged weights must be those of the checkpoint within 1e-6 (relative, L2), transformers loads the checkpoint
without a missing or surplus key, and its logits are those of PEFT's adapted model within 1e-5.
Prints one line a model; exit code 0 if all agree, 77 without peft.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

try:
    import peft
except ImportError:
    sys.exit(77)
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

RANK, ALPHA, CONTEXT = 4, 6, 64
MODELS = {
    "llama": ({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 257, "hidden_size": 32, "intermediate_size": 48,
               "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT,
               "tie_word_embeddings": False}, ["q_proj", "v_proj", "down_proj"]),
    "gpt2": ({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 257, "n_embd": 32, "n_layer": 2, "n_head": 4,
              "n_positions": CONTEXT, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}, ["c_attn", "c_fc"]),
}
CONFIG = """
[run]
folder = "{folder}/run"
[model]
config = "{folder}/model.json"
[data]
train = "{folder}/tokens/train.tokens"
[train]
steps = 20
batch_size = 4
context = {context}
precision = "fp32"
[optimizer]
lr = 0.02
[observe]
evaluation = 0
[lora]
targets = [{targets}]
rank = {rank}
alpha = {alpha}
"""


def relative(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def check(program, name, folder):
    config, targets = MODELS[name]
    (folder / "model.json").write_text(json.dumps(config))
    (folder / "text.txt").write_text("".join(f"line {i} follows line {i - 1}.\n" for i in range(400)))
    run = lambda *arguments: subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
    run("data", "pack", f"{folder}/text.txt", "--tokenizer", "bytes", "--output", f"{folder}/tokens")
    patterns = ", ".join(f'"*.{target}.weight"' for target in targets)
    (folder / "run.toml").write_text(CONFIG.format(folder=folder, context=CONTEXT, targets=patterns, rank=RANK, alpha=ALPHA))
    run("train", f"{folder}/run.toml")
    checkpoint = max((folder / "run" / "checkpoints").iterdir())
    masters, merged = load_file(checkpoint / "masters.safetensors"), load_file(checkpoint / "model.safetensors")
    model, report = AutoModelForCausalLM.from_pretrained(checkpoint, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    frozen = {key: masters.get(key, value) for key, value in merged.items()}
    base = AutoModelForCausalLM.from_config(model.config).float()
    base.load_state_dict(frozen, strict=not model.config.tie_word_embeddings)
    base.tie_weights()
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, lora_dropout=0.0,
                                                        fan_in_fan_out=name == "gpt2", task_type="CAUSAL_LM")).eval()
    factors = {f"base_model.model.{key}".replace(".weight", ".default.weight"): value for key, value in masters.items() if ".lora_" in key}
    missing = adapted.load_state_dict(factors, strict=False)
    assert not missing.unexpected_keys, missing.unexpected_keys
    learned = sum(value.abs().max() > 1e-3 for key, value in factors.items() if ".lora_B." in key)
    ids = torch.randint(0, 257, (2, CONTEXT), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits = relative(model.eval()(ids).logits, adapted(ids).logits)
    theirs = adapted.merge_and_unload().state_dict()
    worst = max(relative(merged[key], theirs[key]) for key in merged)
    good = worst < 1e-6 and logits < 1e-5 and learned == len(factors) // 2
    print(f"{'same' if good else 'DIFFERENT'}  {name}: {len(factors) // 2} matrices, weights {worst:.1e}, logits {logits:.1e}")
    return good


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    good = []
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            good.append(check(program, name, pathlib.Path(folder)))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
