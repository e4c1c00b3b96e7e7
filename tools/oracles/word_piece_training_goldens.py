#!/usr/bin/env python3
"""tests/data/tokenizer/word_piece_training.json: the vocabularies that Hugging Face tokenizers' WordPieceTrainer finds in corpus.txt.

  word_piece_training_goldens.py FOLDER      FOLDER: tests/data/tokenizer; needs tokenizers 0.23

HF gives ids to "##x" in the order of a hash table, and they decide between pairs equally frequent. So that the oracle answers one and the same
every time, all characters and their "##x" are handed to it as special tokens, in the order of code points: then no id is left open.
"""
import json
import sys
from pathlib import Path

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def words_of(text, lowercase, strip_accents):
    normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    return [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normalizer.normalize_str(text))]


def vocabulary(text, size, lowercase, strip_accents, min_frequency, limit):
    words = words_of(text, lowercase, strip_accents)
    counts = {}
    for word in words:
        for character in word:
            counts[character] = counts.get(character, 0) + 1
    alphabet = sorted(sorted(counts, key=lambda c: (-counts[c], c))[:limit or None])
    continuing = sorted({c for word in words for c in word[1:] if c in alphabet})
    first = SPECIAL + alphabet + ["##" + c for c in continuing]
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, min_frequency=min_frequency, special_tokens=first, show_progress=False,
                                        **({"limit_alphabet": limit} if limit else {}))
    tokenizer.train_from_iterator([line + "\n" for line in text.split("\n")], trainer)
    by_id = sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda entry: entry[1])
    return " ".join(name for name, _ in by_id)


def main():
    folder = Path(sys.argv[1])
    text = (folder / "corpus.txt").read_bytes().decode()
    cases = []
    for size, lowercase, strip_accents, min_frequency, limit in [(500, True, None, 2, 1000), (900, False, None, 2, 1000), (700, True, False, 5, 0), (400, True, True, 2, 20)]:
        cases.append({"vocab_size": size, "lowercase": lowercase, "strip_accents": strip_accents, "min_frequency": min_frequency, "alphabet_limit": limit,
                      "vocabulary": vocabulary(text, size, lowercase, strip_accents, min_frequency, limit)})
        print(size, len(cases[-1]["vocabulary"].split(" ")))
    (folder / "word_piece_training.json").write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
