"""Do transformers and isotrope agree on the same folder? Both directions, through the program.

    python tests/python/hf_roundtrip.py build/release/isotrope [--only PATTERN] [--keep FOLDER]

ours    `isotrope train` writes a checkpoint; transformers loads it without a missing or surplus key.
theirs  transformers writes random models of many shapes; isotrope loads them.
Then for each folder: `isotrope eval` gives transformers' mean NLL over the same windows within 1e-5 (relative), and its
tokens and bytes; `isotrope generate` at temperature 0 gives transformers' greedy text of 64 tokens.
Prints one line a folder; exit code 0 if all agree, else 1.
"""

import argparse
import dataclasses
import functools
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (AutoModelForCausalLM, AutoTokenizer, BloomConfig, FalconH1Config, GPT2Config, GPTNeoXConfig, LlamaConfig, Mamba2Config,
                          MistralConfig, OPTConfig, PreTrainedTokenizerFast, Qwen3Config)
from transformers.utils import logging

import cases

PACK = ("data", "pack", "{text}", "--tokenizer", "bytes", "--output", "{packed}")
TRAIN_CONFIG = """
[run]
folder = "{run}"

[model]
config = "{model}"

[data]
train = "{tokens}"

[train]
steps = 20
batch_size = 4
context = {context}
seed = 7

[optimizer]
lr = 0.01
"""

CONTEXT = 128
BYTE_VOCABULARY = 257  # the bytes and <|endoftext|>
NEW_TOKENS = 64
NLL_TOLERANCE = 1e-5   # relative; fp32 against fp32, summed in another order
SMALLEST_GAP = 1e-3    # between the two largest logits on a random model's greedy path, so that rounding decides nothing
PROMPTS = ("The ", "river and the old", "Ещё раз", "a", "It was late, and")

NO_SPECIALS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
LLAMA = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
         "vocab_size": BYTE_VOCABULARY, "max_position_embeddings": CONTEXT, "tie_word_embeddings": False, **NO_SPECIALS}
GPT2 = {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT, "vocab_size": BYTE_VOCABULARY, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
        "attn_pdrop": 0.0, **NO_SPECIALS}
MAMBA2 = {"hidden_size": 48, "num_hidden_layers": 2, "num_heads": 6, "head_dim": 16, "n_groups": 2, "state_size": 16, "chunk_size": 32,
          "vocab_size": BYTE_VOCABULARY, **NO_SPECIALS}
FALCON_H1 = {**LLAMA, "mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_state": 16, "mamba_chunk_size": 32, "lm_head_multiplier": 0.5, "key_multiplier": 0.8,
             "ssm_multipliers": [0.9, 1.1, 1.2, 0.8, 1.0]}
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}


def llama(**changes):
    return LlamaConfig(**{**LLAMA, **changes})


def gpt2(**changes):
    return GPT2Config(**{**GPT2, **changes})


OURS = {
    "ours/llama": llama(initializer_range=0.1),
    "ours/llama-tied": llama(tie_word_embeddings=True, num_key_value_heads=4, initializer_range=0.1),
    "ours/gpt2": gpt2(initializer_range=0.1),
    "ours/gpt2-untied": gpt2(tie_word_embeddings=False, initializer_range=0.1),
    "ours/mistral": MistralConfig(**LLAMA, head_dim=12, sliding_window=24, initializer_range=0.1),
    "ours/qwen3": Qwen3Config(**LLAMA, head_dim=16, initializer_range=0.1),
    "ours/opt": OPTConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, max_position_embeddings=CONTEXT, dropout=0.0,
                          word_embed_proj_dim=48, vocab_size=BYTE_VOCABULARY, init_std=0.1, **NO_SPECIALS),
    "ours/gpt-neox": GPTNeoXConfig(rotary_pct=0.5, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=BYTE_VOCABULARY,
                                   max_position_embeddings=CONTEXT, initializer_range=0.1, **NO_SPECIALS),
    "ours/bloom": BloomConfig(hidden_size=48, n_layer=2, n_head=4, vocab_size=BYTE_VOCABULARY, initializer_range=0.1, **NO_SPECIALS),
    "ours/mamba2": Mamba2Config(**MAMBA2),
    "ours/falcon-h1": FalconH1Config(**FALCON_H1, initializer_range=0.1),
}
# name: (config, options of save_pretrained)
THEIRS = {
    "theirs/llama": (llama(num_key_value_heads=4), {}),
    "theirs/llama-tied-gqa": (llama(tie_word_embeddings=True), {}),
    "theirs/llama-mqa-biases": (llama(num_key_value_heads=1, attention_bias=True, mlp_bias=True), {}),
    "theirs/llama-llama3-rope": (llama(rope_parameters=LLAMA3_ROPE, rms_norm_eps=1e-5), {}),
    "theirs/llama-linear-rope": (llama(rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}), {}),
    "theirs/llama-head-dim": (llama(head_dim=20, intermediate_size=37), {}),
    "theirs/llama-sharded": (llama(num_hidden_layers=3), {"max_shard_size": "40KB"}),
    "theirs/gpt2": (gpt2(), {}),
    "theirs/gpt2-untied-relu": (gpt2(tie_word_embeddings=False, activation_function="relu"), {}),
    "theirs/gpt2-inner-gelu": (gpt2(n_inner=77, activation_function="gelu", layer_norm_epsilon=1e-6), {}),
    "theirs/gpt2-odd-width": (gpt2(n_embd=39, n_head=3, n_layer=3), {}),
    "theirs/gpt2-sharded": (gpt2(n_layer=3), {"max_shard_size": "40KB"}),
    "theirs/gpt2-base": (gpt2(n_head=1), {"base": True}),
    "theirs/mamba2-tied": (Mamba2Config(**{**MAMBA2, "tie_word_embeddings": True, "use_bias": True}), {}),
    "theirs/falcon-h1-norm": (FalconH1Config(**FALCON_H1, mamba_rms_norm=True, mamba_n_groups=2), {}),
}


