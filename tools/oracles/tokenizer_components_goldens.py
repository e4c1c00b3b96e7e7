#!/usr/bin/env python3
"""Goldens of every component of tokenizer.json, with Hugging Face `tokenizers` as the oracle: writes tests/data/tokenizer/components.json.

Usage: python tools/oracles/tokenizer_components_goldens.py, after tokenizer_goldens.py and tokenizer_kinds_goldens.py, whose vocabularies it takes.
A case is a vocabulary, the members of its tokenizer.json that are others, and what the oracle makes of the texts: ids, decoded text, offsets. The vocabulary "characters" has a
token for each character that begins a word and one for each that continues it, so that the ids show every cut.
"""
import json
import random

import tokenizers
from tokenizers import Tokenizer
from tokenizer_goldens import FOLDER, patched, write

MADE_BY = f"tools/oracles/tokenizer_components_goldens.py, tokenizers {tokenizers.__version__}"
TEXTS = {
    "prose": "The river opens the window, and it's never the teacher we'd expected!! (They'll've gone.)",
    "spaces": "  a \t b\n\nc \u00a0d\u3000e  \r\n ",
    "scripts": "  river Окно ΣΑΣ 川は静かにカタカナー流れる। नदी 한국 x1川 ١٢ Я2я",
    "digits": "12 1234x56 ٣٤٥ ½ Ⅷ x²³ 2024-06-07 a1b22c333d4444",
    "marks": "e\u0301a\u0323\u0301 ﬁ ½ ㎏ Å ｶﾞ \ufdfa \u1e9b\u0323 한 각 \u212b ⑳ \u0344",
    "controls": "a\u0000b\u0001c\u200bd\u200de\ufefff\u2028g\u0085h\u008fi\u009fj\u007fk\ufffdl\u2581m\u1680n\u000bo\u000cp",
    "joined": "a-b--c-  --x.y..z?!-!a__b_ c…d»e«",
    "marked": "the_ river_ _x </w>a</w> ##the |a|b| <pad> aabbb ▁the▁▁x",
    "newer": "a\U00016ff6b \U00011de51x\U00011de5 \ua7ce\U00016ea0\U00016ebb",  # numbers and letters of Unicode 17: to some components they are that
    "empty": "", "space": " ", "emoji": "🙂 👩‍🚀 ok!🙂ok",
}


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def byte_level(add_prefix_space=False, use_regex=True):
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def metaspace(scheme="always", cut=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}


