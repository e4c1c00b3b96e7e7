#!/usr/bin/env python3
"""SentencePiece models and Unigram tokenizers against `sentencepiece` and HF tokenizers on whole corpora: zero differences.

  sentencepiece_against_peers.py PROGRAM [--sample] [--worker WORKER] [--folder FOLDER] [MODEL …]

Models are trained by `sentencepiece` on books8, FLORES and Russian classics, with every normalization rule, bytes and without, unigram and BPE
(kept in FOLDER; MODEL: .model files besides). Of each: the ids and texts of `isotrope tokenizer` for the .model against sentencepiece's; for the
tokenizer.json that transformers makes of it against HF's; and how often HF's ids of the tokenizer.json that Isotrope saves differ from
sentencepiece's, which clusters and double precision explain. Texts: books8 (20 MB for sentencepiece, 4 MB for HF), Russian classics, FLORES,
Wikipedia XML, and with WORKER (bench/tokenizer_worker) 10^6 random lines, each by itself.
--sample: two small models on 300 kB, for CTest. Exit code 77 when data or packages are absent, 1 for a difference.
"""
import argparse
import array
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

PIECE = 2_000_000


def trained(folder, data, sample):
    """Paths of the models, made when they are not there."""
    import sentencepiece
    books, russian = folder / "books.txt", data / "text" / "russian_classics.txt"
    flores = folder / "flores.txt"
    if not books.exists():
        books.write_text((data / "text" / "books8.txt").read_bytes()[:2_000_000 if sample else 20_000_000].decode(errors="ignore"))
    if not flores.exists():
        flores.write_bytes(b"".join(path.read_bytes() for path in sorted((data / "flores_dev").glob("*.txt"))))
    wanted = {"en8k": dict(input=books, vocab_size=8000),
              "bpe8k_nfkc": dict(input=books, vocab_size=8000, model_type="bpe", normalization_rule_name="nfkc", byte_fallback=True)}
    # Rules of one's own: spaces go, as one does for Chinese, and a pair becomes text that ends in a mark.
    (folder / "spaceless.tsv").write_text("20\t\n")
    (folder / "marked.tsv").write_text("71 78\t78 2581\n")
    own = {"spaceless1k": dict(input=books, vocab_size=1000, normalization_rule_tsv=str(folder / "spaceless.tsv"), input_sentence_size=500),
           "marked1k": dict(input=books, vocab_size=1000, model_type="bpe", normalization_rule_tsv=str(folder / "marked.tsv"), remove_extra_whitespaces=False,
                            allow_whitespace_only_pieces=True)}
    if sample:
        wanted = {"en1k": dict(input=books, vocab_size=1000, model_type="unigram"), "bpe1k": dict(input=books, vocab_size=1000, model_type="bpe"), **own}
    else:
        wanted |= {
            "flores32k": dict(input=flores, vocab_size=32000, character_coverage=0.9995),
            "flores16k_bf_id": dict(input=flores, vocab_size=16000, character_coverage=0.98, byte_fallback=True, normalization_rule_name="identity",
                                    remove_extra_whitespaces=False),
            "ru16k_cf": dict(input=russian, vocab_size=16000, normalization_rule_name="nmt_nfkc_cf", user_defined_symbols=["<sep>", "о", "▁да", "ПЬ"]),
            "en8k_suffix": dict(input=books, vocab_size=8000, treat_whitespace_as_suffix=True),
            "en8k_ws": dict(input=books, vocab_size=8000, allow_whitespace_only_pieces=True, remove_extra_whitespaces=False, normalization_rule_name="nfkc_cf",
                            split_by_whitespace=False),
            "bpe16k_flores": dict(input=flores, vocab_size=16000, model_type="bpe", character_coverage=0.999, user_defined_symbols=["<sep>", "qu"]),
            "bpe8k_nodummy": dict(input=books, vocab_size=8000, model_type="bpe", add_dummy_prefix=False, normalization_rule_name="nmt_nfkc"),
            **own,
        }
    for name, options in wanted.items():
        path = folder / f"{name}.model"
        if not path.exists():
            options = {"model_type": "unigram", "input_sentence_size": 60000, **options, "input": str(options["input"])}
            sentencepiece.SentencePieceTrainer.train(model_prefix=str(folder / name), num_threads=1, minloglevel=2, shuffle_input_sentence=True,
                                                     max_sentence_length=20000, **options)
    return [folder / f"{name}.model" for name in wanted]


