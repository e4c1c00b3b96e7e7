#!/usr/bin/env python3
"""The ids of `isotrope tokenizer encode` against those of HF tokenizers on whole corpora: every id, zero differences.

  tokenizer_against_hf.py PROGRAM [TEXT …]   ISOTROPE_DATA names the data folder; without texts: books8, FLORES, Wikipedia XML
The vocabularies: GPT-2's as published; the same behind Llama 3's and Qwen 2's pre-tokenizers; OLMo 2's (100,278 tokens, ids over 16 bits).
Exit code 77 when the data or the package is absent, 1 for a difference.
"""
import array
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PIECE = 4_000_000  # bytes a comparison, cut at a line: HF needs 100 bytes a byte

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def with_pattern(definition, pattern):
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {**definition, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}}


def pieces(text):
    while text:
        end = len(text) if len(text) <= PIECE else text.rfind(b"\n", 0, PIECE) + 1 or len(text)
        yield text[:end]
        text = text[end:]


def npy_data(file):
    return file[10 + int.from_bytes(file[8:10], "little"):]


def compare(program, tokenizers, name, path, texts, folder):
    """How many pieces of the texts have differing ids."""
    hf = tokenizers.Tokenizer.from_file(str(path))
    wrong = tokens = size = 0
    for text in texts:
        for piece in pieces(text):
            (folder / "text").write_bytes(piece)
            subprocess.run([program, "tokenizer", "encode", path, "--file", folder / "text", "--output", folder / "ids.npy", "--format", "npy",
                            "--threads", "2", "--quiet"], check=True)
            ours = array.array("i", npy_data((folder / "ids.npy").read_bytes()))
            theirs = array.array("i", hf.encode(piece.decode()).ids)
            tokens += len(theirs)
            size += len(piece)
            if ours != theirs:
                wrong += 1
                place = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
                print(f"{name}: differs at token {place}: {hf.decode(theirs[max(0, place - 5):place + 5])!r}")
    print(f"{name}: {size} bytes, {tokens} tokens, {wrong} pieces differ", flush=True)
    return wrong


def main():
    try:
        import tokenizers
    except ImportError:
        return 77
    data = Path(os.environ.get("ISOTROPE_DATA", "/nonexistent"))
    program, given = Path(sys.argv[1]).resolve(), [Path(path) for path in sys.argv[2:]]
    if not (data / "tokenizers").is_dir():
        print("SKIPPED: ISOTROPE_DATA does not name the data folder")
        return 77
    books = given or [data / "text" / "books8.txt"]
    mixed = given or sorted((data / "flores_dev").glob("*.txt")) + sorted((data / "text" / "wiki_xml").glob("*.xml"))
    gpt2 = data / "tokenizers" / "gpt2" / "tokenizer.json"
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        definition = json.loads(gpt2.read_text(encoding="utf-8"))
        jobs = [("gpt2", gpt2, given or books + mixed)]
        for name, pattern in (("gpt2 vocabulary, llama3 pattern", LLAMA3), ("gpt2 vocabulary, qwen2 pattern", LLAMA3.replace("{1,3}", ""))):
            path = folder / f"{len(jobs)}.json"
            path.write_text(json.dumps(with_pattern(definition, pattern)), encoding="utf-8")
            jobs.append((name, path, mixed))
        jobs.append(("olmo", data / "tokenizers" / "olmo" / "allenai_dolma2.json", mixed))
        for name, path, files in jobs:
            wrong += compare(program, tokenizers, name, path, [file.read_bytes() for file in files], folder)
    print(f"{wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
