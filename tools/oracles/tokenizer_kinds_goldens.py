#!/usr/bin/env python3
"""Goldens of the tokenizers that are not byte-level, with Hugging Face `tokenizers` as the oracle: WordPiece, and BPE over characters with
byte fallback. `sentencepiece` is the oracle of vocabularies whose merges go by score. Writes tests/data/tokenizer/{word_piece,byte_fallback}
.tokenizer.json, {word_piece,byte_fallback,pairs,scored}.json, scored.model and the same as llama2.c stores it, scored.tokenizer.bin.

Usage: python tools/oracles/tokenizer_kinds_goldens.py, after tokenizer_goldens.py, whose corpus it learns from. The oracle's trainers break ties
by chance, so vocabularies that are there already are kept.
"""
import json
import random
import struct

import sentencepiece
import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizer_goldens import FOLDER, patched, texts, write

MADE_BY = f"tools/oracles/tokenizer_kinds_goldens.py, tokenizers {tokenizers.__version__}"
BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def more_texts():
    return {
        "cleaning": "a\u0000b\u0001c\ufffdd\u200de\u00ad f\u2028g\u0085h\u3000i\ue000j\u00a0k\tl\nm",
        "orders of marks": "a\u302e\U0001d165\u0323b a\u0323\u0001\u0301\u302e e\u0327\u0301\u0323 \u0301x \u0f71\u0f72\u0f74 \u0344",
        "hangul": "각 한국어 \u1100\u1161\u11a8 가\u11a8 \uac01\u11a8",
        "lowercase": "İstanbul ǅungla ΣΑΣ ẞ ﬁﬂ ÀÉÎÕÜ Ⅷ Ⓐ 𐐀 Ა Ꭰ",
        "ideographs": "中文abc日本㐀豈𠀀は カ 한",
        "cleanup": "don ' t do not . can 't we 've , they 're ! I 'm ? it 's n't",
        "a word too long": "a" * 100 + " " + "a" * 101 + " " + "é" * 100,
        "brackets": "[CLS] the river[SEP] [mask] [MASK]. [unk]##river",
        "spellings": "▁the river▁▁ <0x41> <s>x</s> ▁ <unk> a<0xE6>b",
        "broken bytes": "\u0700 \U000a0000 𠀀𠀁",
    }