def replace(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def normalizer_cases():
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "StripAccents", "ByteLevel"):
        yield f"normalizer {name}", {"normalizer": {"type": name}}
    for left in (True, False):
        for right in (True, False):
            yield f"normalizer Strip {left} {right}", {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": right}}
    yield "normalizer Replace Regex with empty matches", {"normalizer": replace({"Regex": "x*"}, "")}
    yield "normalizer Sequence", {"normalizer": sequence("normalizers", {"type": "Nmt"}, {"type": "NFKC"}, replace({"Regex": " {2,}"}, " "),
                                                         {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Prepend", "prepend": "▁"})}


def pre_tokenizer_cases():
    def case(name, *parts):
        return f"pre_tokenizer {name}", {"pre_tokenizer": parts[0] if len(parts) == 1 else sequence("pretokenizers", *parts)}

    for behavior in BEHAVIORS:
        yield case(f"Punctuation {behavior}", {"type": "Punctuation", "behavior": behavior})
        yield case(f"Split Regex {behavior}", split({"Regex": "[-.]"}, behavior))
        yield case(f"Split Regex {behavior} inverted", split({"Regex": "[-.]"}, behavior, True))
        yield case(f"Split empty matches {behavior}", split({"Regex": "-*"}, behavior))
        yield case(f"Split String {behavior}", split({"String": "--"}, behavior))
        yield case(f"Split GPT-2 {behavior}", split({"Regex": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"}, behavior))
    for name in ("Whitespace", "WhitespaceSplit", "UnicodeScripts", "BertPreTokenizer"):
        yield case(name, {"type": name})
    yield case("CharDelimiterSplit", {"type": "CharDelimiterSplit", "delimiter": "-"})
    for length in (1, 3, 5):
        yield case(f"FixedLength {length}", {"type": "FixedLength", "length": length})
    for individual in (True, False):
        yield case(f"Digits {individual}", {"type": "Digits", "individual_digits": individual})
    for scheme in ("always", "first", "never"):
        for cut in (True, False):
            yield case(f"Metaspace {scheme} {cut}", metaspace(scheme, cut))
        yield case(f"WhitespaceSplit, Metaspace {scheme}", {"type": "WhitespaceSplit"}, metaspace(scheme))
        yield case(f"Metaspace {scheme}, Punctuation", metaspace(scheme), {"type": "Punctuation", "behavior": "Isolated"})
    yield case("UnicodeScripts, WhitespaceSplit", {"type": "UnicodeScripts"}, {"type": "WhitespaceSplit"})
    yield case("Digits, FixedLength in a Sequence of a Sequence", {"type": "Digits", "individual_digits": False},
               sequence("pretokenizers", {"type": "FixedLength", "length": 2}))
    yield case("ByteLevel", byte_level())
    yield case("ByteLevel, Metaspace", byte_level(), metaspace())
    yield case("a prefix that is cut off before Metaspace asks for the beginning", metaspace(), {"type": "Punctuation", "behavior": "Isolated"},
               {"type": "WhitespaceSplit"}, metaspace("first"))
    prepended = sequence("normalizers", {"type": "Prepend", "prepend": " "}, {"type": "Nmt"})
    yield "a prefix of the normalizer that is cut off", {"normalizer": prepended, "pre_tokenizer": sequence("pretokenizers", {"type": "WhitespaceSplit"}, metaspace("first"))}


def byte_level_cases():
    """Before a byte-level model: what stands behind ByteLevel sees its alphabet."""
    def case(name, *parts):
        return f"bytes, {name}", {"pre_tokenizer": sequence("pretokenizers", *parts)}

    digits = split({"Regex": "[0-9][0-9][0-9]"}, "Isolated")
    yield case("Falcon", {"type": "Punctuation", "behavior": "Contiguous"}, byte_level(), {"type": "Digits", "individual_digits": False}, digits)
    yield case("StarCoder", {"type": "Digits", "individual_digits": True}, byte_level())
    yield case("DeepSeek", split({"Regex": r"\p{N}{1,3}"}, "Isolated"), split({"Regex": "[一-龥぀-ゟ゠-ヿ]+"}, "Isolated"),
               split({"Regex": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^" + "\r\n" + r"\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[" + "\r\n" +
                                r"]*|\s*[\r\n]+|\s+(?!\S)|\s+"}, "Isolated"), byte_level(use_regex=False))
    yield case("prefix, then a Split in the alphabet", byte_level(True, False), split({"Regex": "Ġ"}, "MergedWithNext"))
    yield case("FixedLength in the alphabet", byte_level(), {"type": "FixedLength", "length": 2})
    yield case("ByteLevel twice", byte_level(), byte_level())
    yield case("Whitespace", {"type": "Whitespace"}, byte_level(True, False))
    yield case("Metaspace behind", byte_level(), metaspace())
    yield "bytes, no decoder", {"decoder": None}
    yield "bytes, decoder Sequence", {"decoder": sequence("decoders", byte_level(), replace({"String": "the"}, "THE"), replace({"Regex": r"\s+\z"}, ""))}
    yield "bytes, Strip behind the decoder", {"decoder": sequence("decoders", byte_level(), {"type": "Strip", "content": "T", "start": 1, "stop": 0})}
    yield "bytes, unknown and fallback", {"model/unk_token": "<|user|>", "model/byte_fallback": True}


def affix_cases(base):
    """BPE that spells words with a prefix or suffix, over merges that are made for it."""
    characters = sorted({c for text in TEXTS.values() for c in text if c.isalpha()})[:80]
    for name, prefix, suffix in (("suffix", "", "</w>"), ("prefix", "##", ""), ("both", "##", "</w>")):
        spelled = [a + c + b for c in characters for a in {"", prefix} for b in {"", suffix}]
        merges = [(f"t", f"{prefix}h"), (f"th", f"{prefix}e{suffix}"), (f"r", f"{prefix}i"), (f"ri", f"{prefix}v"), (f"{prefix}e", f"{prefix}r{suffix}"),
                  ("riv", f"{prefix}er{suffix}"), (f"{prefix}e", f"{prefix}x")]
        joined = [a + b[len(prefix):] for a, b in merges]
        vocabulary = {token: i for i, token in enumerate(["?", *sorted(set(spelled)), *joined])}
        model = {**base["model"], "type": "BPE", "unk_token": "?", "continuing_subword_prefix": prefix or None, "end_of_word_suffix": suffix or None,
                 "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": [list(merge) for merge in merges]}
        patch = {"model": model, "added_tokens": [], "post_processor": None, "normalizer": None, "pre_tokenizer": {"type": "BertPreTokenizer"}}
        yield f"BPE {name}", {**patch, "decoder": {"type": "BPEDecoder", "suffix": suffix or "er"}}
        yield f"BPE {name}, fused", {**patch, "model": {**model, "fuse_unk": True}, "decoder": None}


def decoder_cases():
    yield "decoder null", {"decoder": None}
    for cleanup in (True, False):
        yield f"decoder WordPiece {cleanup}", {"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": cleanup}}
        yield f"decoder CTC {cleanup}", {"decoder": {"type": "CTC", "pad_token": "##b", "word_delimiter_token": "##|", "cleanup": cleanup}}
    yield "decoder BPEDecoder", {"decoder": {"type": "BPEDecoder", "suffix": "##"}}
    yield "decoder Replace Regex", {"decoder": replace({"Regex": "^##|e$"}, "=")}
    yield "decoder ByteLevel", {"decoder": byte_level()}
    yield "decoder Sequence", {"decoder": sequence("decoders", {"type": "WordPiece", "prefix": "##", "cleanup": False}, {"type": "Fuse"},
                                                   {"type": "Strip", "content": " ", "start": 1, "stop": 0}, replace({"String": "  "}, " "))}
    yield "decoder Metaspace", {"decoder": {"type": "Metaspace", "replacement": "#", "prepend_scheme": "always", "split": True}}


def characters():
    """WordPiece with all characters of the texts, and the texts' own letters in the byte alphabet."""
    letters = sorted({c for text in TEXTS.values() for c in text} | {chr(c) for c in range(0x21, 0x144)} - {"\u00ad"})
    vocabulary = {token: i for i, token in enumerate(["[UNK]", *letters, *(f"##{c}" for c in letters)])}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None,
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 1000, "vocab": vocabulary}}


def words(base):
    vocabulary = {token: i for i, token in enumerate(["?", "a", "b", "river", "the", "The", "window", "12", ",", "ok"])}
    patch = {"model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "?"}, "decoder": None}
    for pre_tokenizer in ("Whitespace", "WhitespaceSplit"):
        yield f"WordLevel {pre_tokenizer}", {**patch, "pre_tokenizer": {"type": pre_tokenizer}}
    yield "WordLevel with holes", {**patch, "model": {**patch["model"], "vocab": {token: 7 * i for token, i in vocabulary.items()}}, "pre_tokenizer": {"type": "Whitespace"}}


def longest_match(base):
    """WordPiece without a prefix over bytes: the longest match, as RWKV's vocabularies have it."""
    tokens = [token for token in base["model"]["vocab"] if not token.startswith("<|")]
    model = {"type": "WordPiece", "unk_token": "<|end of text|>", "continuing_subword_prefix": "", "max_input_chars_per_word": 2 ** 32 - 1,
             "vocab": {token: i for i, token in enumerate(["<|end of text|>", *tokens])}}
    added = [{"id": 0, "content": "<|end of text|>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}]
    yield "longest match", {"model": model, "added_tokens": added, "pre_tokenizer": byte_level(use_regex=False)}
    yield "longest match of short words", {"model": {**model, "max_input_chars_per_word": 20}, "added_tokens": added, "pre_tokenizer": byte_level(use_regex=False)}


def case(base_name, base, name, patch):
    description = patched(base, patch)
    tokenizer = Tokenizer.from_str(json.dumps(description))
    results = []
    for text in TEXTS.values():
        encoding = tokenizer.encode(text)
        offsets = [place for pair in encoding.offsets for place in pair]
        results.append([encoding.ids, tokenizer.decode(encoding.ids, skip_special_tokens=False), offsets])
    return {"name": name, "base": base_name, "patch": patch, "results": results}


def main():
    base = characters()
    write("characters.tokenizer.json", base)
    gpt2 = json.loads((FOLDER / "gpt2.tokenizer.json").read_text(encoding="utf-8"))
    groups = [("characters", base, [*normalizer_cases(), *pre_tokenizer_cases(), *decoder_cases(), *words(base)]),
              ("gpt2", gpt2, [*byte_level_cases(), *affix_cases(gpt2), *longest_match(gpt2)])]
    cases = [case(base_name, description, name, patch) for base_name, description, list_of_cases in groups for name, patch in list_of_cases]
    rng = random.Random(5)
    sequences = [[rng.randrange(gpt2["model"]["vocab"].__len__()) for _ in range(8)] for _ in range(30)]
    decoded = []
    for entry in cases:
        if entry["base"] == "gpt2" and set(entry["patch"]) == {"decoder"}:
            tokenizer = Tokenizer.from_str(json.dumps({**gpt2, **entry["patch"]}))
            decoded.append({"patch": entry["patch"], "results": [[ids, tokenizer.decode(ids, skip_special_tokens=False)] for ids in sequences]})
    write("components.json", {"made_by": MADE_BY, "texts": list(TEXTS.values()), "cases": cases, "decoded": decoded})


if __name__ == "__main__":
    main()
