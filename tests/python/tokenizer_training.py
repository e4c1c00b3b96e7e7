#!/usr/bin/env python3
"""What `isotrope tokenizer train` learns, in the hands of HF: the same vocabulary as its trainers, loaded by it, the same ids.

  tokenizer_training.py PROGRAM      learns from the first half of tests/data/tokenizer/corpus.txt, and where ISOTROPE_DATA names the data folder from
                                     English, Russian and mixed text; encodes what was held out
For WordPiece HF's trainer leaves the ids of "##x" to a hash table, and with them who comes first of pairs equally frequent. It is therefore asked twice: with
the alphabet handed to it in the order of code points, which must give our vocabulary id by id; and as anyone would ask it, where only tokens at the
lowest counts may differ, whose number is printed. Exit code 77 without `tokenizers`, 1 for a difference.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, trainers
except ImportError:
    sys.exit(77)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
wrong = 0


def check(condition, what):
    global wrong
    print(("equal: " if condition else "DIFFERS: ") + what, flush=True)
    wrong += not condition


def lines_of(text):
    """Lines with their line feeds, as HF's train(files) and ours read them."""
    return [line + "\n" for line in text.split("\n")[:-1]] + [text.split("\n")[-1]] * (not text.endswith("\n"))


def run(program, *arguments):
    subprocess.run([program, "tokenizer", *map(str, arguments), "--quiet"], check=True, stdout=subprocess.DEVNULL)


def our_ids(program, folder, file):
    ids = subprocess.run([program, "tokenizer", "encode", folder, "--file", file], check=True, capture_output=True, text=True).stdout
    return [int(x) for x in ids.split()]


def word_piece_of(text, size, lowercase, first, lines):
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=size, min_frequency=2, limit_alphabet=1000, special_tokens=first,
                                                                   show_progress=False))
    return [name for name, _ in sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda entry: entry[1])]


def alphabet_of(lines, lowercase):
    """All characters and "##x" in the order of code points, as ours gives them ids."""
    normalizer, splitter = normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer()
    counts, continuing = {}, set()
    for line in lines:
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(line)):
            continuing.update(word[1:])
            for character in word:
                counts[character] = counts.get(character, 0) + 1
    kept = sorted(sorted(counts, key=lambda c: (-counts[c], c))[:1000])
    return kept + ["##" + c for c in kept if c in continuing]


def compare_word_piece(program, name, text, held_out, size, lowercase, folder):
    (folder / "text").write_text(text, encoding="utf-8", newline="")
    (folder / "held-out").write_text(held_out, encoding="utf-8", newline="")
    ours = folder / f"{name}-{lowercase}"
    run(program, "train", "--model", "wordpiece", "--file", folder / "text", "--vocab-size", size, *([] if lowercase else ["--keep-case"]), "-o", ours)
    definition = json.loads((ours / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = sorted(definition["model"]["vocab"], key=definition["model"]["vocab"].get)
    lines = lines_of(text)
    what = f"{name}, {'lowercase' if lowercase else 'cased'}, WordPiece of {len(vocabulary)}"
    check(vocabulary == word_piece_of(text, size, lowercase, SPECIAL + alphabet_of(lines, lowercase), lines), f"{what}: HF's vocabulary, id by id")
    free = set(word_piece_of(text, size, lowercase, SPECIAL, lines))
    print(f"       {len(free ^ set(vocabulary))} tokens are others where HF's hash table decides between equals", flush=True)
    check((ours / "vocab.txt").read_text(encoding="utf-8").splitlines() == vocabulary, f"{what}: vocab.txt")
    hf = tokenizers.Tokenizer.from_file(str(ours / "tokenizer.json"))
    ids = our_ids(program, ours, folder / "held-out")
    check(ids == hf.encode(held_out).ids, f"{what}: {len(ids)} ids of held-out text by tokenizers")
    try:
        from transformers import AutoTokenizer, BertTokenizerFast
    except ImportError:
        print("SKIPPED: transformers is not installed")
        return
    os.environ["HF_HUB_OFFLINE"] = "1"
    for loaded in (AutoTokenizer.from_pretrained(ours), BertTokenizerFast.from_pretrained(ours)):
        check(loaded(held_out, truncation=False)["input_ids"] == ids, f"{what}: the same by transformers' {type(loaded).__name__}")
        check((loaded.pad_token_id, loaded.unk_token_id, loaded.cls_token_id, loaded.sep_token_id, loaded.mask_token_id) == (0, 1, 2, 3, 4),
              f"{what}: special tokens")


def compare_bpe(program, name, text, held_out, size, pattern, longest, folder):
    (folder / "text").write_text(text, encoding="utf-8", newline="")
    (folder / "held-out").write_text(held_out, encoding="utf-8", newline="")
    ours = folder / f"{name}-{pattern}-{longest}"
    run(program, "train", "--file", folder / "text", "--vocab-size", size, "--pattern", pattern, "--max-token-length", longest, "-o", ours)
    definition = json.loads((ours / "tokenizer.json").read_text(encoding="utf-8"))
    hf = tokenizers.Tokenizer(models.BPE())
    hf.pre_tokenizer = tokenizers.Tokenizer.from_file(str(ours / "tokenizer.json")).pre_tokenizer
    limit = {"max_token_length": longest} if longest else {}
    hf.train_from_iterator(lines_of(text), trainers.BpeTrainer(vocab_size=size, min_frequency=2, special_tokens=["<|endoftext|>"], show_progress=False,
                                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **limit))
    theirs = json.loads(hf.to_str())["model"]
    what = f"{name}, BPE of {size}, {pattern}" + (f", tokens under {longest}" if longest else "")
    check([tuple(m) for m in definition["model"]["merges"]] == [tuple(m) for m in theirs["merges"]], f"{what}: HF's merges")
    ids = our_ids(program, ours, folder / "held-out")
    check(ids == tokenizers.Tokenizer.from_file(str(ours / "tokenizer.json")).encode(held_out).ids, f"{what}: {len(ids)} ids of held-out text")


def main():
    program = Path(sys.argv[1]).resolve()
    corpus = (Path(__file__).parents[1] / "data" / "tokenizer" / "corpus.txt").read_text(encoding="utf-8")
    middle = corpus.index("\n", len(corpus) // 2) + 1
    texts = {"corpus": (corpus[:middle], corpus[middle:], 600)}
    data = Path(os.environ.get("ISOTROPE_DATA", "/nonexistent"))
    if (data / "text").is_dir():
        def read(path, size):
            return (data / path).read_bytes()[:size].decode("utf-8", "ignore").replace("\r", "")

        english, russian = read("text/books8.txt", 3_000_000), read("text/russian_classics.txt", 3_000_000)
        mixed = "".join(path.read_text(encoding="utf-8") for path in sorted((data / "flores_dev").glob("*.txt"))[::4])[:1_500_000]
        for name, text in (("english", english), ("russian", russian), ("flores", mixed)):
            cut = text.index("\n", len(text) * 4 // 5) + 1
            texts[name] = (text[:cut], text[cut:], 6000)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, (text, held_out, size) in texts.items():
            for lowercase in (True, False):
                compare_word_piece(program, name, text, held_out, size, lowercase, folder)
            for pattern, longest in (("gpt2", 0), ("llama3", 0), ("qwen2", 0), ("gpt2", 6)):
                compare_bpe(program, name, text, held_out, size, pattern, longest, folder)
    print(f"{wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
