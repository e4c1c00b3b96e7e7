#!/usr/bin/env python3
"""Goldens of the tokenizer tests, with Hugging Face `tokenizers` as the oracle: writes tests/data/tokenizer/.

Usage: python tools/oracles/tokenizer_goldens.py
With ISOTROPE_DATA set, external.json too: SHA-256 of the oracle's ids and merges on texts too large to store.
"""
import copy
import hashlib
import json
import os
import random
from pathlib import Path

import numpy
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

FOLDER = Path(__file__).resolve().parents[2] / "tests/data/tokenizer"
MADE_BY = f"tools/oracles/tokenizer_goldens.py, tokenizers {tokenizers.__version__}"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
SPECIAL = ["<|endoftext|>", "<|user|>"]


def pre_tokenizer(pattern):
    if pattern == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def corpus():
    """Lines of invented prose, code and other scripts; a function of the seed."""
    rng = random.Random(20240607)
    nouns = "river window engine garden lantern number letter mountain question teacher harbour weather kitchen machine story".split()
    verbs = "opens carries follows remembers measures crosses repairs answers paints gathers".split()
    others = ["Der Fluss fließt langsam durch das alte Städtchen.", "Окно открывается, и становится светло.", "Το παράθυρο ανοίγει αργά.",
              "川は静かに流れています。", "النهر يجري ببطء.", "강물이 천천히 흐른다.", "नदी धीरे बहती है।", "🙂🌍 👩‍🚀 ok!"]
    lines = []
    for i in range(420):
        kind = rng.random()
        if kind < 0.62:
            a, b, c = rng.choice(nouns), rng.choice(nouns), rng.choice(nouns)
            lines.append(f"The {a} {rng.choice(verbs)} the {b}, and it's {rng.choice(['not', 'never', 'always'])} the {c} we'd expected.")
        elif kind < 0.75:
            lines.append(f"    if ({rng.choice(nouns)}[{rng.randrange(100)}] >= {rng.randrange(10000)}) {{ return {rng.choice(nouns)}_{rng.choice(verbs)}(x, y); }}")
        elif kind < 0.8:
            lines.append("")
        elif kind < 0.9:
            lines.append(f"{rng.randrange(1900, 2030)}-{rng.randrange(1, 13):02d}\t{rng.randrange(10 ** 6)}\tTHEY'LL  {rng.choice(nouns).upper()}")
        else:
            lines.append(rng.choice(others))
    return "\n".join(lines) + "\n"


def texts():
    rng = random.Random(7)
    planes = [0, 0, 0, 0, 1, 1, 2, 3, 14, 15, 16]

    def scalar():
        while True:
            c = rng.randrange(0x10000) + 0x10000 * rng.choice(planes)
            if not 0xD800 <= c < 0xE000:
                return chr(c)

    result = {
        "empty": "", "one space": " ", "english": "The river opens the window, and it's never the teacher we'd expected. They'll've gone!",
        "contractions": "I'm you're he'd we've they'll don't it's I'M YOU'RE HE'D WE'VE THEY'LL DON'T IT'S 'S'T'rE'vE'Ll x'\u017f 'x ' s ''s '",
        "code": "def f(x):\n\treturn x**2  # square\n\n\n    if a[0] != b->c() { puts(\"%d\\n\"); }\r\n\r\n}\n",
        "digits": "1 12 123 1234 12345 1234567 3.14159 1,000,000 ٣٤٥٦٧ Ⅷ ½ ²³ x2y 2024-06-07",
        "white space": " a  b   c    d\te \t f\n g\n\nh \n i \n\n  j\r\nk\r\r l\u00a0m\u2003\u2003n\u3000o\u0085p\u2028q  ",
        "trailing newlines": "end.\n\n\n", "leading newlines": "\n\n\nstart", "spaces then newline": "   \n   x", "only spaces": "       ", "crlf": "a!\r\n\r\nb?\n c",
        "emoji": "🙂 👩‍🚀👨‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 ❤️ ok🙂ok", "marks": "e\u0301a\u0308 n\u0303o \u0301x क्षि ก็ x\u20dd\u200d\u200c.",
        "chinese": "川は静かに流れています。我们，昨天 去了。", "korean": "강물이 천천히 흐른다. 한국어", "arabic": "النهر يجري ببطء؟ لا، ١٢٣", "hebrew": "הַנָּהָר זוֹרֵם",
        "hindi": "नदी धीरे बहती है।", "cyrillic": "Окно открывается, и становится светло.", "controls": "a\x00b\x01\x02 \x1b[0m\x7f\x80\x9f\x1c\x1d\x1e\x1f\x0b\x0cz",
        "special": "<|endoftext|>The river<|user|> says<|endoftext|><|endoftext|> <|endof", "special glued": "a<|user|>b <|user|> c\n<|user|>\nd",
        "punctuation": "!!! ... --- ?!?! (a) [b] {c} \"d\" 'e' «f» “g” x_y __z__ a/b\\c #tag @me $5 50% a&b~c^d|e`f", "long": "ab" * 300 + "the" * 100 + "." * 100,
        "new letters": "\u1c89\u1c8a\ua7cb\ua7da\U00010d4a\U00010d70\U00011380 \U00016d40\U0001e5d0 \U00010d40\U00011bf0",
    }
    for i in range(12):
        result[f"random {i}"] = "".join(scalar() if rng.random() < 0.7 else rng.choice(" \n'a1.e") for _ in range(60))
    letters = " \t\n\r'’sStTrReEvVlLmMdDaZ09.,!-é日😀\u0301\u00a0\u3000"
    for i in range(24):
        result[f"mixed {i}"] = "".join(rng.choice(letters) for _ in range(80))
    return result


