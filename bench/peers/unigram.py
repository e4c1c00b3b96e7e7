"""Encoding with Unigram vocabularies and with BPE over characters against kitoken, tokie and sentencepiece, on one thread.

The vocabularies: Unigram of 32,000 pieces learned by `sentencepiece` from FLORES' 44 languages and of 8,000 from books8 (nmt_nfkc), as the .model
and as the tokenizer.json that transformers makes of it; and Llama 2's BPE. `threads` is two threads against our one, on the wall. Counted is the time from text in memory to ids in memory, as in
tokenizer.py, every measurement in a process of its own on a text that it has not seen, after another of the same kind. Peers that give
other ids on a text are not measured there, and named: sentencepiece and kitoken normalize by the longest entry of the charsmap, tokie and HF
tokenizers by grapheme clusters. Ours gets what the peer gets: the .model against the former, tokenizer.json against the latter.

  python bench/peers/unigram.py [--rounds N] [--only PART] [--models FOLDER]    needs ISOTROPE_DATA
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path

from _side_by_side import BUILD, Case, Worker, compare

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "python"))
from sentencepiece_against_peers import as_transformers_has_it, trained  # noqa: E402

ONE = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
TWO = {"RAYON_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "true"}
WALL, PROCESSOR = 0, 1


def make_texts(data, folder):
    """name: (the text before, the measured text), as files."""
    def put(name, text):
        path = folder / name
        path.write_bytes(text.decode("utf-8", "ignore").encode())
        return path

    books = (data / "text" / "books8.txt").read_bytes()
    russian = (data / "text" / "russian_classics.txt").read_bytes()
    lines = [line for path in sorted((data / "flores_dev").glob("*.txt")) for line in path.read_bytes().splitlines(True)]
    wiki = data / "text" / "wiki_xml"
    return {
        "books8": (put("books-first", books[:5_000_000]), put("books-later", books[30_000_000:35_000_000])),
        "books8-20MB": (put("books-even", books[:20_000_000]), put("books-odd", books[20_000_000:40_000_000])),
        "russian": (put("russian-first", russian[:3_900_000]), put("russian-later", russian[4_000_000:])),
        "flores": (put("flores-even", b"".join(lines[0::2])), put("flores-odd", b"".join(lines[1::2]))),
        "wikipedia-xml": (put("wiki-first", (wiki / "smallwiki.xml").read_bytes()), put("wiki-later", (wiki / "enwiki-shortened.xml").read_bytes())),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="")
    parser.add_argument("--models", type=Path)
    arguments = parser.parse_args()
    if "ISOTROPE_DATA" not in os.environ:
        sys.exit("error: [bench] ISOTROPE_DATA does not name the data folder")
    import sentencepiece
    import tokenizers
    data = Path(os.environ["ISOTROPE_DATA"])
    program = Path(os.environ.get("ISOTROPE_BENCH_PROGRAMS", BUILD / "bench")) / "tokenizer_worker"

    def start(who, path, env):
        if who == "ours":
            return Worker(program, path, env=env)
        return Worker(sys.executable, Path(__file__).with_name("_tokenizer_peer.py"), who, path, env=env)

    def ask(who, path, lines, env=ONE):
        worker = start(who, path, env)
        answers = [worker.ask(line) for line in lines]
        worker.close()
        return answers[-1]

    def speed(who, path, before, text):
        return lambda: text.stat().st_size / 1e6 / ask(who, path, [f"plain_encode {before}", f"plain_encode {text}"])[PROCESSOR]

    def on_threads(path, texts, threads):
        lines = [f"encode {text} {threads}" for text in texts]
        return lambda: texts[1].stat().st_size / 1e6 / ask("ours", path, lines, TWO)[WALL]

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = make_texts(data, folder)
        whole = texts.pop("books8-20MB")
        models = {path.stem: path for path in trained(arguments.models or folder, data, False)}
        jobs = []  # case, our file, peer, its file, text
        for name in ("flores32k", "en8k"):
            path = models[name]
            json_path = folder / f"{name}.json"
            json_path.write_text(as_transformers_has_it(sentencepiece.SentencePieceProcessor(str(path)), tokenizers).to_str())
            for text in texts if name == "flores32k" else ["books8"]:
                jobs += [(f"{name}/{text}/{peer}", path, peer, path, text) for peer in ("sentencepiece", "kitoken")]
                jobs += [(f"{name}/{text}/{peer}", json_path, peer, json_path, text) for peer in ("tokie", "hf")]
        llama = data / "tokenizers" / "llama2" / "tokenizer.model"
        saved = folder / "llama2"
        saved.mkdir()
        ask("ours", llama, [f"save {saved}"])
        for text in texts:
            jobs += [(f"llama2/{text}/{peer}", llama, peer, llama, text) for peer in ("sentencepiece", "kitoken")]
            jobs += [(f"llama2/{text}/{peer}", saved / "tokenizer.json", peer, saved / "tokenizer.json", text) for peer in ("tokie", "fastokens")]
        cases = [Case(f"threads/{name}", "MB/s", on_threads(path, whole, 2), on_threads(path, whole, 1), True)
                 for name, path in {"flores32k": models["flores32k"], "flores32k.json": folder / "flores32k.json", "llama2": llama,
                                    "llama2.json": saved / "tokenizer.json"}.items() if arguments.only in f"threads/{name}"]
        for name, path, peer, peer_path, text in jobs:
            if arguments.only not in name:
                continue
            before, later = texts[text]
            differ = ""
            try:
                for file in (before, later):
                    ask("ours", path, [f"plain {file} {folder / 'ours'}"])
                    ask(peer, peer_path, [f"plain {file} {folder / 'peer'}"])
                    if (folder / "ours").read_bytes() != (folder / "peer").read_bytes():
                        differ = "gives other ids"
            except SystemExit:
                differ = "does not load it"
            if differ:
                print(f"{name}: {peer} {differ}: {'measured all the same' if peer == 'kitoken' and differ.startswith('gives') else 'not measured'}", flush=True)
            if not differ or (peer == "kitoken" and differ.startswith("gives")):
                cases.append(Case(name + ("-other-ids" if differ else ""), "MB/s", speed("ours", path, before, later), speed(peer, peer_path, before, later), True))
        compare("unigram", cases, arguments.rounds, ["kitoken", "tokie", "sentencepiece", "fastokens", "tokenizers"])


if __name__ == "__main__":
    main()