def random_lines(count, seed=1):
    """Lines of what normalization finds hard: marks in any order, joiners, controls, white space, code points of all planes."""
    rng = random.Random(seed)
    parts = ["a", "Z", "river", "0", "123", "  ", " ", "\t", "'s", " the", ".", "-", "\x01", "\x7f", "é", "É", "Жи", "中", "\u0301", "\u0323", "\u302e", "\U0001d165",
             "\u0345", "क्षि", "한국", "각", "\u1100", "\u1161", "\u11a8", "\u00a0", "\u3000", "\u200d", "\u200b", "\ufffd", "😀", "👩\u200d👩", "🇦🇧", "İ", "ſ", "ß", "Σ", "▁", " ▁", "\ue000",
             "ﬁ", "½", "\r", "\u0600", "\u0e33", "か\u3099", "①", "ａ", "<s>", "<unk>", "<sep>", "<0x41>", "qu", "о", "\u2028", "\u0085", "…", "ﷺ", "\u0958\u0301", "\u1aeb", "\u1adf", "qx", "foo"]

    def character():
        kind = rng.randrange(8)
        if kind > 2:
            return rng.choice(parts)
        code_point = rng.randrange(0x110000 - 0x800) if kind == 0 else rng.randrange(0x3000) if kind == 1 else 0x300 + rng.randrange(0x70)
        return chr(code_point + 0x800 * (code_point >= 0xD800)).replace("\n", " ").replace("\0", "")

    return ["".join(character() for _ in range(rng.randrange(1, 24))) for _ in range(count)]


def pieces(text):
    while text:
        end = len(text) if len(text) <= PIECE else text.rfind(b"\n", 0, PIECE) + 1 or len(text)
        yield text[:end]
        text = text[end:]