def train(pattern, text_or_files, vocab_size, special):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(pattern)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  min_frequency=2, show_progress=False)
    tokenizer.train([str(text_or_files)], trainer)
    return tokenizer


def with_bos(tokenizer):
    """As Llama 3 does it: one special token before the text."""
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|endoftext|> $A", pair="<|endoftext|> $A <|endoftext|> $B:1", special_tokens=[("<|endoftext|>", 0)])])
    return tokenizer


def added_variants(base):
    """Added tokens with each of their options, and texts that exercise them."""
    tokenizer = Tokenizer.from_str(base)
    tokenizer.add_tokens([AddedToken("<L>", lstrip=True), AddedToken("<R>", rstrip=True), AddedToken("<B>", lstrip=True, rstrip=True),
                          AddedToken("word", single_word=True), AddedToken("river", normalized=False), AddedToken("river bank", normalized=True),
                          AddedToken("  ", normalized=False), AddedToken("日本", single_word=True), AddedToken("word wise")])
    tokenizer.add_special_tokens([AddedToken("<S>", lstrip=True), AddedToken("<|user|>x")])
    samples = ["a <L> b<L>c  \n<L>", "a<R>  b <R>\t\n", "x <B> y<B><B> <B>", "word sword words word. (word) _word word", "the river bank river  bank",
               "a  b   c    d", "日本 日本語 x日本y 日本", "word wise wordwise", "a <S> b<|user|>x<|user|>y", "<L><R><B><S>", "  <L>  <L>  <R>  <L>", "éword wordé word\u0301 word\u200d"]
    return tokenizer, samples


def special_pre_tokenizers(base):
    """Other pre-tokenizers over the same vocabulary: prefix space, digits, unknown patterns, Removed, literal strings."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    variants = {
        "prefix space": pre_tokenizers.ByteLevel(add_prefix_space=True),
        "prefix space without pattern": pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        "digits then gpt2": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        "digit runs": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), byte_level]),
        "qwen2": pre_tokenizer(QWEN2),
        "camel case": pre_tokenizer(r"\p{Lu}\p{Ll}+|\p{Lu}+|[^\s\p{L}]+|\s+|\d"),
        "words": pre_tokenizer(r"\w+|[^\w\s]+|\S"),
        "marks": pre_tokenizer(r"[\p{L}\p{M}]+|\p{^L}"),
        "empty matches": pre_tokenizer(r"x*|\p{P}"),
        "lines": pre_tokenizer(r"^.*$"),
        "removed": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\s+"), "removed"), byte_level]),
        "removed inverted": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "removed", invert=True), byte_level]),
        "kept letters": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\p{L}+"), "removed", invert=True), byte_level]),
        "literal": pre_tokenizers.Sequence([pre_tokenizers.Split("e.", "isolated"), pre_tokenizers.Split(" ", "isolated"), byte_level]),
    }
    names = ["english", "contractions", "digits", "white space", "marks", "new letters", "random 0", "mixed 0", "mixed 1", "special"]
    samples = {name: text for name, text in texts().items() if name in names}
    cases = []
    for name, variant in variants.items():
        tokenizer = Tokenizer.from_str(base)
        tokenizer.pre_tokenizer = variant
        cases.append({"name": name, "pre_tokenizer": json.loads(tokenizer.to_str())["pre_tokenizer"],
                      "ids": {name: tokenizer.encode(text).ids for name, text in samples.items()}})
    return cases


def patched(base, patch):
    """A tokenizer.json of which some members are others: patch has their paths, such as "model/unk_token"."""
    description = copy.deepcopy(base)
    for path, value in patch.items():
        *folders, last = path.split("/")
        member = description
        for folder in folders:
            member = member[folder]
        member[last] = value
    return description


def write(name, content):
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / name).write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def ids_digest(ids):
    return hashlib.sha256(numpy.array(ids, dtype="<i4").tobytes()).hexdigest()


def external(data):
    """Digests on texts that are not stored: GPT-2's vocabulary over books and 44 languages, and a training run."""
    gpt2 = Tokenizer.from_file(str(data / "tokenizers/gpt2/tokenizer.json"))
    cases = []
    files = [("text/books8.txt", 0, 2_000_000)] + [(f"flores_dev/{p.name}", 0, p.stat().st_size) for p in sorted((data / "flores_dev").glob("*.txt"))]
    for name, start, size in files:
        text = (data / name).read_bytes()[start:start + size].decode("utf-8", errors="replace")
        ids = gpt2.encode(text).ids
        cases.append({"file": name, "bytes": size, "tokens": len(ids), "sha256": ids_digest(ids)})
    shakespeare = next((data / "text/tinyshakespeare").glob("*.txt"))
    trained = []
    for pattern_name, pattern in [("gpt2", "gpt2"), ("llama3", LLAMA3)]:
        tokenizer = train(pattern, shakespeare, 4096, ["<|endoftext|>"])
        merges = json.loads(tokenizer.to_str())["model"]["merges"]
        trained.append({"pattern": pattern_name, "file": str(shakespeare.relative_to(data)), "vocab_size": 4096, "merges": len(merges),
                        "sha256": hashlib.sha256("".join(f"{a} {b}\n" for a, b in merges).encode()).hexdigest()})
    write("external.json", {"made_by": MADE_BY, "gpt2": cases, "trained": trained})


