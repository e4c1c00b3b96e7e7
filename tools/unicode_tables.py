#!/usr/bin/env python3
"""Writes isotrope/text/unicode_tables.cpp, isotrope/text/normalization_tables.cpp and tests/data/tokenizer/unicode.json.

The classes are those of Hugging Face `tokenizers` itself, asked about every code point (release 0.23: Unicode 16.0): Python's own
unicodedata and the `regex` package follow other Unicode versions. Usage: python tools/unicode_tables.py
"""
import hashlib
import json
import unicodedata
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

ROOT = Path(__file__).resolve().parent.parent
# The order is that of `enum class Category` in isotrope/text/unicode.h: letters first, then marks, then numbers.
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


# What BERT's normalizer and pre-tokenizer do with a code point: the bits of `TextTraits` in isotrope/text/normalization.h.
REMOVED, SPACE, IDEOGRAPH, NONSPACING, PUNCTUATION, SEPARATOR, COMBINING = (1 << bit for bit in range(7))


def text_traits():
    """A byte of those bits for every code point, asked of each component by itself."""
    def bert(**options):
        off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
        return normalizers.BertNormalizer(**{**off, **options})

    clean, chinese, strip = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True)
    accents, words = normalizers.StripAccents(), pre_tokenizers.BertPreTokenizer()
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
    composed = compositions(decompositions)
    source = f"// Generated by tools/unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.\n"
    source += '#include "isotrope/text/normalization_tables.h"\n\nnamespace isotrope::normalization_tables {\n\n'
    source += array("trait_runs", [c << 8 | v for c, v in runs(traits)]) + "\n"
    source += array("combining_class_runs", [c << 8 | v for c, v in runs(classes)]) + "\n"
    source += mapping_arrays("decomposition", decompositions) + mapping_arrays("lowercase", lower)
    source += array("compositions", [number for triple in composed for number in triple])
    source += "\n}  // namespace isotrope::normalization_tables\n"
    (ROOT / "isotrope/text/normalization_tables.cpp").write_text(source)

    variants = {"nfd": normalizers.NFD(), "nfc": normalizers.NFC(), "lowercase": normalizers.Lowercase(),
                "strip_accents": normalizers.StripAccents(),
                "bert_uncased": normalizers.BertNormalizer(), "bert_cased": normalizers.BertNormalizer(lowercase=False),
                "bert_accents": normalizers.BertNormalizer(strip_accents=False),
                "bert_stripped": normalizers.BertNormalizer(lowercase=False, strip_accents=True)}
    digests = {}
    for name, normalizer in variants.items():
        text = "".join(f"a{normalizer.normalize_str(chr(c))}\n" for c in code_points())
        digests[name] = hashlib.sha256(text.encode()).hexdigest()
    return {"traits_sha256": hashlib.sha256(bytes(traits)).hexdigest(), "classes_sha256": hashlib.sha256(bytes(classes)).hexdigest(),
            "normalized_sha256": digests}


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
    source += '#include "isotrope/text/unicode_tables.h"\n\nnamespace isotrope::unicode_tables {\n\n'
    source += array("category_runs", [c << 5 | v for c, v in runs(categories)]) + "\n"
    source += array("space_runs", [c << 1 | v for c, v in runs([int(c in spaces) for c in range(LIMIT)])]) + "\n"
    source += array("word_runs", [c << 1 | v for c, v in runs([int(c in words) for c in range(LIMIT)])])
    source += "\n}  // namespace isotrope::unicode_tables\n"
    (ROOT / "isotrope/text/unicode_tables.cpp").write_text(source)

    # What the test compares: one byte a code point, category | space << 5 | word << 6.
    packed = bytes(categories[c] | (c in spaces) << 5 | (c in words) << 6 for c in range(LIMIT))
    golden = {"made_by": f"tools/unicode_tables.py, tokenizers {tokenizers.__version__}", "letters": len(letters), "numbers": len(numbers),
              "spaces": len(spaces), "words": len(words), "sha256": hashlib.sha256(packed).hexdigest(), **write_normalization()}
    (ROOT / "tests/data/tokenizer/unicode.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(golden)


main()
