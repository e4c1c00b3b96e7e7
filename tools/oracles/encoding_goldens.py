#!/usr/bin/env python3
"""Goldens of encodings - offsets, names, masks, truncation, padding - with Hugging Face `tokenizers` as the oracle: writes
tests/data/tokenizer/encodings.json.

Usage: python tools/oracles/encoding_goldens.py, after tokenizer_goldens.py and tokenizer_kinds_goldens.py, whose vocabularies it uses.
A case is a vocabulary with some members of its tokenizer.json replaced (`patch`), and encodings of some texts or pairs with it.
"""
import copy
import json

import tokenizers
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizer_goldens import FOLDER, texts, write
from tokenizer_kinds_goldens import more_texts

MADE_BY = f"tools/oracles/encoding_goldens.py, tokenizers {tokenizers.__version__}"
TEXTS = {**texts(), **more_texts(), "prefixes": " a", "two spaces": "  the river  opens ", "tabs": "\tthe river\n\nopens\t", "short": "the river",
         "longer": "the river opens the window, and the garden", "one": "a", "removed first": "\u0000\u0001 the river", "marks first": "\u0301\u0323a\u0301",
         "crossed marks": "q\u0301\u0323\u0307\u0328 a\u0315\u0300\u05ae\u0315b \u0344\u0f73\u0f74\u0f71 \u1e9b\u0323 \ufb1d\u212b"}


def of(normalizer=None, pre_tokenizer=None, post_processor=None):
    """The components' tokenizer.json."""
    tokenizer = Tokenizer(tokenizers.models.BPE())
    patch = {}
    for name, component in (("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer), ("post_processor", post_processor)):
        if component is not None:
            setattr(tokenizer, name, component)
            patch[name] = json.loads(tokenizer.to_str())[name]
    return patch


def patched(base, patch):
    description = copy.deepcopy(json.loads((FOLDER / f"{base}.tokenizer.json").read_text(encoding="utf-8")))
    for path, value in patch.items():
        *folders, last = path.split("/")
        member = description
        for folder in folders:
            member = member[folder]
        member[last] = value
    return Tokenizer.from_str(json.dumps(description))


def fields(encoding, overflow=True):
    result = [encoding.ids, encoding.tokens, [number for pair in encoding.offsets for number in pair], encoding.type_ids,
              [-1 if word is None else word for word in encoding.word_ids], [-1 if sequence is None else sequence for sequence in encoding.sequence_ids],
              encoding.special_tokens_mask, encoding.attention_mask]
    return result + ([[fields(part, False) for part in encoding.overflowing]] if overflow and encoding.overflowing else [])


def texts_case(name, base, patch, chosen):
    tokenizer = patched(base, patch)
    return {"name": name, "base": base, "patch": patch,
            "encodings": [{"first": TEXTS[text], "result": fields(tokenizer.encode(TEXTS[text]))} for text in chosen]}


def alignment_cases():
    """Each byte of what the normalizer makes of a text is a token, whose offsets are the byte's alignment."""
    hard = ["orders of marks", "hangul", "lowercase", "cleaning", "marks", "removed first", "marks first", "crossed marks", "ideographs", "random 1", "two spaces"]
    steps = {"nothing": None, "nfc": normalizers.NFC(), "nfd": normalizers.NFD(), "lowercase": normalizers.Lowercase(),
             "nfd, accents off": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), "bert": normalizers.BertNormalizer(),
             "bert cased": normalizers.BertNormalizer(lowercase=False, clean_text=False), "prepend": normalizers.Prepend("▁a"),
             "nfd nfc": normalizers.Sequence([normalizers.NFD(), normalizers.NFC(), normalizers.Lowercase()]),
             "replace": normalizers.Sequence([normalizers.Replace("a", "é"), normalizers.Replace(tokenizers.Regex("\\s+|e\u0301?"), "--")]),
             "taken out": normalizers.Sequence([normalizers.Replace(tokenizers.Regex("[\\x00-\\x20]"), ""), normalizers.Prepend("▁")])}
    return [texts_case(f"bytes: {name}", "bytes", of(normalizer=step) if step else {}, hard) for name, step in steps.items()]


def byte_level_cases():
    several = ["english", "white space", "spaces then newline", "only spaces", "emoji", "marks", "special glued", "two spaces", "tabs", "empty", "mixed 3"]
    level = pre_tokenizers.ByteLevel
    variants = {"as it is": {}, "trimmed": of(post_processor=processors.ByteLevel(trim_offsets=True)),
                "prefix space": of(pre_tokenizer=level(add_prefix_space=True), post_processor=processors.ByteLevel(trim_offsets=True)),
                "prefix space, not trimmed": of(pre_tokenizer=level(add_prefix_space=True), post_processor=processors.ByteLevel(trim_offsets=False)),
                "prefix space without pattern": of(pre_tokenizer=level(add_prefix_space=True, use_regex=False)),
                "composed": of(normalizer=normalizers.NFC()),
                "digits": of(pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level(add_prefix_space=False)])),
                "removed": of(pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Split(tokenizers.Regex("\\s+"), "removed"), level(add_prefix_space=False, use_regex=False)]))}
    trimmed = processors.ByteLevel(trim_offsets=True)
    trimmed.add_prefix_space = False
    variants["trimmed, no prefix"] = of(post_processor=trimmed)
    cases = [texts_case(f"byte level: {name}", "gpt2", patch, several) for name, patch in variants.items()]
    added = {"as they are": {}, "trimmed": of(post_processor=trimmed), "lower case": of(normalizer=normalizers.Lowercase())}
    samples = ["a <L> b<L>c  \n<L>", "a<R>  b <R>\t\n", "x <B> y<B><B> <B>", "the river bank river  bank", "日本 日本語 x日本y 日本", "  <L>  <L>  <R>  <L>", "A <S> Word b<|user|>x<|user|>y"]
    for sample in samples:
        TEXTS[sample] = sample
    return cases + [texts_case(f"added tokens: {name}", "added", patch, samples) for name, patch in added.items()]


