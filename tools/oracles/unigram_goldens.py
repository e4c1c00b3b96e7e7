#!/usr/bin/env python3
"""Goldens of SentencePiece models and of tokenizer.json's Unigram, with `sentencepiece` and Hugging Face `tokenizers` as the oracles. Writes
tests/data/tokenizer/{unigram,unigram_bytes,unigram_suffix,bpe_mapped,bpe_tied}.model, unigram.tokenizer.json and unigram.json.

Usage: python tools/oracles/unigram_goldens.py, after tokenizer_goldens.py, whose corpus it learns from. Models that are there already are kept.
"""
import base64
import io
import json
import random
import struct
import tempfile

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizer_goldens import FOLDER, patched, texts, write
from tokenizer_kinds_goldens import more_texts
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

MADE_BY = f"tools/oracles/unigram_goldens.py, tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}"
# A small map of our own, with everything a map can do: longer and shorter, to spaces, to nothing, of several characters, with marks.
RULES = {"ﬁ": "fi", "①": "1", "\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\u200b": "", "\u00ad": "", "e\u0301": "é", "i\u0308": "ï",
         "É": "é", "Ａ": "A", "½": "1/2", "…": "...", "\u0435\u0308": "ё", "\u00a8": " \u0308", "か\u3099": "が", "\u1100\u1161": "가", "``": '"', "ab": "b a"}


def map_file(folder):
    path = f"{folder}/rules.tsv"
    with open(path, "w", encoding="utf-8") as file:
        for key, value in RULES.items():
            file.write(" ".join(f"{ord(c):X}" for c in key) + "\t" + " ".join(f"{ord(c):X}" for c in value) + "\n")
    return path


def train(name, folder, **options):
    path = FOLDER / f"{name}.model"
    if not path.exists():
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(input=str(FOLDER / "corpus.txt"), model_writer=written, num_threads=1, minloglevel=2, **options)
        description = proto.ModelProto()
        description.ParseFromString(written.getvalue())
        description.trainer_spec.ClearField("input")  # paths of the machine at hand
        description.normalizer_spec.ClearField("normalization_rule_tsv")
        path.write_bytes(description.SerializeToString())
    return sentencepiece.SentencePieceProcessor(str(path))


def change(name, model, edit):
    """A model with some of its pieces changed, which no trainer makes."""
    path = FOLDER / f"{name}.model"
    description = proto.ModelProto()
    description.ParseFromString(model.serialized_model_proto())
    edit(description)
    path.write_bytes(description.SerializeToString())
    return sentencepiece.SentencePieceProcessor(str(path))


def samples():
    rng = random.Random(5)
    parts = ["the", " ", "  ", "river", "opens", "▁", "▁▁", "e\u0301", "É", "ﬁ", "\u00a0", "\u200b", "\t", "\n", "½", "川", "か\u3099", "\u0301", "\u200d", "ab",
             "``", "<sep>", "<s>", "<unk>", "<0x41>", "Ａ", "\u1100\u1161\u11a8", "각", "😀", "ing", "a", "b", "qu", ".", ",", "i\u0308", "\u00a8", "\r\n", "क्षि", "ё"]
    mixed = {f"parts {i}": "".join(rng.choice(parts) for _ in range(rng.randrange(1, 30))) for i in range(60)}
    ends = {f"end {i}": text for i, text in enumerate(["", " ", "   ", "▁", " ▁ ", "a", " a", "a ", "  a  b  ", "\u200b", "\u00a0\u00a0x\u00a0", "a▁", "▁a", "x" * 300,
                                                       "the river " * 40, "川" * 100])}
    return {name: text for name, text in {**texts(), **more_texts(), **mixed, **ends}.items() if len(text) <= 300}


def cases(model):
    result = []
    for name, text in samples().items():
        ids = model.encode(text)
        result.append({"name": name, "ids": ids, "decoded": model.decode(ids)})
    return result


def decodes(model):
    rng = random.Random(6)
    size = model.get_piece_size()
    lists = [[rng.randrange(size) for _ in range(rng.randrange(1, 9))] for _ in range(60)]
    return [{"ids": ids, "decoded": model.decode(ids)} for ids in lists]


def sentencepiece_models(folder):
    rules = map_file(folder)
    unigram = train("unigram", folder, vocab_size=300, model_type="unigram", normalization_rule_tsv=rules, character_coverage=0.99,
                    user_defined_symbols=["<sep>", "qu", "▁of▁"], pad_id=3)
    several = {
        "unigram": unigram,
        "unigram_bytes": train("unigram_bytes", folder, vocab_size=560, model_type="unigram", normalization_rule_name="identity", remove_extra_whitespaces=False,
                               byte_fallback=True, character_coverage=0.98, allow_whitespace_only_pieces=True, split_by_whitespace=False),
        "unigram_suffix": train("unigram_suffix", folder, vocab_size=260, model_type="unigram", treat_whitespace_as_suffix=True, normalization_rule_tsv=rules),
        "bpe_mapped": train("bpe_mapped", folder, vocab_size=300, model_type="bpe", normalization_rule_tsv=rules, character_coverage=0.99,
                            user_defined_symbols=["<sep>", "qu"]),
    }

    def tie(description):
        for piece in description.pieces:
            if piece.type == proto.ModelProto.SentencePiece.NORMAL:
                piece.score = round(piece.score / 20)
        unused = [p for p in description.pieces if p.piece in ("th", "in", "er")]
        for piece in unused:
            piece.type = proto.ModelProto.SentencePiece.UNUSED

    several["bpe_tied"] = change("bpe_tied", several["bpe_mapped"], tie)

    def tie_scores(description):
        for piece in description.pieces:
            piece.score = round(piece.score * 2) / 2
            if piece.piece in ("▁the", "s", "▁r"):
                piece.type = proto.ModelProto.SentencePiece.UNUSED

    several["unigram_tied"] = change("unigram_tied", unigram, tie_scores)
    return several


