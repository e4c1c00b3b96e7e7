#!/usr/bin/env python3
"""Writes what another implementation makes of a text: ids, offsets and decoded text, for `isotrope tokenizer check --against`
(docs/formats/token_dump.md).

  dump_tokens.py TOKENIZER TEXT DUMP [--lines | --piece BYTES] [--no-special]

TOKENIZER is a tokenizer.json, read by Hugging Face `tokenizers`, or a SentencePiece .model, read by `sentencepiece`, which gives ids alone here. The text is
encoded piece by piece: a line each with --lines, else as many lines as fit --piece bytes (65,536). Bytes that are not UTF-8 become U+FFFD.
"""
import argparse
import hashlib
import itertools
import json
from pathlib import Path


def piece_ranges(text, lines, size):
    """Byte ranges (begin, end) that cover the text, each of whole lines."""
    begin = 0
    while begin < len(text):
        end = min(len(text), begin + (1 if lines else size))
        if end < len(text):
            line_end = text.find(b"\n", begin) if lines else text.rfind(b"\n", begin, end)
            end = line_end + 1 if line_end >= 0 else len(text) if lines else end
        while end < len(text) and text[end] & 0xC0 == 0x80:  # inside a character
            end += 1
        yield begin, end
        begin = end


class HuggingFace:
    def __init__(self, path, special):
        import tokenizers
        self.library, self.version, self.special = "tokenizers", tokenizers.__version__, special
        self.tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def records(self, texts):
        for encoding in self.tokenizer.encode_batch(texts, add_special_tokens=self.special):
            yield encoding.ids, list(itertools.chain.from_iterable(encoding.offsets))

    def decode(self, ids, skip):
        return self.tokenizer.decode(ids, skip_special_tokens=skip)


class SentencePiece:
    def __init__(self, path, special):
        import sentencepiece
        self.library, self.version = "sentencepiece", sentencepiece.__version__
        self.model = sentencepiece.SentencePieceProcessor(str(path))
        self.before = [self.model.bos_id()] if special and self.model.bos_id() >= 0 else []

    def records(self, texts):
        for text in texts:
            yield self.before + self.model.encode(text), None


def dump(tokenizer, path, text, file, lines=False, size=1 << 16, special=True):
    """Writes the records of `text` (bytes); returns how many."""
    ranges = list(piece_ranges(text, lines, size))
    header = {"format": "token_dump", "version": 1, "library": tokenizer.library, "library_version": tokenizer.version, "tokenizer": Path(path).name,
              "tokenizer_sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(), "text_sha256": hashlib.sha256(text).hexdigest(), "text_bytes": len(text),
              "add_special_tokens": special, "records": len(ranges)}

    def write(entry):
        file.write((json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n").encode())

    write(header)
    some = max(1, min(1024, (1 << 20) // size)) if not lines else 1024
    for first in range(0, len(ranges), some):
        part = ranges[first:first + some]
        texts = [text[begin:end].decode("utf-8", errors="replace") for begin, end in part]
        for (begin, end), piece, (ids, offsets) in zip(part, texts, tokenizer.records(texts)):
            entry = {"bytes": [begin, end], "ids": ids}
            if offsets is not None:
                entry["offsets"] = offsets
            if hasattr(tokenizer, "decode"):
                for key, skip in (("decoded", False), ("skipped", True)):
                    decoded = tokenizer.decode(ids, skip)
                    entry[key] = True if decoded == piece else decoded
            write(entry)
    return len(ranges)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("dump", type=Path)
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("--piece", type=int, default=1 << 16, metavar="BYTES")
    parser.add_argument("--no-special", action="store_true", help="nothing is added around the texts")
    arguments = parser.parse_args()
    kind = HuggingFace if arguments.tokenizer.suffix == ".json" else SentencePiece
    with arguments.dump.open("wb") as file:
        records = dump(kind(arguments.tokenizer, not arguments.no_special), arguments.tokenizer, arguments.text.read_bytes(), file, arguments.lines, arguments.piece,
                       not arguments.no_special)
    print(f"{arguments.dump}: {records} records")


if __name__ == "__main__":
    main()