def check_byte_tokenizer():
    """The byte tokenizer as Isotrope saves it (bytes.tokenizer.json, written by the test program) means bytes to the oracle too."""
    path = FOLDER / "bytes.tokenizer.json"
    if not path.exists():
        print("bytes.tokenizer.json is not there yet")
        return
    tokenizer = Tokenizer.from_file(str(path))
    for text in texts().values():
        expected = []
        for i, part in enumerate(text.split("<|endoftext|>")):
            expected += ([256] if i else []) + list(part.encode("utf-8"))
        assert tokenizer.encode(text).ids == expected
        assert tokenizer.decode(expected, skip_special_tokens=False) == text
    print("bytes.tokenizer.json: the oracle agrees")


def main():
    corpus_path = FOLDER / "corpus.txt"
    FOLDER.mkdir(parents=True, exist_ok=True)
    corpus_path.write_text(corpus(), encoding="utf-8")
    golden = {"made_by": MADE_BY, "texts": []}
    models_by_name = {}
    for name, pattern in [("gpt2", "gpt2"), ("llama3", LLAMA3)]:
        tokenizer = train(pattern, corpus_path, 700, SPECIAL)
        if name == "llama3":
            tokenizer = with_bos(tokenizer)
        write(f"{name}.tokenizer.json", json.loads(tokenizer.to_str()))
        models_by_name[name] = tokenizer
    for name, text in texts().items():
        case = {"name": name, "text": text}
        for model, tokenizer in models_by_name.items():
            ids = tokenizer.encode(text).ids
            case[model] = ids
            case[f"{model}_plain"] = tokenizer.encode(text, add_special_tokens=False).ids
            tokenizer.encode_special_tokens = True
            case[f"{model}_unparsed"] = tokenizer.encode(text, add_special_tokens=False).ids
            tokenizer.encode_special_tokens = False
            assert tokenizer.decode(case[f"{model}_plain"], skip_special_tokens=False) == text
            if case[f"{model}_unparsed"] == case[f"{model}_plain"]:
                del case[f"{model}_unparsed"]
        golden["texts"].append(case)
    write("texts.json", golden)

    base = models_by_name["gpt2"].to_str()
    tokenizer, samples = added_variants(base)
    write("added.tokenizer.json", json.loads(tokenizer.to_str()))
    write("added.json", {"made_by": MADE_BY, "texts": [{"text": text, "ids": tokenizer.encode(text).ids} for text in samples]})
    write("pre_tokenizers.json", {"made_by": MADE_BY, "cases": special_pre_tokenizers(base)})

    # Decoding of cut and broken characters.
    rng = random.Random(3)
    gpt2 = models_by_name["gpt2"]
    sequences = [[rng.randrange(gpt2.get_vocab_size()) for _ in range(12)] for _ in range(40)]
    write("decode.json", {"made_by": MADE_BY, "cases": [{"ids": ids, "text": gpt2.decode(ids, skip_special_tokens=False),
                                                         "skipped": gpt2.decode(ids, skip_special_tokens=True)} for ids in sequences]})
    check_byte_tokenizer()
    if os.environ.get("ISOTROPE_DATA"):
        external(Path(os.environ["ISOTROPE_DATA"]))


if __name__ == "__main__":
    main()