def text_for_training(words=6000):
    """A text with structure to learn, several scripts and characters of one to four bytes; the same at every call."""
    choose = random.Random(11)
    vocabulary = ["the", "river", "and", "old", "mill", "was", "quiet", "It", "late", "she", "said", "никто", "ещё", "раз", "été", "où",
                  "naïve", "日本", "語", "😀", "42", "1999", "don't", "we'll", "a", "of", "light", "stone"]
    weights = [1 / (rank + 1) for rank in range(len(vocabulary))]
    pieces = []
    for _ in range(words):
        pieces.append(choose.choices(vocabulary, weights)[0] + choose.choices([" ", ", ", ".\n", "  "], [20, 3, 2, 1])[0])
    return "".join(pieces)


def byte_level_tokenizer(text, vocabulary):
    """Byte-level BPE with all 256 bytes and as many merges as the vocabulary has room for."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    assert tokenizer.get_vocab_size() == vocabulary
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@torch.no_grad()
def draw_weights(model, seed):
    """Far larger than an initialisation: every part matters, and greedy choices are not near-ties."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        weight.copy_(1 + 0.1 * noise if weight.dim() == 1 and name.endswith("weight") else 0.15 * noise)
    model.tie_weights()


@dataclasses.dataclass
class Greedy:
    prompt: str
    text: str        # with the prompt, special tokens skipped
    tokens: int      # new ones
    distinct: int    # different ones among them
    gap: float       # smallest difference of the two largest logits on the way

    def rank(self):
        """No near-tie first, then the path that visits most tokens: a loop of one token would test little."""
        return (self.gap > SMALLEST_GAP, self.distinct if self.gap > SMALLEST_GAP else self.gap)


