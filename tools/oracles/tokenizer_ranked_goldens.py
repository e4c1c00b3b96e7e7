#!/usr/bin/env python3
"""Goldens of vocabularies that are lists of byte strings: tiktoken's, with `tiktoken` as the oracle, and RWKV's, with the reference of a few lines in
tests/python/tokenizer_vocabularies.py. Writes tests/data/tokenizer/ranked.json, the small vocabularies in it.

Usage: python tools/oracles/tokenizer_ranked_goldens.py, after tokenizer_goldens.py, whose merges make the tokens.
"""
import base64
import json
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/python"))

from tokenizer_components_goldens import TEXTS  # noqa: E402
from tokenizer_goldens import FOLDER, texts, write  # noqa: E402
from tokenizer_vocabularies import Rwkv, Tiktoken  # noqa: E402
from transformers.convert_slow_tokenizer import bytes_to_unicode  # noqa: E402


def samples():
    rng = random.Random(23)
    parts = "the in ing aa aaa abab b  \n \n\n  ' s 'LL 'ſ XML XMLHttp É\u0301 \u0301 \u0301A ǅa 1 12 1234 / // ./ é 川 ▁ <|endoftext|> <|fim_prefix|>".split(" ") + [" ", "\t"]
    mixed = ["".join(rng.choice(parts) for _ in range(40)) for _ in range(20)]
    return [*TEXTS.values(), *(text for name, text in texts().items() if not name.startswith("mixed")), *mixed, "ends in white space \n  ", "!\n\n \t", "\n \n "]


def main():
    base = json.loads((FOLDER / "gpt2.tokenizer.json").read_text(encoding="utf-8"))
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    tokens = [bytes([byte]) for byte in range(256)]
    # Tokens that more than one cut gives, and one that no merge reaches, besides those of the merges.
    for token in [*("".join(merge) for merge in base["model"]["merges"]), "aa", "aaa", "ab", "ba", "aba", "abab", "Ġriver", "!!!!", "zebra"]:
        encoded = bytes(byte_of[character] for character in token)
        if encoded not in tokens:
            tokens.append(encoded)
    ranks = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    lines = "".join(f"{number + 1} {as_python(token)} {len(token)}\n" for number, token in enumerate(tokens))
    result = {"made_by": "tools/oracles/tokenizer_ranked_goldens.py", "texts": samples(), "tiktoken": ranks, "rwkv_vocabulary": lines}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("gpt2", "r50k_base", "p50k_edit", "cl100k_base", "o200k_base"):
            path = Path(folder) / f"{name}.tiktoken"
            path.write_text(ranks)
            if name == "gpt2":  # whose ranks tiktoken reads from other files
                continue
            oracle = Tiktoken(path)
            result["made_by"] += f", tiktoken {oracle.version}" * (name == "r50k_base")
            result[name] = [[ids, oracle.decode(ids, False)] for ids, _ in oracle.records(result["texts"])]
        path = Path(folder) / "rwkv_vocab.txt"
        path.write_text(lines, encoding="utf-8")
        result["rwkv"] = [[ids, Rwkv(path).decode(ids, False)] for ids, _ in Rwkv(path).records(result["texts"])]
    write("ranked.json", result)


def as_python(token):
    """As RWKV's file spells it: characters where it is UTF-8."""
    try:
        return repr(token.decode())
    except UnicodeDecodeError:
        return repr(token)


if __name__ == "__main__":
    main()
