#!/usr/bin/env python3
"""A made-up comparison of optimizers and learning rates, with its run folders (docs/formats/comparison.md).

  python3 tests/python/sample_comparison.py FOLDER [--seeds N] [--waiting N]     the last N runs have not begun, the one before them is running
"""

import argparse
import json
import math
import random
from pathlib import Path
from statistics import mean, stdev

NAME, RATE = "optimizer.name", "optimizer.lr"
# Final loss at the best rate, that rate, seconds a step, bytes of state: of all, of matrices.
OPTIMIZERS = {"adamw": (5.12, 0.0011, 0.50, 84e6, 46e6), "muon": (5.03, 0.004, 0.56, 61e6, 23e6), "spectra": (4.98, 0.02, 0.57, 63e6, 25e6)}
RATES = (0.0008, 0.001, 0.005, 0.01)
REFERENCE = f"{NAME}=adamw"


def write_run(folder, name, rate, final, steps, last, diverges, end, noise):
    _, _, seconds, _, _ = OPTIMIZERS[name]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(f"[optimizer]\nname = {json.dumps(name)}\nlr = {rate}\n\n[train]\nsteps = {steps}\n")
    records = [{"type": "run", "format": 1, "started": "2026-11-22T07:13:54Z", "version": "0.1.0", "commit": "sample"}]
    for step in range(1, last + 1):
        loss = final + 5.4 * math.exp(-step / 40) + math.exp(-step / 120) - math.exp(-steps / 120) + (0.02 * max(0, step - 80) ** 1.6 if diverges else 0)
        records.append({"type": "step", "step": step, "loss": loss + noise.gauss(0, 0.05), "lr": rate, "tokens": 16384 * step, "seconds": seconds * step})
        if step % 20 == 0:
            records.append({"type": "eval", "step": step, "nll": final if step == steps else loss + noise.gauss(0, 0.006)})
    if end:
        records.append({"type": "end", "step": last, "reason": end})
    log, text = folder / "run.jsonl", "".join(json.dumps(record) + "\n" for record in records)
    if not log.exists() or log.read_text() != text:  # a log is never written anew
        log.write_text(text)


def spread(values):
    there = [value for value in values if value is not None]
    return {"mean": mean(there), "sd": stdev(there) if len(there) > 1 else None, "n": len(there)} if there else None


def summed_up(settings, runs):
    first, rest = runs[0], {key: spread([run[key] for run in runs]) for key in ("final_nll", "optimizer_seconds_per_step")}
    reached = {key: spread([run[key][REFERENCE] for run in runs]) for key in ("steps_to", "seconds_to")}
    return {"settings": settings, "runs": len(runs), "diverged": sum(run["status"] == "diverged" for run in runs), **rest, **reached,
            "state_bytes": first["state_bytes"], "matrix_state_bytes": first["matrix_state_bytes"]}  # fmt: skip


def make_comparison(folder, seeds=1, waiting=0, renamed=None, steps=300):
    """`renamed` replaces names of optimizers, as a hostile file might. Made again with fewer waiting, it is the same comparison further on."""
    folder, noise, runs, shown = Path(folder), random.Random(3), [], renamed or {}
    points = [(name, rate, seed) for name in OPTIMIZERS for rate in RATES for seed in range(1, seeds + 1)]
    for index, (name, rate, seed) in enumerate(points):
        best, best_rate, seconds, state, matrix_state = OPTIMIZERS[name]
        final = best + 0.06 * math.log(rate / best_rate) ** 2 + noise.gauss(0, 0.012)
        left = len(points) - waiting - index  # 0 or less: waiting
        diverges = name == "adamw" and rate == RATES[-1] and seed == seeds
        status = "waiting" if left <= 0 else "running" if left == 1 and waiting > 0 else "diverged" if diverges else "done"
        place, last = f"runs/{name}-{rate}-seed{seed}", {"waiting": 0, "running": 140, "diverged": 120, "done": steps}[status]
        if status != "waiting":
            write_run(folder / place, name, rate, final, steps, last, diverges, {"done": "done", "diverged": "failed"}.get(status), random.Random(index))
        done = status == "done"
        needed = steps * (1 if name == "adamw" else 0.7 + 0.05 * abs(math.log(rate / best_rate))) if done and final <= 5.13 else None
        runs.append({"settings": {NAME: shown.get(name, name), RATE: rate}, "seed": seed, "folder": place, "status": status, "step": last, "tokens": 16384 * last,
                     "seconds": seconds * last, "final_nll": final if done else None, "diverged_at": 120 if status == "diverged" else None, "state_bytes": state,
                     "matrix_state_bytes": matrix_state, "optimizer_seconds_per_step": seconds - 0.48 if done else None, "steps_to": {REFERENCE: needed},
                     "seconds_to": {REFERENCE: needed and seconds * needed}})  # fmt: skip
    settings = [{NAME: shown.get(name, name), RATE: rate} for name in OPTIMIZERS for rate in RATES]
    summary = [summed_up(one, [run for run in runs if run["settings"] == one]) for one in settings]
    best = []
    for name in OPTIMIZERS:
        able = [row for row in summary if row["settings"][NAME] == shown.get(name, name) and row["final_nll"]]
        if able:
            lowest = min(able, key=lambda row: row["final_nll"]["mean"])
            rate = lowest["settings"][RATE]
            best.append({"settings": {NAME: shown.get(name, name)}, "axis": RATE, "value": rate, "final_nll": lowest["final_nll"]["mean"], "at_edge": rate in (RATES[0], RATES[-1])})
    comparison = {"format": 1, "axes": [{"key": NAME, "values": [shown.get(name, name) for name in OPTIMIZERS]}, {"key": RATE, "values": list(RATES)}],
                  "seeds": list(range(1, seeds + 1)), "reference": {"name": REFERENCE, "nll": 5.123}, "runs": runs, "summary": summary, "best": best}  # fmt: skip
    fresh = folder / "compare.json.new"
    fresh.write_text(json.dumps(comparison))
    fresh.replace(folder / "compare.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--waiting", type=int, default=0)
    given = parser.parse_args()
    make_comparison(given.folder, given.seeds, given.waiting)