def character_cases():
    several = ["english", "white space", "spellings", "cleaning", "orders of marks", "broken bytes", "ideographs", "two spaces", "special", "empty", "random 2"]
    cases = [texts_case("pieces", "word_piece", {}, several), texts_case("pieces, cased", "word_piece", of(normalizer=normalizers.BertNormalizer(lowercase=False)), several),
             texts_case("pieces, short words", "word_piece", {"model/max_input_chars_per_word": 4}, several),
             texts_case("pieces, white space alone", "word_piece", of(pre_tokenizer=pre_tokenizers.WhitespaceSplit()), several)]

    def metaspace(scheme, split):
        return {"normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}}

    no_bytes = {"model/byte_fallback": False}
    variants = {"as it is": {}, **{f"metaspace {scheme} {split}": metaspace(scheme, split) for scheme in ("always", "first", "never") for split in (True, False)},
                "unknown fused": no_bytes, "unknown one by one": {**no_bytes, "model/fuse_unk": False}, "unknown dropped": {**no_bytes, "model/unk_token": None},
                "metaspace after cleaning": {**metaspace("first", True), "normalizer": {"type": "Replace", "pattern": {"Regex": "[\\x00-\\x20]"}, "content": ""}}}
    return cases + [texts_case(f"characters: {name}", "byte_fallback", patch, several + ["removed first"]) for name, patch in variants.items()]


def processors_of(base):
    special = {"word_piece": [("[CLS]", 2), ("[SEP]", 3)], "gpt2": [("<|user|>", 1), ("<|endoftext|>", 0)]}[base]
    cls, sep = special
    template = processors.TemplateProcessing(single=f"{cls[0]} $A {sep[0]}", pair=f"{cls[0]} $A {sep[0]} $B:1 {sep[0]}:1", special_tokens=special)
    flat = processors.TemplateProcessing(single=f"$A:2 {sep[0]}:3", pair=f"$B:1 {sep[0]} $A:0", special_tokens=special)
    trimmed = processors.ByteLevel(trim_offsets=True)
    result = {"none": None, "template": template, "flat template": flat, "bert": processors.BertProcessing(sep, cls),
              "roberta": processors.RobertaProcessing(sep, cls, trim_offsets=True, add_prefix_space=False)}
    if base == "gpt2":
        result |= {"roberta with prefix": processors.RobertaProcessing(sep, cls, trim_offsets=True, add_prefix_space=True),
                   "roberta, not trimmed": processors.RobertaProcessing(sep, cls, trim_offsets=False), "byte level": trimmed,
                   "byte level and template": processors.Sequence([trimmed, template]), "template and byte level": processors.Sequence([template, trimmed]),
                   "roberta and byte level": processors.Sequence([processors.RobertaProcessing(sep, cls), trimmed])}
    return result


def limits_cases():
    """Pairs and single texts with truncation and padding of every kind, by each post-processor."""
    pairs = [("short", None), ("longer", None), ("two spaces", None), ("empty", None), ("short", "longer"), ("longer", "short"), ("longer", "longer"), ("empty", "one")]
    cuts = [None] + [dict(max_length=length, stride=stride, strategy=strategy, direction=direction)
                     for length, stride, strategy, direction in ((7, 0, "longest_first", "right"), (8, 2, "longest_first", "left"), (9, 1, "only_first", "right"),
                                                                 (12, 2, "only_second", "right"), (14, 3, "only_first", "left"), (3, 0, "longest_first", "right"))]
    pads = [None, dict(length=16), dict(direction="left", pad_id=1, pad_type_id=7, pad_token="<pad>", pad_to_multiple_of=5)]
    cases = []
    for base in ("word_piece", "gpt2"):
        for name, processor in processors_of(base).items():
            patch = {**({"post_processor": None} if processor is None else of(post_processor=processor))}
            tokenizer = patched(base, patch)
            encodings = []
            for number, (cut, padding) in enumerate((cut, padding) for cut in cuts for padding in pads):
                for place, (first, second) in enumerate(pairs):
                    if (number + place + len(cases)) % 9:  # a ninth of all, another one for each processor
                        continue
                    special = number % 4 != 1
                    entry = {"first": TEXTS[first], "second": second and TEXTS[second], "special": special, "truncation": cut, "padding": padding}
                    try:
                        if special and cut and tokenizer.num_special_tokens_to_add(second is not None) > cut["max_length"]:
                            raise ValueError("no room for the special tokens")  # the oracle counts below zero, and then cuts nothing
                        tokenizer.enable_truncation(**cut) if cut else tokenizer.no_truncation()
                        tokenizer.enable_padding(**padding) if padding else tokenizer.no_padding()
                        entry["result"] = fields(tokenizer.encode(TEXTS[first], second and TEXTS[second], add_special_tokens=special))
                    except BaseException as error:  # a panic of the oracle's is one, too
                        if type(error).__name__ not in ("Exception", "ValueError", "TypeError", "PanicException"):
                            raise
                        entry["refused"] = str(error)
                    encodings.append(entry)
            tokenizer.no_truncation()
            tokenizer.no_padding()
            cases.append({"name": f"{base}: {name}", "base": base, "patch": patch, "encodings": encodings})
    return cases


def batch_case():
    tokenizer = patched("word_piece", {})
    tokenizer.enable_padding()
    tokenizer.enable_truncation(8, stride=1)
    inputs = [TEXTS["short"], (TEXTS["longer"], TEXTS["one"]), TEXTS["empty"], (TEXTS["one"], TEXTS["short"])]
    return {"inputs": [list(entry) if isinstance(entry, tuple) else [entry] for entry in inputs], "results": [fields(result) for result in tokenizer.encode_batch(inputs)]}


def main():
    cases = alignment_cases() + byte_level_cases() + character_cases() + limits_cases()
    write("encodings.json", {"made_by": MADE_BY, "fields": ["ids", "tokens", "offsets", "type_ids", "word_ids", "sequence_ids", "special_tokens_mask", "attention_mask",
                                                            "overflowing"], "cases": cases, "batch": batch_case()})


if __name__ == "__main__":
    main()
