"""Training steps against PyTorch and transformers: tokens/s, peak memory and the time to the first step.

    ./dev bench train_step [--rounds N] [--only llama10m|gpt2|falcon_h1_10m] [--before PROGRAM]

Ours is the program itself (`isotrope train` on packed text, logging every step), the peers keep a process each and take steps on command;
every round runs each of them once. With --before the peer is an earlier build of the program instead: nothing may get slower or larger. Ours keeps fp32 master weights; the peers' bf16 forms do not.
"""
import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _models import FALCON_H1_10M, GPT2, LLAMA10M, pack_random_text
from _side_by_side import BUILD, Case, Worker, compare

EAGER = ("eager-fp32", "eager-autocast", "eager-bf16")
# --only: name in the cases, model, batch, context, forms of the peer
MODELS = {"llama10m": ("llama10m", LLAMA10M, 16, 256, (*EAGER, "compile-bf16", "compile-autocast")),
          "gpt2": ("gpt2-124m", GPT2, 4, 64, ("eager-bf16",)),
          "falcon_h1_10m": ("falcon_h1_10m", FALCON_H1_10M, 16, 256, ("eager-fp32",))}  # the peer: transformers' reference path


class Ours:
    """`isotrope train` for a few steps; the first two are left out of the speed."""

    def __init__(self, folder, model, batch, context, steps=8, program=BUILD / "isotrope"):
        folder.mkdir(exist_ok=True)
        self.folder, self.batch, self.context, self.steps, self.program, self.runs = folder, batch, context, steps, program, 0
        self.memory, self.first = [], []
        self.model = folder / "ours.json"
        self.model.write_text(json.dumps(model))
        self.tokens = pack_random_text(folder)

    def tokens_per_second(self):
        self.runs += 1
        run = self.folder / f"run-{self.model.stem}-{self.runs}"
        settings = {"run.folder": run, "model.config": self.model, "data.train": self.tokens, "train.steps": self.steps,
                    "train.batch_size": self.batch, "train.context": self.context, "train.precision": "bf16",
                    "checkpoint.every": 0, "train.clip": 1.0}
        config = self.folder / "ours.toml"
        config.write_text("")
        command = [self.program, "train", config, "--quiet"]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        begun = time.perf_counter()
        process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=(run.parent / "errors").open("w"))
        log, first, ended = run / "run.jsonl", None, 0
        while ended == 0:
            if first is None and log.exists() and '"type":"step"' in log.read_text():
                first = time.perf_counter() - begun
            time.sleep(0.02)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if status:
            sys.exit(f"error: [bench] isotrope train ended with {os.waitstatus_to_exitcode(status)}: {(run.parent / 'errors').read_text()}")
        records = [json.loads(line) for line in log.read_text().splitlines()]
        steps = [r for r in records if r["type"] == "step"]
        self.memory.append(1024 * usage.ru_maxrss)
        self.first.append(first)
        return statistics.median(r["tokens_per_second"] for r in steps[2:])


def peer(model_file, form, batch, context, steps, started, memory):
    worker = Worker(sys.executable, Path(__file__).parent / "_train_peer.py", model_file, form, batch, context)
    started[form], _ = worker.listen()
    worker.ask("1")

    def measure():
        seconds, peak = worker.ask(str(steps))
        memory[form] = peak
        return batch * context * steps / seconds

    return worker, measure


def run_model(name, model, batch, context, forms, peer_steps, rounds, results):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours = Ours(folder, model, batch, context)
        model_file = folder / "peer.json"
        model_file.write_text(json.dumps(model))
        started, memory, workers, cases = {}, {}, [], []
        measured = {}

        def ours_once(i):  # one run of ours a round, shared by the cases
            if i not in measured:
                measured[i] = ours.tokens_per_second()
            return measured[i]

        for form in forms:
            worker, measure = peer(model_file, form, batch, context, peer_steps, started, memory)
            workers.append(worker)
            counter = iter(range(10**6))
            cases.append(Case(f"{name}/{form}", "tokens/s", functools.partial(lambda c: ours_once(next(c)), counter), measure, True))
        results += compare(f"train_step {name}", cases, rounds, ("torch", "transformers"))
        for worker in workers:
            worker.close()
        for form in forms:
            for kind, mine, theirs, unit in (("memory", max(ours.memory), memory[form], "bytes"),
                                             ("start", statistics.median(ours.first), started[form], "s")):
                results.append({"case": f"{kind}/{name}/{form}", "ours": mine, "peer": theirs, "unit": unit,
                                "ratio_min": theirs / mine, "ratio_median": theirs / mine})
                print(f"{kind + '/' + name + '/' + form:40} {mine:12.5g} {theirs:12.5g} {unit:10} {theirs / mine:16.3f}")


def run_before(name, model, batch, context, program, rounds, results):
    """The program of this tree against an earlier build of it."""
    with tempfile.TemporaryDirectory() as temporary:
        ours = Ours(Path(temporary) / "ours", model, batch, context)
        before = Ours(Path(temporary) / "before", model, batch, context, program=program)
        results += compare(f"train_step {name}", [Case(f"{name}/before", "tokens/s", ours.tokens_per_second, before.tokens_per_second, True)], rounds)
        mine, theirs = max(ours.memory), max(before.memory)
        results.append({"case": f"memory/{name}/before", "ours": mine, "peer": theirs, "unit": "bytes", "ratio_min": theirs / mine, "ratio_median": theirs / mine})
        print(f"{f'memory/{name}/before':40} {mine:12.5g} {theirs:12.5g} {'bytes':10} {theirs / mine:16.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=tuple(MODELS))
    parser.add_argument("--forms", nargs="+")
    parser.add_argument("--before", metavar="PROGRAM")
    options = parser.parse_args()
    results = []
    for key, (name, model, batch, context, forms) in MODELS.items():
        if options.only not in (None, key):
            continue
        if options.before:
            run_before(name, model, batch, context, options.before, options.rounds, results)
        else:
            run_model(name, model, batch, context, options.forms or forms, 2, options.rounds, results)
    print(json.dumps({"bench": "train_step", "results": results}))


main()
