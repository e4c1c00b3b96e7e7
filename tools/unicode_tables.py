#!/usr/bin/env python3
"""Writes isotrope/text/unicode/{unicode,normalization,compatibility,script}_tables.cpp and tests/data/tokenizer/unicode.json.

The classes are those of Hugging Face `tokenizers` itself, asked about every code point (release 0.23: Unicode 16.0 in patterns, 17.0 where Rust's own classes are asked): Python's own
unicodedata and the `regex` package follow other Unicode versions. Usage: python tools/unicode_tables.py
"""
import hashlib
import json
import unicodedata
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

ROOT = Path(__file__).resolve().parent.parent
# The order is that of `enum class Category` in isotrope/text/unicode/unicode.h: letters first, then marks, then numbers.
CATEGORIES = ["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
              "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn"]
LIMIT = 0x110000


def code_points():
    return [c for c in range(LIMIT) if not 0xD800 <= c < 0xE000]


def members(pattern):
    """The code points that match `pattern`: those a Split that removes matches leaves out."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    points = code_points()
    for start in range(0, len(points), 4096):
        block = points[start:start + 4096]
        left = set()
        for _, (begin, end) in split.pre_tokenize_str("".join(map(chr, block))):
            left.update(range(begin, end))
        found.update(c for i, c in enumerate(block) if i not in left)
    return found


def word_members():
    """What `single_word` added tokens take for a part of a word: the token stays unrecognised before such a character."""
    tokenizer = Tokenizer(models.BPE(vocab={"?": 0}, merges=[]))
    tokenizer.add_tokens([AddedToken("@@", single_word=True)])
    marker = tokenizer.token_to_id("@@")
    found = set()
    points = code_points()
    for start in range(0, len(points), 4096):
        block = points[start:start + 4096]
        encoding = tokenizer.encode("".join(f" @@{chr(c)}" for c in block))
        seen = {begin for i, (begin, _) in zip(encoding.ids, encoding.offsets) if i == marker}
        found.update(c for i, c in enumerate(block) if 4 * i + 1 not in seen)
    return found


def runs(values):
    """(first code point, value) of every run of equal values."""
    result = []
    for code_point, value in enumerate(values):
        if not result or result[-1][1] != value:
            result.append((code_point, value))
    return result


# What BERT's normalizer and pre-tokenizer, StripAccents and Digits do with a code point: the bits of `text_trait` in isotrope/text/unicode/normalization.h.
REMOVED, SPACE, IDEOGRAPH, NONSPACING, PUNCTUATION, SEPARATOR, COMBINING, NUMERIC = (1 << bit for bit in range(8))


def text_traits():
    """A byte of those bits for every code point, asked of each component by itself."""
    def bert(**options):
        off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
        return normalizers.BertNormalizer(**{**off, **options})

    clean, chinese, strip = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True)
    accents, words, digits = normalizers.StripAccents(), pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits()
    traits = [0] * LIMIT
    for c in code_points():
        character = chr(c)
        cleaned = clean.normalize_str(f"a{character}b")
        assert cleaned in ("ab", "a b", f"a{character}b")
        traits[c] |= REMOVED * (cleaned == "ab") | SPACE * (cleaned == "a b")
        traits[c] |= IDEOGRAPH * (chinese.normalize_str(character) == f" {character} ")
        traits[c] |= NONSPACING * (strip.normalize_str(character) == "") | COMBINING * (accents.normalize_str(character) == "")
        pieces = [piece for piece, _ in words.pre_tokenize_str(f"a{character}b")]
        assert pieces in (["a", "b"], ["a", character, "b"], [f"a{character}b"])
        traits[c] |= SEPARATOR * (len(pieces) == 2) | PUNCTUATION * (len(pieces) == 3)
        traits[c] |= NUMERIC * (len(digits.pre_tokenize_str(f"a{character}b")) == 3)  # those of Rust, which are newer than the regular expressions'
    return traits


def combining_classes():
    """The order of marks: found by which of two marks comes first in NFD, against one mark of every class that Unicode has."""
    nfd = normalizers.NFD()
    last = "\u0345"  # class 240, the highest
    marks = {240: last}
    for c in code_points():  # some marks that Python knows are none to the oracle, whose tables are older
        if unicodedata.combining(chr(c)) and nfd.normalize_str(last + chr(c)) == chr(c) + last:
            marks.setdefault(unicodedata.combining(chr(c)), chr(c))
    lowest, highest = marks[min(marks)], marks[max(marks)]
    classes = [0] * LIMIT
    for c in code_points():
        character = chr(c)
        if nfd.normalize_str(character) != character:
            continue
        if nfd.normalize_str(highest + character) == highest + character and nfd.normalize_str(character + lowest) == character + lowest:
            assert character not in marks.values()
            continue
        equal = {value for value, mark in marks.items()
                 if nfd.normalize_str(character + mark) == character + mark and nfd.normalize_str(mark + character) == mark + character}
        assert len(equal) == 1, (hex(c), equal)
        classes[c] = equal.pop()
    return classes


def mapping(apply):
    """Code point to text, where `apply` changes the code point; Hangul syllables are left to arithmetic."""
    return {c: apply(chr(c)) for c in code_points() if not 0xAC00 <= c < 0xD7A4 and apply(chr(c)) != chr(c)}


def compositions(decompositions):
    """(first, second, both in one), for every canonical composition."""
    nfc, result = normalizers.NFC(), []
    for c, text in decompositions.items():
        if nfc.normalize_str(text) == chr(c):
            first = nfc.normalize_str(text[:-1])
            assert len(first) == 1 and nfc.normalize_str(first + text[-1]) == chr(c)
            result.append((ord(first), ord(text[-1]), c))
    return sorted(result)


def mapping_arrays(name, mapped):
    """Two arrays: code point << 8 | length of what it becomes, and all that they become, joined."""
    return (array(f"{name}_sources", [c << 8 | len(text) for c, text in sorted(mapped.items())]) + "\n" +
            array(f"{name}_targets", [ord(t) for _, text in sorted(mapped.items()) for t in text]) + "\n")


def write_normalization():
    """The second file; returns what the test compares."""
    traits, classes = text_traits(), combining_classes()
    decompositions, lower = mapping(normalizers.NFD().normalize_str), mapping(normalizers.Lowercase().normalize_str)
    compatible = {c: text for c, text in mapping(normalizers.NFKD().normalize_str).items() if decompositions.get(c) != text}
    composed = compositions(decompositions)
    head = f"// Generated by tools/unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.\n"
    head += '#include "isotrope/text/unicode/normalization_tables.h"\n\nnamespace isotrope::normalization_tables {\n\n'
    tail = "\n}  // namespace isotrope::normalization_tables\n"
    source = head
    source += array("trait_runs", [c << 8 | v for c, v in runs(traits)]) + "\n"
    source += array("combining_class_runs", [c << 8 | v for c, v in runs(classes)]) + "\n"
    source += mapping_arrays("decomposition", decompositions) + mapping_arrays("lowercase", lower)
    source += array("compositions", [number for triple in composed for number in triple])
    (ROOT / "isotrope/text/unicode/normalization_tables.cpp").write_text(source + tail)
    (ROOT / "isotrope/text/unicode/compatibility_tables.cpp").write_text(head + mapping_arrays("compatibility", compatible) + tail)

    variants = {"nfd": normalizers.NFD(), "nfc": normalizers.NFC(), "nfkd": normalizers.NFKD(), "nfkc": normalizers.NFKC(),
                "lowercase": normalizers.Lowercase(), "strip_accents": normalizers.StripAccents(), "nmt": normalizers.Nmt(),
                "bert_uncased": normalizers.BertNormalizer(), "bert_cased": normalizers.BertNormalizer(lowercase=False),
                "bert_accents": normalizers.BertNormalizer(strip_accents=False),
                "bert_stripped": normalizers.BertNormalizer(lowercase=False, strip_accents=True)}
    digests = {}
    for name, normalizer in variants.items():
        text = "".join(f"a{normalizer.normalize_str(chr(c))}\n" for c in code_points())
        digests[name] = hashlib.sha256(text.encode()).hexdigest()
    return {"traits_sha256": hashlib.sha256(bytes(traits)).hexdigest(), "classes_sha256": hashlib.sha256(bytes(classes)).hexdigest(),
            "normalized_sha256": digests}


def scripts():
    """The number of each code point's script for UnicodeScripts, 0 where it has none: characters of no script stay with what comes before them, and
    what comes before the first script is left out. Scripts are told apart by whether the oracle cuts between two characters."""
    lines = pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit("\n"), pre_tokenizers.UnicodeScripts()])
    points, numbers = [c for c in code_points() if chr(c) != "\n"], [0] * LIMIT  # the line end, which parts lines here, is as the one before it
    kept = set()
    for start in range(0, len(points), 20000):
        block = points[start:start + 20000]
        starts = {begin for _, (begin, _) in lines.pre_tokenize_str("\n".join(f"{chr(c)}a" for c in block))}
        kept.update(c for i, c in enumerate(block) if 3 * i in starts)
    points = [c for c in points if c in kept]
    cuts = [begin for _, (begin, _) in pre_tokenizers.UnicodeScripts().pre_tokenize_str("".join(map(chr, points)))] + [len(points)]
    firsts = []  # the first code point of each script
    for begin, end in zip(cuts, cuts[1:]):
        pairs = "\n".join(chr(first) + chr(points[begin]) for first in firsts)
        ends = {end for _, (_, end) in lines.pre_tokenize_str(pairs)}
        same = [i for i in range(len(firsts)) if 3 * i + 1 not in ends]
        assert len(same) <= 1
        if not same:
            firsts.append(points[begin])
        for c in points[begin:end]:
            numbers[c] = same[0] + 1 if same else len(firsts)
    assert len(firsts) < 256
    assert len(pre_tokenizers.UnicodeScripts().pre_tokenize_str("\v\n")) == 1 and numbers[ord("\v")] != 0
    numbers[ord("\n")] = numbers[ord("\v")]
    return numbers


def write_scripts():
    numbers = scripts()
    source = f"// Generated by tools/unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.\n"
    source += '#include "isotrope/text/unicode/script_tables.h"\n\nnamespace isotrope::script_tables {\n\n'
    source += array("script_runs", [c << 8 | v for c, v in runs(numbers)]) + "\n}  // namespace isotrope::script_tables\n"
    (ROOT / "isotrope/text/unicode/script_tables.cpp").write_text(source)
    # What the test compares: where each character after a letter of another script is cut off.
    alternating = "".join(f"a{chr(c)}\u0431{chr(c)}" for c in code_points())
    ends = [end for _, (_, end) in pre_tokenizers.UnicodeScripts().pre_tokenize_str(alternating)]
    return {"scripts_sha256": hashlib.sha256(",".join(map(str, ends)).encode()).hexdigest()}


def array(name, numbers):
    texts = [f"{n:#x}," for n in numbers]
    lines, line = [], " "
    for text in texts:
        if len(line) + len(text) > 138:
            lines.append(line)
            line = " "
        line += " " + text
    lines.append(line)
    return f"const std::uint32_t {name}[] = {{\n" + "\n".join(lines) + f"\n}};\nconst std::size_t {name}_size = sizeof {name} / sizeof {name}[0];\n"


def main():
    categories = [CATEGORIES.index("Cn")] * LIMIT
    for index, name in enumerate(CATEGORIES[:-1]):
        for code_point in members(rf"\p{{{name}}}"):
            categories[code_point] = index
    spaces, words, letters, numbers = members(r"\s"), word_members(), members(r"\p{L}"), members(r"\p{N}")
    assert letters == {c for c in range(LIMIT) if categories[c] <= 4}
    assert numbers == {c for c in range(LIMIT) if 8 <= categories[c] <= 10}
    source = f"// Generated by tools/unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.\n"
    source += '#include "isotrope/text/unicode/unicode_tables.h"\n\nnamespace isotrope::unicode_tables {\n\n'
    source += array("category_runs", [c << 5 | v for c, v in runs(categories)]) + "\n"
    source += array("space_runs", [c << 1 | v for c, v in runs([int(c in spaces) for c in range(LIMIT)])]) + "\n"
    source += array("word_runs", [c << 1 | v for c, v in runs([int(c in words) for c in range(LIMIT)])])
    source += "\n}  // namespace isotrope::unicode_tables\n"
    (ROOT / "isotrope/text/unicode/unicode_tables.cpp").write_text(source)

    # What the test compares: one byte a code point, category | space << 5 | word << 6.
    packed = bytes(categories[c] | (c in spaces) << 5 | (c in words) << 6 for c in range(LIMIT))
    golden = {"made_by": f"tools/unicode_tables.py, tokenizers {tokenizers.__version__}", "letters": len(letters), "numbers": len(numbers),
              "spaces": len(spaces), "words": len(words), "sha256": hashlib.sha256(packed).hexdigest(), **write_normalization(), **write_scripts()}
    (ROOT / "tests/data/tokenizer/unicode.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(golden)


main()