def cases_of(tokenizer, names=None):
    result = []
    for name, text in {**texts(), **more_texts()}.items():
        if names and name not in names:
            continue
        ids = tokenizer.encode(text).ids
        result.append({"name": name, "text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                       "skipped": tokenizer.decode(ids, skip_special_tokens=True)})
    return result


def variant(base, name, patch):
    """The oracle's ids when some members of tokenizer.json are others: patch has their paths, such as "model/unk_token"."""
    description = patched(base, patch)
    tokenizer = Tokenizer.from_str(json.dumps(description))
    some = {"english", "contractions", "white space", "marks", "special", "mixed 0", "mixed 1", "random 0", *more_texts()}
    cases = cases_of(tokenizer, some)
    for case in cases:
        del case["text"]  # it stands under its name among the texts without a patch
    return {"name": name, "patch": patch, "texts": cases}


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    path = FOLDER / "word_piece.tokenizer.json"
    if path.exists():
        tokenizer = Tokenizer.from_file(str(path))
    else:
        tokenizer.train([str(FOLDER / "corpus.txt")], trainers.WordPieceTrainer(vocab_size=500, special_tokens=BERT_TOKENS, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                             special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    base = json.loads(tokenizer.to_str())
    write("word_piece.tokenizer.json", base)

    def bert(**options):
        return json.loads(Tokenizer.from_str(json.dumps({**base, "normalizer": {**base["normalizer"], **options}})).to_str())["normalizer"]

    vocabulary = {token.replace("##", "@@"): i for token, i in base["model"]["vocab"].items()}
    added = [{"id": len(vocabulary) + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
             for i, content in enumerate(["ÀÉ", "The River", "x\u0301y"])]
    variants = [
        variant(base, "cased", {"normalizer": bert(lowercase=False)}),
        variant(base, "accents kept", {"normalizer": bert(strip_accents=False)}),
        variant(base, "cased, accents off", {"normalizer": bert(lowercase=False, strip_accents=True)}),
        variant(base, "ideographs together", {"normalizer": bert(handle_chinese_chars=False)}),
        variant(base, "not cleaned", {"normalizer": bert(clean_text=False)}),
        variant(base, "no normalizer", {"normalizer": None}),
        variant(base, "sequence", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}]}}),
        variant(base, "composed", {"normalizer": {"type": "NFC"}}),
        variant(base, "replaced", {"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"Regex": "\\s{2,}|e"}, "content": " a"}, {"type": "Lowercase"}]}}),
        variant(base, "white space alone", {"pre_tokenizer": {"type": "WhitespaceSplit"}}),
        variant(base, "short words", {"model/max_input_chars_per_word": 5}),
        variant(base, "another prefix", {"model/vocab": vocabulary, "model/continuing_subword_prefix": "@@", "decoder": {"type": "WordPiece", "prefix": "@@", "cleanup": False}}),
        variant(base, "normalized added tokens", {"added_tokens": base["added_tokens"] + added}),
        variant(base, "no decoder", {"decoder": None}),
    ]
    write("word_piece.json", {"made_by": MADE_BY, "texts": cases_of(tokenizer), "variants": variants})
    return base


def pairs(base):
    """Two texts, cut and put together by each post-processor."""
    samples = [("", ""), ("the", ""), ("", "river"), ("The river opens the window", "it's never"), ("a", "the lantern, and the garden answers the mountain"),
               ("the teacher carries the number", "the weather paints the story"), ("one two three four five six", "seven eight nine")]
    cases = []
    for name, processor in {"template": None, "bert": processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
                            "roberta": processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)), "odd": processors.TemplateProcessing(
                                single="[SEP]:3 $A:2 [CLS]:1 [CLS]:0", pair="$B:4 [SEP]:3 $A:2 [CLS]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])}.items():
        tokenizer = Tokenizer.from_str(json.dumps(base))
        if processor:
            tokenizer.post_processor = processor
        results = []
        for first, second in samples:
            for special in (True, False):
                for length in (0, 4, 5, 6, 8, 9, 13):
                    tokenizer.enable_truncation(length) if length else tokenizer.no_truncation()
                    both, one = (tokenizer.encode(first, second, add_special_tokens=special), tokenizer.encode(first, add_special_tokens=special))
                    results.append([first, second, special, length, both.ids, both.type_ids, one.ids, one.type_ids])
        tokenizer.no_truncation()
        cases.append({"name": name, "post_processor": json.loads(tokenizer.to_str())["post_processor"], "results": results})
    write("pairs.json", {"made_by": MADE_BY, "cases": cases})


def byte_fallback():
    special = ["<unk>", "<s>", "</s>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # One space a line end would make a token of several words; the corpus is cut before spaces, as SentencePiece's trainer does.
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(vocab_size=800, special_tokens=special + [f"<0x{byte:02X}>" for byte in range(256)], limit_alphabet=90, show_progress=False)
    path = FOLDER / "byte_fallback.tokenizer.json"
    if path.exists():
        tokenizer = Tokenizer.from_file(str(path))
    else:
        tokenizer.train([str(FOLDER / "corpus.txt")], trainer)
    base = json.loads(tokenizer.to_str())
    base["added_tokens"] = [token for token in base["added_tokens"] if token["content"] in special]
    base["pre_tokenizer"] = None
    base["post_processor"] = json.loads(str_of(processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])))
    base["decoder"] = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                                                        {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    tokenizer = Tokenizer.from_str(json.dumps(base))
    write("byte_fallback.tokenizer.json", base)

    def metaspace(scheme, split):
        return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}

    fewer = {token: i for token, i in base["model"]["vocab"].items()}
    no_bytes = {"model/byte_fallback": False}
    few_bytes = {"model/vocab": {("?" + token if token in ("<0xE4>", "<0xD0>", "<0xF0>") else token): i for token, i in fewer.items()}}
    variants = [variant(base, f"metaspace {scheme} {split}", {"normalizer": None, "pre_tokenizer": metaspace(scheme, split), "decoder": metaspace(scheme, split)})
                for scheme in ("always", "first", "never") for split in (True, False)]
    variants += [
        variant(base, "unknown fused", no_bytes), variant(base, "unknown one by one", {**no_bytes, "model/fuse_unk": False}),
        variant(base, "unknown dropped", {**no_bytes, "model/unk_token": None}), variant(base, "some bytes are missing", few_bytes),
        variant(base, "some bytes are missing, one by one", {**few_bytes, "model/fuse_unk": False}),
        variant(base, "whole words", {"model/ignore_merges": True, "pre_tokenizer": metaspace("never", True)}),
        variant(base, "fewer merges", {"model/merges": base["model"]["merges"][::2][::-1]}),
    ]
    write("byte_fallback.json", {"made_by": MADE_BY, "texts": cases_of(tokenizer), "variants": variants})


def str_of(processor):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.post_processor = processor
    return json.dumps(json.loads(tokenizer.to_str())["post_processor"])


def scored():
    """A SentencePiece BPE model as Llama 2's is made, and its ids."""
    path = FOLDER / "scored.model"
    with open(path, "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            input=str(FOLDER / "corpus.txt"), model_writer=file, vocab_size=600, model_type="bpe", byte_fallback=True, character_coverage=0.99, split_digits=True,
            normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, num_threads=1, minloglevel=2)
    model = sentencepiece.SentencePieceProcessor(str(path))
    pieces = [(model.id_to_piece(i), model.get_score(i)) for i in range(model.get_piece_size())]
    pieces[1], pieces[2] = ("\n<s>\n", 0.0), ("\n</s>\n", 0.0)
    spelled = [(piece.replace("▁", " ").encode(), score) for piece, score in pieces]
    longest = max(len(piece) for piece, _ in spelled)
    (FOLDER / "scored.tokenizer.bin").write_bytes(struct.pack("<i", longest) + b"".join(
        struct.pack("<fi", score, len(piece)) + piece for piece, score in spelled))
    rng = random.Random(11)
    parts = "the in ing an ana n a e  = == th he er r t s ss , . 1 12 é 川 \u0301 ▁ <s> <unk>".split(" ") + [" "]
    samples = [*texts().values(), *more_texts().values(), *("".join(rng.choice(parts) for _ in range(60)) for _ in range(40))]
    cases = [{"text": text, "ids": model.encode(text)} for text in samples]
    write("scored.json", {"made_by": f"{MADE_BY}, sentencepiece {sentencepiece.__version__}", "texts": cases})


if __name__ == "__main__":
    pairs(word_piece())
    byte_fallback()
    scored()