@torch.no_grad()
def greedy(model, tokenizer, prompt):
    ids = torch.tensor([tokenizer(prompt).input_ids])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS)
    new = out[0, ids.shape[1] :]
    best = model(out, use_cache=False).logits[0, ids.shape[1] - 1 : -1].topk(2, dim=-1).values
    text = tokenizer.decode(out[0], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Greedy(prompt, text, len(new), len(new.unique()), best.diff().abs().min().item())


def best_greedy(model, tokenizer):
    return max((greedy(model, tokenizer, prompt) for prompt in PROMPTS), key=Greedy.rank)


@torch.no_grad()
def mean_nll(model, ids, context):
    """(mean NLL, ids that were predicted): windows of the context side by side, the first token of each not predicted."""
    total, predicted = 0.0, []
    for start in range(0, len(ids), context):
        window = torch.tensor([ids[start : start + context]])
        if window.shape[1] < 2:
            continue
        scores = torch.log_softmax(model(window, use_cache=False).logits[0, :-1].double(), dim=-1)
        total -= scores.gather(1, window[0, 1:, None]).sum().item()
        predicted += window[0, 1:].tolist()
    return total / len(predicted), predicted


class Disagreement(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Disagreement(message)


def isotrope(program, *arguments):
    """stdout of the program as text; a failure is a disagreement with its first line of stderr."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=300)
    said = done.stderr.decode(errors="replace").strip().splitlines()
    expect(done.returncode == 0, f"isotrope {arguments[0]} ends with {done.returncode}: {said[0] if said else 'no message'}")
    try:
        return done.stdout.decode("utf-8")
    except UnicodeDecodeError:
        raise Disagreement(f"isotrope {arguments[0]} prints invalid UTF-8") from None


def load(folder):
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    faults = {key: sorted(map(str, value)) for key, value in info.items() if value}
    expect(not faults, f"transformers does not load it cleanly: {faults}")
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def check_evaluation(program, folder, model, tokenizer, text_file):
    text = text_file.read_text(encoding="utf-8")
    nll, predicted = mean_nll(model, tokenizer(text).input_ids, CONTEXT)
    ours = json.loads(isotrope(program, "eval", folder, "--data", text_file, "--context", CONTEXT, "--dtype", "float32", "--json").splitlines()[-1])
    difference = abs(ours["nll"] - nll) / nll
    expect(ours["tokens"] == len(predicted), f"eval predicts {ours['tokens']} tokens, transformers {len(predicted)}")
    expect(difference <= NLL_TOLERANCE, f"nll {ours['nll']:.7f}, transformers {nll:.7f}: {difference:.1e} apart")
    size = sum(len(token) for token in tokenizer.convert_ids_to_tokens(predicted))  # one character a byte in the byte-level alphabet
    expect(ours["bytes"] == size, f"eval counts {ours['bytes']} bytes of predicted tokens, the tokenizer {size}")
    bits = nll * len(predicted) / (math.log(2) * size)
    expect(math.isclose(ours["bits_per_byte"], bits, rel_tol=2 * NLL_TOLERANCE), f"bits_per_byte {ours['bits_per_byte']:.6f}, expected {bits:.6f}")
    expect(math.isclose(ours["perplexity"], math.exp(nll), rel_tol=1e-4), f"perplexity {ours['perplexity']:.6f}, expected {math.exp(nll):.6f}")
    return nll, difference


def check_generation(program, folder, model, tokenizer):
    theirs = best_greedy(model, tokenizer)
    text = theirs.text
    ours = isotrope(program, "generate", folder, "--prompt", theirs.prompt, "--temperature", 0, "--max-tokens", NEW_TOKENS, "--echo", "--dtype", "float32")
    if ours not in (text, text + "\n"):
        same = len(os.path.commonprefix([ours, text]))
        raise Disagreement(f"greedy text (gap {theirs.gap:.0e}) differs at character {same}: {ours[same:same + 20]!r}, transformers {text[same:same + 20]!r}")
    return theirs


def train_ours(program, config, folder, text_file):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config.to_json_string())
    isotrope(program, *(argument.format(text=text_file, packed=folder / "packed") for argument in PACK))
    settings = folder / "train.toml"
    tokens = folder / "packed" / "train.tokens"
    settings.write_text(TRAIN_CONFIG.format(run=folder / "run", model=folder / "config.json", tokens=tokens, context=CONTEXT))
    isotrope(program, "train", settings)
    checkpoints = list((folder / "run" / "checkpoints").glob("step-*"))
    expect(checkpoints, "train leaves no checkpoints/step-*")
    return max(checkpoints, key=lambda path: int(path.name.removeprefix("step-")))


def save_theirs(config, options, folder, text):
    """A random model whose greedy path from some prompt has no near-tie, saved by transformers with its tokenizer."""
    config.vocab_size = 300
    tokenizer = byte_level_tokenizer(text, config.vocab_size)
    for seed in range(100):
        model = AutoModelForCausalLM.from_config(config).eval()
        draw_weights(model, seed)
        path = best_greedy(model, tokenizer)
        if path.gap > SMALLEST_GAP and path.distinct >= 10:
            break
    else:
        raise RuntimeError("no seed below 100 gives a greedy path without a near-tie")
    saved = model.transformer if options.get("base") else model
    saved.save_pretrained(folder, **{key: value for key, value in options.items() if key != "base"})
    tokenizer.save_pretrained(folder)
    return folder


def run_case(program, name, root, train_text, eval_text):
    folder = root / name
    if name in OURS:
        folder = train_ours(program, OURS[name], folder, train_text)
    else:
        folder = save_theirs(*THEIRS[name], folder, train_text.read_text(encoding="utf-8"))
    model, tokenizer = load(folder)
    nll, difference = check_evaluation(program, folder, model, tokenizer, eval_text)
    path = check_generation(program, folder, model, tokenizer)
    return f"nll {nll:.5f}  apart {difference:.0e}  greedy text of {path.tokens} tokens equal ({path.distinct} distinct, smallest gap {path.gap:.0e})"


def main():
    parser = argparse.ArgumentParser(description="transformers and isotrope on the same folders")
    parser.add_argument("program")
    parser.add_argument("--only", default="*", help="run the cases that match, e.g. 'theirs/gpt2*'")
    parser.add_argument("--keep", help="write the folders here and keep them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(arguments.keep or scratch).resolve()
        root.mkdir(parents=True, exist_ok=True)
        text = text_for_training()
        train_text, eval_text = root / "train.txt", root / "eval.txt"
        train_text.write_text(text, encoding="utf-8")
        eval_text.write_text(text[-1501:], encoding="utf-8")
        return cases.run({name: functools.partial(run_case, arguments.program, name, root, train_text, eval_text) for name in [*OURS, *THEIRS]},
                         arguments.only)


if __name__ == "__main__":
    sys.exit(main())