def hf_cases(tokenizer, names=None):
    """names: beginnings of those that are asked about, without their offsets; otherwise all."""
    result = []
    for name, text in samples().items():
        if names and not name.startswith(names):
            continue
        encoding = tokenizer.encode(text)
        result.append({"name": name, "ids": encoding.ids, "decoded": tokenizer.decode(encoding.ids, skip_special_tokens=False)})
        if not names:
            result[-1]["offsets"] = encoding.offsets
    return result


def charsmap_of(model):
    description = proto.ModelProto()
    description.ParseFromString(model.serialized_model_proto())
    return description.normalizer_spec.precompiled_charsmap


def unigram_json(model):
    """The model as transformers converts it: Precompiled by grapheme clusters, spaces stripped and joined, Metaspace."""
    vocabulary = [(model.id_to_piece(i), model.get_score(i)) for i in range(model.get_piece_size())]
    tokenizer = Tokenizer(models.Unigram(vocabulary, model.unk_id(), False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap_of(model)), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    base = json.loads(tokenizer.to_str())
    write("unigram.tokenizer.json", base)

    def variant(name, patch):
        description = patched(base, patch)
        return {"name": name, "patch": patch, "texts": hf_cases(Tokenizer.from_str(json.dumps(description)), ("parts 1", "parts 2", "end", "marks", "spellings"))}

    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    map_step = base["normalizer"]["normalizers"][0]
    fallback = [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]
    long_scores = [[piece, score * 1.1234567890123] for piece, score in base["model"]["vocab"]]
    variants = [
        variant("metaspace whole", {"pre_tokenizer/split": False}),
        variant("metaspace never", {"pre_tokenizer/prepend_scheme": "never"}),
        variant("one word", {"pre_tokenizer": None, "normalizer": {"type": "Sequence", "normalizers": [map_step, {"type": "Prepend", "prepend": "▁"}, replace]}}),
        variant("one word, no map", {"pre_tokenizer": None, "normalizer": replace}),
        variant("one word, long scores", {"pre_tokenizer": None, "normalizer": replace, "model/vocab": long_scores}),
        variant("long scores", {"model/vocab": long_scores}),
        variant("spaces apart first", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, base["pre_tokenizer"]]}}),
        variant("albert", {"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "``"}, "content": '"'}, {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, map_step,
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]}}),
        variant("bytes", {"model/vocab": base["model"]["vocab"] + fallback, "model/byte_fallback": True}),
        variant("some bytes", {"model/vocab": base["model"]["vocab"] + fallback[:0xE0], "model/byte_fallback": True}),
        variant("a piece of unknown characters", {"model/vocab": base["model"]["vocab"] + [["川川", -99.0], ["川川川", -500.0]]}),
        variant("twice", {"model/vocab": base["model"]["vocab"] + [["▁the", -1.0], ["e", -20.0]]}),
        variant("map alone", {"normalizer": map_step}),
    ]
    return {"texts": hf_cases(tokenizer), "variants": variants}


def graphemes():
    """What the normalizer Precompiled makes of clusters, with a map that turns every character but LF into x: pairs and triples of one code point of
    each kind that boundaries know."""
    kinds = ["a", "é", "\r", "\n", "\x01", "\u0301", "\u0ccb", "\u200d", "🇦", "\u0600", "\u0903", "\u1100", "\u1161", "\u11a8", "가", "각", "©", "🌀", "क", "\u094d", "\u0d4e", "\u1b05",
             "\u1b44", "\u200c", "\u0e33", "ä", "\u00ad", "\U000e0001"]
    keys = {bytes([byte]): "x" for byte in range(1, 256) if byte != 10}
    blob = charsmap(keys)
    normalizer = normalizers.Precompiled(blob)
    lines = [a + b + c for a in kinds for b in kinds for c in kinds]
    return {"charsmap": base64.b64encode(blob).decode(), "kinds": kinds, "made": [len(normalizer.normalize_str(line)) for line in lines]}


def charsmap(rules):
    """A blob of keys that are single bytes: a double array of one level."""
    body, places = b"", {}
    for value in sorted(set(rules.values())):
        places[value] = len(body)
        body += value.encode() + b"\0"
    # Unit 0 leads to the block at 256; each byte's own child, a leaf, lies in the block at 512, whose offsets are all different.
    units = [1 << 31] * 1024
    units[0] = 256 << 10
    for key, value in rules.items():
        byte = key[0]
        child, leaf = 256 ^ byte, 512 ^ byte
        units[child] = byte | 1 << 8 | (child ^ leaf) << 10
        units[leaf] = 1 << 31 | places[value]
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + body


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        made = sentencepiece_models(temporary)
        write("unigram.json", {"made_by": MADE_BY, "samples": samples(),
                               "sentencepiece": {name: {"texts": cases(model), "decodes": decodes(model)} for name, model in made.items()},
                               "tokenizers": unigram_json(made["unigram"]), "graphemes": graphemes()})
