"""What watching costs: a training that logs every step, probes its weights and writes checkpoints against the same one that does none of it.

    ./dev bench overhead [--rounds N]

The 10 M-parameter Llama-style model of train_step at 4 × 256 tokens, a quarter of its batch, so that whatever is done once a step weighs four
times as much; a checkpoint every 60 steps, over eight times as often as by default. Both sides are timed from the outside, from the log's record
of step 50 to that of step 110. The case `watched/off` holds seconds a step, and its ratio is to be above 0.98.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _models import LLAMA10M, pack_random_text
from _side_by_side import BUILD, Case, compare

FIRST, LAST = 50, 110
OFF = {"log.every": 10, "observe.weights": 0, "checkpoint.every": 0}
ON = {"log.every": 1, "observe.weights": 50, "checkpoint.every": 60}


def seconds_a_step(folder, tokens, settings, outside):
    """Wall time a step between two records. What lies outside of the steps themselves is appended to `outside`, as a share."""
    run = Path(tempfile.mkdtemp(dir=folder)) / "run"
    settings = {"run.folder": run, "model.config": folder / "model.json", "data.train": tokens, "train.steps": LAST, "train.batch_size": 4,
                "train.context": 256, "observe.evaluation": 0, **settings}
    config = folder / "run.toml"
    config.write_text("")
    command = [BUILD / "isotrope", "train", config, "--quiet"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL)
    log, seen, position = run / "run.jsonl", {}, 0
    while process.poll() is None or LAST not in seen:
        if process.returncode:
            sys.exit(f"error: [bench] isotrope train ended with {process.returncode}")
        if log.exists() and log.stat().st_size > position:
            with log.open() as file:
                file.seek(position)
                lines = file.read()
            whole = lines.rfind("\n") + 1
            position += whole
            for line in lines[:whole].splitlines():
                record = json.loads(line)
                if record["type"] == "step" and record["step"] in (FIRST, LAST):
                    seen[record["step"]] = (time.perf_counter(), record["seconds"])
        time.sleep(0.005)
    wall, steps = (seen[LAST][i] - seen[FIRST][i] for i in (0, 1))
    outside.append(1 - steps / wall)
    return wall / (LAST - FIRST)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "model.json").write_text(json.dumps(LLAMA10M))
        tokens = pack_random_text(folder)
        outside = {"on": [], "off": []}
        case = Case("watched/off", "s/step", lambda: seconds_a_step(folder, tokens, ON, outside["on"]),
                    lambda: seconds_a_step(folder, tokens, OFF, outside["off"]))
        results = compare("overhead", [case], options.rounds)
    for side, shares in outside.items():
        print(f"{side}: {statistics.median(shares):.2%} of the time passes outside of the steps (log, probe, snapshot)")
    print(json.dumps({"bench": "overhead", "results": results}))


main()
