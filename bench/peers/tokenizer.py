"""Encoding with GPT-2's vocabulary against fastokens, tokie, tiktoken and HF tokenizers, on one thread; ours on two; training against HF.

Every measurement is of a process of its own, in which the measured text is new: `cold` is the first text it encodes, all others come after
another text of the same kind. Counted is the time from text in memory to ids in memory: our vector of ids, the peer's own object (making a
Python list of it is not counted). With one thread it is processor time of the whole process, which a busy machine disturbs less; where two
threads are at work, time on the wall. Before anything is timed the ids of all are compared; a difference ends the comparison with exit code 1.

  ./dev bench tokenizer [--rounds N] [--only PART]    needs ISOTROPE_DATA; PART: a piece of the cases' names, such as fastokens
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path

from _side_by_side import BUILD, Case, Worker, compare

ONE = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
TWO = {"RAYON_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "true"}


def make_texts(data, folder):
    """name: (the text before, the measured text), as files."""
    def put(name, text):
        path = folder / name
        path.write_bytes(text.decode("utf-8", "ignore").encode())  # characters cut in two go
        return path

    books = (data / "text" / "books8.txt").read_bytes()
    lines = [line for path in sorted((data / "flores_dev").glob("*.txt")) for line in path.read_bytes().splitlines(True)]
    wiki = data / "text" / "wiki_xml"
    first = put("books-first", books[:10_000_000])
    return {
        "books8": (first, put("books-later", books[30_000_000:40_000_000])),
        "books8-2MB": (put("books-2-first", books[:2_000_000]), put("books-2-later", books[30_000_000:32_000_000])),
        "books8-20MB": (first, put("books-20", books[40_000_000:60_000_000])),
        "wikipedia-xml": (put("wiki-first", (wiki / "smallwiki.xml").read_bytes()), put("wiki-later", (wiki / "enwiki-shortened.xml").read_bytes())),
        "flores": (put("flores-even", b"".join(lines[0::2])), put("flores-odd", b"".join(lines[1::2]))),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    if "ISOTROPE_DATA" not in os.environ:
        sys.exit("error: [bench] ISOTROPE_DATA does not name the data folder")
    data = Path(os.environ["ISOTROPE_DATA"])
    tokenizer = data / "tokenizers" / "gpt2" / "tokenizer.json"
    program = Path(os.environ.get("ISOTROPE_BENCH_PROGRAMS", BUILD / "bench")) / "tokenizer_worker"

    def start(who, env):
        if who == "ours":
            return Worker(program, tokenizer, env=env)
        return Worker(sys.executable, Path(__file__).with_name("_tokenizer_peer.py"), who, tokenizer, env=env)

    def ask(who, lines, env=ONE):
        worker = start(who, env)
        answers = [worker.ask(line) for line in lines]
        worker.close()
        return answers[-1]

    WALL, PROCESSOR = 0, 1

    def speed(who, before, text, threads=1, clock=PROCESSOR):
        """Megabytes a second on `text` after `before`, or on `text` alone."""
        lines = [f"encode {path} {threads}" for path in (before, text) if path]
        return lambda: text.stat().st_size / 1e6 / ask(who, lines)[clock]

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = make_texts(data, folder)
        peers = [("books8", "fastokens"), ("books8", "tokie"), ("wikipedia-xml", "fastokens"),
                 ("flores", "fastokens"), ("books8-2MB", "hf"), ("books8-2MB", "tiktoken")]
        cases = []
        for name, peer in peers:
            before, text = texts[name]
            rate = {"unit": "MB/s", "more_is_better": True}
            plain = name.removesuffix("-2MB")
            if peer == "fastokens":
                cases.append(Case(f"{plain}/{peer}-cold", ours=speed("ours", None, before), peer=speed(peer, None, before), **rate))
            warm = "-warm" if name == "books8" and peer == "fastokens" else ""
            cases.append(Case(f"{plain}/{peer}{warm}", ours=speed("ours", before, text), peer=speed(peer, before, text), **rate))
        before, text = texts["books8-20MB"]
        cases.append(Case("books8/two-threads", "MB/s", speed("ours", before, text, 2, WALL), speed("ours", before, text, 1, WALL), True))
        cases.append(Case("train-8192/hf", "s", lambda: ask("ours", [f"train {text} 8192 2"])[WALL],
                          lambda: ask("hf", [f"train {text} 8192 2"], TWO)[WALL]))
        cases = [case for case in cases if arguments.only in case.name]

        for name, peer in peers:
            if not any(case.name.startswith(f"{name.removesuffix('-2MB')}/{peer}") for case in cases):
                continue
            for path in texts[name]:
                ask("ours", [f"write {path} {folder / 'ours'}"])
                ask(peer, [f"write {path} {folder / 'peer'}"])
                if (folder / "ours").read_bytes() != (folder / "peer").read_bytes():
                    sys.exit(f"error: [bench] {path.name}: our ids differ from those of {peer}")
        print("ids compared: equal", file=sys.stderr)
        compare("tokenizer", cases, arguments.rounds, ["fastokens", "tokie", "tiktoken", "tokenizers"])


if __name__ == "__main__":
    main()