def as_transformers_has_it(model, tokenizers):
    """The tokenizer.json that transformers converts a unigram model to."""
    from sentencepiece import sentencepiece_model_pb2 as proto
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    description = proto.ModelProto()
    description.ParseFromString(model.serialized_model_proto())
    vocabulary = [(piece.piece, piece.score) for piece in description.pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, model.unk_id(), description.trainer_spec.byte_fallback))
    charsmap = description.normalizer_spec.precompiled_charsmap
    tokenizer.normalizer = normalizers.Sequence(([normalizers.Precompiled(charsmap)] if charsmap else []) + [normalizers.Replace(Regex(" {2,}"), "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


class Comparison:
    def __init__(self, program, worker, folder):
        self.program, self.worker, self.folder, self.wrong = program, worker, folder, 0

    def ours(self, path, text):
        (self.folder / "text").write_bytes(text)
        subprocess.run([self.program, "tokenizer", "encode", path, "--file", self.folder / "text", "--output", self.folder / "ids.npy", "--format", "npy",
                        "--no-special", "--quiet"], check=True)
        file = (self.folder / "ids.npy").read_bytes()
        return array.array("i", file[10 + int.from_bytes(file[8:10], "little"):])

    def our_text(self, path):
        """Of the ids of the last call, special tokens left out."""
        return subprocess.run([self.program, "tokenizer", "decode", path, "--file", self.folder / "ids.npy", "--skip-special"], check=True,
                              capture_output=True).stdout.decode()

    def our_lines(self, path, lines):
        (self.folder / "lines").write_text("".join(line + "\n" for line in lines), newline="")
        process = subprocess.run([self.worker, path], input=f"lines {self.folder / 'lines'} {self.folder / 'out'}\n", text=True, check=True, capture_output=True)
        assert process.stdout
        ids, result = [], []
        for number in array.array("i", (self.folder / "out").read_bytes()):
            if number < 0:
                result.append(ids)
                ids = []
            else:
                ids.append(number)
        assert len(result) == len(lines)
        return result

    def report(self, name, what, size, tokens, wrong):
        self.wrong += wrong
        print(f"{name}: {what}: {size} bytes, {tokens} tokens, {wrong} differ", flush=True)

    def texts(self, name, path, texts, what, theirs, decode):
        wrong = tokens = size = 0
        for text in texts:
            for piece in pieces(text):
                ids = self.ours(path, piece)
                expected = array.array("i", theirs(piece.decode()))
                tokens += len(expected)
                size += len(piece)
                if ids != expected:
                    wrong += 1
                    place = next((i for i, (a, b) in enumerate(zip(ids, expected)) if a != b), min(len(ids), len(expected)))
                    print(f"{name}: {what}: token {place}: {ids[place - 3:place + 4].tolist()} and not {expected[place - 3:place + 4].tolist()}")
                elif decode and self.our_text(path) != decode(list(expected)):
                    wrong += 1
                    print(f"{name}: {what}: the text differs")
        self.report(name, what, size, tokens, wrong)

    def lines(self, name, path, lines, what, theirs):
        if not self.worker:
            return
        wrong = tokens = size = 0
        for start in range(0, len(lines), 50_000):
            some = lines[start:start + 50_000]
            for line, ids, expected in zip(some, self.our_lines(path, some), theirs(some)):
                tokens += len(expected)
                size += len(line.encode())
                if ids != expected:
                    wrong += 1
                    if wrong < 6:
                        print(f"{name}: {what}: {line!a}: {ids} and not {expected}")
        self.report(name, what, size, tokens, wrong)


def plain(text):
    """Without the written forms of control tokens: HF finds them everywhere."""
    for token in (b"<s>", b"</s>", b"<unk>", b"<pad>"):
        text = text.replace(token, b"")
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--sample", action="store_true")
    parser.add_argument("--worker", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    try:
        import sentencepiece
        import tokenizers
    except ImportError:
        print("SKIPPED: sentencepiece or tokenizers is not installed")
        return 77
    data = Path(os.environ.get("ISOTROPE_DATA", "/nonexistent"))
    if not (data / "text").is_dir():
        print("SKIPPED: ISOTROPE_DATA does not name the data folder")
        return 77
    sample = arguments.sample
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = trained(arguments.folder or folder, data, sample) + arguments.models
        files = [data / "text" / "books8.txt", data / "text" / "russian_classics.txt", *sorted((data / "text" / "wiki_xml").glob("*.xml"))]
        texts = [file.read_bytes()[:100_000 if sample else 20_000_000].decode(errors="ignore").encode() for file in files[:2 if sample else None]]
        texts.append(b"".join(path.read_bytes()[:2_000 if sample else None] for path in sorted((data / "flores_dev").glob("*.txt"))).decode(errors="ignore").encode())
        lines = random_lines(2_000 if sample else arguments.lines)
        texts.append("\n".join(lines[:20_000]).encode())
        compare = Comparison(arguments.program.resolve(), arguments.worker and arguments.worker.resolve(), folder)
        for path in paths:
            if arguments.only not in path.name:
                continue
            model = sentencepiece.SentencePieceProcessor(str(path))
            name = path.stem
            compare.texts(name, path, texts, "against sentencepiece", model.encode, model.decode)
            compare.lines(name, path, lines, "random lines against sentencepiece", model.encode)
            saved = folder / "saved"
            (folder / "one.txt").write_text("a")
            subprocess.run([compare.program, "data", "pack", folder / "one.txt", "--tokenizer", path, "-o", saved, "--no-eos", "--restart", "--quiet"], check=True,
                           stdout=subprocess.DEVNULL)
            hf = tokenizers.Tokenizer.from_file(str(saved / "tokenizer.json"))
            hf.no_truncation()
            some = [plain(line.encode()).decode() for line in lines[:20_000]]
            differ = sum(a.ids != b for a, b in zip(hf.encode_batch(some, add_special_tokens=False), model.encode(some)))
            sentences = [plain(line).decode() for text in texts[:-1] for line in text[:1_000_000].splitlines()]
            sentences = [line for line in sentences if line][:20_000]
            apart = sum(a.ids != b for a, b in zip(hf.encode_batch(sentences, add_special_tokens=False), model.encode(sentences)))
            print(f"{name}: HF on the saved tokenizer.json differs from sentencepiece in {apart} of {len(sentences)} lines and {differ} of {len(some)} random lines",
                  flush=True)
            if json.loads((saved / "tokenizer.json").read_text())["model"]["type"] != "Unigram":
                continue
            hf = as_transformers_has_it(model, tokenizers)
            (folder / "hf.json").write_text(hf.to_str())
            limit = 4_000_000
            compare.texts(name, folder / "hf.json", [text[:limit].decode(errors="ignore").encode() for text in texts], "tokenizer.json against HF",
                          lambda text: hf.encode(text, add_special_tokens=False).ids, lambda ids: hf.decode(ids))
            compare.lines(name, folder / "hf.json", lines, "random lines against HF", lambda some: [e.ids for e in hf.encode_batch(some)])
    print(f"{compare.wrong} differences")
    return 1 if compare.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
